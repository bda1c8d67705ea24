"""The page of nodes in a browser: drain and resume, the filter, two hundred nodes, and labels on the form of a job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from pymongo import MongoClient

from tests.browser.conftest import Watched, inaccessible, visit
from tests.support import Service

NODES = 200


@pytest.fixture(scope="module")
def crowd(service: Service, mongod: str) -> None:
    """Two hundred nodes of other machines, and this one."""
    now = datetime.now(UTC)
    rows = [
        {
            "_id": f"worker-{n:03}.example.com-4711-{n:08x}",
            "host": f"worker-{n:03}.example.com",
            "clock": now,
            "seen_at": datetime(2100, 1, 1, tzinfo=UTC) if n % 9 else now,  # they stay online
            "tick_age": 0.2,
            "role": "worker" if n % 2 else "scheduler",
            "version": "1.1.0" if n % 5 else "1.0.0",
            "labels": ["gpu", f"site={('berlin', 'rome')[n % 2]}"] if n % 3 else [],
            "slots": 10,
            "running": n % 11,
            "queues": ["jobs.gpu"] if n % 2 else [],
            **({"hears": n % 7 != 0} if n % 2 else {}),
            **({"drain": {"by": "ada@example.com", "at": now}, "drained": n % 4 == 0} if n % 6 == 0 else {}),
        }
        for n in range(NODES)
    ]
    for row in rows:
        row["clock"] = row["seen_at"]
    with MongoClient(mongod) as client:
        client[service.environment["JOBWRIGHT_DATABASE"]]["nodes"].insert_many(rows)


def test_a_node_is_drained_and_resumed(visitor: Watched, service: Service) -> None:
    page = visitor.page
    page.goto(f"{service.address}/nodes")
    row = page.locator("table.nodes tbody tr").first
    expect(row).to_contain_text("online")
    row.locator("summary", has_text="Drain").click()
    expect(row).to_contain_text("after a restart, it claims runs again")
    row.get_by_role("button", name="Drain this node").click()
    if not visitor.javascript:
        expect(page.locator("table.nodes tbody tr").first).to_contain_text("drain")
    else:
        expect(page.locator("table.nodes tbody tr").first).to_contain_text("drained")  # the page reads itself again
    page.locator("table.nodes tbody tr").first.get_by_role("button", name="Resume").click()
    expect(page.locator("table.nodes tbody tr").first.locator("summary", has_text="Drain")).to_be_visible()


def test_two_hundred_nodes_are_found_by_their_words(crowd: None, visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/nodes")
    expect(page.locator("table.nodes tbody tr")).to_have_count(NODES + 1)
    page.locator("#node-search").fill("worker-00")
    expect(page.locator("table.nodes tbody tr")).to_have_count(10)
    page.locator("#node-state").select_option("drained")
    expect(page.locator("table.nodes tbody tr")).to_have_count(0)
    page.locator("#node-search").fill("")
    expect(page.locator("table.nodes tbody tr").first).to_contain_text("drained")
    assert "state=drained" in page.url


def test_the_form_suggests_the_labels_that_nodes_have(crowd: None, visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    assert page.locator("[data-pointer='/needs']:is(input)").count() == 1
    assert "site=berlin" in page.content()


@pytest.mark.parametrize(("theme", "width", "language"), [("light", 1280, "en-GB"), ("dark", 390, "de-DE")])
def test_axe_finds_nothing_serious(
    crowd: None, chromium: Browser, service: Service, theme: str, width: int, language: str, tmp_path: Path
) -> None:
    watched = visit(chromium, service, width=width, color_scheme=theme, bypass_csp=True, locale=language)
    page = watched.page
    page.goto(f"{service.address}/nodes?q=worker-0")
    page.locator("table.nodes details.menu summary").first.click()
    assert inaccessible(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"nodes-{theme}.png", full_page=True)
    watched.context.close()
