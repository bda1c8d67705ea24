"""Values that are edited as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from web.forms.controls.base import Control, TypedControl
from web.forms.json_text import DEEPEST_JSON, JsonRefused, json_text, parse_json
from web.forms.values import ABSENT
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader


def read_json(field: Field, text: str, reader: Reader) -> Any:
    """Returns the value of a JSON text, or ABSENT for an empty one. Wrong JSON is reported, and the text stands for the value."""
    if not text.strip():
        return ABSENT
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        reader.report(field, "json", reason=error.msg, line=error.lineno, column=error.colno)
    except RecursionError:
        reader.report(field, "jsonDeep", count=DEEPEST_JSON)
    except JsonRefused as error:
        reader.report(field, error.key, **error.values)
    return text


def fill_with_json(field: Field, value: Any) -> None:
    """Put the JSON of a value, or nothing for ABSENT, into a field. Null is a value here."""
    field.text, field.state = ("", "absent") if value is ABSENT else (json_text(value), "value")


class JsonControl(TypedControl):
    """A text area of JSON for a value that no other control can hold."""

    name = "json"
    shown_type = "json"
    is_makeshift = True

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        fill_with_json(field, value)

    def value(self, field: Field, reader: Reader) -> Any:
        return read_json(field, field.text, reader)

    def is_outdated_with_value(self, field: Field, value: Any, choose: Callable[[Any], Control]) -> bool:
        try:
            parse_json(field.text)
        except (ValueError, RecursionError):
            return False
        return super().is_outdated_with_value(field, value, choose)

    def is_outdated_without_value(self, view: View, choose: Callable[[Any], Control]) -> bool:
        return choose(ABSENT) is not self

    def states(self, field: Field, painter: Painter) -> list[str]:
        return super().states(field, painter) if field.state == "null" else []


class JsonOnRequest(JsonControl):
    """A text area of JSON that the person asked for, or that stands for too many fields. A button draws the form again."""

    name = "source"
    has_branches = is_makeshift = False

    def is_outdated(self, field: Field, view: View, value: Any, choose: Callable[[Any], Control]) -> bool:
        return False

    def states(self, field: Field, painter: Painter) -> list[str]:
        return Control.states(self, field, painter) if field.nullable or field.state == "null" else []

    def widget(self, field: Field, painter: Painter) -> str:
        return JsonControl.name
