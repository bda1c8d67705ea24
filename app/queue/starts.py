"""Which starts of a job its own limit of runs allows: pure decisions over the starts of its last period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.jobs.model import RunLimit


@dataclass(frozen=True, slots=True)
class Start:
    """A run that has started, or is about to. `in_backfill`: somebody asked for it, to make up for a time that has passed."""

    execution_id: str
    at: datetime
    in_backfill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that would start now, with the limit that it carries."""

    execution_id: str
    limit: RunLimit
    in_backfill: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """What keeps a run from starting now: it may start at `free_at`, and is `skipped` where its job says so."""

    free_at: datetime
    skipped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """The last starts of one job, as far as a limit of up to `runs` runs in `seconds` seconds needs them. `revision` is that of their
    document; 0 where there is none yet."""

    job_id: str
    runs: int
    seconds: int
    starts: tuple[Start, ...] = ()
    revision: int = 0

    def covers(self, limit: RunLimit) -> bool:
        """Returns whether the starts decide about a run with this limit: they reach back far enough."""
        return limit.runs <= self.runs and limit.seconds <= self.seconds

    def not_after(self, now: datetime) -> Starts:
        """Returns the same with `now` as the time of each start that lies after it: the clock of a machine was ahead. Without this, a
        clock that was a year ahead for one run would keep the job from starting for a year."""
        if all(start.at <= now for start in self.starts):
            return self
        return replace(self, starts=tuple(replace(start, at=min(start.at, now)) for start in self.starts))

    def free_at(self, limit: RunLimit, now: datetime, *, but: str = "", others: int = 0) -> datetime | None:
        """Returns None if one more run may start now, else when it may, if `others` that wait too start before it. `but` is an execution
        that does not count.

        Example: with 2 runs in 60 s, and starts at 12:00:10 and 12:00:30, a third run may start at 12:01:10, and one more at 12:01:30.
        """
        period = timedelta(seconds=limit.seconds)
        recent = sorted(start.at for start in self.starts if start.at > now - period and start.execution_id != but)
        if len(recent) < limit.runs:
            return None
        rounds, place = divmod(others, limit.runs)
        return recent[len(recent) - limit.runs + place] + period * (rounds + 1)

    def in_backfill(self, limit: RunLimit, now: datetime) -> bool:
        """Returns whether a run of a backfill is one of those that use up the limit."""
        since = now - timedelta(seconds=limit.seconds)
        return any(start.in_backfill and start.at > since for start in self.starts)


def admit(starts: Starts, wanted: Sequence[Wanted], now: datetime) -> tuple[Starts, Mapping[str, datetime]]:
    """Lets the runs start that the limit allows, in their order. Returns the starts with them, and for each other run when it may start.

    A run that was let in before and did not start then does not count twice: its start is now.
    """
    allowed = starts.starts
    refused: dict[str, datetime] = {}
    for run in wanted:
        so_far = replace(starts, starts=allowed)
        at = so_far.free_at(run.limit, now, but=run.execution_id, others=len(refused))
        if at is not None:
            refused[run.execution_id] = at
            continue
        others = tuple(start for start in allowed if start.execution_id != run.execution_id)
        allowed = (*others, Start(run.execution_id, now, run.in_backfill))
    since = now - timedelta(seconds=starts.seconds)
    kept = sorted((start for start in allowed if start.at > since), key=lambda start: start.at)
    return replace(starts, starts=tuple(kept[-starts.runs :])), refused
