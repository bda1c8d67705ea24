"""Runs of services from the queue to their end: a node, its processes, a real service, and its reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor
from app.config import Settings
from app.factory import Store, build_node, build_services, launch_executor
from app.integrations.callbacks.breaker import Circuit
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.jobs.model import Job
from app.jobtemplates.catalogue import Catalogue
from app.node.node import Node
from tests.builders.service import (
    NAME,
    RESET,
    Answer,
    Call,
    Receiver,
    Reports,
    accepted,
    connect_service,
    done,
    make_service_job,
    receiver,
)
from tests.conftest import app_of
from tests.support import eventually

QUICK = {"retry_policy": {"max_retries": 3, "retry_delay_seconds": 1, "backoff": "fixed"}}
ONCE = {"retry_policy": {"max_retries": 0}}
ENDED = ("success", "failed", "timeout", "cancelled")


class House:
    """A node that runs, with a service and its jobs."""

    def __init__(self, store: Store, settings: Settings, catalogue: Catalogue, actor: Actor, service: Receiver) -> None:
        self.store, self.actor, self.service, self.settings = store, actor, service, settings
        self.services = build_services(settings, store, catalogue=catalogue)
        connect_service(self.services, actor, service)
        self.report = Reports(app_of(self.services), service.key)
        self.endpoints = EndpointStore(store.database)
        self.nodes: list[Node] = []

    def start_node(self) -> Node:
        node = build_node(self.settings, self.store, self.services, launch_executor(self.settings))
        node.start()
        self.nodes.append(node)
        return node

    def job(self, name: str = "weekly-digest", **fields: Any) -> Job:
        return make_service_job(self.services, self.actor, name, **{**ONCE, **fields})

    def run(self, job: Job) -> str:
        return self.services.runs.run_now(self.actor, job.id).id

    def row(self, execution_id: str) -> dict[str, Any]:
        row = self.store.database["job_executions"].find_one({"_id": execution_id})
        assert row is not None
        return row

    def ended(self, execution_id: str) -> dict[str, Any]:
        return eventually(lambda: row if (row := self.row(execution_id))["status"] in ENDED else None)

    def outcome(self, job: Job) -> dict[str, Any]:
        return self.ended(self.run(job))

    def accepted(self, job: Job) -> tuple[str, str]:
        """A run that the service has accepted: its id, and the address of its reports."""
        execution_id = self.run(job)
        eventually(lambda: self.row(execution_id).get("lease", {}).get("owner") == "callback")
        return execution_id, self.service.calls[-1].body["callback"]["url"]

    def close(self) -> None:
        for node in self.nodes:
            node.drain(1)


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def house(store: Store, settings: Settings, catalogue: Catalogue, super_admin: Actor, service: Receiver) -> Iterator[House]:
    chosen = replace(
        settings, max_instances=50, public_url="https://jobs.example.com", runs_per_hour=10_000, runs_per_hour_super_admin=10_000
    )
    made = House(store, chosen, catalogue, super_admin, service)
    made.start_node()
    yield made
    made.close()


def statuses(*answers: Answer | str) -> Callable[[Call], Answer | str]:
    """These answers in their order; then the work is done."""
    left = list(answers)
    return lambda call: left.pop(0) if left else done(call)


def test_a_run_that_the_service_does_at_once(house: House) -> None:
    row = house.outcome(house.job())
    assert (row["status"], row["result"]["itemsProcessed"], row["result"]["message"]) == ("success", 3, "3 of 3 items")
    (call,) = house.service.calls
    assert (call.body["executionId"], call.body["triggeredBy"], call.body["attempt"]) == (row["_id"], "manual", 1)
    assert call.body["triggeredByUser"] == row["triggered_by_user"]


def test_a_run_that_the_service_accepts_and_reports(house: House) -> None:
    house.service.reply = accepted
    execution_id, url = house.accepted(house.job())
    eventually(lambda: house.nodes[0].running.parts.executor.held() == {})  # no process waits
    assert house.report(url, "progress", {"done": 1, "total": 2}).json["status"] == "running"
    assert house.report(url, "logs", {"first": 1, "lines": [{"message": "from the service"}]}).status_code == 200
    assert house.row(execution_id)["progress"]["done"] == 1
    assert house.report(url, "complete", {"success": True, "itemsProcessed": 9}).json == {"status": "success"}
    row = house.row(execution_id)
    assert (row["status"], row["result"]["itemsSucceeded"]) == ("success", 9)
    assert [line["message"] for line in house.services.logs.read(house.actor, execution_id)[0]] == ["from the service"]


def test_a_deferred_run_outlives_its_node(house: House) -> None:
    house.service.reply = accepted
    execution_id, url = house.accepted(house.job())
    house.nodes.pop().drain(0)
    assert house.row(execution_id)["status"] == "running"
    assert house.report(url, "complete", {"success": True}).json == {"status": "success"}


def test_silence_is_a_lost_worker_and_its_retry_has_the_same_key(house: House) -> None:
    house.service.reply = accepted
    job = house.job(parameters={"heartbeat_seconds": 5}, **QUICK)
    execution_id, url = house.accepted(job)
    row = eventually(lambda: row if len((row := house.row(execution_id))["attempts"]) == 2 else None)
    assert row["attempts"][0]["error"]["message"] == "The service sent no heartbeat for 5 s"
    assert house.report(url, "complete", {"success": True}).status_code == 409
    second = eventually(lambda: house.service.calls[1] if len(house.service.calls) > 1 else None)
    keys = {name: {call.headers[name] for call in house.service.calls} for name in ("Idempotency-Key", "webhook-id")}
    assert keys == {"Idempotency-Key": {execution_id}, "webhook-id": {f"{execution_id}:1", f"{execution_id}:2"}}
    assert second.body["callback"]["url"] != url
    assert house.report(second.body["callback"]["url"], "complete", {"success": True}).json == {"status": "success"}


def test_a_deadline_and_a_cancel_reach_a_deferred_run(house: House) -> None:
    house.service.reply = accepted
    job = house.job(timeout_seconds=2, overlap="allow", concurrency={"max_instances": 3})
    assert house.outcome(job)["status"] == "timeout"  # on a slow machine possibly before the service has accepted it
    other, url = house.accepted(house.job("other", parameters={"heartbeat_seconds": 5}))
    house.services.runs.cancel(house.actor, other)
    assert house.report(url, "heartbeat").json["status"] == "cancelling"
    assert house.ended(other)["status"] == "cancelled"


def test_what_passes_is_retried_and_what_stays_is_not(house: House) -> None:
    house.service.reply = statuses(Answer(503), RESET, Answer(409, None, {"Retry-After": "2"}))
    row = house.outcome(house.job(**QUICK))
    assert [attempt["status"] for attempt in row["attempts"]] == ["failed", "failed", "failed", "success"]
    times = [call.at for call in house.service.calls]
    assert times[3] - times[2] >= 2  # as the service asked
    house.service.reply = statuses(Answer(400, {"error": "no such campaign"}))
    row = house.outcome(house.job("other", **QUICK))
    assert (row["status"], len(row["attempts"]), row["error"]["message"]) == (
        "failed",
        1,
        "The service answered 400: no such campaign",
    )


def test_failures_open_the_breaker_and_runs_wait_for_the_service(house: House) -> None:
    job = house.job(overlap="allow", concurrency={"max_instances": 3}, **ONCE)
    house.service.reply = lambda call: Answer(503)
    failed = [house.outcome(job)["status"] for _ in range(5)]
    assert failed == ["failed"] * 5
    eventually(lambda: house.endpoints.get(NAME, house.service.address).breaker.circuit is Circuit.OPEN)
    calls = len(house.service.calls)
    waiting = house.run(job)
    row = eventually(lambda: row if (row := house.row(waiting)).get("postponed") else None)
    assert (row["status"], row["reason"], row["attempts"]) == ("queued", "circuit_open", [])
    assert len(house.service.calls) == calls
    house.service.reply = done
    row = house.ended(waiting)  # the probe, after ten seconds
    assert (row["status"], row["reason"], len(row["attempts"])) == ("success", None, 1)
    assert house.endpoints.get(NAME, house.service.address).breaker.circuit in {Circuit.CLOSED, Circuit.HALF_OPEN}
    eventually(lambda: house.endpoints.get(NAME, house.service.address).breaker.circuit is Circuit.CLOSED)


def test_a_service_that_hangs_leaves_room_for_the_others(house: House) -> None:
    let_go = threading.Event()

    def hang(call: Call) -> Answer:
        let_go.wait()
        return done(call)

    many: dict[str, Any] = {"overlap": "allow", "concurrency": {"max_instances": 20}}
    with receiver() as other:
        connect_service(house.services, house.actor, other, "crawler")
        quick = house.job("crawl", service="crawler", **many)

        house.service.reply = hang
        slow = [house.job(f"slow {n}", **many) for n in range(4)]
        hanging = [house.run(job) for job in slow for _ in range(15)]
        try:
            eventually(lambda: len(house.service.calls) == 2)
            assert [house.outcome(quick)["status"] for _ in range(5)] == ["success"] * 5
            assert len(house.service.calls) == 2  # half of the node's processes, and no more
        finally:
            let_go.set()
        assert {house.ended(execution_id)["status"] for execution_id in hanging} == {"success"}
