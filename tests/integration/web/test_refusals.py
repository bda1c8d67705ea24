"""A form that is refused comes back with all that was typed, the reason, and when it is possible again."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import ApprovalNeeded
from app.factory import Store, build_services, create_app
from app.jobs.filters import JobFilter
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.conftest import csrf
from tests.posting import post, text
from tests.support import PASSWORD

TYPED = {"/name": "typed by hand", "/description": "a long & <story>", "/seconds": "0.25", "/priority": "7"}


@pytest.fixture
def small(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, super_admin: Actor) -> tuple[Services, FlaskClient]:
    """A house with one seat for jobs and one run an hour, and who is signed in."""
    services = build_services(replace(settings, max_jobs=1, runs_per_hour_super_admin=1), store, clock=clock, catalogue=catalogue)
    client = create_app(services).test_client()
    page = text(client.get("/sign-in"))
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": super_admin.email, "password": PASSWORD})
    return services, client


def holds(page: str) -> bool:
    return all(part in page for part in ("typed by hand", "a long &amp; &lt;story&gt;", "0.25"))


def test_a_full_registry_gives_the_form_back(small: tuple[Services, FlaskClient], super_admin: Actor) -> None:
    services, client = small
    services.jobs.create(super_admin, {"name": "first", "template_type": "noop"})
    answer = post(client, "/jobs/new?template=noop", TYPED)
    page = text(answer)
    assert (answer.status_code, holds(page), 'id="job-form"' in page, "which is the limit (JOBWRIGHT_MAX_JOBS)" in page) == (
        429,
        True,
        True,
        True,
    )
    assert services.directory.page(super_admin, JobFilter()).total == 1


def test_a_run_too_many_gives_the_values_back_and_says_when_it_is_possible(small: tuple[Services, FlaskClient], super_admin: Actor) -> None:
    services, client = small
    job, _ = services.jobs.create(
        super_admin, {"name": "first", "template_type": "noop", "overlap": "allow", "concurrency": {"max_instances": 2}}
    )
    services.runs.run_now(super_admin, job.id)
    answer = post(client, f"/jobs/{job.id}/run-with", {"/seconds": "0.25"})
    page = text(answer)
    assert (answer.status_code, "0.25" in page, "The next one is possible at 13:00 UTC, in 60 min" in page) == (429, True, True)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_state_that_does_not_allow_it_gives_the_form_back(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "never due", "template_type": "noop"})
    answer = post(browser_client, f"/jobs/{job.id}/pause", {"/reason": "typed by hand"})
    page = text(answer)
    assert (answer.status_code, "typed by hand" in page, "nothing to pause" in page) == (409, True, True)


def test_an_old_page_gives_the_form_back_and_nobody_elses_page_does(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    page = text(browser_client.get("/jobs/new?template=noop"))
    typed = {"csrf_token": "old", "d": "", "p.seconds": "0.25", "s.type": "manual"}
    assert "csrf_token" in page
    own = browser_client.post(
        "/jobs/new?template=noop", data=typed, headers={"Referer": "http://localhost/jobs/new", "Origin": "http://localhost"}
    )
    assert (own.status_code, 'id="job-form"' in text(own)) == (400, True)
    other = browser_client.post("/jobs/new?template=noop", data=typed, headers={"Origin": "https://evil.example"})
    assert (other.status_code, 'id="job-form"' in text(other)) == (400, False)


def test_an_ended_sign_in_keeps_what_was_typed_and_takes_it_back_into_the_form(browser_client: FlaskClient, super_admin: Actor) -> None:
    form = text(browser_client.get("/jobs/new?template=noop"))
    cookie = browser_client.get_cookie("jobwright_session")
    assert cookie is not None
    with browser_client.session_transaction() as session:
        secret = session.pop("s")
    data: dict[str, Any] = {"csrf_token": csrf(form), "s.type": "manual", "s.timezone": "Europe/Vienna"}
    refused = browser_client.post("/jobs/new?template=noop", data=data, headers={"Origin": "http://localhost"})
    page = text(refused)
    assert (refused.status_code, "Europe/Vienna" in page, "/sign-in" in page) == (401, True, True)
    with browser_client.session_transaction() as session:
        session["s"] = secret
    again = browser_client.post(
        "/jobs/new?template=noop", data={**data, "csrf_token": csrf(page), "p.action": "check", "d.action": "check"}
    )
    assert (again.status_code, "Europe/Vienna" in text(again), 'id="job-form"' in text(again)) == (200, True, True)


def test_a_database_that_is_away_keeps_what_was_typed(
    browser_client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymongo.errors import AutoReconnect

    def away(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("away")

    monkeypatch.setattr(type(services.connections), "create", away)
    answer = post(browser_client, "/connections/new?kind=secret", {"name": "typed by hand", "/value": "a secret"})
    assert (answer.status_code, "typed by hand" in text(answer)) == (503, True)


SAME = {"Origin": "http://localhost"}
OTHER_FORMS: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
    ("/jobs/import", {"file": "jobs: typed by hand", "action": "apply", "prune": "on"}, ("typed by hand",)),
    ("/templates/import", {"file": "typed by hand", "take": "1"}, ("typed by hand",)),
    ("/templates/preview", {"schema": '{"title": "typed by hand"}', "value": ""}, ("typed by hand",)),
    ("/jobs/{job}/notes", {"text": "typed by hand\nline two"}, ("typed by hand\nline two", 'id="note-text"')),
    ("/jobs/bulk", {"action": "pause", "reason": "typed by hand", "v:{job}": "1", "confirm": "1"}, ("typed by hand", 'name="v:{job}"')),
    ("/jobs/bulk", {"action": "tag", "tag": "typed by hand", "v:{job}": "1", "confirm": "1"}, ("typed by hand", 'name="v:{job}"')),
    ("/jobs/views", {"name": "typed by hand", "query": "state=on"}, ("typed by hand", "Send again")),
    ("/account/reading", {"zone": "Typed/Zone", "language": "de"}, ("Typed/Zone", 'id="zone"')),
    ("/account/password", {"old": "old secret", "new": "new secret"}, ("Nothing was changed. Enter the values again.", 'name="old"')),
    ("/account/second-factor", {"old": "old secret", "secret": "AAAA", "code": "123456"}, ("Enter the values again", 'name="code"')),
    ("/sign-in", {"email": "typed@by.hand", "password": "old secret"}, ("typed@by.hand", "Enter the values again")),
]


@pytest.mark.parametrize(("path", "data", "holds"), OTHER_FORMS, ids=[f"{path} {list(data)}" for path, data, _ in OTHER_FORMS])
def test_each_page_with_texts_keeps_them_when_its_token_is_old(
    browser_client: FlaskClient, services: Services, super_admin: Actor, path: str, data: dict[str, str], holds: tuple[str, ...]
) -> None:
    job, _ = services.jobs.create(
        super_admin, {"name": "first", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 2 * * *"}}
    )
    sent = {name.format(job=job.id) if name.startswith("v:") else name: value for name, value in data.items()}
    answer = browser_client.post(path.format(job=job.id), data={"csrf_token": "old", **sent}, headers=SAME)
    page = text(answer)
    assert answer.status_code == 400
    assert "The form has expired" in page
    assert [part for part in (one.format(job=job.id) for one in holds) if part not in page] == []
    assert "old secret" not in page
    after = services.jobs.get(super_admin, job.id)
    assert (after.paused, after.definition.tags, services.notes.of(super_admin, job.id)) == (None, job.definition.tags, [])


@pytest.mark.parametrize("path", ["/jobs/import", "/jobs/{job}/notes", "/jobs/bulk", "/jobs/views", "/templates/preview"])
def test_each_page_with_texts_keeps_them_when_the_sign_in_has_ended(
    browser_client: FlaskClient, services: Services, super_admin: Actor, path: str
) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "first", "template_type": "noop"})
    token = csrf(text(browser_client.get("/jobs/new?template=noop")))
    with browser_client.session_transaction() as session:
        session.pop("s")
    sent = {"csrf_token": token, "text": "typed by hand", "action": "pause", "confirm": "1"}
    answer = browser_client.post(path.format(job=job.id), data=sent, headers=SAME)
    page = text(answer)
    assert (answer.status_code, "typed by hand" in page, "/sign-in" in page) == (401, True, True)
    assert ('name="confirm"' in page) == (path != "/jobs/bulk"), "what is sent from here shows first what it would do"


def test_an_uploaded_file_that_is_refused_stands_in_the_page(browser_client: FlaskClient) -> None:
    data = {"csrf_token": "old", "file": "", "action": "apply", "upload": (BytesIO(b"jobs: typed by hand"), "jobs.yaml")}
    answer = browser_client.post("/jobs/import", data=data, headers=SAME, content_type="multipart/form-data")
    assert (answer.status_code, "typed by hand" in text(answer)) == (400, True)


def test_publishing_a_template_that_is_refused_keeps_the_note(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    services.templates.derive(
        super_admin, {"type": "mine", "base": "noop", "definition": {"name": "Mine", "description": "d", "category": "c", "icon": "mail"}}
    )
    sent = {"csrf_token": "old", "version": "1", "note": "typed by hand"}
    answer = browser_client.post("/templates/mine/publish", data=sent, headers=SAME)
    page = text(answer)
    assert (answer.status_code, "typed by hand</textarea>" in page) == (400, True)
    assert not services.templates.get(super_admin, "mine")["versions"]


def test_an_approval_whose_decision_is_refused_keeps_the_note(browser_client: FlaskClient, services: Services, admin: Actor) -> None:
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}})
    row = services.approvals.ask(admin, needed.value.ask)
    answer = browser_client.post(f"/approvals/{row['_id']}/refuse", data={"csrf_token": "old", "note": "typed by hand"}, headers=SAME)
    assert (answer.status_code, "typed by hand</textarea>" in text(answer)) == (400, True)
    assert services.approvals.get(admin, row["_id"])["state"] == "pending"


def test_a_job_that_is_gone_keeps_what_was_typed_for_it(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "first", "template_type": "noop"})
    token = csrf(text(browser_client.get(f"/jobs/{job.id}/edit")))
    services.jobs.delete(super_admin, job.id)
    answer = browser_client.post(
        f"/jobs/{job.id}/edit", data={"csrf_token": token, "d": "", "d.mdescription": "typed by hand"}, headers=SAME
    )
    assert (answer.status_code, "typed by hand" in text(answer)) == (404, True)


@pytest.mark.parametrize("path", ["/jobs/new?template=noop", "/jobs/import", "/sign-in", "/account/password"])
def test_a_form_that_is_too_large_is_told_so(browser_client: FlaskClient, path: str) -> None:
    answer = browser_client.post(path, data={"csrf_token": "x", "text": "x" * 2_100_000}, headers=SAME)
    assert (answer.status_code, "The request is too large" in text(answer)) == (413, True)


@pytest.mark.parametrize("path", ["/jobs/schedule-preview", "/jobs/new?template=noop", "/templates/preview"])
def test_a_part_of_a_form_that_asks_after_the_sign_in_has_ended_leaves_the_form_where_it_is(browser_client: FlaskClient, path: str) -> None:
    token = csrf(text(browser_client.get("/jobs/new?template=noop")))
    with browser_client.session_transaction() as session:
        session.pop("s")
    answer = browser_client.post(path, data={"csrf_token": token, "s.type": "cron"}, headers={**SAME, "HX-Request": "true"})
    assert (answer.status_code, answer.headers.get("HX-Redirect"), answer.headers["HX-Retarget"]) == (401, None, "#toasts")
    assert "what you have typed stays on this one" in text(answer)
    assert browser_client.get("/executions", headers={"HX-Request": "true"}).headers["HX-Redirect"].startswith("/sign-in")
