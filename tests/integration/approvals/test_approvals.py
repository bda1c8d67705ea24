"""Destructive work of an admin waits for another person (design.md, 6)."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.errors import ApprovalNeeded, Conflict, Forbidden, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.factory import Store, build_services
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.mongo import Document
from app.services import Services
from tests.conftest import START, Api, csrf
from tests.support import PASSWORD

JOBS, APPROVALS = "/api/admin/scheduler-jobs", "/api/admin/approvals"
DESTRUCTIVE: dict[str, Any] = {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}}


def asked(services: Services, actor: Actor, call: Any) -> Document:
    """The request that a call of an admin becomes."""
    with pytest.raises(ApprovalNeeded) as needed:
        call()
    return services.approvals.ask(actor, needed.value.ask)


@pytest.fixture
def second(services: Services) -> Actor:
    """Another super-admin."""
    user = services.accounts.create_user(SYSTEM, email="second@example.com", password=PASSWORD, role=Role.SUPER_ADMIN)
    return Actor(id=user.id, email=user.email, role="super_admin", via="api")


@pytest.fixture
def job(services: Services, super_admin: Actor) -> Job:
    return services.jobs.create(super_admin, DESTRUCTIVE)[0]


def test_nothing_happens_before_and_all_of_it_after(services: Services, admin: Actor, super_admin: Actor, store: Store) -> None:
    schedule = {"type": "cron", "expression": "0 3 * * *"}
    row = asked(services, admin, lambda: services.jobs.create(admin, {**DESTRUCTIVE, "schedule": schedule}))
    assert store.database["dynamic_jobs"].count_documents({}) == 0
    assert row["state"] == "pending"
    assert {"field": "/name", "after": "d"} in row["diff"]
    assert services.approvals.waiting(SYSTEM) == 1
    done = services.approvals.approve(super_admin, row["_id"], note="fine")
    made = services.jobs.get(admin, row["job_id"])
    assert (done["state"], done["decided_by"], done["note"]) == ("approved", super_admin.email, "fine")
    assert (made.definition.name, made.created_by, made.definition.enabled) == ("d", admin.email, True)
    assert made.next_run_at is not None
    assert services.approvals.waiting(SYSTEM) == 0
    event = services.audit.history(AuditFilter(action="job.create"))[0]
    assert (event["actor"]["email"], event["approved_by"]) == (admin.email, super_admin.email)
    assert services.audit.verify().breaks == ()


@pytest.fixture(params=[1, 2, 3])
def chain(services: Services, super_admin: Actor, request: pytest.FixtureRequest) -> tuple[Job, Job]:
    """An admin's harmless job, and a destructive one that runs after it over so many steps."""
    schedule = {"type": "cron", "expression": "0 * * * *"}
    first = services.jobs.create(super_admin, {"name": "harmless", "template_type": "noop", "schedule": schedule, "overlap": "allow"})[0]
    last = first
    for n in range(1, request.param):
        last = services.jobs.create(super_admin, {"name": f"step {n}", "template_type": "noop", "depends_on": [{"job": last.id}]})[0]
    return first, services.jobs.create(super_admin, {**DESTRUCTIVE, "depends_on": [{"job": last.id, "when": "end"}]})[0]


def waits(call: Any) -> bool:
    """Whether it is to wait, and nothing has happened."""
    try:
        call()
    except ApprovalNeeded as needed:
        return "destroy data" in needed.detail
    return False


