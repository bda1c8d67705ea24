"""Cron by Debian's rules (crontab(5), cron(8)): the one calculator for validation, preview and firing.

cronsim matches the fields. The grammar here is stricter. The walk over clock changes is our own, because cronsim misses changes that are
not a whole hour (Australia/Lord_Howe). It works on local time, in stretches between two clock changes:

1. Inside a stretch the offset from UTC is fixed, so each matching wall time is one instant.
2. A fixed-time entry is one of which neither minute nor hour begins with `*`. If the clock skips its time, by less than three hours, it
   runs at the first minute after the gap. If the clock repeats its time, it runs once.
3. A wildcard entry follows the wall clock: it has no run in the gap, and it runs again in the repeated hour.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from cronsim import CronSim, CronSimError

from app.instants import in_zone, shifted
from app.zones import zone as zone_of
from templates_lib.messages import say

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# cron(8): a clock change of three hours or more is a correction of the clock, and nothing is made up for.
LARGEST_GAP = timedelta(hours=3)
HORIZON_YEARS = 40  # 29 February falls on each weekday within 28 years, within 40 where a century is skipped
_TERM = re.compile(r"(?P<first>\*|[A-Za-z0-9]+)(?:-(?P<last>[A-Za-z0-9]+))?(?:/(?P<step>[A-Za-z0-9]+))?")


class CronError(ValueError):
    """An expression that Debian cron refuses; `position` is the index of the wrong character."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression: its bounds, and the names that stand for numbers from `names_from` on."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    names_from: int = 0


_SECOND = _Field(say("second"), 0, 59)
_FIELDS = (
    _Field(say("minute"), 0, 59),
    _Field(say("hour"), 0, 23),
    _Field(say("day of month"), 1, 31),
    _Field(say("month"), 1, 12, MONTHS, 1),
    _Field(say("day of week"), 0, 7, DAYS, 0),
)


@lru_cache(maxsize=16_384)
def check_expression(expression: str) -> str:
    """The five or six fields of `expression`, macros replaced. Raises CronError that points at the character."""
    text = expression.strip(" \t")
    offset = expression.find(text) if text else 0
    if text.startswith("@"):
        if text.lower() not in MACROS:
            raise CronError(say("{text} is not known. Known names: {known}", text=text, known=", ".join(MACROS)), offset)
        return MACROS[text.lower()]
    fields = list(re.finditer(r"[^ \t]+", expression))
    if len(fields) not in {5, 6}:
        raise CronError(
            say("must have five fields (minute, hour, day, month, weekday), or six with seconds first. It has {found}.", found=len(fields)),
            offset,
        )
    for field, match in zip(_FIELDS if len(fields) == 5 else (_SECOND, *_FIELDS), fields, strict=True):
        _check_field(field, match[0], match.start())
    normal = " ".join(match[0] for match in fields)
    try:
        parts_of(normal)
    except CronSimError as error:
        raise CronError("contains a date that does not exist", fields[-3].start()) from error
    return normal


def _check_field(field: _Field, text: str, start: int) -> None:
    position = start
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if match is None:
            bad = next((i for i, ch in enumerate(term) if not (ch.isascii() and (ch.isalnum() or ch in "*-/"))), 0)
            raise CronError(say("{name}: {term!r} is not *, a number, a range or a step", name=field.name, term=term), position + bad)
        first, last, step = match["first"], match["last"], match["step"]
        if first != "*":
            low = _number(field, first, position)
            if last is not None:
                high = _number(field, last, position + match.start("last"))
                if high < low:
                    raise CronError(
                        say("{name}: the range {first}-{last} runs backwards", name=field.name, first=first, last=last),
                        position + match.start("last"),
                    )
        elif last is not None:
            raise CronError(say("{name}: * cannot be followed by a range", name=field.name), position + match.start("last"))
        if step is not None:
            if first != "*" and last is None:
                raise CronError(
                    say(
                        "{name}: a step needs * or a range before it, such as {first}-{highest}/{step}",
                        name=field.name,
                        first=first,
                        highest=field.highest,
                        step=step,
                    ),
                    position,
                )
            if not step.isdigit() or not 1 <= int(step) <= field.highest:
                raise CronError(
                    say("{name}: the step must be a number from 1 to {highest}", name=field.name, highest=field.highest),
                    position + match.start("step"),
                )
        position += len(term) + 1


