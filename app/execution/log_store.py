"""The `execution_logs` collection."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import DeleteMany
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.mongo import DUPLICATE_KEY, Document


def chunk_id(execution_id: str, attempt: int, number: int) -> str:
    """The `_id` of a chunk: chunks of an execution stand together in the order in which they are read."""
    return f"{execution_id}/{attempt:05d}.{number:08d}"


class LogStore:
    """Log lines in chunks {_id, attempt, lines}; a line is {timestamp, level, message}, its number its place in the execution."""

    def __init__(self, database: Database[Document]) -> None:
        self._logs = database["execution_logs"]

    def append(self, chunks: Sequence[Document]) -> None:
        """Write chunks; one that is there already is left as it is."""
        try:
            self._logs.insert_many(list(chunks), ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
                raise

    def remove(self, execution_ids: Sequence[str]) -> None:
        """Forget all lines of these executions."""
        self._logs.bulk_write([DeleteMany({"_id": _after(one, "")}) for one in execution_ids], ordered=False)

    def read(self, execution_id: str, *, after: str = "", limit: int = 1000) -> tuple[list[Document], str]:
        """Lines after the cursor `after` (empty: from the start), and the cursor to go on with; about `limit` lines at most."""
        lines: list[Document] = []
        for chunk in self._logs.find({"_id": _after(execution_id, after)}).sort("_id", 1):
            lines += [{**line, "attempt": chunk["attempt"]} for line in chunk["lines"]]
            after = chunk["_id"].rpartition("/")[2]
            if len(lines) >= limit:
                break
        return lines, after


def _after(execution_id: str, place: str) -> Document:
    """The ids of an execution's chunks after `place`."""
    return {"$gt": f"{execution_id}/{place}", "$lt": f"{execution_id}0"}  # "0" follows "/"
