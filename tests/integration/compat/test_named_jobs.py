"""Jobs by their names: the routes of the documents "Hybrid Job Management Approach" and "Scheduler Service" (cron)."""

from __future__ import annotations

from typing import Any

import pytest

from app.accounts.model import Role, Scope
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.factory import Store
from app.services import Services
from tests.conftest import Api
from tests.integration.compat.conftest import SERVICE

NAME = "weekly-trending-digest"


@pytest.fixture
def job(services: Services, super_admin: Actor) -> str:
    """A job with the schedule of the document, and its id."""
    body = {"name": NAME, "template_type": "noop", "description": "Send it", "schedule": {"type": "cron", "expression": "0 9 * * MON"}}
    return services.jobs.create(super_admin, body)[0].id


def ended(store: Store, execution_id: str, **fields: Any) -> None:
    """Ends an execution as the recorder does."""
    row = store.database["job_executions"].find_one({"_id": execution_id})
    assert row is not None
    values = {"status": "success", "started_at": row["queued_at"], "completed_at": row["queued_at"], "duration_seconds": 1.5, **fields}
    gone = {"live": "", "queue_rank": ""}
    store.database["job_executions"].update_one({"_id": execution_id}, {"$set": values, "$unset": gone})


def test_a_list_has_the_fields_of_job_schedules_in_both_spellings(api: Api, job: str) -> None:
    answer = api("GET", "/api/jobs")
    assert (answer.status_code, answer.json["total"]) == (200, 1)
    shown = answer.json["jobs"][0]
    assert (shown["job_name"], shown["jobName"], shown["name"]) == (NAME, NAME, NAME)
    assert (shown["cron_expression"], shown["cronExpression"]) == ("0 9 * * MON", "0 9 * * MON")
    assert (shown["enabled"], shown["isRunning"], shown["total_runs"], shown["successfulRuns"]) == (True, False, 0, 0)
    assert shown["nextRunAt"] == "2026-03-09T09:00:00.000Z"
    for name in ("display_name", "description", "job_type", "service", "endpoint", "config", "last_run_at", "failed_runs"):
        assert name in shown
    assert api("GET", f"/api/jobs/{NAME}").json == shown


def test_a_list_of_jobs_goes_on_from_an_offset(api: Api, services: Services, super_admin: Actor) -> None:
    for number in range(5):
        services.jobs.create(super_admin, {"name": f"job {number}", "template_type": "noop"})
    answer = api("GET", "/api/jobs?limit=2&offset=3").json
    assert ([shown["name"] for shown in answer["jobs"]], answer["total"]) == (["job 3", "job 4"], 5)


def test_a_trigger_by_a_service_is_recorded_for_the_person_that_it_names(
    service_api: Api, api: Api, services: Services, store: Store, job: str, super_admin: Actor
) -> None:
    answer = service_api("POST", f"/api/jobs/{NAME}/trigger", {"userId": "admin-user-id"})
    assert (answer.status_code, answer.json["status"], answer.json["result"]) == (202, "pending", None)
    row = api("GET", f"/api/jobs/{NAME}/history").json["executions"][0]
    assert (row["id"], row["triggered_by"], row["triggered_by_user"]) == (answer.json["executionId"], "manual", "admin-user-id")
    event = services.audit.history(AuditFilter(action="job.run"))[0]
    assert (event["actor"]["email"], event["on_behalf_of"]) == (SERVICE, "admin-user-id")
    ended(store, answer.json["executionId"])
    known = service_api("POST", f"/api/jobs/{NAME}/trigger", {"userId": super_admin.id}).json["executionId"]
    assert services.history.get(super_admin, known).triggered_by_user == super_admin.email


def test_a_repeated_trigger_with_an_idempotency_key_starts_one_run(api: Api, service_api: Api, job: str) -> None:
    path = f"/api/jobs/{NAME}/trigger"
    runs = {service_api("POST", path, {"userId": "a"}, Idempotency_Key="t-1").json["executionId"] for _ in range(3)}
    assert len(runs) == 1
    assert service_api("POST", path, None, Idempotency_Key="t-2").status_code == 409, "another key is another run, and the job runs"
    assert api("GET", f"/api/jobs/{NAME}/history").json["total"] == 1
    assert service_api("POST", path, None, Idempotency_Key="k" * 300).status_code == 422


def test_a_subject_of_single_sign_on_is_the_account(
    service_api: Api, services: Services, store: Store, job: str, super_admin: Actor
) -> None:
    identity = {"issuer": "https://clerk.example.com", "subject": "user_2abc123"}
    store.database["users"].update_one({"_id": super_admin.id}, {"$set": {"identity": identity}})
    run = service_api("POST", f"/api/jobs/{NAME}/trigger", {"userId": "user_2abc123"}).json["executionId"]
    assert services.history.get(super_admin, run).triggered_by_user == super_admin.email


