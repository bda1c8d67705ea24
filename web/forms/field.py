"""One field for each place of a value, as it is drawn and as it is posted.

Each field posts the control that it was drawn with. So a post can be read without the schema: its values are read by the
controls that the person saw, never by another branch or condition that applies now.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.validation.layers import Heads
from app.validation.secret import NAMED
from web.forms.choices import Choices
from web.forms.view import View

if TYPE_CHECKING:
    from web.forms.controls.base import Control

# How a field was drawn, by the letter that is posted, and the state that it then had.
DRAWN_STATES = {
    "a": "absent",
    "n": "null",
    "v": "value",  # with a value; an emptied text means the empty text
    "u": "value",  # with a value; an emptied text means that the value is absent
    "e": "value",  # with an empty text
    "i": "value",  # with a value that may not be there
    "b": "value",  # as JSON, because its fields would have been too many
    "k": "kept",  # a secret that stays as it is stored
    "s": NAMED,  # a secret that is given by its name
}


@dataclass(slots=True)
class Row:
    """An entry of a list or a map. A map's entry has a `key`, which is JSON if `key_is_json`."""

    id: int
    field: Field
    key: str | None = None
    key_is_json: bool = False


@dataclass(slots=True)
class Field:
    """One place of the form.

    `name` is its posted name, `pointer` the JSON Pointer of its value, `place` the same pointer with `*` for every entry.
    `state` is absent, null, value, kept or named (the last two for secrets). `text` is what the control holds: an index for a
    choice, JSON where a value is edited as JSON. `picked` has the index of the chosen branch by the key of its union.
    """

    name: str
    pointer: str
    control: Control
    state: str = "absent"
    text: str = ""
    drawn_as: str = "a"  # a key of DRAWN_STATES
    place: str = ""
    title: str = ""
    required: bool = True
    choices: Choices | None = None
    checked: tuple[int, ...] = ()  # the indices of the checked boxes
    members: dict[str, Field] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    picked: dict[str, int] = field(default_factory=dict)
    picked_before: dict[str, int] = field(default_factory=dict)  # the branches that it was drawn with
    wanted_type: str = ""  # the type that the person chose, if it differs from the drawn one
    shape_changed: bool = False  # the person chose another type or branch
    secret_name: str = ""  # the name of a secret that is stored elsewhere
    asks_again: bool = False  # it holds a secret that was typed; the page does not send it back
    is_default: bool = False  # it holds a default that was drawn with it and has not been changed
    has_mark: bool = False  # it was posted with its mark
    lost: list[str] = field(default_factory=list)  # the titles of members that a choice made impossible
    read_as: str = ""  # how a file becomes the text: `url`, a data URL; else base64
    file_name: str = ""  # the name of the file that was uploaded with this post
    unsent_file: str = ""  # the name of a file that was chosen, and whose content was not posted
    too_large: bool = False  # it is drawn as JSON because its fields would be too many
    options_cut: bool = False  # it offers a part of its options
    view: View | None = None
    heads: Heads = ()

    def walk(self) -> Iterator[Field]:
        """Yields this field and all fields inside it."""
        yield self
        for member in self.members.values():
            yield from member.walk()
        for row in self.rows:
            yield from row.field.walk()

    @property
    def mark(self) -> str:
        """Posted beside the field to read it by: its control, how it was drawn, a checksum of a default, the sources of its choices."""
        default = f"~{self.checksum}" if self.is_default else ""
        sources = self.choices.sources if self.choices else self.read_as
        return f"{self.control.name} {self.drawn_as}{default}" + (f" {sources}" if sources else "")

    @property
    def checksum(self) -> str:
        """A checksum of the text, which shows whether a default was changed."""
        return f"{zlib.crc32(self.text.encode('utf-8', 'replace')):x}"

    @property
    def is_entry(self) -> bool:
        """True for an entry of a list or a map."""
        return self.place.endswith("/*")

    @property
    def nullable(self) -> bool:
        """True if null may be chosen."""
        return self.view is not None and self.view.traits.nullable

    def move_to(self, pointer: str) -> None:
        """Give a row that has moved, and all fields inside it, their new pointers."""
        old = self.pointer
        for inner in self.walk():
            inner.pointer = pointer + inner.pointer[len(old) :]
