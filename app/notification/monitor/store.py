"""The `monitor` collection: one document about the calls of the outside monitor, and one about the last incident."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.notification.monitor.model import Incident, Pings
from app.shapes import Anything, Flag, Instant, Listed, Number, Object, Text
from templates_lib.messages import parts_of, restored

_PINGS, _INCIDENT = "pings", "incident"
MONITOR = Object(
    members={
        "next_at": Instant(optional=True, nullable=True),
        "pinged_at": Instant(optional=True, nullable=True),
        "failing_since": Instant(optional=True, nullable=True),
        "problem": Text(optional=True),
        "said": Anything(optional=True),
        "incident": Text(optional=True),
        "since": Instant(optional=True),
        "parts": Listed(of=Text(), optional=True),
        "open": Flag(optional=True),
        "clear_since": Instant(optional=True, nullable=True),
        "mails": Number(optional=True),
        "mailed_at": Instant(optional=True, nullable=True),
    }
)


class MonitorStore:
    """Each change is one compare-and-set, so that one node at a time calls the monitor or sends a mail."""

    def __init__(self, database: Database[Document]) -> None:
        self._monitor = Records(database, "monitor", MONITOR)

    # -- the outside monitor --------------------------------------------------------------------------------------

    def claim_ping(self, *, now: datetime, until: datetime, longest: timedelta) -> bool:
        """Claims the next call until `until`. Returns False if it is not due, or another node was quicker. A time that is further away
        than `longest` was written by a clock that was wrong, or for another interval."""
        due = {"_id": _PINGS, "$or": [{"next_at": None}, {"next_at": {"$lte": now}}, {"next_at": {"$gt": now + longest}}]}
        return self._monitor.update_one(due, {"$set": {"next_at": until}}).matched_count == 1 or self._add(_PINGS, {"next_at": until})

    def note_ping(self, *, at: datetime, next_at: datetime, problem: str) -> None:
        """Records how a call went; an empty `problem` says that the monitor took it."""
        if not problem:
            taken = {"pinged_at": at, "next_at": next_at, "failing_since": None, "problem": "", "said": None}
            self._monitor.update_one({"_id": _PINGS}, {"$set": taken})
            return
        self._monitor.update_one({"_id": _PINGS, "failing_since": None}, {"$set": {"failing_since": at}})
        failed = {"next_at": next_at, "problem": problem[:], "said": parts_of(problem)}
        self._monitor.update_one({"_id": _PINGS}, {"$set": failed})

    def pings(self) -> Pings:
        row = self._monitor.find_one({"_id": _PINGS}) or {}
        problem = restored(row.get("problem", ""), row.get("said"))
        return Pings(pinged_at=row.get("pinged_at"), failing_since=row.get("failing_since"), problem=problem)

    # -- the incident ---------------------------------------------------------------------------------------------

    def incident(self) -> Incident | None:
        """Returns the last incident, which may be over; None if there was none."""
        row = self._monitor.find_one({"_id": _INCIDENT})
        if row is None or "incident" not in row:
            return None
        return Incident(
            id=row["incident"],
            since=row["since"],
            parts=tuple(row["parts"]),
            is_open=row["open"],
            mails=row["mails"],
            mailed_at=row["mailed_at"],
            problem=restored(row["problem"], row["said"]),
        )

    def open(self, parts: Sequence[str], *, now: datetime) -> bool:
        """Opens an incident whose first mail is due now; one that is open goes on. Returns whether a new one was opened."""
        self._monitor.update_one({"_id": _INCIDENT, "open": True}, {"$set": {"parts": list(parts), "clear_since": None}})
        fresh = {
            "incident": secrets.token_hex(8),
            "since": now,
            "parts": list(parts),
            "open": True,
            "clear_since": None,
            "mails": 0,
            "mailed_at": None,
            "next_at": now,
            "problem": "",
            "said": None,
        }
        closed = {"_id": _INCIDENT, "open": {"$ne": True}}
        return self._monitor.update_one(closed, {"$set": fresh}).matched_count == 1 or self._add(_INCIDENT, fresh)

    def close(self, *, now: datetime, after: timedelta) -> bool:
        """Notes that everything moves, and closes an incident in which everything has moved for as long as `after`. Its last mail is due
        then, if it had one. Returns whether it was closed."""
        self._monitor.update_one({"_id": _INCIDENT, "open": True, "clear_since": None}, {"$set": {"clear_since": now}})
        over = {"_id": _INCIDENT, "open": True, "clear_since": {"$ne": None, "$lte": now - after}}
        told, untold = {**over, "mails": {"$gt": 0}}, {**over, "mails": 0}
        closed = self._monitor.update_one(told, {"$set": {"open": False, "next_at": now}}).matched_count
        return bool(closed or self._monitor.update_one(untold, {"$set": {"open": False, "next_at": None}}).matched_count)

    def claim_mail(self, *, now: datetime, until: datetime, longest: timedelta) -> Incident | None:
        """Claims the next mail until `until`. Returns None if none is due, or another node was quicker. `longest` is as in claim_ping."""
        due = {"_id": _INCIDENT, "next_at": {"$ne": None}, "$or": [{"next_at": {"$lte": now}}, {"next_at": {"$gt": now + longest}}]}
        claimed = self._monitor.update_one(due, {"$set": {"next_at": until}}).matched_count == 1
        return self.incident() if claimed else None

    def note_mail(self, incident: Incident, *, at: datetime, next_at: datetime | None, problem: str) -> None:
        """Records how a mail about an incident went; an empty `problem` says that the server took it. `next_at` is when the next one, or
        the next try, is due. An incident that was opened or closed meanwhile keeps its own time."""
        same = {"_id": _INCIDENT, "incident": incident.id}
        fields: Document = {"problem": problem[:], "said": parts_of(problem)}
        if not problem:
            fields |= {"mails": incident.mails + 1, "mailed_at": at}
        self._monitor.update_one(same, {"$set": fields})
        self._monitor.update_one({**same, "open": incident.is_open}, {"$set": {"next_at": next_at}})

    def _add(self, name: str, fields: Document) -> bool:
        try:
            self._monitor.insert_one({"_id": name, **fields})
        except DuplicateKeyError:  # it is there
            return False
        return True
