"""Cron by Debian's rules (crontab(5), cron(8)): the one calculator for validation, preview and firing.

cronsim matches the fields. The grammar here is stricter. At clock changes (app.triggers.walls) an entry of which neither minute nor hour
begins with `*` has fixed times; any other follows the wall clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError

from app.triggers.quartz import QuartzError, Translation, is_quartz, translate
from app.triggers.walls import count_walls, iter_walls
from templates_lib.messages import Said, said, say

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
LONGEST_STEP = 9999
_ONE_NUMBER = re.compile(r"(?<![A-Za-z0-9-])([A-Za-z0-9]+)-\1/[0-9]+", re.IGNORECASE)
_TERM = re.compile(r"(?P<first>\*|[A-Za-z0-9]+)(?:-(?P<last>[A-Za-z0-9]+))?(?:/(?P<step>[A-Za-z0-9]+))?")


class CronError(ValueError):
    """An expression that Debian cron refuses; `position` is the index of the wrong character."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class ForeignExpression(CronError):
    """An expression of Quartz; the message says what to write instead."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 0)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression: its bounds, and the names that stand for numbers from `names_from` on."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    names_from: int = 0
    daily: bool = False  # it is about the day and not about the time of day


_SECOND = _Field(say("second"), 0, 59)
_FIELDS = (
    _Field(say("minute"), 0, 59),
    _Field(say("hour"), 0, 23),
    _Field(say("day of month"), 1, 31, daily=True),
    _Field(say("month"), 1, 12, MONTHS, 1, daily=True),
    _Field(say("day of week"), 0, 7, DAYS, 0, daily=True),
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
    if is_quartz(text):
        raise ForeignExpression(_instead_of(text))
    fields = list(re.finditer(r"[^ \t]+", expression))
    if len(fields) not in {5, 6}:
        raise CronError(
            say("must have five fields (minute, hour, day, month, weekday), or six with seconds first. It has {found}.", found=len(fields)),
            offset,
        )
    for field, match in zip(_FIELDS if len(fields) == 5 else (_SECOND, *_FIELDS), fields, strict=True):
        _check_field(field, match[0], match.start())
    # A range of one number has that number, whatever its step; cronsim would go on from it to the end of the field.
    normal = _ONE_NUMBER.sub(r"\1", " ".join(match[0] for match in fields))
    try:
        parts_of(normal)
    except CronSimError as error:
        raise CronError("contains a date that does not exist", fields[-3].start()) from error
    return normal


def _instead_of(text: str) -> Said:
    """What to write instead of an expression of Quartz."""
    try:
        found = translate(text)
    except QuartzError as error:
        return say("is an expression of Quartz, and it {error}", error=said(str(error)))
    if found.years is not None:
        return _instead_with_years(found, *found.years)
    if found.type == "cron":
        return say("is an expression of Quartz. Write {text} instead.", text=found.text)
    return say("is an expression of Quartz. Choose the schedule type “Calendar rule”, with the rule {text}", text=found.text)


def _instead_with_years(found: Translation, first: int, last: int) -> Said:
    if found.type == "cron":
        words = say(
            "is an expression of Quartz. Write {text} instead, with a start in {first} and an end in {last}.",
            text=found.text,
            first=first,
            last=last,
        )
    else:
        words = say(
            "is an expression of Quartz. Choose the schedule type “Calendar rule”, with a start in {first}, an end in {last} and the rule"
            " {text}",
            text=found.text,
            first=first,
            last=last,
        )
    return words


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
            if not step.isdigit() or len(step) > 4 or not int(step):
                raise CronError(
                    say("{name}: the step must be a number from 1 to {highest}", name=field.name, highest=LONGEST_STEP),
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


def without_long_steps(expression: str, *, stars: bool = False) -> str:
    """Returns the fields of an expression, in which a step that is longer than its field is replaced by what Debian's cron makes of it:
    the first number. With `stars`, a day or a month that begins with `*` still does: that decides whether days are alternatives."""
    texts, terms = expression.split(), []
    for field, text in zip(_FIELDS if len(texts) == 5 else (_SECOND, *_FIELDS), texts, strict=True):
        terms.append(",".join(dict.fromkeys(_short_term(field, term, stars and field.daily) for term in text.split(","))))
    return " ".join(terms)


def _short_term(field: _Field, term: str, star: bool) -> str:
    first = _only_number(field, term)
    if first is None:
        return term
    return f"*/{field.highest}" if star and term.startswith("*") else first


def _only_number(field: _Field, term: str) -> str | None:
    """The only number of a term, because its step is longer than what it is a step through; None if there is no such step."""
    match = _TERM.fullmatch(term)
    if match is None or match["step"] is None:
        return None
    if match["first"] == "*":
        return str(field.lowest) if int(match["step"]) > field.highest - field.lowest else None
    low, high = (_number(field, match[name] or match["first"], 0) for name in ("first", "last"))
    return match["first"] if int(match["step"]) > high - low else None


def remarks_on(expression: str) -> Iterator[Said]:
    """What people may not expect of an expression: that a step longer than its field matches one number only.

    Debian's cron accepts such a step (crontab(5); entry.c adds it to the first number until that is greater than the last).
    """
    texts = check_expression(expression).split()
    for field, text in zip(_FIELDS if len(texts) == 5 else (_SECOND, *_FIELDS), texts, strict=True):
        for term in text.split(","):
            first = _only_number(field, term)
            if first is not None:
                yield _on_long_step(field, term, first)


def _on_long_step(field: _Field, term: str, first: str) -> Said:
    match field.name:
        case "second":
            return say(
                "{term} matches only second {first}, because the step is longer than the field. "
                "For a longer interval, choose the schedule type “Interval”.",
                term=term,
                first=first,
            )
        case "minute":
            return say(
                "{term} matches only minute {first}, because the step is longer than the field. "
                "For a longer interval, choose the schedule type “Interval”.",
                term=term,
                first=first,
            )
        case "hour":
            return say(
                "{term} matches only hour {first}, because the step is longer than the field. "
                "For a longer interval, choose the schedule type “Interval”.",
                term=term,
                first=first,
            )
        case "day of month":
            return say("{term} matches only day {first} of the month, because the step is longer than the field.", term=term, first=first)
        case "month":
            return say("{term} matches only month {first}, because the step is longer than the field.", term=term, first=first)
    return say(
        "{term} matches only day {first} of the week (0 is Sunday), because the step is longer than the field.", term=term, first=first
    )


class Compiled:
    """The days and the times of day of an expression. `times` are seconds after midnight, ascending; `every_day` means that all days have
    them. `fixed` means that they are fixed times (app.triggers.walls)."""

    def __init__(self, expression: str) -> None:
        self._sim = CronSim(without_long_steps(expression, stars=True), datetime(2000, 1, 1))  # noqa: DTZ001 - a matcher knows wall time alone
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
    yield from iter_walls(parts_of(check_expression(expression)), timezone, after)


def count_times(expression: str, timezone: str, after: datetime, until: datetime) -> int:
    """How many due times lie in (after, until]. Raises CronError for a bad expression."""
    return count_walls(parts_of(check_expression(expression)), timezone, after, until)