def _number(field: _Field, text: str, position: int) -> int:
    if text.isdigit() and len(text) <= 4:
        value = int(text)
    elif text.lower() in field.names:
        value = field.names.index(text.lower()) + field.names_from
    else:
        if field.names:
            raise CronError(
                say("{name}: {text!r} is not a number or a name such as {known}", name=field.name, text=text, known=field.names[1]),
                position,
            )
        raise CronError(say("{name}: {text!r} is not a number", name=field.name, text=text), position)
    if not field.lowest <= value <= field.highest:
        raise CronError(
            say(
                "{name}: {text} is not between {lowest} and {highest}",
                name=field.name,
                text=text,
                lowest=field.lowest,
                highest=field.highest,
            ),
            position,
        )
    return value


class Compiled:
    """The days and the times of day of an expression. `times` are seconds after midnight, ascending; `every_day` means that all days have
    them. `fixed` is the fixed-time entry of rule 2 above."""

    def __init__(self, expression: str) -> None:
        self._sim = CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001 - a matcher knows wall time alone
        parts = expression.split()
        minute, hour = parts[-5], parts[-4]
        self.every_day = parts[-3:] == ["*", "*", "*"]
        self.fixed = not (minute.startswith("*") or hour.startswith("*"))
        self.times = sorted((h * 3600 + m * 60 + s) for h in self._sim.hours for m in self._sim.minutes for s in self._sim.seconds)

    def matches_day(self, day: date) -> bool:
        """Whether the times come on this day."""
        return day.month in self._sim.months and bool(self._sim.match_day(day))


@lru_cache(maxsize=16_384)
def parts_of(expression: str) -> Compiled:
    """The compiled form of an expression that `check_expression` returned."""
    return Compiled(expression)


