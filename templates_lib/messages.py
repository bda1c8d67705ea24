"""Sentences that remember how they were made, so that a page can say them in the language of its reader.

A `Said` is the English text and works as one wherever text does: in a record, an answer of the REST interface, a log. Beside that it
keeps its pattern and values. The pattern is also the key of the catalogues (`web/locale/`), which `make messages` collects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self


class Said(str):
    """English text with the `pattern` (of str.format) and `values` that it came from; `plural` and `number` for a counted one."""

    __slots__ = ("number", "pattern", "plural", "values")
    pattern: str
    plural: str
    number: int
    values: dict[str, Any]

    def __new__(cls, text: str, pattern: str = "", plural: str = "", number: int = 0, values: dict[str, Any] | None = None) -> Self:
        self = super().__new__(cls, text)
        self.pattern, self.plural, self.number, self.values = pattern or text, plural, number, values or {}
        return self

    def __str__(self) -> Self:  # so that str(error) is still one
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self[:], self.pattern, self.plural, self.number, self.values)


def say(pattern: str, /, **values: Any) -> Said:
    """`pattern` with its {fields} filled; without values it is taken as it stands. Raises KeyError for a field that has no value."""
    # An error's text, not the error: that would keep the frames that it came through.
    values = {name: str(value) if isinstance(value, BaseException) else value for name, value in values.items()}
    return Said(pattern.format(**values) if values else pattern, pattern, values=values)


def say_many(one: str, many: str, count: int, /, **values: Any) -> Said:
    """`one` for a count of 1, else `many`; {count} is the count."""
    values = {**values, "count": count}
    return Said((one if count == 1 else many).format(**values), one, many, count, values)


def joined(texts: Iterable[str], between: str) -> Said:
    """Sentences one after the other, each still one that a page can translate."""
    values = {f"text{place}": text for place, text in enumerate(texts)}
    return Said(between.join(values.values()), between.join(f"{{{name}}}" for name in values), values=values)


def counted(one: str, many: str) -> tuple[str, str]:
    """The two patterns of `say_many`, for where the count comes later: `say_many(*patterns, count)`."""
    return one, many


def said(text: str) -> Said:
    """`text` itself where it is one, else one whose pattern is the whole text."""
    return text if isinstance(text, Said) else Said(text)
