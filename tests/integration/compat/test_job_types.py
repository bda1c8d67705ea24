"""Runs of job types: the routes of the document "Scheduler Service - Complete Documentation"."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.services import Services
from tests.conftest import Api
from tests.integration.compat.test_named_jobs import ended


@pytest.fixture
def crawl(services: Services, super_admin: Actor) -> str:
    """The id of the job `crawl_pending`."""
    return services.jobs.create(super_admin, {"name": "crawl_pending", "template_type": "noop"})[0].id


def trigger(api: Api) -> str:
    answer = api("POST", "/api/jobs/trigger", {"jobType": "crawl_pending", "triggeredBy": "user_2abc123"})
    assert answer.status_code == 202, answer.get_data(as_text=True)
    run: str = answer.json["jobId"]
    return run


def test_a_trigger_answers_as_the_document_says(service_api: Api, services: Services, super_admin: Actor, crawl: str) -> None:
    answer = service_api("POST", "/api/jobs/trigger", {"jobType": "crawl_pending", "triggeredBy": "user_2abc123"}).json
    assert (answer["status"], answer["startedAt"]) == ("running", "2026-03-02T12:00:00.000Z")
    assert str(uuid.UUID(answer["jobId"])) == answer["jobId"] == answer["id"], "the panel of the document follows `job.id`"
    run = services.history.get(super_admin, answer["jobId"])
    assert (run.job_id, run.triggered_by_user) == (crawl, "user_2abc123")


def test_an_execution_is_followed_to_its_end(service_api: Api, store: Store, crawl: str) -> None:
    run = trigger(service_api)
    shown = service_api("GET", f"/api/jobs/{run}").json
    assert (shown["id"], shown["jobType"], shown["status"], shown["result"]) == (run, "crawl_pending", "pending", None)
    result = {"message": "m", "records_processed": 150, "items_succeeded": 145, "items_failed": 5, "error_messages": [], "batches": 2}
    ended(store, run, result=result)
    shown = service_api("GET", f"/api/jobs/{run}").json
    assert (shown["status"], shown["completedAt"], shown["startedBy"]) == ("completed", "2026-03-02T12:00:00.000Z", "user_2abc123")
    assert shown["result"] | {"details": None, "metadata": None} == {
        "success": True,
        "itemsProcessed": 150,
        "itemsSucceeded": 145,
        "itemsFailed": 5,
        "error": None,
        "errors": [],
        "details": None,
        "metadata": None,
    }
    assert shown["result"]["details"] == {"error_messages": [], "batches": 2}
    assert {"started_by", "job_type", "created_at", "updated_at"} <= shown.keys(), "as in the table"


def test_a_failure_says_why(service_api: Api, store: Store, crawl: str) -> None:
    run = trigger(service_api)
    error = {"type": "TemplateError", "message": "No answer within 60 s", "traceback": ""}
    ended(store, run, status="failed", error=error)
    shown = service_api("GET", f"/api/jobs/{run}").json
    assert (shown["status"], shown["error"]) == ("failed", "No answer within 60 s")
    assert (shown["result"]["success"], shown["result"]["errors"]) == (False, ["No answer within 60 s"])


def test_a_list_is_narrowed_by_type_and_status_and_has_pages(
    service_api: Api, services: Services, super_admin: Actor, store: Store, clock: ManualClock, crawl: str
) -> None:
    other = services.jobs.create(super_admin, {"name": "weekly_digest", "template_type": "noop"})[0]
    services.runs.run_now(super_admin, other.id)
    runs = []
    for status in ("success", "timeout", "cancelled", "success", "skipped"):
        runs.append(trigger(service_api))
        ended(store, runs[-1], status=status)
        clock.advance(1)

    def get(query: str) -> Any:
        return service_api("GET", f"/api/jobs?{query}").json

    completed = get("type=crawl_pending&status=completed&limit=50")
    assert ([row["id"] for row in completed["jobs"]], completed["total"]) == ([runs[3], runs[0]], 2)
    assert (completed["page"], completed["limit"]) == (1, 50)
    assert [row["id"] for row in get("type=crawl_pending&status=failed")["jobs"]] == [runs[2], runs[1]]
    assert get("type=crawl_pending")["total"] == 4, "what was skipped did not run"
    assert [row["id"] for row in get("type=crawl_pending&page=2&limit=3")["jobs"]] == [runs[0]]
    assert get("status=pending")["jobs"][0]["jobType"] == "weekly_digest"
    assert get("type=unknown") == {"jobs": [], "total": 0, "page": 1, "limit": 50}


@pytest.mark.parametrize("body", [{}, {"jobType": ""}, {"jobType": 5}, {"jobType": "crawl_pending", "x": 1}, "text", None])
def test_a_wrong_body_is_refused(api: Api, crawl: str, body: Any) -> None:
    answer = api("POST", "/api/jobs/trigger", body)
    assert answer.status_code in {400, 422}
    assert answer.json["error"]


def test_a_repeated_trigger_with_an_idempotency_key_starts_one_run(service_api: Api, crawl: str) -> None:
    answers = [service_api("POST", "/api/jobs/trigger", {"jobType": "crawl_pending"}, Idempotency_Key="t-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json == answers[1].json


def test_a_type_that_no_job_has_is_not_found(api: Api) -> None:
    answer = api("POST", "/api/jobs/trigger", {"jobType": "unknown"})
    assert (answer.status_code, answer.json["message"]) == (404, "There is no job 'unknown'")


@pytest.mark.parametrize("query", ["status=success", "limit=0", "page=0", "page=x", "kind=x"])
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    answer = api("GET", f"/api/jobs?{query}")
    assert (answer.status_code, [error["parameter"] for error in answer.json["errors"]]) == (422, [query.partition("=")[0]])
