"""Judges values by one schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import FieldError
from app.validation.formats import checker
from app.validation.keywords import Judge
from app.validation.patterns import bounded
from app.validation.readable import Chosen, distance, readable
from app.validation.schema import Prepared, Schema, prepare
from app.validation.storable import unstorable
from app.validation.words import DEFAULT_LOCALE, words_of

MAX_ERRORS = 100  # one hopeless value does not become a megabyte of sentences
LOCALES = Path(__file__).parent / "locale"
_MOST_COMPARED = 50  # errors looked at to tell how far a branch is


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

    def errors(
        self, value: Any, *, prefix: str = "", locale: str = DEFAULT_LOCALE, chosen: Chosen = nobody_chose, limit: int = MAX_ERRORS
    ) -> list[FieldError]:
        """What is wrong with `value`, each at its JSON Pointer below `prefix`; at most `limit` errors, none where it is valid.

        `chosen` tells the branch of a union that a person picked: its errors are the ones to show.
        """
        words = words_of(LOCALES, locale)
        found: dict[tuple[str, str], FieldError] = {}
        with bounded():
            try:
                for error in self._judge.iter_errors(value):
                    for one in readable(error, words, chosen, prefix):
                        found.setdefault((one.pointer, one.message), one)
                    if len(found) >= limit:
                        break
            except RecursionError:
                found["", "deep"] = FieldError(prefix, words("tooDeep"))
        told = {pointer for pointer, _ in found}
        lost = [one for one in unstorable(value, prefix=prefix) if one.pointer not in told] if self._stored else []
        return sorted([*found.values(), *lost], key=lambda one: one.pointer)

    def fits(self, schema: Schema | bool, resolver: Any, value: Any) -> bool:
        """True where `value` is valid by a subschema that stands where `resolver` does."""
        with bounded():
            return bool(self._judge.evolve(schema=schema, _resolver=resolver).is_valid(value))

    def distance(self, schema: Schema | bool, resolver: Any, value: Any) -> tuple[int, int, int]:
        """How far `value` is from a subschema; (0, 0, 0) where it fits."""
        with bounded():
            errors = self._judge.evolve(schema=schema, _resolver=resolver).iter_errors(value)
            return distance(error for error, _ in zip(errors, range(_MOST_COMPARED), strict=False))
