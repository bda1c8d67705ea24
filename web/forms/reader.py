"""Reads the values of fields."""

from __future__ import annotations

from typing import Any

from app.errors import FieldError
from app.validation.words import Words
from web.forms.field import Field
from web.forms.values import ABSENT


class Reader:
    """Returns the value of a field. What is wrong with a typed text is added to `errors`; the text then stands for the value."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.errors: list[FieldError] = []

    def value(self, field: Field) -> Any:
        """Returns the JSON value of a field and all fields inside it, or ABSENT."""
        if field.state == "absent":
            return ABSENT
        return None if field.state == "null" else field.control.value(field, self)

    def report(self, field: Field, key: str, **values: Any) -> None:
        """Add an error to a field; `key` and `values` make the sentence."""
        self.errors.append(FieldError(field.pointer, self._words(key, **values)))
