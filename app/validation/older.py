"""Converts schemas of older drafts (04, 06, 07 and 2019-09) to draft 2020-12, and notes what changed.

The converted schema accepts the same values. The rules and their sources:

- `id` became `$id`, and a boolean `exclusiveMinimum` a number: draft-06 release notes, json-schema.org/draft-06/json-schema-release-notes.
- Keywords beside `$ref` have no effect up to draft-07 (draft-handrews-json-schema-01, 8.3), and `$id: "#name"` is an `$anchor` now.
- `definitions` became `$defs`, and `dependencies` was split: release notes of draft 2019-09, json-schema.org/draft/2019-09/release-notes.
- A list in `items` became `prefixItems`, `additionalItems` became `items`, `$recursiveRef` became `$dynamicRef`, and `contains` counts for
  `unevaluatedItems`: release notes of draft 2020-12, json-schema.org/draft/2020-12/release-notes.

One difference remains: draft-04 refuses 1.0 as an integer, and later drafts accept it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from app.validation.pointer import escape, keys_of
from app.validation.schema import DATA, DIALECT, MANY, MAX_DEPTH, NAMED, ONE, check_json
from templates_lib.messages import say

LONGEST_INDEX = 10  # digits
MOST_CHANGES = 200  # notes about one schema; the schema is converted all the same


class Draft(IntEnum):
    """A draft of JSON Schema, in the order of publication."""

    DRAFT_04 = 4
    DRAFT_06 = 6
    DRAFT_07 = 7
    DRAFT_2019_09 = 8
    DRAFT_2020_12 = 9

    @property
    def title(self) -> str:
        """The name that people know: `draft-07`, `2019-09`."""
        return {8: "2019-09", 9: "2020-12"}.get(self.value, f"draft-0{self.value}")


_DIALECTS = {
    "json-schema.org/draft-04/schema": Draft.DRAFT_04,
    "json-schema.org/draft-06/schema": Draft.DRAFT_06,
    "json-schema.org/draft-07/schema": Draft.DRAFT_07,
    "json-schema.org/draft/2019-09/schema": Draft.DRAFT_2019_09,
    DIALECT.partition("://")[2]: Draft.DRAFT_2020_12,
}
# The draft that introduced a keyword with an effect. Earlier drafts ignore it.
_SINCE = {
    **dict.fromkeys(("const", "contains", "propertyNames"), Draft.DRAFT_06),
    **dict.fromkeys(("if", "then", "else"), Draft.DRAFT_07),
    **dict.fromkeys(
        (
            "$anchor",
            "dependentRequired",
            "dependentSchemas",
            "maxContains",
            "minContains",
            "unevaluatedItems",
            "unevaluatedProperties",
            "$recursiveRef",
            "$recursiveAnchor",
        ),
        Draft.DRAFT_2019_09,
    ),
    **dict.fromkeys(("$dynamicRef", "$dynamicAnchor", "prefixItems"), Draft.DRAFT_2020_12),
}
_STAY_BESIDE_REF = frozenset({"$ref", "title", "description", "$comment", "deprecated", "definitions", "$defs", "$schema"})
_RECURSIVE = "recursive"  # the dynamic anchor that stands for `$recursiveAnchor`
_ONE = frozenset({*ONE, "additionalItems"})
_NAMED = frozenset({*NAMED, "dependencies"})
_MANY = frozenset({*MANY, "items"})


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed at one place of the older schema."""

    pointer: str
    text: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A schema of draft 2020-12. `source` is the draft that it was written in; `changes` are empty if that is 2020-12."""

    schema: Any
    source: Draft
    changes: tuple[Change, ...] = ()


def converted(schema: Any) -> Converted:
    """Returns a schema as one of draft 2020-12. A schema of another dialect is returned unchanged, to be refused by `prepare`.

    Raises SchemaRefused for a value that is not JSON within the limits of a schema.
    """
    if not isinstance(schema, dict):
        return Converted(schema, Draft.DRAFT_2020_12)
    check_json(schema)
    draft = draft_of(schema)
    if draft is None or draft is Draft.DRAFT_2020_12:
        return Converted(schema, Draft.DRAFT_2020_12)
    conversion = _Conversion(schema, draft)
    return Converted(conversion.run(), draft, tuple(conversion.changes[:MOST_CHANGES]))


def draft_of(schema: Mapping[str, Any]) -> Draft | None:
    """Returns the draft that a schema names by `$schema`; None for another dialect. Without `$schema`, the draft is guessed by keywords
    that 2020-12 does not have."""
    named = schema.get("$schema")
    if isinstance(named, str):
        return _DIALECTS.get(named.partition("://")[2].removesuffix("#"))
    signs = [_sign(inner) for inner in _all_schemas(schema)]
    return min((sign for sign in signs if sign), default=Draft.DRAFT_2020_12)


def _sign(schema: Mapping[str, Any]) -> Draft | None:
    if isinstance(schema.get("exclusiveMinimum"), bool) or isinstance(schema.get("exclusiveMaximum"), bool):
        return Draft.DRAFT_04
    if "$recursiveRef" in schema or "$recursiveAnchor" in schema:
        return Draft.DRAFT_2019_09
    return Draft.DRAFT_07 if isinstance(schema.get("items"), list) or isinstance(schema.get("dependencies"), dict) else None


def _all_schemas(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting: list[Any] = [root]
    while waiting:
        schema = waiting.pop()
        yield schema
        waiting += [inner for _, inner in schemas_inside(schema) if isinstance(inner, dict)]


def schemas_inside(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields (path, subschema) for each schema directly inside an older schema."""
    for word, value in schema.items():
        if word in _NAMED and isinstance(value, dict):
            yield from (((word, name), inner) for name, inner in value.items() if isinstance(inner, dict | bool))
        elif word in _MANY and isinstance(value, list):
            yield from (((word, str(index)), inner) for index, inner in enumerate(value))
        elif word in _ONE:
            yield (word,), value


