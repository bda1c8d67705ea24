"""Instants: how they are read, between which bounds they lie, and arithmetic that stays between them.

Python and MongoDB's driver know the years 1 to 9999. An instant near either end has no local time in each zone, and sums with it have
no date; so `astimezone`, `+` and `-` are not used on instants that people send, but the functions below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from templates_lib.messages import say

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
INSTANT = timedelta(milliseconds=1)  # the step from one instant to the next: BSON dates hold milliseconds
_DAY = timedelta(days=1)
_SHAPE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,20})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2}(:?[0-9]{2})?)?)?"
)


class InstantRefused(ValueError):
    """A text that is no instant, or none that can be kept; the message is for people."""


class OutOfBounds(InstantRefused):
    """An instant before EARLIEST or after LATEST; `nearest` is the one of the two that is closer."""

    def __init__(self, nearest: datetime) -> None:
        super().__init__(say("must be between the years 1 and 9999 in UTC"))
        self.nearest = nearest


def parse(text: str) -> datetime:
    """The instant that `text` names (RFC 3339, 5.6), in UTC and whole milliseconds. Raises InstantRefused.

    `parse("2026-03-29T02:30:00+02:00")` is 2026-03-29 00:30 UTC. `9999-12-31T23:59:59-14:00` is refused: it lies in the year 10000.
    """
    moment = _read(text)
    if moment.tzinfo is None:
        raise InstantRefused(say("needs a time zone: Z, or an offset such as +02:00"))
    return to_milliseconds(_utc(moment))


def parse_bound(text: str) -> datetime:
    """As `parse`, for a filter: an instant beyond the bounds is the bound, which leaves out as much. Raises InstantRefused."""
    try:
        return parse(text)
    except OutOfBounds as beyond:
        return beyond.nearest


def parse_local(text: str, zone: tzinfo) -> datetime:
    """As `parse`, for a text such as `2026-03-29T02:30`, which is meant in `zone` where it names no offset. Raises InstantRefused."""
    moment = _read(text)
    return to_milliseconds(_utc(moment if moment.tzinfo else moment.replace(tzinfo=zone)))


def shifted(moment: datetime, by: timedelta) -> datetime:
    """`moment + by`; EARLIEST or LATEST where that has no date."""
    try:
        return min(max(moment + by, EARLIEST), LATEST)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST


def utc(moment: datetime) -> datetime:
    """An aware datetime in UTC; EARLIEST or LATEST where it lies beyond them."""
    try:
        return _utc(moment)
    except OutOfBounds as beyond:
        return beyond.nearest


def in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """The local time of an instant; the first or the last of the calendar where the local year would be 0 or 10000."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return (LATEST if moment.year > 1 else EARLIEST).replace(tzinfo=zone)


def midnight(day: date, zone: tzinfo) -> datetime:
    """The instant at which `day` begins in `zone`, in UTC; EARLIEST or LATEST where it lies beyond them."""
    return utc(datetime.combine(day, time(), zone))


def is_date(text: str) -> bool:
    """Whether a text is a date, such as 2026-12-24."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def day_after(day: date, days: int = 1) -> date:
    """The date so many days later, or earlier; the first or the last of the calendar where there is none."""
    try:
        return day + days * _DAY
    except OverflowError:
        return date.max if days > 0 else date.min


def dates(first: date, last: date) -> Iterator[date]:
    """The days from `first` to `last`, both included."""
    return (first + number * _DAY for number in range((last - first).days + 1))


def to_milliseconds(moment: datetime) -> datetime:
    """Cut to the precision that BSON dates have."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def as_text(moment: datetime) -> str:
    """Returns an instant by RFC 3339, in UTC with milliseconds: 2026-03-29T01:00:00.000Z. `parse` reads it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(text: str) -> datetime:
    unreadable = InstantRefused(say("must be a date and time with its zone, such as 2026-03-29T02:30:00Z"))
    if _SHAPE.fullmatch(text) is None:
        raise unreadable
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise unreadable from error


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise OutOfBounds(LATEST if moment.year > 1 else EARLIEST) from error
