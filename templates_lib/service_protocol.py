"""What Jobwright and services tell each other about a run, as docs/reference/service-protocol.md describes: JobResults and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from templates_lib.base import JobResult, TemplateError
from templates_lib.messages import Said, amount, joined, say

COUNTS = ("itemsProcessed", "itemsSucceeded", "itemsFailed")
MOST_ITEMS = 2**53 - 1  # the largest whole number that every reader of JSON keeps exactly
LONGEST_ERROR = 2_000
MOST_ERRORS = 100  # of a list of errors
MOST_LINES, LONGEST_LINE = 500, 8_000  # lines of the log in one message, and characters of a line
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FAIL, WARN, SUCCEED = "fail", "warn", "succeed"  # what failed items make of a run
USUAL_HEARTBEAT_SECONDS, LEAST_HEARTBEAT_SECONDS, MOST_HEARTBEAT_SECONDS = 60, 5, 86_400

# What a service is told about the cause of an execution. `retry` is someone who asked for another try.
_TRIGGERED_BY = {"manual": "admin", "retry": "admin", "api": "manual", "webhook": "manual", "command": "manual"}


class ServiceUnavailable(TemplateError):
    """The service did not answer, or answered that it has a problem of its own. Its circuit breaker counts these."""


class HandlerGone(TemplateError):
    """The service answered that it does not have the job any more."""


def triggered_by_word(cause: str) -> str:
    """Returns what a service is told about the cause of an execution: `scheduler`, `manual` or `admin`."""
    return _TRIGGERED_BY.get(cause, "scheduler")


def result_problems(result: Any) -> list[tuple[str, str]]:
    """Returns what is wrong with a JobResult, as (JSON Pointer, message). Unknown members are ignored."""
    if not isinstance(result, Mapping):
        return [("", say("must be a JSON object"))]
    problems: list[tuple[str, str]] = []
    if not isinstance(result.get("success"), bool):
        problems.append(("/success", say("must be true or false")))
    return problems + detail_problems(result)


def detail_problems(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what is wrong with the optional members of a JobResult."""
    problems: list[tuple[str, str]] = [
        (f"/{name}", say("must be a whole number from 0")) for name in COUNTS if _count(result.get(name, 0)) is None
    ]
    if not isinstance(result.get("error"), str | None):
        problems.append(("/error", say("must be text")))
    if not isinstance(result.get("metadata"), Mapping | None):
        problems.append(("/metadata", say("must be a JSON object")))
    return problems


def result_data(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the execution keeps of a JobResult without problems. Its counts are complete if it has any.

    Some services say `errors` and `details` where others say `error` and `metadata`: both are taken.
    """
    given = {name: count for name in COUNTS if result.get(name) is not None and (count := _count(result[name])) is not None}
    data: dict[str, Any] = {}
    if given:
        failed = given.get("itemsFailed", 0)
        processed = given.get("itemsProcessed", given.get("itemsSucceeded", 0) + failed)
        succeeded = given.get("itemsSucceeded", max(0, processed - failed))
        data |= {"itemsProcessed": processed, "itemsSucceeded": succeeded, "itemsFailed": failed}
    listed = result.get("errors")
    errors = [text[:LONGEST_ERROR] for text in listed[:MOST_ERRORS] if isinstance(text, str)] if isinstance(listed, list) else []
    error = result.get("error") or "; ".join(errors)
    if error and (result.get("error") or not result["success"]):
        data["error"] = str(error)[:LONGEST_ERROR]
    if errors:
        data["error_messages"] = errors
    metadata = result.get("metadata") or result.get("details")
    if metadata and isinstance(metadata, Mapping):
        data["metadata"] = dict(metadata)
    return data


def reported_lines(result: Any) -> list[tuple[str, str]]:
    """Returns the (level, text) of the lines of the log in a JobResult. What is no line is left out."""
    lines = result.get("logs") if isinstance(result, Mapping) else None
    if not isinstance(lines, list):
        return []
    read = [line for line in lines[:MOST_LINES] if isinstance(line, Mapping) and isinstance(line.get("message"), str)]
    return [(level if (level := str(line.get("level", "")).upper()) in LEVELS else "INFO", line["message"][:LONGEST_LINE]) for line in read]


def judge(result: Mapping[str, Any], on_failed_items: str, *, warn: Callable[[str], object]) -> JobResult:
    """Returns the result of a run that ended with a JobResult without problems.

    Raises TemplateError if the service says that the work failed, or if items failed and the policy is `fail`. With `warn`, failed items
    are passed to `warn`. With `succeed`, they do not fail the run, whatever the service says of the whole.
    """
    data = result_data(result)
    failed = data.get("itemsFailed", 0)
    words = items_failed(failed, data.get("itemsProcessed", failed))
    if not result["success"] and not (failed and on_failed_items == SUCCEED):
        raise TemplateError(service_says(data.get("error") or (words if failed else "")), data=data)
    if failed and on_failed_items == FAIL:
        raise TemplateError(joined((words, data["error"]), ": ") if "error" in data else words, data=data)
    if failed and on_failed_items == WARN:
        warn(words)
    if not data.keys() & set(COUNTS):
        return JobResult("The service reported success", data)
    return JobResult(f"{data['itemsSucceeded']:,} of {amount(data['itemsProcessed'], 'item')}", data)


def items_failed(failed: int, processed: int) -> Said:
    """Returns the sentence about items that failed."""
    return say("{failed:,} of {processed:,} items failed", failed=failed, processed=processed)


def answered(status: int, reason: str) -> Said:
    """Returns the sentence about an answer that is no success. `reason` is what its body says, or empty."""
    if not reason:
        return say("The service answered {status}", status=status)
    return say("The service answered {status}: {reason}", status=status, reason=reason)


def service_says(error: str) -> Said:
    """Returns the error of a run that its service has called failed. `error` is the reason that it gives, or empty."""
    return say("The service says: {error}", error=error) if error else say("The service says that the run failed")


def failure_reason(body: Any, text: str) -> str:
    """Returns why a service refused, from the JSON value of its answer and, if that says nothing, its first characters."""
    if isinstance(body, Mapping):
        for name in ("error", "detail", "title"):
            value = body.get(name)
            if isinstance(value, str) and value.strip():
                return value.strip()[:LONGEST_ERROR]
    return text.strip()[:300]


def _count(value: Any) -> int | None:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or not 0 <= value <= MOST_ITEMS:
        return None
    return int(value) if value == int(value) else None
