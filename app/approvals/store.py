"""The `approvals` collection."""

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
    """Requests, and the compare-and-sets that move them."""

    def __init__(self, database: Database[Document]) -> None:
        self._approvals = Records(database, "approvals", APPROVAL)

    def add(self, approval: Document) -> bool:
        """False where its id is there already."""
        try:
            self._approvals.insert_one(approval)
        except DuplicateKeyError:
            return False
        return True

    def get(self, approval_id: str) -> Document | None:
        return self._approvals.find_one({"_id": approval_id})

    def page(self, query: Document, *, skip: int, limit: int) -> tuple[list[Document], int]:
        """Newest first, without what they would do in full, and how many there are in all."""
        rows = self._approvals.find(query, {"payload": 0, "subject": 0}).sort([("requested_at", -1), ("_id", 1)]).skip(skip).limit(limit)
        return list(rows), self._approvals.count_documents(query)

    def waiting(self, now: datetime, *, groups: Collection[str] | None = None) -> int:
        """How many wait, of all jobs or of those of some groups."""
        narrowed = {} if groups is None else {"subject.group": {"$in": sorted(groups)}}
        return self._approvals.count_documents({"state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}, **narrowed})

    def waiting_for(self, job_id: str, now: datetime) -> list[Document]:
        """Those of one job that wait, oldest first."""
        where = {"job_id": job_id, "state": {"$in": [PENDING, APPROVING]}, "expires_at": {"$gt": now}}
        return list(self._approvals.find(where, {"payload": 0, "subject": 0}).sort("requested_at", 1))

    def move(self, approval_id: str, where: Document, fields: Document) -> Document | None:
        """Set `fields` of the request that is as in `where`; the changed one, or None where someone was quicker."""
        return self._approvals.find_one_and_update({"_id": approval_id, **where}, {"$set": fields}, return_document=ReturnDocument.AFTER)

    def set_preview(self, approval_id: str, preview: dict[str, Any]) -> None:
        """What the preview found."""
        self._approvals.update_one({"_id": approval_id}, {"$set": {"preview": preview}})
