"""The collections `audit_log`, which is written and read but never changed, and `settings_seen`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.audit.chain import BEGINNING, Head
from app.audit.model import AuditFilter
from app.mongo import EXACT, Document, Records, is_only_duplicates, literal
from app.shapes import Anything, Instant, Listed, Number, Object, Text, texts

QUERY_TIME_MS = 5_000


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
        **texts("approved_by", "on_behalf_of", "reason", "seal", "previous", "key", optional=True),
    }
)
SEEN = Object(members={"values": Object(optional=True), "secrets": Object(optional=True, others=Text())})


class AuditStore:
    """Stores events. It has no method that updates or deletes one."""

    def __init__(self, database: Database[Document]) -> None:
        self._events = Records(database, "audit_log", EVENT)
        self._exact = database["audit_log"].with_options(codec_options=EXACT)

    def head(self) -> Head:
        """Returns the end of the chain."""
        numbered = {"seq": {"$type": "number"}}  # a text would sort before the numbers
        row = self._events.find_one(numbered, {"seq": 1, "seal": 1}, sort=[("seq", -1)])
        return Head(row["seq"], row.get("seal", BEGINNING)) if row else Head()

    def append(self, event: Document) -> bool:
        """Writes one event, acknowledged by a majority. Returns False if another event has its number."""
        try:
            self._events.insert_one(event)
        except DuplicateKeyError:
            return False
        return True

    def append_all(self, events: Sequence[Document]) -> int:
        """Writes events in their order, acknowledged by a majority. Returns how many are written before one whose number another event
        has."""
        try:
            self._events.insert_many(events)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise
            return int(error.details["nInserted"])
        return len(events)

    def find(self, wanted: AuditFilter, *, before: int | None = None, limit: int = 50) -> list[Document]:
        """Returns matching events, the newest first; with `before`, only those with a smaller number."""
        where = _query(wanted)
        if before is not None:
            where["seq"] = {"$lt": before}
        return list(self._events.find(where).sort("seq", -1).limit(limit).max_time_ms(QUERY_TIME_MS))

    def walk(self, wanted: AuditFilter) -> Iterator[Document]:
        """Yields all matching events, the oldest first."""
        yield from self._events.find(_query(wanted)).sort("seq", 1)

    def walk_exact(self) -> Iterator[Document]:
        """Yields all events, the oldest first, in the types of the driver, because a seal covers those."""
        yield from self._exact.find().sort("seq", 1)

    def actions(self) -> list[str]:
        """Returns every action that was ever recorded, sorted."""
        return sorted(self._events.distinct("action"))


def _query(wanted: AuditFilter) -> Document:
    fields = {
        "target.kind": wanted.kind,
        "target.id": wanted.target_id,
        "outcome": wanted.outcome,
        "correlation_id": wanted.correlation_id,
    }
    query: Document = {field: value for field, value in fields.items() if value}
    if wanted.action:
        query["action"] = {"$regex": rf"^{literal(wanted.action)}(\.|$)"}
    if wanted.actor:
        query["actor.email"] = {"$regex": literal(wanted.actor), "$options": "i"}
    span = {name: value for name, value in (("$gte", wanted.begin), ("$lt", wanted.end)) if value is not None}
    return {**query, "at": span} if span else query


class SettingsStore:
    """Stores the settings with which each process last started. A process is named by its host and role: `host1 serve`."""

    def __init__(self, database: Database[Document]) -> None:
        self._seen = Records(database, "settings_seen", SEEN)

    def last(self, process: str) -> Document:
        """Returns the settings of the last start of the process; an empty document if there was none."""
        return self._seen.find_one({"_id": process}, {"_id": 0}) or {}

    def save(self, process: str, settings: Document) -> None:
        """Stores the settings of the current start of the process."""
        self._seen.replace_one({"_id": process}, settings, upsert=True)
