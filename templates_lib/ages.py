"""Reads relative dates as people write them: `6 months ago`, `in 2 weeks`, `now`, `today`. Also detects texts that only look like one.

A misspelt age must not count as plain text, because in a comparison of texts "6 monthes ago" is larger than every date written as text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from dateutil.relativedelta import relativedelta

from templates_lib.age_words import AHEAD, ALIASES, BACK, DAYS, FILLING, LOOKALIKES, NUMBERS, SHORT, UNITS, VAGUE, WEEKDAYS
from templates_lib.messages import say

MOST_YEARS = 1_000
# The number of each unit in a thousand years, at least.
_MOST = {
    "second": 31_556_952_000,
    "minute": 525_949_200,
    "hour": 8_765_820,
    "day": 365_242,
    "week": 52_177,
    "month": 12_000,
    "year": MOST_YEARS,
}
_SMALLER = {"year": ("month", 12), "week": ("day", 7), "day": ("hour", 24), "hour": ("minute", 60), "minute": ("second", 60)}
LONGEST = 60  # characters of a text that may be an age

_UNIT = "|".join(UNITS)
_AGE = re.compile(rf"(?:(?P<ago>[0-9]+) (?P<unit>{_UNIT})s? ago|in (?P<ahead>[0-9]+) (?P<unit2>{_UNIT})s?|(?P<word>now|today))", re.I)
_SIGNED = re.compile(rf"(?P<sign>[+-]) ?(?P<count>[0-9]+) (?P<unit>{_UNIT})s?", re.I)

_ISO_DURATION = re.compile(r"([+-]?)p(?=.)(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)w)?(?:(\d+)d)?(?:t(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)?", re.I)
_PARTS = re.compile(r"[+-]?(?:\d+ ?(?:y|mo|m|w|d|h|min|s) ?){2,}", re.I)  # such as 1h30m
_TOKEN = re.compile(r"[+\-]|\d+(?:[.,]\d+)?|[^\W\d_]+|[^\s]")


class NotAnAge(ValueError):
    """The text looks like an age but is not one; `reason` is a sentence about that, with the correct spelling if it is known."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(text: str, now: datetime, *, signed: bool = False) -> datetime | None:
    """Returns the instant that an age means at `now`; None for a text that does not look like an age. Raises NotAnAge.

    Months and years follow the calendar: "1 month ago" on 31 March is 28 February (29 in a leap year). "today" is midnight of the day, in
    UTC. With `signed`, "-30 days" and "+2 hours" are ages, too.
    """
    plain = " ".join(text.split())
    match = _AGE.fullmatch(plain) or (_SIGNED.fullmatch(plain) if signed else None)
    if match is None:
        suggestions = _suggestions(plain)
        if suggestions is None:
            return None
        raise NotAnAge(_sentence(text, suggestions))
    parts = match.groupdict()
    if parts.get("word"):
        return now if parts["word"].lower() == "now" else now.replace(hour=0, minute=0, second=0, microsecond=0)
    count, unit = parts.get("ago") or parts.get("ahead") or parts["count"], (parts.get("unit") or parts["unit2"]).lower()
    back = bool(parts.get("ago")) or parts.get("sign") == "-"
    return _shift(count, unit, now, back=back, text=text)


def is_written_out(text: str) -> bool:
    """Returns whether a text has "ago" or "in …" as ages do. Such a text is hardly meant as plain text, at a place where ages are not
    read."""
    plain = " ".join(text.split())
    match = _AGE.fullmatch(plain)
    if match is not None:
        return not match["word"]
    return "ago" in plain.casefold() and _suggestions(plain) is not None


def _shift(count: str, unit: str, now: datetime, *, back: bool, text: str) -> datetime:
    too_far = NotAnAge(say("{text} is too large: an age is at most {most} years", text=_quoted(text), most=f"{MOST_YEARS:,}"))
    if len(count.lstrip("0")) > len(str(_MOST[unit])) or int(count) > _MOST[unit]:
        raise too_far
    shift = relativedelta(**{f"{unit}s": int(count)})  # type: ignore[arg-type]
    try:
        return now - shift if back else now + shift
    except (OverflowError, ValueError):
        raise too_far from None


