"""What the last day was like, what runs and what comes: for whoever looks whether all is well."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.execution.day_store import DayStore
from app.execution.figures import Figures
from app.execution.filters import ExecutionFilter
from app.execution.history_store import HistoryStore
from app.execution.statistics_store import StatisticsStore
from app.execution.tallies import Begun, Tallies, Tally
from app.jobs.directory import JobDirectory
from app.jobs.model import Job
from app.queue.execution import Execution, Outline
from app.queue.model import FAILURES, Status

HOURS = 24
LATELY = timedelta(hours=2)  # most of what was queued before has ended
SETTLED_AFTER = timedelta(days=2)  # what was queued on a day has ended by then, or makes no difference
FRESH = timedelta(minutes=1)  # of counts of days that have not settled
_DAY = timedelta(days=1)
MOST_SHOWN = 8
MOST_ON_NODES = 1_000
LATE_AFTER, LONGEST_LATE = timedelta(minutes=1), timedelta(days=3650)
TYPICAL_OF = 20  # runs

OfJob = TypeVar("OfJob", Execution, Outline, Begun)


@dataclass(frozen=True, slots=True)
class Running:
    """An execution that runs, and how many seconds are left by the job's history; None where that does not say."""

    execution: Execution
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours: by the hour that begins then, oldest first; and, of those that ran to an end, the share that succeeded (0 to 1;
    None where none ran)."""

    hours: dict[datetime, Tally]
    success: float | None

    @property
    def total(self) -> int:
        return sum(tally.total for tally in self.hours.values())


class Overview:
    """Reads what a dashboard shows; each read is answered from an index and bounded."""

    def __init__(
        self, *, history: HistoryStore, statistics: StatisticsStore, days: DayStore, directory: JobDirectory, clock: Clock
    ) -> None:
        self._history, self._statistics, self._days, self._directory, self._clock = history, statistics, days, directory, clock

    def day(self, actor: Actor) -> Day:
        """The last 24 hours of what `actor` sees."""
        require(actor, May.SEE_EXECUTIONS)
        end = self._clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        begin, groups = end - timedelta(hours=HOURS), actor.groups
        # What is kept may be a minute old: of the hours in which something still happens it is asked anew.
        lately = end - LATELY
        counted = {**self._hours(groups, begin, lately), **self._statistics.tallies(lately, groups=groups)}
        hours = {at: counted.get(at, Tally()) for at in (begin + timedelta(hours=n) for n in range(HOURS))}
        good = sum(tally.counts.get(Status.SUCCESS.value, 0) for tally in hours.values())
        bad = sum(tally.counts.get(status, 0) for tally in hours.values() for status in FAILURES)
        return Day(hours=hours, success=good / (good + bad) if good + bad else None)

    def hours(self, actor: Actor, begin: datetime, end: datetime) -> Tallies:
        """What the executions of [begin, end) came to, by the hour (UTC) in which they were queued; hours without any are left out.

        Days that have settled are counted once and kept, so that a month costs no more than its last days.
        """
        require(actor, May.SEE_EXECUTIONS)
        return self._hours(actor.groups, begin, end)

    def _hours(self, groups: Collection[str] | None, begin: datetime, end: datetime) -> Tallies:
        if groups is not None:
            return self._statistics.tallies(begin, end, groups=groups)
        now = self._clock.now()
        first, last = _midnight(begin), min(_midnight(end - timedelta(milliseconds=1)), _midnight(now)) + _DAY
        kept, counted = self._days.read(first, last)
        days = [first + n * _DAY for n in range(max(0, (last - first).days))]
        stale = [day for day in days if not _holds(day, counted.get(day), now)]
        if stale:
            fresh = self._statistics.tallies(stale[0], stale[-1] + _DAY)
            self._days.write(stale, fresh, at=now)
            again = {day + timedelta(hours=n) for day in stale for n in range(HOURS)}
            kept = {at: tally for at, tally in kept.items() if at not in again} | {at: fresh[at] for at in again & fresh.keys()}
        return {at: tally for at, tally in kept.items() if begin <= at < end}

    def drawn(self, actor: Actor, begin: datetime, end: datetime, limit: int, *, newest: bool = True) -> list[Outline]:
        """What a picture of [begin, end) shows, as StatisticsStore.drawn."""
        require(actor, May.SEE_EXECUTIONS)
        return self._of_jobs_seen(actor, self._statistics.drawn(begin, end, limit, newest=newest, groups=actor.groups))

    def minutes(self, actor: Actor, begin: datetime, end: datetime, job_ids: Collection[str] | None = None) -> list[Begun]:
        """In which minutes of [begin, end) runs began, as StatisticsStore.minutes: of all jobs that `actor` sees, or of some of them."""
        require(actor, May.SEE_EXECUTIONS)
        return self._of_jobs_seen(actor, self._statistics.minutes(begin, end, groups=actor.groups, job_ids=job_ids))

    def running(self, actor: Actor) -> list[Running]:
        """What runs now, longest first."""
        require(actor, May.SEE_EXECUTIONS)
        now = self._clock.now()
        rows, _ = self._history.page(ExecutionFilter(status=Status.RUNNING.value), groups=actor.groups, limit=MOST_SHOWN)
        seen = self._of_jobs_seen(actor, rows)
        return [Running(row, self._left(row, now)) for row in sorted(seen, key=lambda row: row.started_at or now)]

    def on_nodes(self, actor: Actor, node_ids: Collection[str]) -> dict[str, list[Outline]]:
        """What runs on these nodes, by node, longest first: of jobs that `actor` sees, and MOST_ON_NODES at most."""
        require(actor, May.SEE_EXECUTIONS)
        rows = self._history.running_on(node_ids, MOST_ON_NODES) if node_ids else []
        seen = {row.id for row in self._of_jobs_seen(actor, [row for _, row in rows])}
        runs: dict[str, list[Outline]] = {}
        for node_id, row in rows:
            if row.id in seen:
                runs.setdefault(node_id, []).append(row)
        return runs

    def late(self, actor: Actor) -> list[Job]:
        """Jobs that were due more than LATE_AFTER ago and that nobody has started, the longest waiting first."""
        now = self._clock.now()
        return self._directory.due_between(actor, now - LONGEST_LATE, now - LATE_AFTER, MOST_SHOWN)

    def coming(self, actor: Actor) -> list[Job]:
        """The jobs that are due next, within 24 hours."""
        now = self._clock.now()
        return self._directory.due_between(actor, now, now + timedelta(hours=HOURS), MOST_SHOWN)

    def _of_jobs_seen(self, actor: Actor, rows: Sequence[OfJob]) -> list[OfJob]:
        """The rows of jobs that `actor` sees: a job may have been given another group a moment ago, and its executions follow it."""
        seen = self._directory.of_these_seen(actor, {row.job_id for row in rows})
        return [row for row in rows if row.job_id in seen]

    def _left(self, execution: Execution, now: datetime) -> float | None:
        spent = (now - execution.started_at).total_seconds() if execution.started_at else 0.0
        progress = execution.progress or {}
        if progress.get("total") and progress.get("done"):
            return float(max(0.0, spent * (progress["total"] - progress["done"]) / progress["done"]))
        typical = Figures.of(self._history.latest(execution.job_id, TYPICAL_OF)).median_seconds
        return None if typical is None else max(0.0, typical - spent)


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _holds(day: datetime, counted_at: datetime | None, now: datetime) -> bool:
    """Whether the counts of a day are still right."""
    return counted_at is not None and (counted_at >= day + _DAY + SETTLED_AFTER or now - counted_at < FRESH)
