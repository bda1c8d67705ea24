"""What holds at one place of a form: the layers of `app.validation.layers`, and the words and choices that a person sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.validation.layers import MOST_KEPT, UNTYPED, Collector, Heads, Layers, Origin
from app.validation.patterns import matches
from app.validation.schema import LARGE
from app.validation.secret import is_secret
from app.validation.validator import SchemaValidator
from web.forms.choices import Choices, common_choices, listed_values
from web.forms.hints import NAMES, check_hints


class Presentation:
    """What the schemas of one place say to a person."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The `x-` keywords of all layers; the nearest layer goes first."""
        return {name: value for layer, _ in reversed(self._layers.layers) for name, value in layer.items() if name in NAMES}

    @cached_property
    def title(self) -> str:
        """The title of the place itself. The title of an alternative, a condition or a shared definition names these instead."""
        return self._layers.words("title", Origin.OWN)

    @cached_property
    def description(self) -> str:
        """The description of the place, or of a schema that always holds here. The one of an alternative stands with the choice."""
        return self._layers.words("description", Origin.PART)

    @cached_property
    def deprecated(self) -> bool:
        return _any_layer(self._layers, "deprecated")


class Traits:
    """How the values of one place may be read and written."""

    def __init__(self, view: View) -> None:
        self._view = view

    @cached_property
    def read_only(self) -> bool:
        return _any_layer(self._view, "readOnly")

    @cached_property
    def secret(self) -> bool:
        return any(is_secret(layer) for layer, _ in self._view.layers)

    @cached_property
    def dynamic(self) -> bool:
        """True if a text may hold an expression."""
        return _any_layer(self._view, "x-dynamic")

    @cached_property
    def format(self) -> str:
        return str(self._view.first("format", ""))

    @cached_property
    def nullable(self) -> bool:
        """True if null may be chosen."""
        if self._view.nullable_by_union:
            return True
        allowed = self._view.json_types
        return "null" in allowed if allowed is not None else self._view.types == UNTYPED and self._view.choices is None

    @cached_property
    def takes_empty(self) -> bool:
        """True if a person may mean the empty text."""
        return not any(
            layer.get("minLength") or "format" in layer or ("pattern" in layer and not matches(layer["pattern"], ""))
            for layer, _ in self._view.layers
        )


class Entries:
    """What the schemas of one place say of entries: rows of a list, and members of a map that no schema names."""

    def __init__(self, view: View) -> None:
        self._view = view

    @cached_property
    def offered(self) -> bool:
        """True if a person may add members of other names: the schema mentions them, or it names no members at all."""
        layers = [layer for layer, _ in self._view.layers]
        if any(layer.get("patternProperties") for layer in layers):
            return True
        rules = [layer.get(word) for layer in layers for word in ("additionalProperties", "unevaluatedProperties") if word in layer]
        if any(rule is False for rule in rules):
            return False
        return bool(rules) or not self._view.members

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names that entries may have, if the schema lists them."""
        for layer, _ in self._view.layers:
            names = layer.get("propertyNames")
            if isinstance(names, Mapping) and isinstance(names.get("enum"), list):
                return tuple(name for name in names["enum"] if isinstance(name, str))
        return ()

    def may_add_row(self, count: int) -> bool:
        """Returns True if a list of `count` rows may have one more."""
        most = self._view.least("maxItems")
        return (most is None or count < most) and all(schema is not False for schema, _ in self._view.item(count))


@dataclass
class View(Layers):
    """All layers of one place. `choices` are the values that they list; None if they list none."""

    choices: Choices | None = None

    @cached_property
    def presentation(self) -> Presentation:
        return Presentation(self)

    @cached_property
    def traits(self) -> Traits:
        return Traits(self)

    @cached_property
    def entries(self) -> Entries:
        return Entries(self)

    def new_entry(self, index: int) -> Heads:
        """Returns the heads of a new entry: of the row at `index` of a list, else of a member of a map that no schema names."""
        row = self.item(index)
        if row:
            return row
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            heads = tuple((layer[keyword], resolver) for layer, resolver in self.layers if keyword in layer)
            if heads:
                return heads
        named = [(schema, resolver) for layer, resolver in self.layers for schema in layer.get("patternProperties", {}).values()]
        return tuple(named) if len(named) == 1 else ()


def _any_layer(layers: Layers, keyword: str) -> bool:
    return any(layer.get(keyword) is True for layer, _ in layers.layers)


class Views(Collector[View]):
    """The views of one schema."""

    def __init__(self, validator: SchemaValidator) -> None:
        super().__init__(validator, View)
        self._numbers = validator.prepared.numbers
        self._subschemas = validator.prepared.subschemas
        self.is_large = len(self._subschemas) > LARGE
        self._listings: dict[int, list[tuple[Any, str]] | None] = {}
        self._known_choices: dict[str, Choices] = {}
        for schema in self._subschemas:
            if any(name.startswith("x-") for name in schema):
                check_hints(schema, "")

    def choices_of(self, sources: str) -> Choices | None:
        """Returns the choices that a post names by their sources (`3.17`); None if the text names no choices of this schema."""
        numbers = sources.split(".")
        if len(set(numbers)) < len(numbers):
            return None  # no form names a source twice; a forged post could name one a million times
        if not all(text.isascii() and text.isdigit() and len(text) < 7 and int(text) < len(self._subschemas) for text in numbers):
            return None
        return self._choices([int(text) for text in numbers])

    def complete(self, view: View) -> None:
        """Adds the values that all layers of a view list."""
        view.choices = self._choices([self._numbers[id(layer)] for layer, _ in view.layers])

    def _choices(self, numbers: Sequence[int]) -> Choices | None:
        """Returns the values that the subschemas of these numbers list; None if none of them lists any."""
        listings = [(number, listing) for number in numbers if (listing := self._listed(number)) is not None]
        key = ".".join(str(number) for number, _ in listings)
        if listings and key not in self._known_choices:
            if len(self._known_choices) > MOST_KEPT:
                self._known_choices.clear()
            self._known_choices[key] = common_choices([listing for _, listing in listings], key)
        return self._known_choices[key] if listings else None

    def _listed(self, number: int) -> list[tuple[Any, str]] | None:
        if number not in self._listings:
            self._listings[number] = listed_values(self._subschemas[number])
        return self._listings[number]
