"""Keeps read-only places as they are stored."""

from __future__ import annotations

from typing import Any

from app.validation.layers import Heads
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.reader import Reader
from web.forms.values import ABSENT


class ReadOnlyRestorer:
    """Puts stored values back into read-only fields, whatever was posted for them."""

    def __init__(self, drawer: Drawer, reader: Reader) -> None:
        self.drawer, self._reader = drawer, reader

    def restore(self, field: Field, heads: Heads, stored: Any, *, depth: int = 0) -> Field:
        """Restore a posted field and all fields inside it. `stored` is the stored value of its place, or ABSENT. Returns the field."""
        view = self.drawer.views.view(heads, self._reader.value(field), field.picked)
        if view.traits.read_only:
            return self.drawer.draw(heads, stored, field, fresh=stored is ABSENT, depth=depth)
        field.control.restore_inside(field, view, stored, self, depth=depth)
        return field
