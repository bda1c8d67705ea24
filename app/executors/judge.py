"""How an attempt ended, from what its process said and how it died: a pure decision."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from app.executors.reports import error_of
from app.jobs.model import RetryOn
from app.queue.model import AttemptError, Outcome, Reason, Status

# Why the runner itself ended an attempt.
TIMEOUT, CANCEL, REPLACED, LEASE_LOST, DRAIN = "timeout", "cancel", "replaced", "lease_lost", "drain"
PROCESSES, FLOOD = "processes", "flood"
BROKEN = "broken: "  # and why its kind could not be imported


def judge(
    message: Mapping[str, Any] | None,
    *,
    status: int,
    why: str | None,
    timeout_seconds: float,
    usage: Mapping[str, float],
    seconds: float,
) -> Outcome:
    """The outcome of one attempt.

    `message` is the last word of its process (`result`, `error` or `cancelled`) or None; `status` its wait status (wait(2));
    `why` the reason for which the runner ended it, or None. A result that was sent in full counts even if the process was then
    asked to stop: the work is done.
    """
    ending: dict[str, Any] = {"usage": usage, "seconds": round(seconds, 3)}
    if message is not None and "result" in message and "error" not in message:
        return Outcome(status=Status.SUCCESS, result=message["result"], **ending)
    if why in {CANCEL, REPLACED}:
        return Outcome(status=Status.CANCELLED, reason=Reason.REPLACED if why == REPLACED else None, **ending)
    if why == TIMEOUT:
        error = AttemptError(type="Timeout", message=f"Ran longer than {timeout_seconds:g} s", kind=RetryOn.TIMEOUT)
        return Outcome(status=Status.TIMEOUT, error=error, **ending)
    if why == DRAIN:
        return Outcome(status=Status.CANCELLED, reason=Reason.HANDED_BACK, **ending)
    if why == LEASE_LOST:
        error = AttemptError(type="LostWorker", message="Its worker lost the lease", kind=RetryOn.LOST_WORKER)
        return Outcome(status=Status.FAILED, error=error, reason=Reason.LOST_WORKER, **ending)
    if message is not None and "cancelled" in message:
        return Outcome(status=Status.CANCELLED, **ending)
    if message is not None and "error" in message:
        error = error_of(message["error"], message.get("traceback"))
        return Outcome(status=Status.FAILED, error=error, result=message.get("result"), **ending)
    return Outcome(status=Status.FAILED, error=_death(status, why), **ending)


def _death(status: int, why: str | None) -> AttemptError:
    """The process ended without a word."""
    if why and why.startswith(BROKEN):
        return AttemptError(type="TemplateBroken", message=f"Its template cannot be loaded: {why.removeprefix(BROKEN)}", permanent=True)
    if why == PROCESSES:
        return AttemptError(type="TooManyProcesses", message="Started more processes than it may (JOBWRIGHT_JOB_PROCESSES)")
    if why == FLOOD:
        return AttemptError(type="MessageTooLarge", message="Sent a message larger than any may be")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hints: dict[int, str] = {
            signal.SIGKILL: "; the machine may be out of memory",
            signal.SIGXCPU: "; it used more processor time than it may (JOBWRIGHT_JOB_CPU_SECONDS)",
            signal.SIGXFSZ: "; it wrote a larger file than it may (JOBWRIGHT_JOB_FILE_MB)",
            signal.SIGSEGV: "; a library crashed",
        }
        return AttemptError(type="ProcessDied", message=f"The process was ended by {name}{hints.get(number, '')}")
    return AttemptError(type="ProcessDied", message=f"The process ended with status {os.WEXITSTATUS(status)} and no result")
