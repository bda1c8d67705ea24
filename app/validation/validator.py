"""Judges values by one schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import FieldError
from app.validation.formats import checker
from app.validation.keywords import Judge, count_errors, fits, remembering
from app.validation.patterns import bounded
from app.validation.readable import UNKNOWN, Chosen, Reported, readable
from app.validation.schema import Prepared, Schema, prepare
from app.validation.storable import unstorable
from app.validation.together import stands_in
from app.validation.unions import Branch, meant
from app.validation.words import DEFAULT_LOCALE, words_of

MAX_ERRORS = 100  # one hopeless value does not become a megabyte of sentences
LOCALES = Path(__file__).parent / "locale"
MOST_LOOKED_AT = 2000  # errors of the judge: several ways may lead to the same one


def nobody_chose(_pointer: str, _branches: Any) -> None:
    """The answer where there is no person who chose branches."""


class SchemaValidator:
    """One schema's judge. Raises SchemaRefused for a schema that does not pass the gate.

    What the registry's store cannot hold exactly is wrong too, unless `stored` is False: then the schema alone decides.
    """

    def __init__(self, schema: Any, *, stored: bool = True) -> None:
        self._stored = stored
        self.prepared: Prepared = prepare(schema)
        self._judge = Judge(self.prepared.schema, format_checker=checker, registry=self.prepared.registry)
        self._remembers = _is_plain(self.prepared)

    def errors(
        self, value: Any, *, prefix: str = "", locale: str = DEFAULT_LOCALE, chosen: Chosen = nobody_chose, limit: int = MAX_ERRORS
    ) -> list[FieldError]:
        """What is wrong with `value`, each at its JSON Pointer below `prefix`; at most `limit` errors, none where it is valid.

        `chosen` tells the branch of a union that a person picked: its errors are the ones to show.
        """
        words = words_of(LOCALES, locale)
        found: dict[tuple[str, str], FieldError] = {}
        told: Reported = set()
        with self._judging():
            try:
                for error in islice(self._judge.iter_errors(value), MOST_LOOKED_AT):
                    for one in readable(error, words, chosen, prefix, told):
                        found.setdefault((one.pointer, one.message), one)
                    if len(found) >= limit:
                        break
            except RecursionError:
                found["", "deep"] = FieldError(prefix, words("tooDeep"))
        told_at = {pointer for pointer, _ in found}
        lost = [one for one in unstorable(value, prefix=prefix) if one.pointer not in told_at] if self._stored else []
        return sorted([*_causes(list(found.values()), words(UNKNOWN)), *lost], key=lambda one: one.pointer)

    def fits(self, schema: Schema | bool, resolver: Any, value: Any) -> bool:
        """True where `value` is valid by a subschema that stands where `resolver` does."""
        with self._judging():
            return fits(self._judge.evolve(_resolver=resolver), schema, value)

    def meant(self, branches: Sequence[Schema | bool], places: Sequence[int], resolver: Any, value: Any) -> int:
        """The branch, among those at `places`, that `value` is meant for: the first that it fits, else the nearest (unions.meant)."""
        with self._judging():
            judge = self._judge.evolve(_resolver=resolver)
            fitting = next((place for place in places if fits(judge, branches[place], value)), None)
            if fitting is not None:
                return fitting
            known = [Branch.of(place, branches[place], resolver) for place in places]
            return meant(known, value, lambda branch: count_errors(judge, branches[branch.place], value))

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Within the bounds of one judgement."""
        with bounded(), remembering() if self._remembers else nullcontext():
            yield


def _causes(errors: list[FieldError], unknown: str) -> list[FieldError]:
    """The errors without those that only follow: a field in which something is wrong is not unknown besides."""
    wrong = {error.pointer for error in errors if error.message != unknown}
    return [one for one in errors if one.message != unknown or not any(stands_in(at, one.pointer) for at in wrong)]


def _is_plain(prepared: Prepared) -> bool:
    """True where each `$dynamicRef` can mean one thing only."""
    names = [schema["$dynamicAnchor"] for schema in prepared.subschemas if "$dynamicAnchor" in schema]
    return len(set(names)) == len(names)
