"""Executions that wait for a node with labels that no running node has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from app.accounts.permissions import May, require, sees_group
from app.audit.model import Actor
from app.clock import Clock
from app.execution.statistics_store import StatisticsStore, UnplacedRuns
from app.jobs.list_store import ListStore

MOST_LOOKED_AT = 500  # jobs with executions that need labels and wait


class Unplaced:
    """Finds them. `takes` says whether some node takes executions that need some labels."""

    def __init__(self, *, statistics: StatisticsStore, lists: ListStore, takes: Callable[[Iterable[str]], bool], clock: Clock) -> None:
        self._statistics, self._lists, self._takes, self._clock = statistics, lists, takes, clock

    def seen_by(self, actor: Actor) -> list[UnplacedRuns]:
        """Returns those of the jobs that `actor` sees, as `overdue` does."""
        require(actor, May.SEE_EXECUTIONS)
        return [row for row in self.overdue() if sees_group(actor, row.group)]

    def overdue(self) -> list[UnplacedRuns]:
        """Returns the executions of which the first has waited longer than its job's grace, by job and labels, the longest first."""
        now = self._clock.now()
        rows = self._statistics.waiting_by_needs(now, MOST_LOOKED_AT)
        without = {row.needs for row in rows if not self._takes(row.needs)} if rows else set()
        waiting = [row for row in rows if row.needs in without]
        graces = self._lists.graces({row.job_id for row in waiting}) if waiting else {}
        return [row for row in waiting if now - row.since > timedelta(seconds=graces.get(row.job_id, 0.0))]
