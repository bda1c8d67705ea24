"""From a schema and a value to fields: which control each place gets, and what becomes of it when a person changes its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Any

from app.validation.dynamic import has_any
from app.validation.pointer import escape
from app.validation.secret import MASK, NAMED, secret_name
from web.forms.field import (
    DEEPEST,
    MOST_FIELDS,
    MOST_ROWS,
    Field,
    JsonRefused,
    Reader,
    Row,
    json_text,
    member_name,
    parse_json,
    plain_text,
)
from web.forms.values import ABSENT, from_name, kind_of, singular
from web.forms.view import MOST_CHECKBOXES, Heads, View, Views

MOST_FRESH_ROWS = 3
DEEPEST_FRESH = 6  # required objects inside required objects that a fresh form opens
_COLOR = re.compile("#[0-9a-f]{6}")
_SCALARS = {"string", "secret", "integer", "number", "json", "source"}


class Drawer:
    """Draws, arranges and changes the fields of one schema. `overrides` are hints by place, which go before the schema's own."""

    def __init__(self, views: Views, overrides: Mapping[str, Mapping[str, Any]], reader: Reader) -> None:
        self._views, self._overrides, self._reader = views, overrides, reader
        self._left = MOST_FIELDS

    # -- from a value ---------------------------------------------------------------------------------------------

    def root(self, value: Any, name: str) -> Field:
        """The whole form showing `value`; fresh, with defaults, where it is ABSENT."""
        return self.draw(self._views.root, value, Field(name, "", "json", required=True), fresh=value is ABSENT)

    def draw(
        self, heads: Heads, value: Any, at: Field, *, fresh: bool, picked: Mapping[str, int] | None = None, kind: str = "", depth: int = 0
    ) -> Field:
        """The field `at` its place showing `value`.

        `fresh`: defaults stand where there is no value. `picked`: the branches, `kind`: the type that a person chose.
        """
        self._left -= 1
        view = self._views.view(heads, value, picked or {})
        if value is ABSENT and fresh:
            value = self._start_value(view, at)
            at.untouched = value is not ABSENT and depth > 0
            if value is not ABSENT and not view.static:
                view = self._views.view(heads, value, picked or {})
        at.heads, at.view, at.picked = heads, view, {union.key: union.chosen for union in view.unions}
        at.kind = self._kind(view, value, at, kind, depth)
        at.state = "absent" if value is ABSENT else "null" if value is None and at.kind != "choice" else "value"
        at.raw, at.marks, at.members, at.rows = "", (), {}, []
        self._fill(at, view, value, fresh=fresh, depth=depth)
        at.was = self._was(at, view)
        return at

    def _start_value(self, view: View, at: Field) -> Any:
        """What a fresh field holds: the default, the only value that there is, no for a switch, nothing."""
        default = view.first("default", ABSENT)
        if default is not ABSENT:
            return default
        if at.required and view.choices and len(view.choices.options) == 1:
            return view.choices.options[0][0]
        if at.required and not view.choices and not view.types and view.nullable:
            return None
        if at.required and view.types == ("boolean",) and not view.choices and self.hints(at).get("x-widget") != "select":
            return False
        return ABSENT

    def hints(self, at: Field) -> Mapping[str, Any]:
        """The hints of a field."""
        own = at.view.hints if at.view else {}
        over = self._overrides.get(at.place)
        return {**own, **over} if over else own

    def _kind(self, view: View, value: Any, at: Field, wanted: str, depth: int) -> str:
        """The control that can hold the value, as the schema and its hints would have it."""
        widget = self.hints(at).get("x-widget")
        if view.read_only and at.name:
            return "readonly"
        if wanted in {"source", "json"}:
            return wanted
        if self._left < 0 or depth >= DEEPEST:
            return "json"
        if (
            view.secret
            and (view.allows("string") or not view.types)
            and (value in (ABSENT, None) or isinstance(value, str) or value == MASK or secret_name(value) is not None)
        ):
            return "secret"
        if widget == "json":
            return "json"
        if view.choices is not None and wanted in ("", "choice"):
            return "choice"
        if view.impossible and value is not ABSENT:
            return "json"
        kind = wanted or (kind_of(value) if value is not ABSENT and value is not None else "")
        if not kind:
            kind = view.types[0] if view.types else "null" if view.nullable else "json"
        if kind == "integer" and "integer" not in view.types and view.allows("integer"):
            kind = "number"
        if kind == "number" and not view.allows("number") and view.allows("integer") and isinstance(value, float) and value.is_integer():
            kind = "integer"
        if kind == "string" and view.dynamic and not view.allows(kind) and has_any(value) and plain_text(value):
            return next((one for one in ("integer", "number") if view.allows(one)), "string")  # typed into a control for numbers
        if kind not in {"null", "json"} and not view.allows(kind):
            return "json"
        if kind == "string" and isinstance(value, str) and not plain_text(value):
            return "json"
        if kind == "boolean":
            plain = (at.required or widget == "switch" or view.first("default", ABSENT) is not ABSENT) and not view.nullable
            return "switch" if value is not ABSENT and value is not None and plain and widget != "select" else "boolean"
        return self._array_kind(view, value, widget) if kind == "array" else kind

    def _array_kind(self, view: View, value: Any, widget: Any) -> str:
        """Check boxes for a set of given values whose order is that of the schema, else rows."""
        items = value if isinstance(value, list) else []
        if widget == "rows" or view.prefix or not (any(layer.get("uniqueItems") for layer, _ in view.layers) or widget == "checkboxes"):
            return "array"
        choices = self._views.view(view.item(0), ABSENT, {}).choices if view.item(0) else None
        if choices is None or len(choices.options) > MOST_CHECKBOXES:
            return "array"
        marks = [mark for item in items if (mark := choices.index(item)) is not None]
        in_order = len(marks) == len(items) and all(a < b for a, b in pairwise(marks))
        return "checks" if in_order else "array"

    def _fill(self, at: Field, view: View, value: Any, *, fresh: bool, depth: int) -> None:
        match at.kind:
            case "choice":
                at.choices = view.choices
                index = view.choices.index(value) if view.choices and value is not ABSENT else None
                if index is not None:
                    at.raw = str(index)
                elif value is None and view.nullable:
                    at.state = "null"
                elif value is not ABSENT:
                    at.raw = "k" + json_text(value, indent=None)
            case "checks":
                at.choices = self._views.view(view.item(0), ABSENT, {}).choices
                found = [at.choices.index(item) for item in value or ()] if at.choices and value is not ABSENT else []
                at.marks = tuple(one for one in found if one is not None)
            case "secret":
                at.named = secret_name(value) or ""
                if at.state == "value":
                    at.state = NAMED if at.named else "kept"
            case "object":
                self._fill_object(at, view, value, fresh=fresh, depth=depth)
            case "array":
                self._fill_array(at, view, value, fresh=fresh, depth=depth)
            case "boolean" | "switch":
                at.raw = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else ""
            case "json" | "source" | "readonly":
                at.raw = "" if value is ABSENT else json_text(value)
                at.state = "absent" if value is ABSENT else "value"
            case _ if value is not ABSENT and value is not None:
                at.raw = value if isinstance(value, str) else json_text(value)

    def _fill_object(self, at: Field, view: View, value: Any, *, fresh: bool, depth: int) -> None:
        if value is ABSENT and fresh and at.required and depth < DEEPEST_FRESH:
            at.state = "value"
        if at.state != "value":
            return
        given = value if isinstance(value, Mapping) else {}
        known = [*view.members, *view.named_by(given)]
        for key in known:
            member = self._member(at, key, view)
            self.draw(view.child(key), given.get(key, ABSENT), member, fresh=fresh, depth=depth + 1)
            if not (view.never(key) and member.state == "absent"):
                at.members[key] = member  # what may never be there is drawn only where it is
        for key, inner in given.items():
            if key not in at.members:
                self._add_entry(at, view, key, inner, depth=depth)

    def _fill_array(self, at: Field, view: View, value: Any, *, fresh: bool, depth: int) -> None:
        items = value if isinstance(value, list) else []
        if value is ABSENT and fresh and at.required and depth < DEEPEST_FRESH:
            at.state = "value"
            items = [ABSENT] * max(min(int(view.most("minItems") or 0), MOST_FRESH_ROWS), min(view.prefix, MOST_FRESH_ROWS * 4))
        if len(items) > MOST_ROWS:
            at.kind, at.raw = "json", json_text(value)
            return
        for item in items:
            self._add_row(at, view, item, depth=depth)

    def _member(self, at: Field, key: str, view: View) -> Field:
        return Field(
            member_name(at.name, key), f"{at.pointer}/{escape(key)}", "json", place=f"{at.place}/{escape(key)}", title=from_name(key),
            required=key in view.required,
        )  # fmt: skip

    def _add_entry(self, at: Field, view: View, key: str, value: Any, *, depth: int) -> Row:
        """A row of a map. A key that a text field would not give back is shown as JSON."""
        row = max((one.id for one in at.rows), default=-1) + 1
        as_json = not key or not plain_text(key) or "\n" in key
        field = Field(f"{at.name}.r{row}", f"{at.pointer}/{escape(key)}", "json", place=f"{at.place}/*", title=self.entry_title(at))
        drawn = self._there(self.draw(view.child(key), value, field, fresh=value is ABSENT, depth=depth + 1), value)
        found = Row(row, drawn, json_text(key) if as_json else key, as_json)
        at.rows.append(found)
        return found

    def _add_row(self, at: Field, view: View, value: Any, *, depth: int) -> Row:
        row, index = max((one.id for one in at.rows), default=-1) + 1, len(at.rows)
        field = Field(f"{at.name}.r{row}", f"{at.pointer}/{index}", "json", place=f"{at.place}/*", title=self.entry_title(at))
        found = Row(row, self._there(self.draw(view.item(index), value, field, fresh=value is ABSENT, depth=depth + 1), value))
        at.rows.append(found)
        return found

    def _there(self, at: Field, value: Any) -> Field:
        """An entry of text is there, whatever it holds."""
        if at.kind == "string" and value is ABSENT and at.state == "absent":
            at.state, at.was = "value", "e"
        return at

    def value(self, at: Field) -> Any:
        """The value of a field as it stands."""
        return self._reader.value(at)

    def entry_title(self, at: Field) -> str:
        """What an entry of a list or map is called."""
        view = at.view
        hinted = self.hints(at).get("x-item-title")
        if hinted:
            return str(hinted)
        own = view.title if view else ""
        return singular(own or at.title)

    def _was(self, at: Field, view: View) -> str:
        """How the field is drawn, for the one who reads the post (field.WAS)."""
        if at.state in {"absent", "null", "kept", NAMED}:
            return {"absent": "a", "null": "n", "kept": "k", NAMED: "s"}[at.state]
        if at.kind in _SCALARS:
            options = self.hints(at).get("x-options")
            clearing_unsets = at.kind != "string" or not view.takes_empty or (options is not None and not options.get("free"))
            return "e" if at.raw == "" else "u" if clearing_unsets else "v"
        return "v"

    # -- from a post ----------------------------------------------------------------------------------------------

    def settle(self, at: Field, heads: Heads, *, depth: int = 0) -> Field:
        """Carry out changes of type and branch that were posted, wherever they are; what still fits the new shape is carried along."""
        if not any(one.moved or one.untouched for one in at.walk()):
            return at
        value = self._reader.value(at)
        if at.moved:
            return self._reshape(at, heads, value, depth)
        view = self._views.view(heads, value, at.picked)
        for key in list(at.members):
            if at.members[key].untouched and key not in view.members:
                del at.members[key]  # a default came with a condition, and goes with it
                continue
            at.members[key] = self.settle(at.members[key], view.child(key), depth=depth + 1)
        for index, row in enumerate(at.rows):
            heads_of_row = view.item(index) if row.key is None else view.child(row.key)
            row.field = self.settle(row.field, heads_of_row, depth=depth + 1)
        return at

    def _reshape(self, at: Field, heads: Heads, value: Any, depth: int) -> Field:
        place = Field(at.name, at.pointer, "json", place=at.place, title=at.title, required=at.required)
        if at.wanted:
            turned = self._turned(value, at)
            kind = "source" if at.wanted == "json" else at.wanted
            drawn = self.draw(heads, turned, place, fresh=turned is ABSENT, picked=at.picked, kind=kind, depth=depth)
            if turned is ABSENT and drawn.state == "absent" and at.state == "value":
                drawn.state = "value"
                drawn.was = "e" if drawn.kind == "string" else drawn.was
            return drawn
        view = self._views.view(heads, value, at.picked)
        return self.draw(heads, self._carried(value, view, at), place, fresh=True, picked=at.picked, depth=depth)

    def _turned(self, value: Any, at: Field) -> Any:
        """A value as another type: a text that reads as a number is one; what cannot be turned is left behind."""
        if value is ABSENT or at.wanted in {"source", "json"}:
            return value
        if at.wanted == "string":
            return (
                value
                if isinstance(value, str)
                else json_text(value, indent=None)
                if not isinstance(value, dict | list) or value
                else ABSENT
            )
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except (ValueError, RecursionError, JsonRefused):
                return ABSENT
        kind = kind_of(value)
        fits = kind == at.wanted or (at.wanted == "number" and kind == "integer") or (at.wanted == "choice")
        return value if fits else [value] if at.wanted == "array" and value is not None else ABSENT

    def _carried(self, value: Any, view: View, at: Field) -> Any:
        """What of a value goes along into another branch: members that it has too, entries that it takes, values of its types."""
        if not isinstance(value, Mapping) or not view.allows("object"):
            fits = value is not ABSENT and (view.choices.index(value) is not None if view.choices else view.allows(kind_of(value)))
            return value if fits else ABSENT if not view.allows("object") or at.required is False else {}
        kept = {}
        entries = {row.key for row in at.rows}
        for key, inner in value.items():
            child = self._views.view(view.child(key), inner, {})
            known = key in view.members
            if (known and self._fits(child, inner)) or (not known and key in entries and view.offers_entries):
                kept[key] = inner
        return kept

    def _fits(self, view: View, value: Any) -> bool:
        if view.choices is not None:
            return view.choices.index(value) is not None
        return view.allows(kind_of(value)) or (value is None and view.nullable)

    def arrange(self, at: Field, heads: Heads, *, fresh: bool, depth: int = 0) -> Field:
        """Give a posted field and all below it their views, and draw what was not posted yet; `fresh` with its defaults."""
        self._left -= 1
        value = self._reader.value(at)
        view = self._views.view(heads, value, at.picked)
        at.heads, at.view = heads, view
        at.picked = {union.key: union.chosen for union in view.unions}
        if self._drawn_otherwise(at, view, value, depth):
            return self.draw(heads, value, at, fresh=False, picked=at.picked, depth=depth)
        if at.kind == "object" and at.state == "value":
            self._arrange_object(at, view, value, fresh=fresh, depth=depth)
        elif at.kind == "array":
            for index, row in enumerate(at.rows):
                row.field.place, row.field.title = f"{at.place}/*", self.entry_title(at)
                row.field = self.arrange(row.field, view.item(index), fresh=fresh, depth=depth + 1)
        if at.kind == "secret" and at.raw:
            at.raw, at.state, at.retype = "", "kept" if at.was == "k" else "absent", True
        if at.state in {"absent", "null"}:
            at.raw, at.marks, at.rows = "", (), []  # the state was chosen over what the control held
        at.was, at.wanted, at.moved = self._was(at, view), "", False
        return at

    def _arrange_object(self, at: Field, view: View, value: Any, *, fresh: bool, depth: int) -> None:
        given = value if isinstance(value, Mapping) else {}
        posted, at.members = at.members, {}
        for key in [*view.members, *view.named_by(given)]:
            place = self._member(at, key, view)
            member = posted.pop(key, None)
            if member is None:
                member = self.draw(view.child(key), ABSENT, place, fresh=fresh, depth=depth + 1)
                if view.never(key):
                    continue
            else:
                member.place, member.title, member.required = place.place, place.title, place.required
                member = self.arrange(member, view.child(key), fresh=fresh, depth=depth + 1)
            at.members[key] = member
        for row in at.rows:
            row.field.place, row.field.title = f"{at.place}/*", self.entry_title(at)
            row.field = self.arrange(row.field, view.child(row.key or ""), fresh=fresh, depth=depth + 1)
        for key, member in posted.items():  # what a condition no longer names is shown among the entries, not thrown away
            left = self._reader.value(member)
            if left is not ABSENT:
                self._add_entry(at, view, key, left, depth=depth)

    def _drawn_otherwise(self, at: Field, view: View, value: Any, depth: int) -> bool:
        """True where what was posted is not what would be drawn now: the choices are others, or JSON was only a makeshift."""
        if at.kind in {"source", "readonly"}:
            return at.kind == "readonly"
        if at.kind in {"choice", "checks"}:
            return at.choices is None or self._kind(view, value, at, "", depth) != at.kind or (
                at.kind == "choice" and view.choices is not None and at.choices.sources != view.choices.sources
            )  # fmt: skip
        if value is ABSENT or at.state in {"kept", "null", NAMED}:
            natural = self._kind(view, ABSENT, at, "", depth)
            return natural != at.kind and not view.allows(at.kind) and at.kind in {"null", "json"}
        broken = isinstance(value, str) and at.kind not in {"string", "secret", "json"} and at.kind in _SCALARS
        if broken or at.kind == "string":
            return False
        if at.kind == "json":
            try:
                parse_json(at.raw)
            except (ValueError, RecursionError):
                return False
        return self._kind(view, value, at, "", depth) != at.kind and not (at.kind in {"boolean", "switch"} and isinstance(value, bool))

    def guard(self, at: Field, heads: Heads, stored: Any, *, depth: int = 0) -> Field:
        """Put what was stored into read-only places, whatever was posted for them."""
        view = self._views.view(heads, self._reader.value(at), at.picked)
        if view.read_only:
            return self.draw(heads, stored, at, fresh=stored is ABSENT, depth=depth)
        if at.kind == "object":
            kept = stored if isinstance(stored, Mapping) else {}
            for key in view.members:
                member = at.members.get(key) or self._member(at, key, view)
                guarded = self.guard(member, view.child(key), kept.get(key, ABSENT), depth=depth + 1)
                if key in at.members or guarded.state != "absent":
                    at.members[key] = guarded
            for row in at.rows:
                row.field = self.guard(row.field, view.child(row.key or ""), kept.get(row.key, ABSENT), depth=depth + 1)
        elif at.kind == "array":
            items = stored if isinstance(stored, list) else []
            for index, row in enumerate(at.rows):
                row.field = self.guard(row.field, view.item(index), items[row.id] if row.id < len(items) else ABSENT, depth=depth + 1)
        return at

    # -- buttons --------------------------------------------------------------------------------------------------

    def add(self, at: Field) -> None:
        """One more entry at the end."""
        view = at.view
        if view is None or len(at.rows) >= MOST_ROWS:
            return
        at.state = "value"
        if at.kind == "array":
            self._add_row(at, view, ABSENT, depth=at.name.count("."))
        else:
            row = self._add_entry(at, view, "", ABSENT, depth=at.name.count("."))
            row.key, row.key_json = "", False

    def redraw(self, at: Field, value: Any) -> None:
        """A field that was JSON as the controls of its value."""
        self.draw(at.heads, value, at, fresh=value is ABSENT)

    def as_json(self, at: Field, value: Any) -> None:
        """The whole of a field as JSON that is typed."""
        at.kind, at.raw, at.members, at.rows = "source", "" if value is ABSENT else json_text(value), {}, []
        at.state, at.was = ("absent", "a") if value is ABSENT else ("value", "u")


