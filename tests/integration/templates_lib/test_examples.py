"""The worked examples of each template: every one is created as a job by REST and run, and ends with the message that its page gives."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from app.validation.dynamic import has_any
from scripts.reference import PAGES, Example, examples, pages, templates
from tests.builders.worked import SERVICE, World, world

ENTRIES = {entry.template.type: entry for entry in templates()}
EACH = [pytest.param(kind, example, id=f"{kind}-{n}") for kind in ENTRIES for n, example in enumerate(examples(kind), 1)]


@pytest.fixture(scope="module")
def running(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(mongod, tmp_path_factory.mktemp("worked"), f"t_{uuid.uuid4().hex[:16]}") as made:
        yield made


@pytest.mark.parametrize(("kind", "example"), EACH)
def test_it_is_created_by_rest_and_does_what_its_page_says(running: World, kind: str, example: Example) -> None:
    running.refresh()
    parameters = json.loads(re.sub(r"https://[a-z]+\.example\.com", running.web, json.dumps(example.parameters)))
    if ENTRIES[kind].template.listed:
        body = {"name": f"{kind}: {example.title}", "template_type": kind, "parameters": parameters, **example.policies}
        made = running.client.post("/api/admin/scheduler-jobs", json=body)
        assert made.status_code == 201, made.text
        job = made.json()["job"]["_id"]
    else:
        job = registered(running, parameters)
    answer = running.client.post(f"/api/admin/scheduler-jobs/{job}/run", params={"wait": 60})
    assert answer.status_code == 200, answer.text
    execution = answer.json()["execution"]
    assert execution["status"] == "success", execution["error"]
    assert matches(example.message, execution["result"]["message"]), execution["result"]["message"]


def registered(running: World, parameters: dict[str, Any]) -> str:
    """Has the service register the job of an example. Returns the id of the job, whose parameters hold those of the example."""
    token = service_token(running)
    with running.service.client(token) as client:
        body = {
            "name": parameters["job_name"],
            "serviceName": SERVICE,
            "serviceUrl": running.web,
            "config": parameters["config"],
            "schedule": {"type": "manual"},
            **({"onFailedItems": parameters["on_failed_items"]} if "on_failed_items" in parameters else {}),
            **({"heartbeatSeconds": parameters["heartbeat_seconds"]} if "heartbeat_seconds" in parameters else {}),
        }
        answer = client.post("/api/jobs/register", json=body)
        assert answer.is_success, answer.text
    (job,) = running.client.get("/api/admin/scheduler-jobs", params={"name": parameters["job_name"]}).json()["jobs"]
    assert parameters.items() <= {**job["parameters"], "job_name": parameters["job_name"]}.items()
    return str(job["_id"])


def service_token(running: World) -> str:
    users = running.client.get("/api/admin/users").json()["users"]
    user = next((user for user in users if user["email"] == "email-service@example.com"), None)
    if user is None:
        body = {"email": "email-service@example.com", "kind": "service", "role": "admin"}
        user = running.client.post("/api/admin/users", json=body).raise_for_status().json()["user"]
    made = running.client.post(f"/api/admin/users/{user['_id']}/tokens", json={"name": uuid.uuid4().hex, "scopes": ["services"]})
    return str(made.raise_for_status().json()["text"])


def matches(pattern: str, message: str) -> bool:
    """Whether a message is the one of a page, in which … stands for any text."""
    return re.fullmatch(".+?".join(map(re.escape, pattern.split("…"))), message) is not None


def test_a_message_that_differs_is_noticed() -> None:
    assert matches("Saved … documents (… bytes)", "Saved 1,200 documents (7 bytes)")
    assert not matches("Deleted 40 documents", "Deleted 41 documents")
    assert not matches("Saved … documents", "Saved 4 documents, and more")


@pytest.mark.parametrize(("kind", "example"), EACH)
def test_its_parameters_are_valid_and_its_title_is_a_name(kind: str, example: Example) -> None:
    entry = ENTRIES[kind]
    if not has_any(example.parameters):
        assert entry.check(example.parameters) == []
    assert 2 <= len(examples(kind)) <= 3
    assert len({one.title for one in examples(kind)}) == len(examples(kind))


def test_the_reference_pages_are_up_to_date() -> None:
    """If this fails, run `make reference`."""
    wanted = {path.name: text for path, text in pages().items()}
    assert {path.name: path.read_text("utf-8") for path in PAGES.glob("*.md")} == wanted


def test_a_page_that_is_stale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ENTRIES["database_cleanup"]
    before = pages()[PAGES / "database_cleanup.md"]
    member = entry.template.parameters_schema["properties"]["max_deletes"]
    monkeypatch.setitem(member, "maximum", 7)
    assert "at most 7" not in before
    assert "at most 7" in pages()[PAGES / "database_cleanup.md"]
