"""The sample jobs: what they are, and what each of their runs says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from app.samples.shop import BAD_TOTAL, CITIES, INACTIVE, bad_hours, open_orders
from templates_lib.conditions import resolve
from templates_lib.documents import readable
from templates_lib.messages import amount, say

TAG = "sample"
SHOP, FILES = "Sample shop", "Sample files"  # names of the connections
CLEANUP, EXPORT, REPORT = "Sample: clean up inactive customers", "Sample: export open orders", "Sample: sales report"
_SALES, _BY_CITY = "Sales of this hour", "Sales by city"  # titles of the report and of its section
_EXPORT_BYTES, _REPORT_BYTES = 36_178, 9_184  # sizes of the files
_INACTIVE = {"lastActive": {"$lt": "6 months ago"}}
_NOTE = "Sample data. It is removed with all other sample data."


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run of the past says: the lines of its log with their levels, and its result or its error."""

    lines: Sequence[tuple[str, str]]
    result: dict[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleJob:
    """One job. `seconds` is how long a run takes. `told` says what a run said that was due then; it also gets the hour of the failing
    run."""

    name: str
    template: str
    cron: str
    seconds: float
    description: str
    parameters: dict[str, Any]
    told: Callable[[datetime, int], Told]

    def body(self, timezone: str) -> dict[str, Any]:
        """Returns the job as `JobRegistry.create` takes it."""
        return {
            "name": self.name,
            "template_type": self.template,
            "description": f"{self.description} {_NOTE}",
            "parameters": self.parameters,
            "tags": [TAG],
            "retry_policy": {"max_retries": 0},
            "schedule": {"type": "cron", "expression": self.cron, "timezone": timezone},
        }


def _cleanup(due: datetime, _failing_hour: int) -> Told:
    condition = resolve(_INACTIVE, due)
    message = f"Would delete {INACTIVE:,} documents (dry run)"
    result = {"message": message, "records_processed": INACTIVE, "records_deleted": 0, "errors": 0, "dry_run": True}
    return Told(lines=[("INFO", f"Condition is {readable(condition)}"), ("INFO", "Dry run: nothing is deleted")], result=result)


def _export(due: datetime, _failing_hour: int) -> Told:
    count, path = open_orders(), f"orders-{due:%Y-%m-%d}.csv"
    result = {
        "message": f"Exported {amount(count, 'document')} to {path} ({_EXPORT_BYTES:,} bytes)",
        "records_processed": count,
        "records_exported": count,
        "errors": 0,
        "path": path,
        "bytes": _EXPORT_BYTES,
        "sha256": sha256(path.encode()).hexdigest(),
    }
    return Told(
        lines=[("INFO", "Counting the documents of orders"), ("INFO", f"Exporting {amount(count, 'document')} to {path}")], result=result
    )


def _report(due: datetime, failing_hour: int) -> Told:
    began = ("INFO", f"Querying {_BY_CITY}")
    if due.hour in bad_hours(failing_hour):
        reason = f"Failed to parse number '{BAD_TOTAL}' in $convert with no onError value: Did not consume any digits"
        refusal = say("The database refused the pipeline: {reason}", reason=reason)
        return Told(lines=[began, ("ERROR", refusal)], error=refusal)
    result = {
        "message": f"{_SALES}: {len(CITIES)} rows, 1 file",
        "sections": [{"title": _BY_CITY, "rows": len(CITIES), "more": False}],
        "records_processed": len(CITIES),
        "errors": 0,
        "files": [{"path": "sales.html", "bytes": _REPORT_BYTES}],
    }
    return Told(lines=[began, ("INFO", f"{_BY_CITY}: {len(CITIES)} rows")], result=result)


_SALES_OF_THIS_HOUR: list[dict[str, Any]] = [
    {"$project": {"city": 1, "total": {"$cond": [{"$eq": ["$hour", {"$hour": "$$NOW"}]}, {"$toDouble": "$total"}, None]}}},
    {"$match": {"total": {"$ne": None}}},
    {"$group": {"_id": "$city", "sales": {"$sum": "$total"}}},
    {"$sort": {"_id": 1}},
]
JOBS = (
    SampleJob(
        name=CLEANUP,
        template="database_cleanup",
        cron="0 2 * * *",
        seconds=0.6,
        description="Counts customers who have not been active for six months. It is a dry run: it deletes nothing.",
        parameters={"connection": SHOP, "collection": "customers", "condition": _INACTIVE, "dryRun": True},
        told=_cleanup,
    ),
    SampleJob(
        name=EXPORT,
        template="data_export",
        cron="15 */2 * * *",
        seconds=1.4,
        description="Writes all open orders to a CSV file.",
        parameters={
            "connection": SHOP,
            "collection": "orders",
            "filter": {"status": "open"},
            "format": "csv",
            "destination": {"connection": FILES, "path": "orders-{date}.csv"},
        },
        told=_export,
    ),
    SampleJob(
        name=REPORT,
        template="report_generation",
        cron="5 * * * *",
        seconds=2.1,
        description="Reports the sales of this hour for each city. It fails three times a day, because one city then reports no number.",
        parameters={
            "title": _SALES,
            "sections": [
                {
                    "title": _BY_CITY,
                    "question": {"connection": SHOP, "collection": "sales", "pipeline": _SALES_OF_THIS_HOUR},
                    "chart": {"kind": "bar", "label": "_id", "values": ["sales"]},
                }
            ],
            "formats": ["html"],
            "destination": {"connection": FILES, "path": "sales"},
        },
        told=_report,
    ),
)
NAMES = tuple(job.name for job in JOBS)
