"""The page of a job as values, loaded without a request."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import SYSTEM, Actor
from app.errors import NotFound
from app.factory import Store
from app.services import Services
from tests.builders.queue import execution_document
from tests.conftest import START
from web.views.jobs.page_model import HISTORY, load_job_page

NIGHTLY = {"type": "cron", "expression": "0 2 * * *", "timezone": "UTC", "jitter_seconds": 0}


def make(services: Services, actor: Actor, name: str, **fields: Any) -> str:
    body = {"name": name, "template_type": "noop", "schedule": NIGHTLY, **fields}
    return services.jobs.create(actor, body)[0].id


def test_a_new_job_has_next_runs_and_no_history(services: Services, super_admin: Actor) -> None:
    job_id = make(services, super_admin, "nightly")
    model = load_job_page(services, super_admin, job_id)
    assert (model.job.id, model.row.job.id, model.row.broken) == (job_id, job_id, None)
    assert [run["utc"].hour for run in model.due] == [2] * 5
    assert (model.page.total, model.past.bars, model.row.latest) == (0, [], [])
    assert (model.newer, model.spread, model.backfill, model.gathered) == (None, 0.0, 0, {})
    assert [event["action"] for event in model.audit] == ["job.create"]
    assert set(model.values()) >= {"job", "row", "page", "past", "due", "revisions", "audit"}


def test_a_disabled_job_has_no_next_runs(services: Services, super_admin: Actor) -> None:
    job_id = make(services, super_admin, "off", enabled=False)
    assert list(load_job_page(services, super_admin, job_id).due) == []


def test_executions_are_paged_and_jobs_know_each_other(services: Services, super_admin: Actor, store: Store) -> None:
    first = make(services, super_admin, "first")
    second = make(services, super_admin, "second", depends_on=[{"job": first}])
    job = services.jobs.get(super_admin, first)
    store.database["job_executions"].insert_many([execution_document(job, now=START) for _ in range(HISTORY + 1)])
    assert len(load_job_page(services, super_admin, first, page=2).page.items) == 1
    assert [link.job_id for link in load_job_page(services, super_admin, first).dependants] == [second]
    follower = load_job_page(services, super_admin, second)
    assert ([link.job_id for link in follower.upstream], follower.row.after) == ([first], ["first"])


def test_a_job_that_is_not_there_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound):
        load_job_page(services, SYSTEM, "nowhere")


def test_two_versions_are_compared_in_words(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})[0]
    services.jobs.update(super_admin, job.id, {"priority": 9})
    services.jobs.update(super_admin, job.id, {"priority": 7, "timeout_seconds": 60})
    path = f"/jobs/{job.id}/revisions"
    page = LexborHTMLParser(browser_client.get(f"{path}?from=1&to=3").get_data(as_text=True))
    compared = page.css_first("section[aria-labelledby=compared]")
    assert compared is not None
    words = " ".join(compared.text().split())
    assert "Version 1 compared with version 3" in words
    assert "Priority 5 7" in words
    assert "Timeout 1 hour 1 minute" in words
    assert "/priority" not in words
    same = browser_client.get(f"{path}?from=2&to=2").get_data(as_text=True)
    assert "These versions do not differ." in same
    missing = browser_client.get(f"{path}?from=1&to=99").get_data(as_text=True)
    assert "Version 99 is not stored." in missing
    for odd in ("from=x&to=2", "from=0&to=1", "from=1"):
        assert "compared with" not in browser_client.get(f"{path}?{odd}").get_data(as_text=True)
