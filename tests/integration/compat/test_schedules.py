"""Schedules of commands: the routes of tests/data/documents/scheduler-service-for-commands.md."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.executors.base import Executor
from app.factory import Store, build_node, build_services
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.conftest import Api, app_of
from tests.integration.compat.conftest import SERVICE
from tests.integration.compat.test_named_jobs import ended

SCHEDULES, EXECUTIONS = "/api/v1/schedules", "/api/v1/executions"

pytestmark = pytest.mark.usefixtures("bus")


def body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "daily_summary_emails",
        "schedule_type": "cron",
        "cron_expression": "0 9 * * *",
        "target_command": "cmd.notification.send.bulk",
        **changes,
    }


def make(api: Api, **changes: Any) -> dict[str, Any]:
    answer = api("POST", SCHEDULES, body(**changes))
    assert answer.status_code == 201, answer.get_data(as_text=True)
    made: dict[str, Any] = answer.json
    return made


def pointers(answer: Any) -> list[str]:
    return sorted(error["pointer"] for error in answer.json["errors"])


# -- one schedule -----------------------------------------------------------------------------------------------------


def test_the_settings_decide_what_a_schedule_leaves_out(api: Api) -> None:
    made = make(api)
    assert (made["max_retries"], made["retry_delay_seconds"], made["timezone"], made["priority"]) == (3, 300, "UTC", 5)
    assert (made["status"], made["next_run_at"], made["connection"]) == ("active", "2026-03-03T09:00:00.000Z", "default")
    assert api("GET", f"{SCHEDULES}/{made['id']}").json == made


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {"schedule_type": "interval", "interval_seconds": 3600, "cron_expression": None},
            {"interval_seconds": 3600, "schedule_type": "interval"},
        ),
        ({"schedule_type": "one_time", "run_at": "2026-03-05T10:00:00Z", "cron_expression": None}, {"run_at": "2026-03-05T10:00:00.000Z"}),
        ({"schedule_type": "one-time", "run_at": "2026-03-05T10:00:00Z", "cron_expression": None}, {"schedule_type": "one_time"}),
    ],
)
def test_types_of_schedules(api: Api, changes: dict[str, Any], shown: dict[str, Any]) -> None:
    assert make(api, **changes).items() >= shown.items()


def test_an_immediate_schedule_runs_at_once(api: Api) -> None:
    made = make(api, schedule_type="immediate", cron_expression=None)
    assert (made["schedule_type"], made["next_run_at"]) == ("immediate", None)
    execution = api("GET", f"{EXECUTIONS}/{made['execution_id']}").json
    assert (execution["schedule_id"], execution["status"]) == (made["id"], "pending")


def test_an_immediate_schedule_that_cannot_run_is_not_left_behind(admin_api: Api) -> None:
    for number in range(10):
        assert make(admin_api, name=f"n{number}", schedule_type="immediate")["execution_id"]
    assert admin_api("POST", SCHEDULES, body(name="one too many", schedule_type="immediate")).status_code == 429
    assert admin_api("GET", SCHEDULES).json["total"] == 10
    assert make(admin_api, name="one too many")["name"] == "one too many"


@pytest.mark.parametrize("changes", [{}, {"schedule_type": "immediate", "cron_expression": None}])
def test_a_repeated_creation_with_an_idempotency_key_makes_one_schedule(service_api: Api, changes: dict[str, Any]) -> None:
    answers = [service_api("POST", SCHEDULES, body(**changes), Idempotency_Key="c-1") for _ in range(3)]
    assert {(answer.status_code, answer.json["id"], answer.json.get("execution_id")) for answer in answers} == {
        (201, answers[0].json["id"], answers[0].json.get("execution_id"))
    }
    assert (answers[0].headers["ETag"], answers[0].headers["Location"]) == ('"1"', f"{SCHEDULES}/{answers[0].json['id']}")
    assert service_api("GET", EXECUTIONS).json["total"] == (1 if changes else 0)
    other = service_api("POST", SCHEDULES, body(**changes, description="another"), Idempotency_Key="c-1")
    assert (other.status_code, service_api("GET", SCHEDULES).json["total"]) == (409, 1)


def test_a_repeated_trigger_with_an_idempotency_key_starts_one_run(service_api: Api) -> None:
    made = make(service_api)["id"]
    runs = {service_api("POST", f"{SCHEDULES}/{made}/trigger", None, Idempotency_Key="t-1").json["execution_id"] for _ in range(2)}
    assert len(runs) == 1


def test_the_creator_that_a_service_names_is_kept_and_limited(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, service_api: Api, super_admin: Actor
) -> None:
    from dataclasses import replace

    limited = build_services(replace(settings, max_jobs_per_creator=2), store, clock=clock, catalogue=catalogue)
    api = Api(app_of(limited), service_api._headers["Authorization"].partition(" ")[2])
    named = {"X_Created_By": "notification-service"}
    for number in range(2):
        answer = api("POST", SCHEDULES, body(name=f"n{number}"), **named)
        assert (answer.status_code, answer.json["created_by"]) == (201, "notification-service")
    answer = api("POST", SCHEDULES, body(name="n2"), **named)
    assert (answer.status_code, answer.json["error"]) == (429, "Limit reached")
    assert "notification-service has already created 2 jobs" in answer.json["message"]
    assert api("POST", SCHEDULES, body(name="n2"), X_Created_By="analytics-service").status_code == 201
    assert api("GET", f"{SCHEDULES}?created_by=notification-service").json["total"] == 2
    limited.samples.close()


def test_a_person_cannot_create_in_the_name_of_another(admin_api: Api) -> None:
    answer = admin_api("POST", SCHEDULES, body(), X_Created_By="notification-service")
    assert (answer.status_code, answer.json["created_by"]) == (201, "ada@example.com")


def test_a_name_in_a_header_must_be_a_name(service_api: Api) -> None:
    answer = service_api("POST", SCHEDULES, body(), X_Created_By="x" * 321)
    assert (answer.status_code, answer.json["errors"][0]["detail"]) == (422, "X-Created-By must have at most 320 characters")


def test_everything_that_is_wrong_is_told_at_once_and_at_its_member(api: Api) -> None:
    wrong = body(name="", cron_expression="61 * * * *", timezone="Berln", priority=11, max_retries=-1, target_command="a b", extra=1)
    assert pointers(api("POST", SCHEDULES, wrong)) == [
        "/cron_expression",
        "/extra",
        "/max_retries",
        "/name",
        "/priority",
        "/target_command",
        "/timezone",
    ]
    assert pointers(api("POST", SCHEDULES, body(cron_expression=None))) == ["/cron_expression"]
    assert pointers(api("POST", SCHEDULES, body(schedule_type="interval"))) == ["/interval_seconds"]
    assert pointers(api("POST", SCHEDULES, body(schedule_type="hourly"))) == ["/schedule_type"]
    assert pointers(api("POST", SCHEDULES, {})) == ["/name", "/schedule_type", "/target_command"]


def test_a_command_that_the_connection_does_not_allow_is_refused(api: Api) -> None:
    assert pointers(api("POST", SCHEDULES, body(target_command="other.command"))) == ["/target_command"]


def test_a_time_beyond_the_lookahead_is_refused(api: Api) -> None:
    far = body(schedule_type="one_time", run_at="2027-04-01T00:00:00Z", cron_expression=None)
    answer = api("POST", SCHEDULES, far)
    assert (pointers(answer), answer.json["errors"][0]["detail"]) == (["/run_at"], "must be within the next 365 days")


def test_without_a_connection_the_command_says_so(api: Api, services: Services, super_admin: Actor, bus: str) -> None:
    services.connections.delete(super_admin, bus)
    answer = api("POST", SCHEDULES, body())
    assert (answer.status_code, pointers(answer)) == (422, ["/connection"])


def test_a_taken_name_is_a_conflict(api: Api) -> None:
    make(api)
    answer = api("POST", SCHEDULES, body())
    assert (answer.status_code, pointers(answer)) == (409, ["/name"])


def test_an_update_changes_what_is_sent(api: Api) -> None:
    made = make(api, tags=["email"], timezone="America/New_York", command_payload={"a": 1})
    path = f"{SCHEDULES}/{made['id']}"
    changed = api("PUT", path, {"cron_expression": "0 10 * * *", "command_payload": {"b": 2}, "max_retries": 5, "description": None}).json
    assert (changed["cron_expression"], changed["timezone"], changed["tags"]) == ("0 10 * * *", "America/New_York", ["email"])
    assert (changed["command_payload"], changed["target_command"]) == ({"b": 2}, made["target_command"])
    assert (changed["max_retries"], changed["retry_delay_seconds"], changed["version"]) == (5, 300, 2)
    answer = api("PUT", path, {"schedule_type": "interval", "interval_seconds": 60})
    assert (answer.json["schedule_type"], answer.json["cron_expression"], answer.json["interval_seconds"]) == ("interval", None, 60)
    stale = api("PUT", path, {"description": "x"}, If_Match='"1"')
    assert (stale.status_code, stale.json["error"], stale.json["actual_version"]) == (412, "Changed by someone else", 3)


def test_a_wrong_update_leaves_the_schedule_as_it_is(api: Api) -> None:
    made = make(api)
    path = f"{SCHEDULES}/{made['id']}"
    assert pointers(api("PUT", path, {"cron_expression": "nonsense", "timezone": "Berln"})) == ["/cron_expression", "/timezone"]
    assert pointers(api("PUT", path, {"created_by": "me"})) == ["/created_by"]
    assert api("GET", path).json == made


def test_a_job_without_a_command_is_shown_and_keeps_its_template(api: Api, services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(
        super_admin, {"name": "plain", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}}
    )[0]
    path = f"{SCHEDULES}/{job.id}"
    shown = api("GET", path).json
    assert (shown["target_command"], shown["template_type"]) == (None, "noop")
    assert pointers(api("PUT", path, {"target_command": "cmd.x"})) == ["/target_command"]
    assert api("PUT", path, {"priority": 9}).json["priority"] == 9
    assert pointers(api("POST", f"{path}/trigger", {"command_payload": 1})) == ["/command_payload"]


def test_pause_and_resume_keep_who_and_why(service_api: Api, services: Services) -> None:
    path = f"{SCHEDULES}/{make(service_api)['id']}"
    paused = service_api("POST", f"{path}/pause", {"reason": "Maintenance window"}, X_Performed_By="admin").json
    assert (paused["status"], paused["status_reason"], paused["updated_by"]) == ("paused", "Maintenance window", "admin")
    event = services.audit.history(AuditFilter(action="job.pause"))[0]
    assert (event["actor"]["email"], event["on_behalf_of"]) == (SERVICE, "admin")
    assert service_api("POST", f"{path}/resume").json["status"] == "active"
    assert service_api("POST", f"{path}/pause").json["status_reason"] == f"Paused by {SERVICE}"


def test_pause_and_resume_honour_if_match(api: Api) -> None:
    path = f"{SCHEDULES}/{make(api)['id']}"
    first = api("GET", path).headers["ETag"]
    paused = api("POST", f"{path}/pause", If_Match=first)
    assert (paused.status_code, paused.json["status"]) == (200, "paused")
    assert paused.headers["ETag"] == api("GET", path).headers["ETag"] != first
    assert api("POST", f"{path}/resume", If_Match=first).status_code == 412
    assert api("GET", path).json["status"] == "paused"
    assert api("POST", f"{path}/resume", If_Match=paused.headers["ETag"]).json["status"] == "active"
    assert api("POST", f"{path}/pause", If_Match=first).status_code == 412
    assert api("GET", path).json["status"] == "active"


def test_a_trigger_is_recorded_for_who_asked(service_api: Api) -> None:
    made = make(service_api, command_payload={"a": 1})
    answer = service_api("POST", f"{SCHEDULES}/{made['id']}/trigger", X_Triggered_By="admin")
    assert (answer.status_code, answer.json["triggered_by"], answer.json["status"]) == (202, "admin", "pending")
    execution = service_api("GET", f"{EXECUTIONS}/{answer.json['execution_id']}").json
    assert (execution["triggered_by"], execution["triggered_by_user"]) == ("api", "admin")
    again = service_api("POST", f"{SCHEDULES}/{made['id']}/trigger")
    assert (again.status_code, again.json["error"]) == (409, "Job already running")


def test_a_trigger_may_have_its_own_payload(service_api: Api, services: Services, super_admin: Actor) -> None:
    made = make(service_api, command_payload={"a": 1})
    run = service_api("POST", f"{SCHEDULES}/{made['id']}/trigger", {"command_payload": {"b": 2}}).json["execution_id"]
    assert services.history.get(super_admin, run).parameters["payload"] == {"b": 2}


def test_delete(api: Api) -> None:
    made = make(api)
    assert api("DELETE", f"{SCHEDULES}/{made['id']}").json == {"message": "Schedule deleted"}
    assert api("GET", f"{SCHEDULES}/{made['id']}").status_code == 404


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_has_filters_and_pages(api: Api, clock: ManualClock) -> None:
    ids = [make(api, name=f"s{number}", tags=["odd" if number % 2 else "even"], enabled=number != 4)["id"] for number in range(5)]
    once = make(api, name="z", schedule_type="one_time", run_at="2026-03-02T13:00:00Z", cron_expression=None)
    api("POST", f"{SCHEDULES}/{ids[0]}/pause")

    def names(query: str) -> list[str]:
        return [shown["name"] for shown in api("GET", f"{SCHEDULES}?{query}").json["schedules"]]

    assert names("limit=2&page=2") == names("limit=2&offset=2") == ["s2", "s3"]
    assert names("tag=odd") == ["s1", "s3"]
    assert names("status=paused") == ["s0"]
    assert names("status=disabled") == ["s4"]
    assert names("status=active") == ["s1", "s2", "s3", "z"]
    assert names("search=S3") == names("name=s3") == ["s3"]
    api("PUT", f"{SCHEDULES}/{once['id']}", {"end_at": "2026-03-02T12:30:00Z"})
    clock.advance(7200)
    assert api("GET", f"{SCHEDULES}?status=finished").status_code == 422
    for state in ("active", "paused", "disabled", "completed"):
        listed = api("GET", f"{SCHEDULES}?status={state}").json["schedules"]
        assert {shown["status"] for shown in listed} <= {state}, state


def test_executions_of_schedules(api: Api, store: Store, clock: ManualClock) -> None:
    made, other = make(api), make(api, name="other")
    runs = []
    for status in ("success", "failed", "skipped", "missed", "cancelled"):
        runs.append(api("POST", f"{SCHEDULES}/{made['id']}/trigger").json["execution_id"])
        ended(store, runs[-1], status=status)
        clock.advance(1)
    live = api("POST", f"{SCHEDULES}/{other['id']}/trigger").json["execution_id"]

    def ids(path: str) -> list[str]:
        return [row["id"] for row in api("GET", path).json["executions"]]

    assert ids(f"{SCHEDULES}/{made['id']}/executions") == ids(f"{EXECUTIONS}?schedule_id={made['id']}") == runs[::-1]
    assert ids(f"{EXECUTIONS}?status=failed") == [runs[1]]
    assert ids(f"{EXECUTIONS}?status=missed") == [runs[3]]
    assert ids(f"{EXECUTIONS}?limit=2&offset=1") == [runs[4], runs[3]]
    assert ids(f"{EXECUTIONS}/running") == []
    store.database["job_executions"].update_one({"_id": live}, {"$set": {"status": "running"}})
    assert ids(f"{EXECUTIONS}/running") == [live]
    stats = api("GET", f"{EXECUTIONS}/stats/{made['id']}").json
    told = (stats["total_executions"], stats["successful_executions"], stats["failed_executions"], stats["misfires"])
    assert told == (3, 1, 1, 2)
    assert stats["by_status"]["cancelled"] == 1
    for path in (f"{SCHEDULES}/none/executions", f"{EXECUTIONS}/stats/none", f"{EXECUTIONS}/none"):
        assert api("GET", path).status_code == 404, path


# -- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapped", [False, True])
def test_bulk_create_has_a_result_for_each(service_api: Api, wrapped: bool) -> None:
    schedules = [
        body(name="a"),
        body(name="b", cron_expression="nope"),
        body(name="a"),
        {"name": "c"},
        body(name="d", schedule_type="immediate"),
    ]
    sent: Any = {"schedules": schedules} if wrapped else schedules
    answer = service_api("POST", f"{SCHEDULES}/bulk/create", sent, X_Created_By="notification-service")
    report = answer.json
    assert (answer.status_code, report["total"], report["succeeded"], report["failed"]) == (200, 5, 2, 3)
    assert [result["success"] for result in report["results"]] == [True, False, False, False, True]
    assert report["results"][1]["errors"][0]["pointer"] == "/cron_expression"
    assert report["results"][2]["error"] == "name is already used by 'a'"
    assert {error["pointer"] for error in report["results"][3]["errors"]} >= {"/schedule_type", "/target_command"}
    assert "execution_id" in report["results"][4]
    made = service_api("GET", f"{SCHEDULES}/{report['results'][0]['schedule_id']}").json
    assert (made["name"], made["created_by"]) == ("a", "notification-service")


@pytest.mark.parametrize("sent", [[], {}, {"schedules": []}, {"schedules": {}}, "x", 5, [1], {"schedules": [body()], "x": 1}])
def test_a_wrong_list_is_refused(api: Api, sent: Any) -> None:
    assert api("POST", f"{SCHEDULES}/bulk/create", sent).status_code == 422


def test_bulk_operations_have_a_result_for_each_and_keep_the_reason(service_api: Api, api: Api, services: Services) -> None:
    ids = [make(service_api, name=name)["id"] for name in "abc"]
    service_api("POST", f"{SCHEDULES}/{ids[2]}/pause", {"reason": "before"})
    sent = {"schedule_ids": [ids[1], "uuid1", ids[0], ids[1]], "operation": "pause", "reason": "Maintenance window"}
    report = service_api("POST", f"{SCHEDULES}/bulk/operation", sent, X_Performed_By="admin").json
    assert (report["operation"], report["reason"]) == ("pause", "Maintenance window")
    assert [(result["schedule_id"], result["status"]) for result in report["results"]] == [
        (ids[1], "done"),
        ("uuid1", "failed"),
        (ids[0], "done"),
    ]
    assert report["results"][1]["error"] == "There is no schedule 'uuid1'"
    shown = service_api("GET", f"{SCHEDULES}/{ids[0]}").json
    assert (shown["status_reason"], shown["updated_by"]) == ("Maintenance window", "admin")
    resumed = service_api("POST", f"{SCHEDULES}/bulk/operation", {"schedule_ids": ids, "operation": "resume", "reason": "Over"}).json
    assert [result["status"] for result in resumed["results"]] == ["done"] * 3
    deleted = service_api("POST", f"{SCHEDULES}/bulk/operation", {"schedule_ids": ids, "operation": "delete", "reason": "Not used"}).json
    assert deleted["succeeded"] == 3
    assert api("GET", SCHEDULES).json["total"] == 0
    events = services.audit.history(AuditFilter(action="job.bulk"))
    reasons = [row["after"] for event in reversed(events) for row in event["diff"] if row["field"] == "/reason"]
    assert reasons == ["Maintenance window", "Over", "Not used"]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"schedule_ids": [], "operation": "pause"},
        {"schedule_ids": ["a"], "operation": "run"},
        {"schedule_ids": "a", "operation": "pause"},
    ],
)
def test_a_wrong_operation_is_refused(api: Api, sent: Any) -> None:
    assert api("POST", f"{SCHEDULES}/bulk/operation", sent).status_code == 422


def test_a_reader_changes_nothing(app: Any, services: Services, super_admin: Actor, api: Api) -> None:
    from app.accounts.model import Scope

    made = make(api)
    reader = Api(app, services.tokens.create(SYSTEM, email=super_admin.email, name="t", scopes=(Scope.READ,)))
    for method, path, sent in (
        ("POST", SCHEDULES, body(name="x")),
        ("PUT", f"{SCHEDULES}/{made['id']}", {"priority": 1}),
        ("DELETE", f"{SCHEDULES}/{made['id']}", None),
        ("POST", f"{SCHEDULES}/{made['id']}/pause", {}),
        ("POST", f"{SCHEDULES}/{made['id']}/resume", {}),
        ("POST", f"{SCHEDULES}/{made['id']}/trigger", {}),
        ("POST", f"{SCHEDULES}/bulk/create", [body(name="x")]),
        ("POST", f"{SCHEDULES}/bulk/operation", {"schedule_ids": [made["id"]], "operation": "delete"}),
    ):
        assert reader(method, path, sent).status_code == 403, path
    assert api("GET", SCHEDULES).json["schedules"] == [made]


# -- invalid schedules ------------------------------------------------------------------------------------------------


def test_an_invalid_stored_schedule_is_disabled_and_told_by_an_event(
    api: Api, services: Services, store: Store, settings: Settings, clock: ManualClock, super_admin: Actor
) -> None:
    broken, good = make(api, name="broken"), make(api, name="good")
    store.database["dynamic_jobs"].update_one({"_id": broken["id"]}, {"$set": {"schedule.timezone": "localtime"}})
    node = build_node(settings, store, services, create_autospec(Executor, instance=True))
    clock.advance(86_400)
    node.planning.parts.dispatcher.tick()
    event = store.database["domain_events"].find_one({"kind": "job_broken"})
    assert event is not None
    assert (event["details"]["job_name"], "IANA" in event["details"]["reason"]) == ("broken", True)
    assert next(carrier for carrier in node.planning.parts.carriers if carrier.name == "disable_broken").tick() == 1
    shown = api("GET", f"{SCHEDULES}/{broken['id']}").json
    assert (shown["status"], shown["enabled"], "IANA" in shown["status_reason"]) == ("disabled", False, True)
    assert [row["name"] for row in api("GET", f"{SCHEDULES}?status=disabled").json["schedules"]] == ["broken"]
    assert api("GET", f"{SCHEDULES}/{good['id']}").json["status"] == "active"
    disabled = services.audit.history(AuditFilter(action="job.disable"))[0]
    assert (disabled["actor"]["email"], disabled["target"]["name"]) == ("system", "broken")
    refused = api("POST", f"/api/admin/scheduler-jobs/{broken['id']}/enable")
    assert refused.status_code == 422, "it stays off until its schedule is mended"
    mended = api("PUT", f"{SCHEDULES}/{broken['id']}", {"timezone": "Europe/Berlin", "enabled": True}).json
    assert (mended["status"], mended["status_reason"]) == ("active", None)