def test_what_destructive_jobs_run_after_is_handled_as_they_are(
    services: Services, admin: Actor, super_admin: Actor, clock: ManualClock, chain: tuple[Job, Job]
) -> None:
    """An admin begins no destructive job by the way of a harmless one: by no door."""
    first, last = chain
    jobs, runs = services.jobs, services.runs
    ended = runs.run_now(super_admin, first.id)
    runs.cancel(super_admin, ended.id)
    jobs.update(super_admin, first.id, {"description": "second version"})
    clock.advance(7200)
    window = {"from": START.isoformat(), "to": clock.now().isoformat()}
    doors: dict[str, Any] = {
        "run": lambda: runs.run_now(admin, first.id),
        "run with": lambda: runs.run_now(admin, first.id, overrides={"seconds": 0}),
        "retry": lambda: runs.retry(admin, ended.id),
        "backfill": lambda: services.backfills.start(admin, first.id, window),
        "schedule": lambda: jobs.update(admin, first.id, {"schedule": {"type": "interval", "interval_seconds": 60}}),
        "template": lambda: jobs.update(admin, first.id, {"template_type": "test_scheduler"}),
        "chain": lambda: jobs.update(admin, first.id, {"depends_on": [{"job": other.id}]}),
        "restore": lambda: jobs.restore(admin, first.id, 1),
    }
    other = jobs.create(admin, {"name": "other", "template_type": "noop"})[0]
    assert {name for name, call in doors.items() if waits(call)} == set(doors)
    services.pausing.pause(admin, first.id, {"reason": "stopping needs nobody"})
    with pytest.raises(ApprovalNeeded):
        services.pausing.resume(admin, first.id)
    services.pausing.resume(super_admin, first.id)
    jobs.set_enabled(admin, first.id, enabled=False)
    with pytest.raises(ApprovalNeeded):
        jobs.set_enabled(admin, first.id, enabled=True)
    jobs.set_enabled(super_admin, first.id, enabled=True)
    jobs.delete(super_admin, last.id)
    assert runs.run_now(admin, first.id).status == "queued", "nothing that destroys runs after it any more"


def test_a_run_that_leads_to_destruction_is_done_once_a_super_admin_approves(
    api: Api, admin_api: Api, services: Services, chain: tuple[Job, Job]
) -> None:
    answer = admin_api("POST", f"{JOBS}/{chain[0].id}/run")
    assert answer.status_code == 202
    request = answer.json["approval"]["_id"]
    assert services.history.page(SYSTEM, ExecutionFilter()).total == 0
    bulk = admin_api("POST", f"{JOBS}/bulk", {"action": "run", "job_ids": [chain[0].id]}).json
    assert [one["result"] for one in bulk["items"]] == ["waits"]
    assert api("POST", f"{APPROVALS}/{request}/approve").status_code == 200
    rows = services.history.page(SYSTEM, ExecutionFilter()).items
    assert [(row.job_id, row.triggered_by_user) for row in rows] == [(chain[0].id, "ada@example.com")]


def test_taking_a_destructive_job_back_waits(
    admin_api: Api, api: Api, services: Services, admin: Actor, super_admin: Actor, job: Job
) -> None:
    services.jobs.delete(super_admin, job.id)
    answer = admin_api("POST", f"{JOBS}/{job.id}/undelete")
    assert answer.status_code == 202
    with pytest.raises(NotFound):
        services.jobs.get(super_admin, job.id)
    approve = f"{APPROVALS}/{answer.json['approval']['_id']}/approve"
    assert api("POST", approve).status_code == 200
    back = services.jobs.get(super_admin, job.id)
    assert (back.definition.enabled, back.updated_by) == (job.definition.enabled, admin.email)
    assert services.jobs.undelete(admin, job.id, version=back.version - 1).version == back.version, "done twice, it is done once"


def test_a_copy_of_a_destructive_job_waits(admin_api: Api, services: Services, super_admin: Actor, job: Job) -> None:
    assert admin_api("POST", f"{JOBS}/{job.id}/clone", {"name": "copy"}).status_code == 202
    assert [one.definition.name for one in services.directory.page(super_admin, JobFilter()).items] == ["d"]


def test_every_way_to_destroy_waits_and_every_way_to_stop_does_not(
    services: Services, admin: Actor, super_admin: Actor, clock: ManualClock
) -> None:
    body = {**DESTRUCTIVE, "schedule": {"type": "cron", "expression": "0 * * * *"}, "overlap": "allow"}
    job = services.jobs.create(super_admin, body)[0]
    ended = services.runs.run_now(super_admin, job.id)
    services.runs.cancel(admin, ended.id)  # stopping needs nobody
    clock.advance(7200)
    jobs, runs = services.jobs, services.runs
    window = {"from": START.isoformat(), "to": clock.now().isoformat()}
    for call in (
        lambda: jobs.update(admin, job.id, {"description": "x"}),
        lambda: jobs.delete(admin, job.id),
        lambda: runs.run_now(admin, job.id),
        lambda: runs.run_now(admin, job.id, overrides={"how": "exit"}),
        lambda: runs.retry(admin, ended.id),
        lambda: services.backfills.start(admin, job.id, window),
    ):
        asked(services, admin, call)
    services.pausing.pause(admin, job.id, {"reason": "stop"})
    asked(services, admin, lambda: services.pausing.resume(admin, job.id))
    jobs.set_enabled(admin, job.id, enabled=False)
    asked(services, admin, lambda: jobs.set_enabled(admin, job.id, enabled=True))
    assert services.approvals.waiting(SYSTEM) == 8
    assert services.history.page(admin, ExecutionFilter(job_id=job.id)).total == 1


