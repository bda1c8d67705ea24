"""Rows: the entries of a list, and the members of a map that no schema names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.validation.layers import Heads
from app.validation.pointer import escape
from web.forms.controls.base import Posted
from web.forms.controls.text import Text
from web.forms.field import Field, Row
from web.forms.json_text import entry_key, json_text, plain_text
from web.forms.limits import DEEPEST, MOST_ROWS
from web.forms.names import small_number
from web.forms.post import Post
from web.forms.values import ABSENT
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer

KEY_PART, KEY_IS_JSON_PART, ORDER_PART = "key", "keyjson", "o"  # parts of posted names


def add_row(field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> Row:
    """Draw one more row of a list. `value` may be ABSENT, for a new row; `given` is the value without the defaults in it."""
    row_id, index = _next_id(field), len(field.rows)
    entry = drawer.new_entry(field, row_id, f"{field.pointer}/{index}")
    row = Row(row_id, _draw_entry(view.item(index), value, entry, drawer, given=given, depth=depth + 1))
    field.rows.append(row)
    return row


def add_map_entry(field: Field, view: View, key: str, value: Any, drawer: Drawer, *, given: Any, depth: int) -> Row:
    """Draw one more entry of a map. A key that a text field would not give back unchanged is shown as JSON."""
    row_id = _next_id(field)
    is_json = not key or not plain_text(key) or "\n" in key
    entry = drawer.new_entry(field, row_id, f"{field.pointer}/{escape(key)}")
    drawn = _draw_entry(view.child(key), value, entry, drawer, given=given, depth=depth + 1)
    row = Row(row_id, drawn, json_text(key) if is_json else key, is_json)
    field.rows.append(row)
    return row


def decode_rows(field: Field, posted: Posted, decoder: Decoder, *, keyed: bool) -> Iterator[Row]:
    """Yields the posted rows in their posted order, at most MOST_ROWS of them; `keyed` for the entries of a map."""
    post = posted.post
    if posted.depth >= DEEPEST or ORDER_PART not in post.parts:
        return
    ids = [number for number in dict.fromkeys(map(small_number, post.parts[ORDER_PART].texts)) if number >= 0]
    for index, row_id in enumerate(ids[:MOST_ROWS]):
        node = post.parts.get(f"r{row_id}") or Post()
        key, is_json = (node.last(KEY_PART), node.last(KEY_IS_JSON_PART) == "1") if keyed else (None, False)
        last = index if key is None else escape(entry_key(key, is_json) or key)
        entry = decoder.decode(node, f"{field.name}.r{row_id}", f"{field.pointer}/{last}", depth=posted.depth + 1)
        yield Row(row_id, entry, key, is_json)


def state_with_rows(field: Field, post: Post, before: str) -> str:
    """Returns the posted state of a list or an object. Rows make an absent one present, unless the person chose another state."""
    has_new_rows = bool(field.rows) and before == "absent" and post.last("s", before) == before
    return "value" if has_new_rows else before


def _next_id(field: Field) -> int:
    return max((row.id for row in field.rows), default=-1) + 1


def _draw_entry(heads: Heads, value: Any, entry: Field, drawer: Drawer, *, given: Any, depth: int) -> Field:
    """Returns an entry with its value, or a new one with its defaults. A new entry of text holds the empty text."""
    if value is not ABSENT:
        return drawer.draw_filled(heads, value, entry, given=given, depth=depth)
    drawn = drawer.draw(heads, value, entry, fresh=True, depth=depth)
    if isinstance(drawn.control, Text) and drawn.state == "absent":
        drawn.state, drawn.drawn_as = "value", "e"
    return drawn
