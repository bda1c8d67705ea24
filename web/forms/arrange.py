"""Prepares posted fields for the page: gives them their views, and draws what was not posted."""

from __future__ import annotations

from typing import Any

from app.validation.layers import Heads
from web.forms.controls.base import Control
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.reader import Reader
from web.forms.values import ABSENT


class Arranger:
    """Prepares the posted fields of one form."""

    def __init__(self, drawer: Drawer, reader: Reader) -> None:
        self.drawer, self.reader = drawer, reader

    def arrange(self, field: Field, heads: Heads, *, fresh: bool, depth: int = 0) -> Field:
        """Prepare a posted field and all fields inside it. `fresh`: what was not posted shows its default.

        Returns the field, drawn anew if its place has another control now.
        """
        self.drawer.budget.count_field()
        value = self.reader.value(field)
        view = self.drawer.views.view(heads, value, field.picked)
        field.heads, field.view, field.picked = heads, view, {union.key: union.chosen for union in view.unions}
        self.drawer.count_options(field, view)

        def choose(value: Any) -> Control:
            return self.drawer.choose(view, value, field, depth=depth)

        if field.control.is_outdated(field, view, value, choose):
            return self.drawer.draw_filled(heads, value, field, given=value, picked=field.picked, depth=depth)
        field.control.arrange(field, view, value, self, fresh=fresh, depth=depth)
        if field.state in {"absent", "null"}:  # the person chose the state, whatever the control held
            field.text, field.checked, field.rows = "", (), []
        field.drawn_as, field.wanted_type, field.shape_changed = self.drawer.drawn_as(field, view), "", False
        return field

    def arrange_member(self, heads: Heads, place: Field, posted: Field | None, *, fresh: bool, depth: int) -> Field:
        """Returns a member of an object: the posted field, or a new one at `place` if it was not posted."""
        if posted is None:
            return self.drawer.draw(heads, ABSENT, place, fresh=fresh, depth=depth)
        posted.place, posted.title, posted.required = place.place, place.title, place.required
        return self.arrange(posted, heads, fresh=fresh, depth=depth)

    def arrange_entry(self, parent: Field, entry: Field, heads: Heads, *, fresh: bool, depth: int) -> Field:
        """Returns an entry of the list or map `parent`."""
        entry.place, entry.title = f"{parent.place}/*", self.drawer.entry_title(parent)
        return self.arrange(entry, heads, fresh=fresh, depth=depth)
