"""Validates values by one schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import FieldError
from app.validation.formats import checker
from app.validation.keywords import Draft2020Validator, count_errors, fits, remembering
from app.validation.patterns import bounded
from app.validation.readable import UNKNOWN, Chosen, Reported, readable
from app.validation.schema import Prepared, Schema, prepare
from app.validation.storable import unstorable
from app.validation.together import stands_in
from app.validation.unions import Branch, meant
from app.validation.words import DEFAULT_LOCALE, words_of

MAX_ERRORS = 100  # without a limit, a value with many errors could become a megabyte of sentences
LOCALES = Path(__file__).parent / "locale"
MOST_LOOKED_AT = 2000  # errors of jsonschema that are read: the same error may come by several paths


def nobody_chose(_pointer: str, _branches: Any) -> None:
    """Returns None: no person has chosen branches of unions."""


class SchemaValidator:
    """The validator of one schema. Raises SchemaRefused for a schema that is not allowed (app.validation.schema).

    A value that the database cannot store exactly is wrong too, unless `stored` is False: then only the schema decides.
    """

    def __init__(self, schema: Any, *, stored: bool = True) -> None:
        self._stored = stored
        self.prepared: Prepared = prepare(schema)
        self._validator = Draft2020Validator(self.prepared.schema, format_checker=checker, registry=self.prepared.registry)
        self._may_remember = _has_unique_anchors(self.prepared)

    def errors(
        self, value: Any, *, prefix: str = "", locale: str = DEFAULT_LOCALE, chosen: Chosen = nobody_chose, limit: int = MAX_ERRORS
    ) -> list[FieldError]:
        """Returns the errors of `value`, each at its JSON Pointer below `prefix` and sorted by it. The list has about `limit` errors at
        most, and is empty if the value is valid.

        `chosen` returns the branch of a union that a person picked; then the errors of that branch are returned.
        """
        words = words_of(LOCALES, locale)
        errors: dict[tuple[str, str], FieldError] = {}
        reported: Reported = set()
        with self._limits():
            try:
                for raw in islice(self._validator.iter_errors(value), MOST_LOOKED_AT):
                    for error in readable(raw, words, chosen, prefix, reported):
                        errors.setdefault((error.pointer, error.message), error)
                    if len(errors) >= limit:
                        break
            except RecursionError:
                errors["", "deep"] = FieldError(prefix, words("tooDeep"))
        pointers = {pointer for pointer, _ in errors}
        inexact = [error for error in unstorable(value, prefix=prefix) if error.pointer not in pointers] if self._stored else []
        return sorted([*_causes(list(errors.values()), words(UNKNOWN)), *inexact], key=lambda error: error.pointer)

    def fits(self, schema: Schema | bool, resolver: Any, value: Any) -> bool:
        """Returns whether `value` is valid by a subschema at the place of `resolver`."""
        with self._limits():
            return fits(self._validator.evolve(_resolver=resolver), schema, value)

    def meant(self, branches: Sequence[Schema | bool], places: Sequence[int], resolver: Any, value: Any) -> int:
        """Returns the branch, among those at `places`, that `value` is meant for: the first that it fits, else the nearest
        (unions.meant)."""
        with self._limits():
            validator = self._validator.evolve(_resolver=resolver)
            fitting = next((place for place in places if fits(validator, branches[place], value)), None)
            if fitting is not None:
                return fitting
            known = [Branch.of(place, branches[place], resolver) for place in places]
            return meant(known, value, lambda branch: count_errors(validator, branches[branch.place], value))

    @contextmanager
    def _limits(self) -> Iterator[None]:
        """The limits of time of one validation, and its memory of results."""
        with bounded(), remembering() if self._may_remember else nullcontext():
            yield


def _causes(errors: list[FieldError], unknown: str) -> list[FieldError]:
    """Returns the errors without those that only follow: a field with another error in it is not also reported as unknown."""
    wrong = {error.pointer for error in errors if error.message != unknown}
    return [error for error in errors if error.message != unknown or not any(stands_in(at, error.pointer) for at in wrong)]


def _has_unique_anchors(prepared: Prepared) -> bool:
    """Returns whether each `$dynamicRef` can mean only one schema."""
    names = [schema["$dynamicAnchor"] for schema in prepared.subschemas if "$dynamicAnchor" in schema]
    return len(set(names)) == len(names)
