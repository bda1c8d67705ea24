"""Inbound addresses by REST, and what becomes of deliveries to them, over the real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app.accounts.model import Role, Scope
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.errors import Forbidden, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.factory import Store
from app.integrations.inbound.model import Outcome
from app.jobs.model import Job
from app.services import Services
from tests.builders.webhooks import Sender, hook_job
from tests.conftest import Api
from tests.support import PASSWORD

JOBS = "/api/admin/scheduler-jobs"


@pytest.fixture
def job(services: Services, super_admin: Actor) -> Job:
    return hook_job(services, super_admin)


def address(services: Services, actor: Actor, job: Job, **fields: Any) -> Any:
    return services.inbound.create(actor, job.id, {"name": "sender", "proof": "secret", **fields})


def last(services: Services, job: Job) -> Any:
    return services.inbound.deliveries(SYSTEM, job.id)[0]


@pytest.mark.parametrize("proof", ["secret", "standard", "github"])
def test_an_address_is_created_used_and_deleted_by_rest(api: Api, app: Flask, job: Job, services: Services, proof: str) -> None:
    path = f"{JOBS}/{job.id}/inbound"
    limits = {"rate_per_minute": 60.0, "max_bytes": 1_000.0}  # a client may write whole numbers so
    created = api("POST", path, {"name": " Shop ", "proof": proof, "parameters": {"seconds": "{{ payload.seconds }}"}, **limits})
    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    answer = created.get_json()
    assert answer["url"].startswith("http://localhost/api/inbound/jwi_")
    assert ("key" in answer) == (proof != "secret")
    assert answer["address"]["name"] == "Shop"
    one = f"{path}/{answer['address']['id']}"
    assert created.headers["Location"] == one
    listed = api("GET", path).get_json()["addresses"]
    assert listed == [answer["address"]]
    assert set(listed[0]) & {"digest", "keys", "key", "url", "secret"} == set()

    sent = Sender.of_answer(app, answer)({"seconds": 1})
    assert sent.status_code == 202
    received = sent.get_json()
    assert received["outcome"] == "accepted"
    execution = api("GET", f"/api/admin/job-executions/{received['execution_id']}").get_json()["execution"]
    assert (execution["triggered_by"], execution["triggered_by_user"]) == ("webhook", "webhook:Shop")
    assert execution["parameters"] == {"seconds": 1}
    (delivery,) = api("GET", f"{path}/deliveries").get_json()["deliveries"]
    assert (delivery["outcome"], delivery["execution_id"], delivery["body"]) == ("accepted", received["execution_id"], '{"seconds": 1}')
    assert delivery["sender"] == "127.0.0.1"
    assert api("GET", one).get_json()["address"]["accepted"] == 1

    assert api("DELETE", one).status_code == 200
    assert api("GET", one).status_code == 404
    assert Sender.of_answer(app, answer)({"seconds": 1}).status_code == 404


def test_wrong_settings_are_told_at_their_fields(api: Api, job: Job) -> None:
    body = {
        "name": "",
        "proof": "none",
        "parameters": {"file": "{{ payload.", "nothing": 1, "secret": "plain"},
        "rate_per_minute": 0,
        "max_bytes": 2_000_000,
        "events": [""],
        "more": 1,
    }
    answer = api("POST", f"{JOBS}/{job.id}/inbound", body)
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.get_json()["errors"]) == [
        "/events/0",
        "/max_bytes",
        "/more",
        "/name",
        "/parameters/file",
        "/parameters/nothing",
        "/parameters/secret",
        "/proof",
        "/rate_per_minute",
    ]
    for proof, key in (("secret", "x" * 20), ("github", "short"), ("standard", "not base64")):
        answer = api("POST", f"{JOBS}/{job.id}/inbound", {"name": "x", "proof": proof, "key": key})
        assert [error["pointer"] for error in answer.get_json()["errors"]] == ["/key"]


def test_a_change_names_its_version_and_takes_the_address_over(api: Api, admin_api: Api, job: Job, services: Services) -> None:
    path = f"{JOBS}/{job.id}/inbound"
    one = f"{path}/{api('POST', path, {'name': 'a', 'proof': 'secret'}).get_json()['address']['id']}"
    changed = admin_api("PUT", one, {"rate_per_minute": 5}, If_Match='"1"')
    assert changed.status_code == 200
    assert (changed.get_json()["address"]["rate_per_minute"], changed.get_json()["address"]["owner"]) == (5, "ada@example.com")
    stale = api("PUT", one, {"rate_per_minute": 6}, If_Match='"1"')
    assert (stale.status_code, stale.get_json()["actual_version"]) == (412, 2)
    assert api("PUT", one, {"proof": "github"}).status_code == 422
    events = services.audit.history(AuditFilter(kind="job", target_id=job.id, action="inbound"))
    assert [event["action"] for event in events] == ["inbound.update", "inbound.create"]
    assert events[0]["diff"] == [{"field": "/inbound/a/rate_per_minute", "before": 60, "after": 5}]


def test_a_secret_is_rotated_at_once_and_a_key_with_an_overlap(
    app: Flask, services: Services, super_admin: Actor, job: Job, clock: ManualClock, store: Store
) -> None:
    shown = address(services, super_admin, job, proof="github")
    old = Sender.to(app, shown)
    rotated = services.inbound.rotate(super_admin, job.id, shown.address.id, {"what": "key"})
    assert (rotated.secret, bool(rotated.key)) == ("", True)
    new = replace(old, key=rotated.key)
    assert (new({"n": 1}).status_code, old({"n": 2}).status_code) == (202, 202)
    clock.advance(86_400)
    assert (new({"n": 3}).status_code, old({"n": 4}).status_code) == (202, 401)
    moved = services.inbound.rotate(super_admin, job.id, shown.address.id, {})
    assert new({"n": 5}).status_code == 404
    assert replace(new, secret=moved.secret)({"n": 6}).status_code == 202
    own = services.inbound.rotate(super_admin, job.id, shown.address.id, {"what": "key", "key": "a signing key of my own"})
    assert own.key == ""
    assert replace(new, secret=moved.secret, key="a signing key of my own")({"n": 7}).status_code == 202
    stored = str(list(store.database["inbound_addresses"].find()))
    for secret in (shown.secret, moved.secret, shown.key, rotated.key, "a signing key of my own"):
        assert secret not in stored
    with pytest.raises(ValidationFailed):
        services.inbound.rotate(super_admin, job.id, shown.address.id, {"key": "belongs to a key"})
    plain = address(services, super_admin, job)
    with pytest.raises(ValidationFailed):
        services.inbound.rotate(super_admin, job.id, plain.address.id, {"what": "key"})


def test_parameters_are_judged_by_the_schema_at_their_fields(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = Sender.to(app, address(services, super_admin, job, parameters={"seconds": "{{ payload.s }}", "file": "{{ payload.f }}"}))
    answer = send({"s": "soon", "f": 7})
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.get_json()["errors"]) == ["/parameters/file", "/parameters/seconds"]
    delivery = last(services, job)
    assert (delivery.outcome, delivery.status, delivery.execution_id) == (Outcome.REFUSED, 422, None)
    assert sorted(error.pointer for error in delivery.errors) == ["/parameters/file", "/parameters/seconds"]
    assert send({"s": 9_223_372_036_854_775_808, "f": "x"}).status_code == 422
    assert send({"s": 1, "f": "forbidden"}).get_json()["errors"] == [{"pointer": "/parameters/file", "detail": "must not be forbidden"}]


def test_a_secret_parameter_from_the_payload_is_stored_nowhere(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store
) -> None:
    send = Sender.to(app, address(services, super_admin, job, parameters={"secret": "{{ payload.s }}"}))
    run = send({"s": "hunter2hunter2", "note": "it is hunter2hunter2"}).get_json()["execution_id"]
    assert services.history.get(super_admin, run).parameters["secret"] == {"$secret": "set"}
    for name in store.database.list_collection_names():
        assert "hunter2hunter2" not in str(list(store.database[name].find())), name


@pytest.mark.parametrize(
    ("hinder", "reason"),
    [
        (lambda s, a, j: s.jobs.set_enabled(a, j.id, enabled=False), "The job is disabled"),
        (
            lambda s, a, j: (
                s.jobs.update(a, j.id, {"schedule": {"type": "cron", "expression": "0 2 * * *"}}),
                s.pausing.pause(a, j.id, {"reason": "x"}),
            ),
            "The job is paused",
        ),
        (
            lambda s, a, j: (
                s.calendars.create(a, "closed", {"timezone": "UTC", "weekly": [{"days": ["mon"], "from": "11:00", "to": "13:00"}]}),
                s.jobs.update(a, j.id, {"schedule": {"type": "manual", "calendars": ["closed"]}}),
            ),
            "A blackout calendar of the job covers this time",
        ),
        (
            lambda s, a, j: s.jobs.update(a, j.id, {"overlap": "skip"}) and s.runs.run_now(a, j.id),
            "'hook' is already running or waiting to run",
        ),
    ],
)
def test_a_job_that_does_not_run_now_refuses_with_the_reason(
    app: Flask, services: Services, super_admin: Actor, job: Job, hinder: Any, reason: str
) -> None:
    send = Sender.to(app, address(services, super_admin, job))
    hinder(services, super_admin, job)
    answer = send(delivery="same")
    assert (answer.status_code, answer.get_json()["detail"]) == (409, reason)
    assert str(last(services, job).reason) == reason


def test_a_refused_delivery_may_come_again(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = Sender.to(app, address(services, super_admin, job, proof="github"))
    services.jobs.set_enabled(super_admin, job.id, enabled=False)
    assert send({"n": 1}).status_code == 409
    services.jobs.set_enabled(super_admin, job.id, enabled=True)
    assert send({"n": 1}).status_code == 202


def test_the_limit_of_the_job_is_told_with_the_time_to_wait(app: Flask, services: Services, super_admin: Actor) -> None:
    job = hook_job(services, super_admin, name="limited", run_limit={"runs": 1, "seconds": 600})
    send = Sender.to(app, address(services, super_admin, job))
    run = send().get_json()["execution_id"]
    services.runs._queue._executions.update_one({"_id": run}, {"$set": {"started_at": services.clock.now()}})
    answer = send()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "600")


def test_the_run_has_the_rights_of_the_account_and_loses_them_with_it(
    app: Flask, services: Services, super_admin: Actor, admin: Actor
) -> None:
    job = hook_job(services, super_admin, group="ops")
    services.accounts.change(super_admin, admin.id, {"groups": ["ops"]})
    send = Sender.to(app, address(services, replace(admin, groups=frozenset({"ops"})), job))
    assert send().status_code == 202
    services.accounts.change(super_admin, admin.id, {"groups": ["other"]})
    answer = send()
    assert (answer.status_code, answer.get_json()["detail"]) == (409, "The job is deleted, or ada@example.com may no longer run it")
    services.accounts.change(super_admin, admin.id, {"groups": [], "role": "user"})
    assert send().status_code == 409
    services.accounts.change(super_admin, admin.id, {"role": "admin", "disabled": True})
    answer = send()
    assert answer.get_json()["detail"] == "ada@example.com may no longer run jobs. Somebody who may has to save this address again"


def test_people_see_and_change_addresses_of_their_groups_only(services: Services, super_admin: Actor, admin: Actor) -> None:
    job = hook_job(services, super_admin, group="ops")
    shown = address(services, super_admin, job)
    stranger = replace(admin, groups=frozenset({"other"}))
    for call in (
        lambda: services.inbound.of(stranger, job.id),
        lambda: services.inbound.deliveries(stranger, job.id),
        lambda: address(services, stranger, job),
        lambda: services.inbound.change(stranger, job.id, shown.address.id, {"enabled": False}),
        lambda: services.inbound.rotate(stranger, job.id, shown.address.id, {}),
        lambda: services.inbound.delete(stranger, job.id, shown.address.id),
    ):
        with pytest.raises(NotFound):
            call()
    other = hook_job(services, super_admin, name="other")
    with pytest.raises(NotFound):
        services.inbound.get(super_admin, other.id, shown.address.id)
    with pytest.raises(Forbidden):
        address(services, replace(admin, scopes=frozenset({Scope.WRITE.value})), job)


def test_a_destructive_run_waits_for_approval_and_runs_as_the_webhook(
    app: Flask, services: Services, super_admin: Actor, admin: Actor
) -> None:
    """An address that a super-admin made, and an admin changed, has the rights of the admin."""
    parameters = {"connection": "db", "collection": "c", "condition": {"a": 1}}
    settings = {"uri": "mongodb://127.0.0.1:1", "database": "x"}
    services.connections.create(super_admin, name="db", kind="mongodb", settings=settings)
    job = hook_job(services, super_admin, template_type="database_cleanup", parameters=parameters)
    shown = address(services, super_admin, job, name="purge")
    services.inbound.change(admin, job.id, shown.address.id, {"rate_per_minute": 30})
    send = Sender.to(app, shown)
    answer = send(delivery="d1")
    assert (answer.status_code, answer.get_json()["outcome"]) == (202, "waiting")
    approval = services.approvals.get(super_admin, answer.get_json()["approval_id"])
    assert (approval["operation"], approval["requested_by"]["email"], approval["via"]) == ("job.run", "ada@example.com", "webhook")
    again = send(delivery="d1").get_json()
    assert (again["outcome"], again["approval_id"]) == ("repeated", approval["_id"])
    done = services.approvals.approve(super_admin, approval["_id"])
    run = services.history.get(super_admin, done["result"]["id"])
    assert run.triggered_by == "webhook"


def test_events_of_github_are_chosen(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = Sender.to(app, address(services, super_admin, job, proof="github", events=["push"]))
    for event, status, outcome in (("ping", 200, "ignored"), ("issues", 200, "ignored"), ("push", 202, "accepted")):
        answer = send({"event": event}, X_GitHub_Event=event)
        assert (answer.status_code, answer.get_json()["outcome"]) == (status, outcome)
    assert services.history.page(super_admin, ExecutionFilter(job_id=job.id), page=1, limit=10).total == 1


def test_runs_are_audited_with_the_account_the_way_and_the_sender(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    Sender.to(app, address(services, super_admin, job))(X_Request_Id="of-the-sender")
    (event,) = services.audit.history(AuditFilter(kind="job", target_id=job.id, action="job.run"))
    assert (event["via"], event["actor"]["email"], event["address"]) == ("webhook", super_admin.email, "127.0.0.1")
    assert event["correlation_id"] == "of-the-sender"


def test_a_deleted_job_has_no_addresses_until_it_is_restored(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = Sender.to(app, address(services, super_admin, job))
    services.runs.delete_job(super_admin, job.id)
    assert send().status_code == 409
    services.jobs.undelete(super_admin, job.id)
    assert send().status_code == 202


def test_only_the_last_deliveries_are_kept(
    app: Flask, services: Services, super_admin: Actor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.integrations.inbound.delivery_store.KEPT", 3)
    job = hook_job(services, super_admin, overlap="queue")
    send = Sender.to(app, address(services, super_admin, job))
    for _ in range(5):
        assert send().status_code == 202
        clock.advance(1)
    deliveries = services.inbound.deliveries(super_admin, job.id)
    assert [delivery.body for delivery in deliveries] == ['{"n": 5}', '{"n": 4}', '{"n": 3}']


def test_a_job_has_a_limited_number_of_addresses(services: Services, super_admin: Actor, job: Job) -> None:
    for number in range(10):
        address(services, super_admin, job, name=f"a{number}")
    with pytest.raises(LimitReached):
        address(services, super_admin, job, name="one more")


def test_two_people_who_change_an_address_at_once(services: Services, super_admin: Actor, job: Job) -> None:
    shown = address(services, super_admin, job)
    with pytest.raises(StaleVersion):
        services.inbound.change(super_admin, job.id, shown.address.id, {"enabled": False}, version=7)
    stores = services.inbound._addresses
    assert stores.change(shown.address.id, 1, {"enabled": False}) is not None
    assert stores.change(shown.address.id, 1, {"enabled": True}) is None


def test_a_delivery_whose_process_was_killed_is_taken_over(
    app: Flask, services: Services, super_admin: Actor, job: Job, clock: ManualClock
) -> None:
    send = Sender.to(app, address(services, super_admin, job, proof="standard"))
    reception = services.reception
    finish = reception._repeats.finish
    reception._repeats.finish = lambda *_: None  # type: ignore[method-assign,assignment]
    first = send({"n": 1}, delivery="m1").get_json()["execution_id"]
    reception._repeats.finish = finish  # type: ignore[method-assign]
    moment = datetime.now(UTC) + timedelta(seconds=2)
    assert send({"n": 1}, delivery="m1", at=moment).status_code == 409
    clock.advance(61)
    assert send({"n": 1}, delivery="m1", at=moment).get_json()["execution_id"] == first, "no second run"


def test_an_account_that_is_no_longer_there(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    user = services.accounts.create_user(SYSTEM, email="gone@example.com", password=PASSWORD, role=Role.ADMIN)
    owner = Actor(id=user.id, email=user.email, role="admin", via="web")
    send = Sender.to(app, address(services, owner, job))
    store.database["users"].delete_one({"_id": user.id})
    assert send().status_code == 409
    assert str(last(services, job).reason).startswith("gone@example.com may no longer run jobs")


@pytest.mark.parametrize(
    "payload",
    [
        {"s": "hunter2hunter2"},  # the file is missing
        {"s": "hunter2hunter2", "file": "forbidden"},  # the template refuses the file
        {"s": {"inner": "hunter2hunter2"}, "file": "x"},  # the secret is not a text
    ],
)
def test_a_secret_of_a_refused_delivery_is_stored_nowhere(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store, payload: Any
) -> None:
    mapping = {"secret": "{{ payload.s }}", "file": "{{ payload.file }}"}
    send = Sender.to(app, address(services, super_admin, job, parameters=mapping))
    answer = send(payload)
    assert answer.status_code == 422
    assert "hunter2" not in answer.get_data(as_text=True)
    assert last(services, job).body.count("•••") == 1
    for name in store.database.list_collection_names():
        assert "hunter2hunter2" not in str(list(store.database[name].find())), name
