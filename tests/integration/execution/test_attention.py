"""A failure needs attention until a later run succeeds or a person deals with it; a new failure counts again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.errors import Conflict, Forbidden, NotFound, ValidationFailed
from app.factory import Store
from app.services import Services
from tests.conftest import START, Api, csrf
from tests.integration.web.test_dashboard import make, page, ran, section


@pytest.fixture
def failed(services: Services, super_admin: Actor, store: Store) -> Callable[[str, str, int], str]:
    """Writes a run of a job, so many days ago; returns its id."""

    def write(job_id: str, status: str, days: int) -> str:
        at = START - timedelta(days=days)
        ran(store, services, super_admin, job_id, status, at)
        return f"{job_id}{at.isoformat()}{status}"

    return write


def open_jobs(services: Services, actor: Actor) -> list[str]:
    return [row.job_name for row in services.attention.failing(actor).open]


def test_an_old_failure_counts_until_a_run_succeeds(services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]) -> None:
    weekly, mended, stopped = (make(services, super_admin, name) for name in ("weekly", "mended", "stopped"))
    failed(weekly, "failed", 9)
    failed(mended, "timeout", 5)
    failed(mended, "success", 4)
    failed(stopped, "failed", 3)
    failed(stopped, "cancelled", 2)
    assert open_jobs(services, super_admin) == ["stopped", "weekly"], "the newest first; a cancelled run mends nothing"


def test_an_acknowledged_failure_stays_with_its_note_and_a_new_one_counts(
    services: Services, super_admin: Actor, store: Store, failed: Callable[[str, str, int], str]
) -> None:
    job_id = make(services, super_admin, "weekly")
    first = failed(job_id, "failed", 9)
    services.attention.acknowledge(super_admin, first, note="  disk is full\r\nAda orders one ")
    failing = services.attention.failing(super_admin)
    assert (failing.open, [row.job_name for row in failing.acknowledged]) == ([], ["weekly"])
    seen = failing.acknowledged[0].acknowledgement
    assert seen is not None
    assert (seen.by, seen.at, seen.note) == (super_admin.email, services.clock.now(), "disk is full\nAda orders one")
    event = store.database["audit_log"].find_one({"action": "execution.acknowledge"})
    assert event is not None
    assert (event["target"]["id"], event["actor"]["email"]) == (first, super_admin.email)
    failed(job_id, "failed", 2)
    assert open_jobs(services, super_admin) == ["weekly"]
    with pytest.raises(Conflict, match="A later run of 'weekly' has ended"):
        services.attention.acknowledge(super_admin, first)


def test_a_dismissed_failure_is_gone_until_that_is_taken_back(
    services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]
) -> None:
    run = failed(make(services, super_admin, "weekly"), "failed", 9)
    services.attention.acknowledge(super_admin, run, dismiss=True)
    failing = services.attention.failing(super_admin)
    assert (failing.open, failing.acknowledged) == ([], [])
    services.attention.take_back(super_admin, run)
    assert open_jobs(services, super_admin) == ["weekly"]
    with pytest.raises(Conflict, match="not acknowledged"):
        services.attention.take_back(super_admin, run)


def test_what_cannot_be_acknowledged(services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]) -> None:
    job_id = make(services, super_admin, "fine", group="south")
    run, good = failed(job_id, "failed", 3), failed(job_id, "success", 2)
    with pytest.raises(Conflict, match="Only a failed or timed-out run"):
        services.attention.acknowledge(super_admin, good)
    with pytest.raises(ValidationFailed):
        services.attention.acknowledge(super_admin, run, note="x" * 1001)
    with pytest.raises(NotFound):
        services.attention.acknowledge(replace(super_admin, role="admin", groups=frozenset({"north"})), run)
    with pytest.raises(Forbidden):
        services.attention.acknowledge(replace(super_admin, role="user"), run)


def test_more_failing_jobs_than_are_shown_are_counted(
    services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]
) -> None:
    for number in range(10):
        failed(make(services, super_admin, f"job {number}"), "failed", number + 1)
    failing = services.attention.failing(super_admin)
    assert ([row.job_name for row in failing.open][:2], len(failing.open), failing.more) == (["job 0", "job 1"], 8, 2)


def test_the_dashboard_leads_to_the_run_and_takes_the_note(
    browser_client: FlaskClient, services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]
) -> None:
    run = failed(make(services, super_admin, "weekly"), "failed", 9)
    shown = page(browser_client)
    assert [link.attributes["href"] for link in shown.css(".failing .name a")] == [f"/executions/{run}"]
    assert shown.css_first(f'form[action="/executions/{run}/retry"]') is not None
    token = csrf(shown.html or "")
    answer = browser_client.post(f"/executions/{run}/acknowledge", data={"csrf_token": token, "note": "Ada looks", "back": "/"})
    assert (answer.status_code, answer.location) == (302, "/")
    needs = section(page(browser_client), "Needs attention")
    assert "Nothing is failing, and nothing ran" in needs
    assert f"acknowledged by {super_admin.email} now: Ada looks" in needs


def test_over_rest(api: Api, services: Services, super_admin: Actor, failed: Callable[[str, str, int], str]) -> None:
    run = failed(make(services, super_admin, "weekly"), "failed", 9)
    address = f"/api/admin/job-executions/{run}/acknowledgement"
    assert api("PUT", address, {"note": 7}).status_code == 422
    answer = api("PUT", address, {"note": "known"})
    assert answer.status_code == 200
    assert answer.get_json()["acknowledgement"] == {
        "execution_id": run,
        "by": super_admin.email,
        "at": services.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "note": "known",
        "dismissed": False,
    }
    assert open_jobs(services, super_admin) == []
    assert api("DELETE", address).status_code == 204
    assert api("DELETE", address).status_code == 409
    assert open_jobs(services, super_admin) == ["weekly"]


def test_what_is_wrong_with_the_installation_stands_first(
    browser_client: FlaskClient, failed: Callable[[str, str, int], str], services: Services, super_admin: Actor
) -> None:
    failed(make(services, super_admin, "weekly"), "failed", 9)
    shown = page(browser_client)
    assert "No scheduler is online" in shown.css("#dashboard p")[0].text()
    assert "Nothing is failing" not in section(shown, "Needs attention")
