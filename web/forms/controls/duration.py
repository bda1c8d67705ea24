"""Durations: a whole number of seconds that a person reads and types as "2 h 30 min"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import durations
from app.validation.dynamic import has_any
from web.forms.controls.base import Place
from web.forms.controls.numbers import Integer
from web.forms.values import ABSENT

if TYPE_CHECKING:
    from web.forms.field import Field
    from web.forms.reader import Reader


class Duration(Integer):
    """A duration, kept in seconds. A plain number is understood as seconds."""

    name = "duration"
    input_mode = "text"
    bounds_are_spans = True

    def draws(self, place: Place) -> bool:
        return place.widget == self.name and place.wanted_type in ("", self.name) and place.view.allows("integer") and _is_span(place.value)

    def text_of(self, value: Any) -> str:
        return durations.write(value) if isinstance(value, int) else super().text_of(value)

    def value(self, field: Field, reader: Reader) -> Any:
        text = field.text.strip()
        if has_any(text):
            return field.text
        try:
            return durations.parse(text)
        except durations.DurationRefused:
            reader.report(field, "duration")
        return field.text

    def takes_example(self, example: Any) -> bool:
        return False


def _is_span(value: Any) -> bool:
    """True for a number of seconds that a duration can be written for, and where there is no value."""
    return value is ABSENT or value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= durations.LONGEST)
