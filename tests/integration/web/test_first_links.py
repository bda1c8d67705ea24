"""Every link of the first pages of an installation leads to a page: while it is empty, with sample data, and after that was removed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.services import Services
from tests.conftest import csrf

FIRST = (
    "/",
    "/jobs",
    "/executions",
    "/calendar",
    "/templates",
    "/approvals",
    "/connections",
    "/connections/new",
    "/calendars",
    "/users",
    "/services",
    "/audit",
    "/maintenance",
    "/system",
    "/help",
    "/account",
    "/sample-data",
)


@pytest.fixture
def services(sample_services: Services) -> Services:
    return sample_services


def followed(client: FlaskClient, pages: Sequence[str] = FIRST) -> dict[str, int]:
    """Follows every link of the first pages. Returns the status of each address."""
    wanted = set(pages)
    for page in pages:
        answer = client.get(page)
        assert answer.status_code == 200, page
        for link in LexborHTMLParser(answer.get_data(as_text=True)).css("a[href]"):
            href = (link.attributes["href"] or "").partition("#")[0]
            if href.startswith("?"):
                href = page + href
            if href.startswith("/"):
                wanted.add(href)
    return {href: client.get(href).status_code for href in sorted(wanted)}


def broken(client: FlaskClient, pages: Sequence[str] = FIRST) -> dict[str, int]:
    statuses = followed(client, pages)
    assert len(statuses) > 2 * len(FIRST), "the pages have links"
    return {href: status for href, status in statuses.items() if status not in {200, 302}}


def test_no_link_of_the_first_pages_is_broken(browser_client: FlaskClient) -> None:
    assert broken(browser_client) == {}
    token = csrf(browser_client.get("/").get_data(as_text=True))
    assert browser_client.post("/sample-data/create", data={"csrf_token": token}).status_code == 302
    assert broken(browser_client) == {}
    assert browser_client.post("/sample-data/remove", data={"csrf_token": token}).status_code == 302
    lists = [page for page in FIRST if page != "/audit"]  # the audit trail names what is deleted, too
    assert broken(browser_client, lists) == {}


def test_a_new_connection_begins_with_its_kind(browser_client: FlaskClient) -> None:
    page = LexborHTMLParser(browser_client.get("/connections/new?next=/jobs/new%3Ftemplate%3Dnoop").get_data(as_text=True))
    links = [link.attributes["href"] for link in page.css("main .card a")]
    assert "/connections/new?next=%2Fjobs%2Fnew%3Ftemplate%3Dnoop&kind=mongodb" in links
    for link in links:
        assert browser_client.get(str(link)).status_code == 200
    assert browser_client.get("/connections/new?kind=").status_code == 200
    assert browser_client.get("/connections/new?kind=ftp").status_code == 404
