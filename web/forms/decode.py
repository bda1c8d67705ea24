"""Decodes posted fields, without the schema: each posted field names the control that it was drawn with."""

from __future__ import annotations

from collections.abc import Callable

from web.forms.choices import Choices
from web.forms.controls.base import CHOSEN_STATES, Posted
from web.forms.controls.rows import ORDER_PART
from web.forms.controls.table import CONTROLS
from web.forms.field import DRAWN_STATES, Field
from web.forms.names import small_number
from web.forms.post import Post


class Decoder:
    """Decodes the fields of one form. `choices_of` returns the choices that a posted mark names by their sources."""

    def __init__(self, choices_of: Callable[[str], Choices | None]) -> None:
        self.choices_of = choices_of

    def decode(self, post: Post, name: str, pointer: str, *, unmarked: str = "string", depth: int = 0) -> Field:
        """Returns the field posted as `name`, with all fields inside it.

        A browser posts every control that it shows, so a field that was not posted is absent. `unmarked` is the control of a field
        that was posted without its mark, by a program that fills only the fields that it knows.
        """
        control, _, rest = post.last("d").partition(" ")
        drawn_as, _, sources = rest.partition(" ")
        drawn_as, _, checksum = drawn_as.partition("~")
        has_mark = control in CONTROLS and drawn_as in DRAWN_STATES
        if not has_mark:
            control, drawn_as = _guess_control(post, unmarked), "a"
        field = Field(
            name,
            pointer,
            CONTROLS[control],
            drawn_as=drawn_as,
            text=post.last(),
            has_mark=has_mark,
            too_large=drawn_as == "b",
        )
        _decode_shape(field, post)
        field.control.decode(field, Posted(post, sources, depth), self)
        field.state = _posted_state(field, post)
        field.is_default = bool(checksum) and field.checksum == checksum
        return field


def _decode_shape(field: Field, post: Post) -> None:
    """Take in the type and the branches that the person chose."""
    wanted = post.last("t")
    if wanted and wanted != field.control.name and wanted in CONTROLS:
        field.wanted_type, field.shape_changed = wanted, True
    for part, node in post.parts.items():
        if part[:1] == "b" and node.texts:
            chosen, key = node.texts[-1], part[1:]
            before = post.last(f"w{key}", chosen)
            field.picked[key], field.picked_before[key] = small_number(chosen), small_number(before)
            field.shape_changed |= chosen != before


def _guess_control(post: Post, unmarked: str) -> str:
    """Returns the name of the control of a field without a mark."""
    if any(part[:1] == "m" for part in post.parts):
        return "object"
    return "array" if ORDER_PART in post.parts else unmarked


def _posted_state(field: Field, post: Post) -> str:
    """Returns the state that the person chose, if it differs from the drawn one; else the state that the content means."""
    before, chosen = DRAWN_STATES[field.drawn_as], post.last("s")
    if chosen in CHOSEN_STATES and chosen != before:
        return chosen
    return field.control.posted_state(field, post, before)
