"""Moments as people write them: "tomorrow 8:00", "Monday 8:00", "in 2 h", or a date and time. In English and German, for pages and the
command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from types import MappingProxyType

from app import durations
from app.instants import InstantRefused, OutOfBounds, day_after, in_zone, parse_local, shifted, utc
from templates_lib.messages import say

_LONGEST_TEXT = 60  # characters
# Days by their distance from today.
_DAYS: Mapping[str, int] = MappingProxyType(
    {"today": 0, "heute": 0, "tomorrow": 1, "morgen": 1, "übermorgen": 2, "yesterday": -1, "gestern": -1, "vorgestern": -2}
)
_WEEKDAYS: Mapping[str, int] = MappingProxyType(
    {
        name: number
        for number, names in enumerate(
            (
                "monday mon montag mo",
                "tuesday tue dienstag di",
                "wednesday wed mittwoch mi",
                "thursday thu donnerstag do",
                "friday fri freitag fr",
                "saturday sat samstag sonnabend sa",
                "sunday sun sonntag so",
            )
        )
        for name in names.split()
    }
)
_DAY_AND_TIME = re.compile(
    r"(?:(?P<day>[a-zü]+)(?:\s+|$|,\s*))?(?:(?:at|um)\s+)?"  # tomorrow at
    r"(?:(?P<hour>[0-9]{1,2})[:.](?P<minute>[0-9]{2})(?:\s*uhr)?)?"  # 8:00
)
_AHEAD = re.compile(r"(?:in\s+|\+\s*)(?P<span>.+)")
_AGO = re.compile(r"(?:vor\s+(?P<german>.+)|(?P<english>.+)\s+ago)")


def parse(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """Returns the instant that a text names, in UTC. Raises InstantRefused.

    Understood are "now", "tomorrow 8:00", "yesterday" (its midnight), "Monday 8:00" and "8:00" (the next of their kind after `now`),
    "in 2 h 30 min", "2 h ago", the same in German, and dates and times such as "2026-03-29T02:30". Without an offset, dates and times
    are local times of `zone`.
    """
    wanted = " ".join(text.strip().lower().split())
    if len(wanted) > _LONGEST_TEXT:
        raise _unreadable()
    if wanted in {"now", "jetzt"}:
        return now
    if wanted[:1].isdigit() and "-" in wanted:
        return _date_and_time(text.strip(), zone)
    relative = _relative(wanted, now)
    return relative if relative is not None else _named(wanted, now, zone)


def next_weekday(now: datetime, zone: tzinfo, weekday: int, at: time) -> datetime:
    """Returns the first instant after `now` at which it is this weekday (0 = Monday) and time of day in `zone`, in UTC."""
    today = in_zone(now, zone).date()
    ahead = (weekday - today.weekday()) % 7
    moment = _local(day_after(today, ahead), at, zone)
    return moment if moment > now else _local(day_after(today, ahead + 7), at, zone)


def tomorrow(now: datetime, zone: tzinfo, at: time) -> datetime:
    """Returns the instant at which it is this time of the next day in `zone`, in UTC."""
    return _local(day_after(in_zone(now, zone).date()), at, zone)


def _relative(text: str, now: datetime) -> datetime | None:
    """Returns the instant of "in 2 h" or "2 h ago"; None for another text."""
    ago, ahead = _AGO.fullmatch(text), _AHEAD.fullmatch(text)
    if ago is None and ahead is None:
        return None
    span = (ago["german"] or ago["english"]) if ago else ahead["span"] if ahead else ""
    try:
        seconds = durations.parse(span)
    except durations.DurationRefused as refused:
        raise _unreadable() from refused
    return shifted(now, timedelta(seconds=-seconds if ago else seconds))


def _named(text: str, now: datetime, zone: tzinfo) -> datetime:
    """Returns the instant of a named day with or without a time of day, or of a time of day alone."""
    match = _DAY_AND_TIME.fullmatch(text)
    if match is None or not text:
        raise _unreadable()
    at, name = _time_of(match), match["day"]
    today = in_zone(now, zone).date()
    if name is None:
        moment = _local(today, at, zone)
        return moment if moment > now else _local(day_after(today), at, zone)
    if name in _DAYS:
        return _local(day_after(today, _DAYS[name]), at, zone)
    if name in _WEEKDAYS:
        return next_weekday(now, zone, _WEEKDAYS[name], at)
    raise _unreadable()


def _time_of(match: re.Match[str]) -> time:
    try:
        return time(int(match["hour"] or 0), int(match["minute"] or 0))
    except ValueError as error:
        raise _unreadable() from error


def _local(day: date, at: time, zone: tzinfo) -> datetime:
    return utc(datetime.combine(day, at, zone))


def _date_and_time(text: str, zone: tzinfo) -> datetime:
    try:
        return parse_local(text.replace(" ", "T", 1), zone)
    except OutOfBounds:
        raise
    except InstantRefused as refused:
        raise _unreadable() from refused


def _unreadable() -> InstantRefused:
    return InstantRefused(say("must be a date and time, such as 2026-03-29T02:30, or words such as {example}", example="tomorrow 8:00"))
