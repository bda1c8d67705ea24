"""How an attempt ended, and how its outcome is made fit for the database: pure functions."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.jobs.model import RetryOn
from app.queue.model import (
    LEAST_HEARTBEAT_SECONDS,
    MOST_HEARTBEAT_SECONDS,
    USUAL_HEARTBEAT_SECONDS,
    AttemptError,
    CallMade,
    Deferral,
    Outcome,
    Reason,
    Status,
)
from app.sandbox.protocol import End, StopReason
from app.validation.storable import Replaced, make_storable, storable_text, whole_text
from templates_lib.call_notes import MOST_CALLS
from templates_lib.hosts import DEFAULT_PORTS
from templates_lib.messages import joined, parts_of, restored, say

LONGEST_TYPE = 200  # characters
LONGEST_HOST = 253  # of a name in DNS
LONGEST_MESSAGE = 4_000  # each attempt keeps both, and an execution has up to 101 attempts
LONGEST_TRACEBACK = 8_000
LONGEST_SECONDS = 1e9
MOST_RETRY_AFTER_SECONDS = 86_400.0  # a server may ask for so long a wait before the next attempt
MOST_RESULT_BYTES = 6 * 1024 * 1024  # beside the parameters (4 MiB), the attempts and their errors in a document of 16 MiB
MOST_NAMED = 5  # values that one line names
MOST_INSTANT = 4e9  # seconds since 1970: the year 2096
_SPAN = re.compile(r"([0-9a-f]{16})?")
USAGE = ("cpu_seconds", "max_memory_mb")

_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: say("the machine may be out of memory"),
    signal.SIGXCPU: say("it used more processor time than the limit allows (JOBWRIGHT_JOB_CPU_SECONDS)"),
    signal.SIGXFSZ: say("it wrote a larger file than the limit allows (JOBWRIGHT_JOB_FILE_MB)"),
    signal.SIGSEGV: say("a library crashed"),
}


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How the process of an attempt ended.

    `status` is its wait status (wait(2)). `reason` says why it was stopped; None if it ended by itself. `broken` is the error with which
    its template could not be imported, with the reason BROKEN. `usage` is what it used, as in protocol.Ended.
    """

    status: int = 0
    reason: StopReason | None = None
    broken: str = ""
    usage: Mapping[str, float] = field(default_factory=dict)


# -- the end of an attempt ---------------------------------------------------------------------------------------------


def attempt_outcome(report: End | None, process: ProcessEnd, *, timeout_seconds: float, seconds: float) -> Outcome:
    """Returns the outcome of one attempt.

    `report` is the last message of its process, None if there is none; `seconds` is how long it ran. A result counts even if the process
    was asked to stop after it had sent it: the work is done. So does a deferral: another program goes on with the work.
    """
    reason = process.reason
    measured: dict[str, Any] = {"usage": process.usage, "seconds": round(seconds, 3)}
    if report is not None and report.calls:
        measured["calls"] = reported_calls(report.calls)
    if report is not None and report.error is None and report.deferred is not None:
        return Outcome(status=Status.RUNNING, deferral=_reported_deferral(report.deferred), **measured)
    if report is not None and report.error is None and not report.cancelled:
        return Outcome(status=Status.SUCCESS, result=report.result, **measured)
    if reason in {StopReason.CANCEL, StopReason.REPLACED}:
        return Outcome(status=Status.CANCELLED, reason=Reason.REPLACED if reason is StopReason.REPLACED else None, **measured)
    if reason is StopReason.TIMEOUT:
        error = AttemptError(type="Timeout", message=say("Ran longer than {seconds:g} s", seconds=timeout_seconds), kind=RetryOn.TIMEOUT)
        return Outcome(status=Status.TIMEOUT, error=error, **measured)
    if reason is StopReason.DRAIN:
        return Outcome(status=Status.CANCELLED, reason=Reason.HANDED_BACK, **measured)
    if reason is StopReason.LEASE_LOST:
        error = AttemptError(type="LostWorker", message=say("The worker lost its lease on this run"), kind=RetryOn.LOST_WORKER)
        return Outcome(status=Status.FAILED, error=error, reason=Reason.LOST_WORKER, **measured)
    if report is None:
        return Outcome(status=Status.FAILED, error=_death(process), **measured)
    if report.cancelled:
        return Outcome(status=Status.CANCELLED, **measured)
    return Outcome(status=Status.FAILED, error=reported_error(report.error), result=report.result, **measured)


def reported_error(value: Any) -> AttemptError:
    """Returns the error {type, message, permanent, traceback, retry_after_seconds} that a process reported; for any other value, an error
    that shows it."""
    if not isinstance(value, Mapping):
        return AttemptError(type="UnknownError", message=storable_text(value, LONGEST_MESSAGE))
    return AttemptError(
        type=storable_text(value.get("type"), LONGEST_TYPE) or "UnknownError",
        message=restored(storable_text(value.get("message"), LONGEST_MESSAGE), value.get("said")),
        permanent=value.get("permanent") is True,
        traceback=storable_text(value.get("traceback"), LONGEST_TRACEBACK),
        retry_after_seconds=number_between(value.get("retry_after_seconds"), 0.0, MOST_RETRY_AFTER_SECONDS, 0.0) or None,
    )


def reported_calls(value: Any) -> tuple[CallMade, ...]:
    """Returns the calls that a process reported, without those that are not as templates_lib.call_notes makes them."""
    rows = [row for row in value[:MOST_CALLS] if isinstance(row, Mapping)] if isinstance(value, list) else []
    return tuple(call for row in rows if (call := _reported_call(row)) is not None)


