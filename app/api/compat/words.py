"""The words of the other scheduler services for statuses and causes, and members in both spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.api.present import jsonable
from app.queue.execution import Execution
from app.queue.items import COUNTS, ItemCounts
from app.queue.model import FAILURES, Status, Trigger
from templates_lib.messages import said

PENDING, RUNNING, COMPLETED, FAILED = "pending", "running", "completed", "failed"
# The statuses that stand for each word. What was skipped or missed did not run, so the other services have no record of it.
STATUSES: Mapping[str, tuple[Status, ...]] = {
    PENDING: (Status.QUEUED,),
    RUNNING: (Status.RUNNING, Status.RETRYING),
    COMPLETED: (Status.SUCCESS,),
    FAILED: (*sorted(FAILURES), Status.CANCELLED),
}
RAN: tuple[str, ...] = tuple(status.value for statuses in STATUSES.values() for status in statuses)
WORDS = {status.value: word for word, statuses in STATUSES.items() for status in statuses}
_CAUSES = {
    Trigger.SCHEDULE.value: "scheduler",
    Trigger.DEPENDENCY.value: "scheduler",
    Trigger.MANUAL.value: "admin",
    Trigger.BACKFILL.value: "admin",
}
_NOT_IN_METADATA = frozenset({"message", *COUNTS})


def status_word(status: str) -> str:
    """Returns pending, running, completed or failed."""
    return WORDS.get(status, FAILED)


def statuses_of(word: str | None) -> tuple[str, ...]:
    """Returns the statuses that a word stands for; those of every execution that ran, runs or will run without one."""
    return RAN if word is None else tuple(status.value for status in STATUSES[word])


def cause_word(triggered_by: str) -> str:
    """Returns scheduler, admin (a person on a page) or manual (a program)."""
    return _CAUSES.get(triggered_by, "manual")


def error_words(execution: Execution) -> str | None:
    """Returns why an execution did not succeed; None if it did, or if it has not ended."""
    if execution.is_live or execution.status == Status.SUCCESS:
        return None
    if execution.error is not None:
        return str(execution.error.message)
    return str(said(execution.reason or execution.status))


def job_result(execution: Execution) -> dict[str, Any] | None:
    """Returns the JobResult of an execution that has ended; None for one that has not."""
    if execution.is_live:
        return None
    items, result, error = execution.items or ItemCounts(), execution.result or {}, error_words(execution)
    listed = result.get("error_messages")
    errors = [str(line) for line in listed] if isinstance(listed, list) else []
    counts = {"itemsProcessed": items.processed, "itemsSucceeded": items.succeeded, "itemsFailed": items.failed}
    details = metadata(execution)
    return {
        "success": execution.status == Status.SUCCESS,
        **counts,
        "error": error,
        "errors": errors or ([error] if error else []),
        "metadata": details,
        "details": details,
    }


def metadata(execution: Execution) -> dict[str, Any]:
    """Returns what the result says besides its message and its counts."""
    result = execution.result or {}
    own = result.get("metadata")
    kept = own if isinstance(own, Mapping) else {name: value for name, value in result.items() if name not in _NOT_IN_METADATA}
    shown: dict[str, Any] = jsonable(kept)
    return shown


def milliseconds(execution: Execution) -> int | None:
    """Returns the duration of an execution."""
    return None if execution.duration_seconds is None else round(execution.duration_seconds * 1000)


def in_both_spellings(members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns members in snake_case and in camelCase: the other services have their tables in one and their bodies in the other."""
    return {**jsonable(members), **{_camel(name): value for name, value in jsonable(members).items()}}


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
