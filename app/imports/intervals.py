"""Intervals and single times of other schedulers, in whole seconds, as jobs have them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from app.imports.wall_schedules import NoSchedule
from app.triggers.interval import LONGEST_SECONDS

SECOND = timedelta(seconds=1)


def interval_seconds(seconds: float) -> int:
    """Returns the length of an interval of a job. Raises NoSchedule if no job can have it."""
    if not 1 <= seconds <= LONGEST_SECONDS or seconds != int(seconds):
        raise NoSchedule("an interval is a whole number of seconds, at most a year")
    return int(seconds)


def interval_times(first: datetime, step: timedelta, end: datetime | None, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of an interval in (after, until], in UTC, ascending. `end` is the first instant that is too late."""
    moment = first + step * max(0, (after - first) // step + 1)
    while moment <= until and (end is None or moment < end):
        yield moment.astimezone(UTC)
        moment += step


def single_time(moment: datetime, after: datetime, until: datetime) -> Iterator[datetime]:
    """The time of a single run, if it is in (after, until]."""
    if after < moment <= until:
        yield moment


def whole_second(moment: datetime) -> datetime:
    """Returns the last whole second until a time, in UTC."""
    return moment.astimezone(UTC).replace(microsecond=0)


def next_whole_second(moment: datetime) -> datetime:
    """Returns the first whole second from a time on, in UTC."""
    whole = whole_second(moment)
    return whole if whole == moment else whole + SECOND
