"""What kinds that read and change documents share: counting and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import json_util
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from templates_lib.base import TemplateError

Documents = Collection[dict[str, Any]]

COUNT_TIME_MS = 300_000  # a count over a large collection without an index; the job's own timeout still holds
FIND_TIME_MS = 300_000
SAMPLES = 5
MAX_TIME_EXPIRED = 50  # the server's code of a query that took too long


def count(collection: Documents, query: Mapping[str, Any]) -> int:
    """How many documents match. Raises TemplateError where the server refuses the query, or took too long."""
    try:
        return collection.count_documents(query, maxTimeMS=COUNT_TIME_MS)
    except OperationFailure as error:
        # What took too long may not another time; a query that the server refuses never passes.
        permanent = error.code != MAX_TIME_EXPIRED
        raise TemplateError(f"The database refused the condition: {str(error)[:300]}", permanent=permanent) from error


def batches(collection: Documents, query: Mapping[str, Any], *, size: int, most: int) -> Iterator[list[Any]]:
    """The ids of up to `most` matching documents, `size` at a time, each batch read afresh once the last one has gone."""
    left = most
    while left > 0:
        rows = list(collection.find(query, {"_id": 1}, limit=min(size, left), max_time_ms=FIND_TIME_MS))
        if not rows:
            return
        yield [row["_id"] for row in rows]
        left -= len(rows)


def preview(collection: Documents, query: Mapping[str, Any], most: int, *, date: str | None = None) -> dict[str, Any]:
    """What a run would touch: {matching, would_change, total, samples, condition}, and the oldest and newest by the field `date`."""
    matching = count(collection, query)
    found: dict[str, Any] = {
        "matching": matching, "would_change": min(matching, most), "total": collection.estimated_document_count(),
        "samples": [readable(row) for row in collection.find(query, limit=SAMPLES, max_time_ms=FIND_TIME_MS)], "condition": readable(query),
    }  # fmt: skip
    if date and matching:
        for name, direction in (("oldest", 1), ("newest", -1)):
            row = collection.find_one(query, {date: 1}, sort=[(date, direction)], max_time_ms=FIND_TIME_MS)
            found[name] = readable(row or {})
    return found


def readable(value: Mapping[str, Any]) -> str:
    """A query or a document for people: Extended JSON, relaxed, cut off where it is long."""
    text = json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS)
    return text if len(text) <= 1000 else f"{text[:1000]}…"
