"""Which field shows which error, and what its dynamic values become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import FieldError
from app.validation.dynamic import Resolved
from web.forms.field import Field
from web.forms.json_text import json_text

MOST_BECOME = 5  # lines below one control
LONGEST_BECOME = 200  # letters


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """One error in the list at the top of a form; `href` leads to its control."""

    pointer: str
    href: str
    label: str
    message: str


class Messages:
    """The messages of one form by the pointer of the field that shows them.

    `fields` are the drawn fields by their pointers, in the order of the form. An error of a place that is not drawn is shown at the
    nearest field around it. `ahead` has what the dynamic values become now.
    """

    def __init__(self, fields: Mapping[str, Field], errors: Sequence[FieldError], ahead: Resolved) -> None:
        self._fields, self._errors = fields, errors
        self._texts: dict[str, list[str]] = {}
        for error in errors:
            texts = self._texts.setdefault(self.nearest(error.pointer), [])
            if error.message not in texts:
                texts.append(error.message)
        self._wrong = {pointer.rsplit("/", depth)[0] for pointer in self._texts for depth in range(pointer.count("/") + 1)}
        self._becomes: dict[str, list[tuple[str, str]]] = {}
        for pointer, text in _resolved_texts(ahead):
            nearest = self.nearest(pointer)
            self._becomes.setdefault(nearest, []).append((pointer[len(nearest) :].strip("/").replace("/", " › "), text))

    def nearest(self, pointer: str) -> str:
        """Returns the pointer of the drawn field that shows a message: the one at the pointer, or the nearest one around it."""
        while pointer and pointer not in self._fields:
            pointer = pointer.rpartition("/")[0]
        return pointer

    def errors_of(self, field: Field) -> list[str]:
        """Returns the messages of the errors that a field shows."""
        return self._texts.get(field.pointer, [])

    def becomes(self, field: Field) -> list[tuple[str, str]]:
        """Returns (place inside the field, what its value becomes) pairs; an empty text for what is only known at the run."""
        return self._becomes.get(field.pointer, [])[:MOST_BECOME]

    def holds_error(self, fields: Iterable[Field]) -> bool:
        """Returns True if one of the fields, or a field inside them, shows an error."""
        return any(field.pointer in self._wrong for field in fields)

    def in_order(self) -> list[tuple[FieldError, Field]]:
        """Returns the errors in the order of the form, each with the field that shows it."""
        order = {pointer: index for index, pointer in enumerate(self._fields)}
        errors = sorted(self._errors, key=lambda error: order[self.nearest(error.pointer)])
        return [(error, self._fields[self.nearest(error.pointer)]) for error in errors]


def _resolved_texts(ahead: Resolved) -> list[tuple[str, str]]:
    return [*((pointer, _short(value)) for pointer, value in ahead.became.items()), *((pointer, "") for pointer in sorted(ahead.open))]


def _short(value: Any) -> str:
    """Returns a value in one line."""
    text = value if isinstance(value, str) else json_text(value, indent=None)
    return text if len(text) <= LONGEST_BECOME else text[:LONGEST_BECOME] + "…"
