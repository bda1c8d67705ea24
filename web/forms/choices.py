"""Values that a schema lists, for a person to choose from."""

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
        """Returns the index of `value`, compared by JSON equality; None if it is not offered."""
        return self._indices.get(identity(value))

    @cached_property
    def _indices(self) -> dict[Any, int]:
        return {identity(option): index for index, (option, _) in reversed(list(enumerate(self.options)))}


def listed_values(schema: Mapping[str, Any]) -> list[tuple[Any, str]] | None:
    """Returns the (value, words) pairs that one schema lists, by a oneOf of constants, by const or by enum; None if it lists none."""
    branches = schema.get("oneOf")
    if branches and lists_constants(branches):
        return [(branch["const"], str(branch.get("title") or as_words(branch["const"]))) for branch in branches]
    if "const" in schema:
        return [(schema["const"], as_words(schema["const"]))]
    if "enum" in schema:
        return [(value, as_words(value)) for value in schema["enum"]]
    return None


def common_choices(listings: Sequence[list[tuple[Any, str]]], sources: str) -> Choices:
    """Returns the values that all listings have, with the words of the last listing: a titled oneOf beside an enum names its values."""
    first, *others = listings
    options = list(first)
    for other in others:
        words_of = {identity(value): words for value, words in reversed(other)}
        options = [(value, words_of[identity(value)]) for value, _ in options if identity(value) in words_of]
    return Choices(tuple(options), sources)
