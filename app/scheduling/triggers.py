"""Pure rules over a schedule: is it sound, when is it due next, how often was it due."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.errors import FieldError
from app.instants import day_after, in_zone, shifted
from app.jobs.model import Schedule, ScheduleType
from app.scheduling.calendars import NO_BLACKOUTS, Blackouts
from app.scheduling.cron import END_OF_TIME, CronError, check_expression, count_times, iter_times
from app.zones import is_zone, not_a_zone, zone
from templates_lib.messages import said, say


class CalendarBook(Protocol):
    """Where the calendars are that schedules name."""

    def of(self, names: Sequence[str]) -> Blackouts:
        """Those of these names as one; a name that is gone keeps nothing free."""
        ...

    def names(self) -> Collection[str]: ...


_TICK = timedelta(milliseconds=1)  # BSON dates hold milliseconds
_NEEDED = {
    ScheduleType.CRON: ("expression",),
    ScheduleType.INTERVAL: ("interval_seconds",),
    ScheduleType.ONCE: ("run_at",),
    ScheduleType.MANUAL: (),
}


class Triggers:
    """The rules of schedules; implements app.jobs.rules.ScheduleRules. `max_lookahead_days` bounds one-time runs."""

    def __init__(self, *, max_lookahead_days: int, calendars: CalendarBook | None = None) -> None:
        self._lookahead, self._calendars = timedelta(days=max_lookahead_days), calendars

    def check(self, schedule: Schedule, now: datetime) -> list[FieldError]:
        """What is wrong with a schedule that is to begin at `now`; pointers from the job's root."""
        errors = [
            FieldError(f"/schedule/{name}", say("is required for a schedule of type {type}", type=schedule.type))
            for name in _NEEDED[schedule.type]
            if getattr(schedule, name) is None
        ]
        if not is_zone(schedule.timezone):
            errors.append(FieldError("/schedule/timezone", not_a_zone(schedule.timezone)))
        if schedule.start_at and schedule.end_at and schedule.end_at <= schedule.start_at:
            errors.append(FieldError("/schedule/end_at", "must be later than start_at"))
        if schedule.type is ScheduleType.CRON and schedule.expression is not None:
            errors += _check_cron(schedule.expression)
        if schedule.type is ScheduleType.ONCE and schedule.run_at is not None:
            if schedule.run_at <= now:
                errors.append(FieldError("/schedule/run_at", say("lies in the past; it is {now:%Y-%m-%d %H:%M:%S} UTC", now=now)))
            elif schedule.run_at > shifted(now, self._lookahead):
                errors.append(FieldError("/schedule/run_at", say("lies more than {days} days ahead", days=self._lookahead.days)))
        errors += self._check_calendars(schedule)
        never = None if errors else self.never_due(schedule, now)
        return errors if never is None else [*errors, never]

    def never_due(self, schedule: Schedule, now: datetime) -> FieldError | None:
        """Where and why a schedule has no due time after `now`; None where it has, or is by hand."""
        wrong = self.not_computable(schedule)
        if wrong is not None:
            return wrong
        if schedule.type is ScheduleType.MANUAL or self.next_after(schedule, now) is not None:
            return None
        if schedule.type is ScheduleType.ONCE and schedule.run_at is not None and schedule.run_at <= now:
            return FieldError("/schedule/run_at", "lies in the past; give the job another time to run")
        if schedule.end_at is not None and schedule.end_at <= now:
            return FieldError("/schedule/end_at", "lies in the past; give the schedule another end, or none")
        at = next((name for name in ("end_at", "start_at") if getattr(schedule, name) is not None), _NEEDED[schedule.type][0])
        return FieldError(f"/schedule/{at}", "leaves no due time")

    def not_computable(self, schedule: Schedule) -> FieldError | None:
        """Where and why the due times of a stored schedule cannot be computed: its time zone is unknown here, or its expression is none.
        None where they can. All other methods need a schedule that can be computed."""
        if not is_zone(schedule.timezone):
            return FieldError("/schedule/timezone", not_a_zone(schedule.timezone))
        if schedule.type is not ScheduleType.CRON or schedule.expression is None:
            return None
        return next(iter(_check_cron(schedule.expression)), None)

    def blackouts(self, schedule: Schedule) -> Blackouts:
        """The blackouts of its calendars."""
        return self._calendars.of(schedule.calendars) if self._calendars and schedule.calendars else NO_BLACKOUTS

    def _check_calendars(self, schedule: Schedule) -> list[FieldError]:
        known = self._calendars.names() if self._calendars and schedule.calendars else ()
        return [
            FieldError(f"/schedule/calendars/{place}", say("is not the name of a calendar: {name!r}", name=name))
            for place, name in enumerate(schedule.calendars)
            if name not in known
        ]

    def next_after(self, schedule: Schedule, after: datetime) -> datetime | None:
        """The first due time later than `after`; None where there is none."""
        return next(self.iter_after(schedule, after), None)

    def iter_after(self, schedule: Schedule, after: datetime) -> Iterator[datetime]:
        """The due times later than `after`, ascending, computed from the rule and never from a clock."""
        begin = after if schedule.start_at is None else max(after, shifted(schedule.start_at, -_TICK))
        for moment in _all_after(schedule, begin):
            if schedule.end_at is not None and moment >= schedule.end_at:
                return
            yield moment

    def count(self, schedule: Schedule, after: datetime, until: datetime) -> int:
        """How many due times lie in (after, until], without listing them."""
        begin = after if schedule.start_at is None else max(after, shifted(schedule.start_at, -_TICK))
        end = until if schedule.end_at is None else min(until, shifted(schedule.end_at, -_TICK))
        if end <= begin:
            return 0
        if schedule.type is ScheduleType.CRON and schedule.expression is not None:
            return count_times(schedule.expression, schedule.timezone, begin, end)
        first = next(_all_after(schedule, begin), None)
        if first is None or first > end:
            return 0
        return 1 if schedule.type is ScheduleType.ONCE else (end - first) // timedelta(seconds=schedule.interval_seconds or 1) + 1

    def latest(self, schedule: Schedule, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` due times of (after, until], ascending: looks back from `until` in windows that grow.

        An interval must have its anchor, `start_at`.
        """
        window = timedelta(minutes=1)
        begin = max(after, shifted(until, -window))
        while begin > after and self.count(schedule, begin, until) < count:
            window *= 4
            begin = max(after, shifted(until, -window))
        found: list[datetime] = []
        for moment in self.iter_after(schedule, begin):
            if moment > until:
                break
            found.append(moment)
        return found[-count:] if count else []


def _all_after(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if schedule.type is ScheduleType.CRON and schedule.expression is not None:
        yield from iter_times(schedule.expression, schedule.timezone, after)
    elif schedule.type is ScheduleType.ONCE and schedule.run_at is not None:
        if schedule.run_at.astimezone(UTC) > after:
            yield schedule.run_at.astimezone(UTC)
    elif schedule.type is ScheduleType.INTERVAL and schedule.interval_seconds is not None:
        step = timedelta(seconds=schedule.interval_seconds)
        moment = _first_step(schedule.start_at, step, after)
        while moment < END_OF_TIME:
            yield moment
            moment = shifted(moment, step)


def _first_step(anchor: datetime | None, step: timedelta, after: datetime) -> datetime:
    """The first due time of an interval later than `after`."""
    if anchor is None:
        return shifted(after.astimezone(UTC).replace(microsecond=0), step)
    if anchor > after:
        return anchor.astimezone(UTC)
    return shifted(anchor.astimezone(UTC), ((after - anchor) // step + 1) * step)


def _check_cron(expression: str) -> list[FieldError]:
    try:
        check_expression(expression)
    except CronError as error:
        return [FieldError("/schedule/expression", say("{error} (at character {place})", error=said(str(error)), place=error.position + 1))]
    return []


def clock_change(moment: datetime, timezone: str) -> timedelta:
    """How far the clock of `timezone` jumps on the local day of `moment`: positive for forward, zero on most days."""
    day = in_zone(moment, zone(timezone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    before, after = day.utcoffset(), datetime.combine(day_after(day.date()), day.timetz()).utcoffset()
    return (after or timedelta(0)) - (before or timedelta(0))
