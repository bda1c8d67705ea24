"""Sentences that keep their pattern and values, so that a page can show them in the language of its reader.

A `Said` is the English text and can be used like any text: in a record, in an answer of the REST interface, in a log. It also keeps its
pattern and values. The pattern is the key in the catalogues (`web/locale/`), for which `make messages` collects all patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from string import Formatter
from typing import Any, Self

MOST_WHOLE = 2**63 - 1  # the largest whole number that a database holds


class Said(str):
    """English text with the `pattern` (of str.format) and the `values` from which it was made. A text with a count also has `plural` and
    `number`."""

    __slots__ = ("number", "pattern", "plural", "values")
    pattern: str
    plural: str
    number: int
    values: dict[str, Any]

    def __new__(cls, text: str, pattern: str = "", plural: str = "", number: int = 0, values: dict[str, Any] | None = None) -> Self:
        self = super().__new__(cls, text)
        self.pattern, self.plural, self.number, self.values = pattern or text, plural, number, values or {}
        return self

    def __str__(self) -> Self:  # so that str(error) returns a Said
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self[:], self.pattern, self.plural, self.number, self.values)


def say(pattern: str, /, **values: Any) -> Said:
    """Returns `pattern` with its {fields} filled in. Without values, the pattern is used unchanged. Raises KeyError for a field without
    a value."""
    # Keep the text of an error and not the error itself, because that would keep the frames of its traceback alive.
    values = {name: str(value) if isinstance(value, BaseException) else value for name, value in values.items()}
    return Said(pattern.format(**values) if values else pattern, pattern, values=values)


def say_many(one: str, many: str, count: int, /, **values: Any) -> Said:
    """Returns the pattern `one` filled in for a count of 1, else the pattern `many`; the field {count} is the count."""
    values = {**values, "count": count}
    return Said((one if count == 1 else many).format(**values), one, many, count, values)


def amount(count: int, noun: str, plural: str = "") -> str:
    """Returns a count with its noun: "1 row", "1,523 rows".

    It is for texts that stay English: results, progress, logs and the command line.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def joined(texts: Iterable[str], between: str) -> Said:
    """Joins sentences. A page can still translate each of them."""
    values = {f"text{place}": text for place, text in enumerate(texts)}
    return Said(between.join(values.values()), between.join(f"{{{name}}}" for name in values), values=values)


def counted(one: str, many: str) -> tuple[str, str]:
    """Returns the two patterns of `say_many`, for code that knows the count only later: `say_many(*patterns, count)`."""
    return one, many


def said(text: str) -> Said:
    """Returns `text` itself if it is a Said, else a Said whose pattern is the whole text."""
    return text if isinstance(text, Said) else Said(text)


def parts_of(text: str) -> dict[str, Any] | None:
    """Returns what a Said was made from, to be stored beside the text itself; None for any other text, and for one whose parts cannot be
    stored. `restored` is the way back."""
    if not isinstance(text, Said):
        return None
    parts: dict[str, Any] = {"pattern": text.pattern, "values": {name: _part(value) for name, value in text.values.items()}}
    if text.plural:
        parts |= {"plural": text.plural, "number": text.number}
    return parts if isinstance(restored(text[:], parts), Said) else None


def restored(text: str, parts: Any) -> str:
    """Returns a stored text as the Said that it was. Returns `text` itself if `parts` are missing, or do not belong to it: they may be of
    an earlier text, or anything that somebody wrote into the database."""
    try:
        values = {str(name): _whole(value) for name, value in parts["values"].items()}
        made = Said(text, str(parts["pattern"]), str(parts.get("plural", "")), int(parts.get("number", 0)), values)
        pattern = made.plural if made.plural and made.number != 1 else made.pattern
        fits = _is_plain(pattern) and (pattern.format(**values) if values else pattern) == text
    except (TypeError, ValueError, LookupError, AttributeError):
        return text
    return made if fits else text


def _is_plain(pattern: str) -> bool:
    """Whether a stored pattern names values and nothing inside them, and no width that could take all memory."""
    fields = [(name, spec or "") for _, name, spec, _ in Formatter().parse(pattern) if name is not None]
    return all(name.isidentifier() and "{" not in spec and not re.search(r"\d\d", spec) for name, spec in fields)


def _part(value: Any) -> Any:
    if isinstance(value, Said):
        return {"text": value[:], "parts": parts_of(value)}
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode()
    if isinstance(value, bool | float | datetime) or value is None or (isinstance(value, int) and abs(value) <= MOST_WHOLE):
        return value
    return str(value)


def _whole(part: Any) -> Any:
    return restored(part["text"], part["parts"]) if isinstance(part, Mapping) else part
