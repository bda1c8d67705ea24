"""Moves old documents to another collection or into files. None is lost, and none exists twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from pymongo.database import Database

from templates_lib import conditions, documents, fields, moving
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.messages import amount


class DataArchive(JobTemplate):
    """Copies documents first, durably, and then deletes those that did not change since. A run that was killed at any moment can go on
    from there."""

    type = "data_archive"
    name = "Data archive"
    description = "Move old documents to another collection or into files"
    category = "Maintenance"
    icon = "archive"
    risk_level = "high"
    destructive = True
    estimated_duration = "5–30 minutes"
    resource_usage = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection", "The database that documents are moved out of."),
            "collection": fields.collection(),
            "condition": fields.condition("Condition", 'A MongoDB query for the documents to move. Dates may be relative: `"1 year ago"`.'),
            "to": {
                "title": "Archive to",
                "default": "collection",
                "oneOf": [{"const": "collection", "title": "A collection"}, {"const": "files", "title": "Files (JSON lines, compressed)"}],
            },
            "target_connection": {
                **fields.connection("mongodb", "Archive connection", "Leave empty to use the same connection."),
                "x-visible-if": {"to": ["collection"]},
            },
            "target_collection": {
                **fields.collection("Archive collection", of="/target_connection"),
                "x-placeholder": "orders_archive",
                "x-visible-if": {"to": ["collection"]},
            },
            "destination": {**fields.destination("archive/orders-{date}", "Files"), "x-visible-if": {"to": ["files"]}},
            "dryRun": fields.DRY_RUN,
            "batch_size": {
                "type": "integer",
                "title": "Batch size",
                "description": "The number of documents moved in one step between collections.",
                "minimum": 1,
                "maximum": 10_000,
                "default": 1000,
            },
            "max_documents": {
                "type": "integer",
                "title": "Maximum number of documents",
                "minimum": 1,
                "maximum": 1_000_000_000,
                "default": 1_000_000,
            },
        },
        "required": ["connection", "collection", "condition", "to"],
        "allOf": [
            {"if": {"properties": {"to": {"const": "collection"}}}, "then": {"required": ["target_collection"]}},
            {"if": {"properties": {"to": {"const": "files"}}}, "then": {"required": ["destination"]}},
        ],
        "examples": [
            {
                "connection": "shop",
                "collection": "orders",
                "condition": {"at": {"$lt": "1 year ago"}},
                "to": "collection",
                "target_collection": "orders_archive",
            }
        ],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        for name in ("collection", "target_collection"):
            yield from fields.collection_problems(params.get(name, ""), f"/{name}")
        yield from conditions.problems(params["condition"], "/condition")
        same = params.get("target_connection", params["connection"]) == params["connection"]
        if params["to"] == "collection" and same and params["target_collection"] == params["collection"]:
            yield Problem("/target_collection", "must not be the collection itself")
        if params["to"] == "files" and fields.leaves_store(params["destination"]["path"]):
            yield Problem("/destination/path", "must stay inside the file store")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many documents a run would move now, and up to five of them."""
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._source(database, params, ctx)
            data = documents.preview(collection, query, params.get("max_documents", 1_000_000))
            data |= documents.reading(collection, params["condition"], query, ctx.now)
        would = data.pop("would_change")
        return JobResult(f"Would move {would:,} of {amount(data['total'], 'document')}", {**data, "would_move": would})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        most = params.get("max_documents", 1_000_000)
        with ExitStack() as opened:
            database = opened.enter_context(open_mongodb(ctx, params["connection"]))
            source, query = self._source(database, params, ctx)
            ctx.log.info("Condition is %s", documents.readable(query))
            total = min(documents.count(source, query), most)
            ctx.log.info("Found %s", amount(total, "document"))
            for warning in documents.type_warnings(source, query):
                ctx.log.warning("%s", warning)
            if params.get("dryRun", True):
                return JobResult(
                    f"Would move {amount(total, 'document')} (dry run)",
                    {"records_processed": total, "records_moved": 0, "errors": 0, "dry_run": True},
                )
            if params["to"] == "files":
                store = open_file_store(ctx, params["destination"]["connection"])
                path = fields.fill_path(params["destination"]["path"], ctx)
                moved = moving.to_files(source, store, path, query, most=most, total=total, ctx=ctx)
            else:
                other = params.get("target_connection", params["connection"])
                into = database if other == params["connection"] else opened.enter_context(open_mongodb(ctx, other))
                target = into[params["target_collection"]]
                moved = moving.to_collection(source, target, query, size=params.get("batch_size", 1000), most=most, total=total, ctx=ctx)
        data = {"records_processed": moved.documents, "records_moved": moved.documents, "errors": 0, "dry_run": False}
        return JobResult(
            f"Moved {amount(moved.documents, 'document')}", {**data, **({"files": moved.files} if moved.files is not None else {})}
        )

    def _source(
        self, database: Database[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext
    ) -> tuple[documents.Documents, dict[str, Any]]:
        return database[params["collection"]], conditions.resolve(params["condition"], ctx.now)