def test_a_person_triggers_in_their_own_name_whatever_they_say(admin_api: Api, services: Services, job: str, super_admin: Actor) -> None:
    run = admin_api("POST", f"/api/jobs/{NAME}/trigger", {"userId": "somebody-else"}).json["executionId"]
    assert services.history.get(super_admin, run).triggered_by_user == "ada@example.com"


@pytest.mark.parametrize(
    ("body", "pointer"), [({"userId": 5}, "/userId"), ({"user": "x"}, "/user"), ({"userId": "a\u202eb"}, "/userId"), ([], "")]
)
def test_a_wrong_trigger_is_refused_at_its_member(service_api: Api, job: str, body: Any, pointer: str) -> None:
    answer = service_api("POST", f"/api/jobs/{NAME}/trigger", body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_a_job_that_runs_is_not_triggered_again(api: Api, job: str) -> None:
    assert api("POST", f"/api/jobs/{NAME}/trigger").status_code == 202
    answer = api("POST", f"/api/jobs/{NAME}/trigger")
    assert (answer.status_code, answer.json["error"]) == (409, "Job already running")
    assert api("GET", f"/api/jobs/{NAME}").json["isRunning"] is True


def test_enable_and_disable(api: Api, services: Services, super_admin: Actor, job: str) -> None:
    answer = api("POST", f"/api/jobs/{NAME}/disable")
    assert (answer.status_code, answer.json["message"], answer.json["job"]["enabled"]) == (200, f"Job {NAME} disabled", False)
    assert services.jobs.get(super_admin, job).next_run_at is None
    answer = api("POST", f"/api/jobs/{NAME}/enable")
    assert (answer.status_code, answer.json["job"]["enabled"]) == (200, True)
    event = services.audit.history(AuditFilter(action="job.disable"))[0]
    assert event["actor"]["email"] == super_admin.email, "the trail says who disabled it and when"


def test_a_cron_change_tells_the_old_and_the_new(api: Api, services: Services, super_admin: Actor, job: str) -> None:
    answer = api("PUT", f"/api/jobs/{NAME}/cron", {"cronExpression": "0 9 * * TUE"})
    assert answer.status_code == 200
    told = (answer.json["previousCronExpression"], answer.json["cronExpression"], answer.json["nextRunAt"])
    assert told == ("0 9 * * MON", "0 9 * * TUE", "2026-03-03T09:00:00.000Z")


def test_an_invalid_cron_expression_leaves_the_schedule_as_it_is(api: Api, services: Services, super_admin: Actor, job: str) -> None:
    answer = api("PUT", f"/api/jobs/{NAME}/cron", {"cronExpression": "61 9 * * MON"})
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, ["/cronExpression"])
    stored = services.jobs.get(super_admin, job)
    assert (stored.definition.schedule.values()["expression"], stored.version) == ("0 9 * * MON", 1)
    assert stored.next_run_at is not None


def test_the_cron_of_a_job_keeps_its_zone(api: Api, services: Services, super_admin: Actor) -> None:
    schedule = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin", "jitter_seconds": 30}
    job = services.jobs.create(super_admin, {"name": "zoned", "template_type": "noop", "schedule": schedule})[0]
    assert api("PUT", "/api/jobs/zoned/cron", {"cronExpression": "0 10 * * *"}).status_code == 200
    values = services.jobs.get(super_admin, job.id).definition.schedule.values()
    assert (values["timezone"], values["jitter_seconds"], values["expression"]) == ("Europe/Berlin", 30, "0 10 * * *")


def test_a_deleted_job_is_gone_and_its_history_stays(api: Api, store: Store, job: str) -> None:
    run = api("POST", f"/api/jobs/{NAME}/trigger").json["executionId"]
    assert api("DELETE", f"/api/jobs/{NAME}").json == {"message": f"Job {NAME} deleted"}
    answer = api("GET", f"/api/jobs/{NAME}")
    assert (answer.status_code, answer.json["error"]) == (404, "Not found")
    assert api("GET", f"/api/jobs/{run}").json["jobType"] == NAME


def test_history_goes_by_page_and_by_offset(api: Api, store: Store, job: str, clock: ManualClock) -> None:
    runs = []
    for _ in range(5):
        runs.append(api("POST", f"/api/jobs/{NAME}/trigger").json["executionId"])
        ended(store, runs[-1])
        clock.advance(1)
    newest = runs[::-1]
    by_page = api("GET", f"/api/jobs/{NAME}/history?page=2&limit=2").json
    by_offset = api("GET", f"/api/jobs/{NAME}/history?offset=2&limit=2").json
    assert [row["id"] for row in by_page["executions"]] == [row["id"] for row in by_offset["executions"]] == newest[2:4]
    assert by_page["pagination"] == by_offset["pagination"] == {"limit": 2, "offset": 2, "total": 5, "hasMore": True}
    odd = api("GET", f"/api/jobs/{NAME}/history?offset=3&limit=2").json
    assert ([row["id"] for row in odd["executions"]], odd["pagination"]["hasMore"]) == (newest[3:], False)


