"""Puts the errors of several judges of one body into one answer, without those that only follow from others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import FieldError
from app.validation.pointer import escape


def beside(told: Iterable[FieldError], found: Iterable[FieldError]) -> list[FieldError]:
    """`told`, and those of `found` that stand at other places: an error around, inside or at the place of one that is told follows from
    it. An error of the whole body (pointer "") follows from any other one and explains none but itself."""
    first = list(told)
    return [*first, *(one for one in found if not any(_follows(one.pointer, other.pointer) for other in first))]


def sound(body: Any, errors: Iterable[FieldError]) -> dict[str, Any]:
    """The fields of an object at which no error stands, nor inside; none of what is no object."""
    wrong = [one.pointer for one in errors]
    if not isinstance(body, Mapping):
        return {}
    return {name: value for name, value in body.items() if not any(stands_in(at, f"/{escape(name)}") for at in wrong)}


def stands_in(pointer: str, place: str) -> bool:
    """Whether a pointer leads to a place or into it."""
    return pointer == place or pointer.startswith(f"{place}/")


def _follows(one: str, other: str) -> bool:
    return not one or (bool(other) and (stands_in(one, other) or stands_in(other, one)))
