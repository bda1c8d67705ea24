"""Times of other schedulers that are given by the clock on the wall, without app.triggers: what they do when the clock is changed differs.

None of them makes up for a time that the clock skips. They differ in a time that comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from app.zones import zone as zone_of


class Twice(Enum):
    """When a time fires that comes twice."""

    FIRST = (0,)  # systemd
    SECOND = (1,)  # Quartz: Java takes the standard time
    BOTH = (0, 1)  # robfig/cron and Cronicle follow the clock


def wall_times(
    matches_day: Callable[[date], bool], seconds: Sequence[int], timezone: str, twice: Twice, after: datetime, until: datetime
) -> Iterator[datetime]:
    """Returns the times in (after, until]. `seconds` are the times of a matching day after midnight, ascending."""
    zone = zone_of(timezone)
    day, last = after.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    while day <= last:
        if matches_day(day):
            for moment in _of_day(zone, day, seconds, twice):
                if moment > until:
                    return
                if moment > after:
                    yield moment
        day += timedelta(days=1)


def _of_day(zone: ZoneInfo, day: date, seconds: Sequence[int], twice: Twice) -> Iterator[datetime]:
    begin, end = (datetime(at.year, at.month, at.day, tzinfo=zone) for at in (day, day + timedelta(days=1)))
    if begin.utcoffset() == end.utcoffset():  # no change on this day
        midnight = begin.astimezone(UTC)
        yield from (midnight + timedelta(seconds=second) for second in seconds)
        return
    yield from sorted(
        {moment for second in seconds for moment in _instants(begin.replace(tzinfo=None) + timedelta(seconds=second), zone, twice)}
    )


def _instants(wall: datetime, zone: ZoneInfo, twice: Twice) -> Iterator[datetime]:
    """The instants of a wall time; none if the clock skips it."""
    for fold in twice.value:
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            yield moment
