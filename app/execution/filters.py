"""What a list of executions is narrowed to, and whose executions a person sees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.mongo import ANY_DATE, Document
from app.queue.model import LIVE

LIVE_INDEX = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """What a list is narrowed to; None means all. `begin` is inclusive and `end` exclusive, of the instant when an execution was queued."""

    job_id: str | None = None
    status: str | None = None
    triggered_by: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def where(self) -> Document:
        """As a query."""
        query: Document = {}
        for field, value in (("job_id", self.job_id), ("triggered_by", self.triggered_by)):
            if value is not None:
                query[field] = value
        if self.status is not None:
            query |= {"status": self.status, **({"live": True} if self.status in LIVE else {"completed_at": ANY_DATE})}
        between = {name: value for name, value in (("$gte", self.begin), ("$lt", self.end)) if value is not None}
        return {**query, "queued_at": between} if between else query

    @property
    def hint(self) -> Document:
        """The index to use: few executions are live, and their index is of them alone, which the planner does not see."""
        return {"hint": LIVE_INDEX} if self.status in LIVE and self.job_id is None else {}


ALL_EXECUTIONS = ExecutionFilter()


def in_groups(groups: Collection[str] | None) -> Document:
    """A query for the executions of jobs of these groups; all executions for None. Previews belong to whoever asked for them, and to no
    group."""
    return {} if groups is None else {"group": {"$in": list(groups)}, "dry": {"$ne": True}}
