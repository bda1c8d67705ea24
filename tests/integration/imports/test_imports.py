"""Imports against a registry: once for each entry, paused, interrupted at any point, rolled back; over the service, REST and the commands."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, NotFound
from app.factory import Store, build_services
from app.imports.service import REASON, Imported, Standing
from app.jobs.filters import JobFilter
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.builders.scheduling import dispatcher
from tests.commands import jobwright
from tests.conftest import Api
from tests.support import KEY, KINDS

SOURCE = "crontab:web1:/etc/crontab"
BODY = {"name": "nightly", "template_type": "noop", "schedule": {"type": "cron", "expression": "*/5 * * * *", "timezone": "Europe/Berlin"}}


def imported(services: Services, actor: Actor, entry: str = "a", **body: Any) -> Imported:
    return services.imports.create(actor, source=SOURCE, entry=entry, plan="hash", body={**BODY, **body})


def count(services: Services, actor: Actor) -> int:
    return services.directory.page(actor, JobFilter()).total


def test_an_entry_is_imported_once_and_its_job_is_paused(services: Services, super_admin: Actor) -> None:
    first = imported(services, super_admin)
    assert first.created
    assert first.job is not None
    assert first.job.paused is not None
    assert (first.job.paused.reason, first.job.next_run_at, first.job.origin) == (REASON, None, "import")
    again = imported(services, super_admin, name="another name now")
    assert (again.created, again.job, count(services, super_admin)) == (False, first.job, 1)
    assert {"import.create", "job.create"} <= {event["action"] for event in services.audit.history(AuditFilter())}


def test_an_entry_can_be_imported_in_shadow_mode(services: Services, super_admin: Actor) -> None:
    made = services.imports.create(super_admin, source=SOURCE, entry="s", plan="hash", body=BODY, shadow=True)
    assert made.job is not None
    assert (made.job.paused, made.job.shadow is not None) == (None, True)
    assert made.job.next_run_at is not None
    off = services.imports.create(super_admin, source=SOURCE, entry="o", plan="hash", body=BODY, shadow=True, disabled=True)
    assert off.job is not None
    assert (off.job.paused is not None, off.job.shadow) == (True, None)
    (kept,) = [one for one in services.imports.of_source(super_admin, SOURCE) if one.record.entry == "s"]
    services.shadowing.end(super_admin, made.job.id)
    assert kept.standing is Standing.AS_IMPORTED


def test_a_job_without_due_times_is_not_paused(services: Services, super_admin: Actor) -> None:
    job = imported(services, super_admin, schedule={"type": "manual"}).job
    assert job is not None
    assert job.paused is None


@pytest.mark.parametrize("point", ["begin", "create", "complete"])
def test_an_import_that_was_interrupted_is_completed_by_the_next_call(
    services: Services, super_admin: Actor, store: Store, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Killed after the record, after the job, or before the record says that the job was made."""

    def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target: Any = services.imports if point == "begin" else services.jobs if point == "create" else services.imports._store
        patch.setattr(target, {"begin": "_make", "create": "create", "complete": "complete"}[point], die)
        with pytest.raises(KeyboardInterrupt):
            imported(services, super_admin)
    (half,) = services.imports.of_source(super_admin, SOURCE)
    assert half.record.state == "making"
    assert imported(services, super_admin).created
    assert (count(services, super_admin), store.database["imports"].count_documents({})) == (1, 1)


