"""How fields depend on each other: whose options depend on another field, and which fields show only beside some values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from markupsafe import Markup

from web.forms.controls.table import READ_ONLY
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.json_text import json_text
from web.forms.page.html import NOTHING, attribute
from web.forms.values import ABSENT, same


class Siblings:
    """Finds the fields that others depend on.

    `drawn` are the drawn fields by their pointers, `every` all fields.
    """

    def __init__(self, drawn: Mapping[str, Field], every: Iterable[Field], drawer: Drawer) -> None:
        self._drawn, self._drawer = drawn, drawer
        self._every: dict[str, Field] = {}
        for field in every:
            self._every.setdefault(field.pointer, field)

    def value(self, field: Field, sibling: str) -> Any:
        """Returns the value of a sibling, or of any field by its pointer; ABSENT if it has none."""
        other = self._other(field, sibling)
        return self._drawer.value(other) if other is not None else ABSENT

    def steers(self, field: Field) -> bool:
        """Returns True if the options of other fields depend on this one, so that a change of it draws the form anew."""
        return field.name in self._steering_names

    @cached_property
    def _steering_names(self) -> set[str]:
        names: set[str] = set()
        for field in self._drawn.values():
            for sibling in (self._drawer.hints(field).get("x-options") or {}).get("depends", {}).values():
                other = self._other(field, sibling)
                if other is not None:
                    names.add(other.name)
        return names

    def _other(self, field: Field, sibling: str) -> Field | None:
        """Returns the field that a hint names, by its key beside `field` or by its pointer."""
        return self._drawn.get(sibling if sibling.startswith("/") else f"{field.pointer.rpartition('/')[0]}/{sibling}")

    def visibility(self, field: Field) -> Markup:
        """Returns the attributes of a field that shows only while its siblings have certain values (`x-visible-if`).

        They name the controls of the siblings with the texts that stand for these values, and say whether the field is hidden now.
        """
        rule = self._drawer.hints(field).get("x-visible-if")
        if not rule:
            return NOTHING
        parent = field.pointer.rpartition("/")[0]
        watched: dict[str, list[str]] = {}
        hidden = False
        for key, values in rule.items():
            sibling = self._every.get(f"{parent}/{key}")
            if sibling is None:
                continue
            if sibling.control is READ_ONLY:  # there is no control to watch, because the value cannot change
                value = self._drawer.value(sibling)
                hidden = hidden or not any(same(value, each) for each in values)
            else:
                watched[sibling.name] = _texts(sibling, values)
                hidden = hidden or sibling.text not in watched[sibling.name]
        shown = Markup(" hidden") if hidden else NOTHING
        return attribute("data-visible-if", json.dumps(watched)) + shown if watched else shown


def _texts(field: Field, values: Sequence[Any]) -> list[str]:
    """Returns what a control holds while its value is one of `values`."""
    if field.choices is not None:
        options = enumerate(field.choices.options)
        return [str(index) for index, (value, _) in options if any(same(value, each) for each in values)]
    return [value if isinstance(value, str) else json_text(value, indent=None) for value in values]
