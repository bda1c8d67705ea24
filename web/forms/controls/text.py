"""Texts: one line, several lines, a date, a colour, or one of the texts that a provider offers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from app.validation.patterns import browser_pattern
from web.forms.controls.base import Control, Place, TypedControl
from web.forms.json_text import plain_text
from web.forms.page.html import LONGEST_TITLE, NOTHING, attribute, option
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.field import Field
    from web.forms.page.painter import Painter

_COLOR = re.compile("#[0-9a-f]{6}")
_SEVERAL_LINES = frozenset({"multiline", "markdown", "json"})  # formats
_INPUT_MODES = {"email": "email", "idn-email": "email", "uri": "url", "iri": "url", "uri-reference": "url", "ipv4": "decimal"}
_CODE = frozenset({"cron", "duration", "regex", "json-pointer", "uuid"})  # formats that are monospaced


class Text(TypedControl):
    """A text."""

    name = "string"
    json_type = shown_type = "string"
    has_quiet_state = True

    def draws(self, place: Place) -> bool:
        return super().draws(place) and (not isinstance(place.value, str) or plain_text(place.value))

    def clearing_means_absent(self, view: View, hints: Mapping[str, Any]) -> bool:
        options = hints.get("x-options")
        return not view.traits.takes_empty or (options is not None and not options.get("free"))

    def is_outdated_with_value(self, field: Field, value: Any, choose: Callable[[Any], Control]) -> bool:
        return False

    def may_be_absent(self, field: Field, painter: Painter) -> bool:
        takes_empty = field.view is not None and field.view.traits.takes_empty
        may_be_left_out = not field.is_entry and (not field.required or field.state == "absent")
        return may_be_left_out and (field.nullable or takes_empty) and not painter.hint(field, "x-options")

    def takes_example(self, example: Any) -> bool:
        return isinstance(example, str)

    def widget(self, field: Field, painter: Painter) -> str:
        options = painter.hint(field, "x-options")
        if options and painter.offers.may_offer(field):
            return "combo" if options.get("free") else "live"
        return text_widget(field, painter.hint(field, "x-widget"))

    def attributes(self, field: Field, painter: Painter) -> Markup:
        """Returns the attributes of one line of text: its keyboard, pattern, suggestions and placeholder."""
        pairs = []
        format_name = field.view.traits.format if field.view else ""
        if format_name in _INPUT_MODES:
            pairs.append(("inputmode", _INPUT_MODES[format_name]))
        if format_name in _CODE:
            pairs += [("class", "code"), ("spellcheck", "false")]
        pattern = field.view.first("pattern") if field.view else None
        same_pattern = browser_pattern(pattern) if pattern else None
        if same_pattern is not None and len(same_pattern) <= LONGEST_TITLE:
            pairs.append(("pattern", same_pattern))
        if painter.offers.suggestions(field):
            pairs.append(("list", f"{field.name}-list"))
        elif format_name == "timezone":
            pairs.append(("list", painter.offers.zones_list()))
        placeholder = painter.wording.placeholder(field)
        if placeholder:
            pairs.append(("placeholder", placeholder))
        return NOTHING.join([attribute(name, value) for name, value in pairs])

    def options(self, field: Field, painter: Painter) -> Markup:
        """Returns the <option>s of a provider, posted as their text. A text that is not offered any more stays."""
        offered = painter.offers.live_options(field)
        parts = [option("", painter.words("choose" if field.required else "unset"), field.text == "")]
        parts += [option(value, words, value == field.text) for value, words in offered]
        if field.text and field.text not in {value for value, _ in offered}:
            parts.append(option(field.text, painter.words("notThere", value=field.text), True))
        return NOTHING.join(parts)


def text_widget(field: Field, widget: Any) -> str:
    """Returns the macro for a text: one whose HTML control gives back every text that it gets (HTML Living Standard, 4.10.5.1)."""
    format_name = field.view.traits.format if field.view else ""
    if "\n" in field.text or widget == "textarea" or format_name in _SEVERAL_LINES:
        return "textarea"
    if (format_name == "color" or widget == "color") and widget != "text" and _COLOR.fullmatch(field.text):
        return "color"
    if (format_name == "date" or widget == "date") and widget != "text" and (not field.text or _is_date(field.text)):
        return "date"
    return "line"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
