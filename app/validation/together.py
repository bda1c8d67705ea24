"""Joins the errors of several checks of one body, without errors that only follow from others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import FieldError
from app.validation.pointer import escape


def beside(errors: Iterable[FieldError], more: Iterable[FieldError]) -> list[FieldError]:
    """Returns `errors`, and those of `more` that do not follow from them.

    An error follows from another one if it is at the same place, around it or inside it. An error of the whole body (pointer "") follows
    from any other error, and only an error of the whole body follows from it.
    """
    first = list(errors)
    return [*first, *(error for error in more if not any(_follows(error.pointer, other.pointer) for other in first))]


def sound(body: Any, errors: Iterable[FieldError]) -> dict[str, Any]:
    """Returns the fields of an object that have no error at them or inside them. Returns no fields if `body` is not an object."""
    wrong = [error.pointer for error in errors]
    if not isinstance(body, Mapping):
        return {}
    return {name: value for name, value in body.items() if not any(stands_in(at, f"/{escape(name)}") for at in wrong)}


def stands_in(pointer: str, place: str) -> bool:
    """Returns whether `pointer` leads to `place` or to something inside it."""
    return pointer == place or pointer.startswith(f"{place}/")


def _follows(pointer: str, other: str) -> bool:
    return not pointer or (bool(other) and (stands_in(pointer, other) or stands_in(other, pointer)))
