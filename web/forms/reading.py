"""A value in the words of its form, for a person who only reads it: titles instead of names, and choices in their words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from babel.numbers import format_decimal

from app.validation.pointer import escape
from app.validation.secret import MASK, secret_name
from app.validation.words import Words
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.page.wording import Wording
from web.forms.values import ABSENT

LONGEST_TEXT = 2_000  # letters of one value


@dataclass(frozen=True, slots=True)
class Titled:
    """One place of a value. `text` is its value in words, or "" for a group, which has `inner` places. `code`: the text is JSON."""

    pointer: str
    title: str
    text: str = ""
    code: bool = False
    inner: tuple[Titled, ...] = ()


class Reading:
    """Titles and texts of the places of one value. `root` is the field of the value, as `drawer` drew it."""

    def __init__(self, root: Field, value: Any, *, drawer: Drawer, words: Words, locale: str) -> None:
        self._root, self._value, self._words, self._locale = root, value, words, locale
        self._wording = Wording(drawer, words, locale)
        self._fields = {field.pointer: field for field in root.walk()}

    @property
    def rows(self) -> tuple[Titled, ...]:
        """The places of the value, in the order of the form. What the value does not have is left out."""
        if isinstance(self._value, Mapping):
            return tuple(self._members(self._root, self._value))
        return (self._titled(self._root, self._value),)

    def title(self, pointer: str) -> str:
        """Returns the titles on the way to a place: "Attachments › 2 › Path"."""
        return self._wording.path(pointer, self._fields)

    def text(self, pointer: str, value: Any) -> str:
        """Returns a value at a place in words."""
        return self._text(self._fields.get(pointer), value)[0]

    def _members(self, field: Field, value: Mapping[str, Any]) -> Iterator[Titled]:
        rows = {row.field.pointer: row.field for row in field.rows}
        known = [key for key in field.members if key in value]
        for key in [*known, *(key for key in value if key not in field.members)]:
            pointer = f"{field.pointer}/{escape(key)}"
            inner = field.members.get(key) or rows.get(pointer)
            title = self._wording.title(inner) if inner is not None and not inner.is_entry else key
            yield self._titled(inner, value[key], pointer=pointer, title=title)

    def _titled(self, field: Field | None, value: Any, *, pointer: str = "", title: str = "") -> Titled:
        title = title or (self._wording.title(field) if field else "")
        if field is not None and (field.members or field.rows) and isinstance(value, Mapping) and value:
            return Titled(pointer, title, inner=tuple(self._members(field, value)))
        if field is not None and field.rows and isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
            entries = [
                self._titled(row.field, item, pointer=row.field.pointer, title=f"{self._wording.entry(row.field)} {index}")
                for index, (row, item) in enumerate(zip(field.rows, value, strict=False), 1)
            ]
            return Titled(pointer, title, inner=tuple(entries))
        text, code = self._text(field, value)
        return Titled(pointer, title, text, code)

    def _text(self, field: Field | None, value: Any) -> tuple[str, bool]:
        """Returns a value in words, and whether the words are JSON."""
        view = field.view if field is not None else None
        choices = view.choices if view is not None else None
        index = choices.index(value) if choices is not None and value is not ABSENT else None
        if choices is not None and index is not None:
            return choices.options[index][1], False
        if value is None:
            return "–", False
        if isinstance(value, bool):
            return self._words("yes" if value else "no"), False
        if isinstance(value, int | float):
            return str(format_decimal(value, locale=self._locale.replace("-", "_"))), False
        if isinstance(value, str):
            return value[:LONGEST_TEXT], False
        if isinstance(value, Mapping) and (value == MASK or secret_name(value) is not None):
            return secret_name(value) or "••••••", False
        if isinstance(value, list) and not any(isinstance(item, Mapping | list) for item in value):
            entries = [row.field for row in field.rows] if field is not None else []
            listed = [self._text(entries[at] if at < len(entries) else None, item)[0] for at, item in enumerate(value)]
            return ", ".join(listed)[:LONGEST_TEXT] or "–", False
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)[:LONGEST_TEXT], True
