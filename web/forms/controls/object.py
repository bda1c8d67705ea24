"""Objects: one field for each member that the schema names, and a row for each other member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.validation.pointer import escape
from web.forms.controls.base import Control, Posted
from web.forms.controls.rows import add_map_entry, decode_rows, state_with_rows
from web.forms.json_text import entry_key
from web.forms.limits import DEEPEST
from web.forms.names import member_key
from web.forms.post import Post
from web.forms.values import ABSENT
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.arrange import Arranger
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.reader import Reader
    from web.forms.stored import ReadOnlyRestorer

MOST_CHAINED = 100  # rounds of members that a condition asks for, each because of the members before


class Object(Control):
    """A group of fields, with rows to add and remove if other members are allowed."""

    name = "object"
    json_type = shown_type = "object"
    value_words = "stateSet"
    is_group = redraws_on_state = True

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        field.state = "absent" if value is ABSENT else "null" if value is None else "value"
        if field.state != "value":
            return
        members: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        given_members: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        known = [*view.members, *view.named_by(members)]
        if not drawer.budget.take_fields(field.name, [*known, *(key for key in members if key not in set(known))]):
            drawer.show_as_json(field, members)
            return
        needed = view.required.union(view.required_by(members))
        for key in known:
            inner, given_inner = members.get(key, ABSENT), given_members.get(key, ABSENT)
            if inner is ABSENT and view.never(key):
                continue  # a member that is forbidden here is drawn only where it has a value
            member = drawer.new_member(field, key, required=key in needed)
            field.members[key] = drawer.draw_filled(view.child(key), inner, member, given=given_inner, depth=depth + 1)
        for key, inner in members.items():
            if key not in field.members:
                add_map_entry(field, view, key, inner, drawer, given=given_members.get(key, ABSENT), depth=depth)

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        if posted.depth >= DEEPEST:
            return
        for part, node in posted.post.parts.items():
            key = member_key(part) if part[:1] == "m" else None
            if key is not None:
                pointer = f"{field.pointer}/{escape(key)}"
                field.members[key] = decoder.decode(node, f"{field.name}.{part}", pointer, depth=posted.depth + 1)
        field.rows = list(decode_rows(field, posted, decoder, keyed=True))

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return state_with_rows(field, post, before)

    def value(self, field: Field, reader: Reader) -> Any:
        values = {key: reader.value(member) for key, member in field.members.items()}
        values = {key: value for key, value in values.items() if value is not ABSENT}
        for row in field.rows:
            key = entry_key(row.key or "", row.key_is_json)
            value = reader.value(row.field)
            if key is None or (key == "" and not row.key_is_json):
                reader.report(row.field, "keyMissing")
            elif key in values:
                reader.report(row.field, "keyTwice", name=key)
            elif value is ABSENT:
                reader.report(row.field, "entryEmpty")
            else:
                values[key] = value
        return values

    def arrange(self, field: Field, view: View, value: Any, arranger: Arranger, *, fresh: bool, depth: int) -> None:
        if field.state != "value":
            return
        posted, field.members = field.members, {}
        members: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        for _ in range(MOST_CHAINED):
            new = [key for key in dict.fromkeys((*view.members, *view.named_by(members))) if key not in field.members]
            missing = [key for key in new if key not in posted and not view.never(key)]
            if missing and not arranger.drawer.budget.take_fields(field.name, missing):
                field.members |= posted
                arranger.drawer.show_as_json(field, arranger.reader.value(field))
                return
            needed = view.required.union(view.required_by(members))
            for key in [*missing, *(key for key in new if key in posted)]:
                place = arranger.drawer.new_member(field, key, required=key in needed)
                field.members[key] = arranger.arrange_member(view.child(key), place, posted.pop(key, None), fresh=fresh, depth=depth + 1)
            if not missing or view.static:
                break
            # The new members may fulfil a condition that asks for further members.
            members = arranger.reader.value(replace(field, members={**posted, **field.members}))
            view = field.view = arranger.drawer.views.view(field.heads, members, field.picked)
        order = {key: index for index, key in enumerate((*view.members, *view.named_by(members)))}
        field.members = dict(sorted(field.members.items(), key=lambda member: order.get(member[0], len(order))))
        for row in field.rows:
            row.field = arranger.arrange_entry(field, row.field, view.child(row.key or ""), fresh=fresh, depth=depth + 1)
        for key, member in posted.items():  # a member that no condition names any more is not lost: it is shown as an entry
            left = arranger.reader.value(member)
            if left is not ABSENT:
                add_map_entry(field, view, key, left, arranger.drawer, given=left, depth=depth)

    def restore_inside(self, field: Field, view: View, stored: Any, restorer: ReadOnlyRestorer, *, depth: int) -> None:
        members = stored if isinstance(stored, Mapping) else {}
        for key in view.members:
            member = field.members.get(key) or restorer.drawer.new_member(field, key, required=key in view.required)
            restored = restorer.restore(member, view.child(key), members.get(key, ABSENT), depth=depth + 1)
            if key in field.members or restored.state != "absent":
                field.members[key] = restored
        for row in field.rows:
            row.field = restorer.restore(row.field, view.child(row.key or ""), members.get(row.key, ABSENT), depth=depth + 1)

    def offers_branches(self, field: Field) -> bool:
        return field.state != "absent" or field.required
