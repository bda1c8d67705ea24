"""Values that the schema lists: one of them, or a set of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from web.forms.choices import Choices
from web.forms.controls.base import Control, Place, Posted
from web.forms.controls.json import read_json
from web.forms.json_text import json_text
from web.forms.limits import FEWEST_OPTIONS
from web.forms.names import small_number
from web.forms.page.html import NOTHING, cut, option, shorten
from web.forms.post import Post
from web.forms.values import ABSENT
from web.forms.view import View, Views

if TYPE_CHECKING:
    from web.forms.decode import Decoder
    from web.forms.draw import Drawer
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader

MOST_CHECKBOXES = 2000
MOST_SPREAD = 24  # check boxes that stand side by side; more are in a list with a search field
MOST_RADIOS = 6
MOST_ICONS = 100
SEARCHED_FROM = 50  # options; a longer list has a search field
OTHER = "k"  # the posted option for a value that the schema does not list; its JSON follows
NULL = "n"  # the posted option for null


class Choice(Control):
    """One of the values that the schema lists, posted by its index. A value that it does not list stays, as JSON."""

    name = "choice"

    def draws(self, place: Place) -> bool:
        return place.view.choices is not None and place.wanted_type in ("", self.name)

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        field.choices = view.choices
        field.state = "absent" if value is ABSENT else "value"
        index = view.choices.index(value) if view.choices and value is not ABSENT else None
        if index is not None:
            field.text = str(index)
        elif value is None and view.traits.nullable:
            field.state = "null"
        elif value is not ABSENT:
            field.text = OTHER + json_text(value, indent=None)

    def option_count(self, field: Field) -> int:
        return len(field.choices.options) if field.choices else 0

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.choices = decoder.choices_of(posted.sources)
        if field.text == OTHER:
            field.text = OTHER + posted.post.last("j")
        elif field.text != NULL and not 0 <= small_number(field.text) < self.option_count(field):
            field.text = ""

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return picked_state(field, before)

    def value(self, field: Field, reader: Reader) -> Any:
        if field.text.startswith(OTHER):
            return read_json(field, field.text[1:], reader)
        index = small_number(field.text)
        options = field.choices.options if field.choices else ()
        return options[index][0] if 0 <= index < len(options) else ABSENT

    def is_outdated(self, field: Field, view: View, value: Any, choose: Callable[[Any], Control]) -> bool:
        if field.choices is None or choose(value) is not self:
            return True
        return view.choices is not None and field.choices.sources != view.choices.sources

    def states(self, field: Field, painter: Painter) -> list[str]:
        return []

    def widget(self, field: Field, painter: Painter) -> str:
        count = self.option_count(field)
        if field.required and field.text == "0" and count == 1:
            return "fixed"
        if painter.hint(field, "x-widget") == "icons" and count <= MOST_ICONS and not field.text.startswith(OTHER):
            return "icons"
        is_few = field.choices is not None and count <= MOST_RADIOS
        return "radio" if painter.hint(field, "x-widget") == "radio" and is_few and not field.text.startswith(OTHER) else "select"

    def fixed_text(self, field: Field, painter: Painter) -> str:
        """Returns the words of the only value that there is."""
        return field.choices.options[0][1] if field.choices else ""

    def has_search(self, field: Field, painter: Painter) -> bool:
        """Returns True if a search field stands above the options."""
        return painter.hint(field, "x-widget") == "search" or self.option_count(field) > SEARCHED_FROM

    def options(self, field: Field, painter: Painter) -> Markup:
        """Returns the <option>s: nothing, null, a value that is not offered, and the values by their index."""
        text, options = field.text, field.choices.options if field.choices else ()
        parts = []
        if text == "" or not field.required:
            parts.append(option("", painter.words("choose" if field.required else "unset"), text == "" and field.state != "null"))
        if field.nullable and not any(value is None for value, _ in options):
            parts.append(option(NULL, painter.words("null"), field.state == "null"))
        if text.startswith(OTHER):
            parts.append(option(OTHER, painter.words("notOffered", value=text[1:60]), True))
        offered = [(index, words, text == str(index)) for index, (_, words) in enumerate(options)]
        shown = shorten(offered, small_number(text), FEWEST_OPTIONS) if field.options_cut else offered
        parts += [option(str(index), cut(words), chosen) for index, words, chosen in shown]
        return NOTHING.join(parts)


class Checks(Control):
    """Check boxes for a set of values that the schema lists."""

    name = "checks"
    json_type = "array"
    bound_keywords = ("minItems", "maxItems")
    value_words = "stateList"
    has_quiet_state = True
    redraws_on_state = True

    def draws(self, place: Place) -> bool:
        """Returns True for a set whose order is that of the schema; rows hold every other list."""
        if not super().draws(place) or place.widget == "rows" or place.view.prefix:
            return False
        if not (place.widget == "checkboxes" or any(layer.get("uniqueItems") for layer, _ in place.view.layers)):
            return False
        choices = _item_choices(place.view, place.views) if place.view.item(0) else None
        if choices is None or len(choices.options) > MOST_CHECKBOXES:
            return False
        items = place.value if isinstance(place.value, list) else []
        indices = [index for item in items if (index := choices.index(item)) is not None]
        return len(indices) == len(items) and all(a < b for a, b in pairwise(indices))

    def fill(self, field: Field, view: View, value: Any, drawer: Drawer, *, given: Any, depth: int) -> None:
        field.state = "absent" if value is ABSENT else "null" if value is None else "value"
        field.choices = _item_choices(view, drawer.views)
        if field.choices and value is not ABSENT:
            indices = [field.choices.index(item) for item in value or ()]
            field.checked = tuple(index for index in indices if index is not None)

    def option_count(self, field: Field) -> int:
        return len(field.choices.options) if field.choices else 0

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.choices = decoder.choices_of(posted.sources)
        field.checked = tuple(sorted({small_number(text) for text in posted.post.texts} - {-1}))

    def posted_state(self, field: Field, post: Post, before: str) -> str:
        return "value" if field.checked else before

    def widget(self, field: Field, painter: Painter) -> str:
        return self.name if self.option_count(field) <= MOST_SPREAD else "picks"

    def ordered(self, field: Field) -> list[tuple[int, str, bool]]:
        """Returns the (index, words, checked) options of a long list, the checked ones first."""
        options = field.choices.options if field.choices else ()
        checked = set(field.checked)
        offered = [(index, cut(words), index in checked) for index, (_, words) in enumerate(options)]
        shown = [option for option in offered if option[2] or option[0] < FEWEST_OPTIONS] if field.options_cut else offered
        return sorted(shown, key=lambda option: not option[2])

    def value(self, field: Field, reader: Reader) -> Any:
        options = field.choices.options if field.choices else ()
        return [options[index][0] for index in field.checked if index < len(options)]

    def is_outdated(self, field: Field, view: View, value: Any, choose: Callable[[Any], Control]) -> bool:
        return field.choices is None or choose(value) is not self


def picked_state(field: Field, before: str) -> str:
    """Returns the state that a posted option means: null, a value, or none."""
    if field.text == NULL:
        return "null"
    return "value" if field.text else "absent" if before == "value" else before


def _item_choices(view: View, views: Views) -> Choices | None:
    """Returns the values that the schema of a list's entries lists."""
    return views.view(view.item(0), ABSENT, {}).choices