def _reported_call(row: Mapping[str, Any]) -> CallMade | None:
    span, scheme, status = str(row.get("span")), str(row.get("scheme")), row.get("status")
    began = number_between(row.get("began"), 0.0, MOST_INSTANT, 0.0)
    if not _SPAN.fullmatch(span) or scheme not in DEFAULT_PORTS or not began:
        return None
    return CallMade(
        span=span,
        method=storable_text(row.get("method"), LONGEST_TYPE),
        scheme=scheme,
        host=storable_text(row.get("host"), LONGEST_HOST),
        port=int(number_between(row.get("port"), 1, 65_535, DEFAULT_PORTS[scheme])),
        began_at=datetime.fromtimestamp(began, UTC),
        seconds=number_between(row.get("seconds"), 0.0, LONGEST_SECONDS, 0.0),
        status=status if isinstance(status, int) and 100 <= status < 1000 else None,
        error=storable_text(row.get("error") or "", LONGEST_TYPE),
    )


def _reported_deferral(value: Any) -> Deferral:
    """Returns the deferral {heartbeat_seconds} that a process reported, within the bounds of one."""
    seconds = value.get("heartbeat_seconds") if isinstance(value, Mapping) else None
    return Deferral(heartbeat_seconds=number_between(seconds, LEAST_HEARTBEAT_SECONDS, MOST_HEARTBEAT_SECONDS, USUAL_HEARTBEAT_SECONDS))


def _death(process: ProcessEnd) -> AttemptError:
    """Returns the error of a process that ended without a last message."""
    match process.reason:
        case StopReason.BROKEN:
            words = say("The template cannot be loaded: {why}", why=process.broken)
            return AttemptError(type="TemplateBroken", message=words, permanent=True)
        case StopReason.PROCESSES:
            return AttemptError(
                type="TooManyProcesses", message=say("The run started more processes than the limit allows (JOBWRIGHT_JOB_PROCESSES)")
            )
        case StopReason.FLOOD:
            return AttemptError(type="MessageTooLarge", message=say("The process sent a message that is larger than allowed"))
    if not os.WIFSIGNALED(process.status):
        return AttemptError(
            type="ProcessDied",
            message=say("The process ended with exit code {code} and without a result", code=os.WEXITSTATUS(process.status)),
        )
    number = os.WTERMSIG(process.status)
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    words = say("The process was killed by {signal}", signal=name)
    hint = _SIGNAL_HINTS.get(number)
    return AttemptError(type="ProcessDied", message=words if hint is None else joined((words, hint), "; "))


# -- fit for the database ----------------------------------------------------------------------------------------------


def storable_outcome(outcome: Outcome) -> tuple[Outcome, str | None]:
    """Returns the outcome as the database can hold it, and a line that names the replaced values; None if nothing was replaced."""
    replaced: list[Replaced] = []
    result = outcome.result
    if result is not None:
        made = make_storable(result if isinstance(result, Mapping) else {"value": result}, most_bytes=MOST_RESULT_BYTES)
        result, replaced = made.value, list(made.replaced)
        if not isinstance(result.get("message", ""), str):
            result["message"] = storable_text(result["message"], LONGEST_MESSAGE)
            replaced.append(Replaced("/message", "was not text"))
    error = outcome.error
    if error is not None:
        error = replace(
            error,
            type=storable_text(error.type, LONGEST_TYPE),
            message=restored(storable_text(error.message, LONGEST_MESSAGE), parts_of(error.message)),
            traceback=storable_text(error.traceback, LONGEST_TRACEBACK),
        )
    fit = replace(outcome, result=result, error=error, seconds=duration(outcome.seconds, 0.0), usage=usage_figures(outcome.usage))
    return fit, _replaced_line(replaced)


def unwritable_outcome(outcome: Outcome, refusal: Exception) -> Outcome:
    """Returns what is recorded instead of an outcome that the database refuses."""
    message = say(
        "The run ended as {status}, but its report could not be stored: {reason}",
        status=outcome.status.value,
        reason=storable_text(str(refusal), 500),
    )
    error = AttemptError(type="UnwritableReport", message=message, permanent=True, kind=RetryOn.ERROR)
    return Outcome(status=Status.FAILED, error=error, seconds=duration(outcome.seconds, 0.0), began_at=outcome.began_at)


def _replaced_line(replaced: Sequence[Replaced]) -> str | None:
    if not replaced:
        return None
    named = "; ".join(f"{value.pointer or '/'} {value.reason}" for value in replaced[:MOST_NAMED])
    more = f"; and {len(replaced) - MOST_NAMED} more" if len(replaced) > MOST_NAMED else ""
    return whole_text(f"Values of the result that cannot be stored were replaced: {named}{more}")


def duration(value: Any, otherwise: float) -> float:
    """Returns a reported duration in seconds, or `otherwise` if the value is none."""
    return number_between(value, 0.0, LONGEST_SECONDS, otherwise)


def usage_figures(value: Any) -> dict[str, float]:
    """Returns the figures of USAGE that a reported value has, each at least 0."""
    given = value if isinstance(value, Mapping) else {}
    return {name: number for name in USAGE if (number := number_between(given.get(name), 0.0, LONGEST_SECONDS, -1.0)) >= 0}


def number_between(value: Any, least: float, most: float, otherwise: float) -> float:
    """Returns the value if it is a finite number between two bounds, else `otherwise`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or math.isnan(value):
        return otherwise
    return float(value)
