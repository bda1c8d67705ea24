"""Ends deferred attempts that were cancelled or ran longer than they may: no process runs them, so no executor stops them."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.clock import Clock
from app.jobs.model import RetryOn
from app.node.finisher import Finisher
from app.queue.deferral_store import Asked, DeferralStore
from app.queue.model import Attempt, AttemptError, Outcome, Reason, Status
from templates_lib.messages import say

MOST_AT_ONCE = 500
CANCEL_GRACE = timedelta(seconds=30)  # for the program that works on a cancelled attempt to stop, and to report what it did


class DeferredWatch:
    """Looks at the deferred attempts of all nodes.

    The program that works on a cancelled attempt learns of that by the answer to its next report, and has until its next heartbeat is due,
    at most CANCEL_GRACE, to report the end itself. Reports after the end are refused.
    """

    def __init__(self, *, store: DeferralStore, finisher: Finisher, clock: Clock) -> None:
        self._store, self._finisher, self._clock = store, finisher, clock

    def tick(self) -> int:
        """End what is to end; returns how many."""
        now = self._clock.now()
        asked = self._store.find_cancelled(MOST_AT_ONCE)
        ends = [(stop.attempt, self._cancelled(stop)) for stop in asked if now >= _stops_at(stop)]
        cancelled = {attempt.execution_id for attempt, _ in ends}
        overdue = [attempt for attempt in self._store.find_overdue(now, MOST_AT_ONCE) if attempt.execution_id not in cancelled]
        ends += [(attempt, self._timed_out(attempt)) for attempt in overdue]
        if not ends:
            return 0
        return len(ends) - len(self._finisher.finish(ends))

    def _cancelled(self, asked: Asked) -> Outcome:
        reason = Reason.REPLACED if asked.cancel.reason == Reason.REPLACED else None
        return Outcome(status=Status.CANCELLED, reason=reason, seconds=self._seconds(asked.attempt))

    def _timed_out(self, attempt: Attempt) -> Outcome:
        seconds = self._seconds(attempt)
        deadline = attempt.deferral.deadline if attempt.deferral else None
        allowed = (deadline - attempt.started_at).total_seconds() if deadline else attempt.timeout_seconds
        error = AttemptError(type="Timeout", message=say("Ran longer than {seconds:g} s", seconds=allowed), kind=RetryOn.TIMEOUT)
        return Outcome(status=Status.TIMEOUT, error=error, seconds=seconds)

    def _seconds(self, attempt: Attempt) -> float:
        return round(max(0.0, (self._clock.now() - attempt.started_at).total_seconds()), 3)


def _stops_at(asked: Asked) -> datetime:
    """When a cancelled attempt ends even if nobody reports its end."""
    return min(asked.cancel.at + CANCEL_GRACE, asked.lease_until)
