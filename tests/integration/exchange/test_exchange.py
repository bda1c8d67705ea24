"""Jobs out of files and into them, over every face."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Forbidden, ValidationFailed
from app.exchange.file import FileRefused
from app.exchange.service import StepAction, StepResult
from app.factory import Store, build_services
from app.jobs.filters import JobFilter
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.commands import jobwright
from tests.conftest import Api, csrf
from tests.support import KEY, KINDS

FILE = """
jobwright: 1
jobs:
- name: first
  template_type: noop
  schedule: {type: cron, expression: 0 3 * * *, timezone: Europe/Berlin}
  tags: [a, b]
  retry_policy: {max_retries: 1}
- name: second
  template_type: noop
  parameters: {secret: hidden thing}
  description: |
    Two
    lines
"""


def actions(plan: Any) -> list[tuple[str, str]]:
    return [(step.name, step.action.value) for step in plan.steps]


def test_a_plan_changes_nothing_and_applying_makes_it_so_once(services: Services, super_admin: Actor) -> None:
    plan = services.exchange.plan(super_admin, FILE)
    assert actions(plan) == [("first", "create"), ("second", "create")]
    assert services.directory.page(super_admin, JobFilter()).total == 0
    assert {step.result for step in services.exchange.apply(super_admin, FILE).steps} == {StepResult.DONE}
    assert actions(services.exchange.plan(super_admin, FILE)) == [("first", "unchanged"), ("second", "unchanged")]
    again = services.exchange.plan(super_admin, FILE.replace("hidden thing", "another thing"))
    assert again.steps[1].diff == [{"field": "/parameters/secret", "before": {"$secret": "set"}, "after": {"$secret": "set"}}]
    job = services.directory.page(super_admin, JobFilter(search="first")).items[0]
    assert (job.origin, job.definition.tags, job.definition.retry_policy.max_retries) == ("import", ("a", "b"), 1)
    assert [one["action"] for one in services.audit.history(AuditFilter(kind="job"))] == ["job.create", "job.create"]


def test_what_is_exported_changes_nothing_when_it_comes_back(services: Services, super_admin: Actor) -> None:
    services.exchange.apply(super_admin, FILE)
    services.jobs.create(
        super_admin, {"name": "third", "template_type": "noop", "enabled": False, "schedule": {"type": "interval", "interval_seconds": 60}}
    )
    for kind in ("yaml", "json"):
        text = services.exchange.export(super_admin, kind)
        assert "hidden thing" not in text
        plan = services.exchange.plan(super_admin, text, prune=True)
        assert set(actions(plan)) == {("first", "unchanged"), ("second", "unchanged"), ("third", "unchanged")}
    exported = yaml.safe_load(services.exchange.export(super_admin, "yaml"))["jobs"]
    assert (exported[1]["description"], exported[1]["parameters"]["secret"]) == ("Two\nlines\n", {"$secret": "set"})
    assert "misfire" not in exported[0]


def test_a_file_says_a_job_whole_but_leaves_its_switch(services: Services, super_admin: Actor) -> None:
    services.exchange.apply(super_admin, FILE)
    job = services.directory.page(super_admin, JobFilter(search="first")).items[0]
    services.jobs.update(super_admin, job.id, {"priority": 9, "description": "by hand"})
    services.jobs.set_enabled(super_admin, job.id, enabled=False)
    plan = services.exchange.plan(super_admin, FILE)
    changed = {row["field"]: (row["before"], row["after"]) for row in plan.steps[0].diff}
    assert changed == {"/priority": (9, 5), "/description": ("by hand", "")}
    services.exchange.apply(super_admin, FILE)
    after = services.jobs.get(super_admin, job.id).definition
    assert (after.priority, after.description, after.enabled) == (5, "", False)
    services.exchange.apply(super_admin, FILE.replace("name: first", "name: first\n  enabled: true"))
    assert services.jobs.get(super_admin, job.id).definition.enabled


def test_pruning_takes_only_what_came_out_of_a_file(services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "by hand", "template_type": "noop"})
    services.exchange.apply(super_admin, FILE)
    less = FILE.split("- name: second")[0]
    second = services.directory.page(super_admin, JobFilter(search="second")).items[0]
    waiting = services.runs.run_now(super_admin, second.id).id
    assert actions(services.exchange.plan(super_admin, less)) == [("first", "unchanged")]
    assert actions(services.exchange.apply(super_admin, less, prune=True)) == [("first", "unchanged"), ("second", "delete")]
    assert services.directory.names(super_admin, limit=10) == ["by hand", "first"]
    assert services.history.get(super_admin, waiting).status == "skipped", "what a deleted job has waiting does not run"


def test_one_wrong_job_and_nothing_is_done(services: Services, super_admin: Actor) -> None:
    bad = (
        FILE
        + "- name: third\n  template_type: nope\n- name: first\n  template_type: noop\n- template_type: noop\n- name: x\n  template_type: noop\n  colour: red\n"
    )
    plan = services.exchange.plan(super_admin, bad)
    wrong = {step.index: [error.pointer for error in step.errors] for step in plan.steps if step.action is StepAction.REFUSE}
    assert wrong == {2: ["/template_type"], 3: ["/name"], 4: ["/name"], 5: ["/colour"]}
    with pytest.raises(ValidationFailed) as failed:
        services.exchange.apply(super_admin, bad)
    assert [one.pointer for one in failed.value.errors] == ["/jobs/2/template_type", "/jobs/3/name", "/jobs/4/name", "/jobs/5/colour"]
    assert services.directory.page(super_admin, JobFilter()).total == 0


def test_a_file_does_no_more_than_who_brings_it_may(services: Services, super_admin: Actor, admin: Actor) -> None:
    danger = "jobwright: 1\njobs:\n- {name: d, template_type: misbehave, parameters: {how: raise}}\n"
    (step,) = services.exchange.apply(admin, danger).steps
    assert (step.result, services.directory.page(admin, JobFilter()).total) == (StepResult.WAITS, 0)
    assert services.approvals.get(admin, step.detail)["state"] == "pending"
    kept = replace(admin, groups=frozenset({"north"}))
    services.exchange.apply(super_admin, FILE)
    assert services.exchange.export(kept, "yaml") == "jobwright: 1\njobs: []\n"
    plan = services.exchange.plan(kept, FILE, prune=True)
    assert [step.action for step in plan.steps] == [
        StepAction.REFUSE,
        StepAction.REFUSE,
    ]  # the names are taken by jobs that they do not see
    for actor in (replace(admin, role="user"), replace(admin, scopes=frozenset({"read"}))):
        with pytest.raises(Forbidden):
            services.exchange.plan(actor, FILE)


def test_what_can_no_longer_be_done_is_said_and_the_rest_is_done(services: Services, super_admin: Actor, store: Store) -> None:
    services.exchange.apply(super_admin, FILE.split("- name: second")[0])
    changed = FILE.replace("tags: [a, b]", "tags: [c]")
    update = services.jobs.update

    def overtaken(actor: Actor, job_id: str, body: Any, *, version: int | None = None) -> Any:
        update(actor, job_id, {"priority": 7})  # someone else, between the plan and its doing
        return update(actor, job_id, body, version=version)

    object.__setattr__(services.exchange._registry, "update", overtaken)
    try:
        done = services.exchange.apply(super_admin, changed)
    finally:
        object.__delattr__(services.exchange._registry, "update")
    assert [(step.name, step.result) for step in done.steps] == [("first", StepResult.FAILED), ("second", StepResult.DONE)]


@pytest.mark.parametrize("number", ["1e400", "-1.5e999"])
def test_a_number_that_is_too_large_is_refused_at_its_place(services: Services, super_admin: Actor, number: str) -> None:
    text = f"jobwright: 1\njobs:\n- name: a\n  template_type: noop\n  parameters: {{seconds: {number}}}\n"
    (step,) = services.exchange.plan(super_admin, text).steps
    assert next((one.pointer, "too large" in one.message) for one in step.errors) == ("/parameters/seconds", True)


def test_over_rest(api: Api) -> None:
    base = "/api/admin/scheduler-jobs"
    client, headers = api._client, api._headers
    send = lambda path, data, kind="application/yaml": client.post(f"{base}/{path}", data=data, headers=headers, content_type=kind)
    plan = send("plan", FILE)
    assert (plan.status_code, plan.json["counts"], plan.json["valid"]) == (200, {"create": 2}, True)
    assert api("GET", base).json["total"] == 0
    assert [step["result"] for step in send("apply", FILE).json["steps"]] == ["done", "done"]
    exported = client.get(f"{base}/export?tag=a", headers=headers)
    assert (exported.content_type.split(";")[0], [job["name"] for job in yaml.safe_load(exported.data)["jobs"]]) == (
        "application/yaml",
        ["first"],
    )
    as_json = client.get(f"{base}/export?format=json", headers=headers)
    assert [step["action"] for step in send("plan?prune=true", as_json.data, "application/json").json["steps"]] == [
        "unchanged",
        "unchanged",
    ]
    for path, data, kind, status in (
        ("plan", FILE, "text/plain", 415),
        ("plan", b"\xff", "application/yaml", 400),
        ("plan", "a: [", "application/yaml", 422),
        ("apply", "jobwright: 1\njobs: [{}]", "application/yaml", 422),
        ("plan?prune=perhaps", FILE, "application/yaml", 422),
    ):
        assert send(path, data, kind).status_code == status, (path, data)


def test_on_the_page(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    page = browser_client.get("/jobs/import").get_data(as_text=True)

    def send(**form: Any) -> Any:
        return browser_client.post("/jobs/import", data={"csrf_token": csrf(page), **form}, content_type="multipart/form-data")

    shown = send(upload=(io.BytesIO(FILE.encode()), "jobs.yaml"), action="plan").get_data(as_text=True)
    assert "2 to create" in shown
    assert "Apply 2 changes" in shown
    assert "hidden thing" in shown, "the text stays for the next step"
    answer = send(file=FILE, action="apply")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/jobs")
    assert "first" in browser_client.get("/jobs").get_data(as_text=True)
    assert "line 2" in send(file="a: [", action="plan").get_data(as_text=True)
    assert "not a text in UTF-8" in send(upload=(io.BytesIO(b"\xff\xfe"), "x"), action="plan").get_data(as_text=True)
    wrong = send(file="jobwright: 1\njobs:\n- {name: <b>x</b>, template_type: nope}", action="plan").get_data(as_text=True)
    assert "&lt;b&gt;x" in wrong
    assert "Apply" not in wrong
    exported = browser_client.get("/jobs/export.yaml?tag=b")
    assert [job["name"] for job in yaml.safe_load(exported.data)["jobs"]] == ["first"]


def test_on_the_command_line(mongod: str, database_name: str, tmp_path: Path, store: Store) -> None:
    environment = {**os.environ, "MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": database_name, "JOBWRIGHT_DATA_DIR": str(tmp_path / "d")}
    environment["PYTHONPATH"] = str(KINDS)
    environment["JOBWRIGHT_SECRET_KEY"] = KEY
    (tmp_path / "jobs.yaml").write_text(FILE)

    def command(*arguments: str, code: int = 0) -> str:
        ran = jobwright(environment, *arguments)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    try:
        file = str(tmp_path / "jobs.yaml")
        assert "start `jobwright serve` once" in command("plan", file, code=78), "a plan makes no registry"
        command("migrate")
        assert "create    first" in command("plan", file, code=10)
        applied = command("apply", file)
        assert ("created   first" in applied, applied.splitlines()[-1]) == (True, "2 created.")
        command("export", "--output", str(tmp_path / "out.yaml"))
        unchanged = command("plan", str(tmp_path / "out.yaml"))
        assert ("unchanged second" in unchanged, unchanged.splitlines()[-1]) == (True, "2 unchanged.")
        (tmp_path / "changed.yaml").write_text(FILE.replace("max_retries: 1", "max_retries: 2"))
        changed = command("plan", str(tmp_path / "changed.yaml"), code=10)
        assert ("retry_policy.max_retries: 1 -> 2" in changed, changed.splitlines()[-1]) == (True, "1 to change, 1 unchanged.")
        assert "unchanged first" in command("import", str(tmp_path / "changed.yaml"))
        assert json.loads(command("export", "--format", "json"))["jobwright"] == 1
        (tmp_path / "bad.yaml").write_text("jobwright: 1\njobs: [{name: x}, {template_type: noop}, 3]")
        bad = command("apply", str(tmp_path / "bad.yaml"), code=1)
        assert "template_type: is required" in bad
        assert ("Job 2 of the file" in bad, "Job 3 of the file" in bad) == (True, True)
        assert bad.splitlines()[-2:] == ["3 invalid.", "Nothing was changed."]
        assert json.loads(command("plan", str(tmp_path / "bad.yaml"), "--json", code=1))["counts"] == {"invalid": 3}
        (tmp_path / "none.yaml").write_text("nothing")
        assert "must be an object" in command("plan", str(tmp_path / "none.yaml"), code=4)
    finally:
        store.client.drop_database(database_name)


# -- an export says what is no default --------------------------------------------------------------------------------


def test_an_export_leaves_out_each_default_and_keeps_everything_else(services: Services, super_admin: Actor) -> None:
    services.connections.create(
        super_admin, name="mail", kind="smtp", settings={"host": "localhost", "port": 25, "security": "none", "sender": "a@example.com"}
    )
    plain = {"connection": "mail", "recipients": ["a@example.com"], "subject": "s", "body": "b"}
    services.jobs.create(super_admin, {"name": "plain", "template_type": "noop"})
    services.jobs.create(super_admin, {"name": "mail", "template_type": "email_notification", "parameters": plain})
    services.jobs.create(super_admin, {"name": "nested", "template_type": "noop", "retry_policy": {"max_retries": 7}, "enabled": False})
    exported = yaml.safe_load(services.exchange.export(super_admin, "yaml"))["jobs"]
    assert exported == [
        {"name": "mail", "template_type": "email_notification", "parameters": plain},
        {"name": "nested", "template_type": "noop", "enabled": False, "retry_policy": {"max_retries": 7}},
        {"name": "plain", "template_type": "noop"},
    ]
    assert json.loads(services.exchange.export(super_admin, "json"))["jobs"] == exported


def test_what_people_switched_on_the_page_stays_through_an_export(services: Services, super_admin: Actor) -> None:
    made = [services.jobs.create(super_admin, {"name": name, "template_type": "noop"})[0] for name in ("on", "off")]
    text = services.exchange.export(super_admin, "yaml")
    services.jobs.set_enabled(super_admin, made[1].id, enabled=False)
    plan = services.exchange.apply(super_admin, text)
    assert [step.action for step in plan.steps] == [StepAction.KEEP, StepAction.KEEP]
    assert [services.jobs.get(super_admin, job.id).definition.enabled for job in made] == [True, False]


def test_an_export_means_the_same_where_other_settings_hold(
    services: Services, super_admin: Actor, store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue
) -> None:
    schedule = {"type": "cron", "expression": "0 3 * * *"}
    services.jobs.create(super_admin, {"name": "one", "template_type": "noop", "schedule": schedule})
    services.jobs.create(super_admin, {"name": "two", "template_type": "noop", "enabled": False, "retry_policy": {"max_retries": 9}})
    before = {job.definition.name: job.definition for job in services.directory.page(super_admin, JobFilter()).items}
    text = services.exchange.export(super_admin, "yaml")
    other = replace(settings, timezone="Europe/Berlin", default_max_retries=9, default_retry_delay_seconds=7, misfire_grace_seconds=60)
    there = build_services(other, store, clock=clock, catalogue=catalogue)
    assert [step.action for step in there.exchange.plan(super_admin, text).steps] == [StepAction.KEEP, StepAction.KEEP]
    again = there.exchange.export(super_admin, "yaml")
    assert [step.action for step in services.exchange.plan(super_admin, again).steps] == [StepAction.KEEP, StepAction.KEEP]
    store.database["dynamic_jobs"].delete_many({})
    there.exchange.apply(super_admin, text)
    assert {job.definition.name: job.definition for job in there.directory.page(super_admin, JobFilter()).items} == before


def test_defaults_of_a_file_are_judged(services: Services, super_admin: Actor) -> None:
    for defaults in ("5", "{enabled: true}", "{schedule: {type: cron}}", "{retry_policy: 5}", "{retry_policy: {max_retries: -1}}"):
        with pytest.raises(FileRefused, match="/defaults"):
            services.exchange.plan(super_admin, f"jobwright: 1\ndefaults: {defaults}\njobs: []")
