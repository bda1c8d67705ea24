"""The `acknowledgements` collection: which failure of a job people have dealt with."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.mongo import Document, Records
from app.queue.shape import ACKNOWLEDGEMENT


class AcknowledgementStore:
    """One document for each job {_id: id of the job, execution_id, failed_at, by, at, note, dismissed}; a later failure replaces it."""

    def __init__(self, database: Database[Document]) -> None:
        self._rows = Records(database, "acknowledgements", ACKNOWLEDGEMENT)

    def of_jobs(self, job_ids: Sequence[str]) -> dict[str, Document]:
        """Returns the documents of these jobs by job."""
        return {row["_id"]: row for row in self._rows.find({"_id": {"$in": list(job_ids)}})} if job_ids else {}

    def put(self, job_id: str, fields: Document) -> bool:
        """Writes the document of a job. Returns False if there is one for a later failure."""
        older = {"_id": job_id, "failed_at": {"$lte": fields["failed_at"]}}
        try:
            self._rows.replace_one(older, {"_id": job_id, **fields}, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    def remove(self, job_id: str, execution_id: str) -> bool:
        """Removes the document of a job if it is about this execution. Returns False if it is not."""
        return self._rows.delete_one({"_id": job_id, "execution_id": execution_id}).deleted_count == 1
