"""The `audit_log` collection: written, read, never changed; and what settings were last seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.audit.chain import BEGINNING, Head
from app.mongo import EXACT, Document, Records, literal
from app.shapes import Anything, Instant, Listed, Number, Object, Text, texts

QUERY_TIME_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What a list of events is narrowed to; empty means all. `action` matches itself and, as `job`, each that begins with `job.`.

    `actor` is part of an e-mail address; `begin` is inclusive, `end` exclusive.
    """

    actor: str = ""
    action: str = ""
    kind: str = ""
    target_id: str = ""
    outcome: str = ""
    correlation_id: str = ""
    begin: datetime | None = None
    end: datetime | None = None

    def query(self) -> Document:
        found: Document = {}
        for field, value in (
            ("target.kind", self.kind),
            ("target.id", self.target_id),
            ("outcome", self.outcome),
            ("correlation_id", self.correlation_id),
        ):
            if value:
                found[field] = value
        if self.action:
            found["action"] = {"$regex": rf"^{literal(self.action)}(\.|$)"}
        if self.actor:
            found["actor.email"] = {"$regex": literal(self.actor), "$options": "i"}
        between = {name: value for name, value in (("$gte", self.begin), ("$lt", self.end)) if value is not None}
        if between:
            found["at"] = between
        return found


EVERYTHING = AuditFilter()
_ACTOR, _TARGET = Object(members=texts("id", "email", "role")), Object(members=texts("kind", "id", "name"))
_CHANGE = Object(members={"field": Text(), "before": Anything(optional=True), "after": Anything(optional=True)})
EVENT = Object(
    members={
        "seq": Number(),
        "at": Instant(),
        **texts("action", "outcome", "via", "address", "correlation_id"),
        "actor": _ACTOR,
        "target": _TARGET,
        "diff": Listed(of=_CHANGE),
        **texts("approved_by", "reason", "seal", "previous", "key", optional=True),
    }
)
SEEN = Object(members={"values": Object(optional=True), "secrets": Object(optional=True, others=Text())})


class AuditStore:
    """Append-only: there is no method that updates or deletes."""

    def __init__(self, database: Database[Document]) -> None:
        self._events = Records(database, "audit_log", EVENT)
        self._exact = database["audit_log"].with_options(codec_options=EXACT)

    def head(self) -> Head:
        """The end of the chain."""
        numbered = {"seq": {"$type": "number"}}  # a text among the numbers would come first
        row = self._events.find_one(numbered, {"seq": 1, "seal": 1}, sort=[("seq", -1)])
        return Head(row["seq"], row.get("seal", BEGINNING)) if row else Head()

    def append(self, event: Document) -> bool:
        """Write one event, majority-acknowledged; False where another has its number."""
        try:
            self._events.insert_one(event)
        except DuplicateKeyError:
            return False
        return True

    def find(self, query: AuditFilter, *, before: int | None = None, limit: int = 50) -> list[Document]:
        """The newest events first, those with a smaller number than `before`."""
        where: dict[str, Any] = query.query()
        if before is not None:
            where["seq"] = {"$lt": before}
        return list(self._events.find(where).sort("seq", -1).limit(limit).max_time_ms(QUERY_TIME_MS))

    def walk(self, query: AuditFilter = EVERYTHING) -> Iterator[Document]:
        """All events that match, oldest first."""
        yield from self._events.find(query.query()).sort("seq", 1)

    def walk_exact(self) -> Iterator[Document]:
        """All events, oldest first, in the types that the driver has: a seal is made over them."""
        yield from self._exact.find().sort("seq", 1)

    def actions(self) -> list[str]:
        """Every action that ever was, sorted."""
        return sorted(self._events.distinct("action"))


class SettingsStore:
    """The `settings_seen` collection: what each place last started with."""

    def __init__(self, database: Database[Document]) -> None:
        self._seen = Records(database, "settings_seen", SEEN)

    def last(self, place: str) -> Document:
        """What `keep` was last given for the place; empty where it never was."""
        return self._seen.find_one({"_id": place}, {"_id": 0}) or {}

    def keep(self, place: str, seen: Document) -> None:
        self._seen.replace_one({"_id": place}, seen, upsert=True)
