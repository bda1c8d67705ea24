"""Streams the documents of a collection to a file, which appears only when it is complete."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, ClassVar, cast

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from templates_lib import conditions, documents, fields
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.data_export.formats import WRITERS
from templates_lib.messages import amount, say

CURSOR_BATCH = 1000
REPORT_EVERY = 1000
QUERY_TIME_MS = 600_000

_SUFFIX = {"none": "", "gzip": ".gz"}


class DataExport(JobTemplate):
    """Requirement 002.70: exports a million documents in constant memory, and never leaves an incomplete file."""

    type = "data_export"
    name = "Data export"
    description = "Export documents to CSV, JSON or a spreadsheet"
    category = "Data"
    icon = "file-down"
    risk_level = "medium"
    estimated_duration = "1–10 minutes"
    resource_usage = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection"),
            "collection": fields.collection(),
            "filter": {
                "type": "object",
                "title": "Filter",
                "description": "A MongoDB query for the documents to export. Dates may be relative. Leave empty to export all documents.",
                "default": {},
                "x-widget": "json",
                "x-placeholder": '{"createdAt": {"$gte": "1 month ago"}}',
            },
            "fields": {
                "type": "array",
                "title": "Fields",
                "description": "The columns, in this order. Use dots for nested fields. Leave empty for all top-level fields.",
                "items": fields.field("Field"),
                "maxItems": 500,
                "uniqueItems": True,
            },
            "sort": {
                "type": "array",
                "title": "Sort",
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "title": "Sort key",
                    "properties": {
                        "field": {
                            "type": "string",
                            "title": "Field",
                            "minLength": 1,
                            "maxLength": 300,
                            "pattern": r"^[^$\x00][^\x00]*$",
                        },
                        "direction": {
                            "title": "Direction",
                            "oneOf": [{"const": "asc", "title": "Ascending"}, {"const": "desc", "title": "Descending"}],
                            "default": "asc",
                        },
                    },
                    "required": ["field"],
                    "additionalProperties": False,
                },
            },
            "limit": {"type": "integer", "title": "Limit", "description": "The maximum number of documents.", "minimum": 1},
            "format": {
                "title": "Format",
                "oneOf": [
                    {"const": "csv", "title": "CSV"},
                    {"const": "jsonl", "title": "JSON lines"},
                    {"const": "json", "title": "JSON"},
                    {"const": "xlsx", "title": "Excel (XLSX)"},
                ],
                "default": "csv",
            },
            "destination": fields.destination("exports/users-{date}.csv"),
            "compress": {
                "title": "Compression",
                "oneOf": [{"const": "none", "title": "None"}, {"const": "gzip", "title": "gzip"}],
                "default": "none",
            },
        },
        "required": ["connection", "collection", "format", "destination"],
        "examples": [
            {
                "connection": "shop",
                "collection": "orders",
                "filter": {"at": {"$gte": "1 month ago"}},
                "format": "csv",
                "destination": {"connection": "files", "path": "orders-{date}.csv"},
            }
        ],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        yield from fields.collection_problems(params["collection"], "/collection")
        yield from conditions.problems(params.get("filter", {}), "/filter")
        if fields.leaves_store(params["destination"]["path"]):
            yield Problem("/destination/path", "must stay inside the file store")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many documents would be written, and where."""
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            collection = database[params["collection"]]
            total = self._count(collection, params, ctx)
            reading = documents.reading(collection, params.get("filter", {}), self._query(params, ctx), ctx.now)
        path = self._path(params, ctx)
        return JobResult(f"Would export {amount(total, 'document')} to {path}", {"records": total, "path": path, **reading})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        store, path = open_file_store(ctx, params["destination"]["connection"]), self._path(params, ctx)
        with open_mongodb(ctx, params["connection"]) as database:
            collection = database[params["collection"]]
            ctx.log.info("Counting the documents of %s", params["collection"])
            total = self._count(collection, params, ctx)
            columns = self._columns(collection, params, ctx)
            ctx.log.info("Exporting %s to %s", amount(total, "document"), path)
            with store.write_atomically(path) as raw:
                counted = _CountingStream(raw)
                with _compress(cast("IO[bytes]", counted), params.get("compress", "none")) as stream:
                    writer = WRITERS[params["format"]](stream, columns, ctx.files)
                    done = 0
                    for document in self._documents(collection, params, ctx):
                        writer.write(document)
                        done += 1
                        if done % REPORT_EVERY == 0:
                            ctx.check_cancelled()
                            ctx.progress(done, max(total, done), f"{done:,} of {amount(max(total, done), 'document')}")
                    writer.close()
        ctx.progress(done, done)
        return JobResult(
            f"Exported {amount(done, 'document')} to {path} ({counted.size:,} bytes)",
            {
                "records_processed": done,
                "records_exported": done,
                "errors": 0,
                "path": path,
                "bytes": counted.size,
                "sha256": counted.digest.hexdigest(),
            },
        )

    def _query(self, params: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
        return conditions.resolve(params.get("filter", {}), ctx.now)

    def _count(self, collection: Collection[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext) -> int:
        bound = {"limit": params["limit"]} if params.get("limit") else {}
        try:
            return collection.count_documents(self._query(params, ctx), maxTimeMS=QUERY_TIME_MS, **bound)
        except OperationFailure as error:
            raise TemplateError(
                say("The database refused the condition: {reason}", reason=failures.server_words(error)),
                permanent=error.code != documents.MAX_TIME_EXPIRED,
            ) from error

    def _documents(self, collection: Collection[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext) -> Iterator[dict[str, Any]]:
        fields: list[str] = params.get("fields") or []
        projection = {**({} if "_id" in fields else {"_id": 0}), **dict.fromkeys(_without_children(fields), 1)} if fields else None
        cursor = collection.find(
            self._query(params, ctx),
            projection,
            limit=params.get("limit", 0),
            batch_size=CURSOR_BATCH,
            max_time_ms=QUERY_TIME_MS,
        )
        if params.get("sort"):
            cursor = cursor.sort([(key["field"], -1 if key.get("direction") == "desc" else 1) for key in params["sort"]])
            cursor = cursor.allow_disk_use(True)
        with cursor:
            yield from cursor

    def _columns(self, collection: Collection[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext) -> list[str]:
        """Returns the given fields. Without them, a table gets every top-level name that occurs; the server finds these in one pass."""
        if params.get("fields"):
            return list(params["fields"])
        if params["format"] in {"json", "jsonl"}:
            return []
        stages: list[dict[str, Any]] = [
            {"$match": self._query(params, ctx)},
            *([{"$limit": params["limit"]}] if params.get("limit") and not params.get("sort") else []),
            {"$project": {"_id": 0, "pair": {"$objectToArray": "$$ROOT"}}},
            {"$unwind": {"path": "$pair", "includeArrayIndex": "position"}},
            {"$group": {"_id": "$pair.k", "position": {"$min": "$position"}}},
            {"$sort": {"position": 1, "_id": 1}},
        ]
        return [row["_id"] for row in collection.aggregate(stages, allowDiskUse=True, maxTimeMS=QUERY_TIME_MS)]

    def _path(self, params: Mapping[str, Any], ctx: RunContext) -> str:
        path = fields.fill_path(params["destination"]["path"], ctx)
        suffix = _SUFFIX[params.get("compress", "none")]
        return path if path.endswith(suffix) else path + suffix


def _without_children(fields: list[str]) -> list[str]:
    """Returns the fields without those inside others. MongoDB refuses a projection of both `a` and `a.b`; `a` includes `a.b` anyway."""
    return [field for field in fields if not any(field.startswith(f"{other}.") for other in fields)]


class _CountingStream:
    """A byte stream that counts its size and computes its SHA-256."""

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner, self.size, self.digest = inner, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._inner.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._inner.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    closed = False


@contextmanager
def _compress(stream: IO[bytes], how: str) -> Iterator[IO[bytes]]:
    if how == "none":
        yield stream
        return
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:  # without a time stamp, the same rows give the same bytes
        yield cast("IO[bytes]", packed)
