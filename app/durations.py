"""Durations as people write them: "2 h 30 min". One reader and one writer, in English and German, for pages and the command line.

Records and the REST interface keep whole seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from templates_lib.messages import say

LONGEST = 10**10  # seconds; more than 300 years, and far more than any limit of a field
_LONGEST_TEXT = 100  # characters
_SIZES: Mapping[str, int] = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NAMES = {
    "s": "s sec secs second seconds sek sekunde sekunden",
    "min": "m min mins minute minutes minuten",
    "h": "h hr hrs hour hours std stunde stunden",
    "d": "d day days t tag tage tagen",
    "w": "w week weeks wo woche wochen",
}
# The seconds of each unit, by all names that are understood. All languages are understood on every page and in every command.
_UNITS: Mapping[str, int] = MappingProxyType({name: _SIZES[unit] for unit, names in _NAMES.items() for name in names.split()})
_PART = re.compile(r"([0-9]{1,12}(?:[.,][0-9]{1,6})?)\s*([a-z]+)\.?")
_BETWEEN = re.compile(r"(?:\s|,|\band\b|\bund\b)*")
# The words for whole days, for one and for several. The signs d, h, min and s are the same in all languages (ISO 80000-3).
_DAYS: Mapping[str, tuple[str, str]] = {"": ("d", "d"), "en": ("day", "days"), "de": ("Tag", "Tage")}


class DurationRefused(ValueError):
    """A text that is not a duration; the message is for people."""


def parse(text: str) -> int:
    """Returns the seconds of a duration. Raises DurationRefused.

    "2 h 30 min", "2h30m", "1.5 h", "1 day and 2 hours", "2 Std. 30 Min." and "1,5 Stunden" are durations, and so is a plain number of
    seconds: "90". Units come in descending order, each at most once. The whole must be a whole number of seconds.
    """
    wanted = text.strip().lower()
    if len(wanted) > _LONGEST_TEXT:
        raise DurationRefused(say("must be a duration, such as {example}", example="2 h 30 min"))
    if wanted.isascii() and wanted.isdigit():
        return _bounded(Decimal(wanted))
    return _bounded(_sum(wanted))


def _sum(text: str) -> Decimal:
    """Returns the seconds of all parts of a duration."""
    total, place, smallest = Decimal(0), 0, max(_UNITS.values()) + 1
    while place < len(text):
        part = _PART.match(text, place)
        size = _UNITS.get(part[2]) if part else None
        if part is None or size is None:
            raise DurationRefused(say("must be a duration, such as {example}", example="2 h 30 min"))
        if size >= smallest:
            raise DurationRefused(say("must name its larger units first and each unit once, such as {example}", example="2 h 30 min"))
        total, smallest = total + Decimal(part[1].replace(",", ".")) * size, size
        after = _BETWEEN.match(text, part.end())
        place = after.end() if after and after.end() < len(text) else part.end()
        if text[place:].strip() == "":
            return total
    raise DurationRefused(say("must be a duration, such as {example}", example="2 h 30 min"))


def _bounded(seconds: Decimal) -> int:
    if seconds != int(seconds):
        raise DurationRefused(say("must be a whole number of seconds"))
    if seconds > LONGEST:
        raise DurationRefused(say("is too long"))
    return int(seconds)


def write(seconds: int, locale: str = "") -> str:
    """Returns a duration in the shortest form that `parse` reads back: "2 h 30 min", "1 d 30 s", "0 s".

    Without a locale it consists of signs that all languages share; with one, days are words: "1 day 30 s", "1 Tag 30 s".
    Raises ValueError for a negative number.
    """
    if seconds < 0:
        raise ValueError("A duration is not negative")
    day, days = _DAYS.get(locale.partition("-")[0].partition("_")[0], _DAYS["en"])
    parts = []
    for unit in ("d", "h", "min", "s"):
        amount, seconds = divmod(seconds, _SIZES[unit])
        if amount:
            parts.append(f"{amount} {unit if unit != 'd' else day if amount == 1 else days}")
    return " ".join(parts) or "0 s"