class _Conversion:
    """The conversion of one document.

    References need the whole document: a pointer such as `#/definitions/a/items/0` changes with what it leads through. So `_resources`
    has the place of each embedded document by its address, and `_targets` the places that references lead to.
    """

    def __init__(self, root: dict[str, Any], draft: Draft) -> None:
        self._root, self._draft = root, draft
        self.changes: list[Change] = []
        self._resources: dict[str, tuple[str, ...]] = {"": ()}
        self._recursive: set[tuple[str, ...]] = set()  # resources with `$recursiveAnchor`
        self._targets: set[tuple[str, ...]] = set()
        self._on_the_way: set[tuple[str, ...]] = set()  # places that a target is inside of, or that are one
        self._counts_contains = draft is Draft.DRAFT_2019_09 and any("unevaluatedItems" in inner for inner in _all_schemas(root))

    def run(self) -> Any:
        self._collect(self._root, (), "", ())
        return self._schema(self._root, (), "", ())

    # -- addresses --------------------------------------------------------------------------------------------------

    def _collect(self, schema: Any, at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> None:
        if not isinstance(schema, dict):
            return
        base, resource = self._enter(schema, at, base, resource)
        if schema.get("$recursiveAnchor") is True and at == resource:
            self._recursive.add(resource)
        if isinstance(schema.get("$ref"), str):
            waiting = (base, schema["$ref"])
            place = self._place(*waiting)
            if place is not None:
                self._targets.add(place)
                self._on_the_way.update(place[:length] for length in range(len(place) + 1))
        for path, inner in schemas_inside(schema):
            self._collect(inner, (*at, *path), base, resource)

    def _enter(self, schema: Mapping[str, Any], at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Returns the address and the place of the document that `schema` belongs to."""
        own = schema.get("id" if self._draft is Draft.DRAFT_04 else "$id")
        if not isinstance(own, str) or (self._ref_is_alone(schema)):
            return base, resource
        address = split_fragment(own)[0]
        if not address and at:
            return base, resource
        base = split_fragment(join(base, address))[0]
        self._resources.setdefault(base, at)
        return base, at

    def _place(self, base: str, reference: str) -> tuple[str, ...] | None:
        """Returns the place in the older document that a reference by JSON Pointer leads to; None for any other reference."""
        address, fragment = split_fragment(join(base, reference))
        if fragment and not fragment.startswith("/"):
            return None
        start = self._resources.get(address)
        if start is None or fragment.count("/") > MAX_DEPTH:  # nothing is so deep
            return None
        return (*start, *keys_of(unquote(fragment)))

    def _reference(self, base: str, reference: str) -> str:
        """Returns a reference with the pointer that its target has in the converted document."""
        place = self._place(base, reference)
        address, hash_sign, fragment = reference.partition("#")
        if place is None or not hash_sign or not fragment:
            return reference
        start = self._resources[split_fragment(join(base, reference))[0]]
        moved = self._moved(place)[len(self._moved(start)) :]
        if moved == place[len(start) :]:
            return reference
        return f"{address}#" + "".join(f"/{escape(part).replace('%', '%25')}" for part in moved)

    def _moved(self, place: tuple[str, ...]) -> tuple[str, ...]:
        """Returns where a place of the older document is in the converted one."""
        moved: list[str] = []
        value: Any = self._root
        is_schema, rest = True, list(place)
        while rest:
            word = rest.pop(0)
            inner = _step(value, word)
            if not is_schema or not isinstance(value, dict):
                moved.append(word)
                value, is_schema = inner, is_schema and not isinstance(value, dict)
                continue
            named = word in _NAMED and isinstance(inner, dict)
            listed = word in _MANY and isinstance(inner, list)
            if (named or listed) and rest:
                key = rest.pop(0)
                below = _step(inner, key)
                moved += [self._new_word(word, inner, below), key]
                value, is_schema = below, True
            else:
                moved.append(self._new_word(word, inner, None))
                value, is_schema = inner, word in _ONE
        return tuple(moved)

    def _new_word(self, word: str, value: Any, below: Any) -> str:
        if word == "definitions":
            return "$defs"
        if word == "items" and isinstance(value, list):
            return "prefixItems"
        if word == "additionalItems":
            return "items"
        if word == "dependencies" and self._draft < Draft.DRAFT_2019_09:
            return "dependentRequired" if isinstance(below, list) else "dependentSchemas"
        return word

    # -- schemas ----------------------------------------------------------------------------------------------------

    def _ref_is_alone(self, schema: Mapping[str, Any]) -> bool:
        return self._draft < Draft.DRAFT_2019_09 and isinstance(schema.get("$ref"), str)

    def _schema(self, schema: Any, at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> Any:
        """Returns one schema converted, with all schemas inside it."""
        if not isinstance(schema, dict):
            return schema
        base, resource = self._enter(schema, at, base, resource)
        new: dict[str, Any] = {}
        alone = self._ref_is_alone(schema)
        for word, value in schema.items():
            if alone and word not in _STAY_BESIDE_REF:
                self._note(at, word, say("`{word}` was removed: {draft} ignores it beside `$ref`", word=word, draft=self._draft.title))
            elif _SINCE.get(word, Draft.DRAFT_04) > self._draft:
                self._note(at, word, say("`{word}` was removed: {draft} has no such keyword", word=word, draft=self._draft.title))
            elif word == "$schema":
                new[word] = DIALECT
            elif word == "$ref":
                new[word] = self._reference(base, value) if isinstance(value, str) else value
                if new[word] != value:
                    self._note(at, word, say("now leads to `{place}`", place=new[word]))
            else:
                self._keyword(new, word, value, at, base, resource)
        self._bounds(new, schema, at)
        self._contains(new, at)
        return new

    def _keyword(self, new: dict[str, Any], word: str, value: Any, at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> None:
        """Put one keyword of the older schema into the new one."""

        def inner(value: Any, *path: str) -> Any:
            return self._schema(value, (*at, *path), base, resource)

        match word:
            case "id" | "$id" if word == ("id" if self._draft is Draft.DRAFT_04 else "$id") and isinstance(value, str):
                self._identifier(new, word, value, at)
            case "definitions" | "$defs" if isinstance(value, dict):
                if word == "definitions":
                    self._note(at, word, say("`{old}` became `{new}`", old=word, new="$defs"))
                defined = {name: inner(each, word, name) for name, each in value.items()}
                others = new.get("$defs", {})
                new["$defs"] = {**defined, **others} if isinstance(others, dict) else others  # what is no object is refused later
            case "dependencies" if self._draft < Draft.DRAFT_2019_09 and isinstance(value, dict):
                self._dependencies(new, value, at, base, resource)
            case "items" if isinstance(value, list):
                self._note(at, word, say("`{old}` became `{new}`", old="items", new="prefixItems"))
                if value:  # 2020-12 has no empty prefixItems, and none is needed
                    new["prefixItems"] = [inner(each, word, str(index)) for index, each in enumerate(value)]
            case "additionalItems":
                if isinstance(self._at(at).get("items"), list):
                    self._note(at, word, say("`{old}` became `{new}`", old=word, new="items"))
                    new["items"] = inner(value, word)
                else:
                    self._note(at, word, say("`additionalItems` was removed: it has no effect without a list in `items`"))
            case "$recursiveAnchor":
                self._note(at, word, say("`{old}` became `{new}`", old=word, new="$dynamicAnchor"))
                if resource == at and resource in self._recursive:
                    new["$dynamicAnchor"] = _RECURSIVE
            case "$recursiveRef":
                is_dynamic = resource in self._recursive
                new["$dynamicRef" if is_dynamic else "$ref"] = f"#{_RECURSIVE}" if is_dynamic else "#"
                self._note(at, word, say("`{old}` became `{new}`", old=word, new="$dynamicRef" if is_dynamic else "$ref"))
            case _ if word in _NAMED and isinstance(value, dict):
                new[word] = {name: inner(each, word, name) for name, each in value.items()}
            case _ if word in _MANY and isinstance(value, list):
                new[word] = [inner(each, word, str(index)) for index, each in enumerate(value)]
            case _ if word in _ONE:
                new[word] = inner(value, word)
            case _:
                new[word] = value if word in DATA else self._unknown(value, (*at, word), base, resource)

    def _identifier(self, new: dict[str, Any], word: str, value: str, at: tuple[str, ...]) -> None:
        address, anchor = split_fragment(value)
        if address or not anchor:
            new["$id"] = address
        if anchor and not anchor.startswith("/"):
            new["$anchor"] = anchor
            self._note(at, word, say("`{old}` became `{new}`", old=f"{word}: {value}", new=f"$anchor: {anchor}"))
        elif word == "id":
            self._note(at, word, say("`{old}` became `{new}`", old="id", new="$id"))
        if not new.get("$id", "-"):
            new.pop("$id")

    def _dependencies(self, new: dict[str, Any], value: dict[str, Any], at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> None:
        names = {name: each for name, each in value.items() if isinstance(each, list)}
        schemas = {name: each for name, each in value.items() if not isinstance(each, list)}
        for word, part in (("dependentRequired", names), ("dependentSchemas", schemas)):
            if part:
                self._note(at, "dependencies", say("`{old}` became `{new}`", old="dependencies", new=word))
        if names:
            new["dependentRequired"] = names
        if schemas:
            inside = {name: self._schema(each, (*at, "dependencies", name), base, resource) for name, each in schemas.items()}
            new["dependentSchemas"] = inside

    def _bounds(self, new: dict[str, Any], old: Mapping[str, Any], at: tuple[str, ...]) -> None:
        """Draft-04: `exclusiveMinimum: true` makes `minimum` exclusive."""
        if self._draft is not Draft.DRAFT_04:
            return
        for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            exclusive = old.get(word)
            if word not in new or not isinstance(exclusive, bool):
                continue
            del new[word]
            if exclusive and bound in new:
                new[word] = new.pop(bound)
                self._note(at, word, say("`{word}` is now the number that `{bound}` was", word=word, bound=bound))
            else:
                self._note(at, word, say("`{word}` was removed: it has no effect here", word=word))

    def _contains(self, new: dict[str, Any], at: tuple[str, ...]) -> None:
        """Draft 2019-09: `contains` evaluates no entries. What stands inside `not` does not evaluate any either."""
        if not self._counts_contains or "contains" not in new or not isinstance(new.get("allOf", []), list):
            return
        moved = {word: new.pop(word) for word in ("contains", "minContains", "maxContains") if word in new}
        new["allOf"] = [*new.get("allOf", ()), {"not": {"not": moved}}]
        self._note(at, "contains", say("`contains` moved into `not`, because it now counts for `unevaluatedItems`"))

    def _unknown(self, value: Any, at: tuple[str, ...], base: str, resource: tuple[str, ...]) -> Any:
        """Returns the value of a keyword that holds no schemas, with those schemas converted that a reference leads to."""
        if at not in self._on_the_way:
            return value
        if at in self._targets:
            return self._schema(value, at, base, resource)
        if isinstance(value, dict):
            return {name: self._unknown(each, (*at, name), base, resource) for name, each in value.items()}
        if isinstance(value, list):
            return [self._unknown(each, (*at, str(index)), base, resource) for index, each in enumerate(value)]
        return value

    def _at(self, place: tuple[str, ...]) -> Any:
        value: Any = self._root
        for part in place:
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    def _note(self, at: tuple[str, ...], word: str, text: str) -> None:
        self.changes.append(Change("".join(f"/{escape(part)}" for part in (*at, word)), text))


def _step(value: Any, part: str) -> Any:
    """Returns what one part of a pointer leads to; None if it leads nowhere."""
    if isinstance(value, dict):
        return value.get(part)
    is_index = isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < LONGEST_INDEX and int(part) < len(value)
    return value[int(part)] if is_index else None


def join(base: str, reference: str) -> str:
    """Returns an address that is relative to another. `urljoin` leaves the fragment of a URN's base out, and raises for some addresses."""
    try:
        if base.startswith("urn:") and reference.startswith("#"):
            return base + reference
        return urljoin(base, reference)
    except ValueError:
        return reference


def split_fragment(address: str) -> tuple[str, str]:
    """Returns an address without its fragment, and the fragment. Unlike `urldefrag` it takes a text that is not an address."""
    try:
        url, fragment = urldefrag(address)
    except ValueError:
        url, _, fragment = address.partition("#")
    return url, fragment
