"""What ran, for people and programs to look at. Secrets are masked, and nobody sees more than the jobs of their groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from statistics import median
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.connections.vault import mask
from app.execution.figures import Figures
from app.execution.filters import ALL_EXECUTIONS, ExecutionFilter
from app.execution.history_store import HistoryStore
from app.execution.runs import JobServices, carried_parameters, masked
from app.execution.statistics_store import StatisticsStore
from app.execution.sums import Sums
from app.execution.visible import VisibleExecutions
from app.paging import Page, page_count
from app.queue.execution import DueTimes, Execution, Outline
from app.queue.model import FAILURES, Reason, Status
from app.queue.store import QueueStore

TYPICAL_OF = 50  # runs
LOOKED_AT = 20  # records in which the last outage is looked for
KEPT_FROM_STARTING = frozenset({Reason.PAUSED, Reason.MAINTENANCE, Reason.TEMPLATE_OFF, Reason.DISABLED})
MOST_EFFECTS = 50  # executions that one began


class History:
    """Reads executions for one actor at a time."""

    def __init__(self, *, queue: QueueStore, history: HistoryStore, statistics: StatisticsStore, jobs: JobServices) -> None:
        self._queue, self._history, self._statistics = queue, history, statistics
        self._registry, self._directory, self._parameters = jobs.registry, jobs.directory, jobs.parameters
        self._visible = VisibleExecutions(queue, jobs.directory)

    def get(self, actor: Actor, execution_id: str) -> Execution:
        """One execution. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        return masked(self._visible.get(actor, execution_id))

    def parameters_again(self, actor: Actor, execution_id: str) -> dict[str, Any]:
        """What an execution had, as its job's template takes it now; what the job has, where it is of another template by now. Raises
        NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        old = self._visible.get(actor, execution_id)
        job = self._registry.visible(actor, old.job_id)
        carried = carried_parameters(self._parameters, job, old)
        shown: dict[str, Any] = self._parameters.shown(job) if carried is None else mask(carried)
        return shown

    def page(
        self, actor: Actor, query: ExecutionFilter = ALL_EXECUTIONS, *, page: int = 1, limit: int = 50, most: int = 0
    ) -> Page[Execution]:
        """One page of the executions that `query` leaves. With `most`, no more than so many are counted, and pages go no further."""
        rows, total = self.part(actor, query, skip=(page - 1) * limit, limit=limit, most=most)
        everything = query == ALL_EXECUTIONS and actor.groups is None  # its number is known without counting
        reached = min(total, most) if most else total
        counted = not most or total < most or everything
        return Page(rows, total, page, page_count(reached, limit), counted)

    def part(self, actor: Actor, query: ExecutionFilter, *, skip: int, limit: int, most: int = 0) -> tuple[list[Execution], int]:
        """The executions that `query` leaves, newest first, without the first `skip`; and how many there are in all, up to `most`."""
        require(actor, May.SEE_EXECUTIONS)
        rows, total = self._history.page(query, groups=actor.groups, skip=skip, limit=limit, most=most)
        if actor.groups is not None:  # a job may have been given another group a moment ago
            seen = self._directory.of_these_seen(actor, {row.job_id for row in rows})
            rows = [row for row in rows if row.job_id in seen]
        return [masked(row) for row in rows], total

    def latest(self, actor: Actor, job_id: str, limit: int = 20) -> list[Outline]:
        """The newest executions of a job, in brief."""
        require(actor, May.SEE_EXECUTIONS)
        return self._history.latest(job_id, limit) if self._directory.sees(actor, job_id) else []

    def last_outage(self, actor: Actor, job_id: str) -> DueTimes | None:
        """Returns the due times of a job that last passed without a run because no node was there, or because something kept the job from
        starting; None if there are none among its latest records."""
        rows = [
            row
            for status in (Status.MISSED, Status.SKIPPED)
            for row in self.page(actor, ExecutionFilter(job_id=job_id, status=status), limit=LOOKED_AT).items
            if status is Status.MISSED or row.reason in KEPT_FROM_STARTING
        ]
        times = [
            row.due_times or DueTimes(first=row.scheduled_for, last=row.scheduled_for, count=1)
            for row in rows
            if row.scheduled_for is not None
        ]
        return max(times, key=lambda passed: passed.last, default=None)

    def figures(self, actor: Actor, job_id: str, limit: int) -> dict[str, Any]:
        """What the newest executions of a job come to: {executions, by_status, success, median_seconds, p95_seconds, items}."""
        rows = self.latest(actor, job_id, limit)
        return {"executions": len(rows), "by_status": dict(Counter(row.status for row in rows)), **asdict(Figures.of(rows))}

    def sums(self, actor: Actor, job_ids: Sequence[str], *, since: datetime | None = None) -> dict[str, Sums] | None:
        """What the executions of jobs that `actor` was shown come to, by job: all that are kept, or those that were queued since then.
        Jobs without any are left out. None if there are too many to count them."""
        require(actor, May.SEE_EXECUTIONS)
        return self._statistics.sums(job_ids, since=since)

    def latest_of(self, actor: Actor, job_ids: Sequence[str], limit: int) -> dict[str, list[Outline]]:
        """The newest executions of many jobs that `actor` was shown, by job."""
        require(actor, May.SEE_EXECUTIONS)
        return self._history.latest_of(job_ids, limit)

    def last_errors(self, actor: Actor, job_ids: Sequence[str]) -> dict[str, str]:
        """Why the last run of each of these jobs failed, by job; jobs whose last run that succeeded or failed did not fail are left out."""
        require(actor, May.SEE_EXECUTIONS)
        decided = self._history.last_decided(job_ids).items()
        return {job_id: run.error or "" for job_id, run in decided if run.status in FAILURES}

    def typical_seconds(self, templates: Iterable[str]) -> dict[str, float]:
        """How long the latest successful runs of each template took, as the median; templates that never ran are left out."""
        spans = {template: self._history.latest_durations(template, TYPICAL_OF) for template in templates}
        return {template: median(durations) for template, durations in spans.items() if durations}

    def neighbours(self, actor: Actor, execution: Execution) -> tuple[str | None, str | None]:
        """Ids of the executions of the same job before and after one."""
        require(actor, May.SEE_EXECUTIONS)
        return self._history.neighbour(execution, earlier=True), self._history.neighbour(execution, earlier=False)

    def causes(self, actor: Actor, execution: Execution) -> list[Outline]:
        """The executions whose ends began an execution, in brief; those that `actor` does not see are left out."""
        return self._seen(actor, self._history.named(execution.caused_by)) if execution.caused_by else []

    def effects(self, actor: Actor, execution_id: str) -> list[Outline]:
        """The executions that the end of an execution began, in brief; those that `actor` does not see are left out."""
        return self._seen(actor, self._history.caused_by(execution_id, MOST_EFFECTS))

    def success_before(self, actor: Actor, execution: Execution) -> Execution | None:
        """The last success of the same job that was queued before an execution."""
        require(actor, May.SEE_EXECUTIONS)
        success = self._history.success_before(execution)
        return masked(success) if success else None

    def busy(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Which of these jobs run or wait to run."""
        return frozenset(self._queue.live_counts(job_ids))

    def live_counts(self) -> dict[str, int]:
        """How many executions are queued, running, retrying."""
        return self._statistics.counts_by_status()

    def _seen(self, actor: Actor, rows: Sequence[Outline]) -> list[Outline]:
        require(actor, May.SEE_EXECUTIONS)
        return [row for row in rows if self._directory.sees(actor, row.job_id)]
