"""Runs an aggregation. Its rows go into a collection, or the first of them into the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar

from templates_lib import documents, fields, pipelines
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.messages import amount

TIME_MS = 1_800_000
SAMPLES = 5


class MongodbAggregation(JobTemplate):
    """Adds the `$merge` stage itself, into a collection that the connection allows. The pipeline of a job may not have one."""

    type = "mongodb_aggregation"
    name = "MongoDB aggregation"
    description = "Run an aggregation pipeline and store the rows in a collection"
    category = "Data"
    icon = "sigma"
    risk_level = "high"
    estimated_duration = "1–10 minutes"
    resource_usage = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection"),
            "collection": fields.collection(),
            "pipeline": pipelines.SCHEMA,
            "into": {
                **fields.collection(
                    "Write to collection",
                    "The collection that receives the rows. Leave empty to write nothing and only show the first rows in the result.",
                ),
                "x-placeholder": "orders_by_day",
            },
            "on": {
                "type": "array",
                "title": "Match rows by",
                "maxItems": 10,
                "uniqueItems": True,
                "default": ["_id"],
                "items": fields.field("Field"),
                "description": "The fields that identify a row. Fields other than `_id` need a unique index.",
            },
            "when_there": {
                "title": "If the row already exists",
                "default": "replace",
                "oneOf": [
                    {"const": "replace", "title": "Replace it"},
                    {"const": "merge", "title": "Merge, and keep its other fields"},
                    {"const": "keepExisting", "title": "Keep it unchanged"},
                    {"const": "fail", "title": "Fail the run"},
                ],
            },
            "most_rows": {"type": "integer", "title": "Rows shown in the result", "minimum": 1, "maximum": 1000, "default": 100},
        },
        "required": ["connection", "collection", "pipeline"],
        "examples": [
            {
                "connection": "shop",
                "collection": "orders",
                "pipeline": [{"$group": {"_id": "$country", "orders": {"$sum": 1}}}],
                "into": "orders_by_country",
            }
        ],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        for name in ("collection", "into"):
            yield from fields.collection_problems(params.get(name, ""), f"/{name}")
        if params.get("into") == params["collection"]:
            yield Problem("/into", "must not be the collection itself")
        yield from pipelines.problems(params["pipeline"], "/pipeline")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many rows there are now, and up to five of them."""
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            stages = self._stages(params, ctx)
            counted = list(pipelines.run(database, params["collection"], [*stages, {"$count": "rows"}], time_ms=TIME_MS))
            samples = [
                documents.readable(row) for row in islice(pipelines.run(database, params["collection"], stages, time_ms=TIME_MS), SAMPLES)
            ]
            reading = pipelines.reading(database[params["collection"]], params["pipeline"], stages, ctx.now)
        rows = counted[0]["rows"] if counted else 0
        where = f"into {params['into']}" if params.get("into") else "into the result"
        return JobResult(f"Would write {amount(rows, 'row')} {where}", {"rows": rows, "samples": samples, **reading})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            stages = self._stages(params, ctx)
            ctx.check_cancelled()
            ctx.log.info("Querying %s with %s", params["collection"], amount(len(stages), "stage"))
            if not params.get("into"):
                rows = [
                    documents.readable(row)
                    for row in islice(pipelines.run(database, params["collection"], stages, time_ms=TIME_MS), params.get("most_rows", 100))
                ]
                return JobResult(amount(len(rows), "row"), {"rows": rows, "records_processed": len(rows), "errors": 0})
            into = database[params["into"]]  # raises if the connection does not allow this collection
            merge = {
                "into": params["into"],
                "on": list(params.get("on") or ["_id"]),
                "whenMatched": params.get("when_there", "replace"),
                "whenNotMatched": "insert",
            }
            list(pipelines.run(database, params["collection"], [*stages, {"$merge": merge}], time_ms=TIME_MS))
            total = into.estimated_document_count()
        ctx.log.info("%s holds %s", params["into"], amount(total, "document"))
        return JobResult(f"{params['into']} holds {amount(total, 'document')}", {"into": params["into"], "documents": total, "errors": 0})

    def _stages(self, params: Mapping[str, Any], ctx: RunContext) -> list[dict[str, Any]]:
        return pipelines.resolve(params["pipeline"], ctx.now)
