"""A list of short texts in one line, with commas between them: tags, addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from web.forms.controls.base import Place, TypedControl
from web.forms.json_text import plain_text
from web.forms.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from web.forms.field import Field
    from web.forms.reader import Reader

_BETWEEN = re.compile("[,;\n]")


class Tokens(TypedControl):
    """A list of texts without commas. A list with another entry gets a row for each entry."""

    name = "tokens"
    json_type = "array"

    def draws(self, place: Place) -> bool:
        is_wanted = place.widget == self.name and place.wanted_type in ("", self.name) and place.view.allows("array")
        return is_wanted and (not place.has_value or (isinstance(place.value, list) and all(map(_fits, place.value))))

    def text_of(self, value: Any) -> str:
        return ", ".join(value) if isinstance(value, list) else super().text_of(value)

    def clearing_means_absent(self, view: View, hints: Mapping[str, Any]) -> bool:
        return False

    def value(self, field: Field, reader: Reader) -> Any:
        return [text.strip() for text in _BETWEEN.split(field.text) if text.strip()]


def _fits(entry: Any) -> bool:
    """True for a text that stands between commas and is read back as it is."""
    return isinstance(entry, str) and entry.strip() == entry != "" and not _BETWEEN.search(entry) and plain_text(entry)
