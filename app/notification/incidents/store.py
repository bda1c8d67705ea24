"""The `incidents` collection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import ANY_DATE, QUERY_TIME_MS, Document, Records, literal
from app.notification.announcing import AlertSeverity, SubjectKind
from app.notification.incidents.incident import Incident, IncidentFilter, IncidentState, as_document, incident_from
from app.notification.message import MessageKind
from app.shapes import Anything, Flag, Instant, Listed, Object, Text, instants, one_of, texts, wholes

TELLING = Object(
    members={
        **wholes("number"),
        "kind": one_of([kind.value for kind in MessageKind], MessageKind.NOTICE.value),
        **instants("at"),
        **texts("why"),
        "said": Anything(optional=True),
        "execution_id": Text(nullable=True),
        "escalated": Flag(),
        "flapping": Flag(),
    }
)
INCIDENT = Object(
    members={
        "open": Flag(),
        **texts("rule_id", "rule", "why", "resolved_by"),
        "said": Anything(optional=True),
        "subject": Object(
            members={"kind": one_of([kind.value for kind in SubjectKind], SubjectKind.JOB.value), **texts("id", "name", "group", "key")}
        ),
        "severity": one_of([severity.value for severity in AlertSeverity], AlertSeverity.WARNING.value),
        "state": one_of([state.value for state in IncidentState], IncidentState.RESOLVED.value),
        "last": Object(members={"at": Instant(), "id": Text()}),
        "executions": Listed(of=Text()),
        "acknowledged": Object(nullable=True, members={**texts("by", "via"), "at": Instant()}),
        "notes": Listed(of=Object(members={**texts("by", "text"), "at": Instant()})),
        "flips": Listed(of=Instant()),
        "unsaid": Listed(of=TELLING),
        **wholes("count", "reminders", "tellings", "version"),
        "holds": Flag(),
        "flapping": Flag(),
        "told": Flag(),
        "opened_at": Instant(),
        **instants("due_at", "fires_at", "fired_at", "resolved_at", "remind_at", "escalate_at", "escalated_at", nullable=True),
    }
)
FORGOTTEN_AT_ONCE = 1_000


class IncidentStore:
    """One document an incident. Each change is one compare-and-set on its version, and at most one incident of a rule and a subject is
    open."""

    def __init__(self, database: Database[Document]) -> None:
        self._incidents = Records(database, "incidents", INCIDENT)

    # -- for whoever applies rules --------------------------------------------------------------------------------

    def latest(self, rule_id: str, subject_key: str) -> Incident | None:
        """Returns the newest incident of a rule and a subject, open or not."""
        row = self._incidents.find_one({"rule_id": rule_id, "subject.key": subject_key}, sort=[("opened_at", -1), ("_id", -1)])
        return None if row is None else incident_from(row)

    def save(self, before: Incident | None, after: Incident) -> Incident | None:
        """Adds an incident, or replaces `before` if it has not changed meanwhile. Returns it as it is stored; None if somebody else was
        quicker: then look again."""
        stored = replace(after, version=after.version + 1)
        if before is None or before.id != after.id:
            try:
                self._incidents.insert_one(as_document(stored))
            except DuplicateKeyError:
                return None
            return stored
        unchanged = {"_id": before.id, "version": before.version}
        return stored if self._incidents.replace_one(unchanged, as_document(stored)).matched_count == 1 else None

    def due(self, now: datetime, limit: int) -> list[Incident]:
        """Returns open incidents of which something follows by now, those that have waited longest first."""
        where = {"open": True, "due_at": {**ANY_DATE, "$lte": now}}
        return [incident_from(row) for row in self._incidents.find(where).sort("due_at", 1).limit(limit)]

    def unsaid(self, limit: int) -> list[Incident]:
        """Returns incidents of which something is still to be told."""
        return [incident_from(row) for row in self._incidents.find({"unsaid.0": {"$exists": True}}).limit(limit)]

    def open_of(self, rule_ids: Collection[str]) -> list[Incident]:
        """Returns the open incidents of these rules."""
        return [incident_from(row) for row in self._incidents.find({"open": True, "rule_id": {"$in": list(rule_ids)}})]

    def open_of_others(self, rule_ids: Collection[str], limit: int) -> list[Incident]:
        """Returns open incidents of rules other than these."""
        return [incident_from(row) for row in self._incidents.find({"open": True, "rule_id": {"$nin": list(rule_ids)}}).limit(limit)]

    def open_about_jobs(self, after: str, limit: int) -> list[Incident]:
        """Returns open incidents about jobs, by their ids, from the one after this id on."""
        where = {"open": True, "subject.kind": SubjectKind.JOB.value, "_id": {"$gt": after}}
        return [incident_from(row) for row in self._incidents.find(where).sort("_id", 1).limit(limit)]

    def open_among(self, incident_ids: Collection[str]) -> set[str]:
        """Returns which of these incidents are open."""
        rows = self._incidents.find({"_id": {"$in": list(incident_ids)}, "open": True}, {"_id": 1}) if incident_ids else ()
        return {row["_id"] for row in rows}

    def open_about(self, kinds: Collection[SubjectKind]) -> list[Incident]:
        """Returns the open incidents about subjects of these kinds of which people were told."""
        where = {"open": True, "told": True, "subject.kind": {"$in": [kind.value for kind in kinds]}}
        return [incident_from(row) for row in self._incidents.find(where)]

    # -- for people -----------------------------------------------------------------------------------------------

    def get(self, incident_id: str) -> Incident | None:
        row = self._incidents.find_one({"_id": incident_id})
        return None if row is None else incident_from(row)

    def page(self, wanted: IncidentFilter, *, groups: Collection[str] | None, limit: int) -> list[Incident]:
        """Returns incidents, newest first; with `groups` only those about these groups or jobs of them."""
        where = {**_query(wanted), **_in_groups(groups)}
        rows = self._incidents.find(where).sort([("opened_at", -1), ("_id", -1)]).limit(limit).max_time_ms(QUERY_TIME_MS)
        return [incident_from(row) for row in rows]

    def counts_open(self, *, groups: Collection[str] | None) -> dict[str, int]:
        """Returns how many incidents are open and were told, by severity."""
        told = [IncidentState.FIRING.value, IncidentState.ACKNOWLEDGED.value]
        stages: list[Document] = [
            {"$match": {"open": True, "state": {"$in": told}, **_in_groups(groups)}},
            {"$group": {"_id": "$severity", "count": {"$sum": 1}}},
        ]
        rows = self._incidents.aggregate(stages, maxTimeMS=QUERY_TIME_MS)
        return {str(row["_id"]): row["count"] for row in rows}

    def counts_by_state(self) -> dict[tuple[str, str], int]:
        """Returns how many incidents are open, by state and severity."""
        stages: list[Document] = [
            {"$match": {"open": True}},
            {"$group": {"_id": {"state": "$state", "severity": "$severity"}, "count": {"$sum": 1}}},
        ]
        rows = self._incidents.aggregate(stages, maxTimeMS=QUERY_TIME_MS)
        return {(str(row["_id"].get("state")), str(row["_id"].get("severity"))): row["count"] for row in rows}

    def count_firing(self, *, groups: Collection[str] | None, most: int) -> int:
        """Returns how many incidents nobody has acknowledged of which people were told; `most` if there are more."""
        where = {"open": True, "state": IncidentState.FIRING.value, **_in_groups(groups)}
        return self._incidents.count_documents(where, limit=most, maxTimeMS=QUERY_TIME_MS)

    def forget(self, before: datetime) -> int:
        """Removes some incidents that were resolved before then. Returns their number."""
        old = {"open": False, "resolved_at": {**ANY_DATE, "$lt": before}, "unsaid.0": {"$exists": False}}
        ids = [row["_id"] for row in self._incidents.find(old, {"_id": 1}).limit(FORGOTTEN_AT_ONCE)]
        return self._incidents.delete_many({"_id": {"$in": ids}, **old}).deleted_count if ids else 0


def _in_groups(groups: Collection[str] | None) -> Document:
    return {} if groups is None else {"subject.group": {"$in": sorted(groups)}}


def _query(wanted: IncidentFilter) -> Mapping[str, Any]:
    names = {"state": "state", "severity": "severity", "rule_id": "rule_id", "subject_kind": "subject.kind", "subject_id": "subject.id"}
    query: Document = {path: getattr(wanted, name) for name, path in names.items() if getattr(wanted, name)}
    if wanted.open is not None:
        query["open"] = wanted.open
    if wanted.search:
        query["subject.name"] = {"$regex": literal(wanted.search), "$options": "i"}
    times = {name: value for name, value in (("$gte", wanted.begin), ("$lt", wanted.end)) if value is not None}
    if times:
        query["opened_at"] = times
    if wanted.before is not None:
        at, last_id = wanted.before
        query["$or"] = [{"opened_at": {"$lt": at}}, {"opened_at": at, "_id": {"$lt": last_id}}]
    return query
