"""Debian's cron as a simulation: its parser character by character, and its main loop minute by minute.

It follows what crontab(5) and cron(8) say, and is written apart from app.imports and app.triggers, as a judge of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = ("", "", "", "janfebmaraprmayjunjulaugsepoctnovdec", "sunmontuewedthufrisat")


@dataclass(frozen=True)
class Line:
    """The bits of the five fields, and the flags of those that begin with a star."""

    bits: tuple[frozenset[int], ...]
    stars: tuple[bool, ...]

    def day(self, day: date) -> bool:
        month_day, week_day = day.day in self.bits[2], day.isoweekday() % 7 in self.bits[4]
        both = self.stars[2] or self.stars[4]
        return day.month in self.bits[3] and (month_day and week_day if both else month_day or week_day)

    @property
    def wild(self) -> bool:
        return self.stars[0] or self.stars[1]


def parse(expression: str) -> Line | None:
    """The line, or None if cron refuses it."""
    texts = expression.split()
    fields = [_field(text, number) for number, text in enumerate(texts)]
    if None in fields or len(texts) != 5:
        return None
    bits = [field or frozenset() for field in fields]
    bits[4] = frozenset(number % 7 for number in bits[4])
    return Line(tuple(bits), tuple(text[0] == "*" for text in texts))


def _field(text: str, number: int) -> frozenset[int] | None:
    low, high = BOUNDS[number]
    found: set[int] = set()
    for part in text.split(","):
        head, slash, step = part.partition("/")
        if head == "*":
            first, last = low, high
        else:
            ends = [_value(end, number) for end in head.split("-")]
            if None in ends or not 1 <= len(ends) <= 2 or (slash and len(ends) == 1):
                return None
            first, last = ends[0] or 0, ends[-1] or 0
            if min(first, last) < low or max(first, last) > high:
                return None
        if slash and not (step.isdecimal() and int(step)):
            return None
        at = first
        while at <= last:
            found.add(at)
            at += int(step) if slash else 1
    return frozenset(found)


def _value(text: str, number: int) -> int | None:
    if text.isdecimal():
        return int(text)
    place = NAMES[number].find(text.lower()) if len(text) == 3 else -1
    return place // 3 + (number == 3) if place >= 0 and place % 3 == 0 else None


@lru_cache(maxsize=400)
def minutes(zone: str, begin: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """Each minute of a span as (UTC, wall time)."""
    found, at, place = [], begin, ZoneInfo(zone)
    while at < end:
        found.append((at, at.astimezone(place).replace(tzinfo=None)))
        at += timedelta(minutes=1)
    return tuple(found)


def simulate(line: Line, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The minutes of (begin, end) in which cron starts the line."""
    virtual: datetime | None = None
    fired = []
    for at, wall in minutes(zone, begin, end):
        jobs, virtual = _woken(wall, virtual)
        if any(_matches(line, moment, wild=wild, fixed=fixed) for moment, wild, fixed in jobs) and at > begin:
            fired.append(at)
    return fired


def _woken(wall: datetime, virtual: datetime | None) -> tuple[list[tuple[datetime, bool, bool]], datetime]:
    """What the main loop looks for in a minute, as (time, wildcard lines, fixed lines), and its virtual time after it."""
    step = timedelta(minutes=1)
    jump = wall - virtual if virtual is not None else step
    if jump == step or abs(jump) > timedelta(hours=3) or virtual is None:
        return [(wall, True, True)], wall
    if jump <= timedelta(0):
        return [(wall, True, False)], virtual
    passed = [virtual + step * number for number in range(1, int(jump / step) + 1)]
    return [(wall, True, False), *((moment, False, True) for moment in passed)], wall


def _matches(line: Line, wall: datetime, *, wild: bool, fixed: bool) -> bool:
    wanted = wild if line.wild else fixed
    return wanted and wall.minute in line.bits[0] and wall.hour in line.bits[1] and line.day(wall.date())


def first(line: Line, zone: str, after: datetime, days: int) -> datetime | None:
    """The first start within some days, by whole days; None if there is none. It is simulated on the days that match."""
    place = ZoneInfo(zone)
    day = after.astimezone(place).date()
    for number in range(days if line.bits[0] and line.bits[1] else 0):
        if line.day(day + timedelta(days=number)):
            noon = datetime.combine(day + timedelta(days=number), datetime.min.time(), place).astimezone(UTC)
            started = [at for at in simulate(line, zone, noon - timedelta(hours=5), noon + timedelta(hours=26)) if at > after]
            if started:
                return started[0]
    return None


def expressions(random: Iterator[int], count: int) -> Iterator[str]:
    """Expressions as people write them, and odd ones."""
    for _ in range(count):
        yield " ".join(_made(random, number) for number in range(5))


def _made(random: Iterator[int], number: int) -> str:
    low, high = BOUNDS[number]
    names = [NAMES[number][place : place + 3] for place in range(0, len(NAMES[number]), 3)]

    def value() -> int:
        return low + next(random) % (high - low + 1)

    kind = next(random) % (12 if number < 2 else 20)
    left, right, step = value(), value(), 1 + next(random) % (2 * high)
    if kind == 0:
        return f"*/{step}"
    if kind == 1:
        return f"{min(left, right)}-{max(left, right)}"
    if kind == 2:
        return f"{min(left, right)}-{max(left, right)}/{step}"
    if kind == 3:
        return f"{left},{right}"
    if kind == 4:
        return f"{left},{min(left, right)}-{max(left, right)},*/{step}" if step % 2 else f"*,{left}"
    if kind == 5 and names:
        return names[next(random) % len(names)]
    if kind == 6:
        return f"{max(left, right)}-{min(left, right)}" if step % 3 == 0 else str(left)
    if kind in {7, 8}:
        return str(left)
    return "*" if number >= 1 else str(left)
