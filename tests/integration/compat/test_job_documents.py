"""The document "Dynamic Scheduler Job Registry": its job document as it stands, its schedules, and a connection that is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.audit.model import Actor
from app.services import Services
from tests.conftest import Api
from tests.integration.compat.documents import REGISTRY, sample

JOBS = "/api/admin/scheduler-jobs"
DOCUMENT = json.loads(sample(REGISTRY, "1. `dynamic_jobs` Collection"))


@pytest.fixture
def shop(services: Services, super_admin: Actor) -> str:
    """The connection `default` of the kind MongoDB."""
    services.connections.create(
        super_admin, name="default", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/shop", "database": "shop"}
    )
    return "default"


def pointers(answer: Any) -> list[str]:
    return sorted(error["pointer"] for error in answer.json["errors"])


def test_the_job_of_the_document_is_accepted_as_it_stands(api: Api, shop: str) -> None:
    answer = api("POST", JOBS, DOCUMENT)
    assert (answer.status_code, answer.json["message"]) == (201, "Job created successfully")
    job = answer.json["job"]
    for name in ("name", "description", "template_type", "enabled", "timeout_seconds", "notifications"):
        assert job[name] == DOCUMENT[name], name
    assert job["schedule"].items() >= DOCUMENT["schedule"].items()
    assert job["retry_policy"].items() >= DOCUMENT["retry_policy"].items()
    assert job["parameters"].items() >= {**DOCUMENT["parameters"], "connection": shop}.items()
    assert (job["_id"] != "job_123", job["created_by"], job["last_run_at"]) == (True, "admin@example.com", None), (
        "of these the registry decides"
    )
    assert job["next_run_at"] == "2026-03-08T02:00:00.000Z"


def test_what_was_read_can_be_sent_back(api: Api, shop: str) -> None:
    job = api("POST", JOBS, DOCUMENT).json["job"]
    answer = api("PUT", f"{JOBS}/{job['id']}", {**job, "description": "other"})
    assert (answer.status_code, answer.json["job"]["description"], answer.json["job"]["version"]) == (200, "other", 2)
    assert answer.json["job"]["created_at"] == job["created_at"]


@pytest.mark.parametrize("name", ["_id", "created_by", "version", "next_run_at"])
def test_a_part_of_a_record_is_a_mistake(api: Api, shop: str, name: str) -> None:
    part = {key: value for key, value in DOCUMENT.items() if key not in {"_id", "created_by", "version", "next_run_at"} - {name}}
    answer = api("POST", JOBS, part)
    assert answer.status_code == 422
    assert f"/{name}" in pointers(answer)


@pytest.mark.parametrize(
    ("template", "schedule", "stored"),
    [
        # Step 2: Gradual Migration
        ("test_scheduler", {"interval_seconds": 60}, {"type": "interval", "interval_seconds": 60}),
        ("noop", {"cron": "0 19 * * *"}, {"type": "cron", "expression": "0 19 * * *"}),
        (
            "noop",
            {"cron": "0 19 * * *", "timezone": "Europe/Berlin"},
            {"type": "cron", "expression": "0 19 * * *", "timezone": "Europe/Berlin"},
        ),
    ],
)
def test_schedules_without_a_type(api: Api, template: str, schedule: dict[str, Any], stored: dict[str, Any]) -> None:
    answer = api("POST", JOBS, {"name": template, "template_type": template, "schedule": schedule})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert answer.json["job"]["schedule"].items() >= stored.items()
    changed = api("PUT", f"{JOBS}/{answer.json['job']['id']}", {"schedule": {"interval_seconds": 120}})
    assert changed.json["job"]["schedule"]["interval_seconds"] == 120


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        ({"cron": "61 19 * * *"}, ["/schedule/cron"]),
        ({"cron": 5}, ["/schedule/cron"]),
        ({"cron": "0 19 * * *", "zone": "UTC"}, ["/schedule/zone"]),
        ({"interval_seconds": 0}, ["/schedule/interval_seconds"]),
        ({"type": "cron", "cron": "0 19 * * *"}, ["/schedule/cron", "/schedule/expression"]),
        ({"cron": "0 19 * * *", "expression": "0 20 * * *"}, ["/schedule/cron", "/schedule/type"]),
        ({}, ["/schedule/type"]),
    ],
)
def test_errors_of_such_schedules_are_told_where_they_were_written(api: Api, schedule: dict[str, Any], wrong: list[str]) -> None:
    assert pointers(api("POST", JOBS, {"name": "x", "template_type": "noop", "schedule": schedule})) == wrong


def test_the_ticket_cleanup_of_the_migration(api: Api, shop: str) -> None:
    parameters = {"collection": "tickets", "older_than_days": 30, "statuses": ["resolved"]}
    body = {"name": "auto_delete_resolved_tickets", "template_type": "ticket_cleanup", "schedule": {"cron": "0 19 * * *"}}
    answer = api("POST", JOBS, {**body, "parameters": parameters})
    assert (answer.status_code, answer.json["job"]["parameters"]["connection"]) == (201, shop)


def test_without_a_default_connection_one_must_be_named(api: Api, services: Services, super_admin: Actor) -> None:
    wrong = api("POST", JOBS, DOCUMENT)
    assert (wrong.status_code, pointers(wrong)) == (422, ["/parameters/connection"])
    services.connections.create(super_admin, name="default", kind="file_store", settings={"path": "/nowhere"})
    assert pointers(api("POST", JOBS, DOCUMENT)) == ["/parameters/connection"], "the one of another kind is none"
    services.connections.create(
        super_admin, name="default-mongodb", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/x", "database": "x"}
    )
    assert api("POST", JOBS, DOCUMENT).json["job"]["parameters"]["connection"] == "default-mongodb"


def test_a_connection_that_is_named_stays(api: Api, services: Services, super_admin: Actor, shop: str) -> None:
    services.connections.create(super_admin, name="other", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/x", "database": "x"})
    answer = api("POST", JOBS, {**DOCUMENT, "parameters": {**DOCUMENT["parameters"], "connection": "other"}})
    assert answer.json["job"]["parameters"]["connection"] == "other"


def test_a_default_connection_inside_an_object(api: Api, services: Services, super_admin: Actor, shop: str) -> None:
    services.connections.create(super_admin, name="default-file_store", kind="file_store", settings={"path": "/nowhere"})
    parameters = {"collection": "users", "condition": {"a": 1}, "to": "files", "destination": {"path": "archive"}}
    answer = api("POST", JOBS, {"name": "a", "template_type": "data_archive", "parameters": parameters})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert answer.json["job"]["parameters"]["destination"]["connection"] == "default-file_store"


def test_forms_begin_with_the_default_connection(browser_client: Any, services: Services, super_admin: Actor, shop: str) -> None:
    services.connections.create(super_admin, name="other", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/x", "database": "x"})
    page = browser_client.get("/jobs/new?template=database_cleanup").get_data(as_text=True)
    assert '<option value="default" selected' in page or 'value="default"' in page.split("selected")[0].rsplit("<option", 1)[-1]
