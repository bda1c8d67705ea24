"""The shapes of documents, and how a damaged document is made readable.

Anyone can change a database by hand, and an older or newer release writes what this one does not know. A document with missing fields, or
with fields of another type than its reader expects, must not break a list or a tick. So each document that comes out of the database is
compared with the shape of its collection (app.mongo.Records): a wrong value is replaced by a neutral one of the right type, and the
document says in `damaged` what was wrong with it. Code that acts on documents does nothing with a damaged one. All functions here are pure.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DAMAGED = "damaged"  # the field in which a damaged document says what is wrong with it; it is never stored
UNKNOWN = "unreadable"  # replaces a word that cannot be read
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # replaces an instant that cannot be read
_LONGEST = 500  # characters of the description of one document's damage
MISSING: Any = object()

Note = Callable[[str, str], None]  # is called with a JSON pointer and what is wrong there


@dataclass(frozen=True, kw_only=True)
class Shape(ABC):
    """The type of a value. An `optional` value may be missing, and a `nullable` one may be null."""

    optional: bool = False
    nullable: bool = False

    def mend(self, value: Any, at: str, note: Note) -> Any:
        """Returns `value` if it has this type; otherwise a neutral value, after a call of `note`."""
        if value is None and self.nullable:
            return None
        if not self.fits(value):
            note(at, "is missing" if value is MISSING else f"is {_in_words(value)}")
            return self.neutral
        return value

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Returns whether a value has this type. Its members or entries are not checked."""

    @property
    @abstractmethod
    def neutral(self) -> Any:
        """The value that replaces one that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Text(Shape):
    """A text. `words` are the allowed texts, and `pattern` is a regular expression for the whole text; empty means any."""

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
class Number(Shape):
    """A number from `least` to `most`. A `whole` number has no decimals."""

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
class Flag(Shape):
    """True or false."""

    default: bool = False

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.default


@dataclass(frozen=True, kw_only=True)
class Instant(Shape):
    """An instant in the years 1 to 9999."""

    def fits(self, value: Any) -> bool:
        return isinstance(value, datetime)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else LONG_AGO


@dataclass(frozen=True, kw_only=True)
class Anything(Shape):
    """Any value."""

    def fits(self, value: Any) -> bool:
        return value is not MISSING

    @property
    def neutral(self) -> Any:
        return None


@dataclass(frozen=True, kw_only=True)
class Listed(Shape):
    """A list. Entries that do not have the type `of` are left out."""

    of: Shape = field(default_factory=Anything)

    def fits(self, value: Any) -> bool:
        return isinstance(value, list)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else []

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        """Returns a list of the type. With `partial`, the entries may lack members."""
        entries = super().mend(value, at, note)
        if not entries or isinstance(self.of, Anything):
            return entries
        readable = []
        for index, entry in enumerate(entries):
            where = f"{at}/{index}"
            if not self.of.fits(entry):
                whole = isinstance(entry, dict) and isinstance(self.of, Object)
                note(where, "cannot be read" if whole else f"is {_in_words(entry)}")
            elif partial and isinstance(self.of, Object):
                readable.append(self.of.mend(entry, where, note, partial=True))
            else:
                readable.append(self.of.mend(entry, where, note))
        same = len(readable) == len(entries) and all(new is old for new, old in zip(readable, entries, strict=True))
        return entries if same else readable


@dataclass(frozen=True, kw_only=True)
class Object(Shape):
    """An object with these members. A `closed` one has no others. `others` is the type of members that are not listed; None means any."""

    members: Mapping[str, Shape] = field(default_factory=dict)
    closed: bool = False
    others: Shape | None = None

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict)

    @property
    def neutral(self) -> Any:
        return None if self.nullable else self.mend({}, "", _ignore)

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        """Returns an object of the type. With `partial`, members may be missing, because a query asked only for some."""
        document = super().mend(value, at, note)
        if document is None or document is not value:
            return document
        changes: dict[str, Any] = {}
        for name, shape in self.members.items():
            if name in document or not (shape.optional or partial):
                old = document.get(name, MISSING)
                new = shape.mend(old, f"{at}/{name}", note)
                if new is not old:
                    changes[name] = new
        document = {**document, **changes} if changes else document
        return self._without_unknown(document, at, note)

    def _without_unknown(self, document: dict[str, Any], at: str, note: Note) -> dict[str, Any]:
        if not self.closed and self.others is None:
            return document
        known = {}
        for name, value in document.items():
            if name in self.members or (self.others is not None and self.others.fits(value)):
                known[name] = value
            else:
                note(f"{at}/{name}", "is not known" if self.others is None else f"is {_in_words(value)}")
        return document if len(known) == len(document) else known


@dataclass(frozen=True, kw_only=True)
class Json(Object):
    """An object with any members that JSON can express. Other values (an instant, NaN) become a text."""

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        document = super().mend(value, at, note, partial=partial)
        return document if document is None else _as_json(document, at, note)


def _as_json(value: Any, at: str, note: Note) -> Any:
    """Returns `value` itself if JSON can express it; otherwise a copy in which the other values are texts."""
    if isinstance(value, dict):
        members = {name: _as_json(item, f"{at}/{name}", note) for name, item in value.items()}
        return value if all(members[name] is item for name, item in value.items()) else members
    if isinstance(value, list):
        items = [_as_json(item, f"{at}/{index}", note) for index, item in enumerate(value)]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    note(at, f"is {_in_words(value)}")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _ignore(_at: str, _why: str) -> None:
    pass


def make_readable(document: dict[str, Any], shape: Object, projection: Any = None) -> dict[str, Any]:
    """Returns `document` itself if it has the shape; otherwise a copy that has it and says under DAMAGED what was wrong.

    Fields that `projection` (as for `find`) leaves out may be missing.
    """
    damage: list[str] = []

    def note(at: str, why: str) -> None:
        damage.append(f"{at} {why}")

    readable = document
    for name, member, partial in _projected(shape, projection):
        old = readable.get(name, MISSING)
        if old is MISSING and (member.optional or partial):
            continue
        if partial and isinstance(member, Object | Listed):
            new = member.mend(old, f"/{name}", note, partial=True)
        else:
            new = member.mend(old, f"/{name}", note)
        if new is not old:
            readable = {**readable, name: new}
    if not isinstance(readable.get("_id", ""), str) and "_id" not in shape.members:
        note("/_id", f"is {_in_words(readable['_id'])}")
        readable = {**readable, "_id": str(readable["_id"])}
    return {**readable, DAMAGED: "; ".join(damage)[:_LONGEST]} if damage else document


def damaged_fields(damaged: str) -> frozenset[str]:
    """Returns the names of the fields that a DAMAGED text mentions."""
    return frozenset(part.split("/")[1].split(" ")[0] for part in damaged.split("; ") if part.startswith("/"))


def _projected(shape: Object, projection: Any) -> Iterable[tuple[str, Shape, bool]]:
    """Returns the fields of a shape that a query asked for: name, type, and whether it asked only for a part of the field."""
    if not projection:
        return [(name, member, False) for name, member in shape.members.items()]
    asked = dict.fromkeys(projection, 1) if not isinstance(projection, Mapping) else projection
    named = {name for name, wanted in asked.items() if wanted and name != "_id"}
    if not named and any(not wanted for name, wanted in asked.items() if name != "_id"):
        out = {name.partition(".")[0] for name in asked}
        return [(name, member, False) for name, member in shape.members.items() if name not in out]
    parts = {name.partition(".")[0] for name in named if "." in name}
    return [(name, member, name in parts) for name, member in shape.members.items() if name in named or name in parts]


def readable_values(values: Iterable[Any], shape: Object, path: str) -> list[Any]:
    """Returns the distinct values of a field that have its type; for a list, the type of its entries."""
    field_shape: Shape | None = shape
    for name in path.split("."):
        inner = field_shape.of if isinstance(field_shape, Listed) else field_shape
        field_shape = inner.members.get(name) if isinstance(inner, Object) else None
    if field_shape is None:
        return list(values)
    of = field_shape.of if isinstance(field_shape, Listed) else field_shape
    return [value for value in values if value is not None and of.fits(value)]


def _in_words(value: Any) -> str:
    """Describes a value, for the sentence that says that it is wrong."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value!r}"[:60]
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "an instant"


def texts(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Shape]:
    """Returns members that are texts."""
    return dict.fromkeys(names, Text(optional=optional, nullable=nullable))


def instants(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Shape]:
    """Returns members that are instants."""
    return dict.fromkeys(names, Instant(optional=optional, nullable=nullable))


def objects(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Shape]:
    """Returns members that are objects with any members."""
    return dict.fromkeys(names, Object(optional=optional, nullable=nullable))


def wholes(*names: str, optional: bool = False, nullable: bool = False) -> dict[str, Shape]:
    """Returns members that are whole numbers from 0."""
    return dict.fromkeys(names, Number(optional=optional, nullable=nullable))


def one_of(words: Sequence[str], default: str, *, optional: bool = False, nullable: bool = False) -> Text:
    """Returns a text that is one of `words`."""
    return Text(words=frozenset(words), default=default, optional=optional, nullable=nullable)
