"""Dynamic values from the form to the run: shown ahead, judged, resolved once, recorded, the same in each attempt."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.config import Settings
from app.errors import ValidationFailed
from app.factory import Store, build_node, launch_executor
from app.queue.execution import Execution
from app.services import Services
from tests.conftest import Api
from tests.posting import post
from tests.support import eventually


def body(name: str = "beat", kind: str = "test_scheduler", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "template_type": kind, "parameters": parameters, "schedule": {"type": "manual"}}


def test_the_form_shows_what_a_value_would_become_and_what_is_wrong(browser_client: FlaskClient) -> None:
    address = "/jobs/new?template=test_scheduler"
    page = post(browser_client, address, {"/message": "Since {{ now | date }}", "/name": "x"}, action="p.action=check")
    shown = LexborHTMLParser(page.get_data(as_text=True))
    assert [one.text().split() for one in shown.css(".resolves")] == [["now", "becomes", "Since", "2026-03-02"]]
    wrong = post(browser_client, address, {"/message": "{{ nwo }}", "/name": "x"})
    assert wrong.status_code == 422
    assert "nwo is not known. Known names: now" in wrong.get_data(as_text=True)
    later = post(
        browser_client, address, {"/seconds": "{{ previous.result.seconds | default: 1 }}", "/message": "{{ execution.id }}", "/name": "x"}
    )
    assert later.status_code == 302  # a control for numbers takes an expression too
    job = browser_client.get(later.headers["Location"] + "/edit").get_data(as_text=True)
    assert "known only when the job runs" in job
    assert 'value="{{ previous.result.seconds | default: 1 }}"' in job


def test_what_it_would_become_is_judged_by_the_schema(services: Services, super_admin: Actor) -> None:
    for parameters, pointer in (
        ({"seconds": '{{ previous.result.x | default: "long" }}'}, "/parameters/seconds"),
        ({"seconds": "{{ previous.result.x | default: 100000 }}"}, "/parameters/seconds"),
        ({"message": "{{ now | nothing }}"}, "/parameters/message"),
        ({"outcome": "{{ job.name }}"}, "/parameters/outcome"),  # does not allow them
    ):
        with pytest.raises(ValidationFailed) as failed:
            services.jobs.create(super_admin, body(**parameters))
        assert [one.pointer for one in failed.value.errors] == [pointer]
    assert services.jobs.create(super_admin, body(seconds="{{ previous.result.x }}"))[1]


def test_a_fixed_value_may_be_an_expression(api: Api) -> None:
    definition = {
        "name": "Dated",
        "description": "d",
        "category": "c",
        "parameters": {"message": {"value": "On {{ now | date }}", "shown": True}},
    }
    assert api("POST", "/api/admin/job-templates", {"type": "dated", "base": "test_scheduler", "definition": definition}).status_code == 201
    assert api("POST", "/api/admin/job-templates/dated/publish").status_code == 200
    made = api("POST", "/api/admin/scheduler-jobs", body("a", "dated"))
    assert made.json["job"]["parameters"]["message"] == "On {{ now | date }}"
    other = api("POST", "/api/admin/scheduler-jobs", body("b", "dated", message="On another day"))
    assert other.json["errors"] == [{"pointer": "/parameters/message", "detail": "is fixed by the template"}]


@pytest.fixture
def node(live_services: Services, store: Store, settings: Settings) -> Any:
    executor = launch_executor(settings)
    made = build_node(settings, store, live_services, executor)
    made.start()
    yield live_services
    made.drain(1)


def run(services: Services, actor: Actor, job_id: str) -> Execution:
    execution = services.runs.run_now(actor, job_id)
    return eventually(lambda: _ended(services, actor, execution.id))


def _ended(services: Services, actor: Actor, execution_id: str) -> Execution | None:
    found = services.history.get(actor, execution_id)
    return found if not found.is_live else None


def test_a_run_resolves_records_and_knows_the_run_before_it(node: Services, super_admin: Actor) -> None:
    parameters = {
        "message": '{{ job.name }} {{ execution.id }}, before: {{ previous.id | default: "none" }}',
        "seconds": "{{ previous.result.attempt | default: 0 }}",
    }
    job, _ = node.jobs.create(super_admin, body(**parameters))
    first = run(node, super_admin, job.id)
    assert first.result["message"] == f"beat {first.id}, before: none"
    assert first.resolved == {"/message": first.result["message"], "/seconds": 0}
    assert first.parameters["seconds"] == parameters["seconds"]  # what was asked stays beside what it became
    second = run(node, super_admin, job.id)
    assert second.result["message"] == f"beat {second.id}, before: {first.id}"
    assert second.result["seconds"] == 1


def test_every_attempt_has_the_same_values(node: Services, super_admin: Actor, store: Store) -> None:
    policy = {"max_retries": 2, "retry_delay_seconds": 0, "backoff": "fixed"}
    parameters = {"message": '{{ previous.id | default: "none" }} {{ now }}', "outcome": "flaky", "succeeds_at": 3}
    job, _ = node.jobs.create(
        super_admin, {**body(**parameters), "retry_policy": policy, "overlap": "allow", "concurrency": {"max_instances": 3}}
    )
    found = run(node, super_admin, job.id)
    assert [attempt.status for attempt in found.attempts] == ["failed", "failed", "success"]
    lines = [row["message"] for row in node.logs.read(super_admin, found.id)[0] if "attempt" in row["message"]]
    assert len({line.rpartition(" (attempt")[0] for line in lines if "(attempt" in line}) == 1


def test_a_value_that_cannot_be_resolved_at_the_run_ends_it_at_its_place(node: Services, super_admin: Actor) -> None:
    job, _ = node.jobs.create(super_admin, body(message="{{ previous.result.message }}"))
    found = run(node, super_admin, job.id)
    assert found.status == "failed"
    assert found.error.message.startswith("/message: previous.result.message is missing. Give it a default")
    assert len(found.attempts) == 1
