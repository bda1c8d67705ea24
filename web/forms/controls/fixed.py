"""Values that a person cannot type: null, and whatever is read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from web.forms.controls.base import Control, Place
from web.forms.controls.json import fill_with_json, read_json
from web.forms.values import ABSENT
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader


class Null(Control):
    """Null: its state is all that there is to choose."""

    name = "null"
    json_type = "null"
    holds_values = False

    def draws(self, place: Place) -> bool:
        return True

    def value(self, field: Field, reader: Reader) -> Any:
        return None

    def is_outdated_without_value(self, view: View, choose: Callable[[Any], Control]) -> bool:
        return choose(ABSENT) is not self and not view.allows(self.name)

    def may_be_null(self, field: Field) -> bool:
        return True


class ReadOnly(Control):
    """A value that is shown and stays as it is stored."""

    name = "readonly"
    has_branches = False

    def draws(self, place: Place) -> bool:
        return place.view.traits.read_only and bool(place.name)

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        fill_with_json(field, value)

    def value(self, field: Field, reader: Reader) -> Any:
        return read_json(field, field.text, reader)

    def is_outdated(self, field: Field, view: View, value: Any, choose: Callable[[Any], Control]) -> bool:
        return True

    def states(self, field: Field, painter: Painter) -> list[str]:
        return []

    def fixed_text(self, field: Field, painter: Painter) -> str:
        """Returns the value as text: a text as it is, everything else as JSON."""
        if field.state == "absent":
            return painter.words("unset")
        value = painter.drawer.value(field)
        return value if isinstance(value, str) and value else field.text
