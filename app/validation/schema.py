"""Checks schemas before they are used, and prepares them: each is walked once, and its references are resolved inside the document."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from app.validation.cache import Cache
from app.validation.patterns import PatternRefused, check_pattern
from app.validation.pointer import escape
from app.validation.shape import shape_error
from app.validation.storable import is_text
from templates_lib.messages import say

MAX_BYTES = 5_000_000
MAX_DEPTH = 64  # levels of JSON; an object in `properties` takes two
MOST_SUBSCHEMAS = 25_000
MOST_OBJECTS = 60_000  # subschemas, and the objects that hold subschemas by name
MOST_VALUES = 500_000
LARGE = 1500  # subschemas; a larger schema is drawn in parts, and only few of them are kept
MOST_PATTERNS = 200
DIALECT = "https://json-schema.org/draft/2020-12/schema"
CACHED = 256
LARGE_CACHED = 4
LARGE_BYTES = 200_000  # a schema of so many bytes may be a large one

# The keywords that hold schemas (draft 2020-12 core, 10 and 11). The "same place" keywords apply their schemas to the value itself.
ONE = (
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
)
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
SAME_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
# `false` under these is reported by the keyword itself; under all others it becomes {"not": {}}, which keeps the pointer of an error.
_OWN_FALSE = frozenset(
    {
        "additionalProperties",
        "unevaluatedProperties",
        "items",
        "unevaluatedItems",
        "contains",
        "propertyNames",
        "not",
        "if",
    }
)

DATA = frozenset({"const", "enum", "default", "examples"})  # keywords whose values are not schemas

Schema = Mapping[str, Any]
Resolver = Any  # the Resolver of the library `referencing`, whose type parameters have no use here


class SchemaRefused(Exception):
    """The schema is not allowed. `pointer` is the place in the schema, `reason` says why."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer or '/'}: {reason}")
        self.pointer, self.reason = pointer, reason


@dataclass(frozen=True, slots=True)
class Prepared:
    """A schema that passed the checks.

    `schema` is a private copy, `registry` holds only this schema, and `resolver` is at its root. `numbers` maps the `id` of each subschema
    object to its number in the walk; the same schema gets the same numbers in every process. `subschemas` has them in that order.
    """

    schema: Any
    registry: Any
    resolver: Resolver
    numbers: Mapping[int, int]
    subschemas: tuple[Schema, ...]
    digest: str


def prepare(schema: Any) -> Prepared:
    """Checks and prepares a schema. Raises SchemaRefused.

    1. It must be plain JSON within the limits of this module. 2. It must follow draft 2020-12, by its metaschema. 3. Every reference must
    lead to a place in the document, and no schema may apply itself to the same value without end. 4. Patterns must run in bounded time.

    Nothing is opened and nothing is fetched. The result is cached by the digest of the schema.
    """
    if isinstance(schema, bool):
        schema = {} if schema else {"not": {}}
    check_json(schema)
    text = json.dumps(schema, ensure_ascii=True)
    if len(text) > MAX_BYTES:
        raise SchemaRefused("", say("is larger than {most:,} bytes", most=MAX_BYTES))
    digest = hashlib.sha256(text.encode()).hexdigest()
    cache = _cache if len(text) < LARGE_BYTES else _large_cache
    return cache.get(digest, lambda: _Walk(json.loads(text), digest).run())


_cache, _large_cache = Cache[Prepared](CACHED), Cache[Prepared](LARGE_CACHED)


def check_json(root: Any) -> None:
    """Raises SchemaRefused if a value is not plain JSON within the limits. Walks without recursion."""
    if not isinstance(root, dict):
        raise SchemaRefused("", "is not a schema")
    waiting: list[tuple[Any, str, int]] = [(root, "", 0)]
    count = objects = 0
    while waiting:
        value, pointer, depth = waiting.pop()
        count += 1
        objects += isinstance(value, dict) and DATA.isdisjoint(pointer.split("/"))
        if objects > MOST_OBJECTS:
            raise SchemaRefused("", say("has more than {most:,} subschemas", most=MOST_SUBSCHEMAS))
        if depth > MAX_DEPTH:
            raise SchemaRefused(_short(pointer), say("is nested more than {most} levels deep", most=MAX_DEPTH))
        if count > MOST_VALUES:
            raise SchemaRefused("", say("holds more than {most:,} values", most=MOST_VALUES))
        if isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise SchemaRefused(_short(pointer), "has a key that is not text")
                _check_text(key, pointer)
                waiting.append((inner, f"{pointer}/{escape(key)}", depth + 1))
        elif isinstance(value, list | tuple):
            waiting += [(inner, f"{pointer}/{index}", depth + 1) for index, inner in enumerate(value)]
        elif isinstance(value, str):
            _check_text(value, pointer)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise SchemaRefused(_short(pointer), "is not a valid JSON number")
        elif value is not None and not isinstance(value, bool | int):
            raise SchemaRefused(_short(pointer), say("is not a JSON value but {kind}", kind=type(value).__name__))


