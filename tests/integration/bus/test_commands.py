"""Commands over a real nats-server: the same services, rights, audit trail and problem documents as REST."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import nats
import pytest

from app.accounts.model import Role, Scope
from app.api.commands.catalogue import COMMANDS
from app.api.commands.desk import CommandDesk
from app.audit.model import SYSTEM, AuditFilter
from app.clock import SystemClock
from app.config import Settings
from app.factory import Store, create_api
from app.factory.bus import build_bus
from app.integrations.nats import connection
from app.integrations.nats.bus import Bus
from app.integrations.nats.messages import STATUS, Reply
from app.services import Services
from tests.builders.nats import NatsServer
from tests.integration.bus.talk import Talk
from tests.support import PASSWORD, eventually

DAILY = {"name": "nightly", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 3 * * *"}}


@pytest.fixture
def token(bus_services: Services) -> str:
    bus_services.accounts.create_user(SYSTEM, email="planner@example.com", password=PASSWORD, role=Role.ADMIN)
    return bus_services.tokens.create(SYSTEM, email="planner@example.com", name="planner")


def test_a_job_is_created_changed_run_and_deleted_by_commands(bus: Bus, bus_services: Services, talk: Talk, token: str) -> None:
    created = talk.command("create", {"token": token, "body": DAILY})
    assert (created.status, created.body["job"]["name"]) == (201, "nightly")
    job_id = created.body["job"]["id"]
    assert created.headers["ETag"] == '"1"'
    assert created.headers["Content-Type"].startswith("application/json")
    assert "Nats-Service-Error" not in created.headers

    updated = talk.command("update", {"token": token, "job": job_id, "body": {"priority": 7}, "version": 1})
    assert (updated.status, updated.body["job"]["priority"], updated.body["job"]["version"]) == (200, 7, 2)
    paused = talk.command("pause", {"token": token, "job": "nightly", "body": {"reason": "freeze"}})
    assert paused.body["job"]["paused"]["reason"] == "freeze"
    assert talk.command("resume", {"token": token, "job": "nightly"}).body["job"]["paused"] is None
    run = talk.command("trigger", {"token": token, "job": "nightly"})
    assert (run.status, run.body["execution"]["triggered_by"]) == (202, "command")
    execution_id = run.body["execution"]["id"]
    assert run.body["execution"]["triggered_by_user"] == "planner@example.com"
    cancelled = talk.command("cancel", {"token": token, "execution": execution_id})
    assert (cancelled.status, cancelled.body["execution"]["status"]) == (202, "cancelled")
    listed = talk.command("list", {"token": token, "query": {"enabled": True, "limit": 10}})
    assert [job["id"] for job in listed.body["jobs"]] == [job_id]
    assert talk.command("delete", {"token": token, "job": "nightly", "version": 4}).status == 200
    assert talk.command("list", {"token": token}).body["jobs"] == []

    trail = bus_services.audit.history(AuditFilter(actor="planner@example.com"), limit=50)
    assert [event["action"] for event in reversed(trail)] == [
        "job.create",
        "job.update",
        "job.pause",
        "job.resume",
        "job.run",
        "execution.cancel",
        "job.delete",
    ]
    assert {(event["via"], event["outcome"]) for event in trail} == {("nats", "done")}
    assert all(event["correlation_id"] for event in trail)


def test_a_repeated_command_has_one_effect(bus: Bus, bus_services: Services, talk: Talk, token: str) -> None:
    sent = {"token": token, "body": DAILY, "idempotency_key": "create-1"}
    ids = {talk.command("create", sent).body["job"]["id"] for _ in range(3)}
    (job_id,) = ids
    # The key may be a header, as the token may.
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "run-1"}
    runs = {talk.command("trigger", {"job": job_id}, headers=headers).body["execution"]["id"] for _ in range(3)}
    assert len(runs) == 1
    again = talk.command("create", {**sent, "body": {**DAILY, "priority": 2}})
    assert (again.status, again.body["type"]) == (409, "/api/problems/conflict")


@pytest.mark.parametrize(
    ("name", "message", "status", "kind", "pointers"),
    [
        ("create", {"body": DAILY}, 401, "not-signed-in", None),
        ("create", {"token": "jw_wrong", "body": DAILY}, 401, "not-signed-in", None),
        ("create", {"token": "TOKEN"}, 422, "validation-failed", ["/body"]),
        ("create", {"token": "TOKEN", "body": {"name": "x"}}, 422, "validation-failed", ["/template_type"]),
        ("create", {"token": "TOKEN", "body": {**DAILY, "priority": 11}}, 422, "validation-failed", ["/priority"]),
        ("create", {"token": "TOKEN", "body": DAILY, "jobs": 1}, 422, "validation-failed", ["/jobs"]),
        ("create", b"{", 400, "unreadable-request", None),
        ("create", b'{"token": "a", "token": "b"}', 400, "unreadable-request", None),
        ("create", b"\xff", 400, "unreadable-request", None),
        ("create", [], 422, "validation-failed", [""]),
        ("pause", {"token": "TOKEN", "job": "no such job", "body": {"reason": "r"}}, 404, "not-found", None),
        ("resume", {"token": "TOKEN", "job": str(uuid.uuid4())}, 404, "not-found", None),
        ("resume", {"token": "TOKEN", "job": "../users"}, 404, "not-found", None),
        ("cancel", {"token": "TOKEN", "execution": str(uuid.uuid4())}, 404, "not-found", None),
        ("cancel", {"token": "TOKEN", "execution": "../../admin/users"}, 422, "validation-failed", ["/execution"]),
        ("resume", {"token": "TOKEN"}, 422, "validation-failed", ["/job"]),
        ("trigger", {"job": "nightly"}, 401, "not-signed-in", None),
        ("list", {"token": "TOKEN", "query": {"enable": True}}, 422, "invalid-parameters", None),
        ("list", {"token": "TOKEN", "query": {"name": ["a"]}}, 422, "validation-failed", ["/query/name"]),
        ("destroy", {"token": "TOKEN"}, 404, "no-such-address", None),
    ],
)
def test_refusals_are_the_problem_documents_of_rest(
    name: str, message: Any, status: int, kind: str, pointers: list[str] | None, bus: Bus, talk: Talk, token: str
) -> None:
    if isinstance(message, dict) and message.get("token") == "TOKEN":
        message = {**message, "token": token}
    answer = talk.command(name, message)
    assert (answer.status, answer.body["type"]) == (status, f"/api/problems/{kind}")
    assert answer.body["status"] == status
    assert answer.body["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Nats-Service-Error-Code"] == str(status)
    assert answer.headers["Nats-Service-Error"] == answer.body["title"]
    if pointers is not None:
        assert [error["pointer"] for error in answer.body["errors"]] == pointers


def test_rights_are_those_of_the_token(bus: Bus, bus_services: Services, talk: Talk, token: str) -> None:
    reader = bus_services.tokens.create(SYSTEM, email="planner@example.com", name="reader", scopes=[Scope.READ])
    assert talk.command("list", {"token": reader}).status == 200
    refused = talk.command("create", {"token": reader, "body": DAILY})
    assert (refused.status, refused.body["type"]) == (403, "/api/problems/not-allowed")
    (event,) = bus_services.audit.history(AuditFilter(action="request.refuse"), limit=5)
    assert (event["via"], event["outcome"], event["actor"]["email"]) == ("nats", "refused", "planner@example.com")


@pytest.mark.parametrize("name", ["[", "%2e%2e", "create/x", "//evil", "?token=x", "#", "x" * 3_000, "ü", "create\x01"])
def test_a_command_with_any_name_is_answered(name: str, bus: Bus, talk: Talk, token: str) -> None:
    answer = talk.command(name, {"token": token})
    assert (answer.status, answer.body["type"]) == (404, "/api/problems/no-such-address")
    assert len(answer.body["instance"]) < 1_000


def test_a_huge_message_is_refused(bus_services: Services) -> None:
    """The server of the tests takes 1 MB; others take more."""
    desk = CommandDesk(lambda: create_api(bus_services))
    answer = desk.answer("create", b'{"body": "' + b"x" * 2_000_000 + b'"}', {})
    problem = json.loads(answer.data)
    assert (answer.headers["Jobwright-Status"], problem["status"]) == ("413", 413)
    assert "2,000,012 bytes" in problem["detail"]
    deep = b'{"body": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert desk.answer("create", deep, {}).headers["Jobwright-Status"] == "400"


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ({"token": "\u00e9"}, {}),
        ({}, {"Authorization": "Bearer \u00e9"}),
        ({}, {"Idempotency-Key": "a\nb"}),
        ({}, {"X-Request-ID": "\u4e00"}),
    ],
)
def test_what_no_header_can_have_is_refused(bus_services: Services, message: dict[str, Any], headers: dict[str, str]) -> None:
    answer = CommandDesk(lambda: create_api(bus_services)).answer("list", json.dumps(message).encode(), headers)
    assert (answer.headers["Jobwright-Status"], "printable ASCII" in json.loads(answer.data)["detail"]) == ("400", True)


def test_a_revoked_token_is_refused_and_no_token_is_written_anywhere(
    bus: Bus, bus_services: Services, store: Store, talk: Talk, token: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert talk.command("create", {"token": token, "body": DAILY}).status == 201
    (row,) = bus_services.tokens.all(SYSTEM)
    bus_services.tokens.revoke(SYSTEM, row["_id"])
    refused = talk.command("trigger", {"token": token, "job": "nightly"})
    assert (refused.status, refused.body["type"]) == (401, "/api/problems/not-signed-in")
    wrong = {"token": [token], "job": "nightly"}
    assert talk.command("trigger", wrong).status == 422
    assert store.database["job_executions"].count_documents({}) == 0
    written = capfd.readouterr()
    assert token not in written.err + written.out
    stored = [str(row) for name in store.database.list_collection_names() for row in store.database[name].find()]
    assert not any(token in row for row in stored)
    assert not any(token in json.dumps(event) for event in talk.events())


def test_a_command_without_a_reply_subject_is_carried_out(bus: Bus, store: Store, nats_server: NatsServer, token: str) -> None:
    async def send() -> None:
        client = await nats.connect(nats_server.url)
        await client.publish(f"{bus.prefix}.commands.create", json.dumps({"token": token, "body": DAILY}).encode())
        await client.publish(f"{bus.prefix}.commands.create", b"\x00\xff")
        await client.close()

    asyncio.run(send())
    eventually(lambda: store.database["dynamic_jobs"].count_documents({"name": "nightly"}) == 1)


def test_the_message_wins_over_the_headers(bus: Bus, talk: Talk, token: str) -> None:
    answer = talk.command("list", {"token": "jw_wrong"}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 401


def test_a_client_may_name_its_request(bus: Bus, talk: Talk, token: str) -> None:
    answer = talk.command("list", {"token": token}, headers={"X-Request-Id": "mine-7"})
    assert answer.headers["X-Request-Id"] == "mine-7"


def test_each_command_is_answered_by_one_of_many_nodes(
    bus: Bus, bus_services: Services, bus_settings: Settings, talk: Talk, token: str
) -> None:
    others = [build_bus(replace(bus_settings), bus_services) for _ in range(2)]
    try:
        for other in others:
            assert other is not None
            other.start()
            eventually(other.takes_events)
        for number in range(12):
            assert talk.command("create", {"token": token, "body": {**DAILY, "name": f"job {number}"}}).status == 201
        jobs = talk.command("list", {"token": token, "query": {"limit": 50}}).body["jobs"]
        assert len(jobs) == 12, "none was answered twice: the second answer would have been a conflict"
    finally:
        for other in others:
            assert other is not None
            other.close()


def test_a_node_with_too_many_commands_says_so_at_once(nats_server: NatsServer, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_COMMANDS", 2)
    taken, go_on = threading.Semaphore(0), threading.Event()

    def answer(name: str, data: bytes, headers: Mapping[str, str]) -> Reply:
        taken.release()
        go_on.wait(60)
        return Reply(data=b"{}", headers={STATUS: "200"})

    bus = Bus([nats_server.url], prefix=talk.prefix, answer=answer, on_return=lambda: None, clock=SystemClock())
    bus.start()
    try:
        eventually(bus.takes_events)
        with ThreadPoolExecutor(2) as others:
            waiting = [others.submit(talk.command, "list") for _ in range(2)]
            assert all(taken.acquire(timeout=30) for _ in waiting)
            refused = talk.command("list")
            assert (refused.status, refused.body["status"], refused.headers["Retry-After"]) == (503, 503, "1")
            assert "2 commands" in refused.body["detail"]
            go_on.set()
            assert [command.result(30).status for command in waiting] == [200, 200]
        assert talk.command("list").status == 200, "there is room again"
    finally:
        go_on.set()
        bus.close()


def test_every_command_of_the_catalogue_is_tried_here() -> None:
    assert set(COMMANDS) == {"create", "update", "pause", "resume", "trigger", "cancel", "delete", "list"}