def test_a_job_that_would_become_destructive_waits_too(services: Services, admin: Actor, super_admin: Actor) -> None:
    harmless = services.jobs.create(admin, {"name": "h", "template_type": "noop"})[0]
    change = {"template_type": "misbehave", "parameters": {"how": "raise"}}
    row = asked(services, admin, lambda: services.jobs.update(admin, harmless.id, change))
    services.approvals.approve(super_admin, row["_id"])
    assert services.jobs.get(admin, harmless.id).definition.template_type == "misbehave"
    back = {"template_type": "noop", "parameters": {}}
    asked(services, admin, lambda: services.jobs.update(admin, harmless.id, back))


@pytest.mark.parametrize("operation", ["update", "enable", "resume", "delete", "run", "retry", "backfill"])
def test_each_request_is_done_once_however_often_it_is_approved(
    services: Services, admin: Actor, super_admin: Actor, second: Actor, clock: ManualClock, store: Store, operation: str
) -> None:
    """Killed after the doing and before the record of it, a request is approved again by someone else, and nothing is done twice."""
    job = services.jobs.create(super_admin, {**DESTRUCTIVE, "schedule": {"type": "cron", "expression": "0 * * * *"}, "overlap": "allow"})[0]
    first = services.runs.run_now(super_admin, job.id)
    services.runs.cancel(super_admin, first.id)
    if operation == "enable":
        services.jobs.set_enabled(super_admin, job.id, enabled=False)
    if operation == "resume":
        services.pausing.pause(super_admin, job.id, {"reason": "x"})
    clock.advance(7200)
    window = {"from": START.isoformat(), "to": clock.now().isoformat()}
    calls: dict[str, Any] = {
        "update": lambda: services.jobs.update(admin, job.id, {"description": "new"}),
        "enable": lambda: services.jobs.set_enabled(admin, job.id, enabled=True),
        "resume": lambda: services.pausing.resume(admin, job.id),
        "delete": lambda: services.jobs.delete(admin, job.id),
        "run": lambda: services.runs.run_now(admin, job.id),
        "retry": lambda: services.runs.retry(admin, first.id),
        "backfill": lambda: services.backfills.start(admin, job.id, window),
    }
    row = asked(services, admin, calls[operation])
    services.approvals.approve(super_admin, row["_id"])
    before = state(store, job)
    store.database["approvals"].update_one({"_id": row["_id"]}, {"$set": {"state": "approving", "result": None}})
    with pytest.raises(Conflict):
        services.approvals.approve(second, row["_id"])  # someone is at work on it
    clock.advance(61)
    assert services.approvals.approve(second, row["_id"])["state"] == "approved"
    assert state(store, job) == before


def state(store: Store, job: Job) -> tuple[Any, Any]:
    row = store.database["dynamic_jobs"].find_one({"_id": job.id}, {"definition": 0, "updated_at": 0, "next_run_at": 0})
    return row, sorted(one["_id"] for one in store.database["job_executions"].find({"job_id": job.id}))


def test_nobody_approves_their_own(services: Services, admin: Actor, super_admin: Actor) -> None:
    row = asked(services, admin, lambda: services.jobs.create(admin, DESTRUCTIVE))
    services.accounts.change(super_admin, admin.id, {"role": "super_admin"})
    risen = replace(admin, role="super_admin")
    for decide in (services.approvals.approve, services.approvals.refuse):
        with pytest.raises(Forbidden, match="your own request"):
            decide(risen, row["_id"])
    assert services.approvals.get(admin, row["_id"])["state"] == "pending"


