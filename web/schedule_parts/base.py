"""The part of the schedule form that belongs to one type of trigger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from app.errors import FieldError
from app.instants import InstantRefused, OutOfBounds, in_zone, parse_local
from app.triggers import Field, Trigger
from app.triggers.fields import InstantField, WholeField
from app.zones import UnknownZone
from app.zones import zone as zone_of
from templates_lib.messages import say


@dataclass(frozen=True, slots=True)
class Input:
    """One input that the form draws: its field, the name under which it is posted, its id in the page, and its present value."""

    field: Field
    name: str
    id: str
    value: str


class SchedulePart:
    """Draws and reads the own fields of one type of trigger: an input per field, posted as `s.<name>`.

    A type that needs more than that has a subclass. `partial` is the Jinja file that draws the part, with the variables `part` and
    `schedule`, which are the posted fields of the form. `live_partial` is sent along with the preview while a person types; "" for none.
    `preset` is the name of the buttons that fill in their value, and `preset_field` the field that they fill; "" where there are none.
    """

    partial: ClassVar[str] = "partials/schedule_fields.html"
    live_partial: ClassVar[str] = ""
    preset: ClassVar[str] = ""
    preset_field: ClassVar[str] = ""

    def __init__(self, trigger: type[Trigger]) -> None:
        self.trigger = trigger

    def inputs(self, posted: Mapping[str, str]) -> list[Input]:
        """What the form draws, with the values of the posted fields."""
        return [
            Input(field, f"s.{field.name}", self.input_id(field.name), posted.get(f"s.{field.name}", "")) for field in self.trigger.fields
        ]

    def input_id(self, field: str) -> str:
        """The id of the input of a field: to it leads the summary of errors."""
        return f"s-{field.replace('_', '-')}"

    def posted(self, values: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
        """The posted fields that would give these values of a schedule. Instants are written in `zone`. A missing value has a default."""
        return {
            f"s.{field.name}": written_local(value, zone) if isinstance(value, datetime) else str(value or "")
            for field in self.trigger.fields
            for value in [values.get(field.name)]
        }

    def read(self, posted: Mapping[str, str], zone: str) -> tuple[dict[str, Any], list[FieldError]]:
        """The values of the own fields, as a request has them, and what is wrong with the posted ones. `zone` is a name, maybe unknown."""
        values: dict[str, Any] = {}
        errors: list[FieldError] = []
        for field in self.trigger.fields:
            text, pointer = posted.get(f"s.{field.name}", "").strip(), f"/schedule/{field.name}"
            if isinstance(field, InstantField):
                values |= read_local_instant(text, zone, field.name, errors, required=field.required)
            elif isinstance(field, WholeField) and text:
                if text.removeprefix("-").isdigit() and text.isascii() and len(text) < 12:
                    values[field.name] = int(text)
                else:
                    errors.append(FieldError(pointer, say("must be a whole number, such as {example}", example=field.example)))
            elif text or field.required:
                values[field.name] = text
                if not text:
                    errors.append(FieldError(pointer, "is required"))
        return values, errors

    def merged(self, posted: Mapping[str, str]) -> dict[str, str]:
        """The posted fields, reduced to those that `read` knows. A part that shows one value in several ways takes the edited one."""
        return dict(posted)

    def context(self, posted: Mapping[str, str]) -> dict[str, Any]:
        """More variables for `partial`, by `merged` fields."""
        return {}

    def preset_at(self, trigger: Trigger, local: datetime, *, same_hour: bool) -> str:
        """The value of a preset button by which the trigger is due at the time of day of `local`; "" if there is none.

        `same_hour`: `local` lies in the hour in which the trigger is due now.
        """
        return ""


def read_local_instant(text: str, zone: str, field: str, errors: list[FieldError], *, required: bool) -> dict[str, str]:
    """{field: instant} for a local date and time of `zone`, as an input of type datetime-local posts it. Empty, with an addition to
    `errors`, if it cannot be read; empty if it is missing and not required."""
    if not text and not required:
        return {}
    try:
        return {field: parse_local(text, zone_of(zone)).isoformat()}
    except UnknownZone as error:
        errors.append(FieldError("/schedule/timezone", str(error)))
    except OutOfBounds as error:
        errors.append(FieldError(f"/schedule/{field}", str(error)))
    except InstantRefused:
        errors.append(FieldError(f"/schedule/{field}", "must be a date and time, such as 2026-03-29T02:30"))
    return {}


def written_local(moment: datetime | None, zone: tzinfo) -> str:
    """An instant as an input of type datetime-local takes it; "" for None."""
    return in_zone(moment, zone).replace(tzinfo=None).isoformat(timespec="seconds") if moment else ""
