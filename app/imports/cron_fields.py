"""The five time fields of a crontab line as Debian's cron reads them (crontab(5)): sets of numbers and which fields begin with `*`.

It is written apart from app.triggers, so that a comparison of the two finds mistakes in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, lowest, highest, names, number of the first name.
_FIELDS: tuple[tuple[str, int, int, Sequence[str], int], ...] = (
    ("minute", 0, 59, (), 0),
    ("hour", 0, 23, (), 0),
    ("day of month", 1, 31, (), 0),
    ("month", 1, 12, MONTHS, 1),
    ("day of week", 0, 7, DAYS, 0),
)
FIELD_NAMES = tuple(name for name, *_ in _FIELDS)
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"
LONGEST_STEP = 9999  # that an expression of Jobwright can have; a longer one means the same


class FieldRefused(ValueError):
    """A field that cron refuses; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronFields:
    """When a line is due. `remarks` say what people may not expect, by the name of the field."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool  # the day of month begins with `*`
    any_weekday: bool  # the day of week begins with `*`
    follows_clock: bool  # the minute or the hour begins with `*`: it follows the wall clock through a change
    expression: str  # the same in the terms that Jobwright accepts; "" if it is never due
    remarks: tuple[tuple[str, str], ...] = ()

    def matches_day(self, day: date) -> bool:
        """Whether it is due on a day. The day of month and the day of week are alternatives only if neither begins with `*`."""
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        either = of_month and of_week if self.any_day or self.any_weekday else of_month or of_week
        return day.month in self.months and either

    @property
    def never(self) -> bool:
        """Whether no day and no time matches."""
        if not (self.minutes and self.hours and self.months):
            return True
        if self.any_day or self.any_weekday:
            return not (self.days and self.weekdays) or not self._has_date(self.days)
        return not self.weekdays and not self._has_date(self.days)

    def _has_date(self, days: frozenset[int]) -> bool:
        longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
        return any(day <= longest.get(month, 31) for day in days for month in self.months)


def read_fields(texts: Sequence[str]) -> CronFields:
    """Reads the five fields of a line. Raises FieldRefused."""
    sets, terms, remarks = [], [], []
    for (name, low, high, names, first), text in zip(_FIELDS, texts, strict=True):
        numbers, spelled, field_remarks = _read_list(name, text, low, high, names, first)
        sets.append(numbers)
        terms.append(spelled)
        remarks += [(name, remark) for remark in field_remarks]
    minute, hour, day, _, weekday = texts
    weekdays = frozenset(number % 7 for number in sets[4])
    if not (day.startswith("*") or weekday.startswith("*")):  # they are alternatives: one without numbers leaves the other alone
        for empty, other in ((2, 4), (4, 2)):
            if not terms[empty] and terms[other]:
                terms[empty] = "*"
    return CronFields(
        minutes=sets[0],
        hours=sets[1],
        days=sets[2],
        months=sets[3],
        weekdays=weekdays,
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
        follows_clock=minute.startswith("*") or hour.startswith("*"),
        expression=" ".join(terms) if all(terms) else "",
        remarks=tuple(remarks),
    )


def _read_list(name: str, text: str, low: int, high: int, names: Sequence[str], first: int) -> tuple[frozenset[int], str, list[str]]:
    numbers: set[int] = set()
    spelled, remarks = [], []
    for term in text.split(","):
        found, written, remark = _read_term(name, term, low, high, names, first)
        numbers |= found
        if written:
            spelled.append(written)
        if remark:
            remarks.append(remark)
    return frozenset(numbers), ",".join(spelled), remarks


def _read_term(name: str, term: str, low: int, high: int, names: Sequence[str], first: int) -> tuple[set[int], str, str]:
    """Returns the numbers of one term, its spelling for Jobwright ("" if it has no numbers), and a remark."""
    span, slash, step_text = term.partition("/")
    if slash and not (step_text.isdigit() and step_text.isascii() and int(step_text[:6]) > 0):
        raise FieldRefused(f"{name}: the step of {term!r} must be a number from 1 on")
    step = int(step_text[:6]) if slash else 1
    if span == "*":
        begin, end = low, high
    else:
        left, dash, right = span.partition("-")
        begin = _number(name, left, low, high, names, first)
        if slash and not dash:
            raise FieldRefused(f"{name}: cron refuses a step after a single number, as in {term!r}. It needs * or a range before it")
        end = _number(name, right, low, high, names, first) if dash else begin
    numbers = set(range(begin, end + 1, step))
    if begin == end and span != "*":
        return numbers, span.partition("-")[0], ""
    if begin > end:
        return numbers, "", f"cron accepts the range {span} and never matches it, because it runs backwards"
    words = "" if step <= high - low else f"cron makes {begin} of {term}, because the step is longer than the field"
    return numbers, term if step <= LONGEST_STEP else f"{span}/{LONGEST_STEP}", words


def _number(name: str, text: str, low: int, high: int, names: Sequence[str], first: int) -> int:
    if text.isdigit() and text.isascii():
        value = int(text[:6])
    elif text.lower() in names:
        value = names.index(text.lower()) + first
    else:
        raise FieldRefused(f"{name}: {text!r} is not a number" + (f" or a name such as {names[1]}" if names else ""))
    if not low <= value <= high:
        raise FieldRefused(f"{name}: {text} is not between {low} and {high}")
    return value