def test_admins_and_users_decide_nothing(services: Services, admin: Actor, admin_api: Api, app: Flask) -> None:
    row = asked(services, admin, lambda: services.jobs.create(admin, DESTRUCTIVE))
    other = services.accounts.create_user(SYSTEM, email="o@example.com", password=PASSWORD, role=Role.ADMIN)
    api = Api(app, services.tokens.create(SYSTEM, email=other.email, name="t"))
    assert api("GET", f"{APPROVALS}/{row['_id']}").status_code == 200
    for what in ("approve", "refuse", "withdraw"):
        assert api("POST", f"{APPROVALS}/{row['_id']}/{what}").status_code == 403, what
    assert admin_api("POST", f"{APPROVALS}/{row['_id']}/withdraw").json["approval"]["state"] == "withdrawn"


@pytest.mark.parametrize("how", ["refused", "withdrawn", "expired", "approved"])
def test_what_is_decided_stays_decided(
    services: Services, admin: Actor, super_admin: Actor, second: Actor, clock: ManualClock, how: str
) -> None:
    row = asked(services, admin, lambda: services.jobs.create(admin, DESTRUCTIVE))
    if how == "refused":
        services.approvals.refuse(super_admin, row["_id"], note="no")
    elif how == "withdrawn":
        services.approvals.withdraw(admin, row["_id"])
    elif how == "approved":
        services.approvals.approve(super_admin, row["_id"])
    else:
        clock.advance(7 * 86_400)
    assert services.approvals.get(admin, row["_id"])["state"] == how
    for call in (
        lambda: services.approvals.approve(second, row["_id"]),
        lambda: services.approvals.refuse(second, row["_id"]),
        lambda: services.approvals.withdraw(admin, row["_id"]),
    ):
        with pytest.raises(Conflict, match=how):
            call()
    assert services.directory.page(admin, JobFilter()).total == (how == "approved")
    assert services.approvals.page(admin, state=how).total == 1
    assert services.approvals.page(admin, state="pending").total == 0


