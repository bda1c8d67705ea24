"""Sentences that keep their pattern and values, so that a page can show them in the language of its reader.

A `Said` is the English text and can be used like any text: in a record, in an answer of the REST interface, in a log. It also keeps its
pattern and values. The pattern is the key in the catalogues (`web/locale/`), for which `make messages` collects all patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self


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
