"""The `announcements` collection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateMany
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.mongo import QUERY_TIME_MS, Document, Records, is_only_duplicates
from app.notification.announcing import KIND
from app.notification.delivery import delivery_id
from app.notification.message import MessageKind
from app.notification.quiet.entry import ALARMS, Entry, EntryFilter, EntryStatus, Hold, Why
from app.notification.quiet.entry_record import ENTRY, WITHOUT_CONTENT, entry_document, entry_from, hold_document

READ_AT_ONCE = 20_000  # entries that one plan looks at; the others wait for the next one
FORGOTTEN_AT_ONCE = 1_000
DATE = {"$type": "date"}  # as the partial indexes say it
WAITING, HELD, SENT = (status.value for status in EntryStatus)


class EntryStore:
    """One document for each announcement and channel. Each change names the status that it expects, so that a node that is late changes
    nothing."""

    def __init__(self, database: Database[Document]) -> None:
        self._entries = Records(database, "announcements", ENTRY)

    # -- writing --------------------------------------------------------------------------------------------------

    def add(self, entries: Sequence[Entry]) -> None:
        """Writes entries. One that exists already stays as it is."""
        if not entries:
            return
        try:
            self._entries.insert_many([entry_document(entry) for entry in entries], ordered=False)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise

    def hold(self, holds: Iterable[tuple[Entry, Hold]], *, recheck_at: datetime) -> int:
        """Holds entries. A hold that is not final is looked at again when it ends, or then. Returns their number."""
        changes = []
        for status, hold, ids in _by_change([(entry.status, hold, entry.id) for entry, hold in holds]):
            due_at = None if hold.final else min(hold.until or recheck_at, recheck_at)
            held: Document = {
                "status": HELD,
                "hold": hold_document(hold),
                "due_at": due_at,
                "settled_at": hold.at if hold.final else None,
            }
            changes.append(UpdateMany(_expected(ids, status), {"$set": held}))
        return self._write(changes)

    def wait(self, waits: Iterable[tuple[Entry, datetime]]) -> int:
        """Lets entries wait until then, those whose hold has ended among them. Returns their number."""
        changes = [
            UpdateMany(_expected(ids, status), {"$set": {"status": WAITING, "due_at": due_at}})
            for status, due_at, ids in _by_change([(entry.status, due_at, entry.id) for entry, due_at in waits])
        ]
        return self._write(changes)

    def bind(self, ids: Collection[str], batch: str) -> list[str]:
        """Gives waiting entries to a batch, unless they are in another. Returns the ids of all waiting entries that it has."""
        self._entries.update_many({"_id": {"$in": list(ids)}, "status": WAITING, "batch": None}, {"$set": {"batch": batch}})
        return [row["_id"] for row in self._entries.find({"batch": batch, "status": WAITING}, {"_id": 1})]

    def note_sent(self, ids: Collection[str], batch: str, *, at: datetime) -> None:
        """Notes that the entries of a batch are in its message, and gives back what the batch has besides."""
        bound = {"batch": batch, "status": WAITING}
        sent = {"$set": {"status": SENT, "due_at": None, "settled_at": at}}
        self._entries.update_many({**bound, "_id": {"$in": list(ids)}}, sent)
        self._entries.update_many({**bound, "_id": {"$nin": list(ids)}}, {"$set": {"batch": None}})

    def recheck(self, by: str, *, now: datetime) -> int:
        """Makes the entries due that are held by a mute or a channel. Returns their number."""
        held = {"status": HELD, "hold.by": by, "due_at": {**DATE, "$gt": now}}
        return self._entries.update_many(held, {"$set": {"due_at": now}}).modified_count

    def _write(self, changes: Sequence[UpdateMany]) -> int:
        return self._entries.bulk_write(changes, ordered=False).modified_count if changes else 0

    # -- planning -------------------------------------------------------------------------------------------------

    def is_due(self, now: datetime) -> bool:
        """Returns whether something is to be decided."""
        return self._entries.find_one({"due_at": {**DATE, "$lte": now}}, {"_id": 1}) is not None

    def held_due(self, now: datetime) -> list[Entry]:
        """Returns entries whose hold is to be looked at."""
        rows = self._entries.find({"due_at": {**DATE, "$lte": now}, "status": HELD}, WITHOUT_CONTENT).sort("due_at", 1).limit(READ_AT_ONCE)
        return _whole(rows)

    def waiting(self, now: datetime) -> list[Entry]:
        """Returns the waiting entries of all channels for which one is due, in no order."""
        due = {"due_at": {**DATE, "$lte": now}, "status": WAITING}
        targets = sorted(self._entries.distinct("target_key", due))
        if not targets:
            return []
        wanted = {"due_at": DATE, "status": WAITING, "target_key": {"$in": targets}}
        return _whole(self._entries.find(wanted, WITHOUT_CONTENT).sort("due_at", 1).limit(READ_AT_ONCE))

    def told(self, incidents: Collection[str]) -> dict[tuple[str, str], set[str]]:
        """Returns of which of these incidents an alarm was sent, each with the key of the target, and in which deliveries."""
        alarms = {"$in": [kind.value for kind in ALARMS]}
        sent = {"announcement.incident_id": {"$in": list(incidents)}, "status": SENT, "announcement.kind": alarms}
        fields = dict.fromkeys(("announcement.incident_id", "target_key", "batch", "target.channel_id", "target.recipients"), 1)
        told: dict[tuple[str, str], set[str]] = {}
        for row in self._entries.find(sent, fields) if incidents else ():
            place, target = (row["announcement"]["incident_id"], row["target_key"]), row["target"]
            told.setdefault(place, set()).add(delivery_id(row["batch"] or "", target["channel_id"], tuple(target["recipients"]), KIND))
        return told

    def of(self, ids: Collection[str]) -> list[Entry]:
        """Returns the entries with these ids, oldest first."""
        rows = self._entries.find({"_id": {"$in": list(ids)}})
        return sorted(map(entry_from, rows), key=lambda entry: (entry.announcement.at, entry.created_at, entry.id))

    # -- reading --------------------------------------------------------------------------------------------------

    def page(self, wanted: EntryFilter, *, limit: int) -> list[Entry]:
        """Returns entries, newest first."""
        rows = self._entries.find(_query(wanted)).sort([("created_at", -1), ("_id", -1)]).limit(limit).max_time_ms(QUERY_TIME_MS)
        return [entry_from(row) for row in rows]

    def alarms_since(self, since: datetime, *, limit: int) -> list[Entry]:
        """Returns the first announcements of alarms of each incident since then, newest first, one for each channel."""
        wanted = {"created_at": {"$gte": since}, "announcement.kind": MessageKind.FIRING.value}
        return [
            entry_from(row)
            for row in self._entries.find(wanted, WITHOUT_CONTENT).sort("created_at", -1).limit(limit).max_time_ms(QUERY_TIME_MS)
        ]

    def counts_held(self, since: datetime, *, groups: Collection[str] | None = None) -> dict[Why, int]:
        """Returns how many entries of the time since then are held, by reason; of the jobs in `groups`, if some are given."""
        seen: Document = {} if groups is None else {"announcement.subject.group": {"$in": sorted(groups)}}
        stages: list[Document] = [
            {"$match": {"created_at": {"$gte": since}, "status": HELD, **seen}},
            {"$group": {"_id": "$hold.why", "count": {"$sum": 1}}},
        ]
        rows = {row["_id"]: row["count"] for row in self._entries.aggregate(stages, maxTimeMS=QUERY_TIME_MS)}
        return {why: rows[why.value] for why in Why if why.value in rows}

    def forget(self, before: datetime) -> int:
        """Removes some entries that were written before then and about which nothing is to be decided. Returns their number."""
        old = {"created_at": {"$lt": before}, "due_at": None}
        ids = [row["_id"] for row in self._entries.find(old, {"_id": 1}).limit(FORGOTTEN_AT_ONCE)]
        return self._entries.delete_many({"_id": {"$in": ids}, "due_at": None}).deleted_count if ids else 0


def _by_change(changes: Iterable[tuple[EntryStatus, Any, str]]) -> Iterable[tuple[EntryStatus, Any, list[str]]]:
    """Returns the ids of all entries of one status that change in the same way."""
    alike = dict[tuple[EntryStatus, Any], list[str]]()
    for status, change, entry_id in changes:
        alike.setdefault((status, change), []).append(entry_id)
    for (status, change), ids in alike.items():
        yield status, change, ids


def _expected(ids: Collection[str], status: EntryStatus) -> Document:
    return {"_id": {"$in": list(ids)}, "status": status.value, "batch": None, "due_at": DATE}


def _whole(rows: Iterable[Document]) -> list[Entry]:
    """Returns the entries that can be read. Nothing is decided about damaged ones."""
    return [entry for entry in map(entry_from, rows) if not entry.damaged]


def _query(wanted: EntryFilter) -> Mapping[str, Any]:
    fields = {
        "status": wanted.status,
        "hold.why": wanted.why,
        "hold.by": wanted.by,
        "batch": wanted.batch,
        "announcement.incident_id": wanted.incident_id,
        "target.channel_id": wanted.channel_id,
    }
    query: Document = {name: value for name, value in fields.items() if value}
    times = {name: value for name, value in (("$gte", wanted.begin), ("$lt", wanted.end)) if value is not None}
    if times:
        query["created_at"] = times
    if wanted.before is not None:
        at, last_id = wanted.before
        query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last_id}}]
    return query
