"""One id from a request to all that it causes: execution, attempt, log lines, calls, events, and the runs that follow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.audit.model import Actor
from app.factory import Store
from app.services import Services
from tests.builders.nats import NatsServer, running_nats
from tests.builders.service import Receiver, receiver
from tests.commands import jobwright
from tests.integration.bus.talk import Talk
from tests.support import Service, eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ASKED = "order-4711.a"


@pytest.fixture(scope="module")
def called() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def running(
    mongod: str, called: Receiver, nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, httpx.Client]]:
    data: Path = tmp_path_factory.mktemp("correlation")
    settings = {"NATS_URL": nats_server.url, "JOBWRIGHT_NATS_PREFIX": "traced", "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1"}
    service = Service("serve", uri=mongod, database="t_correlation", data_dir=data, warm=True, **settings).wait_ready()
    with service.api() as client:
        yield service, client
    service.stop()


def create(client: httpx.Client, name: str, template: str, **fields: Any) -> str:
    answer = client.post("/api/admin/scheduler-jobs", json={"name": name, "template_type": template, "enabled": True, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job"]["id"])


def run(client: httpx.Client, job: str, **headers: str) -> dict[str, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post(f"/api/admin/scheduler-jobs/{job}/run", json={}, params={"wait": 30}, headers=sent)
    execution: dict[str, Any] = answer.json()["execution"]
    assert execution["status"] == "success", execution
    return execution


def with_id(client: httpx.Client, correlation_id: str) -> list[dict[str, Any]]:
    answer = client.get("/api/admin/job-executions", params={"correlation_id": correlation_id})
    return list(answer.json()["executions"])


def test_an_id_goes_through_all_that_a_request_causes(
    running: tuple[Service, httpx.Client], called: Receiver, nats_server: NatsServer
) -> None:
    service, client = running
    hook = {"url": f"{called.address}/hook", "method": "POST", "body": {"a": 1}}
    first = create(client, "Calls", "webhook_trigger", parameters=hook)
    create(client, "Follows", "noop", depends_on=[{"job": first}])
    execution = run(client, first, X_Request_Id=ASKED, traceparent=TRACE)
    assert execution["correlation_id"] == ASKED
    eventually(lambda: [row["status"] for row in with_id(client, ASKED)] == ["success", "success"])
    follower = next(row for row in with_id(client, ASKED) if row["id"] != execution["id"])
    assert (follower["caused_by"], follower["correlation_id"]) == ([execution["id"]], ASKED)
    (call,) = called.calls
    assert (call.headers["X-Request-Id"], call.headers["traceparent"]) == (ASKED, TRACE)
    logged = eventually(lambda: of_attempt(service, execution["id"]) if len(of_attempt(service, execution["id"])) >= 2 else None)
    assert {line["event"] for line in logged} >= {"attempt.started", "attempt.ended"}
    assert {line["correlation_id"] for line in logged} == {ASKED}
    talk = Talk(nats_server.url, "traced")
    eventually(lambda: len(talk.events(execution["id"])) == 2)
    for event, message in talk.messages():
        if event["subject"] in {execution["id"], follower["id"]}:
            assert (event["data"]["correlation_id"], event["traceparent"], message.headers["traceparent"]) == (ASKED, TRACE, TRACE)
    listed = jobwright(service.environment, "execution", "list", "--correlation-id", ASKED, "--json", check=True).stdout
    assert {row["id"] for row in json.loads(listed)["executions"]} == {execution["id"], follower["id"]}


def test_a_change_of_a_job_tells_the_id_of_its_request(running: tuple[Service, httpx.Client], nats_server: NatsServer) -> None:
    _, client = running
    schedule = {"type": "interval", "interval_seconds": 86_400}
    body = {"name": "Changed", "template_type": "noop", "schedule": schedule, "enabled": True}
    made = client.post("/api/admin/scheduler-jobs", json=body, headers={"X-Request-Id": "made-1", "traceparent": TRACE})
    job = str(made.json()["job"]["id"])
    for asked in ("disable", "enable", "pause", "resume"):
        assert client.post(f"/api/admin/scheduler-jobs/{job}/{asked}", json={}, headers={"X-Request-Id": f"{asked}-1"}).is_success
    assert client.delete(f"/api/admin/scheduler-jobs/{job}", headers={"X-Request-Id": "delete-1"}).is_success
    talk = Talk(nats_server.url, "traced")
    events = eventually(lambda: found if len(found := talk.events(job)) >= 6 else None)
    told = [event["data"].get("correlation_id") for event in events]
    assert told == ["made-1", "disable-1", "enable-1", "pause-1", "resume-1", "delete-1"]
    assert [event.get("traceparent") for event in events] == [TRACE, *[None] * 5]


def test_a_dry_run_has_the_id_of_its_request(services: Services, super_admin: Actor, store: Store) -> None:
    asking = replace(super_admin, correlation_id="dry-1", traceparent=TRACE)
    services.previews.try_out(asking, {"name": "Tried", "template_type": "noop"})
    row = store.database["job_executions"].find_one({"dry": True}) or {}
    assert (row["correlation_id"], row["traceparent"]) == ("dry-1", TRACE)


def of_attempt(service: Service, execution_id: str) -> list[dict[str, Any]]:
    return [line for line in service.events() if line.get("execution") == execution_id]


def test_a_command_on_the_bus_brings_its_id(running: tuple[Service, httpx.Client], nats_server: NatsServer) -> None:
    service, client = running
    job = create(client, "Commanded", "noop")
    talk = Talk(nats_server.url, "traced")
    headers = {"X-Request-Id": "from-the-bus", "traceparent": TRACE}
    answer = talk.command("trigger", {"job": job, "token": service.token(scopes=["run"])}, headers=headers)
    assert answer.status == 202, answer.body
    eventually(lambda: [row["status"] for row in with_id(client, "from-the-bus")] == ["success"])


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü", "a\tb", '{"a":1}', "../../etc"])
def test_an_id_that_is_not_harmless_is_replaced(running: tuple[Service, httpx.Client], given: str) -> None:
    _, client = running
    job = create(client, f"Odd {given.encode().hex()}"[:100], "noop")
    answer = client.post(
        f"/api/admin/scheduler-jobs/{job}/run", json={}, headers=[(b"X-Request-Id", given.encode()), (b"traceparent", given.encode())]
    )
    made = answer.headers["X-Request-Id"]
    assert made != given
    assert answer.json()["execution"]["correlation_id"] == made
    assert len(made) == 36


def test_a_scheduled_run_has_its_own_id(running: tuple[Service, httpx.Client]) -> None:
    _, client = running
    job = create(client, "Each second", "noop", schedule={"type": "interval", "interval_seconds": 1})

    def ran() -> dict[str, Any] | None:
        rows = client.get("/api/admin/job-executions", params={"job_id": job, "status": "success"}).json()["executions"]
        return dict(rows[-1]) if rows else None

    execution = eventually(ran)
    client.post(f"/api/admin/scheduler-jobs/{job}/disable")
    assert execution["correlation_id"] == execution["id"]
    assert [row["id"] for row in with_id(client, execution["id"])] == [execution["id"]]
    assert with_id(client, "no-such-id") == []
