"""Yes or no: a switch, or a select where the value may be missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from web.forms.controls.base import Control, Place, Posted
from web.forms.controls.choice import NULL, picked_state
from web.forms.page.html import NOTHING, option
from web.forms.post import Post
from web.forms.values import ABSENT

if TYPE_CHECKING:
    from web.forms.decode import Decoder
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader

_TEXTS = {True: "true", False: "false"}
_VALUES = {"true": True, "false": False}


class YesNo(Control):
    """A select of "Not set", "Yes" and "No"."""

    name = "boolean"
    json_type = shown_type = "boolean"

    def text_of(self, value: Any) -> str:
        return _TEXTS[value] if isinstance(value, bool) else ""

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        if field.text not in {*_VALUES, NULL}:
            field.text = ""

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return picked_state(field, before)

    def value(self, field: Field, reader: Reader) -> Any:
        return _VALUES.get(field.text, ABSENT)

    def is_outdated_with_value(self, field: Field, value: Any, choose: Callable[[Any], Control]) -> bool:
        return choose(value) is not self and not isinstance(value, bool)

    def states(self, field: Field, painter: Painter) -> list[str]:
        return []

    def widget(self, field: Field, painter: Painter) -> str:
        return "yesno"

    def options(self, field: Field, painter: Painter) -> Markup:
        """Returns the <option>s."""
        chosen = NULL if field.state == "null" else field.text
        options = [
            ("", "unset", not field.required or field.text == ""),
            (NULL, "null", field.nullable),
            ("true", "yes", True),
            ("false", "no", True),
        ]
        return NOTHING.join(option(value, painter.words(key), value == chosen) for value, key, offered in options if offered)


class Switch(YesNo):
    """A switch, for a value that is there and has to be."""

    name = "switch"

    def draws(self, place: Place) -> bool:
        if not super().draws(place) or not place.has_value or place.widget == "select" or place.view.traits.nullable:
            return False
        return place.required or place.widget == "switch" or place.view.first("default", ABSENT) is not ABSENT

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.text = "true" if "true" in posted.post.texts else "false"

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return "value"

    def widget(self, field: Field, painter: Painter) -> str:
        return self.name