def _check_text(text: str, pointer: str) -> None:
    if not is_text(text):
        raise SchemaRefused(_short(pointer), "contains half of a surrogate pair, which is not valid text")


def _short(pointer: str) -> str:
    return pointer if len(pointer) < 200 else f"{pointer[:200]}…"


class _Walk:
    """One pass over all subschemas, including those that only a reference reaches."""

    def __init__(self, schema: Any, digest: str) -> None:
        self._root, self._digest = schema, digest
        self._numbers: dict[int, int] = {}
        self._subschemas: list[Schema] = []
        self._pointers: list[str] = []
        self._same_place: list[list[int]] = []
        self._references: list[tuple[int, str, Resolver]] = []
        self._patterns = 0

    def run(self) -> Prepared:
        check_shape(self._root, "")
        self._refuse_embedded_dialects()
        resource: Resource[Any] = DRAFT202012.create_resource(self._root)
        try:
            registry: Registry[Any] = Registry().with_resource("", resource).crawl()
        except Exception as error:  # for a wrong identifier, `referencing` passes on whatever urljoin and similar functions raise
            raise SchemaRefused("", say("has an identifier that is not valid: {error}", error=error)) from error
        resolver: Resolver = registry.resolver_with_root(resource)
        self._visit(self._root, "", resolver)
        self._follow()
        self._refuse_loops()
        self._refuse_crowds()
        return Prepared(self._root, registry, resolver, self._numbers, tuple(self._subschemas), self._digest)

    def _refuse_embedded_dialects(self) -> None:
        waiting: list[tuple[Any, str]] = [(self._root, "")]
        while waiting:
            value, pointer = waiting.pop()
            if isinstance(value, dict):
                if "$id" in value or not pointer:
                    _check_dialect(value, pointer)
                waiting += [(inner, f"{pointer}/{escape(key)}") for key, inner in value.items() if key not in DATA]
            elif isinstance(value, list):
                waiting += [(inner, f"{pointer}/{index}") for index, inner in enumerate(value)]

    def _visit(self, schema: Any, pointer: str, resolver: Resolver) -> int | None:
        """Numbers `schema` and all subschemas below it. Returns its number, or None for a boolean."""
        if isinstance(schema, bool):
            return None
        if not isinstance(schema, dict):
            raise SchemaRefused(_short(pointer), "is not a schema")
        known = self._numbers.get(id(schema))
        if known is not None:
            return known
        number = len(self._subschemas)
        if number >= MOST_SUBSCHEMAS:
            raise SchemaRefused(_short(pointer), say("has more than {most:,} subschemas", most=MOST_SUBSCHEMAS))
        self._numbers[id(schema)] = number
        self._subschemas.append(schema)
        self._pointers.append(pointer)
        self._same_place.append([])
        if "$id" in schema and pointer:
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        self._check_patterns(schema, pointer)
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                self._references.append((number, keyword, resolver))
        for keyword, key, inner in subschemas(schema):
            if inner is False and keyword not in _OWN_FALSE:
                inner = {"not": {}}
                if key is None:
                    schema[keyword] = inner
                else:
                    schema[keyword][key] = inner
            below = f"{pointer}/{escape(keyword)}" if key is None else f"{pointer}/{escape(keyword)}/{escape(key)}"
            child = self._visit(inner, below, resolver)
            if child is not None and keyword in SAME_PLACE:
                self._same_place[number].append(child)
        return number

    def _check_patterns(self, schema: Schema, pointer: str) -> None:
        named = schema.get("patternProperties", {})
        patterns = [(f"{pointer}/pattern", schema["pattern"])] if "pattern" in schema else []
        patterns += [(f"{pointer}/patternProperties/{escape(pattern)}", pattern) for pattern in named]
        self._patterns += len(patterns)
        if self._patterns > MOST_PATTERNS:
            raise SchemaRefused(_short(pointer), say("has more than {most} patterns", most=MOST_PATTERNS))
        for where, pattern in patterns:
            try:
                check_pattern(pattern)
            except PatternRefused as error:
                raise SchemaRefused(_short(where), str(error)) from error

    def _follow(self) -> None:
        """Resolves each reference. A schema that only a reference reaches is checked and walked as well, so the list may grow."""
        done = 0
        while done < len(self._references):
            number, keyword, resolver = self._references[done]
            done += 1
            reference, pointer = self._subschemas[number][keyword], f"{self._pointers[number]}/{keyword}"
            try:
                resolved = resolver.lookup(reference)
            except (Unresolvable, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                reason = say("{reference!r} is not in this document, and other documents are never opened", reference=reference[:200])
                raise SchemaRefused(_short(pointer), reason) from error
            if isinstance(resolved.contents, dict) and id(resolved.contents) not in self._numbers:
                check_shape(resolved.contents, pointer)
            target = self._visit(resolved.contents, pointer, resolved.resolver)
            if target is not None:
                self._same_place[number].append(target)

    def _refuse_loops(self) -> None:
        """Raises SchemaRefused if a schema applies itself to the same value, because that would never end. Searches depth first, without
        recursion."""
        state = [0] * len(self._subschemas)  # 0 unseen, 1 on the path, 2 done
        for start in range(len(self._subschemas)):
            path: list[Iterator[int]] = []
            if state[start] == 0:
                state[start] = 1
                path, trail = [iter(self._same_place[start])], [start]
            while path:
                step = next(path[-1], None)
                if step is None:
                    path.pop()
                    state[trail.pop()] = 2
                elif state[step] == 1:
                    raise SchemaRefused(_short(self._pointers[step]), "refers to itself endlessly")
                elif state[step] == 0:
                    state[step] = 1
                    path.append(iter(self._same_place[step]))
                    trail.append(step)

    def _refuse_crowds(self) -> None:
        """Raises SchemaRefused if more than LARGE schemas apply to one value: the work for a place grows with their square."""
        if len(self._subschemas) <= LARGE:
            return
        below = {child for children in self._same_place for child in children}
        for start in range(len(self._subschemas)):
            reached, waiting = {start}, [] if start in below else [start]
            while waiting:
                fresh = [child for child in self._same_place[waiting.pop()] if child not in reached]
                reached.update(fresh)
                waiting += fresh
                if len(reached) > LARGE:
                    raise SchemaRefused(_short(self._pointers[start]), say("applies more than {most:,} schemas to one value", most=LARGE))


def subschemas(schema: Schema) -> Iterator[tuple[str, Any, Any]]:
    """Yields (keyword, key or index or None, subschema) for each schema directly inside `schema`, in a fixed order."""
    for keyword in ONE:
        if keyword in schema:
            yield keyword, None, schema[keyword]
    for keyword in MANY:
        for index, inner in enumerate(schema.get(keyword, ())):
            yield keyword, index, inner
    for keyword in NAMED:
        named = schema.get(keyword)
        if isinstance(named, dict):
            yield from [(keyword, key, inner) for key, inner in named.items()]


def check_shape(schema: Any, pointer: str) -> None:
    """Raises SchemaRefused if `schema` does not follow the metaschema of draft 2020-12."""
    _check_dialect(schema, pointer)
    try:
        error = shape_error(schema)
    except RecursionError as deep:
        raise SchemaRefused(pointer, "is nested too deeply") from deep
    if error is not None:
        raise SchemaRefused(_short(pointer + error[0]), say("is not valid in draft 2020-12: {message}", message=error[1][:200]))


def _check_dialect(schema: Schema, pointer: str) -> None:
    dialect = schema.get("$schema", DIALECT)
    if isinstance(dialect, str) and dialect.removesuffix("#") != DIALECT:
        raise SchemaRefused(
            f"{pointer}/$schema", say("must be {dialect}, because other dialects give the same keywords another meaning", dialect=DIALECT)
        )
