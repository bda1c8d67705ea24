"""An admin who is kept to groups: every endpoint that names a job or an execution, with one of theirs and with another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app.accounts.signin import Visitor
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.errors import ApprovalNeeded, NotFound, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.execution.regroup import LATE_WRITES, Regroup
from app.factory import Store
from app.jobs.filters import JobFilter
from app.jobs.list_store import ListStore
from app.outbox.carrier import Carrier
from app.outbox.event_store import event_outbox
from app.outbox.events import StoredEvent
from app.queue.store import QueueStore
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import Queue, failure, new_execution
from tests.conftest import app_of
from tests.security.test_matrix import BODIES, BOTH, OWN_REQUEST, REST, WEB, address

BOSS = replace(SYSTEM, id="boss", email="boss@example.com")
HOURLY = {"type": "cron", "expression": "0 * * * *"}
NAMED = ("<job_id>", "<job_name>", "<schedule_id>", "<execution_id>", "<approval_id>")


@pytest.fixture
def kept(services: Services) -> Actor:
    user, _ = services.accounts.add(SYSTEM, {"email": "kept@example.com", "role": "admin", "groups": ["north"]})
    return Actor(id=user.id, email=user.email, role="admin", via="web", groups=frozenset({"north"}))


def things(services: Services, store: Store, group: str, asker: Actor) -> dict[str, str]:
    """A job of a group, a note on it, an execution of it with a mail that was given up, and a request about it."""
    body = {"name": f"of {group}", "template_type": "noop", "schedule": HOURLY, "overlap": "allow", "group": group}
    job = services.jobs.create(BOSS, body)[0]
    run = services.runs.run_now(BOSS, job.id)
    owed = {"what": "notify", "at": None, "tries": 5, "error": "refused", "given_up_at": run.queued_at}
    store.database["job_executions"].update_one({"_id": run.id}, {"$set": {"owed": [owed]}})
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(asker, {"name": f"d {group}", "template_type": "misbehave", "parameters": {"how": "raise"}, "group": group})
    asked = services.approvals.ask(asker, needed.value.ask)
    note = services.notes.add(BOSS, job.id, "a note")
    return {
        "job_id": job.id,
        "job_name": job.definition.name,
        "schedule_id": job.id,
        "address_id": services.inbound.create(BOSS, job.id, {"name": f"of {group}", "proof": "secret"}).address.id,
        "execution_id": run.id,
        "approval_id": asked["_id"],
        "note_id": note.id,
        "what": "notify",
        "name": "x",
        "kind": "noop",
        "filename": "app.css",
    }


@pytest.fixture
def both(services: Services, store: Store, kept: Actor, admin: Actor) -> dict[str, dict[str, str]]:
    return {"north": things(services, store, "north", kept), "south": things(services, store, "south", admin)}


def narrow(rules: Any) -> list[tuple[str, str]]:
    return sorted((method, rule) for method, rule in rules if any(name in rule for name in NAMED))


@pytest.mark.parametrize(("method", "rule"), narrow({**REST, **BOTH, OWN_REQUEST: None}), ids=str)
def test_rest(method: str, rule: str, app: Flask, services: Services, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    token = services.tokens.create(SYSTEM, email=kept.email, name="t")
    headers = {"Authorization": f"Bearer {token}"}
    body = BODIES.get((method, rule))
    foreign = app.test_client().open(address(rule, both["south"]), method=method, json=body, headers=headers)
    own = app.test_client().open(address(rule, both["north"]), method=method, json=body, headers=headers)
    if "approve" in rule or "refuse" in rule:  # a super-admin's, whose groups do not keep them
        assert (foreign.status_code, own.status_code) == (403, 403)
        return
    assert foreign.status_code == 404
    assert b"of south" not in foreign.data or "<job_name>" in rule  # it repeats what was asked for
    assert own.status_code not in {403, 404, 500} or "<note_id>" in rule  # a note is its author's


@pytest.mark.parametrize(("method", "rule"), narrow(WEB), ids=str)
def test_pages(method: str, rule: str, services: Services, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    app = app_of(services, csrf=False)
    client = app.test_client()
    with client.session_transaction() as session:
        session["s"] = services.signin.admit(services.accounts.get(SYSTEM, kept.id), Visitor("192.0.2.1"), "test").secret
    data = {} if method == "POST" else None
    foreign = client.open(address(rule, both["south"]), method=method, data=data)
    own = client.open(address(rule, both["north"]), method=method, data=data)
    assert foreign.status_code == (403 if "decision" in rule or "/impact/" in rule else 404)  # a super-admin's
    assert b"of south" not in foreign.data
    assert own.status_code not in {404, 500}


def test_lists_hold_ones_own_alone(services: Services, store: Store, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    now = services.clock.now()
    owed = [{"what": "regroup", "at": None, "tries": 5, "error": "of south", "given_up_at": now}]
    event = {"_id": "e", "kind": "job_changed", "at": now, "details": {"job_id": both["south"]["job_id"], "changed": ["group"]}}
    store.database["domain_events"].insert_one({**event, "owed": owed})
    assert [job.definition.name for job in services.directory.page(kept, JobFilter()).items] == ["of north"]
    assert services.directory.page(kept, JobFilter(group="south")).total == 0
    assert services.directory.names(kept, limit=10) == ["of north"]
    assert services.directory.groups(kept) == ["north"]
    assert {row.job_name for row in services.history.page(kept).items if not row.dry} == {"of north"}
    assert services.history.page(kept, ExecutionFilter(job_id=both["south"]["job_id"])).total == 0
    assert services.history.latest(kept, both["south"]["job_id"]) == []
    assert [row["_id"] for row in services.approvals.page(kept).items] == [both["north"]["approval_id"]]
    assert {item.job_name for item in services.given_up.items(kept)} == {"of north"}
    assert services.approvals.waiting(kept) == 1
    assert services.approvals.waiting(BOSS) == 2


def test_a_job_cannot_be_made_in_or_moved_to_another_group(services: Services, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    for group in ("south", "", "North", "north "):
        with pytest.raises(ValidationFailed) as failed:
            services.jobs.create(kept, {"name": "n", "template_type": "noop", "group": group})
        assert [one.pointer for one in failed.value.errors] == ["/group"]
    with pytest.raises(ValidationFailed):
        services.jobs.create(kept, {"name": "n", "template_type": "noop"})
    with pytest.raises(ValidationFailed):
        services.jobs.update(kept, both["north"]["job_id"], {"group": "south"})
    with pytest.raises(ValidationFailed):
        services.jobs.validate(kept, {"name": "n", "template_type": "noop", "group": "south"})
    assert services.jobs.create(kept, {"name": "n", "template_type": "noop", "group": "north"})[1]


def test_the_history_of_a_retired_job_stays_with_its_group(services: Services, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    for one in both.values():
        services.jobs.delete(BOSS, one["job_id"])
    assert services.history.get(kept, both["north"]["execution_id"])
    with pytest.raises(NotFound):
        services.history.get(kept, both["south"]["execution_id"])
    with pytest.raises(NotFound):
        services.logs.read(kept, both["south"]["execution_id"])


def test_an_approved_request_of_one_who_is_moved_to_another_group_is_not_done(
    services: Services, kept: Actor, both: dict[str, dict[str, str]], super_admin: Actor
) -> None:
    services.accounts.change(SYSTEM, kept.id, {"groups": ["east"]})
    with pytest.raises(ValidationFailed):
        services.approvals.approve(super_admin, both["north"]["approval_id"])
    assert services.directory.page(BOSS, JobFilter(search="d north")).total == 0


def test_groups_hold_at_once_and_never_for_super_admins(services: Services, kept: Actor, both: dict[str, dict[str, str]]) -> None:
    signed = services.signin.admit(services.accounts.get(SYSTEM, kept.id), Visitor("192.0.2.1"), "test")
    seen = lambda: services.signin.by_session(signed.secret, address="192.0.2.1").groups
    assert seen() == {"north"}
    services.accounts.change(SYSTEM, kept.id, {"groups": ["south", "east"]})
    assert seen() == {"south", "east"}
    services.accounts.change(SYSTEM, kept.id, {"groups": []})
    assert seen() is None
    services.accounts.change(SYSTEM, kept.id, {"groups": ["south"], "role": "super_admin"})
    again = services.signin.admit(services.accounts.get(SYSTEM, kept.id), Visitor("192.0.2.1"), "test")
    assert services.signin.by_session(again.secret, address="192.0.2.1").groups is None


def regrouping(store: Store, clock: ManualClock) -> Carrier[StoredEvent]:
    return Carrier(event_outbox(store.database), Regroup(QueueStore(store.database, OWING), ListStore(store.database), clock), clock)


def shown_to(services: Services, actor: Actor, clock: ManualClock) -> set[str]:
    """The names of the jobs in all that tells of executions."""
    begin, end = clock.now() - timedelta(hours=2), clock.now() + timedelta(hours=1)
    overview = services.overview
    return {
        *(row.job_name for row in services.history.page(actor).items),
        *(row.job_name for row in services.attention.failing(actor).open),
        *(row.job_name for row in overview.drawn(actor, begin, end, 100)),
        *(row.job_name for row in overview.minutes(actor, begin, end)),
        *(row.execution.job_name for row in overview.running(actor)),
    }


def test_a_job_that_is_moved_to_another_group_is_gone_at_once_with_all_that_it_did(
    services: Services, store: Store, kept: Actor, clock: ManualClock
) -> None:
    other = replace(kept, groups=frozenset({"south"}))
    job = services.jobs.create(BOSS, {"name": "moved", "template_type": "noop", "overlap": "allow", "group": "north"})[0]
    queue = Queue(store.database)
    for _ in range(2):
        services.runs.run_now(BOSS, job.id)
    failed, _running = queue.claim_due(now=clock.now()), queue.claim_due(now=clock.now())
    queue.finish([(failed[0], failure(), None)], now=clock.now())
    store.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"last_status": "failed"}})
    assert shown_to(services, kept, clock) == {"moved"}
    services.jobs.update(BOSS, job.id, {"group": "south"})
    assert shown_to(services, kept, clock) == set(), "also while its executions still have the group from before"
    regrouping(store, clock).tick()
    assert shown_to(services, kept, clock) == set()
    assert shown_to(services, other, clock) == {"moved"}


def test_a_run_that_was_made_before_its_job_was_moved_and_written_after_it_goes_with_the_job(
    services: Services, store: Store, kept: Actor, clock: ManualClock
) -> None:
    other = replace(kept, groups=frozenset({"south"}))
    before = services.jobs.create(BOSS, {"name": "moved", "template_type": "noop", "group": "north"})[0]
    services.jobs.update(BOSS, before.id, {"group": "south"})
    carrier = regrouping(store, clock)
    carrier.tick()
    QueueStore(store.database, OWING).add([new_execution(before, now=clock.now())])
    clock.advance(LATE_WRITES.total_seconds())
    carrier.tick()
    assert shown_to(services, other, clock) == {"moved"}
    assert shown_to(services, kept, clock) == set()
    assert store.database["domain_events"].count_documents({"owed": {"$exists": True}}) == 0
