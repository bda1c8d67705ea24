"""A part of the schedule form with presets, a builder and a text: three views of one value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from web.schedule_parts.base import SchedulePart


class BuilderPart(SchedulePart):
    """`s.<preset_field>` is the text, which is the value. `shown` names the posted field with the text for which the page was drawn;
    `prefix` begins the names of the inputs of the builder, of which `choice` is the first."""

    shown: ClassVar[str]
    prefix: ClassVar[str]
    choice: ClassVar[str]

    @abstractmethod
    def simple_text(self, text: str) -> str | None:
        """The text as the builder would write it; None if the builder cannot show it."""

    @abstractmethod
    def built_text(self, posted: Mapping[str, str]) -> str:
        """The text that the inputs of the builder mean."""

    def merged(self, posted: Mapping[str, str]) -> dict[str, str]:
        """The text is that of the preset that was pressed; else the one that was typed, if it was; else that of the builder."""
        fields, name = dict(posted), f"s.{self.preset_field}"
        shown, text = fields.get(self.shown), fields.get(name, "").strip()
        if preset := fields.pop(self.preset, ""):
            fields[name] = preset
        elif shown is not None and text == shown and fields.get(self.choice):
            built = self.built_text(fields)
            # What the builder does not show of a choice may differ: only the texts count. One in another spelling (MON) stays.
            if built != self.simple_text(shown):
                fields[name] = built
        fields[self.shown] = fields.get(name, "").strip()
        return {field: value for field, value in fields.items() if not field.startswith(self.prefix)}
