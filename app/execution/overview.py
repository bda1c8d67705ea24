"""What the last day was like, what runs and what comes: for whoever looks whether all is well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.execution.model import Status
from app.execution.store import ExecutionStore
from app.execution.updates import FAILURES
from app.jobs.model import Job
from app.jobs.service import JobRegistry
from app.mongo import Document

HOURS = 24
MOST_SHOWN = 8
TYPICAL_OF = 20  # runs


@dataclass(frozen=True, slots=True)
class Hour:
    """The outcomes of the executions that were queued in one hour: how many by status."""

    begin: datetime
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Running:
    """An execution that runs, and how many seconds are left by the job's history; None where that does not say."""

    execution: Document
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours: by hour, oldest first; of those that ran to an end the share that succeeded (0 to 1; None where none ran),
    and the jobs whose last outcome of the day was a failure, newest first."""

    hours: list[Hour]
    success: float | None
    failing: list[Document]
    failing_more: int

    @property
    def total(self) -> int:
        return sum(one.total for one in self.hours)


class Overview:
    """Reads what a dashboard shows; each read is answered from an index and bounded."""

    def __init__(self, store: ExecutionStore, registry: JobRegistry, clock: Clock) -> None:
        self._store, self._registry, self._clock = store, registry, clock

    def day(self, actor: Actor) -> Day:
        """The last 24 hours of what `actor` sees."""
        require(actor, May.SEE_EXECUTIONS)
        end = self._clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        begin, visible = end - timedelta(hours=HOURS), self._visible(actor)
        counted = self._store.counts_by_hour(begin, of_jobs=visible)
        hours = [Hour(at, counted.get(at, {})) for at in (begin + timedelta(hours=n) for n in range(HOURS))]
        good = sum(one.counts.get(Status.SUCCESS.value, 0) for one in hours)
        bad = sum(one.counts.get(status, 0) for one in hours for status in FAILURES)
        failing = self._store.failing(begin, of_jobs=visible)
        return Day(
            hours=hours, success=good / (good + bad) if good + bad else None, failing=failing[:MOST_SHOWN],
            failing_more=max(0, len(failing) - MOST_SHOWN),
        )  # fmt: skip

    def running(self, actor: Actor) -> list[Running]:
        """What runs now, longest first."""
        require(actor, May.SEE_EXECUTIONS)
        now = self._clock.now()
        rows, _ = self._store.page(of_jobs=self._visible(actor), status=Status.RUNNING.value, limit=MOST_SHOWN)
        return [Running(row, self._left(row, now)) for row in sorted(rows, key=lambda row: row["started_at"] or now)]

    def coming(self, actor: Actor) -> list[Job]:
        """The jobs that are due next, within 24 hours."""
        now = self._clock.now()
        return self._registry.due_between(actor, now, now + timedelta(hours=HOURS), MOST_SHOWN)

    def _visible(self, actor: Actor) -> Collection[str] | None:
        return self._registry.visible_ids(actor)

    def _left(self, row: Document, now: datetime) -> float | None:
        spent = (now - row["started_at"]).total_seconds() if row["started_at"] else 0.0
        progress: dict[str, Any] = row.get("progress") or {}
        if progress.get("total") and progress.get("done"):
            return float(max(0.0, spent * (progress["total"] - progress["done"]) / progress["done"]))
        latest = self._store.latest(row["job_id"], TYPICAL_OF)
        spans = [one["duration_seconds"] for one in latest if one["status"] == Status.SUCCESS and one["duration_seconds"] is not None]
        return max(0.0, median(spans) - spent) if spans else None
