"""The pages of connections: tested before they are saved, and back to the page that asked for one."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser, LexborNode

from app.audit.model import Actor
from app.services import Services
from tests.posting import post, text


def cell(row: LexborNode, selector: str) -> str:
    found = row.css_first(selector)
    assert found is not None
    return found.text(strip=True)


def test_a_connection_is_tested_before_it_is_saved(
    browser_client: FlaskClient, services: Services, super_admin: Actor, mongod: str
) -> None:
    new = "/connections/new?kind=mongodb"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = text(post(browser_client, new, {"name": "S", "/uri": f"mongodb://127.0.0.1:{port}/", "/database": "shop", "test": "1"}))
    assert f"Nothing listens at 127.0.0.1:{port} (connection refused). Check the host and port." in refused
    answers = text(post(browser_client, new, {"name": "S", "/uri": mongod, "/database": "shop", "test": "1"}))
    assert "The database &#39;shop&#39; has" in answers
    missing = post(browser_client, new, {"name": "S", "/database": "shop", "test": "1"})
    assert (missing.status_code, "Correct these fields first" in text(missing)) == (422, True)
    assert services.connections.all(super_admin) == []


def test_a_test_of_a_change_uses_the_stored_secret_and_sends_it_nowhere_else(
    browser_client: FlaskClient, services: Services, super_admin: Actor, mongod: str
) -> None:
    made = services.connections.create(super_admin, name="Shop", kind="mongodb", settings={"uri": mongod, "database": "shop"})
    path = f"/connections/{made['_id']}"
    same = text(post(browser_client, path, {"test": "1"}))
    assert "The database &#39;shop&#39; has" in same
    assert services.connections.conditions()[0].works, "the list shows the answer to a test of the stored values"
    other = text(post(browser_client, path, {"/database": "other", "test": "1"}))
    assert "The database &#39;other&#39; has" in other
    assert services.connections.get(super_admin, made["_id"])["settings"]["database"] == "shop"

    settings = {"host": "127.0.0.1", "port": 2525, "security": "none", "sender": "a@example.com", "username": "a", "password": "canary"}
    mail = services.connections.create(super_admin, name="Mail", kind="smtp", settings=settings)
    moved = post(browser_client, f"/connections/{mail['_id']}", {"/host": "localhost", "test": "1"})
    assert (moved.status_code, "must be entered again" in text(moved)) == (422, True)


@pytest.mark.parametrize(
    ("target", "leads"),
    [
        ("/jobs/new?template=database_cleanup&tag=", "/jobs/new?template=database_cleanup&tag=&connection=My+shop"),
        ("/jobs/new?connection=old", "/jobs/new?connection=My+shop"),
        ("https://evil.example/", "/connections"),
        ("//evil.example/", "/connections"),
        ("/\\evil.example", "/connections"),
    ],
)
def test_a_new_connection_leads_back_to_the_page_that_asked_for_it(
    browser_client: FlaskClient, tmp_path: Path, target: str, leads: str
) -> None:
    new = f"/connections/new?{urlencode({'kind': 'file_store', 'next': target})}"
    answer = post(browser_client, new, {"name": "My shop", "/path": str(tmp_path)})
    assert (answer.status_code, answer.headers["Location"]) == (302, leads)


def test_the_list_says_how_many_jobs_use_each_connection(
    browser_client: FlaskClient, services: Services, super_admin: Actor, tmp_path: Path
) -> None:
    for name in ("used", "idle"):
        services.connections.create(super_admin, name=name, kind="file_store", settings={"path": str(tmp_path / name)})
    for number in range(3):
        body = {"name": f"clean {number}", "template_type": "file_cleanup", "parameters": {"store": "used", "older_than_days": 3}}
        services.jobs.create(super_admin, body)
    assert services.directory.counts_by_connection()["used"] == 3
    rows = {cell(row, ".name"): cell(row, "td.num") for row in LexborHTMLParser(text(browser_client.get("/connections"))).css("tbody tr")}
    assert rows == {"used": "3", "idle": "–"}
