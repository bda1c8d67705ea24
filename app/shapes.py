"""What the documents of each collection must be, and a document that is not so made readable.

Anybody can change a database by hand, and a release that is older or newer writes what another does not know. A document whose fields are
missing or of another type than its reader expects must break neither a list nor a tick. So each document is held against the shape of its
collection as it comes out of the database (app.mongo.Records): a wrong value is replaced by a neutral one of the right type, and the
document says what was wrong with it, in `damaged`. Whoever acts on documents leaves a damaged one alone. All functions are pure.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DAMAGED = "damaged"  # the field of a damaged document that says what is wrong with it; nothing stores it
UNKNOWN = "unreadable"  # stands for a word that cannot be read
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # stands for an instant that cannot be read
_LONGEST = 500  # characters of all that is wrong with one document
MISSING: Any = object()

Note = Callable[[str, str], None]  # (where, what is wrong there)


@dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """What a value must be. `optional`: it may be missing; `nullable`: it may be null."""

    optional: bool = False
    nullable: bool = False

    def mend(self, value: Any, at: str, note: Note) -> Any:
        """`value` where it is of this kind, else a neutral one, of which `note` is told."""
        if value is None and self.nullable:
            return None
        if not self.fits(value):
            note(at, "is missing" if value is MISSING else f"is {_in_words(value)}")
            return self.neutral
        return value

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Whether a value is of this kind, without regard to what it holds."""

    @property
    @abstractmethod
    def neutral(self) -> Any:
        """What stands for a value that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Text(Kind):
    """A text; `words` are those that it may be, `pattern` is its form."""

    words: Collection[str] = ()
    pattern: str = ""
    default: str | None = ""

    def fits(self, value: Any) -> bool:
        if not isinstance(value, str) or (self.words and value not in self.words):
            return False
        return not self.pattern or re.fullmatch(self.pattern, value) is not None

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.default


@dataclass(frozen=True, kw_only=True)
class Number(Kind):
    """A number; `whole` ones have no decimals."""

    whole: bool = True
    least: int | None = 0
    most: int | None = 2**53
    default: int = 0

    def fits(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float) or value != value:
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.default


@dataclass(frozen=True, kw_only=True)
class Flag(Kind):
    """true or false."""

    default: bool = False

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.default


@dataclass(frozen=True, kw_only=True)
class Instant(Kind):
    """An instant that the calendar has."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, datetime)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else LONG_AGO


@dataclass(frozen=True, kw_only=True)
class Anything(Kind):
    """Whatever it is."""

    def fits(self, value: Any) -> bool:
        return value is not MISSING

    @property
    def neutral(self) -> Any:
        return None


@dataclass(frozen=True, kw_only=True)
class Listed(Kind):
    """A list; entries of another kind than `of` are left out."""

    of: Kind = field(default_factory=Anything)

    def fits(self, value: Any) -> bool:
        return isinstance(value, list)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else []

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        """With `partial` no member of an entry must be there."""
        made = super().mend(value, at, note)
        if not made or isinstance(self.of, Anything):
            return made
        kept = []
        for place, entry in enumerate(made):
            where = f"{at}/{place}"
            if not self.of.fits(entry):
                whole = isinstance(entry, dict) and isinstance(self.of, Object)
                note(where, "cannot be read" if whole else f"is {_in_words(entry)}")
            elif partial and isinstance(self.of, Object):
                kept.append(self.of.mend(entry, where, note, partial=True))
            else:
                kept.append(self.of.mend(entry, where, note))
        same = len(kept) == len(made) and all(new is old for new, old in zip(kept, made, strict=True))
        return made if same else kept


@dataclass(frozen=True, kw_only=True)
class Object(Kind):
    """An object with some members; `closed`: with no others. `others` is what members that have no kind of their own are."""

    members: Mapping[str, Kind] = field(default_factory=dict)
    closed: bool = False
    others: Kind | None = None

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.mend({}, "", _nobody)

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        """With `partial` no member must be there: a query asked for some."""
        made = super().mend(value, at, note)
        if made is None or made is not value:
            return made
        changes: dict[str, Any] = {}
        for name, kind in self.members.items():
            if name in made or not (kind.optional or partial):
                old = made.get(name, MISSING)
                new = kind.mend(old, f"{at}/{name}", note)
                if new is not old:
                    changes[name] = new
        made = {**made, **changes} if changes else made
        return self._without_strange(made, at, note)

    def _without_strange(self, made: dict[str, Any], at: str, note: Note) -> dict[str, Any]:
        if not self.closed and self.others is None:
            return made
        kept = {}
        for name, value in made.items():
            if name in self.members or (self.others is not None and self.others.fits(value)):
                kept[name] = value
            else:
                note(f"{at}/{name}", "is not known" if self.others is None else f"is {_in_words(value)}")
        return made if len(kept) == len(made) else kept


