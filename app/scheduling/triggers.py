"""The schedules of this installation: which calendars it has, and how far ahead a single run may lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from app.errors import FieldError
from app.jobs.model import Schedule
from app.scheduling.calendars import NO_BLACKOUTS, Blackouts
from templates_lib.messages import say


class CalendarBook(Protocol):
    """The calendars that schedules may name."""

    def of(self, names: Sequence[str]) -> Blackouts:
        """The blackouts of these calendars together. A name without a calendar has none."""
        ...

    def names(self) -> Collection[str]:
        """The names of all calendars."""
        ...


class Triggers:
    """Checks schedules; implements app.jobs.rules.ScheduleRules. `max_lookahead_days`: how far ahead the only due time of a job may lie."""

    def __init__(self, *, max_lookahead_days: int, calendars: CalendarBook | None = None) -> None:
        self._lookahead, self._calendars = timedelta(days=max_lookahead_days), calendars

    def check(self, schedule: Schedule, now: datetime) -> list[FieldError]:
        """What is wrong with a schedule that is to begin at `now`; empty if nothing is. Pointers begin at the job's root."""
        errors = [*schedule.trigger.problems(now, lookahead=self._lookahead), *self._unknown_calendars(schedule)]
        never = None if errors else schedule.trigger.never_due(now)
        return errors if never is None else [never]

    def never_due(self, schedule: Schedule, now: datetime) -> FieldError | None:
        """As Trigger.never_due."""
        return schedule.trigger.never_due(now)

    def not_computable(self, schedule: Schedule) -> FieldError | None:
        """As Trigger.not_computable."""
        return schedule.trigger.not_computable()

    def next_after(self, schedule: Schedule, after: datetime) -> datetime | None:
        """As Trigger.next_after."""
        return schedule.trigger.next_after(after)

    def blackouts(self, schedule: Schedule) -> Blackouts:
        """The blackouts of the schedule's calendars."""
        return self._calendars.of(schedule.calendars) if self._calendars and schedule.calendars else NO_BLACKOUTS

    def _unknown_calendars(self, schedule: Schedule) -> list[FieldError]:
        known = self._calendars.names() if self._calendars and schedule.calendars else ()
        return [
            FieldError(f"/schedule/calendars/{index}", say("is not the name of a blackout calendar: {name!r}", name=name))
            for index, name in enumerate(schedule.calendars)
            if name not in known
        ]
