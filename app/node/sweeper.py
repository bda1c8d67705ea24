"""Ends the attempts of workers that fell silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from app.clock import Clock
from app.jobs.model import RetryOn
from app.node.finisher import Finisher
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, AttemptError, Outcome, Reason, Status
from app.ticks import each
from templates_lib.messages import say

SWEEP_LIMIT = 500


class Sweeper:
    """Finds running executions whose lease has run out. `held` are the attempts of this node, by execution id: what runs here is not lost,
    whatever a clock says that has just been set."""

    def __init__(
        self, *, store: ClaimStore, finisher: Finisher, held: Callable[[], Mapping[str, Attempt]], clock: Clock, lease_seconds: float
    ) -> None:
        self._store, self._finisher, self._held, self._clock, self._lease_seconds = store, finisher, held, clock, lease_seconds

    def tick(self) -> int:
        """End the lost attempts, each by its retry policy; returns how many."""
        now = self._clock.now()
        ours = {execution_id: attempt.token for execution_id, attempt in self._held().items()}
        lost = [attempt for attempt in self._store.find_lost(now, SWEEP_LIMIT) if ours.get(attempt.execution_id) != attempt.token]

        def give_up(attempt: Attempt, error: Exception) -> None:
            self._store.end_damaged(attempt.execution_id, error, now=now)

        return sum(each("sweep", lost, lambda attempt: self._end(attempt, now), give_up=give_up))

    def _end(self, attempt: Attempt, now: datetime) -> bool:
        if attempt.deferral is None:
            words = say("The worker did not respond for {seconds:g} s", seconds=self._lease_seconds)
        else:
            words = say("The service sent no heartbeat for {seconds:g} s", seconds=attempt.deferral.heartbeat_seconds)
        error = AttemptError(type="LostWorker", message=words, kind=RetryOn.LOST_WORKER)
        seconds = (now - attempt.started_at).total_seconds()
        return self._finisher.finish_lost(attempt, Outcome(status=Status.FAILED, error=error, reason=Reason.LOST_WORKER, seconds=seconds))
