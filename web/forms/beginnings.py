"""What a fresh form holds besides the defaults of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.forms.values import ABSENT
from web.forms.view import View


class Beginnings:
    """The only value that there is, "no" for a switch, null where nothing else is allowed, and objects and lists that must be there.

    `overrides` are hints by place, which go before the schema's own.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        self._overrides = overrides

    def start(self, view: View, required: bool, place: str) -> Any:
        """Returns what a place without a default begins with; ABSENT for nothing."""
        if not required or view.traits.read_only:
            return ABSENT
        if view.choices is not None:
            return view.choices.options[0][0] if len(view.choices.options) == 1 else ABSENT
        if not view.types:
            return None if view.traits.nullable else ABSENT
        if view.types == ("boolean",) and self._widget(view, place) != "select":
            return False
        return [] if view.types[0] == "array" and self.keeps_empty(view, place) else ABSENT

    def keeps_empty(self, view: View, place: str) -> bool:
        """Returns True if a required object or list has controls of its own, so that an empty one can be shown."""
        return not view.traits.read_only and not view.traits.secret and self._widget(view, place) != "json"

    def _widget(self, view: View, place: str) -> Any:
        return {**view.presentation.hints, **self._overrides.get(place, {})}.get("x-widget")
