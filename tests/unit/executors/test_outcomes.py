"""The outcome of an attempt, from its last message and the end of its process."""

from __future__ import annotations

import signal

import pytest

from app.executors.outcomes import ProcessEnd, attempt_outcome
from app.queue.model import Deferral, Outcome, Reason, Status
from app.sandbox.protocol import End, StopReason

DONE, STOPPED = End("e", result={}), End("e", cancelled=True)
FAILED = End("e", error={"type": "X", "message": "m", "permanent": True}, result={"a": 1})


@pytest.mark.parametrize(
    ("report", "status", "reason", "expected", "kind"),
    [
        (DONE, 0, None, Status.SUCCESS, None),
        (DONE, 0, "cancel", Status.SUCCESS, None),
        (DONE, signal.SIGKILL, "timeout", Status.SUCCESS, None),
        (None, signal.SIGKILL, "timeout", Status.TIMEOUT, "Timeout"),
        (STOPPED, 0, "timeout", Status.TIMEOUT, "Timeout"),
        (STOPPED, 0, "cancel", Status.CANCELLED, None),
        (STOPPED, 0, None, Status.CANCELLED, None),
        (None, signal.SIGKILL, "cancel", Status.CANCELLED, None),
        (None, signal.SIGKILL, "lease_lost", Status.FAILED, "LostWorker"),
        (None, signal.SIGKILL, None, Status.FAILED, "ProcessDied"),
        (None, signal.SIGXCPU, None, Status.FAILED, "ProcessDied"),
        (None, signal.SIGKILL, "processes", Status.FAILED, "TooManyProcesses"),
        (None, signal.SIGKILL, "flood", Status.FAILED, "MessageTooLarge"),
        (None, signal.SIGKILL, "broken", Status.FAILED, "TemplateBroken"),
        (FAILED, 0, None, Status.FAILED, "X"),
        (FAILED, 0, "timeout", Status.TIMEOUT, "Timeout"),
    ],
)
def test_the_end_of_an_attempt(report: End | None, status: int, reason: str | None, expected: Status, kind: str | None) -> None:
    process = ProcessEnd(status=status, reason=StopReason(reason) if reason else None)
    outcome = attempt_outcome(report, process, timeout_seconds=5, seconds=1.23456)
    assert (outcome.status, outcome.error.type if outcome.error else None, outcome.seconds) == (expected, kind, 1.235)


@pytest.mark.parametrize(
    ("reported", "seconds"),
    [
        ({"heartbeat_seconds": 20}, 20),
        ({"heartbeat_seconds": 0}, 300),
        ({"heartbeat_seconds": 1e9}, 300),
        ({"heartbeat_seconds": "x"}, 300),
        ([], 300),
    ],
)
@pytest.mark.parametrize("reason", [None, StopReason.CANCEL, StopReason.TIMEOUT])
def test_a_deferral_counts_and_its_heartbeat_has_bounds(reported: object, seconds: float, reason: StopReason | None) -> None:
    outcome = attempt_outcome(End("e", deferred=reported), ProcessEnd(reason=reason), timeout_seconds=5, seconds=1)
    assert (outcome.status, outcome.deferral) == (Status.RUNNING, Deferral(heartbeat_seconds=seconds))


@pytest.mark.parametrize(("asked", "seconds"), [(30, 30.0), (0, None), (-1, None), ("soon", None), (1e9, None), (None, None)])
def test_a_wait_that_a_server_asked_for_has_bounds(asked: object, seconds: float | None) -> None:
    report = End("e", error={"type": "X", "message": "m", "retry_after_seconds": asked})
    error = attempt_outcome(report, ProcessEnd(), timeout_seconds=5, seconds=1).error
    assert error is not None
    assert error.retry_after_seconds == seconds


def test_what_was_achieved_before_a_failure_is_kept() -> None:
    assert attempt_outcome(FAILED, ProcessEnd(), timeout_seconds=5, seconds=1).result == {"a": 1}


def test_replaced_and_handed_back_say_why_and_death_says_how() -> None:
    def end(status: int, reason: StopReason | None, broken: str = "") -> Outcome:
        return attempt_outcome(None, ProcessEnd(status=status, reason=reason, broken=broken), timeout_seconds=5, seconds=1)

    assert end(9, StopReason.REPLACED).reason is Reason.REPLACED
    assert end(9, StopReason.DRAIN).reason is Reason.HANDED_BACK
    assert "SIGSEGV; a library crashed" in str(end(signal.SIGSEGV, None).error)
    assert "JOBWRIGHT_JOB_CPU_SECONDS" in str(end(signal.SIGXCPU, None).error)
    assert "exit code 7" in str(end(7 << 8, None).error)
    assert "cannot be loaded: no module" in str(end(9, StopReason.BROKEN, "no module").error)


CALL = {
    "span": "00f067aa0ba902b7",
    "method": "POST",
    "scheme": "https",
    "host": "example.com",
    "port": None,
    "began": 1.7e9,
    "seconds": 0.5,
}


@pytest.mark.parametrize(
    ("calls", "kept"),
    [
        ([{**CALL, "status": 200}], [(443, 200, "")]),
        ([{**CALL, "port": 8443, "error": "TransportError"}], [(8443, None, "TransportError")]),
        ([{**CALL, "status": True, "port": 70_000, "seconds": float("nan")}], [(443, None, "")]),
        ([{**CALL, "status": "200", "error": "x" * 1000}], [(443, None, "x" * 200)]),
        ([{**CALL, "span": "G" * 16}, {**CALL, "scheme": "file"}, {**CALL, "began": "now"}, {**CALL, "began": 1e300}, "x", None], []),
        ([CALL] * 1000, [(443, None, "")] * 100),
        ("calls", []),
        ({"calls": [CALL]}, []),
    ],
)
def test_only_calls_that_can_be_some_become_spans(calls: object, kept: list[tuple[int, int | None, str]]) -> None:
    """A process may report anything."""
    outcome = attempt_outcome(End("e", result={}, calls=calls), ProcessEnd(), timeout_seconds=5, seconds=1)
    assert [(call.port, call.status, call.error[:200]) for call in outcome.calls] == kept
    assert all(call.seconds in {0.0, 0.5} for call in outcome.calls)
