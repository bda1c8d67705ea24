"""A digest, what it is about, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from app.audit.model import Actor
from app.mongo import Document
from app.shapes import DAMAGED

MOST_LINES = 20  # that a part names; it counts the rest
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Every(StrEnum):
    """How often a digest is sent."""

    DAILY = "daily"  # each day at a time of the clock on the wall
    WEEKLY = "weekly"  # on one day of each week


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A digest. That of one person has their id as `owner_id`, and takes address, language, time zone and groups from their account; that
    of a team has a name, recipients (mail addresses and `channel:NAME`), and the `groups` and `tags` of its jobs; none of them: all jobs.

    `only_if_any` has it sent only if there is something to say. `last_day` is the local day (YYYY-MM-DD) of the last one, `last_until` what
    it reaches to, and `failing` the jobs that failed by then. `next_at` is when the next one is due.
    """

    id: str
    every: Every
    weekday: str
    at: str
    only_if_any: bool
    enabled: bool
    version: int
    owner_id: str = ""
    name: str = ""
    timezone: str = ""
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    language: str = ""
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    last_day: str = ""
    last_until: datetime | None = None
    failing: tuple[str, ...] = ()
    next_at: datetime | None = None
    damaged: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Returns the digest in a stored document."""
        values: dict[str, Any] = {name: row[name] for name in (*PLAIN_FIELDS, "last_day", "last_until", "next_at")}
        values |= {name: tuple(row[name]) for name in ("groups", "tags", "to", "failing")}
        return cls(id=row["_id"], every=Every(row["every"]), damaged=row.get(DAMAGED, ""), **values)

    def as_document(self) -> Document:
        """Returns the stored form."""
        lists = {name: list(getattr(self, name)) for name in ("groups", "tags", "to", "failing")}
        plain = {name: getattr(self, name) for name in PLAIN_FIELDS}
        state = {"last_day": self.last_day, "last_until": self.last_until, "next_at": self.next_at, "claimed_until": None}
        return {"_id": self.id, "every": self.every.value, **lists, **plain, **state}


PLAIN_FIELDS = (
    "weekday",
    "at",
    "only_if_any",
    "enabled",
    "version",
    "owner_id",
    "name",
    "timezone",
    "language",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a digest is made from: the jobs that `reader` sees and that have one of `tags` (none: all), and what happened after `begin` and
    not after `end`. `failing` are the jobs that failed at `begin`."""

    reader: Actor
    begin: datetime
    end: datetime
    tags: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()

    @property
    def of_everything(self) -> bool:
        """Whether it is about the whole installation, and not only about some jobs."""
        return self.reader.groups is None and not self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing of a part: its words, a detail that stands behind them, and the path of the page that shows it."""

    words: str
    path: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a digest: how many things it has, the first MOST_LINES of them, and the path of the page that lists all. A part that
    `is_news` makes a digest worth sending; another one only adds to it."""

    key: str
    title: str
    count: int
    lines: tuple[Line, ...]
    path: str
    is_news: bool = True

    @classmethod
    def of(cls, key: str, title: str, lines: Iterable[Line], *, path: str, is_news: bool = True) -> Self:
        """Returns the part that has these lines."""
        every = list(lines)
        return cls(key=key, title=title, count=len(every), lines=tuple(every[:MOST_LINES]), path=path, is_news=is_news)


class SectionSource(Protocol):
    """Yields parts of a digest, in their order; parts without lines are left out. Whoever has more to say adds one source in
    app.factory.digests."""

    def __call__(self, reading: Reading) -> Iterable[Section]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a digest says: its parts, how many runs ended and failed, and the jobs that fail at its end."""

    reading: Reading
    sections: tuple[Section, ...]
    runs: int = 0
    failures: int = 0
    failing: tuple[str, ...] = ()

    @property
    def has_news(self) -> bool:
        return any(section.is_news for section in self.sections)
