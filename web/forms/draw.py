"""Draws the fields of a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.validation.defaults import Filler, Spot
from app.validation.layers import Heads, Origin, Union, forbidden
from app.validation.pointer import escape
from app.validation.secret import NAMED
from web.forms.beginnings import Beginnings
from web.forms.branches import BranchName, branch_names
from web.forms.choose import choose_control
from web.forms.controls.base import Control, Place
from web.forms.controls.table import JSON, JSON_ON_REQUEST
from web.forms.field import Field
from web.forms.json_text import json_text
from web.forms.limits import Budget
from web.forms.names import member_name
from web.forms.reader import Reader
from web.forms.values import ABSENT, from_name, json_type_of
from web.forms.view import View, Views

_STATE_LETTERS = {"absent": "a", "null": "n", "kept": "k", NAMED: "s"}  # keys of field.DRAWN_STATES


class Drawer:
    """Draws the fields of one schema. `overrides` are hints by place, which go before the schema's own.

    One drawing has at most MOST_FIELDS fields and MOST_OPTIONS options. An object or list that would go beyond is drawn as JSON,
    which a person can have drawn as fields; a choice that would go beyond offers its first options and the chosen one.
    """

    def __init__(self, views: Views, overrides: Mapping[str, Mapping[str, Any]], reader: Reader) -> None:
        self.views, self.budget = views, Budget(is_large=views.is_large)
        self._overrides, self._reader = overrides, reader
        beginnings = Beginnings(overrides)
        self._filler = Filler(views, beginnings.start, beginnings.keeps_empty)
        self._branch_names: dict[str, tuple[BranchName, ...]] = {}

    def draw_root(self, value: Any, name: str, *, fresh: bool) -> Field:
        """Returns the field of the whole value. `fresh`: what the value leaves out shows its default."""
        return self.draw(self.views.root, value, Field(name, "", JSON, required=True), fresh=fresh)

    def draw(
        self,
        heads: Heads,
        value: Any,
        field: Field,
        *,
        fresh: bool,
        picked: Mapping[str, int] | None = None,
        wanted_type: str = "",
        depth: int = 0,
    ) -> Field:
        """Fill a field with a value and return it.

        `fresh`: defaults are shown where the value has nothing. `picked` are the branches and `wanted_type` the type that a person
        chose. `depth` is the number of fields around the field.
        """
        filled = self._with_defaults(heads, value, field, picked or {}, wanted_type, depth) if fresh else value
        return self.draw_filled(heads, filled, field, given=value, picked=picked, wanted_type=wanted_type, depth=depth)

    def _with_defaults(self, heads: Heads, value: Any, field: Field, picked: Mapping[str, int], wanted_type: str, depth: int) -> Any:
        """Returns the value with its defaults; an object that a person asked for begins empty."""
        begun = {} if value is ABSENT and wanted_type == "object" and field.required else value
        filled = self._filler.filled(heads, begun, Spot(field.pointer, field.place, depth), required=field.required, picked=picked)
        return filled if value is not ABSENT or wanted_type in ("", json_type_of(filled)) else ABSENT

    def draw_filled(
        self,
        heads: Heads,
        value: Any,
        field: Field,
        *,
        given: Any,
        picked: Mapping[str, int] | None = None,
        wanted_type: str = "",
        depth: int = 0,
    ) -> Field:
        """The same for a value that has its defaults already; `given` is the value without them."""
        view = self.views.view(heads, value, picked or {})
        field.heads, field.view, field.picked = heads, view, {union.key: union.chosen for union in view.unions}
        field.is_default = given is ABSENT and value is not ABSENT and depth > 0
        field.control = self.choose(view, value, field, depth=depth, wanted_type=wanted_type)
        field.options_cut = field.too_large = False
        field.text, field.checked, field.members, field.rows = "", (), {}, []
        field.control.fill(field, view, value, self, given=given, depth=depth)
        self.count_options(field, view)
        field.drawn_as = self.drawn_as(field, view)
        return field

    def choose(self, view: View, value: Any, field: Field, *, depth: int, wanted_type: str = "") -> Control:
        """Returns the control that a value gets at the place of a field."""
        place = Place(
            view=view,
            views=self.views,
            value=value,
            hints=self._hints(field, view),
            required=field.required,
            name=field.name,
            wanted_type=wanted_type,
            depth=depth,
        )
        return choose_control(place)

    def count_options(self, field: Field, view: View) -> None:
        """Count the options of a field, and cut them if the form has too many."""
        count = sum(len(union.places) for union in view.unions) + field.control.option_count(field)
        field.options_cut = not self.budget.take_options(count)

    def show_as_json(self, field: Field, value: Any) -> None:
        """Draw a field as JSON, because its fields would be too many."""
        field.control, field.state, field.too_large = JSON_ON_REQUEST, "value", True
        field.text, field.members, field.rows = json_text(value), {}, []

    def drawn_as(self, field: Field, view: View) -> str:
        """Returns how a field is drawn, for whoever reads the post: a key of field.DRAWN_STATES."""
        if field.state != "absent" and forbidden(field.heads):
            return "i"
        return _STATE_LETTERS.get(field.state) or field.control.drawn_with_value(field, view, self.hints(field))

    # -- new fields -----------------------------------------------------------------------------------------------

    def new_member(self, field: Field, key: str, *, required: bool) -> Field:
        """Returns a field for a member of an object, not drawn yet."""
        part = f"/{escape(key)}"
        return Field(
            member_name(field.name, key),
            field.pointer + part,
            JSON,
            place=field.place + part,
            title=from_name(key),
            required=required,
        )

    def new_entry(self, field: Field, row_id: int, pointer: str) -> Field:
        """Returns a field for an entry of a list or a map, not drawn yet."""
        return Field(f"{field.name}.r{row_id}", pointer, JSON, place=f"{field.place}/*", title=self.entry_title(field))

    # -- what is known of a field ---------------------------------------------------------------------------------

    def value(self, field: Field) -> Any:
        """Returns the value of a field as it stands, or ABSENT."""
        return self._reader.value(field)

    def hints(self, field: Field) -> Mapping[str, Any]:
        """Returns the hints of a field."""
        return self._hints(field, field.view)

    def _hints(self, field: Field, view: View | None) -> Mapping[str, Any]:
        own = view.presentation.hints if view else {}
        override = self._overrides.get(field.place)
        return {**own, **override} if override else own

    def branch_names(self, union: Union) -> tuple[BranchName, ...]:
        """Returns the names of the branches of a union. They are kept, for many rows may have the same union."""
        names = self._branch_names.get(union.key)
        if names is None:
            names = self._branch_names[union.key] = branch_names(union.branches, union.places, union.resolver)
        return names

    def entry_title(self, field: Field) -> str:
        """Returns what a hint calls one entry of a list or map; empty if there is no hint."""
        return str(self.hints(field).get("x-item-title") or "")

    def new_entry_title(self, field: Field) -> str:
        """Returns what a new entry of a list or map is called: by a hint, or by the title of its schema. Empty if neither says it."""
        hinted = self.entry_title(field)
        heads = field.view.new_entry(len(field.rows)) if field.view and not hinted else ()
        return self.views.view(heads, ABSENT, {}).words("title", Origin.PART) if heads else hinted
