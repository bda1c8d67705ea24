"""Values that a schema lists to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.validation.layers import lists_constants
from app.validation.readable import as_words
from web.forms.values import identity


@dataclass(frozen=True)
class Choices:
    """Values to choose from, each with its words. `sources` names the schemas that list them, so that a post can be read alone."""

    options: tuple[tuple[Any, str], ...]
    sources: str

    def index(self, value: Any) -> int | None:
        """The place of `value`, told apart by JSON equality; None where it is not offered."""
        return self._places.get(identity(value))

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {identity(option): index for index, (option, _) in reversed(list(enumerate(self.options)))}


def listed(schema: Mapping[str, Any]) -> list[tuple[Any, str]] | None:
    """The values that one schema lists by a oneOf of nothing but constants, by const or by enum; None where it lists none."""
    branches = schema.get("oneOf")
    if branches and lists_constants(branches):
        return [(one["const"], str(one.get("title") or as_words(one["const"]))) for one in branches]
    if "const" in schema:
        return [(schema["const"], as_words(schema["const"]))]
    if "enum" in schema:
        return [(value, as_words(value)) for value in schema["enum"]]
    return None


def common(listings: Sequence[list[tuple[Any, str]]], sources: str) -> Choices:
    """What all listings have, with the words of the last one that has its own: a titled oneOf beside an enum names its values."""
    first, *others = listings
    options = list(first)
    for other in others:
        worded = {identity(value): words for value, words in reversed(other)}
        options = [(value, worded[identity(value)]) for value, _ in options if identity(value) in worded]
    return Choices(tuple(options), sources)
