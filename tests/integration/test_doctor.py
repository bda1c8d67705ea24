"""`jobwright doctor` on a real MongoDB: a healthy house, and one thing broken at a time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.audit.model import Actor
from app.config import Settings
from app.connections.health_store import HealthStore
from app.connections.probes import Probes
from app.connections.store import CONNECTION
from app.doctor import Doctor
from app.doctor.machine import _tz_version as system_tz_version
from app.doctor.processes import check_collector
from app.doctor.secrets import check_secret_files
from app.factory import Store, build_services
from app.findings import Finding, Level
from app.jobs.commands import check_commands, job_account
from app.jobs.shape import JOB
from app.keys import SECRET_FILES
from app.migrations import find_migrations
from app.sandbox.cage import CageFeatures
from app.scheduling.node_store import Heartbeat, NodeStore
from app.services import Services
from app.shapes import DAMAGED, Object, make_readable
from migrations_scripts.m0001_registry import INDEXES
from templates_lib.command.programs import Account
from tests.builders.collector import collector
from tests.builders.service import Answer
from tests.support import Service

ROOMY = type(shutil.disk_usage("/"))(total=100 << 30, used=50 << 30, free=50 << 30)


class Ahead:
    """The machine's clock, so many seconds ahead."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        now = datetime.now(UTC) + self._ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def _zones_of_this_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own may be old, and will be one day."""
    monkeypatch.setattr("app.doctor.machine._tz_version", lambda: f"{datetime.now(UTC).year}a")


