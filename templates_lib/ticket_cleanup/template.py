"""Moves resolved tickets into an archive, or deletes them, once they are old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pymongo.database import Database

from templates_lib import documents, fields, moving
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.messages import amount


class TicketCleanup(JobTemplate):
    """Requirement 002.96 (auto_delete_resolved_tickets): selects tickets by status and date, and archives or deletes them."""

    type = "ticket_cleanup"
    name = "Ticket cleanup"
    description = "Archive or delete tickets that were resolved long ago"
    category = "Maintenance"
    icon = "ticket"
    risk_level = "high"
    destructive = True
    estimated_duration = "1–10 minutes"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("mongodb", "Connection", "The database that contains the tickets."),
            "collection": {**fields.collection(), "default": "tickets"},
            "older_than_days": {
                "type": "integer",
                "title": "Resolved more than (days) ago",
                "minimum": 1,
                "maximum": 36_500,
                "default": 90,
            },
            "statuses": {
                "type": "array",
                "title": "Statuses that count as resolved",
                "minItems": 1,
                "maxItems": 20,
                "uniqueItems": True,
                "default": ["resolved", "closed"],
                "items": {"type": "string", "title": "Status", "minLength": 1, "maxLength": 100},
            },
            "status_field": {**fields.field("Status field"), "default": "status", "x-section": "Fields"},
            "date_field": {**fields.field("Date field"), "default": "resolvedAt", "x-section": "Fields"},
            "archive": {
                **fields.collection(
                    "Archive collection", "Tickets are moved here and keep their ids. Leave empty to delete them permanently."
                ),
                "x-placeholder": "tickets_archive",
            },
            "dryRun": fields.DRY_RUN,
            "max_tickets": {
                "type": "integer",
                "title": "Maximum number of tickets",
                "minimum": 1,
                "maximum": 10_000_000,
                "default": 10_000,
            },
        },
        "required": ["connection", "collection", "older_than_days", "statuses"],
        "examples": [
            {
                "connection": "shop",
                "collection": "tickets",
                "older_than_days": 90,
                "statuses": ["resolved", "closed"],
                "archive": "tickets_archive",
            }
        ],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> list[Problem]:
        names = ("collection", "archive")
        problems = [problem for name in names for problem in fields.collection_problems(params.get(name, ""), f"/{name}")]
        if params.get("archive") == params["collection"]:
            problems.append(Problem("/archive", "must not be the collection itself"))
        return problems

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns how many tickets a run would archive or delete now, the oldest and the newest of them, and up to five samples."""
        self.insist(params)
        with open_mongodb(ctx, params["connection"]) as database:
            collection, query = self._tickets(database, params, ctx)
            data = documents.preview(collection, query, params.get("max_tickets", 10_000), date=params.get("date_field", "resolvedAt"))
        would = data.pop("would_change")
        words = f"archive {would:,}" if params.get("archive") else f"delete {would:,}"
        return JobResult(f"Would {words} of {amount(data['total'], 'ticket')}", {**data, "would_take": would})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        most, archive = params.get("max_tickets", 10_000), params.get("archive")
        with open_mongodb(ctx, params["connection"]) as database:
            tickets, query = self._tickets(database, params, ctx)
            ctx.log.info("Condition is %s", documents.readable(query))
            total = min(documents.count(tickets, query), most)
            ctx.log.info("Found %s", amount(total, "ticket"))
            if params.get("dryRun", True):
                words = "archive" if archive else "delete"
                return JobResult(f"Would {words} {amount(total, 'ticket')} (dry run)", _result(0, 0, dry_run=True, processed=total))
            if archive:
                moved = moving.to_collection(tickets, database[archive], query, size=500, most=most, total=total, ctx=ctx).documents
                return JobResult(f"Archived {amount(moved, 'ticket')}", _result(moved, 0))
            deleted = 0
            for ids in documents.batches(tickets, query, size=500, most=most):
                ctx.check_cancelled()
                deleted += tickets.delete_many({"$and": [{"_id": {"$in": ids}}, query]}).deleted_count
                ctx.progress(deleted, max(total, deleted), f"{deleted:,} of {amount(max(total, deleted), 'ticket')}")
            return JobResult(f"Deleted {amount(deleted, 'ticket')}", _result(0, deleted))

    def _tickets(
        self, database: Database[dict[str, Any]], params: Mapping[str, Any], ctx: RunContext
    ) -> tuple[documents.Documents, dict[str, Any]]:
        before = ctx.now - timedelta(days=params["older_than_days"])
        query = {
            params.get("status_field", "status"): {"$in": list(params["statuses"])},
            params.get("date_field", "resolvedAt"): {"$lt": before},
        }
        return database[params["collection"]], query


def _result(archived: int, deleted: int, *, dry_run: bool = False, processed: int | None = None) -> dict[str, Any]:
    done = archived + deleted
    return {
        "records_processed": done if processed is None else processed,
        "tickets_archived": archived,
        "tickets_deleted": deleted,
        "errors": 0,
        "dry_run": dry_run,
    }
