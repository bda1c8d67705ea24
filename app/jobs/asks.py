"""What may wait for somebody's approval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.jobs.model import Job
from app.mongo import Document


class Operation(StrEnum):
    """What may wait for approval."""

    CREATE = "job.create"
    UPDATE = "job.update"
    ENABLE = "job.enable"
    RESUME = "job.resume"
    DELETE = "job.delete"
    UNDELETE = "job.undelete"
    RUN = "job.run"
    RETRY = "execution.retry"
    BACKFILL = "job.backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """All that it takes to do something later, in someone's name, and to judge it: `payload` as it is stored (secrets sealed), `diff` as
    it is shown (secrets masked). `job` is the job as it is, or as it would be. `previews`: its template can say what a run would do."""

    operation: Operation
    job: Job
    diff: list[dict[str, Any]]
    payload: Document
    previews: bool
