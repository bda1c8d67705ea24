"""From a schema and a value to fields: which control each place gets, and what becomes of it when a person changes its shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

from app.validation.defaults import Filler, Spot
from app.validation.dynamic import has_any
from app.validation.layers import Heads, Union, forbidden
from app.validation.pointer import escape
from app.validation.secret import MASK, NAMED, secret_name
from web.forms.branches import BranchName, told_apart
from web.forms.field import (
    DEEPEST,
    MOST_FIELDS,
    MOST_OPTIONS,
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
from web.forms.view import MOST_CHECKBOXES, View, Views

MOST_FRESH_ROWS = 3
MOST_CHAINED = 100  # rounds of fields that a condition brings, each because of the one before
LEAST_LIMITED = 20  # options that every choice may have, however many the others have
LETTERS_OF_NAME = 100  # a field whose posted name is longer counts as several
_COLOR = re.compile("#[0-9a-f]{6}")
_SCALARS = {"string", "secret", "integer", "number", "json", "source"}


class Beginnings:
    """What a fresh form holds besides defaults: the only value that there is, no for a switch, objects and lists that must be there."""

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        self._overrides = overrides

    def start(self, view: View, required: bool, place: str) -> Any:
        """What a place without a default starts with; ABSENT for nothing."""
        if not required or view.read_only:
            return ABSENT
        if view.choices is not None:
            return view.choices.options[0][0] if len(view.choices.options) == 1 else ABSENT
        if not view.types:
            return None if view.nullable else ABSENT
        if view.types == ("boolean",) and self._widget(view, place) != "select":
            return False
        return [] if view.types[0] == "array" and self.keeps_empty(view, place) else ABSENT

    def keeps_empty(self, view: View, place: str) -> bool:
        """True where a required object or list has controls of its own."""
        return not view.read_only and not view.secret and self._widget(view, place) != "json"

    def _widget(self, view: View, place: str) -> Any:
        return {**view.hints, **self._overrides.get(place, {})}.get("x-widget")


class Drawer:
    """Draws, arranges and changes the fields of one schema. `overrides` are hints by place, which go before the schema's own.

    It draws MOST_FIELDS fields with MOST_OPTIONS options together; an object or list that would go beyond stands as JSON text, which
    a person can have drawn, and a choice that would go beyond offers what is chosen.
    """

    def __init__(self, views: Views, overrides: Mapping[str, Mapping[str, Any]], reader: Reader) -> None:
        self._views, self._overrides, self._reader = views, overrides, reader
        beginnings = Beginnings(overrides)
        self._fresh = Filler(views, beginnings.start, beginnings.keeps_empty)
        self._left, self._options = MOST_FIELDS, MOST_OPTIONS
        self._names: dict[str, tuple[BranchName, ...]] = {}

    # -- from a value ---------------------------------------------------------------------------------------------

    def root(self, value: Any, name: str, *, fresh: bool) -> Field:
        """The whole form showing `value`; `fresh` with defaults for what it leaves out."""
        return self.draw(self._views.root, value, Field(name, "", "json", required=True), fresh=fresh)

    def draw(
        self, heads: Heads, value: Any, at: Field, *, fresh: bool, picked: Mapping[str, int] | None = None, kind: str = "", depth: int = 0
    ) -> Field:
        """The field `at` its place showing `value`.

        `fresh`: defaults stand where there is no value. `picked`: the branches, `kind`: the type that a person chose.
        """
        filled = self._filled(heads, value, at, picked or {}, kind, depth) if fresh else value
        return self._draw(heads, filled, at, came=value, picked=picked, kind=kind, depth=depth)

    def _filled(self, heads: Heads, value: Any, at: Field, picked: Mapping[str, int], kind: str, depth: int) -> Any:
        """A value with its defaults; an object that a person asked for begins empty."""
        given = {} if value is ABSENT and kind == "object" and at.required else value
        found = self._fresh.filled(heads, given, Spot(at.pointer, at.place, depth), required=at.required, picked=picked)
        return found if value is not ABSENT or kind in ("", kind_of(found)) else ABSENT

    def _draw(
        self, heads: Heads, value: Any, at: Field, *, came: Any, picked: Mapping[str, int] | None = None, kind: str = "", depth: int = 0
    ) -> Field:
        """As `draw`, with the defaults already in `value`; `came` is what was there without them."""
        view = self._views.view(heads, value, picked or {})
        at.untouched = came is ABSENT and value is not ABSENT and depth > 0
        at.heads, at.view, at.picked = heads, view, {union.key: union.chosen for union in view.unions}
        at.kind, at.limited, at.bounded = self._kind(view, value, at, kind, depth), False, False
        at.state = "absent" if value is ABSENT else "null" if value is None and at.kind != "choice" else "value"
        at.raw, at.marks, at.members, at.rows = "", (), {}, []
        self._fill(at, view, value, came=came, depth=depth)
        self._count_options(at, view)
        at.was = self._was(at, view)
        return at

    def _count_options(self, at: Field, view: View) -> None:
        """Take the options of a field off those that the form may have; beyond them it offers little."""
        count = sum(len(union.places) for union in view.unions)
        count += len(at.choices.options) if at.choices and at.kind in {"choice", "checks"} else 0
        at.limited = count > max(self._options, LEAST_LIMITED)
        self._options -= LEAST_LIMITED if at.limited else count

    def _room_for(self, at: Field, names: Iterable[str]) -> bool:
        """True where fields of these names inside `at` may be drawn; they are taken off then."""
        size = sum(1 + (len(at.name) + len(name)) // LETTERS_OF_NAME for name in names)
        if size > self._left:
            return False
        self._left -= size
        return True

    def _bound(self, at: Field, value: Any) -> None:
        """What would make too many fields stands as JSON text."""
        at.kind, at.state, at.bounded = "source", "value", True
        at.raw, at.members, at.rows = json_text(value), {}, []

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
        if depth >= DEEPEST:
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

    def _fill(self, at: Field, view: View, value: Any, *, came: Any, depth: int) -> None:
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
                self._fill_object(at, view, value, came=came, depth=depth)
            case "array":
                self._fill_array(at, view, value, came=came, depth=depth)
            case "boolean" | "switch":
                at.raw = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else ""
            case "json" | "source" | "readonly":
                at.raw = "" if value is ABSENT else json_text(value)
                at.state = "absent" if value is ABSENT else "value"
            case _ if value is not ABSENT and value is not None:
                at.raw = value if isinstance(value, str) else json_text(value)

    def _fill_object(self, at: Field, view: View, value: Any, *, came: Any, depth: int) -> None:
        if at.state != "value":
            return
        given = value if isinstance(value, Mapping) else {}
        brought = came if isinstance(came, Mapping) else {}
        known = [*view.members, *view.named_by(given)]
        if not self._room_for(at, [*known, *(key for key in given if key not in set(known))]):
            self._bound(at, given)
            return
        needed = view.required.union(view.required_by(given))
        for key in known:
            member = self._member(at, key, required=key in needed)
            inner, before = given.get(key, ABSENT), brought.get(key, ABSENT)
            if inner is ABSENT and view.never(key):
                continue  # what may never be there is drawn only where it is
            at.members[key] = self._draw(view.child(key), inner, member, came=before, depth=depth + 1)
        for key, inner in given.items():
            if key not in at.members:
                self._add_entry(at, view, key, inner, came=brought.get(key, ABSENT), depth=depth)

    def _fill_array(self, at: Field, view: View, value: Any, *, came: Any, depth: int) -> None:
        items = value if isinstance(value, list) else []
        if came is ABSENT and value == [] and view.first("default", ABSENT) is ABSENT:
            items = [ABSENT] * max(min(int(view.most("minItems") or 0), MOST_FRESH_ROWS), min(view.prefix, MOST_FRESH_ROWS * 4))
        if not self._room_for(at, map(str, range(len(items)))) or len(items) > MOST_ROWS:
            self._bound(at, value)
            return
        brought = came if isinstance(came, list) else ()
        for index, item in enumerate(items):
            self._add_row(at, view, item, came=brought[index] if index < len(brought) else ABSENT, depth=depth)

    def _member(self, at: Field, key: str, *, required: bool) -> Field:
        return Field(
            member_name(at.name, key),
            f"{at.pointer}/{escape(key)}",
            "json",
            place=f"{at.place}/{escape(key)}",
            title=from_name(key),
            required=required,
        )

    def _add_entry(self, at: Field, view: View, key: str, value: Any, *, came: Any, depth: int) -> Row:
        """A row of a map. A key that a text field would not give back is shown as JSON."""
        row = max((one.id for one in at.rows), default=-1) + 1
        as_json = not key or not plain_text(key) or "\n" in key
        field = Field(f"{at.name}.r{row}", f"{at.pointer}/{escape(key)}", "json", place=f"{at.place}/*", title=self.entry_title(at))
        drawn = self._entry(view.child(key), value, field, came=came, depth=depth + 1)
        found = Row(row, drawn, json_text(key) if as_json else key, as_json)
        at.rows.append(found)
        return found

    def _add_row(self, at: Field, view: View, value: Any, *, came: Any, depth: int) -> Row:
        row, index = max((one.id for one in at.rows), default=-1) + 1, len(at.rows)
        field = Field(f"{at.name}.r{row}", f"{at.pointer}/{index}", "json", place=f"{at.place}/*", title=self.entry_title(at))
        found = Row(row, self._entry(view.item(index), value, field, came=came, depth=depth + 1))
        at.rows.append(found)
        return found

    def _entry(self, heads: Heads, value: Any, at: Field, *, came: Any, depth: int) -> Field:
        """An entry that has a value, or a new one with its defaults."""
        if value is ABSENT:
            return self._there(self.draw(heads, value, at, fresh=True, depth=depth), value)
        return self._draw(heads, value, at, came=came, depth=depth)

    def _there(self, at: Field, value: Any) -> Field:
        """An entry of text is there, whatever it holds."""
        if at.kind == "string" and value is ABSENT and at.state == "absent":
            at.state, at.was = "value", "e"
        return at

    def value(self, at: Field) -> Any:
        """The value of a field as it stands."""
        return self._reader.value(at)

    def branch_names(self, union: Union) -> tuple[BranchName, ...]:
        """What the branches of a union are called; kept, for many rows may have the same."""
        names = self._names.get(union.key)
        if names is None:
            names = self._names[union.key] = told_apart(union.branches, union.places, union.resolver)
        return names

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
        if at.state != "absent" and forbidden(at.heads):
            return "i"
        if at.state in {"absent", "null", "kept", NAMED}:
            return {"absent": "a", "null": "n", "kept": "k", NAMED: "s"}[at.state]
        if at.kind in _SCALARS:
            options = self.hints(at).get("x-options")
            clearing_unsets = at.kind != "string" or not view.takes_empty or (options is not None and not options.get("free"))
            return "b" if at.bounded else "e" if at.raw == "" else "u" if clearing_unsets else "v"
        return "v"

    # -- from a post ----------------------------------------------------------------------------------------------

    def settle(self, at: Field, heads: Heads, *, depth: int = 0) -> Field:
        """Carry out changes of type and branch that were posted, wherever they are; what still fits the new shape is carried along."""
        value = self._reader.value(at)
        if at.moved:
            return self._reshape(at, heads, value, depth)
        view = self._views.view(heads, value, at.picked)
        named = {*view.members, *view.named_by(value if isinstance(value, Mapping) else {})}
        for key, member in list(at.members.items()):
            if key not in named and _is_untouched(member):
                del at.members[key]  # a default came with a condition, and goes with it
            elif self._forbidden_since(member, view.child(key)):
                del at.members[key]
                at.gone.append(self._title_of(view, key))
            else:
                at.members[key] = self.settle(member, view.child(key), depth=depth + 1)
        for index, row in enumerate(at.rows):
            heads_of_row = view.item(index) if row.key is None else view.child(row.key)
            row.field = self.settle(row.field, heads_of_row, depth=depth + 1)
        return at

    def _forbidden_since(self, member: Field, heads: Heads) -> bool:
        """True for a value that could be typed where it stood, and may not be there any more: another choice forbids it."""
        return member.drawn and member.was not in "ib" and member.state != "absent" and forbidden(heads)

    def _title_of(self, view: View, key: str) -> str:
        """What a member is called on the page."""
        return self._views.view(view.child(key), ABSENT, {}).title or from_name(key)

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
        carried = self._carried(value, view, at)
        drawn = self.draw(heads, carried, place, fresh=True, picked=at.picked, depth=depth)
        drawn.gone = self._left_behind(at, heads, value, carried)
        return drawn

    def _left_behind(self, at: Field, heads: Heads, value: Any, carried: Any) -> list[str]:
        """The names of the members that a person filled in and another branch does not have."""
        if not isinstance(value, Mapping):
            return []
        before, kept = self._views.view(heads, value, at.before), carried if isinstance(carried, Mapping) else {}
        lost = [key for key in value if key not in kept and not (key in at.members and _is_untouched(at.members[key]))]
        return [self._title_of(before, key) for key in lost if not self._is_constant(before, key)]

    def _is_constant(self, view: View, key: str) -> bool:
        """True for a member that has one value only: it says which branch it is."""
        choices = self._views.view(view.child(key), ABSENT, {}).choices
        return choices is not None and len(choices.options) == 1

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
            if view.never(key):
                continue
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
        self._count_options(at, view)
        if self._drawn_otherwise(at, view, value, depth):
            return self._draw(heads, value, at, came=value, picked=at.picked, depth=depth)
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
        posted, at.members = at.members, {}
        given: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        for _ in range(MOST_CHAINED):
            new = [key for key in dict.fromkeys((*view.members, *view.named_by(given))) if key not in at.members]
            missing = [key for key in new if key not in posted and not view.never(key)]
            if missing and not self._room_for(at, missing):
                at.members |= posted
                self._bound(at, self._reader.value(at))
                return
            needed = view.required.union(view.required_by(given))
            for key in [*missing, *(key for key in new if key in posted)]:
                place = self._member(at, key, required=key in needed)
                at.members[key] = self._arrange_member(view.child(key), place, posted.pop(key, None), fresh=fresh, depth=depth + 1)
            if not missing or view.static:
                break
            given = self._reader.value(replace(at, members={**posted, **at.members}))  # what was drawn may fulfil a condition
            view = at.view = self._views.view(at.heads, given, at.picked)
        order = {key: place for place, key in enumerate((*view.members, *view.named_by(given)))}
        at.members = dict(sorted(at.members.items(), key=lambda one: order.get(one[0], len(order))))
        for row in at.rows:
            row.field.place, row.field.title = f"{at.place}/*", self.entry_title(at)
            row.field = self.arrange(row.field, view.child(row.key or ""), fresh=fresh, depth=depth + 1)
        for key, member in posted.items():  # what a condition no longer names is shown among the entries, not thrown away
            left = self._reader.value(member)
            if left is not ABSENT:
                self._add_entry(at, view, key, left, came=left, depth=depth)

    def _arrange_member(self, heads: Heads, place: Field, posted: Field | None, *, fresh: bool, depth: int) -> Field:
        if posted is None:
            return self.draw(heads, ABSENT, place, fresh=fresh, depth=depth)
        posted.place, posted.title, posted.required = place.place, place.title, place.required
        return self.arrange(posted, heads, fresh=fresh, depth=depth)

    def _drawn_otherwise(self, at: Field, view: View, value: Any, depth: int) -> bool:
        """True where what was posted is not what would be drawn now: the choices are others, or JSON was only a makeshift."""
        if at.kind in {"source", "readonly"}:
            return at.kind == "readonly"
        if at.kind in {"choice", "checks"}:
            return (
                at.choices is None
                or self._kind(view, value, at, "", depth) != at.kind
                or (at.kind == "choice" and view.choices is not None and at.choices.sources != view.choices.sources)
            )
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
                member = at.members.get(key) or self._member(at, key, required=key in view.required)
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
        at.state, self._left = "value", MOST_FIELDS
        if at.kind == "array":
            self._add_row(at, view, ABSENT, came=ABSENT, depth=at.name.count("."))
        else:
            row = self._add_entry(at, view, "", ABSENT, came=ABSENT, depth=at.name.count("."))
            row.key, row.key_json = "", False

    def redraw(self, at: Field, value: Any) -> None:
        """A field that was JSON as the controls of its value, in a form that may have MOST_FIELDS more because of it."""
        self._left, self._options = MOST_FIELDS, MOST_OPTIONS
        self.draw(at.heads, value, at, fresh=value is ABSENT)

    def as_json(self, at: Field, value: Any) -> None:
        """The whole of a field as JSON that is typed."""
        at.kind, at.raw, at.members, at.rows = "source", "" if value is ABSENT else json_text(value), {}, []
        at.state, at.was = ("absent", "a") if value is ABSENT else ("value", "u")


def _is_untouched(at: Field) -> bool:
    """True for a default that came by itself and stands as it came, with all that is inside."""
    return at.untouched and all(one.untouched or one.state == "absent" for one in at.walk())


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
