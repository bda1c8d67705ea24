"""Two layers: what the code of a service declares, and what admins choose."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor
from app.errors import ValidationFailed
from app.jobs.model import Job
from app.services import Services
from tests.conftest import Api
from tests.integration.integrations.test_registration import BY_URL, REGISTER, registered

NAME = BY_URL["name"]
JOBS = "/api/admin/scheduler-jobs"


@pytest.fixture
def job(bot_api: Api, services: Services) -> Job:
    """The registered job of document 000."""
    assert bot_api("POST", REGISTER, BY_URL).status_code == 200
    return registered(services, NAME)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"description": "mine"}, "/description"),
        ({"name": "mine"}, "/name"),
        ({"timeout_seconds": 5}, "/timeout_seconds"),
        ({"parameters": {"service": "email-service", "job_name": "other"}}, "/parameters"),
    ],
)
def test_what_the_code_decides_is_refused_with_the_service_as_the_reason(
    api: Api, services: Services, job: Job, changes: dict[str, Any], pointer: str
) -> None:
    answer = api("PUT", f"{JOBS}/{job.id}", {**changes, "priority": 9})
    assert answer.status_code == 422, answer.json
    assert [(error["pointer"], "email-service" in error["detail"]) for error in answer.json["errors"]] == [(pointer, True)]
    assert registered(services, NAME).version == job.version


def test_another_template_or_new_dependencies_are_refused(api: Api, services: Services, job: Job) -> None:
    api("POST", JOBS, {"name": "first", "template_type": "noop", "parameters": {}})
    answer = api("PUT", f"{JOBS}/{job.id}", {"depends_on": [{"job": "first"}]})
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, ["/depends_on"])
    answer = api("PUT", f"{JOBS}/{job.id}", {"template_type": "noop"})
    assert answer.status_code == 422
    assert "/template_type" in [error["pointer"] for error in answer.json["errors"]]


def test_what_admins_decide_survives_every_registration(api: Api, bot_api: Api, services: Services, job: Job) -> None:
    chosen = {
        "schedule": {"type": "cron", "expression": "0 10 * * 2", "timezone": "Europe/Berlin"},
        "enabled": True,
        "retry_policy": {"max_retries": 1},
        "priority": 9,
        "tags": ["mine"],
        "notifications": {"on_failure": ["ada@example.com"]},
        "pause_after_failures": 3,
    }
    answer = api("PUT", f"{JOBS}/{job.id}", chosen)
    assert answer.status_code == 200, answer.json
    fields = {item["field"] for item in answer.json["job"]["registered"]["overrides"]}
    assert fields == {
        "/schedule/expression",
        "/schedule/timezone",
        "/enabled",
        "/retry_policy/max_retries",
        "/priority",
        "/tags",
        "/notifications/on_failure",
        "/pause_after_failures",
    }
    assert bot_api("POST", REGISTER, BY_URL).json["unchanged"] == [NAME]
    assert bot_api("POST", REGISTER, {**BY_URL, "config": {"batchSize": 7}, "tags": ["a"]}).json["updated"] == [NAME]
    after = registered(services, NAME).definition
    assert after.schedule.values()["expression"] == "0 10 * * 2"
    assert (after.enabled, after.retry_policy.max_retries, after.priority, after.tags) == (True, 1, 9, ("mine",))
    assert after.parameters["config"] == {"batchSize": 7}


def test_the_switch_of_an_admin_outlives_a_registration(api: Api, enabling_api: Api, services: Services, job: Job) -> None:
    api("POST", f"{JOBS}/{job.id}/enable")
    enabling_api("POST", REGISTER, {**BY_URL, "description": "x"})
    assert registered(services, NAME).definition.enabled
    api("POST", f"{JOBS}/{job.id}/disable")
    assert registered(services, NAME).registered.overrides == ()  # type: ignore[union-attr]
    enabling_api("POST", REGISTER, {**BY_URL, "enabled": True})
    assert registered(services, NAME).definition.enabled
    api("POST", f"{JOBS}/{job.id}/disable")
    enabling_api("POST", REGISTER, {**BY_URL, "enabled": True, "description": "y"})
    assert not registered(services, NAME).definition.enabled


@pytest.mark.parametrize(("keep", "expression"), [(True, "0 10 * * 1"), (False, "0 8 * * MON")])
def test_drift_is_shown_and_either_side_can_be_chosen(
    api: Api, bot_api: Api, services: Services, job: Job, super_admin: Actor, keep: bool, expression: str
) -> None:
    api("PUT", f"{JOBS}/{job.id}", {"schedule": {"type": "cron", "expression": "0 10 * * 1"}})
    bot_api("POST", REGISTER, {**BY_URL, "cronExpression": "0 8 * * MON"})
    shown = api("GET", f"{JOBS}/{job.id}").json["job"]
    (drifted,) = shown["registered"]["drift"]
    assert {name: drifted[name] for name in ("field", "value", "before", "declared", "by")} == {
        "field": "/schedule/expression",
        "value": "0 10 * * 1",
        "before": "0 9 * * MON",
        "declared": "0 8 * * MON",
        "by": "admin@example.com",
    }
    assert shown["schedule"]["expression"] == "0 10 * * 1"
    assert api("GET", "/api/services/email-service").json["jobs"][0]["drift"] == ["/schedule/expression"]
    newest = services.jobs.revisions(super_admin, job.id)[0]
    assert [row["field"] for row in newest.diff] == ["/declared/schedule/expression"]
    settled = api("PUT", f"{JOBS}/{job.id}/overrides", {"field": "/schedule/expression", "keep": keep})
    assert settled.status_code == 200, settled.json
    assert settled.json["job"]["schedule"]["expression"] == expression
    assert settled.json["job"]["registered"]["drift"] == []
    assert bool(settled.json["job"]["registered"]["overrides"]) is keep


def test_the_declared_value_waits_for_approval_where_a_destructive_job_follows(
    api: Api, admin_api: Api, bot_api: Api, services: Services, super_admin: Actor, job: Job
) -> None:
    api("PUT", f"{JOBS}/{job.id}", {"priority": 2})
    destroys = {"name": "destroys", "template_type": "misbehave", "parameters": {"how": "raise"}, "depends_on": [{"job": job.id}]}
    services.jobs.create(super_admin, destroys)
    settle = f"{JOBS}/{job.id}/overrides"
    assert admin_api("PUT", settle, {"field": "/priority", "keep": True}).status_code == 200
    asked = admin_api("PUT", settle, {"field": "/priority", "keep": False})
    assert asked.status_code == 202
    assert registered(services, NAME).definition.priority == 2
    assert api("POST", f"/api/admin/approvals/{asked.json['approval']['_id']}/approve").status_code == 200
    after = registered(services, NAME)
    assert after.registered is not None
    assert (after.definition.priority, after.registered.overrides) == (5, ())


def test_a_job_is_not_settled_into_a_group_that_the_admin_does_not_see(
    api: Api, bot_api: Api, services: Services, admin: Actor, job: Job
) -> None:
    api("PUT", f"{JOBS}/{job.id}", {"group": "mine"})
    with pytest.raises(ValidationFailed) as refused:
        services.registrations.settle(replace(admin, groups=frozenset({"mine"})), job.id, "/group", keep=False)
    assert [error.pointer for error in refused.value.errors] == ["/group"]
    assert registered(services, NAME).definition.group == "mine"


def test_a_field_without_an_override_cannot_be_settled(api: Api, job: Job) -> None:
    answer = api("PUT", f"{JOBS}/{job.id}/overrides", {"field": "/priority", "keep": False})
    assert answer.status_code == 409
    assert api("PUT", f"{JOBS}/{job.id}/overrides", {"field": "/priority"}).status_code == 422


def test_an_invalid_cron_change_leaves_the_schedule_as_it_is(api: Api, services: Services, job: Job) -> None:
    answer = api("PUT", f"{JOBS}/{job.id}", {"schedule": {"type": "cron", "expression": "61 * * * *"}})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/schedule/expression")
    assert registered(services, NAME) == job


def test_an_older_version_brings_back_only_what_admins_decide(
    api: Api, bot_api: Api, services: Services, super_admin: Actor, job: Job
) -> None:
    bot_api("POST", REGISTER, {**BY_URL, "description": "new text", "cronExpression": "0 8 * * MON"})
    services.jobs.restore(super_admin, job.id, 1)
    after = registered(services, NAME)
    assert (after.definition.description, after.definition.schedule.values()["expression"]) == ("new text", "0 9 * * MON")
    assert after.registered is not None
    assert [item.field for item in after.registered.overrides] == ["/schedule/expression"]


def test_a_whole_definition_as_it_is_shown_can_be_sent_back(api: Api, job: Job, services: Services) -> None:
    shown = api("GET", f"{JOBS}/{job.id}").json["job"]
    names = (
        "name",
        "description",
        "template_type",
        "parameters",
        "schedule",
        "enabled",
        "timeout_seconds",
        "retry_policy",
        "tags",
        "depends_on",
    )
    body = {name: shown[name] for name in names}
    answer = api("PUT", f"{JOBS}/{job.id}", {**body, "priority": 3})
    assert answer.status_code == 200, answer.json
    assert [item["field"] for item in answer.json["job"]["registered"]["overrides"]] == ["/priority"]


@pytest.mark.parametrize(
    ("kind", "comment"), [("yaml", "# Left out, because services register them from their code: 1 job\n"), ("json", "{")]
)
def test_an_export_leaves_out_what_services_register(
    services: Services, super_admin: Actor, api: Api, job: Job, kind: str, comment: str
) -> None:
    api("POST", JOBS, {"name": "mine", "template_type": "noop", "parameters": {}, "depends_on": [{"job": NAME}]})
    text = services.exchange.export(super_admin, kind)
    assert text.startswith(comment)
    plan = services.exchange.plan(super_admin, text, prune=True)
    assert [(step.name, step.action.value) for step in plan.steps] == [("mine", "unchanged")]
    assert registered(services, NAME).version == job.version


def test_a_file_does_not_change_what_the_code_decides(services: Services, super_admin: Actor, job: Job) -> None:
    body = {"name": NAME, "template_type": "service_job", "description": "mine", "parameters": dict(job.definition.parameters)}
    plan = services.exchange.plan(super_admin, json.dumps({"jobwright": 1, "jobs": [body]}))
    assert [step.action.value for step in plan.steps] == ["invalid"]
    assert "email-service" in str(plan.steps[0].errors)


def test_what_the_code_changes_of_when_it_runs_is_held_back_where_a_destructive_job_follows(
    api: Api, admin_api: Api, enabling_api: Api, services: Services, super_admin: Actor
) -> None:
    enabling_api("POST", REGISTER, BY_URL)
    job = registered(services, NAME)
    destroys = {"name": "destroys", "template_type": "misbehave", "parameters": {"how": "raise"}, "depends_on": [{"job": job.id}]}
    services.jobs.create(super_admin, destroys)
    wanted = {**BY_URL, "cronExpression": "* * * * *", "enabled": True, "config": {"batchSize": 7}}
    answer = enabling_api("POST", REGISTER, wanted)
    assert (answer.status_code, answer.json["updated"]) == (200, [NAME])
    assert [(item["pointer"], "destroy data" in item["detail"]) for item in answer.json["warnings"]] == [("", True)]
    held = registered(services, NAME)
    assert held.definition.schedule == job.definition.schedule
    assert (held.definition.enabled, held.next_run_at) == (False, None)
    assert held.definition.parameters["config"] == {"batchSize": 7}, "what the job does is the service's word"
    page = api("GET", f"{JOBS}/{job.id}").json["job"]["registered"]
    assert {item["field"] for item in page["drift"]} == {"/enabled", "/schedule/expression"}
    assert enabling_api("POST", REGISTER, wanted).json["unchanged"] == [NAME]
    # An admin asks for the value of the code, and a super-admin agrees.
    settle = f"{JOBS}/{job.id}/overrides"
    asked = admin_api("PUT", settle, {"field": "/schedule/expression", "keep": False})
    assert asked.status_code == 202
    assert api("POST", f"/api/admin/approvals/{asked.json['approval']['_id']}/approve").status_code == 200
    assert api("PUT", settle, {"field": "/enabled", "keep": False}).status_code == 200
    after = registered(services, NAME)
    assert after.registered is not None
    assert (after.definition.enabled, after.registered.overrides) == (True, ())
    assert getattr(after.definition.schedule.trigger, "expression", None) == "* * * * *"


def test_a_retired_job_before_a_destructive_one_returns_with_the_settings_that_it_had(
    enabling_api: Api, services: Services, super_admin: Actor
) -> None:
    manifest = "/api/services/email-service/manifest"
    declared = {name: BY_URL[name] for name in ("name", "cronExpression")} | {"enabled": True}
    assert enabling_api("PUT", manifest, {"version": "1", "address": BY_URL["serviceUrl"], "jobs": [declared]}).status_code == 200
    job = registered(services, NAME)
    destroys = {"name": "destroys", "template_type": "misbehave", "parameters": {"how": "raise"}, "depends_on": [{"job": job.id}]}
    services.jobs.create(super_admin, destroys)
    assert enabling_api("PUT", manifest, {"version": "2", "jobs": []}).json["retired"] == [NAME]
    assert not registered(services, NAME).definition.enabled
    answer = enabling_api("PUT", manifest, {"version": "3", "jobs": [declared]})
    assert (answer.json["updated"], answer.json.get("warnings", [])) == ([NAME], [])
    assert registered(services, NAME).definition == job.definition
    answer = enabling_api("PUT", manifest, {"version": "4", "jobs": [{**declared, "cronExpression": "0 1 * * *"}]})
    assert [item["pointer"] for item in answer.json["warnings"]] == ["/jobs/0"]
    assert registered(services, NAME).definition == job.definition


def test_what_was_held_back_is_forgotten_when_the_code_comes_back_to_it(
    enabling_api: Api, services: Services, super_admin: Actor, job: Job
) -> None:
    destroys = {"name": "destroys", "template_type": "misbehave", "parameters": {"how": "raise"}, "depends_on": [{"job": job.id}]}
    services.jobs.create(super_admin, destroys)
    enabling_api("POST", REGISTER, {**BY_URL, "priority": 9})
    enabling_api("POST", REGISTER, BY_URL)
    after = registered(services, NAME)
    assert after.registered is not None
    assert (after.definition, after.registered.overrides) == (job.definition, ())