def test_of_many_who_decide_at_once_one_does(
    services: Services, admin: Actor, super_admin: Actor, second: Actor, job: Job, store: Store
) -> None:
    row = asked(services, admin, lambda: services.runs.run_now(admin, job.id))
    told: list[str] = []
    barrier = threading.Barrier(8)

    def decide(n: int) -> None:
        barrier.wait()
        try:
            (services.approvals.approve if n % 2 else services.approvals.refuse)((super_admin, second)[n % 4 // 2], row["_id"])
            told.append("done")
        except Conflict:
            told.append("conflict")

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["conflict"] * 7 + ["done"]
    ended = services.approvals.get(admin, row["_id"])["state"]
    assert store.database["job_executions"].count_documents({"job_id": job.id}) == (ended == "approved")


def test_what_is_wrong_is_said_at_once_and_not_to_the_approver(services: Services, admin: Actor, job: Job) -> None:
    for call in (
        lambda: services.jobs.create(admin, {**DESTRUCTIVE, "parameters": {"how": 7}}),
        lambda: services.jobs.create(admin, {**DESTRUCTIVE, "name": "d"}),
        lambda: services.jobs.update(admin, job.id, {"timeout_seconds": -1}),
        lambda: services.runs.run_now(admin, job.id, overrides={"x": 1}),
    ):
        with pytest.raises(ValidationFailed):
            call()
    with pytest.raises(NotFound):
        services.jobs.delete(admin, "no-such")
    assert services.approvals.waiting(SYSTEM) == 0


def test_a_request_that_time_has_overtaken_fails_and_says_why(
    services: Services, admin: Actor, super_admin: Actor, job: Job, clock: ManualClock
) -> None:
    change = asked(services, admin, lambda: services.jobs.update(admin, job.id, {"description": "mine"}))
    services.jobs.update(super_admin, job.id, {"description": "theirs"})
    with pytest.raises(StaleVersion):
        services.approvals.approve(super_admin, change["_id"])
    assert services.approvals.get(admin, change["_id"])["state"] == "failed"
    assert services.jobs.get(admin, job.id).definition.description == "theirs"
    soon = {"type": "once", "run_at": "2026-03-02T13:00:00Z"}
    create = asked(services, admin, lambda: services.jobs.create(admin, {**DESTRUCTIVE, "name": "later", "schedule": soon}))
    clock.advance(7200)
    with pytest.raises(ValidationFailed, match="run_at"):
        services.approvals.approve(super_admin, create["_id"])
    assert "run_at" in services.approvals.get(admin, create["_id"])["result"]["error"]


def test_a_limit_of_who_asked_holds_and_the_request_waits_on(store: Store, settings: Any, clock: ManualClock, catalogue: Any) -> None:
    services = build_services(replace(settings, runs_per_hour=1), store, clock=clock, catalogue=catalogue)
    users = [
        services.accounts.create_user(SYSTEM, email=f"{role}@example.com", password=PASSWORD, role=role)
        for role in (Role.ADMIN, Role.SUPER_ADMIN)
    ]
    admin, boss = (Actor(id=user.id, email=user.email, role=user.role.value, via="api") for user in users)
    job = services.jobs.create(boss, {**DESTRUCTIVE, "overlap": "allow"})[0]
    rows = [asked(services, admin, lambda: services.runs.run_now(admin, job.id)) for _ in range(2)]
    services.approvals.approve(boss, rows[0]["_id"])
    with pytest.raises(LimitReached):
        services.approvals.approve(boss, rows[1]["_id"])
    assert services.approvals.get(boss, rows[1]["_id"])["state"] == "pending"
    clock.advance(3601)
    assert services.approvals.approve(boss, rows[1]["_id"])["result"]["kind"] == "execution"


def test_who_asked_and_lost_the_right_gets_nothing(services: Services, admin: Actor, super_admin: Actor) -> None:
    row = asked(services, admin, lambda: services.jobs.create(admin, DESTRUCTIVE))
    services.accounts.change(super_admin, admin.id, {"disabled": True})
    with pytest.raises(Conflict, match="no longer"):
        services.approvals.approve(super_admin, row["_id"])


def test_the_same_request_again_is_the_same_request(services: Services, admin: Actor, job: Job) -> None:
    first = asked(services, admin, lambda: services.jobs.update(admin, job.id, {"description": "x"}))
    again = asked(services, admin, lambda: services.jobs.update(admin, job.id, {"description": "x"}))
    other = asked(services, admin, lambda: services.jobs.update(admin, job.id, {"description": "y"}))
    assert first["_id"] == again["_id"] != other["_id"]


def test_another_secret_is_another_request_and_the_same_key_the_same_run(services: Services, admin: Actor, super_admin: Actor) -> None:
    """A diff shows no secret: what is stored tells the two apart."""
    made = services.jobs.create(super_admin, {**DESTRUCTIVE, "parameters": {"how": "raise", "secret": "first secret"}})[0]

    def with_secret(text: str) -> Document:
        change = {"parameters": {"how": "raise", "secret": text}}
        return asked(services, admin, lambda: services.jobs.update(admin, made.id, change))

    first, second = with_secret("second secret"), with_secret("third secret")
    assert first["_id"] != second["_id"]
    runs = [asked(services, admin, lambda key=key: services.runs.run_now(admin, made.id, idempotency_key=key))["_id"] for key in "aab"]
    assert (runs[0] == runs[1], runs[1] == runs[2]) == (True, False)
    services.approvals.approve(super_admin, runs[0])
    again = services.runs.run_now(admin, made.id, idempotency_key="a")  # approved meanwhile: the run itself
    assert again.triggered_by_user == admin.email


@pytest.mark.parametrize("operation", ["run", "resume", "backfill"])
def test_what_was_looked_at_is_what_runs(
    services: Services, admin: Actor, super_admin: Actor, clock: ManualClock, store: Store, operation: str
) -> None:
    """The job was changed after the request: nobody has looked at that."""
    job = services.jobs.create(super_admin, {**DESTRUCTIVE, "schedule": {"type": "cron", "expression": "0 * * * *"}})[0]
    clock.advance(7200)
    services.pausing.pause(super_admin, job.id, {"reason": "x"})
    window = {"from": START.isoformat(), "to": clock.now().isoformat()}
    calls: dict[str, Any] = {
        "run": lambda: services.runs.run_now(admin, job.id),
        "resume": lambda: services.pausing.resume(admin, job.id),
        "backfill": lambda: services.backfills.start(admin, job.id, window),
    }
    row = asked(services, admin, calls[operation])
    services.jobs.update(super_admin, job.id, {"parameters": {"how": "exit"}})
    with pytest.raises(StaleVersion):
        services.approvals.approve(super_admin, row["_id"])
    assert services.approvals.get(admin, row["_id"])["state"] == "failed"
    assert store.database["job_executions"].count_documents({"job_id": job.id}) == 0
    assert services.jobs.get(admin, job.id).paused is not None


def test_the_installation_may_keep_creation_to_super_admins(
    store: Store, settings: Any, clock: ManualClock, catalogue: Any, admin: Actor, super_admin: Actor
) -> None:
    strict = build_services(replace(settings, strict=True), store, clock=clock, catalogue=catalogue)
    with pytest.raises(Forbidden, match="JOBWRIGHT_STRICT"):
        strict.jobs.create(admin, {"name": "n", "template_type": "noop"})
    assert strict.jobs.create(super_admin, {"name": "n", "template_type": "noop"})[1]


def test_over_rest_a_request_is_answered_202_and_decided(api: Api, admin_api: Api, services: Services) -> None:
    answer = admin_api("POST", JOBS, DESTRUCTIVE)
    assert answer.status_code == 202
    where = answer.headers["Location"]
    assert where == f"{APPROVALS}/{answer.json['approval']['_id']}"
    assert api("GET", JOBS).json["total"] == 0
    for body, status in (({"note": 7}, 422), ({"nota": "x"}, 422), ({"note": "x" * 1001}, 422), ([], 422)):
        assert api("POST", f"{where}/approve", body).status_code == status
    done = api("POST", f"{where}/approve", {"note": "go"})
    assert (done.status_code, done.json["approval"]["state"]) == (200, "approved")
    assert api("POST", f"{where}/refuse").status_code == 409
    run = admin_api("POST", f"{JOBS}/{done.json['approval']['job_id']}/run", {"parameters": {"how": "exit"}})
    assert (run.status_code, "execution_id" in run.json) == (202, False)
    listed = api("GET", f"{APPROVALS}?state=pending").json
    assert [row["operation"] for row in listed["approvals"]] == ["job.run"]
    assert "payload" not in listed["approvals"][0]
    assert api("GET", f"{APPROVALS}?state=x").status_code == 422
    assert api("GET", f"{APPROVALS}/none").status_code == 404


def test_a_secret_in_a_request_is_sealed_and_shown_to_nobody(
    services: Services, admin: Actor, super_admin: Actor, store: Store, api: Api
) -> None:
    parameters = {"how": "raise", "secret": "canary-5318"}
    row = asked(services, admin, lambda: services.jobs.create(admin, {**DESTRUCTIVE, "parameters": parameters}))
    assert "canary-5318" not in str(list(store.database["approvals"].find()))
    assert "canary-5318" not in str(list(store.database["audit_log"].find()))
    assert "canary-5318" not in api("GET", f"{APPROVALS}/{row['_id']}").text
    services.approvals.approve(super_admin, row["_id"])
    sealed = services.jobs.get(super_admin, row["job_id"]).definition.parameters
    assert "canary-5318" not in str(sealed)


# -- pages ------------------------------------------------------------------------------------------------------------


def test_on_the_pages_an_admin_asks_and_a_super_admin_decides(
    app: Flask, browser_client: FlaskClient, admin: Actor, services: Services, job: Job
) -> None:
    client = app.test_client()
    page = client.get("/sign-in").get_data(as_text=True)
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": admin.email, "password": PASSWORD})
    token = csrf(client.get(f"/jobs/{job.id}").get_data(as_text=True))
    answer = client.post(f"/jobs/{job.id}/run", data={"csrf_token": token})
    assert answer.status_code == 303
    where = answer.headers["Location"]
    mine = client.get(where).get_data(as_text=True)
    assert "Withdraw request" in mine
    assert "Approve and carry out" not in mine
    assert client.post(f"{where}/approve", data={"csrf_token": token}).status_code == 403
    by_htmx = client.post(f"/jobs/{job.id}/run", data={"csrf_token": token}, headers={"HX-Request": "true"})
    assert (by_htmx.status_code, by_htmx.headers["HX-Redirect"][:11]) == (204, "/approvals/")
    theirs = browser_client.get(where).get_data(as_text=True)
    assert "Approve and carry out" in theirs
    assert re.search(r'count-badge"[^>]*>2<', theirs)
    assert browser_client.post(f"{where}/approve", data={"csrf_token": csrf(theirs), "note": "<b>go</b>"}).status_code == 302
    done = browser_client.get(where).get_data(as_text=True)
    assert "&lt;b&gt;go&lt;/b&gt;" in done
    run = re.search(r'href="(/executions/[\w-]+)"', done)
    assert run is not None
    assert browser_client.get(run[1]).status_code == 200
    late = browser_client.post(f"{where}/refuse", data={"csrf_token": csrf(done)})
    assert (late.status_code, late.headers["Location"]) == (303, where)
    assert "This request is closed already" in browser_client.get(where).get_data(as_text=True)
    for state_name in ("pending", "approved", "refused", "withdrawn", "expired", "failed", "all", "x"):
        assert browser_client.get(f"/approvals?state={state_name}").status_code == 200


def test_a_preview_is_shown_once_it_is_there(
    services: Services, admin: Actor, super_admin: Actor, store: Store, browser_client: FlaskClient
) -> None:
    connection = {"uri": "mongodb://127.0.0.1:1", "database": "x"}
    services.connections.create(super_admin, name="db", kind="mongodb", settings=connection)
    parameters = {"connection": "db", "collection": "c", "condition": {"a": 1}}
    body = {"name": "clean", "template_type": "database_cleanup", "parameters": parameters}
    row = asked(services, admin, lambda: services.jobs.create(admin, body))
    page = browser_client.get(f"/approvals/{row['_id']}").get_data(as_text=True)
    assert "hx-get" in page
    executions = store.database["job_executions"]
    dry = executions.find_one({"dry": True})
    assert dry is not None
    assert (dry["triggered_by"], dry["job_id"], dry["notifications"]) == ("preview", row["_id"], {"on_success": [], "on_failure": []})
    assert services.history.page(admin, ExecutionFilter(job_id=row["job_id"])).total == 0
    found = {"message": "Would delete 1,523 of 40,210 documents", "samples": ["<i>1</i>"]}
    executions.update_one({"_id": dry["_id"]}, {"$set": {"status": "success", "result": found}})
    page = browser_client.get(f"/approvals/{row['_id']}/preview").get_data(as_text=True)
    assert "Would delete 1,523 of 40,210 documents" in page
    assert "&lt;i&gt;1" in page
    assert "hx-get" not in page
    assert executions.count_documents({}) == 0
    assert "1,523" in browser_client.get(f"/approvals/{row['_id']}").get_data(as_text=True)


def test_two_requests_for_one_name_warn_of_each_other_and_the_second_fails_on_its_own_page(
    services: Services, admin: Actor, super_admin: Actor, browser_client: FlaskClient
) -> None:
    body = {"name": "Otto cleanup", "template_type": "database_cleanup"}
    parameters = {"connection": "db", "collection": "c", "condition": {"a": 1}}
    services.connections.create(super_admin, name="db", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1", "database": "x"})
    first, second = (
        asked(services, admin, lambda most=most: services.jobs.create(admin, {**body, "parameters": {**parameters, "max_deletes": most}}))
        for most in (1, 2)
    )
    page = browser_client.get(f"/approvals/{second['_id']}").get_data(as_text=True)
    assert f'href="/approvals/{first["_id"]}"' in page
    assert "Other requests concern this job or its name." in page
    services.approvals.approve(super_admin, first["_id"])
    page = browser_client.get(f"/approvals/{second['_id']}").get_data(as_text=True)
    assert f'href="/approvals/{first["_id"]}"' in page
    where = f"/approvals/{second['_id']}"
    answer = browser_client.post(f"{where}/approve", data={"csrf_token": csrf(page)})
    assert (answer.status_code, answer.headers["Location"]) == (303, where)
    failed = browser_client.get(where).get_data(as_text=True)
    assert failed.count("Otto cleanup&#39;. Choose another name.") == 1
    assert "/name" not in failed
    assert 'id="related"' not in failed
    assert 'id="related"' not in browser_client.get(f"/approvals/{first['_id']}").get_data(as_text=True)
