"""The circuit breaker of an endpoint: pure decisions about its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

MOST_FAILURES_IN_A_ROW = 5
WINDOW = timedelta(minutes=1)
LEAST_CALLS, MOST_FAILED_SHARE = 10, 0.5  # within the window
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(minutes=5)


class Circuit(StrEnum):
    """Whether calls are made."""

    CLOSED = "closed"  # all are
    OPEN = "open"  # none is, until `retry_at`
    HALF_OPEN = "half_open"  # one is, as a probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The state of an endpoint.

    `failures_in_row` are the last calls, if all of them failed. `calls` and `failures` were counted since `counted_from`, for at most the
    time of WINDOW. `retry_at` is when an open one lets a probe through, or when a probe is given up that nobody has heard of; `pause` is
    how long it was open the last time, zero if it is closed.
    """

    circuit: Circuit = Circuit.CLOSED
    failures_in_row: int = 0
    calls: int = 0
    failures: int = 0
    counted_from: datetime | None = None
    retry_at: datetime | None = None
    pause: timedelta = timedelta()

    def admits(self, now: datetime) -> bool:
        """Returns whether a call may be made: any call if it is closed, a probe if the time has come for one."""
        return self.circuit is Circuit.CLOSED or self.retry_at is None or self.retry_at <= now

    def probed(self, until: datetime) -> Breaker:
        """Returns the state while a probe is out. Another one may be made if nothing is heard of it `until` then."""
        return replace(self, circuit=Circuit.HALF_OPEN, retry_at=until)

    def after(self, results: Sequence[bool], now: datetime) -> Breaker:
        """Returns the state after calls of which each succeeded or failed, in their order."""
        state = self
        for succeeded in results:
            state = state._after_one(succeeded, now)
        return state

    def _after_one(self, succeeded: bool, now: datetime) -> Breaker:
        if self.circuit is Circuit.OPEN:
            return self  # the call began before it opened
        if self.circuit is Circuit.HALF_OPEN:
            return Breaker() if succeeded else self._opened(now)
        counted = self._counted(now)
        state = replace(
            counted,
            failures_in_row=0 if succeeded else self.failures_in_row + 1,
            calls=counted.calls + 1,
            failures=counted.failures + (not succeeded),
        )
        too_many = state.calls >= LEAST_CALLS and state.failures >= MOST_FAILED_SHARE * state.calls
        if not succeeded and (state.failures_in_row >= MOST_FAILURES_IN_A_ROW or too_many):
            return state._opened(now)
        return state

    def _counted(self, now: datetime) -> Breaker:
        """Returns the same with counts that are not older than WINDOW."""
        if self.counted_from is not None and now - self.counted_from < WINDOW:
            return self
        return replace(self, calls=0, failures=0, counted_from=now)

    def _opened(self, now: datetime) -> Breaker:
        """Returns an open one. The pause doubles as long as no probe succeeds: 10 s, 20 s, 40 s … 5 min."""
        pause = min(max(FIRST_PAUSE, self.pause * 2), LONGEST_PAUSE)
        return Breaker(circuit=Circuit.OPEN, failures_in_row=self.failures_in_row, retry_at=now + pause, pause=pause)
