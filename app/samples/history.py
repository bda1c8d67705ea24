"""Executions of the past and their logs, as the engine would have left them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.execution.log_store import chunk
from app.jobs.model import Job
from app.mongo import Document
from app.queue.endings import ended_fields
from app.queue.execution import Execution
from app.queue.model import AttemptError, Status
from app.samples.jobs import SampleJob

HISTORY = timedelta(days=7)
UNTIL = timedelta(minutes=3)  # ago, the history ends
MOST_RUNS = 700  # of one job
HOST = "sample"
_IDS = uuid.UUID("5d1f5a0e-0f0b-4c51-9d1e-3b1f2b8a7c55")  # of the ids of past executions: made again, they are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """How a run of the past went. `error` is the message of a failure."""

    due: datetime
    late: timedelta
    seconds: float
    result: dict[str, Any] | None = None
    error: str | None = None
    status: Status = Status.SUCCESS


def refusal(message: str) -> AttemptError:
    """Returns the error of a run whose template refuses to go on: another run fails in the same way."""
    return AttemptError(type="TemplateError", message=message, permanent=True)


def past_execution(job: Job, run: PastRun) -> Document:
    """Returns the stored form of an execution that has ended."""
    began, end = run.due + run.late, run.due + run.late + timedelta(seconds=run.seconds)
    planned = Execution.due(job, began, at=run.due, overlap=job.definition.overlap, available_at=run.due)
    error = None if run.error is None else refusal(run.error).as_stored()
    attempt = {
        "number": 1,
        "started_at": began,
        "completed_at": end,
        "status": run.status.value,
        "error": error,
        "duration_seconds": run.seconds,
        "host": HOST,
        "worker": HOST,
    }
    return ended(planned.as_document(), run.status, end) | {
        "_id": str(uuid.uuid5(_IDS, f"{job.id} {run.due.isoformat()}")),
        "started_at": began,
        "duration_seconds": run.seconds,
        "attempts": [attempt],
        "result": run.result,
        "error": error,
        "execution_host": HOST,
    }


def ended(document: Document, status: Status, at: datetime) -> Document:
    """Returns the stored form of an execution that has not begun, ended then."""
    kept = {name: value for name, value in document.items() if name not in {"live", "queue_rank"}}
    return {**kept, **ended_fields(status, at)}


def past_log(document: Document, lines: Sequence[tuple[str, str]]) -> Document:
    """Returns the stored log of an execution; `lines` are levels and messages, spread evenly over its time."""
    step = timedelta(seconds=document["duration_seconds"] / max(1, len(lines)))
    rows = [
        {"timestamp": document["started_at"] + place * step, "level": level, "message": message}
        for place, (level, message) in enumerate(lines)
    ]
    return chunk(document["_id"], 1, 1, rows)


def week(job: Job, sample: SampleJob, *, now: datetime, failing_hour: int) -> tuple[list[Document], list[Document]]:
    """Returns the executions of the last week of a sample job, oldest first, and their logs. The same call always tells the same story."""
    chance = random.Random(sample.name)
    executions, logs = [], []
    for due in job.definition.schedule.trigger.latest(now - HISTORY, now - UNTIL, MOST_RUNS):
        told = sample.told(due, failing_hour)
        run = PastRun(
            due=due,
            late=timedelta(milliseconds=chance.randint(30, 900)),
            seconds=round(sample.seconds * chance.lognormvariate(0, 0.2), 3),
            result=told.result,
            error=told.error,
            status=Status.SUCCESS if told.error is None else Status.FAILED,
        )
        document = past_execution(job, run)
        executions.append(document)
        logs.append(past_log(document, told.lines))
    return executions, logs