def test_another_account_completes_an_interrupted_import_after_a_minute(
    services: Services, super_admin: Actor, admin: Actor, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(services.imports, "_make", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            imported(services, super_admin)
    with pytest.raises(Conflict, match="is importing this entry"):
        imported(services, admin)
    clock.advance(61)
    assert imported(services, admin).created
    assert not imported(services, super_admin).created
    assert count(services, super_admin) == 1


def test_a_taken_name_gets_the_name_of_the_machine(services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, BODY)
    job = imported(services, super_admin).job
    assert job is not None
    assert job.definition.name == "nightly (web1)"
    assert not imported(services, super_admin).created


def test_a_roll_back_removes_what_nobody_has_changed(services: Services, super_admin: Actor, clock: ManualClock) -> None:
    plain, resumed, changed, deleted = (imported(services, super_admin, entry, name=entry) for entry in ("a", "b", "c", "d"))
    assert resumed.job
    assert changed.job
    assert deleted.job
    services.pausing.resume(super_admin, resumed.job.id)
    services.jobs.update(super_admin, changed.job.id, {"description": "mine"})
    services.runs.delete_job(super_admin, deleted.job.id)
    standing = {one.record.entry: one.standing for one in services.imports.of_source(super_admin, SOURCE)}
    assert standing == {
        "a": Standing.AS_IMPORTED,
        "b": Standing.AS_IMPORTED,
        "c": Standing.CHANGED,
        "d": Standing.DELETED,
    }
    for one in (plain, resumed, deleted):
        services.imports.remove(super_admin, one.record.id)
    with pytest.raises(Conflict, match="was changed after the import"):
        services.imports.remove(super_admin, changed.record.id)
    with pytest.raises(NotFound):
        services.imports.remove(super_admin, plain.record.id)
    assert count(services, super_admin) == 1
    clock.advance(1)
    assert imported(services, super_admin, "a", name="a").created, "after a roll-back, it can be imported again"


def test_a_job_that_was_changed_before_its_import_was_complete_is_kept(
    services: Services, super_admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command was killed after it had made the job, and somebody has changed the job since."""
    for entry, complete in (("a", False), ("b", True), ("c", True)):
        with monkeypatch.context() as patch:
            patch.setattr(services.imports._store, "complete", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                imported(services, super_admin, entry, name=entry)
        (half,) = [one for one in services.imports.of_source(super_admin, SOURCE) if one.record.entry == entry]
        assert half.job is not None
        services.pausing.resume(super_admin, half.job.id)
        if entry != "c":
            services.jobs.update(super_admin, half.job.id, {"description": "mine"})
        if complete:
            again = imported(services, super_admin, entry, name=entry)
            assert again.standing is (Standing.AS_IMPORTED if entry == "c" else Standing.CHANGED)
    for one in services.imports.of_source(super_admin, SOURCE):
        if one.record.entry == "c":
            services.imports.remove(super_admin, one.record.id)
            continue
        with pytest.raises(Conflict, match="was changed after the import"):
            services.imports.remove(super_admin, one.record.id)
    assert count(services, super_admin) == 2


def test_accounts_of_a_group_see_no_imports_of_other_groups(services: Services, super_admin: Actor, admin: Actor) -> None:
    imported(services, super_admin, group="red")
    bound = replace(admin, groups=frozenset({"blue"}))
    assert services.imports.of_source(bound, SOURCE) == []
    with pytest.raises(Conflict, match="imported by another account"):
        imported(services, bound)
    with pytest.raises(NotFound):
        services.imports.remove(bound, services.imports.of_source(super_admin, SOURCE)[0].record.id)


def test_what_can_destroy_data_is_imported_paused_once_it_is_approved(
    services: Services, super_admin: Actor, admin: Actor, admin_api: Api
) -> None:
    body = {"source": SOURCE, "entry": "x", "plan": "hash", "job": {**BODY, "template_type": "misbehave", "parameters": {"how": "raise"}}}
    answers = [admin_api("POST", "/api/admin/imports", body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json["approval"]["id"] == answers[1].json["approval"]["id"], "it waits once"
    services.approvals.approve(super_admin, answers[0].json["approval"]["id"])
    done = admin_api("POST", "/api/admin/imports", body)
    assert (done.status_code, done.json["import"]["standing"], done.json["import"]["paused"]) == (200, "as imported", True)


SCHEDULES: tuple[dict[str, Any], ...] = (
    {"type": "cron", "expression": "*/5 * * * *", "timezone": "Europe/Berlin"},
    {"type": "cron", "expression": "0 2 * * *", "timezone": "Europe/Berlin"},
    {"type": "interval", "interval_seconds": 300, "start_at": "2026-02-01T08:00:07Z"},  # its last run is carried, long ago
    {"type": "interval", "interval_seconds": 7_776_000, "start_at": "2025-11-02T08:00:07Z"},  # overdue in the old scheduler
    {"type": "interval", "interval_seconds": 300},
    {"type": "calendar", "rule": "FREQ=DAILY;INTERVAL=7;BYHOUR=9", "counted_from": "2026-01-01", "timezone": "UTC"},
)


@pytest.mark.parametrize(("policy", "count"), [("skip", 30), ("once", 500), ("all", 30)])
def test_jobs_that_are_switched_on_run_nothing_at_once(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, policy: str, count: int
) -> None:
    """Whatever their schedule is and whatever they do about missed times, the engine plans nothing but times after they were resumed."""
    services, super_admin = build_services(replace(settings, max_jobs=600), store, clock=clock, catalogue=catalogue), SYSTEM
    jobs = []
    for number in range(count):
        fields = {"schedule": SCHEDULES[number % len(SCHEDULES)], "misfire": {"policy": policy}}
        jobs.append(imported(services, super_admin, f"e{number}", name=f"job {number}", **fields).job)
    engine = dispatcher(store, services, clock)
    clock.advance(3 * 86_400)
    assert engine.tick() == 0, "a paused job that was never on has no time to make up for"
    resumed_at = clock.now()
    for job in jobs:
        assert job is not None
        resumed = services.pausing.resume(super_admin, job.id)
        assert resumed.next_run_at is not None
        assert resumed_at < resumed.next_run_at
    assert engine.tick() == 0
    clock.advance(301)
    engine.recover()  # writes the one record of each job about the times that passed while it was paused
    assert engine.tick() >= count // 3
    rows = list(store.database["job_executions"].find())
    started = [row for row in rows if row["status"] != "skipped"]
    assert len(started) >= count // 3
    assert all(row["scheduled_for"] > resumed_at for row in started)


def test_rest_lists_imports_and_names_wrong_bodies(api: Api) -> None:
    made = api("POST", "/api/admin/imports", {"source": SOURCE, "entry": "a", "plan": "hash", "job": BODY})
    assert (made.status_code, made.json["import"]["created"], made.json["import"]["schedule"]) == (200, True, "*/5 * * * *")
    assert [row["entry"] for row in api("GET", f"/api/admin/imports?source={SOURCE}").json["imports"]] == ["a"]
    wrong = api(
        "POST", "/api/admin/imports", {"source": SOURCE, "entry": "b", "plan": "hash", "job": {"name": "x", "template_type": "nil"}}
    )
    assert (wrong.status_code, [error["pointer"] for error in wrong.json["errors"]]) == (422, ["/template_type"])
    assert api("DELETE", f"/api/admin/imports/{made.json['import']['id']}").status_code == 200
    assert [row["entry"] for row in api("GET", f"/api/admin/imports?source={SOURCE}").json["imports"]] == ["b"]


CRONTAB = """MAILTO=ops@example.com
# Nightly call
0 3 * * * curl -s https://example.com/nightly > /dev/null
*/10 * * * * curl -fsS https://example.com/health
# Cleans up
0 4 * * * ps | wc -l
#0 5 * * * /opt/disabled
99 * * * * /opt/wrong
"""


@pytest.fixture
def environment(store: Store, mongod: str, tmp_path: Path) -> dict[str, str]:
    """That of commands which use the registry of this test."""
    return {
        **os.environ,
        "MONGODB_URI": mongod,
        "JOBWRIGHT_DATABASE": store.database.name,
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
        "PYTHONPATH": str(KINDS),
    }


def test_a_plan_says_which_connections_to_create_first(environment: dict[str, str], tmp_path: Path) -> None:
    tab, plan = tmp_path / "tab", tmp_path / "plan.json"
    tab.write_text(
        "0 4 * * 0 find /var/tmp/reports -type f -mtime +30 -delete\n0 5 * * 0 find /var/tmp/reports -name x -mtime +3 -delete\n"
    )
    words = "file-store-var-tmp-reports of kind file_store (path /var/tmp/reports)"
    shown = jobwright(environment, "import", "plan", str(tab), "--zone", "UTC", check=True).stdout
    assert shown.splitlines()[-4:] == [
        "Before `apply`, create those of these connections that do not exist yet:",
        f"  {words}",
        "",
        "2 ready.",
    ]
    made = jobwright(environment, "import", "plan", str(tab), "--zone", "UTC", "--output", str(plan), check=True).stderr
    assert made.count(f"needs the connection {words}") == 1
    applied = jobwright(environment, "import", "apply", str(plan))
    assert (applied.returncode, applied.stdout.count(f"Create the connection {words} first.")) == (1, 2)


def test_the_commands_lead_from_a_crontab_to_jobs_and_back(environment: dict[str, str], tmp_path: Path) -> None:
    tab, plan = tmp_path / "tab", tmp_path / "plan.json"
    tab.write_text(CRONTAB)
    scanned = jobwright(environment, "import", "scan", str(tab), "--machine", "web1", check=True).stdout
    assert scanned.count("\njob ") + scanned.startswith("job ") == 3
    assert "minute: 99 is not between 0 and 59" in scanned

    jobwright(environment, "import", "plan", str(tab), "--machine", "web1", "--zone", "Europe/Berlin", "--output", str(plan), check=True)
    assert plan.stat().st_mode & 0o077 == 0
    html = jobwright(environment, "import", "plan", str(tab), "--zone", "UTC", "--offline", "--format", "html", check=True).stdout
    assert html.startswith("<!doctype html>")

    applied = jobwright(environment, "import", "apply", str(plan), check=True).stdout
    assert sorted(line.split()[0] for line in applied.splitlines()[:5]) == ["created", "created", "invalid", "note", "waits"]
    assert f"sed '3s/^/#jobwright# /'" in applied  # noqa: F541
    again = json.loads(jobwright(environment, "import", "apply", str(plan), "--json", check=True).stdout)
    assert sorted(row["result"] for row in again["entries"]) == ["exists", "exists", "invalid", "note", "waits"]

    assert jobwright(environment, "import", "verify", str(plan)).returncode == 0
    jobwright(environment, "job", "resume", "Nightly call", check=True)
    twice = jobwright(environment, "import", "verify", str(plan))
    assert (twice.returncode, "runs twice    Nightly call" in twice.stdout) == (1, True)
    tab.write_text(CRONTAB.replace("0 3 *", "#jobwright# 0 3 *"))
    assert jobwright(environment, "import", "verify", str(plan)).returncode == 0
    refused = jobwright(environment, "import", "apply", str(plan))
    assert (refused.returncode, "has changed since the plan was made" in refused.stderr) == (4, True)

    back = jobwright(environment, "import", "roll-back", str(plan), check=True).stdout
    assert back.count("deleted   ") == 2
    assert "to enable the original again: crontab -u USER -l | sed '3s/^#jobwright# //'" in back
    assert "There are no jobs to show" in jobwright(environment, "job", "list", check=True).stderr


def test_a_file_of_jobs_is_still_imported(store: Store, mongod: str, tmp_path: Path) -> None:
    environment = {**os.environ, "MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": store.database.name, "JOBWRIGHT_SECRET_KEY": KEY}
    environment |= {"JOBWRIGHT_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(KINDS)}
    file = tmp_path / "jobs.yaml"
    file.write_text("jobwright: 1\njobs:\n- name: first\n  template_type: webhook_trigger\n  parameters: {url: https://example.com/}\n")
    assert "created   first" in jobwright(environment, "import", str(file), check=True).stdout
    assert "unchanged first" in jobwright(environment, "import", "file", str(file), check=True).stdout


def test_a_file_that_is_not_utf_8_is_named(store: Store, mongod: str, tmp_path: Path) -> None:
    environment = {**os.environ, "MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": store.database.name, "JOBWRIGHT_SECRET_KEY": KEY}
    environment |= {"JOBWRIGHT_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(KINDS)}
    file = tmp_path / "jobs.yaml"
    file.write_bytes(b"jobwright: 1\njobs: [{name: M\xfcller}]\n")
    for command in (("import",), ("import", "file"), ("plan",), ("apply",)):
        refused = jobwright(environment, *command, str(file))
        assert (refused.returncode, "is not UTF-8: the byte at position" in refused.stderr) == (2, True), refused.stderr
    for step in ("apply", "verify", "cut-over", "roll-back"):
        refused = jobwright(environment, "import", step, str(file))
        assert (refused.returncode, "is not a plan" in refused.stderr) == (4, True), refused.stderr