def test_an_execution_has_the_fields_of_scheduled_jobs(api: Api, store: Store, job: str) -> None:
    run = api("POST", f"/api/jobs/{NAME}/trigger").json["executionId"]
    result = {"message": "m", "itemsProcessed": 10, "itemsSucceeded": 8, "itemsFailed": 2, "usersCount": 10}
    ended(store, run, result=result)
    row = api("GET", f"/api/jobs/{NAME}/history").json["executions"][0]
    assert (row["status"], row["duration_ms"], row["durationMs"]) == ("completed", 1500, 1500)
    assert (row["items_processed"], row["items_succeeded"], row["items_failed"]) == (10, 8, 2)
    assert (row["error_message"], row["metadata"]) == (None, {"usersCount": 10})


def test_statistics_count_the_days_that_are_asked_for(api: Api, store: Store, job: str, clock: ManualClock) -> None:
    for status in ("success", "failed", "success", "timeout"):
        run = api("POST", f"/api/jobs/{NAME}/trigger").json["executionId"]
        ended(store, run, status=status, result={"itemsProcessed": 5, "records_processed": 9, "items_failed": 1})
        clock.advance(86_400 * 10)
    stats = api("GET", f"/api/jobs/{NAME}/stats?days=30").json
    assert (stats["job_name"], stats["period"].keys(), stats["period"]["days"]) == (NAME, {"days", "from", "to"}, 30)
    figures = stats["stats"]
    assert (figures["total_runs"], figures["successful_runs"], figures["failed_runs"]) == (3, 1, 2)
    assert (figures["items_processed"], figures["itemsFailed"]) == (15, 3)
    assert (round(figures["success_rate"], 3), figures["average_duration_ms"]) == (0.333, 1500.0)
    assert api("GET", f"/api/jobs/{NAME}/stats?days=365").json["stats"]["total_runs"] == 4
    assert api("GET", "/api/jobs").json["jobs"][0]["total_runs"] == 4


def test_figures_that_cannot_be_counted_in_time_are_null(api: Api, job: str, monkeypatch: pytest.MonkeyPatch, services: Services) -> None:
    monkeypatch.setattr(services.history, "sums", lambda *_, **__: None)
    assert api("GET", "/api/jobs").json["jobs"][0]["total_runs"] is None
    assert api("GET", f"/api/jobs/{NAME}/stats").json["stats"]["items_processed"] is None


# -- errors -----------------------------------------------------------------------------------------------------------


def test_errors_are_as_the_documents_show_them(app: Any, services: Services, job: str) -> None:
    client = app.test_client()
    answer = client.get("/api/jobs")
    assert (answer.status_code, answer.json["error"]) == (401, "Missing authorization")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    services.accounts.create_user(SYSTEM, email="user@example.com", password="correct horse battery", role=Role.USER)
    token = services.tokens.create(SYSTEM, email="user@example.com", name="t")
    answer = client.get("/api/jobs", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["error"]) == (403, "Admin access required")
    answer = client.get("/api/jobs", headers={"Authorization": "Bearer jw_wrong"})
    assert (answer.status_code, answer.json["error"], answer.json["message"]) == (
        401,
        "Sign-in required",
        "The token is unknown or revoked",
    )
    assert {"correlation_id", "type", "status"} <= answer.json.keys()


def test_a_token_without_a_scope_is_told_so(app: Any, services: Services, super_admin: Actor, job: str) -> None:
    token = services.tokens.create(SYSTEM, email=super_admin.email, name="t", scopes=(Scope.READ,))
    answer = app.test_client().post(f"/api/jobs/{NAME}/trigger", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["message"]) == (403, "This token lacks the scope 'run'")
    unknown = app.test_client().post("/api/jobs/unknown/trigger", headers={"Authorization": f"Bearer {token}"})
    assert unknown.status_code == 403, "nobody learns which jobs there are by asking for what they may not do"


@pytest.mark.parametrize("name", ["", "nope", "3230ccad-70b2-45c1-9aae-36e6e0a6d2c0", "a" * 500, "%00", "%E2%80%AE", "..", "{$ne: null}"])
def test_odd_names_are_answered(api: Api, name: str) -> None:
    assert api("GET", f"/api/jobs/{name}").status_code in {404, 308}


def test_the_jobs_of_other_groups_are_not_there(app: Any, services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "theirs", "template_type": "noop", "group": "b"})
    services.accounts.add(SYSTEM, {"email": "a@example.com", "role": "admin", "groups": ["a"]})
    kept = Api(app, services.tokens.create(SYSTEM, email="a@example.com", name="t"))
    assert kept("GET", "/api/jobs").json["total"] == 0
    assert [kept(method, f"/api/jobs/theirs{end}").status_code for method, end in (("GET", ""), ("POST", "/trigger"), ("DELETE", ""))] == [
        404
    ] * 3
