"""Lists: one row for each entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from web.forms.controls.base import Control, Posted
from web.forms.controls.rows import add_row, decode_rows, state_with_rows
from web.forms.limits import MOST_ROWS
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

MOST_NEW_ROWS = 3  # rows that a new list begins with because of minItems
MOST_NEW_TUPLE_ROWS = 12  # the same because of prefixItems


class List(Control):
    """A list with rows to add, remove and move."""

    name = "array"
    json_type = shown_type = "array"
    bound_keywords = ("minItems", "maxItems")
    value_words = "stateList"
    is_group = has_quiet_state = redraws_on_state = True

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        field.state = "absent" if value is ABSENT else "null" if value is None else "value"
        items = value if isinstance(value, list) else []
        if given is ABSENT and value == [] and view.first("default", ABSENT) is ABSENT:
            items = [ABSENT] * max(min(int(view.most("minItems") or 0), MOST_NEW_ROWS), min(view.prefix, MOST_NEW_TUPLE_ROWS))
        if not drawer.budget.take_fields(field.name, map(str, range(len(items)))) or len(items) > MOST_ROWS:
            drawer.show_as_json(field, value)
            return
        given_items = given if isinstance(given, list) else ()
        for index, item in enumerate(items):
            given_item = given_items[index] if index < len(given_items) else ABSENT
            add_row(field, view, item, drawer, given=given_item, depth=depth)

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.rows = list(decode_rows(field, posted, decoder, keyed=False))

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return state_with_rows(field, post, before)

    def value(self, field: Field, reader: Reader) -> Any:
        values = []
        for row in field.rows:
            value = reader.value(row.field)
            if value is ABSENT:
                reader.report(row.field, "entryEmpty")
                value = None
            values.append(value)
        return values

    def arrange(self, field: Field, view: View, value: Any, arranger: Arranger, *, fresh: bool, depth: int) -> None:
        for index, row in enumerate(field.rows):
            row.field = arranger.arrange_entry(field, row.field, view.item(index), fresh=fresh, depth=depth + 1)

    def restore_inside(self, field: Field, view: View, stored: Any, restorer: ReadOnlyRestorer, *, depth: int) -> None:
        items = stored if isinstance(stored, list) else []
        for index, row in enumerate(field.rows):
            item = items[row.id] if row.id < len(items) else ABSENT
            row.field = restorer.restore(row.field, view.item(index), item, depth=depth + 1)

    def may_add_entry(self, field: Field, view: View) -> bool:
        return view.entries.may_add_row(len(field.rows))
