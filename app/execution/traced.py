"""The spans of executions that have ended: one for the execution, and one for each of its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.outbox.batches import BatchHandler, Carried
from app.queue.execution import AttemptRecord, Execution
from app.queue.model import ENDED, FAILURES, AttemptError, Status
from app.queue.owing import EndHandler
from app.traces.base import Attributes, Kind, Span, Traces


class TraceExecution(EndHandler, BatchHandler[Execution]):
    """Writes the spans of executions from their records, whichever processes ran and ended them. What never began to wait has none.

    Killed before the item is settled, the same spans are written again, with the same ids.
    """

    name = "trace"
    statuses = ENDED - {Status.SKIPPED, Status.MISSED}

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def carry_out_all(self, records: Sequence[Execution]) -> Mapping[str, Carried]:
        for record in records:
            for span in spans_of(record, self._traces):
                self._traces.write(span)
        return {record.id: Carried() for record in records}


def spans_of(execution: Execution, traces: Traces) -> Iterator[Span]:
    """Returns the spans of an execution that has ended."""
    if execution.completed_at is None:
        return
    place, caused_by = traces.execution(execution.id, execution.traceparent), execution.traceparent
    common = _common(execution)
    yield Span(
        name=f"execution {execution.template_type}",
        kind=Kind.INTERNAL,
        place=place,
        parent=caused_by,
        began=execution.queued_at,
        ended=execution.completed_at,
        attributes={**common, **_of_execution(execution)},
        error=_error(execution.status, execution.error),
    )
    for attempt in execution.attempts:
        yield Span(
            name=f"attempt {execution.template_type}",
            kind=Kind.INTERNAL,
            place=traces.attempt(execution.id, caused_by, attempt.number),
            parent=place,
            began=attempt.started_at,
            ended=attempt.completed_at or execution.completed_at,
            attributes={**common, **_of_attempt(attempt)},
            error=_error(attempt.status, attempt.error),
        )


def _common(execution: Execution) -> Attributes:
    return {
        "jobwright.execution.id": execution.id,
        "jobwright.job.id": execution.job_id,
        "jobwright.job.name": execution.job_name,
        "jobwright.template.type": execution.template_type,
        "jobwright.correlation_id": execution.correlation,
    }


def _of_execution(execution: Execution) -> Attributes:
    began = min((attempt.started_at for attempt in execution.attempts), default=execution.completed_at or execution.queued_at)
    return {
        "jobwright.execution.status": execution.status,
        "jobwright.execution.triggered_by": execution.triggered_by,
        "jobwright.execution.attempts": len(execution.attempts),
        "jobwright.execution.wait_seconds": max(0.0, (began - execution.queued_at).total_seconds()),
        **({"jobwright.execution.reason": execution.reason} if execution.reason else {}),
    }


def _of_attempt(attempt: AttemptRecord) -> Attributes:
    known = {"host.name": attempt.host, "jobwright.attempt.worker": attempt.worker, "jobwright.attempt.reason": attempt.reason}
    return {
        "jobwright.attempt.number": attempt.number,
        "jobwright.attempt.status": attempt.status,
        **{name: value for name, value in known.items() if value},
    }


def _error(status: str, error: AttemptError | None) -> str:
    """Returns how something failed, in a word. The message is left out: it may contain data of the run."""
    if status not in FAILURES:
        return ""
    return error.type if error is not None and status == Status.FAILED else status
