"""A form that is refused comes back with all that was typed, the reason, and when it is possible again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
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
    services = build_services(replace(settings, max_jobs=1, runs_per_hour=1), store, clock=clock, catalogue=catalogue)
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
    assert (answer.status_code, holds(page), 'id="job-form"' in page, "The registry is full" in page) == (429, True, True, True)
    assert services.jobs.page(super_admin, JobFilter()).total == 1


def test_a_run_too_many_gives_the_values_back_and_says_when_it_is_possible(small: tuple[Services, FlaskClient], super_admin: Actor) -> None:
    services, client = small
    job, _ = services.jobs.create(
        super_admin, {"name": "first", "template_type": "noop", "overlap": "allow", "concurrency": {"max_instances": 2}}
    )
    services.executions.run_now(super_admin, job.id)
    answer = post(client, f"/jobs/{job.id}/run-with", {"/seconds": "0.25"})
    page = text(answer)
    assert (answer.status_code, "0.25" in page, "It is possible again at" in page) == (429, True, True)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_state_that_does_not_allow_it_gives_the_form_back(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "never due", "template_type": "noop"})
    answer = post(browser_client, f"/jobs/{job.id}/pause", {"/reason": "typed by hand"})
    page = text(answer)
    assert (answer.status_code, "typed by hand" in page, "never due by itself" in page) == (409, True, True)


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
