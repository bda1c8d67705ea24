"""This machine and that of the database: clocks, disks and time zones."""

from __future__ import annotations

import re
import shutil
import zoneinfo
from collections.abc import Iterator
from datetime import UTC
from importlib.metadata import version
from pathlib import Path

from pymongo.database import Database

from app.factory import Store
from app.findings import Finding, Level
from app.jobs.usage_store import UsageStore
from app.mongo import Document
from app.services import Services
from app.zones import is_zone, zone_names
from templates_lib.messages import amount

SKEW_NOTICED, SKEW_TOO_MUCH = 1.0, 5.0  # seconds; leases compare clocks (docs/explanation/guarantees.md)
LEAST_FREE = 1 << 30


def check_clock(services: Services, store: Store) -> Iterator[Finding]:
    """Yields how far the clock of this machine is from that of the database."""
    before = services.clock.now()
    database_time = store.client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
    after = services.clock.now()
    yield skew_finding("Clock", "this machine", (before + (after - before) / 2 - database_time).total_seconds())


def check_disk(services: Services, store: Store) -> Iterator[Finding]:
    """Yields how much room the disks of the database and of the data folder have."""
    yield _space("Disk of the database", *_database_disk(store.database))
    folder = services.settings.data_path
    if folder.exists():
        usage = shutil.disk_usage(folder)
        yield _space("Disk of the data folder", usage.free, usage.total)


def check_time_zones(services: Services, store: Store) -> Iterator[Finding]:
    """Yields time zones of jobs that are unknown here, and how old the data of the zones is."""
    data = _tz_version() or f"of the package tzdata {version('tzdata')}"
    year = re.search(r"20\d\d", data)
    old = year is not None and int(year[0]) < services.clock.now().year - 1
    unknown = sorted({str(name) for name in UsageStore(store.database).zones_in_use() if not is_zone(name)})
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
        f"data {data}, {amount(len(zone_names()), 'zone')}",
        "Update the system's tzdata. It lacks the clock changes of the last years." if old else "",
    )


def skew_finding(subject: str, machine: str, seconds: float) -> Finding:
    """Returns whether the clock of a machine differs from that of the database by too much."""
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
