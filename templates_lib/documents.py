"""Helpers for templates that read and change documents: counts, batches and previews."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Int64, json_util
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from templates_lib import conditions
from templates_lib.base import TemplateError
from templates_lib.connections import failures
from templates_lib.messages import say

Documents = Collection[dict[str, Any]]

COUNT_TIME_MS = 300_000  # enough for a count over a large collection without an index; the job's own timeout also applies
FIND_TIME_MS = 300_000
SAMPLES = 5
LOOKED_AT = 200  # documents that are read to find the types of their fields
_NAMES: dict[type, str] = {
    str: "text",
    datetime: "date",
    int: "number",
    Int64: "number",
    float: "number",
    bool: "true or false",
    dict: "object",
}
MAX_TIME_EXPIRED = 50  # the server's code of a query that took too long


def count(collection: Documents, query: Mapping[str, Any]) -> int:
    """Returns how many documents match. Raises TemplateError if the server refuses the query or takes too long."""
    try:
        return collection.count_documents(query, maxTimeMS=COUNT_TIME_MS)
    except OperationFailure as error:
        # A count that took too long may be faster next time; a query that the server refuses will always be refused.
        permanent = error.code != MAX_TIME_EXPIRED
        raise TemplateError(
            say("The database refused the condition: {reason}", reason=failures.server_words(error)), permanent=permanent
        ) from error


def batches(collection: Documents, query: Mapping[str, Any], *, size: int, most: int) -> Iterator[list[Any]]:
    """Yields the ids of up to `most` matching documents, `size` at a time. Each batch is read after the caller has removed the one before,
    so that it does not return the same documents."""
    left = most
    while left > 0:
        rows = list(collection.find(query, {"_id": 1}, limit=min(size, left), max_time_ms=FIND_TIME_MS))
        if not rows:
            return
        yield [row["_id"] for row in rows]
        left -= len(rows)


def preview(collection: Documents, query: Mapping[str, Any], most: int, *, date: str | None = None) -> dict[str, Any]:
    """Returns what a run would change: {matching, would_change, total, samples, condition}, and with `date` also the oldest and the newest
    document by that field."""
    matching = count(collection, query)
    result: dict[str, Any] = {
        "matching": matching,
        "would_change": min(matching, most),
        "total": collection.estimated_document_count(),
        "samples": [readable(row) for row in collection.find(query, limit=SAMPLES, max_time_ms=FIND_TIME_MS)],
        "condition": readable(query),
    }
    if date and matching:
        for name, direction in (("oldest", 1), ("newest", -1)):
            row = collection.find_one(query, {date: 1}, sort=[(date, direction)], max_time_ms=FIND_TIME_MS)
            result[name] = readable(row or {})
    return result


def reading(collection: Documents, condition: Any, query: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns how a condition was read, for a preview: `dates`, each {pointer, text, means}, and `warnings` about fields that are compared
    with a value of another type. Empty members are left out."""
    result: dict[str, Any] = {
        "dates": [date.as_json() for date in conditions.read_dates(condition, now)],
        "warnings": type_warnings(collection, query),
    }
    return {name: value for name, value in result.items() if value}


def type_warnings(collection: Documents, query: Mapping[str, Any]) -> list[str]:
    """Returns a warning for each field that is compared with a type that it does not have.

    MongoDB compares dates only with dates and texts only with texts (type bracketing): a comparison with another type is never true, and
    its negation is true for every document. A field gets a warning if some of the first LOOKED_AT documents have it, and none of them has
    a value of the compared type.
    """
    compared = [(field, type(value)) for field, value in conditions.compared_fields(query) if isinstance(value, str | datetime)]
    if not compared:
        return []
    projection = dict.fromkeys(_without_children({_before_index(field) for field, _ in compared}), 1)
    with collection.find({}, projection, limit=LOOKED_AT, max_time_ms=FIND_TIME_MS) as cursor:
        rows = list(cursor)
    warnings = []
    for field, wanted in dict.fromkeys(compared):
        kinds = {type(value) for row in rows for value in _values(row, field.split(".")) if value is not None}
        if kinds and wanted not in kinds:
            have = ", ".join(sorted(_NAMES.get(kind, kind.__name__) for kind in kinds))
            warnings.append(
                f"{field} is compared with a {_NAMES[wanted]}, and the documents that were looked at have {have} there: "
                "such a comparison is never true, and its opposite ($not, $nor) is true of every document"
            )
    return warnings


def _before_index(field: str) -> str:
    """Returns a dotted path up to its first index of a list, because a projection takes no indexes."""
    parts = field.split(".")
    return ".".join(parts[: next((place for place, part in enumerate(parts) if part.isdigit()), len(parts))]) or field


def _without_children(fields: set[str]) -> list[str]:
    """Returns the fields without those inside others, because MongoDB refuses a projection of a field together with one inside it."""
    return sorted(field for field in fields if not any(field.startswith(f"{other}.") for other in fields))


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yields the values at which a query of a dotted path looks: it goes through lists into their entries."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item, path)
            if path and path[0].isdigit() and int(path[0]) < len(value):
                yield from _values(value[int(path[0])], path[1:])
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def readable(value: Mapping[str, Any]) -> str:
    """Returns a query or a document as text for people: relaxed Extended JSON, at most 1,000 characters."""
    text = json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS)
    return text if len(text) <= 1000 else f"{text[:1000]}…"