def _sentence(text: str, suggestions: Sequence[str]) -> str:
    if not suggestions:
        return say('{text} looks like an age but is not one. Write "6 months ago", "in 2 weeks", "now" or "today"', text=_quoted(text))
    return say(
        "{text} looks like an age but is not one. Write {meant}", text=_quoted(text), meant=" / ".join(f'"{age}"' for age in suggestions)
    )


def _quoted(text: str) -> str:
    return f'"{text[:LONGEST]}"'


# -- suggestions ------------------------------------------------------------------------------------------------------


def _suggestions(text: str) -> list[str] | None:
    """Returns the correct spellings of the ages that a text may mean. The list is empty if the text looks like an age but its meaning is
    not clear. Returns None for any other text."""
    if not text or len(text) > LONGEST:
        # An age may be long only because of a long run of digits.
        text = re.sub(r"\d{20,}", "9" * 20, text[: 10 * LONGEST])
        if not text or len(text) > LONGEST:
            return None
    duration = _ISO_DURATION.fullmatch(text)
    if duration is not None:
        return _of_duration(duration)
    if _PARTS.fullmatch(text) is not None:
        return []
    words = _split(text)
    if len(words) == 1:
        day = _day(words[0])
        return None if day is None else [DAYS[day]]
    return _of_split(words)


def _split(text: str) -> list[str]:
    """Returns the words, numbers and signs of a text, in small letters and without accents. Digits of all scripts become ASCII digits."""
    folded = unicodedata.normalize("NFKD", text.replace("−", "-").replace("–", "-")).casefold()
    letters = "".join(_digit(char) for char in folded if not unicodedata.combining(char) and unicodedata.category(char) != "Cf")
    words = [word for word in _TOKEN.findall(letters.translate(LOOKALIKES)) if word not in "()\"'.,;:!?$_/<>=~"]
    return [part for word in words for part in ((word[:-3], "ago") if word.endswith("ago") and _unit(word[:-3]) is not None else (word,))]


def _digit(char: str) -> str:
    return str(unicodedata.digit(char)) if char.isdigit() else char


def _of_duration(duration: re.Match[str]) -> list[str]:
    """Returns suggestions for an ISO 8601 duration with one part, for both directions; none for one with several parts."""
    names = ("year", "month", "week", "day", "hour", "minute", "second")
    parts = [(int(digits[:12]), unit) for digits, unit in zip(duration.groups()[1:], names, strict=True) if digits]
    return _both_directions(Decimal(parts[0][0]), parts[0][1], 1) if len(parts) == 1 else []


def _of_split(words: Sequence[str]) -> list[str] | None:
    """Returns the same as `_suggestions`, for the words of a text.

    A text looks like an age if all its words are known and it has a unit with a number or a direction, or a word for a day. With unknown
    words, it looks like an age if it begins with a number and ends with "ago", or has "ago" after a unit.
    """
    numbers = [number for word in words if word not in SHORT and (number := _number(word)) is not None]
    units = [meaning for word in words if (meaning := _unit(word)) is not None]
    few = len(words) <= 4 and len(numbers) == 1
    if not units and few:
        units = [SHORT[word] for word in words if word in SHORT]
    days = [day for word in words if (day := _day(word)) is not None]
    vague = any(word in VAGUE for word in words)
    back, ahead = _points(words, "-", BACK), _points(words, "+", AHEAD)
    pointed = back or ahead
    measured = pointed or _number_before_unit(words)
    counted = bool(units) and (measured or vague)
    counted = counted or (few and "m" in words and measured) or (pointed and any(word in WEEKDAYS for word in words))
    framed = bool(numbers) and _number(words[0].lstrip("+-")) is not None and _near(words[-1], ("ago",)) is not None
    framed = framed or any(_unit(unit) is not None and _near(word, ("ago",)) is not None for unit, word in pairwise(words))
    if not all(map(_is_known, words)):
        return [] if framed else None
    if not (framed or counted or days):
        return None
    if len(days) == 1 and not units and not numbers and not vague:
        return [DAYS[days[0]]]
    if vague or len(units) != 1 or len(numbers) > 1:
        return []  # for example, an "m" alone may be months or minutes
    (unit, times), count = units[0], numbers[0] if numbers else Decimal(1)
    if back != ahead:
        return _one_direction(count, unit, times, "{} ago" if back else "in {}")
    return _both_directions(count, unit, times)


