"""Counts the documents of a collection that match a condition, and deletes them in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pymongo.collection import Collection
from pymongo.database import Database

from templates_lib import conditions, documents, fields
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.messages import amount


class DatabaseCleanup(JobTemplate):
    """Requirement 002.39: counts first, then deletes in batches of `_id`s, never more than `max_deletes`."""

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
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection", "The database to clean up."),
            "collection": {**fields.collection(), "x-placeholder": "users"},
            "condition": fields.condition(
                "Condition", 'A MongoDB query for the documents to delete. Dates may be relative: `"6 months ago"`, `"today"`.'
            ),
            "dryRun": {
                "type": "boolean",
                "title": "Dry run",
                "description": "Only count what would be deleted. Nothing is deleted.",
                "default": True,
            },
            "batch_size": {
                "type": "integer",
                "title": "Batch size",
                "description": "The number of documents deleted in one step. A smaller number puts less load on the database.",
                "minimum": 1,
                "maximum": 10_000,
                "default": 1000,
            },
            "max_deletes": {
                "type": "integer",
                "title": "Maximum number of deletes",
                "description": "The run stops after this many deletes.",
                "minimum": 1,
                "maximum": 1_000_000_000,
                "default": 100_000,
            },
        },
        "required": ["connection", "collection", "condition"],
        "examples": [{"connection": "shop", "collection": "sessions", "condition": {"lastSeen": {"$lt": "1 month ago"}}}],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        yield from fields.collection_problems(params["collection"], "/collection")
        condition_problems = list(conditions.problems(params["condition"], "/condition"))
        yield from condition_problems
        if not condition_problems and conditions.always_true(params["condition"]):
            yield Problem("/condition", "matches every document. Restrict it to the documents to delete")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many documents a run would delete now, and up to five of them."""
        self.insist(params)
        most = params.get("max_deletes", 100_000)
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._prepare(database, params, ctx)
            data = documents.preview(collection, query, most) | documents.reading(collection, params["condition"], query, ctx.now)
        would = data.pop("would_change")
        return JobResult(f"Would delete {would:,} of {amount(data['total'], 'document')}", {**data, "would_delete": would})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._prepare(database, params, ctx)
            ctx.log.info("Condition is %s", documents.readable(query))
            for warning in documents.type_warnings(collection, query):
                ctx.log.warning("%s", warning)
            matching = documents.count(collection, query)
            if params.get("dryRun", True):
                ctx.log.info("Dry run: nothing is deleted")
                return JobResult(f"Would delete {amount(matching, 'document')} (dry run)", _result(matching, 0, dry_run=True))
            return self._delete(collection, query, matching, params, ctx)

    def _prepare(
        self, database: Database[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext
    ) -> tuple[Collection[dict[str, Any]], dict[str, Any]]:
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
        ctx.log.info("Found %s; deleting %s", amount(matching, "document"), f"{goal:,}")
        for ids in documents.batches(collection, query, size=params.get("batch_size", 1000), most=most):
            ctx.check_cancelled()
            # The query repeats the condition, so that a document that changed since the batch was read stays.
            deleted += collection.delete_many({"$and": [{"_id": {"$in": ids}}, query]}).deleted_count
            ctx.progress(deleted, max(goal, deleted), f"{deleted:,} of {goal:,} deleted")
        stopped = deleted >= most and matching > most
        if stopped:
            ctx.log.warning("Stopped at max_deletes = %s; %s left", f"{most:,}", amount(matching - deleted, "document"))
        return JobResult(
            f"Deleted {amount(deleted, 'document')}" + (f", stopped at {most:,}" if stopped else ""),
            _result(matching, deleted, dry_run=False),
        )


def _result(processed: int, deleted: int, *, dry_run: bool) -> dict[str, Any]:
    return {"records_processed": processed, "records_deleted": deleted, "errors": 0, "dry_run": dry_run}
