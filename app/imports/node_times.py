"""Times as Node's libraries work them out: cron-parser 5 (expressions) and human-interval 2 ("3 days and 4 hours").

It is written apart from app.triggers. Tests compare it with times that the libraries themselves have printed (tests/data/import).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from app.zones import zone as zone_of

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# cron-parser, CronExpressionParser.ts, PredefinedExpressions. Capital letters are not understood.
PREDEFINED = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "0 * * * * *",
    "@secondly": "* * * * * *",
    "@weekdays": "0 0 0 * * 1-5",
    "@weekends": "0 0 0 * * 0,6",
}
_DEFAULTS = ("0", "*", "*", "*", "*", "*")  # of the fields that stand before those that are given
_FIELDS = (("second", 0, 59), ("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_MONTH, _WEEKDAY = 4, 5
_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0, "year": 31_536_000.0}
_UNIT = re.compile(r"(second|minute|hour|day|week|month|year)s?")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?")
_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: number for number, word in enumerate((*_ONES, *_TEENS))} | {word: 10 * number for number, word in enumerate(_TENS, start=2)}


class Refused(ValueError):
    """An expression or a text that the libraries refuse, or that has no certain meaning; the message says why."""


# -- intervals ----------------------------------------------------------------------------------------------------------


def human_seconds(text: str) -> float | None:
    """Returns the seconds of "3 days and 4 hours"; None if the text names no unit of time.

    human-interval, index.js: capital letters are no letters, a month has 30 days and a year 365, and the number stands before its unit.
    Raises Refused for numbers in words that cannot be read with certainty.
    """
    rest = re.sub(r"(?:[^a-z\d.-]|and)+", " ", text)
    total: float | None = None
    while (match := _UNIT.search(rest)) is not None:
        total = (total or 0) + _number(rest[: match.start()].strip()) * _UNITS[match[1]]
        rest = rest[match.end() :]
    return total


def _number(text: str) -> float:
    if not text:
        return 1
    digits = _FLOAT.match(text)
    if digits is not None:
        return float(digits[0])
    words = re.split(r"[\s-]+", text)
    if any(word not in _WORDS and word != "hundred" for word in words):
        raise Refused(f"{text!r} is not a number")
    total = 0
    for word in words:
        total = max(total, 1) * 100 if word == "hundred" else total + _WORDS[word]
    return total


# -- expressions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCron:
    """When an expression is due. `last_day` and `last_weekdays` are of `L`, and `nth` of `#` (0: none)."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    last_day: bool = False
    last_weekdays: frozenset[int] = frozenset()
    nth: int = 0

    def matches_day(self, day: date) -> bool:
        """Whether a day matches (cron-parser, CronExpression.ts, matchDayOfMonth): the day of month and the day of week are alternatives
        if neither is `*` or `?` alone. `*/2` restricts a field."""
        if day.month not in self.months:
            return False
        length = ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
        weekday = day.isoweekday() % 7
        of_month = day.day in self.days or (self.last_day and day.day == length)
        of_week = weekday in self.weekdays and (not self.nth or (day.day + 6) // 7 == self.nth)
        of_week = of_week or (weekday in self.last_weekdays and day.day > length - 7)
        if self.any_weekday:
            return of_month
        return of_week if self.any_day else of_month or of_week

    @property
    def follows_clock(self) -> bool:
        """Whether each hour of the day is due: then nothing happens at a clock change but that an hour is missing or comes twice."""
        return len(self.hours) == 24


@lru_cache(maxsize=4096)
def read_node_cron(text: str) -> NodeCron:
    """Reads an expression with up to six fields, seconds first. Fields that are missing are those in front. Raises Refused."""
    atoms = PREDEFINED.get(text, text).split()
    if not 1 <= len(atoms) <= 6:
        raise Refused("an expression has up to six fields")
    atoms = [*_DEFAULTS[: 6 - len(atoms)], *atoms]
    weekday, sharp, nth_text = atoms[_WEEKDAY].partition("#")
    if sharp and (not re.fullmatch(r"[1-5]", nth_text) or re.search(r"[,/-]", weekday)):
        raise Refused(f"day of week: {atoms[_WEEKDAY]!r} is not a day and its number in the month")
    values = [_field(place, atom) for place, atom in enumerate([*atoms[:_WEEKDAY], weekday])]
    sets = [frozenset(value for value in found if isinstance(value, int)) for found in values]
    days, months = sets[3], sets[_MONTH]
    if not days and "L" not in values[3]:
        raise Refused("day of month: there is no day")
    if days and "L" not in values[3] and all(min(days) > DAYS_IN_MONTH[month - 1] for month in months):
        raise Refused("the date does not exist")
    return NodeCron(
        seconds=sets[0],
        minutes=sets[1],
        hours=sets[2],
        days=days,
        months=months,
        weekdays=frozenset(number for number in sets[_WEEKDAY] if number < 7),
        any_day=atoms[3] in {"*", "?"},
        any_weekday=atoms[_WEEKDAY] in {"*", "?"},
        last_day="L" in values[3],
        last_weekdays=frozenset(int(value[0]) % 7 for value in values[_WEEKDAY] if isinstance(value, str)),
        nth=int(nth_text) if sharp else 0,
    )


def _field(place: int, text: str) -> list[int | str]:
    """Returns the values of a field: numbers, `L` of a day of month, and `5L` of a day of week (CronExpressionParser.ts, parseField)."""
    name, low, high = _FIELDS[place]
    if "H" in text:
        raise Refused(f"{name}: H is another time whenever the process starts")
    if place in {_MONTH, _WEEKDAY}:
        text = re.sub(r"[a-z]{3}", lambda match: _alias(name, match[0]), text, flags=re.IGNORECASE)
    allowed = r"[?,*\dL/-]+" if place in {3, _WEEKDAY} else r"[?,*\d/-]+"
    if not re.fullmatch(allowed, text):
        raise Refused(f"{name}: {text!r} has other characters than numbers, *, ?, comma, - and /")
    text = re.sub(r"[*?]", f"{low}-{high}", text)
    found: list[int | str] = []
    for atom in text.split(","):
        found += _atom(place, name, atom, low, high)
    if len(set(found)) != len(found):
        raise Refused(f"{name}: a value stands there twice")
    return found


def _alias(name: str, text: str) -> str:
    lower = text.lower()
    if lower in MONTHS:
        return str(MONTHS.index(lower) + 1)
    if lower in DAYS:
        return str(DAYS.index(lower))
    raise Refused(f"{name}: {text!r} is not the short name of a month or a day")


def _atom(place: int, name: str, atom: str, low: int, high: int) -> list[int | str]:
    span, slash, step_text = atom.partition("/")
    if (place == 3 and atom == "L") or (place == _WEEKDAY and re.fullmatch(r"[0-7]L", atom)):
        return [atom]
    if slash and "-" not in span:
        span = f"{span}-{high}"
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", span)
    if match is None or (slash and not re.fullmatch(r"0*[1-9]\d*", step_text)):
        raise Refused(f"{name}: {atom!r} is not a number, a range or a step")
    begin, end = int(match[1]), int(match[2] or match[1])
    if begin < low or end > high or begin > end:
        raise Refused(f"{name}: {atom!r} is not within {low} and {high}")
    if match[2] is None:
        return [begin % 7 if place == _WEEKDAY else begin]
    step = int(step_text) if slash else 1
    numbers: list[int | str] = list(range(begin, end + 1, step))
    if place == _WEEKDAY and end % 7 == 0 and (end - begin) % step == 0 and 0 not in numbers:
        numbers.insert(0, 0)  # 7 is Sunday, too
    return numbers


# -- times --------------------------------------------------------------------------------------------------------------


def node_cron_times(cron: NodeCron, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of an expression in (after, until] (cron-parser, CronExpression.ts, matchHour, and CronDate.ts, applyDateOperation):

    1. An expression with all 24 hours follows the clock: a wall time that exists twice is due twice, and one that is missing never.
    2. Otherwise, a wall time that exists twice is due the first time.
    3. Otherwise, where a whole hour is missing, the next hour that exists takes its place: 02:30 is due at 03:30.
    """
    zone = zone_of(timezone)
    day, last = after.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    previous = after
    while day <= last:
        if cron.matches_day(day):
            for moment in _of_day(cron, zone, day):
                if previous < moment <= until:
                    yield moment
                    previous = moment
        day += timedelta(days=1)


def _of_day(cron: NodeCron, zone: ZoneInfo, day: date) -> list[datetime]:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - wall time
    walls = _walls(cron.hours, cron.minutes, cron.seconds)
    first, last = (midnight.replace(tzinfo=zone) + timedelta(days=number) for number in (0, 1))
    if first.utcoffset() == last.utcoffset():
        begin = first.astimezone(UTC)
        return [begin + wall for wall in walls]
    return sorted({moment for wall in walls for moment in _instants(cron, zone, midnight + wall)})


@lru_cache(maxsize=256)
def _walls(hours: frozenset[int], minutes: frozenset[int], seconds: frozenset[int]) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=h * 3600 + m * 60 + s) for h in sorted(hours) for m in sorted(minutes) for s in sorted(seconds))


def _instants(cron: NodeCron, zone: ZoneInfo, wall: datetime) -> list[datetime]:
    early, late = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    shift = (late.utcoffset() or timedelta(0)) - (early.utcoffset() or timedelta(0))
    if shift == timedelta(0):
        return [early.astimezone(UTC)]
    if shift < timedelta(0):
        return [early.astimezone(UTC), late.astimezone(UTC)] if cron.follows_clock else [early.astimezone(UTC)]
    hours = shift // timedelta(hours=1)
    return [] if cron.follows_clock or not hours else [(wall + timedelta(hours=hours)).replace(tzinfo=zone).astimezone(UTC)]
