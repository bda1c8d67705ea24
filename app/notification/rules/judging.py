"""What the end of a run says about a condition. Pure: it goes by stored times and outcomes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.execution.ends import EndedRun
from app.notification.rules.conditions import Condition
from app.queue.model import FAILURES, RAN, Status
from templates_lib.messages import say, say_many

Runs = Sequence[EndedRun]


class Verdict(StrEnum):
    """What an event says about a condition."""

    HOLDS = "holds"  # the condition holds
    OVER = "over"  # it does not hold, and an incident is over
    NOTHING = "nothing"  # the event has nothing to do with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and the sentence that gives its reason. Pages show the reason as well if nobody is told."""

    verdict: Verdict
    why: str


def judge(condition: Mapping[str, Any], runs: Runs) -> Judgement:
    """Returns what the end of `runs[0]` says about a condition. The other `runs` are the ends of the same job before it, the latest one
    first; there may be more than the condition needs."""
    judged = _JUDGES.get(condition.get("type", ""))
    if judged is None:
        return _nothing(say("The condition is not about the ends of runs."))
    return judged(condition, runs)


def _holds(why: str) -> Judgement:
    return Judgement(verdict=Verdict.HOLDS, why=why)


def _over(why: str) -> Judgement:
    return Judgement(verdict=Verdict.OVER, why=why)


def _nothing(why: str) -> Judgement:
    return Judgement(verdict=Verdict.NOTHING, why=why)


def _outcome(runs: Runs) -> Judgement | None:
    """Returns what a run that neither succeeded nor failed says: nothing. None for any other."""
    return None if runs[0].status in RAN else _nothing(say("The run neither succeeded nor failed."))


def _failed(_condition: Mapping[str, Any], runs: Runs) -> Judgement:
    run = runs[0]
    if run.status == Status.TIMEOUT:
        return _holds(say("The run timed out."))
    if run.status in FAILURES:
        return _holds(say("The run failed."))
    return _outcome(runs) or _over(say("The run succeeded."))


def _attempt_failed(_condition: Mapping[str, Any], runs: Runs) -> Judgement:
    run = runs[0]
    if run.status in FAILURES:
        return _holds(say("All attempts of the run failed."))
    if run.status == Status.SUCCESS and run.attempts > 1:
        return _holds(say("The run succeeded after a failed attempt."))
    return _outcome(runs) or _over(say("The run succeeded at the first attempt."))


def _in_a_row(condition: Mapping[str, Any], runs: Runs) -> Judgement:
    other = _outcome(runs)
    if other is not None:
        return other
    if runs[0].status not in FAILURES:
        return _over(say("The run succeeded."))
    wanted = condition["count"]
    last = [run for run in runs if run.status in RAN][:wanted]
    if len(last) == wanted and all(run.status in FAILURES for run in last):
        return _holds(say_many("The last run failed.", "The last {count} runs failed.", wanted))
    return _nothing(say("Too few runs in a row failed ({wanted} are needed).", wanted=wanted))


def _among(condition: Mapping[str, Any], runs: Runs) -> Judgement:
    other = _outcome(runs)
    if other is not None:
        return other
    last = [run for run in runs if run.status in RAN][: condition["last"]]
    failures = sum(run.status in FAILURES for run in last)
    if failures >= condition["count"]:
        return _holds(say("Failed: {failures}, among the last {last}.", last=len(last), failures=failures))
    return _over(say("Failed: fewer than {wanted}, among the last {last}.", last=len(last), wanted=condition["count"]))


def _succeeded(_condition: Mapping[str, Any], runs: Runs) -> Judgement:
    if runs[0].status == Status.SUCCESS:
        return _holds(say("The run succeeded."))
    return _nothing(say("The run did not succeed."))


def _after_change(_condition: Mapping[str, Any], runs: Runs) -> Judgement:
    run = runs[0]
    if run.status != Status.SUCCESS:
        return _nothing(say("The run did not succeed."))
    before = next((earlier for earlier in runs[1:] if earlier.status == Status.SUCCESS), None)
    if before is not None and before.job_version >= run.job_version:
        return _nothing(say("The job has not changed since its last success."))
    return _holds(say("The run is the first success since the job was changed."))


def _missed(_condition: Mapping[str, Any], runs: Runs) -> Judgement:
    if runs[0].status == Status.MISSED:
        return _holds(say("The run was not started in time."))
    return _over(say("The run started.")) if runs[0].status in RAN else _nothing(say("The run was not missed."))


def _skipped(condition: Mapping[str, Any], runs: Runs) -> Judgement:
    run = runs[0]
    if run.status == Status.SKIPPED and run.reason in condition["reasons"]:
        return _holds(say("The run was skipped ({reason}).", reason=run.reason))
    return _over(say("The run started.")) if run.status in RAN else _nothing(say("The run was not skipped for one of the reasons."))


def _too_fast(condition: Mapping[str, Any], runs: Runs) -> Judgement:
    run = runs[0]
    if run.status != Status.SUCCESS or run.duration_seconds is None:
        return _nothing(say("The run did not succeed."))
    if run.duration_seconds < condition["under_seconds"]:
        return _holds(say("The run took only {seconds} s.", seconds=round(run.duration_seconds, 3)))
    return _over(say("The run took {seconds} s.", seconds=round(run.duration_seconds, 3)))


_JUDGES: Mapping[str, Callable[[Mapping[str, Any], Runs], Judgement]] = {
    Condition.FAILED: _failed,
    Condition.ATTEMPT_FAILED: _attempt_failed,
    Condition.FAILURES_IN_A_ROW: _in_a_row,
    Condition.FAILURES_AMONG: _among,
    Condition.SUCCEEDED: _succeeded,
    Condition.SUCCEEDED_AFTER_CHANGE: _after_change,
    Condition.MISSED: _missed,
    Condition.SKIPPED: _skipped,
    Condition.TOO_FAST: _too_fast,
}
