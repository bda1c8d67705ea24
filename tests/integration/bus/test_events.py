"""What runs and changes become on the stream of a real nats-server: CloudEvents, each once, in order for each execution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.config import Settings
from app.errors import JobwrightError
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node
from app.integrations.nats.catalogue import KINDS
from app.node.node import Node
from app.services import Services
from tests.integration.bus.talk import Talk
from tests.support import PASSWORD, eventually

SCHEMAS = {f"jobwright.{kind.name}": Draft202012Validator(kind.data) for kind in KINDS}


@pytest.fixture
def node(store: Store, bus_settings: Settings, bus_services: Services) -> Iterator[Node]:
    node = build_node(bus_settings, store, bus_services, InlineExecutor(bus_settings))
    node.start()
    assert node.planning.parts.bus is not None
    eventually(node.planning.parts.bus.takes_events)
    yield node
    node.drain(5)


@pytest.fixture
def boss(bus_services: Services) -> Actor:
    user = bus_services.accounts.create_user(SYSTEM, email="boss@example.com", password=PASSWORD, role=Role.SUPER_ADMIN)
    return Actor(id=user.id, email=user.email, role="super_admin", via="api")


def settled(store: Store) -> bool:
    """Nothing runs and nothing is owed any more."""
    live = store.database["job_executions"].count_documents({"$or": [{"live": True}, {"owed": {"$exists": True}}]})
    return not live and not store.database["domain_events"].count_documents({"owed": {"$exists": True}})


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("jobwright.") for event in events]


def test_the_events_of_a_run_come_in_order(node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk) -> None:
    job, _ = bus_services.jobs.create(boss, {"name": "plain", "template_type": "noop", "tags": ["a"]})
    run = bus_services.runs.run_now(boss, job.id)
    eventually(lambda: settled(store))
    started, ended = talk.events(run.id)
    assert kinds([started, ended]) == ["execution.started", "execution.success"]
    assert (started["data"]["status"], started["data"]["attempt"]) == ("running", 1)
    assert ended["data"] == {
        **ended["data"],
        "execution_id": run.id,
        "job_id": job.id,
        "job_name": "plain",
        "status": "success",
        "attempt": 1,
        "triggered_by": "api",
        "triggered_by_user": "boss@example.com",
        "error": None,
    }
    assert ended["data"]["result"]
    (created,) = talk.events(job.id)
    assert (kinds([created]), created["data"]["version"], created["data"]["tags"]) == (["job.created"], 1, ["a"])
    for event, message in talk.messages():
        assert message.headers["Nats-Msg-Id"] == event["id"]
        assert message.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
        assert message.subject == f"{talk.prefix}.events.{event['type'].removeprefix('jobwright.')}"
        assert (event["specversion"], event["source"]) == ("1.0", f"urn:{talk.prefix}")
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        SCHEMAS[event["type"]].validate(event["data"])


def test_a_retried_run_tells_each_attempt(node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk) -> None:
    policy = {"max_retries": 3, "retry_delay_seconds": 1, "backoff": "fixed"}
    body = {"name": "third", "template_type": "misbehave", "parameters": {"how": "until_third"}, "retry_policy": policy}
    job, _ = bus_services.jobs.create(boss, body)
    run = bus_services.runs.run_now(boss, job.id)
    eventually(lambda: settled(store))
    events = talk.events(run.id)
    expected = ["execution.started", "execution.retrying"] * 2 + ["execution.started", "execution.success"]
    assert kinds(events) == expected
    assert [event["data"]["attempt"] for event in events] == [1, 1, 2, 2, 3, 3]
    assert events[1]["data"]["error"]["message"] == "attempt 1 fails"
    assert "traceback" not in events[1]["data"]["error"]
    assert len({event["id"] for event in events}) == 6
    for event in events:
        SCHEMAS[event["type"]].validate(event["data"])


def test_failures_cancels_and_skips_are_told_with_their_reason(
    node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk
) -> None:
    wrong = {"template_type": "misbehave", "parameters": {"how": "permanent"}}
    failing, _ = bus_services.jobs.create(boss, {"name": "failing", **wrong})
    failed = bus_services.runs.run_now(boss, failing.id)
    eventually(lambda: settled(store))
    (_, event) = talk.events(failed.id)
    assert (kinds([event]), event["data"]["error"]["message"]) == (["execution.failed"], "never")
    assert event["data"]["result"] == {"done": 3}


def test_changes_of_jobs_are_told(node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk) -> None:
    boss = replace(boss, correlation_id="request-1")
    daily = {"type": "interval", "interval_seconds": 86_400}
    job, _ = bus_services.jobs.create(boss, {"name": "changing", "template_type": "noop", "schedule": daily})
    bus_services.jobs.update(boss, job.id, {"priority": 9, "tags": ["t"]})
    bus_services.shadowing.begin(boss, job.id, {"reason": "trying out"})
    bus_services.shadowing.end(boss, job.id)
    bus_services.pausing.pause(boss, job.id, {"reason": "freeze"})
    bus_services.pausing.resume(boss, job.id)
    bus_services.jobs.set_enabled(boss, job.id, enabled=False)
    bus_services.jobs.set_enabled(boss, job.id, enabled=True)
    bus_services.runs.delete_job(boss, job.id)
    bus_services.jobs.undelete(boss, job.id)
    eventually(lambda: settled(store))
    events = talk.events(job.id)
    names = ["created", "updated", "updated", "updated", "paused", "resumed", "disabled", "enabled", "deleted", "restored"]
    assert sorted(kinds(events)) == sorted(f"job.{name}" for name in names)
    updated = [event["data"]["changed"] for event in events if event["type"] == "jobwright.job.updated"]
    assert sorted(map(sorted, updated)) == [["priority", "tags"], ["shadow"], ["shadow"]]
    for event in events:
        assert event["data"]["correlation_id"] == "request-1"
        SCHEMAS[event["type"]].validate(event["data"])
        assert "parameters" not in event["data"]


def test_what_becomes_of_registered_jobs_is_told(node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk) -> None:
    registered = {"name": "digest", "cronExpression": "0 9 * * 1"}
    manifest = {"version": "1", "address": "https://mail.example.com", "jobs": [registered]}
    for version, jobs in enumerate(([registered], [], [{**registered, "group": "mail"}])):
        bus_services.registration.put_manifest(boss, "mail", {**manifest, "version": f"{version}", "jobs": jobs})
    (job,) = bus_services.registrations.of_service("mail")
    eventually(lambda: settled(store))
    events = talk.events(job.id)
    assert sorted(kinds(events)) == ["job.created", "job.deleted", "job.restored"]
    assert next(event for event in events if event["type"] == "jobwright.job.restored")["data"]["changed"] == ["group"]
    for event in events:
        SCHEMAS[event["type"]].validate(event["data"])


def test_a_refused_change_is_no_event(node: Node, store: Store, bus_services: Services, boss: Actor, talk: Talk) -> None:
    job, _ = bus_services.jobs.create(boss, {"name": "a", "template_type": "noop"})
    with pytest.raises(JobwrightError):
        bus_services.jobs.update(boss, job.id, {"priority": 3}, version=7)
    store.database["domain_events"].update_many({"owed": {"$exists": True}}, {"$set": {"owed.$[].at": datetime.now(UTC)}})
    eventually(lambda: settled(store))
    assert kinds(talk.events(job.id)) == ["job.created"]
