"""Carries out the changes of type and branch that a person posted. What fits the new shape is carried along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.validation.layers import Heads, forbidden
from web.forms.controls.table import JSON, JSON_ON_REQUEST
from web.forms.controls.text import Text
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.json_text import JsonRefused, json_text, parse_json
from web.forms.reader import Reader
from web.forms.values import ABSENT, from_name, json_type_of
from web.forms.view import View

_JSON_NAMES = frozenset({JSON.name, JSON_ON_REQUEST.name})


class Reshaper:
    """Changes the shape of the posted fields of one form."""

    def __init__(self, drawer: Drawer, reader: Reader) -> None:
        self._drawer, self._views, self._reader = drawer, drawer.views, reader

    def reshape(self, field: Field, heads: Heads, *, depth: int = 0) -> Field:
        """Carry out the posted changes of a field and of all fields inside it. Returns the field, or the one that takes its place.

        A default that was drawn because of a condition is removed when the condition no longer holds. A value that another choice
        forbids is removed, and the field tells its title.
        """
        value = self._reader.value(field)
        if field.shape_changed:
            return self._changed(field, heads, value, depth)
        view = self._views.view(heads, value, field.picked)
        named = {*view.members, *view.named_by(value if isinstance(value, Mapping) else {})}
        for key, member in list(field.members.items()):
            if key not in named and _is_default(member):
                del field.members[key]
            elif _became_forbidden(member, view.child(key)):
                del field.members[key]
                field.lost.append(self._title(view, key))
            else:
                field.members[key] = self.reshape(member, view.child(key), depth=depth + 1)
        for index, row in enumerate(field.rows):
            row_heads = view.item(index) if row.key is None else view.child(row.key)
            row.field = self.reshape(row.field, row_heads, depth=depth + 1)
        return field

    def _title(self, view: View, key: str) -> str:
        """Returns the title of a member on the page."""
        return self._views.view(view.child(key), ABSENT, {}).presentation.title or from_name(key)

    def _changed(self, field: Field, heads: Heads, value: Any, depth: int) -> Field:
        """Returns the field in its new shape."""
        place = Field(field.name, field.pointer, JSON, place=field.place, title=field.title, required=field.required)
        if field.wanted_type:
            return self._with_type(field, place, heads, value, depth)
        view = self._views.view(heads, value, field.picked)
        carried = self._carried(value, view, field)
        drawn = self._drawer.draw(heads, carried, place, fresh=True, picked=field.picked, depth=depth)
        drawn.lost = self._lost_titles(field, heads, value, carried)
        return drawn

    def _with_type(self, field: Field, place: Field, heads: Heads, value: Any, depth: int) -> Field:
        """Returns the field with the control of another type."""
        converted = _converted(value, field.wanted_type)
        wanted = JSON_ON_REQUEST.name if field.wanted_type == JSON.name else field.wanted_type
        drawn = self._drawer.draw(heads, converted, place, fresh=converted is ABSENT, picked=field.picked, wanted_type=wanted, depth=depth)
        if converted is ABSENT and drawn.state == "absent" and field.state == "value":
            drawn.state = "value"
            if isinstance(drawn.control, Text):
                drawn.drawn_as = "e"
        return drawn

    def _lost_titles(self, field: Field, heads: Heads, value: Any, carried: Any) -> list[str]:
        """Returns the titles of the members that a person filled in and another branch does not have."""
        if not isinstance(value, Mapping):
            return []
        before = self._views.view(heads, value, field.picked_before)
        fitting = carried if isinstance(carried, Mapping) else {}
        lost = [key for key in value if key not in fitting and not (key in field.members and _is_default(field.members[key]))]
        return [self._title(before, key) for key in lost if not self._is_constant(before, key)]

    def _is_constant(self, view: View, key: str) -> bool:
        """Returns True for a member that has only one value: it says which branch it is."""
        choices = self._views.view(view.child(key), ABSENT, {}).choices
        return choices is not None and len(choices.options) == 1

    def _carried(self, value: Any, view: View, field: Field) -> Any:
        """Returns the part of a value that fits another branch: its members, its entries, or the whole value if its type fits."""
        if not isinstance(value, Mapping) or not view.allows("object"):
            fits = value is not ABSENT and (view.choices.index(value) is not None if view.choices else view.allows(json_type_of(value)))
            return value if fits else {} if view.allows("object") and field.required else ABSENT
        fitting = {}
        entries = {row.key for row in field.rows}
        for key, inner in value.items():
            if view.never(key):
                continue
            if key in view.members:
                fits = _fits(self._views.view(view.child(key), inner, {}), inner)
            else:
                fits = key in entries and view.entries.offered
            if fits:
                fitting[key] = inner
        return fitting


def _is_default(field: Field) -> bool:
    """Returns True for a default that a person has not changed, with all that is inside it."""
    return field.is_default and all(inner.is_default or inner.state == "absent" for inner in field.walk())


def _became_forbidden(member: Field, heads: Heads) -> bool:
    """Returns True for a value that was allowed when it was drawn and is not allowed now, because another choice forbids it."""
    return member.has_mark and member.drawn_as not in "ib" and member.state != "absent" and forbidden(heads)


def _converted(value: Any, wanted_type: str) -> Any:
    """Returns a value as another type: a text that reads as a number becomes one. ABSENT if it cannot be converted."""
    if value is ABSENT or wanted_type in _JSON_NAMES:
        return value
    if wanted_type == "string":
        return _as_text(value)
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError, JsonRefused):
            return ABSENT
    json_type = json_type_of(value)
    if json_type == wanted_type or (wanted_type == "number" and json_type == "integer") or wanted_type == "choice":
        return value
    return [value] if wanted_type == "array" and value is not None else ABSENT


def _as_text(value: Any) -> Any:
    """Returns a value as a text; ABSENT for an empty object or list."""
    if isinstance(value, str):
        return value
    return ABSENT if isinstance(value, dict | list) and not value else json_text(value, indent=None)


def _fits(view: View, value: Any) -> bool:
    """Returns True if a value can stand at a place: it is one of the listed values, or of an allowed type."""
    if view.choices is not None:
        return view.choices.index(value) is not None
    return view.allows(json_type_of(value)) or (value is None and view.traits.nullable)
