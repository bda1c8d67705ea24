"""What a list of executions is narrowed to, and whose executions a person sees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.mongo import ANY_DATE, Document, literal
from app.queue.model import LIVE

LIVE_INDEX = "live"
MOST_SEARCHED = 5_000  # executions
SEARCHED_FIELDS = ("job_name", "result.message", "error.message")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """What a list is narrowed to; None and empty mean all. `begin` is inclusive and `end` exclusive, of the instant when an execution was
    queued. `statuses` are several statuses of which each is wanted. With `real`, dry runs are left out.
    `correlation_id` is that of a request, or the id of an execution.

    `search` is a text in the name of the job, in the message of the result or in the error, in any case. It is looked for in the newest
    MOST_SEARCHED executions that pass the other filters, as no index has these texts.
    """

    job_id: str | None = None
    template_type: str | None = None
    status: str | None = None
    statuses: Collection[str] = ()
    triggered_by: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    correlation_id: str | None = None
    search: str = ""
    real: bool = False

    def where(self) -> Document:
        """As a query, without the search."""
        query: Document = {}
        for field, value in (("job_id", self.job_id), ("template_type", self.template_type), ("triggered_by", self.triggered_by)):
            if value is not None:
                query[field] = value
        if self.status is not None:
            query |= {"status": self.status, **({"live": True} if self.status in LIVE else {"completed_at": ANY_DATE})}
        if self.statuses:
            query["status"] = {"$in": sorted(self.statuses)}
        if self.correlation_id is not None:
            query["$or"] = [{"correlation_id": self.correlation_id}, {"_id": self.correlation_id}]
        if self.real:
            query["dry"] = {"$ne": True}
        between = {name: value for name, value in (("$gte", self.begin), ("$lt", self.end)) if value is not None}
        return {**query, "queued_at": between} if between else query

    def found(self) -> Document:
        """The search as a query: a text in one of SEARCHED_FIELDS."""
        pattern = {"$regex": literal(self.search), "$options": "i"}
        return {"$or": [{name: pattern} for name in SEARCHED_FIELDS]}

    @property
    def hint(self) -> Document:
        """The index to use: few executions are live, and their index is of them alone, which the planner does not see."""
        return {"hint": LIVE_INDEX} if self.status in LIVE and self.job_id is None else {}


ALL_EXECUTIONS = ExecutionFilter()


def in_groups(groups: Collection[str] | None) -> Document:
    """A query for the executions of jobs of these groups; all executions for None. Previews belong to whoever asked for them, and to no
    group."""
    return {} if groups is None else {"group": {"$in": list(groups)}, "dry": {"$ne": True}}