@dataclass(frozen=True, kw_only=True)
class Json(Object):
    """An object of any members that JSON can say; what it cannot (an instant, a number that is none) is told as a text."""

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        made = super().mend(value, at, note, partial=partial)
        return made if made is None else _as_json(made, at, note)


def _as_json(value: Any, at: str, note: Note) -> Any:
    """`value` itself where JSON can say it."""
    if isinstance(value, dict):
        made = {name: _as_json(item, f"{at}/{name}", note) for name, item in value.items()}
        return value if all(made[name] is item for name, item in value.items()) else made
    if isinstance(value, list):
        items = [_as_json(item, f"{at}/{place}", note) for place, item in enumerate(value)]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    note(at, f"is {_in_words(value)}")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _nobody(_at: str, _why: str) -> None:
    pass


def mended(document: dict[str, Any], shape: Object, projection: Any = None) -> dict[str, Any]:
    """`document` itself where it has the shape, else one that has it and says under DAMAGED what was wrong. Fields that `projection` (as
    `find` takes it) leaves out are not missed."""
    wrong: list[str] = []

    def note(at: str, why: str) -> None:
        wrong.append(f"{at} {why}")

    made = document
    for name, kind, partial in _asked_for(shape, projection):
        old = made.get(name, MISSING)
        if old is MISSING and (kind.optional or partial):
            continue
        if partial and isinstance(kind, Object | Listed):
            new = kind.mend(old, f"/{name}", note, partial=True)
        else:
            new = kind.mend(old, f"/{name}", note)
        if new is not old:
            made = {**made, name: new}
    if not isinstance(made.get("_id", ""), str) and "_id" not in shape.members:
        note("/_id", f"is {_in_words(made['_id'])}")
        made = {**made, "_id": str(made["_id"])}
    return {**made, DAMAGED: "; ".join(wrong)[:_LONGEST]} if wrong else document


def damaged_fields(damaged: str) -> frozenset[str]:
    """The fields that a document's DAMAGED speaks of."""
    return frozenset(part.split("/")[1].split(" ")[0] for part in damaged.split("; ") if part.startswith("/"))


def _asked_for(shape: Object, projection: Any) -> Iterable[tuple[str, Kind, bool]]:
    """The fields of a shape that a query asked for, and whether it did for parts of them only."""
    if not projection:
        return [(name, kind, False) for name, kind in shape.members.items()]
    asked = dict.fromkeys(projection, 1) if not isinstance(projection, Mapping) else projection
    named = {name for name, wanted in asked.items() if wanted and name != "_id"}
    if not named and any(not wanted for name, wanted in asked.items() if name != "_id"):
        out = {name.partition(".")[0] for name in asked}
        return [(name, kind, False) for name, kind in shape.members.items() if name not in out]
    parts = {name.partition(".")[0] for name in named if "." in name}
    return [(name, kind, name in parts) for name, kind in shape.members.items() if name in named or name in parts]


def readable_values(values: Iterable[Any], shape: Object, path: str) -> list[Any]:
    """Those of the distinct values of a field that are of its kind; of lists, of the kind of their entries."""
    kind: Kind | None = shape
    for name in path.split("."):
        inner = kind.of if isinstance(kind, Listed) else kind
        kind = inner.members.get(name) if isinstance(inner, Object) else None
    if kind is None:
        return list(values)
    of = kind.of if isinstance(kind, Listed) else kind
    return [value for value in values if value is not None and of.fits(value)]


def _in_words(value: Any) -> str:
    """What a value is, for the sentence that says that it is wrong."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value!r}"[:60]
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "an instant"


def texts(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Kind]:
    """Some members that are texts."""
    return dict.fromkeys(names, Text(optional=optional, nullable=nullable))


def instants(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Kind]:
    """Some members that are instants."""
    return dict.fromkeys(names, Instant(optional=optional, nullable=nullable))


def objects(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Kind]:
    """Some members that are objects of any kind."""
    return dict.fromkeys(names, Object(optional=optional, nullable=nullable))


def wholes(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Kind]:
    """Some members that are whole numbers from 0 on."""
    return dict.fromkeys(names, Number(optional=optional, nullable=nullable))


def one_of(words: Sequence[str], default: str, *, optional: bool = False, nullable: bool = False) -> Text:
    """One of some words."""
    return Text(words=frozenset(words), default=default, optional=optional, nullable=nullable)
