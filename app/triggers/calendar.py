"""Due by a calendar rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from app.errors import FieldError
from app.triggers.base import DayPattern, Trigger
from app.triggers.calendar_words import rule_in_words
from app.triggers.fields import DateField, Field, TextField, read_date
from app.triggers.recurrence import ANY_DAY, LONGEST, CalendarTimes, RuleError, read_rule
from app.triggers.walls import count_walls, iter_walls
from templates_lib.messages import said, say


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarTrigger(Trigger):
    """Due by a recurrence rule of RFC 5545 (app.triggers.recurrence) in the local time of the time zone, as a fixed time of a cron
    expression is. `counted_from` is a day of the first period where the rule has an INTERVAL, as YYYY-MM-DD."""

    type: ClassVar[str] = "calendar"
    title: ClassVar[str] = say("Calendar rule")
    fields: ClassVar[tuple[Field, ...]] = (
        TextField(
            name="rule",
            title=say("Rule"),
            description="calendar: a recurrence rule of RFC 5545 with the time of day in it",
            example="FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9",
            longest=LONGEST,
        ),
        DateField(
            name="counted_from",
            title=say("Counted from"),
            description="calendar: a day of the first period, which INTERVAL counts from; required with an INTERVAL of more than 1",
            example="2026-01-02",
            required=False,
        ),
    )

    rule: str | None = None
    counted_from: str | None = None

    @property
    def notation(self) -> str:
        return self.rule or ""

    def _times_after(self, after: datetime) -> Iterator[datetime]:
        times = self._times()
        return iter(()) if times is None else iter_walls(times, self.timezone, after)

    def _count(self, after: datetime, until: datetime) -> int:
        times = self._times()
        return 0 if times is None else count_walls(times, self.timezone, after, until)

    def day_pattern(self) -> DayPattern | None:
        return None if self.start_at is not None or self.end_at is not None else self._times()

    def _times(self) -> CalendarTimes | None:
        if self.rule is None:
            return None
        return CalendarTimes(read_rule(self.rule), read_date(self.counted_from or "") or ANY_DAY)

    def _own_problems(self, now: datetime, lookahead: timedelta) -> list[FieldError]:
        wrong = self._own_not_computable()
        return [] if wrong is None else [wrong]

    def _own_not_computable(self) -> FieldError | None:
        if self.rule is None:
            return None
        try:
            interval = read_rule(self.rule).interval
        except RuleError as error:
            return self._error("rule", say("{error} (at character {place})", error=said(str(error)), place=error.position + 1))
        if self.counted_from is not None and read_date(self.counted_from) is None:
            return self._error("counted_from", say("must be a date, such as {example}", example="2026-03-29"))
        if interval > 1 and self.counted_from is None:
            return self._error("counted_from", say("is required, as the rule counts with INTERVAL={interval}", interval=interval))
        return None

    def _own_never_due(self, now: datetime) -> FieldError | None:
        times = self._times()
        if times is None or next(iter_walls(times, self.timezone, now), None) is not None:
            return None
        return self._error("rule", say("names no day that comes within 40 years"))

    def _rule_in_words(self, locale: str) -> str:
        try:
            rule = read_rule(self.rule or "")
        except RuleError:
            return ""
        return rule_in_words(rule, self.rule or "", read_date(self.counted_from or ""), locale)
