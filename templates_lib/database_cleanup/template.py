"""Deletes the documents of a collection that match a condition, counted first, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from bson import json_util
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from templates_lib import conditions
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.mongodb import open_mongodb

COUNT_TIME_MS = 300_000  # a count over a large collection without an index; the job's own timeout still holds
FIND_TIME_MS = 300_000
SAMPLES = 5
# The registry writes this document into its own database (app/migrations.py); jobs never delete there.
OWN_MARKER = {"_id": "jobwright"}


class DatabaseCleanup(JobTemplate):
    """design.md and requirement 002.39: count, then delete by `_id` batches, never more than `max_deletes`."""

    type = "database_cleanup"
    name = "Database cleanup"
    description = "Delete old documents from a MongoDB collection"
    category = "Maintenance"
    icon = "brush-cleaning"
    risk_level = "high"
    destructive = True
    estimated_duration = "5–30 minutes"
    resource_usage = "low"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "connection": {
                "type": "string",
                "title": "Connection",
                "description": "The database to clean up.",
                "x-options": {"from": "connections", "kind": "mongodb"},
            },
            "collection": {
                "type": "string",
                "title": "Collection",
                "minLength": 1,
                "maxLength": 200,
                "pattern": r"^[^$\x00]+$",
                "x-pattern-words": "the name of a collection, without $",
                "x-placeholder": "users",
                "x-options": {"from": "collections", "free": True, "depends": {"connection": "/connection"}},
            },
            "condition": {
                "type": "object",
                "title": "Condition",
                "description": 'Which documents to delete, in MongoDB query form. Dates may be relative: `"6 months ago"`, `"today"`.',
                "minProperties": 1,
                "x-widget": "json",
                "x-placeholder": '{"lastActive": {"$lt": "6 months ago"}}',
            },
            "dryRun": {
                "type": "boolean",
                "title": "Dry run",
                "description": "Count what would be deleted and delete nothing.",
                "default": True,
            },
            "batch_size": {
                "type": "integer",
                "title": "Batch size",
                "description": "Documents deleted in one step. Smaller is gentler on the database.",
                "minimum": 1,
                "maximum": 10_000,
                "default": 1000,
            },
            "max_deletes": {
                "type": "integer",
                "title": "Most deletes",
                "description": "The run stops here, whatever the condition matches.",
                "minimum": 1,
                "maximum": 1_000_000_000,
                "default": 100_000,
            },
        },
        "required": ["connection", "collection", "condition"],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        if params["collection"].startswith("system."):
            yield Problem("/collection", "system.* collections belong to MongoDB")
        found = list(conditions.problems(params["condition"], "/condition"))
        yield from found
        if not found and conditions.always_true(params["condition"]):
            yield Problem("/condition", "matches every document; name the ones to delete")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """How many documents a run would delete now, and up to five of their ids."""
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._prepare(database, params, ctx)
            matching = _count(collection, query)
            total = collection.estimated_document_count()
            samples = [row["_id"] for row in collection.find(query, {"_id": 1}, limit=SAMPLES, max_time_ms=FIND_TIME_MS)]
        most = params.get("max_deletes", 100_000)
        return JobResult(
            f"Would delete {min(matching, most):,} of {total:,} documents",
            {
                "matching": matching,
                "would_delete": min(matching, most),
                "total": total,
                "samples": [str(item) for item in samples],
                "condition": _readable(query),
            },
        )

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._prepare(database, params, ctx)
            ctx.log.info("Condition is %s", _readable(query))
            matching = _count(collection, query)
            if params.get("dryRun", True):
                ctx.log.info("Dry run: nothing is deleted")
                return JobResult(f"Would delete {matching:,} documents (dry run)", _result(matching, 0, dry_run=True))
            return self._delete(collection, query, matching, params, ctx)

    def _prepare(
        self, database: Database[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext
    ) -> tuple[Collection[dict[str, Any]], dict[str, Any]]:
        for problem in self.check(params):
            raise TemplateError(f"{problem.pointer}: {problem.message}", permanent=True)
        if database.client[database.name]["migrations"].find_one(OWN_MARKER) is not None:
            raise TemplateError(f"Database {database.name!r} is Jobwright's own; jobs do not delete there", permanent=True)
        return database[params["collection"]], conditions.resolve(params["condition"], ctx.now)

    def _delete(
        self,
        collection: Collection[dict[str, Any]],
        query: dict[str, Any],
        matching: int,
        params: Mapping[str, Any],
        ctx: RunContext,
    ) -> JobResult:
        most, deleted = params.get("max_deletes", 100_000), 0
        goal = min(matching, most)
        ctx.log.info("%s documents match; deleting %s", f"{matching:,}", f"{goal:,}")
        for ids in _batches(collection, query, params.get("batch_size", 1000), most):
            ctx.check_cancelled()
            # The condition again: a document that changed since the batch was read is left alone.
            deleted += collection.delete_many({"$and": [{"_id": {"$in": ids}}, query]}).deleted_count
            ctx.progress(deleted, max(goal, deleted), f"{deleted:,} of {goal:,} deleted")
        stopped = deleted >= most and matching > most
        if stopped:
            ctx.log.warning("Stopped at max_deletes = %s; %s documents are left", f"{most:,}", f"{matching - deleted:,}")
        return JobResult(
            f"Deleted {deleted:,} documents" + (f", stopped at {most:,}" if stopped else ""),
            _result(matching, deleted, dry_run=False),
        )


def _batches(collection: Collection[dict[str, Any]], query: dict[str, Any], size: int, most: int) -> Iterator[list[Any]]:
    """The ids of up to `most` matching documents, `size` at a time, each batch read afresh after the last one has gone."""
    left = most
    while left > 0:
        rows = collection.find(query, {"_id": 1}, limit=min(size, left), max_time_ms=FIND_TIME_MS)
        ids = [row["_id"] for row in rows]
        if not ids:
            return
        yield ids
        left -= len(ids)


def _count(collection: Collection[dict[str, Any]], query: dict[str, Any]) -> int:
    try:
        return collection.count_documents(query, maxTimeMS=COUNT_TIME_MS)
    except OperationFailure as error:
        permanent = error.code != 50  # MaxTimeMSExpired may pass another time; a query the server refuses never does
        raise TemplateError(f"The database refused the condition: {str(error)[:300]}", permanent=permanent) from error


def _result(processed: int, deleted: int, *, dry_run: bool) -> dict[str, Any]:
    return {"records_processed": processed, "records_deleted": deleted, "errors": 0, "dry_run": dry_run}


def _readable(query: Mapping[str, Any]) -> str:
    return json_util.dumps(query, json_options=json_util.RELAXED_JSON_OPTIONS)
