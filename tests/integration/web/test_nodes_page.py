"""The page of nodes: what each is like, what runs there, and its drain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.scheduling.node_store import Drain, Heartbeat, NodeRole, NodeStore
from app.services import Services
from tests.builders.queue import LEASE, Queue, enqueue, make_job
from tests.conftest import Api, csrf
from tests.posting import text


@pytest.fixture
def beat(store: Store, clock: ManualClock) -> Any:
    """Writes a heartbeat of a node; `ago` seconds ago."""

    def write(name: str, *, ago: float = 0.0, drain: bool = False, **fields: Any) -> None:
        told = Heartbeat(host=f"{name}.example.com", clock=clock.now(), tick_age_seconds=0.1, version="1.0", slots=4)
        NodeStore(store.database).beat(name, replace(told, **fields))
        seen_at = clock.now() - timedelta(seconds=ago)
        wish = {"drain": {"by": "ada@example.com", "at": clock.now()}} if drain else {}
        store.database["nodes"].update_one({"_id": name}, {"$set": {"seen_at": seen_at, "clock": seen_at, **wish}})

    return write


def rows(client: FlaskClient, query: str = "", language: str = "en") -> dict[str, str]:
    page = LexborHTMLParser(text(client.get(f"/nodes{query}", headers={"Accept-Language": language})))
    return {str(row.attributes["id"]).removeprefix("node-"): " ".join(row.text().split()) for row in page.css("table.nodes tbody tr")}


def test_each_node_says_how_it_is(browser_client: FlaskClient, beat: Any) -> None:
    assert "No node is online, so no job starts." in text(browser_client.get("/nodes"))
    beat("a", labels=("gpu", "site=berlin"), running=3)
    beat("b", drain=True, running=1)
    beat("c", drain=True, drained=True)
    beat("d", ago=60)
    beat("e", role=NodeRole.WORKER, queues=("jobs.gpu",), hears=False, version="0.9")
    beat("f", slots=0)
    told = rows(browser_client)
    for name, words in {
        "a": ("online", "gpu site=berlin", "3 of 4", "1.0", "scheduler", "Drain"),
        "b": ("draining", "1 of 4", "ada@example.com", "Resume"),
        "c": ("drained", "0 of 4", "Resume"),
        "d": ("offline",),
        "e": ("without messages", "worker", "jobs.gpu", "0.9"),
        "f": ("runs no jobs",),
    }.items():
        assert all(word in told[name] for word in words), told[name]
    assert "Drain" not in told["d"], "a node that is offline would not hear of it"
    page = text(browser_client.get("/nodes"))
    assert "4 of 16 slots are in use." in page
    assert "The nodes that are online have different versions." in page
    assert "läuft leer" in rows(browser_client, language="de")["b"]


def test_filters_and_what_is_read_again(browser_client: FlaskClient, beat: Any) -> None:
    for number in range(200):
        beat(f"n{number:03}", labels=("gpu",) if number % 2 else (), ago=60 if number == 7 else 0)
    assert len(rows(browser_client)) == 200
    assert list(rows(browser_client, "?q=n01")) == [f"n{number:03}" for number in range(10, 20)]
    assert list(rows(browser_client, "?state=offline")) == ["n007"]
    assert len(rows(browser_client, "?label=gpu")) == 100
    assert "No node matches." in text(browser_client.get("/nodes?version=7"))
    part = text(browser_client.get("/nodes?live=1&q=n01"))
    assert "<html" not in part
    assert 'hx-get="/nodes?live=1&amp;q=n01"' in part


def test_what_runs_there_has_links(
    browser_client: FlaskClient, beat: Any, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    executions = Queue(store.database)
    beat("w1", running=1)
    (run,) = enqueue(executions, make_job(services, super_admin, name="Nightly"), clock)
    assert executions.claim_due(owner="w1", now=clock.now(), lease=LEASE)
    assert f'<a href="/executions/{run}" dir="auto">Nightly</a>' in text(browser_client.get("/nodes"))
    assert [row.id for row in services.overview.on_nodes(super_admin, ["w1"])["w1"]] == [run]
    kept = replace(super_admin, role="admin", groups=frozenset({"other"}))
    assert services.overview.on_nodes(kept, ["w1"]) == {}, "of jobs of other groups nothing is shown"


def test_a_drain_is_asked_for_and_taken_back(browser_client: FlaskClient, beat: Any, store: Store, services: Services) -> None:
    beat("w1")
    token = csrf(text(browser_client.get("/nodes")))
    answer = browser_client.post("/nodes/w1/drain", data={"csrf_token": token}, follow_redirects=True)
    assert "The node stops claiming runs within 5 seconds" in text(answer)
    drain = NodeStore(store.database).all()[0].drain
    assert isinstance(drain, Drain)
    browser_client.post("/nodes/w1/drain", data={"csrf_token": token})
    assert NodeStore(store.database).all()[0].drain == drain, "whoever asked first stays"
    browser_client.post("/nodes/w1/resume", data={"csrf_token": token})
    assert NodeStore(store.database).all()[0].drain is None
    actions = [row["action"] for row in store.database["audit_log"].find({"target.kind": "node"}).sort("seq", 1)]
    assert actions == ["node.drain", "node.resume"]


def test_rest_lists_drains_and_resumes(api: Api, beat: Any) -> None:
    beat("w1", labels=("gpu",), running=2)
    beat("gone", ago=60)
    nodes = {row["id"]: row for row in api("GET", "/api/admin/nodes").json["nodes"]}
    assert (nodes["w1"]["state"], nodes["w1"]["labels"], nodes["w1"]["running"], nodes["gone"]["state"]) == (
        "online",
        ["gpu"],
        2,
        "offline",
    )
    asked = api("POST", "/api/admin/nodes/w1/drain")
    assert (asked.status_code, asked.json["node"]["state"]) == (202, "draining")
    one = api("GET", "/api/admin/nodes/w1").json
    assert (one["node"]["drain"]["by"], one["executions"]) == ("admin@example.com", [])
    assert api("POST", "/api/admin/nodes/gone/drain").status_code == 409
    assert api("POST", "/api/admin/nodes/none/drain").status_code == 404
    assert api("POST", "/api/admin/nodes/w1/resume").json["node"]["state"] == "online"
