"""What holds at one place of a form: the layers of `app.validation.layers`, with the words and choices that a person sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.validation.layers import MOST_KEPT, UNTYPED, Collector, Layers, Origin
from app.validation.patterns import matches
from app.validation.secret import is_secret
from app.validation.validator import SchemaValidator
from web.forms.choices import Choices, common, listed
from web.forms.hints import NAMES, check_hints

MOST_CHECKBOXES = 24
MOST_RADIOS = 6


@dataclass
class View(Layers):
    """All layers of one place, and the values to choose from, where they list some."""

    choices: Choices | None = None

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The `x-` keywords of all layers, the nearest first."""
        return {name: value for layer, _ in reversed(self.layers) for name, value in layer.items() if name in NAMES}

    @cached_property
    def title(self) -> str:
        """The title of the place itself: that of an alternative, a condition or a shared definition names these."""
        return self.words("title", Origin.OWN)

    @cached_property
    def description(self) -> str:
        """What is said of the place, or of what it always is; what an alternative says of itself stands with the choice."""
        return self.words("description", Origin.PART)

    @cached_property
    def read_only(self) -> bool:
        return any(layer.get("readOnly") is True for layer, _ in self.layers)

    @cached_property
    def secret(self) -> bool:
        return any(is_secret(layer) for layer, _ in self.layers)

    @cached_property
    def dynamic(self) -> bool:
        """True where a text may hold an expression."""
        return any(layer.get("x-dynamic") is True for layer, _ in self.layers)

    @cached_property
    def deprecated(self) -> bool:
        return any(layer.get("deprecated") is True for layer, _ in self.layers)

    @cached_property
    def format(self) -> str:
        return str(self.first("format", ""))

    @cached_property
    def nullable(self) -> bool:
        """True where null may be chosen."""
        if self.nullable_by_union:
            return True
        allowed = self.json_types
        return "null" in allowed if allowed is not None else self.types == UNTYPED and self.choices is None

    @cached_property
    def takes_empty(self) -> bool:
        """True where an empty text may be meant."""
        return not any(
            layer.get("minLength") or "format" in layer or ("pattern" in layer and not matches(layer["pattern"], ""))
            for layer, _ in self.layers
        )

    @cached_property
    def offers_entries(self) -> bool:
        """True where a person may add members of other names: the schema speaks of them, or names none at all."""
        said = [layer.get(word) for layer, _ in self.layers for word in ("additionalProperties", "unevaluatedProperties") if word in layer]
        if any(layer.get("patternProperties") for layer, _ in self.layers):
            return True
        if any(one is False for one in said):
            return False
        return bool(said) or not self.members

    @cached_property
    def entry_names(self) -> tuple[str, ...]:
        """The names that entries may bear, where the schema lists them."""
        for layer, _ in self.layers:
            names = layer.get("propertyNames")
            if isinstance(names, Mapping) and isinstance(names.get("enum"), list):
                return tuple(name for name in names["enum"] if isinstance(name, str))
        return ()

    def may_add(self, count: int) -> bool:
        """True where one more entry than `count` could be right."""
        most = self.least("maxItems")
        return (most is None or count < most) and all(schema is not False for schema, _ in self.item(count))


class Views(Collector[View]):
    """The views of one schema."""

    def __init__(self, validator: SchemaValidator) -> None:
        super().__init__(validator, View)
        self._numbers = validator.prepared.numbers
        self._subschemas = validator.prepared.subschemas
        self._listings: dict[int, list[tuple[Any, str]] | None] = {}
        self._known_choices: dict[str, Choices] = {}
        for schema in self._subschemas:
            if any(name.startswith("x-") for name in schema):
                check_hints(schema, "")

    def choices_of(self, sources: str) -> Choices | None:
        """The choices that a post names; None for what is no name of choices of this schema."""
        numbers = sources.split(".")
        if len(set(numbers)) < len(numbers):
            return None  # no form names a source twice; a forged post could name one a million times
        if not all(one.isascii() and one.isdigit() and len(one) < 7 and int(one) < len(self._subschemas) for one in numbers):
            return None
        return self._choices([int(one) for one in numbers])

    def complete(self, found: View) -> None:
        """The values that all layers list."""
        found.choices = self._choices([self._numbers[id(layer)] for layer, _ in found.layers])

    def _choices(self, numbers: Sequence[int]) -> Choices | None:
        """What the schemas of these numbers list; None where none lists anything."""
        listings = [(number, listing) for number in numbers if (listing := self._listed(number)) is not None]
        key = ".".join(str(number) for number, _ in listings)
        if listings and key not in self._known_choices:
            if len(self._known_choices) > MOST_KEPT:
                self._known_choices.clear()
            self._known_choices[key] = common([listing for _, listing in listings], key)
        return self._known_choices[key] if listings else None

    def _listed(self, number: int) -> list[tuple[Any, str]] | None:
        if number not in self._listings:
            self._listings[number] = listed(self._subschemas[number])
        return self._listings[number]
