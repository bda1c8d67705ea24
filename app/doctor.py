"""`jobwright doctor`: checks everything that the promises rest on, and says how to fix each problem."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import time
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pymongo.database import Database

from app.accounts import shape as accounts
from app.approvals.store import APPROVAL
from app.audit.store import EVENT
from app.broker.inspection import broker_findings
from app.connections.health_store import HEALTH
from app.connections.store import CONNECTION, ConnectionStore
from app.connections.vault import Vault
from app.errors import StartError, field_name
from app.execution.statistics_store import StatisticsStore
from app.factory import Store
from app.findings import Finding, Level
from app.integrations.nats.connection import find_server
from app.jobs import shape as jobs
from app.jobs.commands import check_commands
from app.jobs.dispatch_store import DispatchStore
from app.jobs.list_store import ListStore
from app.jobs.usage_store import UsageStore
from app.jobtemplates.preset_store import PRESET
from app.jobtemplates.store import TEMPLATE
from app.migrations import Migrator, find_migrations
from app.mongo import OLDEST_MONGODB, Document, Records
from app.queue import shape as executions
from app.sandbox.cage import kernel_features
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
MOST_WARNINGS = 20  # shown warnings about runs that will fail
MOST_JOBS = 2_000  # enabled jobs that are checked for such warnings
LATE = timedelta(seconds=60)
OUTBOX_OLD = timedelta(seconds=60)
MOST_RECORDS = 10_000  # checked records of each collection
MOST_UNPUBLISHED = 1_000  # records that owe events to the bus while it answers; a node publishes more than that in a second
MOST_NAMED = 20  # damaged records that are named
SHAPES = {
    "dynamic_jobs": jobs.JOB,
    "job_revisions": jobs.REVISION,
    "job_notes": jobs.NOTE,
    "job_drafts": jobs.DRAFT,
    "template_moves": jobs.MOVE,
    "job_executions": executions.EXECUTION,
    "execution_logs": executions.CHUNK,
    "execution_days": executions.DAY,
    "acknowledgements": executions.ACKNOWLEDGEMENT,
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
GIVEN_UP_LATELY = timedelta(days=7)  # what was given up before is on the page of nodes


class Doctor:
    """Runs all checks, and changes nothing. A check that raises an error becomes a problem of its subject; the others go on."""

    def __init__(self, services: Services, store: Store) -> None:
        self._services, self._store, self._database = services, store, store.database

    def examine(self) -> Iterator[Finding]:
        """Yields all findings, in the order in which they should be fixed."""
        checks: dict[str, Callable[[], Iterator[Finding]]] = {
            "MongoDB": self._mongodb,
            "Clock": self._clock,
            "Migrations": self._migrations,
            "Indexes": self._indexes,
            "Disk": self._disk,
            "Time zones": self._time_zones,
            "Key": self._key,
            "Job processes": self._cage,
            "Commands": lambda: check_commands(self._services.settings),
            "Audit trail": self._audit,
            "Templates": self._templates,
            "Nodes": self._nodes,
            "Connections": self._connections,
            "Bus": self._bus,
            "Celery": lambda: broker_findings(self._services.settings),
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
                yield Finding(subject, Level.PROBLEM, f"the check failed: {type(error).__name__}: {str(error)[:200]}")

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
            yield Finding("MongoDB", Level.PROBLEM, text, "Upgrade MongoDB. Jobwright needs 6.0 or newer.")
        elif ends is not None and ends < self._services.clock.now().date().isoformat():
            private = self._store.mongod is not None
            advice = "For production, set MONGODB_URI to a newer server." if private else "Upgrade MongoDB to a release that is supported."
            yield Finding("MongoDB", Level.WARNING, f"{text}; its support ended on {ends}", advice)
        else:
            yield Finding("MongoDB", Level.OK, text)

    def _clock(self) -> Iterator[Finding]:
        before = self._services.clock.now()
        database_time = self._store.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
        after = self._services.clock.now()
        yield _skew("Clock", "this machine", (before + (after - before) / 2 - database_time).total_seconds())

    def _migrations(self) -> Iterator[Finding]:
        migrator, known = Migrator(self._database, self._services.clock), [name for name, _ in find_migrations()]
        pending, post, unknown = migrator.pending(), migrator.pending_post(), [name for name in migrator.applied() if name not in known]
        if pending:
            yield Finding("Migrations", Level.PROBLEM, f"not applied: {', '.join(pending)}", "Run `jobwright migrate`.")
        if post:
            advice = "When no process of the version before is left, run `jobwright migrate --post`."
            yield Finding("Migrations", Level.WARNING, f"not applied yet, which ends the upgrade: {', '.join(post)}", advice)
        if unknown:
            yield Finding(
                "Migrations",
                Level.PROBLEM,
                f"applied by a newer release: {', '.join(unknown)}",
                "Run that release, or use it to revert them: `jobwright migrate --down-to`.",
            )
        if not pending and not post and not unknown:
            yield Finding("Migrations", Level.OK, f"all {len(known)} are applied")

    def _indexes(self) -> Iterator[Finding]:
        expected: set[tuple[str, str]] = set()
        waiting = Migrator(self._database, self._services.clock).pending_post()
        for module in (module for name, module in find_migrations() if name not in waiting):
            created: Mapping[str, list[Any]] = getattr(module, "INDEXES", {})
            dropped: Mapping[str, list[str]] = getattr(module, "DROPS", {})
            expected -= {(collection, name) for collection, names in dropped.items() for name in names}
            expected |= {(collection, index.document["name"]) for collection, indexes in created.items() for index in indexes}
        collections = {collection for collection, _ in expected}
        present = {(collection, name) for collection in collections for name in self._database[collection].index_information()}
        missing = sorted(f"{collection}.{name}" for collection, name in expected - present)
        if missing:
            yield Finding(
                "Indexes",
                Level.PROBLEM,
                f"missing: {', '.join(missing)}",
                "Unique indexes prevent double runs. Stop all nodes, run `jobwright migrate --down-to zero` and then `jobwright migrate`.",
            )
        else:
            yield Finding("Indexes", Level.OK, f"all {len(expected)} exist")

    def _disk(self) -> Iterator[Finding]:
        yield _space("Disk of the database", *_database_disk(self._database))
        folder = self._services.settings.data_path
        if folder.exists():
            usage = shutil.disk_usage(folder)
            yield _space("Disk of the data folder", usage.free, usage.total)

    def _time_zones(self) -> Iterator[Finding]:
        data = _tz_version() or f"of the package tzdata {version('tzdata')}"
        year = re.search(r"20\d\d", data)
        old = year is not None and int(year[0]) < self._services.clock.now().year - 1
        unknown = sorted({str(name) for name in UsageStore(self._database).zones_in_use() if not is_zone(name)})
        if unknown:
            yield Finding(
                "Time zones",
                Level.PROBLEM,
                f"jobs use {', '.join(unknown)[:200]}, which is not an IANA time zone",
                "Give these jobs another time zone. They do not start at the moment.",
            )
        yield Finding(
            "Time zones",
            Level.WARNING if old else Level.OK,
            f"data {data}, {len(zone_names())} zones",
            "Update the system's tzdata. It lacks the clock changes of the last years." if old else "",
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
                f"the key does not decrypt the secrets of {', '.join(unreadable)}",
                "Add the key that encrypted them to JOBWRIGHT_OLD_SECRET_KEYS, or enter the secrets again.",
            )
        elif self._services.keys.earlier and (outdated := self._services.resealing.outdated()):
            where = ", ".join(f"{count} in {collection}" for collection, count in outdated.items())
            yield Finding("Key", Level.WARNING, f"secrets are encrypted with an earlier key: {where}", "Run `jobwright secrets reseal`.")
        else:
            yield Finding("Key", Level.OK, f"the key decrypts the secrets of all {len(rows)} connections")

    def _cage(self) -> Iterator[Finding]:
        settings = self._services.settings
        own_name = pwd.getpwuid(os.getuid()).pw_name
        who = f"they run as {settings.job_user}" if settings.job_user else f"they run as the user of the service ({own_name})"
        if settings.cage == "off":
            yield Finding("Job processes", Level.WARNING, f"{who}; nothing restricts them", "Set JOBWRIGHT_CAGE=auto.")
            return
        holds = kernel_features()
        lacking = [
            text
            for active, text in (
                (holds.landlock, "Landlock: they can write wherever the user can, and read each other's files"),
                (holds.mounts, "mount namespaces: they can reach the key and the private MongoDB"),
                (holds.network, "network namespaces: templates that do not need the network can still use it"),
            )
            if not active
        ]
        if lacking:
            text = f"{who}; this kernel refuses {'; '.join(lacking)}"
            yield Finding("Job processes", Level.WARNING, text, "Set JOBWRIGHT_JOB_USER, or allow the service to create user namespaces.")
        else:
            yield Finding("Job processes", Level.OK, f"{who}; Landlock {holds.landlock} and namespaces restrict them")

    def _audit(self) -> Iterator[Finding]:
        report = self._services.audit.verify()
        if report.breaks:
            yield Finding(
                "Audit trail",
                Level.PROBLEM,
                "; ".join(f"event {place.seq}: {place.reason}" for place in report.breaks),
                "Someone changed the trail in the database. Keep a copy, and compare it with the log (audit.written) and with backups.",
            )
            return
        unsealed = f", {report.unsealed} older than the chain" if report.unsealed else ""
        yield Finding(
            "Audit trail", Level.OK, f"{report.events} events are intact{unsealed}; the last is {report.head.seq}, {report.head.seal[:16]}…"
        )

    def _templates(self) -> Iterator[Finding]:
        catalogue = self._services.catalogue
        for name, reason in catalogue.broken.items():
            yield Finding("Templates", Level.PROBLEM, f"{name} cannot be loaded: {reason}", "Its jobs do not run. Reinstall it.")
        if not catalogue.broken:
            yield Finding("Templates", Level.OK, f"all {len(catalogue.types())} are loaded")

    def _nodes(self) -> Iterator[Finding]:
        now, seen = self._services.clock.now(), NodeStore(self._database).all()
        live = [node for node in seen if node.lives(now)]
        if not live:
            yield Finding("Nodes", Level.WARNING, "no scheduler is online", "Start `jobwright serve` or `jobwright scheduler`.")
        for node in live:
            if node.tick_age_seconds > SILENT_AFTER.total_seconds():
                text = f"the scheduler of {node.id} has not ticked for {node.tick_age_seconds:.0f} s"
                yield Finding("Nodes", Level.PROBLEM, text, "Look for `tick.failed` in its log and restart it.")
            else:
                yield _skew("Nodes", node.id, node.skew_seconds)

    def _connections(self) -> Iterator[Finding]:
        """Yields the connections that did not answer the last test. The scheduler tests each every JOBWRIGHT_PROBE_SECONDS."""
        tested, count = self._services.connections.conditions(), len(ConnectionStore(self._database).all())
        silent = [condition for condition in tested if not condition.works]
        for condition in silent:
            text = f"{condition.name} ({condition.kind.name}) does not answer: {condition.message}"
            yield Finding("Connections", Level.WARNING, text, "Check its address and credentials on the page Connections.")
        if not silent:
            untested = f", {count - len(tested)} not tested yet" if count > len(tested) else ""
            yield Finding("Connections", Level.OK, f"{len(tested)} of {count} answer{untested}" if count else "there are none")

    def _bus(self) -> Iterator[Finding]:
        settings = self._services.settings
        if not settings.nats_url:
            return
        owed = self._services.unpublished()
        try:
            server, version = find_server(settings.nats_servers)
        except Exception as error:
            text = f"NATS_URL cannot be reached: {type(error).__name__}: {str(error)[:200]}"
            kept = f" {owed} records have events that are published when it returns." if owed else ""
            advice = f"Start the NATS server with JetStream (nats-server --jetstream), or correct NATS_URL.{kept}"
            yield Finding("Bus", Level.PROBLEM, text, advice)
            return
        text = f"NATS {version} at {server} answers, with JetStream"
        if owed > MOST_UNPUBLISHED:
            yield Finding("Bus", Level.WARNING, f"{text}; {owed} records have unpublished events", "Look for `bus.` events in the log.")
        else:
            yield Finding("Bus", Level.OK, text)

    def _jobs(self) -> Iterator[Finding]:
        store, now = DispatchStore(self._database), self._services.clock.now()
        broken, late = self._services.directory.broken(), store.seconds_late(now, LATE)
        for name, reason in broken.items():
            yield Finding(
                "Jobs",
                Level.PROBLEM,
                f"{name} cannot run: {reason}",
                "Give it another schedule, or restore its template.",
            )
        if late:
            yield Finding("Jobs", Level.PROBLEM, f"a job is late by {late:.0f} s", "No scheduler plans it. Start a scheduler.")
        waiting = len(store.find_unsettled(now - OUTBOX_OLD, 1000))
        if waiting:
            yield Finding(
                "Jobs",
                Level.WARNING,
                f"the planned runs of {waiting} job{'s' * (waiting != 1)} are not stored yet",
                "A running scheduler will store them.",
            )
        if not broken and not late and not waiting:
            yield Finding("Jobs", Level.OK, "no job is late or broken")

    def _runs_to_come(self) -> Iterator[Finding]:
        """Yields the warnings about enabled jobs whose runs will all fail. Mail has a check of its own."""
        jobs = ListStore(self._database).enabled(MOST_JOBS)
        warnings_by_job = [
            (job.definition.name, warning)
            for job, warnings in zip(jobs, self._services.outlook.of_all([job.definition for job in jobs]), strict=True)
            for warning in warnings
            if not warning.pointer.startswith("/notifications/")
        ]
        for name, warning in warnings_by_job[:MOST_WARNINGS]:
            text = f"{name}: {field_name(warning.pointer)}: {warning.message}"
            yield Finding("Runs to come", Level.WARNING, text, "Change the job, or repair what it needs.")
        if len(warnings_by_job) > MOST_WARNINGS:
            yield Finding("Runs to come", Level.WARNING, f"there are {len(warnings_by_job) - MOST_WARNINGS} more warnings")
        if not warnings_by_job:
            yield Finding("Runs to come", Level.OK, "no run is expected to fail")

    def _mail(self) -> Iterator[Finding]:
        recipients, problem = UsageStore(self._database).count_with_recipients(), self._services.outlook.mail_problem()
        if problem is None:
            yield Finding("Mail", Level.OK, f"notifications are sent through {self._services.settings.notify_connection}")
        elif recipients or self._services.settings.notify_connection:
            text = f"{recipients} job{'s' * (recipients != 1)} with recipients: {problem}"
            yield Finding("Mail", Level.WARNING, text, "The page Connections shows the SMTP connections and tests them.")
        else:
            yield Finding("Mail", Level.OK, "no job sends notifications")

    def _executions(self) -> Iterator[Finding]:
        unplaced = self._services.unplaced.overdue()
        without = {row.needs for row in unplaced}
        now = self._services.clock.now()
        stuck = StatisticsStore(self._database).stuck(now, silent=RUN_SILENT, waiting=RUN_WAITING, without=without)
        descriptions = {
            "silent": ("running on a worker that no longer renews its lease", "A running scheduler takes them over within seconds."),
            "waiting": (
                f"waiting for a free slot for more than {RUN_WAITING.seconds // 60} minutes",
                "Raise SCHEDULER_EXECUTOR_POOL_SIZE or start another node.",
            ),
        }
        for what, count in stuck.items():
            if count:
                yield Finding("Executions", Level.WARNING, f"{descriptions[what][0]}: {count}", descriptions[what][1])
        for row in unplaced[:MOST_NAMED]:
            text = f"{row.job_name} waits for a node with {', '.join(row.needs)}, which no running node has: {row.count}"
            yield Finding("Executions", Level.WARNING, text, "Start a node with these labels (JOBWRIGHT_NODE_LABELS), or change the job.")
        given_up = self._services.given_up.count(self._services.clock.now() - GIVEN_UP_LATELY)
        if given_up:
            text = f"ended, but a follow-up failed (a notification, or the jobs that depend on it): {given_up}"
            advice = "The page of the execution shows the reason and a button to try again. Look for `outbox.failed` in the log."
            yield Finding("Executions", Level.WARNING, text, advice)
        if not any(stuck.values()) and not given_up and not unplaced:
            yield Finding("Executions", Level.OK, "no execution is stuck")

    def _records(self) -> Iterator[Finding]:
        """Compares the newest documents of each collection with its shape."""
        damaged = 0
        for name, shape in SHAPES.items():
            for row in Records(self._database, name, shape).find().sort("$natural", -1).limit(MOST_RECORDS):
                if DAMAGED in row:
                    damaged += 1
                    if damaged <= MOST_NAMED:
                        name_of_row = row.get("name") or row.get("email") or row.get("job_name") or ""
                        text = f"{row['_id']} in {name}{f' ({name_of_row})' if name_of_row else ''} is damaged: {row[DAMAGED]}"
                        yield Finding("Records", Level.PROBLEM, text, "Jobwright does not use it. Repair it in the database, or delete it.")
        if damaged > MOST_NAMED:
            yield Finding("Records", Level.PROBLEM, f"{damaged - MOST_NAMED} more are damaged", "The log names each (record.damaged).")
        if not damaged:
            yield Finding("Records", Level.OK, "all records are readable")


def _skew(subject: str, machine: str, seconds: float) -> Finding:
    text = f"the clock of {machine} is {abs(seconds):.2f} s {'ahead of' if seconds > 0 else 'behind'} the database"
    if abs(seconds) < SKEW_NOTICED:
        return Finding(subject, Level.OK, text)
    level = Level.PROBLEM if abs(seconds) > SKEW_TOO_MUCH else Level.WARNING
    return Finding(subject, level, text, "Leases depend on correct clocks. Synchronise the clocks of both machines (NTP).")


def _database_disk(database: Database[Document]) -> tuple[float, float]:
    """Returns the free and the total bytes of the disk that MongoDB writes to; zeros if the server does not tell them."""
    stats = database.command("dbStats")
    total = stats.get("fsTotalSize", 0)
    return total - stats.get("fsUsedSize", 0), total


def _space(subject: str, free: float, total: float) -> Finding:
    text = f"{free / (1 << 30):.1f} of {total / (1 << 30):.1f} GiB are free"
    scarce = total > 0 and free < max(LEAST_FREE, total / 50)
    return Finding(subject, Level.PROBLEM if scarce else Level.OK, text, "Make room. A full disk stops every job." if scarce else "")


def _tz_version() -> str:
    """Returns the version of the system's time-zone data, such as 2026a; empty if the system does not tell it."""
    for folder in zoneinfo.TZPATH:
        path = Path(folder) / "tzdata.zi"
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                return file.readline().removeprefix("# version ").strip()
    return ""
