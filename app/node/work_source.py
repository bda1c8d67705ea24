"""Where a runner gets executions from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime

from app.clock import Clock
from app.queue.claims import Claims
from app.queue.model import Attempt


class WorkSource(ABC):
    """Gives claimed executions to a runner. The claim is what counts: whatever a source knows of the queue is only a hint."""

    @abstractmethod
    def take(self, limit: int, *, until: datetime | None) -> list[Attempt]:
        """Claim up to `limit` executions, none from `until` on by the database's clock. Fewer than `limit` means that nothing more is to be
        had at the moment. Raises where the database is away; nothing is lost then."""


class PollSource(WorkSource):
    """Looks into the queue itself and takes what has waited longest. `without` gives the jobs that are to wait."""

    def __init__(self, claims: Claims, clock: Clock, *, without: Callable[[], Collection[str]] = tuple) -> None:
        self._claims, self._clock, self._without = claims, clock, without

    def take(self, limit: int, *, until: datetime | None) -> list[Attempt]:
        return self._claims.claim_due(now=self._clock.now(), limit=limit, until=until, without=self._without())


class PushedSource(WorkSource):
    """Is told the ids of executions, by a message broker or another process, and claims each by its id.

    An id may come late, twice, or for an execution that somebody else has claimed, and is forgotten once it was tried: whoever sends ids
    sends again those of executions that still wait.
    """

    def __init__(self, claims: Claims, clock: Clock) -> None:
        self._claims, self._clock = claims, clock
        self._ids: deque[str] = deque()

    def push(self, execution_id: str) -> None:
        """Claim this execution at the next `take`; from any thread."""
        self._ids.append(execution_id)

    def take(self, limit: int, *, until: datetime | None) -> list[Attempt]:
        attempts = self._claims.recover(self._clock.now())
        while len(attempts) < limit and self._ids:
            execution_id = self._ids.popleft()
            try:
                attempt = self._claims.claim_one(execution_id, now=self._clock.now(), until=until)
            except Exception:
                self._ids.appendleft(execution_id)
                if attempts:  # those are claimed and are to run; the error comes again
                    return attempts
                raise
            if attempt is not None:
                attempts.append(attempt)
        return attempts
