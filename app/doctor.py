"""`jobwright doctor`: looks at everything that the promises rest on, and says what to do where something is wrong."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import time
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.accounts import shape as accounts
from app.approvals.store import APPROVAL
from app.audit.store import EVENT
from app.connections.health_store import HEALTH
from app.connections.store import CONNECTION, ConnectionStore
from app.connections.vault import Vault
from app.errors import StartError
from app.execution.store import ExecutionStore
from app.factory import Store
from app.jobs import shape as jobs
from app.jobs.store import JobStore
from app.jobtemplates.preset_store import PRESET
from app.jobtemplates.store import TEMPLATE
from app.migrations import Migrator, find_migrations
from app.mongo import OLDEST_MONGODB, Records
from app.queue import shape as executions
from app.sandbox.cage import try_out
from app.scheduling.calendar_store import CALENDAR
from app.scheduling.gathering_store import GATHERING
from app.scheduling.maintenance_store import SWITCH
from app.scheduling.node_store import NODE, SILENT_AFTER, NodeStore
from app.services import Services
from app.shapes import DAMAGED
from app.zones import is_zone, zone_names

# The last day of support of each release line (mongodb.com/legal/support-policy/lifecycles).
SUPPORT_ENDS = {(6, 0): "2025-07-31", (7, 0): "2027-08-31", (8, 0): "2029-10-31"}
SKEW_NOTICED, SKEW_TOO_MUCH = 1.0, 5.0  # seconds; leases compare clocks (docs/explanation/guarantees.md)
LEAST_FREE = 1 << 30
MOST_TOLD = 20  # jobs whose runs are seen to fail
MOST_JOBS = 2_000  # that are looked at for it
LATE = timedelta(seconds=60)
OUTBOX_OLD = timedelta(seconds=60)
MOST_LOOKED_AT, MOST_NAMED = 10_000, 20  # records of a collection, and damaged ones that are named
SHAPES = {
    "dynamic_jobs": jobs.JOB,
    "job_revisions": jobs.REVISION,
    "job_notes": jobs.NOTE,
    "job_drafts": jobs.DRAFT,
    "template_moves": jobs.MOVE,
    "job_executions": executions.EXECUTION,
    "execution_logs": executions.CHUNK,
    "execution_days": executions.DAY,
    "users": accounts.USER,
    "api_tokens": accounts.TOKEN,
    "sessions": accounts.SESSION,
    "preferences": accounts.PREFERENCE,
    "connections": CONNECTION,
    "connection_health": HEALTH,
    "calendars": CALENDAR,
    "job_templates": TEMPLATE,
    "template_presets": PRESET,
    "approvals": APPROVAL,
    "audit_log": EVENT,
    "nodes": NODE,
    "switches": SWITCH,
    "gatherings": GATHERING,
}
RUN_SILENT, RUN_WAITING = timedelta(seconds=60), timedelta(minutes=15)


class Level(StrEnum):
    """How bad a finding is. A `problem` makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is like and, unless all is well, what to do."""

    subject: str
    level: Level
    text: str
    advice: str = ""


class Doctor:
    """Reads only. A check that fails itself is a problem of its subject; the others go on."""

    def __init__(self, services: Services, store: Store) -> None:
        self._services, self._store, self._database = services, store, store.database

    def examine(self) -> Iterator[Finding]:
        """All findings, in the order in which one would mend them."""
        checks: dict[str, Callable[[], Iterator[Finding]]] = {
            "MongoDB": self._mongodb,
            "Clock": self._clock,
            "Migrations": self._migrations,
            "Indexes": self._indexes,
            "Disk": self._disk,
            "Time zones": self._time_zones,
            "Key": self._key,
            "Job processes": self._cage,
            "Audit trail": self._audit,
            "Templates": self._templates,
            "Nodes": self._nodes,
            "Jobs": self._jobs,
            "Runs to come": self._runs_to_come,
            "Mail": self._mail,
            "Executions": self._executions,
            "Records": self._records,
        }
        for subject, check in checks.items():
            try:
                yield from check()
            except Exception as error:
                yield Finding(subject, Level.PROBLEM, f"could not be looked at: {type(error).__name__}: {str(error)[:200]}")

    def _mongodb(self) -> Iterator[Finding]:
        began = time.monotonic()
        hello = self._store.client.admin.command("hello")
        took = (time.monotonic() - began) * 1000
        server = self._store.client.server_info()
        major, minor = server["versionArray"][:2]
        nodes = len(hello.get("hosts", ()))
        text = f"{server['version']}, {nodes} node{'s' * (nodes != 1)}, answers in {took:.1f} ms"
        ends = SUPPORT_ENDS.get((major, minor))
        if (major, minor) < OLDEST_MONGODB:
            yield Finding("MongoDB", Level.PROBLEM, text, "Jobwright needs MongoDB 6.0 or newer.")
        elif ends is not None and ends < self._services.clock.now().date().isoformat():
            private = self._store.mongod is not None
            advice = "Set MONGODB_URI to a newer one for production." if private else "Upgrade it."
            yield Finding("MongoDB", Level.WARNING, f"{text}; its support ended on {ends}", advice)
        else:
            yield Finding("MongoDB", Level.OK, text)

    def _clock(self) -> Iterator[Finding]:
        before = self._services.clock.now()
        theirs = self._store.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
        after = self._services.clock.now()
        yield _skew("Clock", "this machine", (before + (after - before) / 2 - theirs).total_seconds())

    def _migrations(self) -> Iterator[Finding]:
        known, applied = [name for name, _ in find_migrations()], Migrator(self._database, self._services.clock).applied()
        pending, strange = [name for name in known if name not in applied], [name for name in applied if name not in known]
        if pending:
            yield Finding("Migrations", Level.PROBLEM, f"{', '.join(pending)} not applied", "Run `jobwright migrate`.")
        if strange:
            yield Finding(
                "Migrations",
                Level.PROBLEM,
                f"{', '.join(strange)} came with a newer release",
                "Run that release, or take them back with it: `jobwright migrate --down-to`.",
            )
        if not pending and not strange:
            yield Finding("Migrations", Level.OK, f"all {len(known)} applied")

    def _indexes(self) -> Iterator[Finding]:
        wanted: set[tuple[str, str]] = set()
        for _, module in find_migrations():
            made: Mapping[str, list[Any]] = getattr(module, "INDEXES", {})
            dropped: Mapping[str, list[str]] = getattr(module, "DROPS", {})
            wanted -= {(collection, name) for collection, names in dropped.items() for name in names}
            wanted |= {(collection, index.document["name"]) for collection, indexes in made.items() for index in indexes}
        there = {(collection, name) for collection in {one for one, _ in wanted} for name in self._database[collection].index_information()}
        missing = sorted(f"{collection}.{name}" for collection, name in wanted - there)
        if missing:
            yield Finding(
                "Indexes",
                Level.PROBLEM,
                f"{', '.join(missing)} missing",
                "Unique ones keep runs from doubling: stop all nodes, `jobwright migrate --down-to zero`, `jobwright migrate`.",
            )
        else:
            yield Finding("Indexes", Level.OK, f"all {len(wanted)} there")

    def _disk(self) -> Iterator[Finding]:
        stats = self._database.command("dbStats")
        yield _space("Disk of the database", stats.get("fsTotalSize", 0) - stats.get("fsUsedSize", 0), stats.get("fsTotalSize", 0))
        folder = self._services.settings.data_path
        if folder.exists():
            usage = shutil.disk_usage(folder)
            yield _space("Disk of the data folder", usage.free, usage.total)

    def _time_zones(self) -> Iterator[Finding]:
        found = _tz_version() or f"of the package tzdata {version('tzdata')}"
        year = re.search(r"20\d\d", found)
        old = year is not None and int(year[0]) < self._services.clock.now().year - 1
        unknown = sorted({str(name) for name in JobStore(self._database).zones_in_use() if not is_zone(name)})
        if unknown:
            yield Finding(
                "Time zones",
                Level.PROBLEM,
                f"jobs are in {', '.join(unknown)[:200]}, which is no IANA time zone",
                "Give these jobs another zone: they are not started any more.",
            )
        yield Finding(
            "Time zones",
            Level.WARNING if old else Level.OK,
            f"data {found}, {len(zone_names())} zones",
            "Update the system's tzdata: clock changes of the last years are not in it." if old else "",
        )

    def _key(self) -> Iterator[Finding]:
        vault, rows = Vault(self._services.keys), ConnectionStore(self._database).all()
        unreadable = []
        for row in rows:
            try:
                vault.open(row["settings"])
            except StartError:
                unreadable.append(row["name"])
        if unreadable:
            yield Finding(
                "Key",
                Level.PROBLEM,
                f"opens not the secrets of {', '.join(unreadable)}",
                "Name the key that they were sealed with in JOBWRIGHT_OLD_SECRET_KEYS, or enter them anew.",
            )
        elif self._services.keys.earlier and (outdated := self._services.resealing.outdated()):
            where = ", ".join(f"{count} in {collection}" for collection, count in outdated.items())
            yield Finding("Key", Level.WARNING, f"secrets of an earlier key: {where}", "Run `jobwright secrets reseal`.")
        else:
            yield Finding("Key", Level.OK, f"opens the secrets of all {len(rows)} connections")

    def _cage(self) -> Iterator[Finding]:
        settings = self._services.settings
        who = f"run as {settings.job_user}" if settings.job_user else f"run as the service does ({pwd.getpwuid(os.getuid()).pw_name})"
        if settings.cage == "off":
            yield Finding("Job processes", Level.WARNING, f"{who}; nothing keeps them in", "Set JOBWRIGHT_CAGE=auto.")
            return
        holds = try_out()
        lacking = [
            words
            for there, words in (
                (holds.landlock, "Landlock: they write wherever the user may, and read each other's files"),
                (holds.mounts, "mount namespaces: the key and the private MongoDB are in their reach"),
                (holds.network, "network namespaces: kinds that need no network have one"),
            )
            if not there
        ]
        if lacking:
            text = f"{who}; this kernel refuses {'; '.join(lacking)}"
            yield Finding("Job processes", Level.WARNING, text, "Set JOBWRIGHT_JOB_USER, or let the service make user namespaces.")
        else:
            yield Finding("Job processes", Level.OK, f"{who}; Landlock {holds.landlock} and namespaces keep them in")

    def _audit(self) -> Iterator[Finding]:
        report = self._services.audit.verify()
        if report.breaks:
            yield Finding(
                "Audit trail",
                Level.PROBLEM,
                "; ".join(f"event {place.seq}: {place.reason}" for place in report.breaks),
                "Someone changed the trail in the database. Keep a copy, compare it with the log (audit.written) and with backups.",
            )
            return
        unsealed = f", {report.unsealed} older than the chain" if report.unsealed else ""
        yield Finding(
            "Audit trail", Level.OK, f"{report.events} events are intact{unsealed}; the last is {report.head.seq}, {report.head.seal[:16]}…"
        )

    def _templates(self) -> Iterator[Finding]:
        catalogue = self._services.catalogue
        for name, reason in catalogue.broken.items():
            yield Finding("Templates", Level.PROBLEM, f"{name} cannot be loaded: {reason}", "Its jobs do not run. Mend or reinstall it.")
        if not catalogue.broken:
            yield Finding("Templates", Level.OK, f"{len(catalogue.types())} loaded")

    def _nodes(self) -> Iterator[Finding]:
        now, seen = self._services.clock.now(), NodeStore(self._database).all()
        live = [node for node in seen if node.lives(now)]
        if not live:
            yield Finding("Nodes", Level.WARNING, "no engine runs on this database", "Start `jobwright serve` or `jobwright scheduler`.")
        for node in live:
            if node.tick_age_seconds > SILENT_AFTER.total_seconds():
                text = f"{node.id} lives, but its scheduler has not ticked for {node.tick_age_seconds:.0f} s"
                yield Finding("Nodes", Level.PROBLEM, text, "Look for `tick.failed` in its log; restart it.")
            else:
                yield _skew("Nodes", node.id, node.skew_seconds)

    def _jobs(self) -> Iterator[Finding]:
        store, now = JobStore(self._database), self._services.clock.now()
        broken, late = self._services.jobs.broken(), store.seconds_late(now, LATE)
        for name, reason in broken.items():
            yield Finding(
                "Jobs", Level.PROBLEM, f"{name} cannot run: {reason}", "Open it: another schedule, or its template back, mends it."
            )
        if late:
            yield Finding("Jobs", Level.PROBLEM, f"one is late by {late:.0f} s", "No scheduler plans it.")
        waiting = len(store.find_unsettled(now - OUTBOX_OLD, 1000))
        if waiting:
            yield Finding("Jobs", Level.WARNING, f"{waiting} have runs that are not written yet", "A running scheduler writes them.")
        if not broken and not late and not waiting:
            yield Finding("Jobs", Level.OK, "none late, none broken")

    def _runs_to_come(self) -> Iterator[Finding]:
        """What can be known to fail each run of the jobs that are switched on. Mail has a finding of its own."""
        jobs = JobStore(self._database).enabled(MOST_JOBS)
        found = [
            (job.definition.name, one)
            for job, warnings in zip(jobs, self._services.outlook.of_all([job.definition for job in jobs]), strict=True)
            for one in warnings
            if not one.pointer.startswith("/notifications/")
        ]
        for name, one in found[:MOST_TOLD]:
            yield Finding("Runs to come", Level.WARNING, f"{name}: {one.pointer}: {one.message}", "Open the job, or mend what it needs.")
        if len(found) > MOST_TOLD:
            yield Finding("Runs to come", Level.WARNING, f"{len(found) - MOST_TOLD} more are seen to fail")
        if not found:
            yield Finding("Runs to come", Level.OK, "nothing is seen that would fail one")

    def _mail(self) -> Iterator[Finding]:
        waiting, words = JobStore(self._database).count_with_recipients(), self._services.outlook.mail_problem()
        if words is None:
            yield Finding("Mail", Level.OK, f"outcomes go through {self._services.settings.notify_connection}")
        elif waiting or self._services.settings.notify_connection:
            text = f"{words} ({waiting} job{'s' * (waiting != 1)} with recipients)"
            yield Finding("Mail", Level.WARNING, text, "Make an SMTP connection and name it in JOBWRIGHT_NOTIFY_CONNECTION.")
        else:
            yield Finding("Mail", Level.OK, "no job mails its outcome")

    def _executions(self) -> Iterator[Finding]:
        stuck = ExecutionStore(self._database).stuck(self._services.clock.now(), silent=RUN_SILENT, waiting=RUN_WAITING)
        told = {
            "silent": ("run on a worker that fell silent", "A running scheduler takes them from it within seconds."),
            "waiting": (
                f"have waited for a place for more than {RUN_WAITING.seconds // 60} minutes",
                "Raise SCHEDULER_EXECUTOR_POOL_SIZE or start another node.",
            ),
            "untold": ("ended and nobody could be told", "Look at JOBWRIGHT_NOTIFY_CONNECTION and `notification.failed` in the log."),
        }
        for what, count in stuck.items():
            if count:
                yield Finding("Executions", Level.WARNING, f"{count} {told[what][0]}", told[what][1])
        if not any(stuck.values()):
            yield Finding("Executions", Level.OK, "none stuck")

    def _records(self) -> Iterator[Finding]:
        """The newest documents of each collection against its shape."""
        damaged = 0
        for name, shape in SHAPES.items():
            for row in Records(self._database, name, shape).find().sort("$natural", -1).limit(MOST_LOOKED_AT):
                if DAMAGED in row:
                    damaged += 1
                    if damaged <= MOST_NAMED:
                        called = row.get("name") or row.get("email") or row.get("job_name") or ""
                        text = f"{row['_id']} in {name}{f' ({called})' if called else ''} is damaged: {row[DAMAGED]}"
                        yield Finding("Records", Level.PROBLEM, text, "Nothing is done with it. Mend it in the database, or delete it.")
        if damaged > MOST_NAMED:
            yield Finding("Records", Level.PROBLEM, f"{damaged - MOST_NAMED} more are damaged", "The log names each (record.damaged).")
        if not damaged:
            yield Finding("Records", Level.OK, "all can be read")


def _skew(subject: str, whose: str, seconds: float) -> Finding:
    text = f"{whose} is {abs(seconds):.2f} s {'ahead of' if seconds > 0 else 'behind'} the database"
    if abs(seconds) < SKEW_NOTICED:
        return Finding(subject, Level.OK, text)
    level = Level.PROBLEM if abs(seconds) > SKEW_TOO_MUCH else Level.WARNING
    return Finding(subject, level, text, "Leases compare clocks: synchronise both machines (NTP).")


def _space(subject: str, free: float, total: float) -> Finding:
    text = f"{free / (1 << 30):.1f} of {total / (1 << 30):.1f} GiB free"
    scarce = total > 0 and free < max(LEAST_FREE, total / 50)
    return Finding(subject, Level.PROBLEM if scarce else Level.OK, text, "Make room: a full disk stops every job." if scarce else "")


def _tz_version() -> str:
    """The version of the system's time-zone data, such as 2026a; empty where it does not say."""
    for folder in zoneinfo.TZPATH:
        path = Path(folder) / "tzdata.zi"
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                return file.readline().removeprefix("# version ").strip()
    return ""
