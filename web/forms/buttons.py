"""What the buttons of a form do to its fields."""

from __future__ import annotations

from typing import Any

from web.forms.controls.list import List
from web.forms.controls.rows import add_map_entry, add_row
from web.forms.controls.table import JSON, JSON_ON_REQUEST
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.json_text import json_text
from web.forms.limits import MOST_ROWS
from web.forms.values import ABSENT


def add_entry(field: Field, drawer: Drawer) -> None:
    """Add an entry at the end of a list or a map, unless it has MOST_ROWS entries."""
    view = field.view
    if view is None or len(field.rows) >= MOST_ROWS:
        return
    field.state = "value"
    drawer.budget.allow_more_fields()
    depth = field.name.count(".")
    if isinstance(field.control, List):
        add_row(field, view, ABSENT, drawer, given=ABSENT, depth=depth)
    else:
        row = add_map_entry(field, view, "", ABSENT, drawer, given=ABSENT, depth=depth)
        row.key, row.key_is_json = "", False


def remove_row(field: Field, row_id: int) -> None:
    """Remove a row; an optional list without rows becomes absent. Does nothing if there is no such row."""
    index = _index(field, row_id)
    if index < 0:
        return
    del field.rows[index]
    if not field.rows and isinstance(field.control, List) and not field.required:
        field.state = "absent"
    _number_rows(field)


def move_row(field: Field, row_id: int, step: int) -> None:
    """Move a row up (`step` -1) or down (1). Does nothing if there is no such row, or no place to move it to."""
    index = _index(field, row_id)
    other = index + step
    if index >= 0 and 0 <= other < len(field.rows):
        field.rows[index], field.rows[other] = field.rows[other], field.rows[index]
        _number_rows(field)


def edit_as_json(field: Field, value: Any) -> None:
    """Draw a field as JSON to type; `value` is its value, or ABSENT."""
    field.control, field.members, field.rows = JSON_ON_REQUEST, {}, []
    field.text = "" if value is ABSENT else json_text(value)
    field.state, field.drawn_as = ("absent", "a") if value is ABSENT else ("value", "u")


def edit_as_form(field: Field, value: Any, drawer: Drawer) -> None:
    """Draw a field that was JSON with the controls of its value. The form may have MOST_FIELDS and MOST_OPTIONS more because of it."""
    field.control = JSON
    if value is ABSENT:
        field.text, field.state = "", "absent"
    else:
        field.state = "value"
    drawer.budget.allow_more_fields()
    drawer.budget.allow_more_options()
    drawer.draw(field.heads, value, field, fresh=value is ABSENT)


def _index(field: Field, row_id: int) -> int:
    return next((index for index, row in enumerate(field.rows) if row.id == row_id), -1)


def _number_rows(field: Field) -> None:
    """Give the entries of a list the pointers of their new places."""
    if isinstance(field.control, List):
        for index, row in enumerate(field.rows):
            row.field.move_to(f"{field.pointer}/{index}")
