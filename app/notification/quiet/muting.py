"""Mutes: which announcements they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from app.mongo import Document
from app.notification.announcing import Announcement, SubjectKind
from app.notification.quiet.entry import labels_of

LONGEST = timedelta(days=30)  # of a mute: what nobody looks at for longer should be changed instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """Which announcements a mute holds. Each field that is not empty must match: an announcement matches it if it has one of the values.
    Rules and jobs are given by their names."""

    rules: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    def matches(self, announcement: Announcement) -> bool:
        """Returns whether a mute holds this announcement. An empty matcher holds none."""
        wanted = [(getattr(self, field.name), field.name) for field in fields(self)]
        return any(values for values, _ in wanted) and all(
            not values or not _values_of(announcement, name).isdisjoint(values) for values, name in wanted
        )

    def as_document(self) -> Document:
        """Returns the stored form, which is also the one of the REST interface."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}


MATCHED = tuple(field.name for field in fields(Matcher))


def _values_of(announcement: Announcement, name: str) -> frozenset[str]:
    about_job = announcement.subject.kind is SubjectKind.JOB
    match name:
        case "rules":
            return frozenset({announcement.rule})
        case "jobs":
            return frozenset({announcement.subject.name} if about_job else ())
        case "groups":
            return frozenset({announcement.subject.group} if about_job else ())
        case "severities":
            return frozenset({announcement.severity.value})
        case "tags":
            return frozenset(labels_of(announcement, "tags"))
    return frozenset(labels_of(announcement, "template"))


def matcher_from(row: Mapping[str, Any]) -> Matcher:
    """Returns the matcher in a stored document."""
    return Matcher(**{name: tuple(row.get(name) or ()) for name in MATCHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Holds what matches until it ends. `author` is the mail address of the person who has created it."""

    id: str
    matcher: Matcher
    reason: str
    author: str
    created_at: datetime
    ends_at: datetime
    version: int = 1
    damaged: str = ""

    def holds(self, announcement: Announcement, now: datetime) -> bool:
        """Returns whether an announcement is held now."""
        return now < self.ends_at and not self.damaged and self.matcher.matches(announcement)

    def as_document(self) -> Document:
        """Returns the stored form."""
        return {
            "_id": self.id,
            "matcher": self.matcher.as_document(),
            "reason": self.reason,
            "author": self.author,
            "created_at": self.created_at,
            "ends_at": self.ends_at,
            "version": self.version,
        }


def mute_from(row: Mapping[str, Any]) -> Mute:
    """Returns the mute in a stored document."""
    same = {name: row[name] for name in ("reason", "author", "created_at", "ends_at", "version")}
    return Mute(id=row["_id"], matcher=matcher_from(row["matcher"]), damaged=row.get("damaged", ""), **same)
