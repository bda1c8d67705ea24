"""How much a person may start by hand within an hour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from app.accounts.model import Role
from app.audit.model import Actor
from app.clock import Clock
from app.config import Settings
from app.errors import LimitReached
from app.execution.limit_store import RunLimits
from templates_lib.messages import Said, joined, say, say_many

LIMIT_WINDOW = timedelta(hours=1)
SHORTLY = 90  # seconds; of a longer wait, the time of day is said
FAR = 12 * 3600  # seconds; of a longer wait, the day is said


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyLimits:
    """How much one person may start by hand within an hour."""

    runs: int
    runs_of_super_admins: int
    dry_runs: int  # of jobs that are not saved

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(
            runs=settings.runs_per_hour,
            runs_of_super_admins=settings.runs_per_hour_super_admin,
            dry_runs=settings.dry_runs_per_hour,
        )


class HourlyRuns:
    """Counts what each person starts by hand within an hour: runs, and apart from them dry runs of jobs that are not saved."""

    def __init__(self, counts: RunLimits, clock: Clock, limits: HourlyLimits) -> None:
        self._counts, self._clock, self._limits = counts, clock, limits

    def count(self, actor: Actor) -> None:
        """Counts one run. Raises LimitReached, with the time to wait."""
        super_admin = actor.role == Role.SUPER_ADMIN.value
        limit = self._limits.runs_of_super_admins if super_admin else self._limits.runs
        setting = "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN" if super_admin else "JOBWRIGHT_RUNS_PER_HOUR"
        wait = self._take(actor.id, limit)
        if wait is not None:
            text = say_many(
                "{email} may start one run per hour by hand ({setting})",
                "{email} may start {count} runs per hour by hand ({setting})",
                limit,
                email=actor.email,
                setting=setting,
            )
            raise self._reached(text, wait)

    def count_dry_run(self, actor: Actor) -> None:
        """Counts one dry run of a job that is not saved. Raises LimitReached, with the time to wait."""
        wait = self._take(f"{actor.id} dry runs", self._limits.dry_runs)
        if wait is not None:
            text = say_many(
                "{email} may start one dry run per hour (JOBWRIGHT_DRY_RUNS_PER_HOUR)",
                "{email} may start {count} dry runs per hour (JOBWRIGHT_DRY_RUNS_PER_HOUR)",
                self._limits.dry_runs,
                email=actor.email,
            )
            raise self._reached(text, wait)

    def _take(self, key: str, limit: int) -> float | None:
        return self._counts.take(key, now=self._clock.now(), limit=limit, window=LIMIT_WINDOW)

    def _reached(self, text: Said, wait: float) -> LimitReached:
        seconds = math.ceil(wait)
        return LimitReached(joined((text, possible_again(self._clock.now(), seconds)), ". "), retry_after_seconds=seconds)


def possible_again(now: datetime, seconds: int) -> Said:
    """Says when something that a limit refuses is possible again: "the next is possible at 14:05 UTC, in 12 min"."""
    if seconds <= SHORTLY:
        return say("The next one is possible in {seconds} s.", seconds=seconds)
    at = now + timedelta(seconds=seconds)
    if seconds > FAR:
        return say("The next one is possible on {at:%Y-%m-%d} at {at:%H:%M} UTC.", at=at)
    return say("The next one is possible at {at:%H:%M} UTC, in {minutes} min.", at=at, minutes=math.ceil(seconds / 60))
