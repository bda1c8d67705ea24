"""The collection `approvals`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.jobs.gate import Operation
from app.mongo import Document, Records
from app.sealing import SealedFields
from app.shapes import UNKNOWN, Anything, Instant, Listed, Number, Object, Text, instants, one_of, texts

PENDING, APPROVING = "pending", "approving"
MOST_RELATED = 20  # requests for the same job that are named beside a request

_STATES = (PENDING, APPROVING, "approved", "refused", "withdrawn", "failed")
APPROVAL = Object(
    members={
        "operation": one_of([item.value for item in Operation], UNKNOWN),
        "state": one_of(_STATES, "failed"),
        **texts("job_id", "job_name", "template_type", "via"),
        "version": Number(),
        "diff": Listed(of=Object(members={"field": Text(), "before": Anything(optional=True), "after": Anything(optional=True)})),
        "parameters": Object(nullable=True),
        "payload": Object(),
        "subject": Object(members={"group": Text(optional=True)}),
        "requested_by": Object(members=texts("id", "email")),
        **instants("requested_at", "expires_at"),
        "decided_by": Text(nullable=True),
        "decided_at": Instant(nullable=True),
        "note": Text(),
        "result": Object(nullable=True),
        "preview": Object(nullable=True, members={"state": Text(words=("running", "done"), default="running")}),
    }
)
SEALED_FIELDS = (SealedFields("approvals", ("payload", "subject")),)


class ApprovalStore:
    """Requests, and the compare-and-sets that change their state."""

    def __init__(self, database: Database[Document]) -> None:
        self._approvals = Records(database, "approvals", APPROVAL)

    def add(self, approval: Document) -> bool:
        """Stores a request. Returns False if there is one with the same id."""
        try:
            self._approvals.insert_one(approval)
        except DuplicateKeyError:
            return False
        return True

    def get(self, approval_id: str) -> Document | None:
        return self._approvals.find_one({"_id": approval_id})

    def page(self, query: Document, *, skip: int, limit: int) -> tuple[list[Document], int]:
        """Returns one page of requests, the newest first and without their payload, and the total number."""
        rows = self._approvals.find(query, {"payload": 0, "subject": 0}).sort([("requested_at", -1), ("_id", 1)]).skip(skip).limit(limit)
        return list(rows), self._approvals.count_documents(query)

    def waiting(self, now: datetime, *, groups: Collection[str] | None = None) -> int:
        """Returns how many requests wait: of all jobs, or of the jobs of some groups."""
        in_groups = {} if groups is None else {"subject.group": {"$in": sorted(groups)}}
        return self._approvals.count_documents({"state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}, **in_groups})

    def waiting_for(self, job_id: str, now: datetime) -> list[Document]:
        """Returns the waiting requests of one job, the oldest first, without their payload."""
        where = {"job_id": job_id, "state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}}
        return list(self._approvals.find(where, {"payload": 0, "subject": 0}).sort("requested_at", 1))

    def related(self, row: Document, now: datetime) -> list[Document]:
        """Returns the other requests for the job or the name of a request that wait, or were approved after it was made, oldest first.
        They have no payload."""
        waits = {"state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}}
        approved = {"state": "approved", "decided_at": {"$gte": row["requested_at"]}}
        same = [{"job_id": row["job_id"]}, {"job_name": row["job_name"]}]
        where = {"_id": {"$ne": row["_id"]}, "$and": [{"$or": same}, {"$or": [waits, approved]}]}
        return list(self._approvals.find(where, {"payload": 0}).sort("requested_at", 1).limit(MOST_RELATED))

    def move(self, approval_id: str, where: Document, fields: Document) -> Document | None:
        """Sets `fields` if the request still matches `where`. Returns the changed request, or None if it has changed meanwhile."""
        return self._approvals.find_one_and_update({"_id": approval_id, **where}, {"$set": fields}, return_document=ReturnDocument.AFTER)

    def set_preview(self, approval_id: str, preview: dict[str, Any]) -> None:
        """Stores the result of the preview."""
        self._approvals.update_one({"_id": approval_id}, {"$set": {"preview": preview}})