@pytest.fixture(autouse=True)
def _roomy_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disks of the machine that runs the tests may be nearly full."""
    monkeypatch.setattr("app.doctor.machine.shutil.disk_usage", lambda path: ROOMY)
    monkeypatch.setattr("app.doctor.machine._database_disk", lambda database: (ROOMY.free, ROOMY.total))


@pytest.fixture
def healthy(store: Store, settings: Settings) -> Services:
    settings.data_path.mkdir(parents=True, exist_ok=True)
    NodeStore(store.database).beat("node-1", Heartbeat(host="a", clock=Ahead().now(), tick_age_seconds=0.1))
    return build_services(settings, store, clock=Ahead())


def findings(services: Services, store: Store) -> list[Finding]:
    return list(Doctor(services, store).examine())


def worse(services: Services, store: Store) -> list[tuple[str, str, str]]:
    """All that is not well, but for the age of the MongoDB that tests run on."""
    return [(f.subject, f.level.value, f.text) for f in findings(services, store) if f.level is not Level.OK and f.subject != "MongoDB"]


def test_a_healthy_house_is_said_to_be_one(healthy: Services, store: Store) -> None:
    assert worse(healthy, store) == []
    found = findings(healthy, store)
    assert [f.subject for f in found] == [
        "MongoDB",
        "Clock",
        "Migrations",
        "Indexes",
        "Disk of the database",
        "Disk of the data folder",
        "Time zones",
        "Key",
        "Job processes",
        "Commands",
        "Audit trail",
        "Templates",
        "Nodes",
        "Connections",
        "Jobs",
        "Runs to come",
        "Mail",
        "Notifications",
        "Monitor",
        "Executions",
        "Records",
    ]
    assert all(f.advice for f in found if f.level is not Level.OK)


def test_a_mongodb_past_its_support_is_told(healthy: Services, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    line = tuple(store.client.server_info()["versionArray"][:2])
    monkeypatch.setattr("app.doctor.database.SUPPORT_ENDS", {line: "2020-01-31"})
    assert (findings(healthy, store)[0].level, "support ended on 2020-01-31" in findings(healthy, store)[0].text) == (Level.WARNING, True)
    monkeypatch.setattr("app.doctor.database.OLDEST_MONGODB", (99, 0))
    assert findings(healthy, store)[0].level is Level.PROBLEM


def hang(store: Store, services: Services, actor: Actor, **fields: Any) -> None:
    job, _ = services.jobs.create(actor, {"name": "j", "template_type": "noop", "schedule": {"type": "manual"}})
    execution = services.runs.run_now(actor, job.id)
    store.database["job_executions"].update_one({"_id": execution.id}, {"$set": fields})


OLD = datetime.now(UTC) - timedelta(hours=1)


def whole(shape: Object, document: dict[str, Any]) -> dict[str, Any]:
    """A document with all that its shape asks for."""
    return {name: value for name, value in make_readable(document, shape).items() if name != DAMAGED}


SICK = {"name": "sick", "retired": False, "template_type": "webhook_trigger", "template_version": 1}
BREAKS: dict[str, tuple[Callable[[Store, Services, Actor], Any], tuple[str, str, str]]] = {
    "an index is gone": (
        lambda store, services, actor: store.database["job_executions"].drop_index("one_per_due_time"),
        ("Indexes", "problem", "missing: job_executions.one_per_due_time"),
    ),
    "a migration is pending": (
        lambda store, services, actor: store.database["migrations"].delete_one({"_id": "0002_due_times"}),
        ("Migrations", "problem", "not applied: 0002_due_times"),
    ),
    "a newer release was here": (
        lambda store, services, actor: store.database["migrations"].insert_one({"_id": "9999_later", "applied_at": OLD}),
        ("Migrations", "problem", "applied by a newer release: 9999_later"),
    ),
    "another key": (
        lambda store, services, actor: store.database["connections"].insert_one(
            whole(CONNECTION, {"name": "shop", "kind": "mongodb", "settings": {"uri": {"$sealed": "gAAAAA=="}}})
        ),
        ("Key", "problem", "the key does not decrypt the secrets of shop"),
    ),
    "a scheduler that does not tick": (
        lambda store, services, actor: NodeStore(store.database).beat(
            "node-2", Heartbeat(host="b", clock=Ahead().now(), tick_age_seconds=90.0)
        ),
        ("Nodes", "problem", "the scheduler of node-2 has not ticked for 90 s"),
    ),
    "no node": (
        lambda store, services, actor: NodeStore(store.database).leave("node-1"),
        ("Nodes", "warning", "no scheduler is online"),
    ),
    "a schedule that cannot be computed": (
        lambda store, services, actor: store.database["dynamic_jobs"].insert_one(whole(JOB, {**SICK, "schedule_error": "gone"})),
        ("Jobs", "problem", "sick cannot run: gone"),
    ),
    "a template that is gone": (
        lambda store, services, actor: store.database["dynamic_jobs"].insert_one(whole(JOB, {**SICK, "template_type": "old_kind"})),
        ("Jobs", "problem", "sick cannot run: its template 'old_kind' is gone: there is no such template here"),
    ),
    "a full outbox": (
        lambda store, services, actor: store.database["dynamic_jobs"].insert_one(whole(JOB, {"name": "x", "dispatch": {"at": OLD}})),
        ("Jobs", "warning", "the planned runs of 1 job are not stored yet"),
    ),
    "a silent worker": (
        lambda store, services, actor: hang(store, services, actor, status="running", slots=["j#0"], lease={"expires_at": OLD, "token": 1}),
        ("Executions", "warning", "running on a worker that no longer renews its lease: 1"),
    ),
    "a full queue": (
        lambda store, services, actor: hang(store, services, actor, available_at=OLD),
        ("Executions", "warning", "waiting for a free slot for more than 15 minutes: 1"),
    ),
    "a mail that could not be sent": (
        lambda store, services, actor: hang(
            store, services, actor, status="failed", owed=[{"what": "notify", "at": None, "tries": 5, "error": "x", "given_up_at": OLD}]
        ),
        ("Executions", "warning", "ended, but a follow-up failed (a notification, or the jobs that depend on it): 1"),
    ),
}


def test_what_was_given_up_long_ago_is_no_finding_any_more(healthy: Services, store: Store, super_admin: Actor) -> None:
    given_up_at = healthy.clock.now() - timedelta(days=8)
    owed = [{"what": "notify", "at": None, "tries": 5, "error": "x", "given_up_at": given_up_at}]
    hang(store, healthy, super_admin, status="failed", owed=owed)
    assert worse(healthy, store) == []
    assert len(healthy.given_up.items(super_admin)) == 1, "the page of nodes shows it"


@pytest.mark.parametrize("broken", BREAKS)
def test_what_is_broken_is_found_and_nothing_else(healthy: Services, store: Store, super_admin: Actor, broken: str) -> None:
    act, expected = BREAKS[broken]
    act(store, healthy, super_admin)
    try:
        assert worse(healthy, store) == [expected]
    finally:  # the registry is one for all tests
        gone = [index for index in INDEXES["job_executions"] if index.document["name"] == "one_per_due_time"]
        store.database["job_executions"].create_indexes(gone)
        store.database["migrations"].delete_one({"_id": "9999_later"})
        store.database["migrations"].update_one({"_id": "0002_due_times"}, {"$set": {"applied_at": OLD}}, upsert=True)


def test_a_migration_that_waits_for_the_end_of_an_upgrade_is_told(healthy: Services, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    new = ModuleType("m9002_old_form")
    new.__dict__.update(KIND="post", INDEXES={"things": INDEXES["job_executions"]})
    steps = [*find_migrations(), ("9002_old_form", new)]
    for module in ("doctor.database", "migrations"):
        monkeypatch.setattr(f"app.{module}.find_migrations", lambda: steps)
    assert worse(healthy, store) == [("Migrations", "warning", "not applied yet, which ends the upgrade: 9002_old_form")]
    assert healthy.migrated(), "a process is ready without it"


def test_a_connection_that_does_not_answer_is_told_even_if_no_job_uses_it(healthy: Services, store: Store, super_admin: Actor) -> None:
    healthy.connections.create(super_admin, name="files", kind="file_store", settings={"path": "/proc/nowhere"})
    told = {f.subject: f.text for f in findings(healthy, store)}
    assert told["Connections"] == "0 of 1 answer, 1 not tested yet"
    Probes(healthy.connections, HealthStore(store.database), Ahead(), healthy.events, every=timedelta(minutes=5)).tick()
    ((subject, level, text),) = worse(healthy, store)
    assert (subject, level, text.startswith("files (File store) does not answer: ")) == ("Connections", "warning", True)


def test_a_late_job_is_told(healthy: Services, store: Store, super_admin: Actor) -> None:
    job, _ = healthy.jobs.create(
        super_admin, {"name": "j", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}}
    )
    store.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"next_run_at": Ahead().now() - timedelta(seconds=90)}})
    ((subject, level, text),) = worse(healthy, store)
    assert (subject, level, text.startswith("a job is late by 9")) == ("Jobs", "problem", True)


def test_jobs_in_a_zone_that_not_each_node_knows_are_told(healthy: Services, store: Store, super_admin: Actor) -> None:
    healthy.jobs.create(super_admin, {"name": "j", "template_type": "noop"})
    store.database["dynamic_jobs"].update_one({}, {"$set": {"schedule.timezone": "localtime"}})
    assert worse(healthy, store) == [("Time zones", "problem", "jobs use localtime, which is not an IANA time zone")]


@pytest.mark.parametrize(("seconds", "level"), [(2.5, "warning"), (-2.5, "warning"), (60.0, "problem")])
def test_clocks_that_differ_are_told(store: Store, settings: Settings, seconds: float, level: str) -> None:
    NodeStore(store.database).beat("node-1", Heartbeat(host="a", clock=Ahead(seconds).now(), tick_age_seconds=0.1))
    here = build_services(settings, store, clock=Ahead())
    assert [found[:2] for found in worse(here, store)] == [("Nodes", level)]
    there = build_services(settings, store, clock=Ahead(seconds))
    assert ("Clock", level) in [found[:2] for found in worse(there, store)]


def test_a_check_that_fails_itself_is_a_problem_and_the_others_go_on(
    healthy: Services, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.doctor.machine.shutil.disk_usage", lambda path: 1 / 0)
    assert worse(healthy, store) == [("Disk", "problem", "the check failed: ZeroDivisionError: division by zero")]


def test_little_room_and_old_zones_are_told(healthy: Services, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = ROOMY._replace(free=1 << 20)
    monkeypatch.setattr("app.doctor.machine.shutil.disk_usage", lambda path: usage)
    (tmp_path / "tzdata.zi").write_text("# version 2019c\n")
    monkeypatch.setattr("app.doctor.machine._tz_version", system_tz_version)
    monkeypatch.setattr("app.doctor.machine.zoneinfo.TZPATH", (str(tmp_path),))
    assert [found[:2] for found in worse(healthy, store)] == [("Disk of the data folder", "problem"), ("Time zones", "warning")]


def test_the_command_says_it_for_people_and_for_programs(mongod: str, database_name: str, tmp_path: Path, store: Store) -> None:
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "d").wait_ready()
    command = [sys.executable, "-m", "app.cli", "doctor"]
    try:
        told = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert "decrypts the secrets of 0 connections" in told.stdout
        assert re.fullmatch(r"0 problems, [0-9]+ warnings?\.", told.stdout.splitlines()[-1])
        assert re.search(r"^ok +Nodes +the clock of \S+ is ", told.stdout, re.M)
        assert service.stop() == 0
        assert store.client[database_name]["nodes"].count_documents({}) == 0, "a node that drains says good-bye"
        store.client[database_name]["job_executions"].drop_index("slots")
        told = subprocess.run([*command, "--json"], env=service.environment, capture_output=True, text=True, check=False)
        rows = [json.loads(line) for line in told.stdout.splitlines()]
        assert told.returncode == 1
        assert [row["subject"] for row in rows if row["level"] == "problem"] == ["Indexes"]
    finally:
        service.stop()
        store.client.drop_database(database_name)


@pytest.mark.parametrize("features", [CageFeatures(6, mounts=True), CageFeatures(6), CageFeatures(0)])
@pytest.mark.parametrize("isolation", ["process", "reused"])
def test_files_with_secrets_that_jobs_can_read_are_told(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: CageFeatures, isolation: str
) -> None:
    """Mount namespaces hide them wherever they are, Landlock only in the data folder, and not from attempts that share processes."""
    monkeypatch.setattr("app.doctor.secrets.kernel_features", lambda: features)
    inside, outside = settings.data_path / SECRET_FILES / "key", tmp_path / "mongodb_uri"
    for file in (inside, outside):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("secret")
    services = build_services(replace(settings, isolation=isolation), store, clock=Ahead())

    def told(*, file: Path) -> list[tuple[Level, str]]:
        monkeypatch.setenv("JOBWRIGHT_METRICS_TOKEN_FILE", str(file))
        return [(found.level, found.text) for found in check_secret_files(services, store)]

    safe = [(Level.OK, "jobs cannot read the 1 file with secrets")]
    kernel = ", as this kernel refuses mount namespaces"
    assert told(file=outside) == (safe if features.mounts else [(Level.WARNING, f"jobs can read {outside}{kernel}")])
    if features.landlock and not features.mounts and isolation == "reused":
        assert "their attempts share processes" in told(file=inside)[0][1]
    elif features.landlock:
        assert told(file=inside) == safe
    else:
        assert told(file=inside) == [(Level.WARNING, f"jobs can read {inside}{kernel}")]
    monkeypatch.setenv("JOBWRIGHT_METRICS_TOKEN", "wins over the file")
    assert list(check_secret_files(services, store)) == []


def test_a_collector_that_takes_no_spans_is_told(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    services = build_services(replace(settings, traces="otlp"), store, clock=Ahead())

    def told() -> tuple[Level, str]:
        (found,) = check_collector(services, store)
        return found.level, found.text

    with collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.server.address)
        assert told() == (Level.OK, f"the collector at {made.server.address} takes spans")
        assert made.spans == []
        made.server.reply = lambda call: Answer(401, {"error": "who are you?"})
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.server.address.replace("//", "//me:hidden@"))
        level, text = told()
        assert (level, text.startswith(f"the collector at {made.server.address} takes no spans: "), "hidden" in text) == (
            Level.WARNING,
            True,
            False,
        )
    level, text = told()
    assert (level, "hidden" in text) == (Level.WARNING, False)
    assert list(check_collector(build_services(settings, store, clock=Ahead()), store)) == []


def test_programs_that_no_run_can_start_and_those_that_run_anything(settings: Settings, tmp_path: Path) -> None:
    script = tmp_path / "open"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o777)
    programs, folders = ("/bin/echo", "/bin/sh", "/no/such", str(script)), ("/", "/no/such")
    found = list(check_commands(replace(settings, command_programs=programs, command_dirs=folders)))
    assert [finding.level for finding in found] == [Level.PROBLEM, Level.PROBLEM, Level.PROBLEM, Level.WARNING]
    assert "/no/such does not exist" in found[0].text
    assert f"{script} is refused" in found[1].text
    assert "the folder /no/such" in found[2].text
    assert found[3].text.startswith("/bin/sh: ")
    [fine] = check_commands(replace(settings, command_programs=("/bin/echo",)))
    assert (fine.level, fine.text) == (Level.OK, "jobs may start 1 program")


def test_programs_are_looked_at_as_the_user_of_the_jobs(settings: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = tmp_path / "mine"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert [finding.level for finding in check_commands(replace(settings, command_programs=(str(script),), job_user="nobody"))] == [
        Level.OK
    ]
    assert job_account(replace(settings, job_user="no-such-user")) == Account.own()
