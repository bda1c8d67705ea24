"""All checks, in the order in which their problems should be fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.broker.inspection import broker_findings
from app.doctor.database import check_indexes, check_migrations, check_server
from app.doctor.jobs import check_executions, check_jobs, check_mail, check_notifications, check_runs_to_come
from app.doctor.machine import check_clock, check_disk, check_time_zones
from app.doctor.processes import check_bus, check_collector, check_connections, check_monitor, check_nodes
from app.doctor.records import check_audit, check_records, check_templates
from app.doctor.secrets import check_job_processes, check_key, check_secret_files
from app.factory import Store
from app.findings import Finding, Level
from app.jobs.commands import check_commands
from app.services import Services

Check = Callable[[Services, Store], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    "MongoDB": check_server,
    "Clock": check_clock,
    "Migrations": check_migrations,
    "Indexes": check_indexes,
    "Disk": check_disk,
    "Time zones": check_time_zones,
    "Key": check_key,
    "Job processes": check_job_processes,
    "Secrets": check_secret_files,
    "Commands": lambda services, _: check_commands(services.settings),
    "Audit trail": check_audit,
    "Templates": check_templates,
    "Nodes": check_nodes,
    "Connections": check_connections,
    "Bus": check_bus,
    "Celery": lambda services, _: broker_findings(services.settings),
    "Traces": check_collector,
    "Jobs": check_jobs,
    "Runs to come": check_runs_to_come,
    "Mail": check_mail,
    "Notifications": check_notifications,
    "Monitor": check_monitor,
    "Executions": check_executions,
    "Records": check_records,
}


class Doctor:
    """Runs all checks, and changes nothing. A check that raises an error becomes a problem of its subject; the others go on."""

    def __init__(self, services: Services, store: Store) -> None:
        self._services, self._store = services, store

    def examine(self) -> Iterator[Finding]:
        """Yields all findings."""
        for subject, check in CHECKS.items():
            try:
                yield from check(self._services, self._store)
            except Exception as error:
                yield Finding(subject, Level.PROBLEM, f"the check failed: {type(error).__name__}: {str(error)[:200]}")