def iter_times(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The due times later than `after`, aware UTC, ascending. They end in the year 9999, or after HORIZON_YEARS without any.

    `expression` has five fields, or six with seconds first, or is a macro; `timezone` is an IANA name. The first `next` raises CronError
    for a bad expression and ValueError for an `after` without a time zone.

    For "30 2 * * *" in "Europe/Berlin" after 2026-03-28T12:00Z the first two are 2026-03-29T01:00Z and 2026-03-30T00:30Z: on the 29th
    02:30 does not exist, and the job runs at 03:00 local time.
    """
    if after.tzinfo is None:
        raise ValueError("`after` must have a time zone")
    compiled = parts_of(check_expression(expression))
    zone = zone_of(timezone)
    start = _second_after(after)
    last = after.astimezone(UTC)
    limit = _years_later(start, HORIZON_YEARS)
    for stretch in _stretches(zone, start - _STEP):
        if stretch.begin > limit:
            return
        for moment in _in_stretch(compiled, stretch, limit, start):
            if moment > last:
                yield moment
                last = moment
                limit = _years_later(moment, HORIZON_YEARS)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Instants [begin, end) with one UTC offset; `shift` is how far the clock jumped at `begin` (positive: forward)."""

    begin: datetime
    end: datetime
    offset: timedelta
    shift: timedelta


# No due time lies before BEGIN_OF_TIME, and none at END_OF_TIME or later. The days to the ends of the calendar are left for the offsets of
# time zones, for jitter and for clock changes.
BEGIN_OF_TIME = datetime(1, 1, 4, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 30, tzinfo=UTC)
_STEP = timedelta(days=1)


def _stretches(zone: ZoneInfo, begin: datetime) -> Iterator[_Stretch]:
    """The stretches that follow each other, from the midnight (UTC) before `begin` on: all callers of one day share the cached ones."""
    begin, shift = begin.replace(hour=0, minute=0, second=0), timedelta(0)
    while begin < END_OF_TIME:
        stretch = _stretch(zone, begin, shift)
        yield stretch
        begin, shift = stretch.end, _offset(zone, stretch.end) - stretch.offset


@lru_cache(maxsize=4096)
def _stretch(zone: ZoneInfo, begin: datetime, shift: timedelta) -> _Stretch:
    """The stretch from `begin` to the next clock change, or for a month: a bound keeps the search short."""
    offset = _offset(zone, begin)
    probe = begin
    cap = min(shifted(begin, timedelta(days=31)), END_OF_TIME)
    while probe < cap and _offset(zone, min(probe + _STEP, cap)) == offset:
        probe = min(probe + _STEP, cap)
    end = cap if probe >= cap else _change_between(zone, probe, min(probe + _STEP, cap), offset)
    return _Stretch(begin, end, offset, shift)


def _change_between(zone: ZoneInfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    """The first second in (low, high] with another offset than `offset`."""
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return in_zone(moment, zone).utcoffset() or timedelta(0)


def _in_stretch(compiled: Compiled, stretch: _Stretch, limit: datetime, start: datetime) -> Iterator[datetime]:
    """The due times of one stretch from `start` on, ascending. The one that follows a gap may come twice."""
    made_up, begin, end = _bounds(compiled, stretch, limit, start)
    if made_up is not None and made_up >= start:
        yield made_up
    for wall in _walls(compiled, begin, end):
        yield wall.replace(tzinfo=UTC) - stretch.offset


def _bounds(compiled: Compiled, stretch: _Stretch, limit: datetime, start: datetime) -> tuple[datetime | None, datetime, datetime]:
    """(made_up, begin, end): the instant of the run for times that the gap before the stretch skipped, or None; and the wall times
    [begin, end) to match."""
    wall_begin = (stretch.begin + stretch.offset).replace(tzinfo=None)
    wall_end = (min(stretch.end, limit) + stretch.offset).replace(tzinfo=None)
    made_up = None
    if compiled.fixed and timedelta(0) < stretch.shift < LARGEST_GAP and _any_between(compiled, wall_begin - stretch.shift, wall_begin):
        made_up = _first_minute(stretch.begin)
    if compiled.fixed and -LARGEST_GAP < stretch.shift < timedelta(0):
        wall_begin -= stretch.shift  # the repeated wall times have run already
    return made_up, max(wall_begin, (start + stretch.offset).replace(tzinfo=None)), wall_end


def _any_between(compiled: Compiled, begin: datetime, end: datetime) -> bool:
    return next(_walls(compiled, begin, end), None) is not None


def _walls(compiled: Compiled, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The matching wall times of [begin, end)."""
    for midnight, low, high in _days(compiled, begin, end):
        for seconds in compiled.times[low:high]:
            yield midnight + timedelta(seconds=seconds)


def _days(compiled: Compiled, begin: datetime, end: datetime) -> Iterator[tuple[datetime, int, int]]:
    """The matching days of [begin, end) as (midnight, low, high): `compiled.times[low:high]` lies inside."""
    midnight = datetime(begin.year, begin.month, begin.day)  # noqa: DTZ001 - wall time
    while midnight < end:
        if compiled.matches_day(midnight.date()):
            low = bisect_left(compiled.times, (begin - midnight).total_seconds())
            high = bisect_left(compiled.times, (end - midnight).total_seconds())
            if low < high:
                yield midnight, low, high
        midnight += timedelta(days=1)


def count_times(expression: str, timezone: str, after: datetime, until: datetime) -> int:
    """How many due times lie in (after, until]. It goes from day to day and not from due time to due time: a year of seconds takes a
    millisecond. Raises CronError for a bad expression."""
    compiled = parts_of(check_expression(expression))
    start, end = _second_after(after), _second_after(until)
    total = 0
    for stretch in _stretches(zone_of(timezone), start - _STEP):
        if stretch.begin >= end:
            break
        made_up, begin, close = _bounds(compiled, stretch, end, start)
        slices = list(_days(compiled, begin, close))
        total += sum(high - low for _, low, high in slices)
        if made_up is not None and start <= made_up < end:
            first = slices[0][0] + timedelta(seconds=compiled.times[slices[0][1]]) if slices else None
            total += (made_up + stretch.offset).replace(tzinfo=None) != first
    return total


def _second_after(moment: datetime) -> datetime:
    """The first whole second later than an instant, between BEGIN_OF_TIME and END_OF_TIME."""
    return min(max(shifted(moment.astimezone(UTC).replace(microsecond=0), timedelta(seconds=1)), BEGIN_OF_TIME), END_OF_TIME)


def _first_minute(moment: datetime) -> datetime:
    return moment if moment.second == 0 else moment.replace(second=0) + timedelta(minutes=1)


def _years_later(moment: datetime, years: int) -> datetime:
    return min(shifted(moment, timedelta(days=366 * years)), END_OF_TIME)
