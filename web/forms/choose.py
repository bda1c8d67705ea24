"""Chooses the control of a place, by its schemas, its hints and its value."""

from __future__ import annotations

from collections.abc import Callable

from app.validation.dynamic import has_any
from web.forms.controls.base import Control, Place
from web.forms.controls.table import BY_TYPE, CHOICE, DURATION, JSON, JSON_ON_REQUEST, READ_ONLY, SECRET, TOKENS
from web.forms.json_text import plain_text
from web.forms.limits import DEEPEST
from web.forms.values import ABSENT, json_type_of


def choose_control(place: Place) -> Control:
    """Returns the control of a place: that of the first rule that holds, else the first one for its type, else JSON."""
    for control, holds in _RULES:
        if holds(place):
            return control
    json_type = _json_type(place)
    return next((control for control in BY_TYPE if control.json_type == json_type and control.draws(place)), JSON)


# In this order. A value that the schema makes impossible is edited as JSON, so that it is not lost.
_RULES: tuple[tuple[Control, Callable[[Place], bool]], ...] = (
    (READ_ONLY, READ_ONLY.draws),
    (JSON_ON_REQUEST, lambda place: place.wanted_type == JSON_ON_REQUEST.name),
    (JSON, lambda place: place.wanted_type == JSON.name or place.depth >= DEEPEST),
    (SECRET, SECRET.draws),
    (JSON, lambda place: place.widget == JSON.name),
    (CHOICE, CHOICE.draws),
    (DURATION, DURATION.draws),
    (TOKENS, TOKENS.draws),
    (JSON, lambda place: place.view.impossible and place.value is not ABSENT),
)


def _json_type(place: Place) -> str:
    """Returns the type of the control: the one that a person asked for, that of the value, or the first one that the schema allows."""
    view, value = place.view, place.value
    json_type = place.wanted_type or (json_type_of(value) if place.has_value else "")
    if not json_type:
        json_type = view.types[0] if view.types else "null" if view.traits.nullable else ""
    if json_type == "integer" and "integer" not in view.types and view.allows("integer"):
        return "number"
    if json_type == "number" and not view.allows("number") and view.allows("integer") and isinstance(value, float) and value.is_integer():
        return "integer"
    if json_type == "string" and _is_expression(place):  # an expression is typed into a control for numbers, if numbers are allowed
        return next((number for number in ("integer", "number") if view.allows(number)), "string")
    return json_type


def _is_expression(place: Place) -> bool:
    """Returns True for a text with an expression where the schema allows no other text."""
    view, value = place.view, place.value
    return view.traits.dynamic and not view.allows("string") and has_any(value) and plain_text(value)
