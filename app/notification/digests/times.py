"""When a digest is due. All functions are pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from app.notification.digests.model import DAYS, Digest, Every
from app.triggers.cron import CronTrigger
from app.zones import zone

# A digest that was due for longer is not made up for: the next one covers the time.
LONGEST_LATE = timedelta(days=8)
LONGEST_SPAN = timedelta(days=31)  # that a digest covers
MOST_TIMES = 10  # that are looked at for the next one: a last day far ahead was written by a clock that was wrong


def times_after(digest: Digest, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yields the due times after an instant. A time that the clock skips comes at the first minute after the gap, and one that the clock
    repeats comes once: as for the schedules of jobs."""
    hour, minute = digest.at.split(":")
    day = "*" if digest.every is Every.DAILY else str((DAYS.index(digest.weekday) + 1) % 7)
    trigger = CronTrigger(expression=f"{int(minute)} {int(hour)} * * {day}", timezone=timezone)
    return trigger.iter_after(after)


def next_due(digest: Digest, timezone: str, now: datetime) -> datetime | None:
    """Returns the first due time after `now` that is on a later local day than the last digest."""
    times = islice(times_after(digest, timezone, now), MOST_TIMES)
    return next((at for at in times if day_of(at, timezone) > digest.last_day), None)


def due_by(digest: Digest, timezone: str, now: datetime) -> datetime | None:
    """Returns the last due time that has come; None if none has come lately, or if its day has had its digest."""
    last = None
    for at in times_after(digest, timezone, now - LONGEST_LATE):
        if at > now:
            break
        last = at
    return last if last is not None and day_of(last, timezone) > digest.last_day else None


def begin_of(digest: Digest, end: datetime) -> datetime:
    """Returns since when a digest that reaches to `end` covers what happened: since the one before, or for one day or week if there was
    none."""
    usual = end - (timedelta(days=1) if digest.every is Every.DAILY else timedelta(days=7))
    return max(digest.last_until or usual, end - LONGEST_SPAN)


def day_of(at: datetime, timezone: str) -> str:
    """Returns the local day of an instant, as YYYY-MM-DD."""
    return f"{at.astimezone(zone(timezone)):%Y-%m-%d}"