def _number_before_unit(words: Sequence[str]) -> bool:
    """Returns whether a unit comes after a number, as in "6 months" and "30d". "Week 12", "Q3" and "A1" are names of things."""
    seen = False
    for word in words:
        if seen and (word in SHORT or word == "m" or _unit(word) is not None):
            return True
        seen = seen or (word not in SHORT and _number(word) is not None)
    return False


def _points(words: Sequence[str], sign: str, direction: Collection[str]) -> bool:
    """Returns whether the words contain the sign or a word for one direction, the past or the future."""
    return sign in words or any(_near(word, direction) is not None for word in words if _unit(word) is None and _number(word) is None)


def _is_known(word: str) -> bool:
    return (
        word in SHORT
        or word in FILLING
        or word in VAGUE
        or word in WEEKDAYS
        or word in {"+", "-", "m"}
        or _number(word) is not None
        or _unit(word) is not None
        or _day(word) is not None
        or _near(word, BACK) is not None
        or _near(word, AHEAD) is not None
    )


def _number(word: str) -> Decimal | None:
    if word in NUMBERS:
        return NUMBERS[word]
    return Decimal(word.replace(",", ".")) if word[:1].isdigit() else None


def _day(word: str) -> str | None:
    """Returns the word for a day or for now that a word is, or is close to. Short words must be exact: "new" is not "now"."""
    return word if word in DAYS else _near(word, DAYS) if len(word) > 4 else None


def _unit(word: str) -> tuple[str, int] | None:
    if word in NUMBERS:
        return None
    near = word if word in ALIASES else _near(word, ALIASES) if len(word) > 3 else None
    return None if near is None else ALIASES[near]


def _both_directions(count: Decimal, unit: str, times: int) -> list[str]:
    return [*_one_direction(count, unit, times, "{} ago"), *_one_direction(count, unit, times, "in {}")]


def _one_direction(count: Decimal, unit: str, times: int, pattern: str) -> list[str]:
    """Returns an age with a whole number, in a smaller unit if the number is not whole; no age if it is beyond the limits."""
    amount = count * times
    for larger, (smaller, factor) in _SMALLER.items():
        if unit == larger and amount != amount.to_integral_value():
            unit, amount = smaller, amount * factor
    if amount != amount.to_integral_value() or not 0 <= amount <= _MOST[unit]:
        return []
    whole = int(amount)
    return [pattern.format(f"{whole} {unit}{'' if whole == 1 else 's'}")]


def _near(written: str, words: Collection[str]) -> str | None:
    """Returns the word that `written` is, or from which it differs by one typing error (two in a long word); None if there is none."""
    if written in words:
        return written
    if len(written) < 3:
        return None
    slips = 2 if len(written) > 6 else 1
    close = [word for word in words if len(word) >= 3 and abs(len(word) - len(written)) <= slips]
    ranked = sorted((distance, word) for word in close if (distance := _slips(written, word)) <= slips)
    return ranked[0][1] if ranked else None


def _slips(written: str, other: str) -> int:
    """Returns how many letters are missing, extra, wrong or swapped with the next (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, mine in enumerate(written, 1):
        earlier, before, row = before, row, [i]
        for j, theirs in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (mine != theirs))
            if i > 1 and j > 1 and mine == other[j - 2] and written[i - 2] == theirs:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
