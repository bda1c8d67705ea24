"""Due times that are given by the clock on the wall: the walk over the days, and over the clock changes of a time zone.

The walk is our own, because cronsim and dateutil know wall time alone, or miss changes that are not a whole hour (Australia/Lord_Howe). It
works on local time, in stretches between two clock changes (cron(8) has the rules):

1. Inside a stretch the offset from UTC is fixed, so each matching wall time is one instant.
2. A fixed time ("at 02:30") that the clock skips, by less than three hours, comes at the first minute after the gap. If the clock repeats
   the time, it comes once.
3. Any other time ("every 15 minutes") follows the wall clock: it does not come in the gap, and comes again in the repeated hour.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from app.instants import in_zone, shifted
from app.triggers.base import DayPattern
from app.zones import zone as zone_of

# cron(8): a clock change of three hours or more is a correction of the clock, and nothing is made up for.
LARGEST_GAP = timedelta(hours=3)
HORIZON_YEARS = 40  # 29 February falls on each weekday within 28 years, within 40 where a century is skipped
# No due time lies before BEGIN_OF_TIME, and none at END_OF_TIME or later. The days to the ends of the calendar are left for the offsets of
# time zones, for jitter and for clock changes.
BEGIN_OF_TIME = datetime(1, 1, 4, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 30, tzinfo=UTC)
_STEP = timedelta(days=1)


class WallTimes(DayPattern, Protocol):
    """Times of day, and the days on which they come."""

    @property
    def fixed(self) -> bool:
        """Whether these are the fixed times of rule 2 above."""
        ...


def iter_walls(pattern: WallTimes, timezone: str, after: datetime) -> Iterator[datetime]:
    """The due times later than `after`, aware UTC, ascending. They end in the year 9999, or after HORIZON_YEARS without any.

    `timezone` is an IANA name. The first `next` raises ValueError for an `after` without a time zone.
    """
    if after.tzinfo is None:
        raise ValueError("`after` must have a time zone")
    zone = zone_of(timezone)
    start = _second_after(after)
    last = after.astimezone(UTC)
    limit = _years_later(start, HORIZON_YEARS)
    for stretch in _stretches(zone, start - _STEP):
        if stretch.begin > limit:
            return
        for moment in _in_stretch(pattern, stretch, limit, start):
            if moment > last:
                yield moment
                last = moment
                limit = _years_later(moment, HORIZON_YEARS)


def count_walls(pattern: WallTimes, timezone: str, after: datetime, until: datetime) -> int:
    """How many due times lie in (after, until]. It goes from day to day and not from due time to due time: a year of seconds takes a
    millisecond."""
    start, end = _second_after(after), _second_after(until)
    total = 0
    for stretch in _stretches(zone_of(timezone), start - _STEP):
        if stretch.begin >= end:
            break
        made_up, begin, close = _bounds(pattern, stretch, end, start)
        slices = list(_days(pattern, begin, close))
        total += sum(high - low for _, low, high in slices)
        if made_up is not None and start <= made_up < end:
            first = slices[0][0] + timedelta(seconds=pattern.times[slices[0][1]]) if slices else None
            total += (made_up + stretch.offset).replace(tzinfo=None) != first
    return total


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Instants [begin, end) with one UTC offset; `shift` is how far the clock jumped at `begin` (positive: forward)."""

    begin: datetime
    end: datetime
    offset: timedelta
    shift: timedelta


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


def _in_stretch(pattern: WallTimes, stretch: _Stretch, limit: datetime, start: datetime) -> Iterator[datetime]:
    """The due times of one stretch from `start` on, ascending. The one that follows a gap may come twice."""
    made_up, begin, end = _bounds(pattern, stretch, limit, start)
    if made_up is not None and made_up >= start:
        yield made_up
    for wall in _walls(pattern, begin, end):
        yield wall.replace(tzinfo=UTC) - stretch.offset


def _bounds(pattern: WallTimes, stretch: _Stretch, limit: datetime, start: datetime) -> tuple[datetime | None, datetime, datetime]:
    """(made_up, begin, end): the instant of the run for times that the gap before the stretch skipped, or None; and the wall times
    [begin, end) to match."""
    wall_begin = (stretch.begin + stretch.offset).replace(tzinfo=None)
    wall_end = (min(stretch.end, limit) + stretch.offset).replace(tzinfo=None)
    made_up = None
    if pattern.fixed and timedelta(0) < stretch.shift < LARGEST_GAP and _any_between(pattern, wall_begin - stretch.shift, wall_begin):
        made_up = _first_minute(stretch.begin)
    if pattern.fixed and -LARGEST_GAP < stretch.shift < timedelta(0):
        wall_begin -= stretch.shift  # the repeated wall times have run already
    return made_up, max(wall_begin, (start + stretch.offset).replace(tzinfo=None)), wall_end


def _any_between(pattern: WallTimes, begin: datetime, end: datetime) -> bool:
    return next(_walls(pattern, begin, end), None) is not None


def _walls(pattern: WallTimes, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The matching wall times of [begin, end)."""
    for midnight, low, high in _days(pattern, begin, end):
        for seconds in pattern.times[low:high]:
            yield midnight + timedelta(seconds=seconds)


def _days(pattern: WallTimes, begin: datetime, end: datetime) -> Iterator[tuple[datetime, int, int]]:
    """The matching days of [begin, end) as (midnight, low, high): `pattern.times[low:high]` lies inside."""
    midnight = datetime(begin.year, begin.month, begin.day)  # noqa: DTZ001 - wall time
    while midnight < end:
        if pattern.matches_day(midnight.date()):
            low = bisect_left(pattern.times, (begin - midnight).total_seconds())
            high = bisect_left(pattern.times, (end - midnight).total_seconds())
            if low < high:
                yield midnight, low, high
        midnight += timedelta(days=1)


def _second_after(moment: datetime) -> datetime:
    """The first whole second later than an instant, between BEGIN_OF_TIME and END_OF_TIME."""
    return min(max(shifted(moment.astimezone(UTC).replace(microsecond=0), timedelta(seconds=1)), BEGIN_OF_TIME), END_OF_TIME)


def _first_minute(moment: datetime) -> datetime:
    return moment if moment.second == 0 else moment.replace(second=0) + timedelta(minutes=1)


def _years_later(moment: datetime, years: int) -> datetime:
    return min(shifted(moment, timedelta(days=366 * years)), END_OF_TIME)