def move(at: Field, what: str, row: int) -> bool:
    """Remove a row, or move it up or down; False where there is no such row."""
    index = next((place for place, one in enumerate(at.rows) if one.id == row), -1)
    if index < 0:
        return False
    if what == "remove":
        del at.rows[index]
        if not at.rows and at.kind == "array" and not at.required:
            at.state = "absent"
    else:
        other = index + (-1 if what == "up" else 1)
        if 0 <= other < len(at.rows):
            at.rows[index], at.rows[other] = at.rows[other], at.rows[index]
    if at.kind == "array":
        for place, one in enumerate(at.rows):
            one.field.points_to(f"{at.pointer}/{place}")
    return True


def text_control(at: Field, widget: Any) -> str:
    """The HTML control of a text: one that gives back every text that it is given (HTML Living Standard, 4.10.5.1)."""
    view = at.view
    if "\n" in at.raw or widget == "textarea" or (view is not None and view.format in {"multiline", "markdown", "json"}):
        return "textarea"
    form = view.format if view else ""
    if (form == "color" or widget == "color") and widget != "text" and _COLOR.fullmatch(at.raw):
        return "color"
    if (form == "date" or widget == "date") and widget != "text" and (not at.raw or _is_date(at.raw)):
        return "date"
    return "line"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
