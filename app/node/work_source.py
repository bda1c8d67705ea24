"""Where a runner gets executions from."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime

from app.clock import Clock
from app.queue.claims import Claims
from app.queue.model import Attempt

GATHER_SECONDS, GATHER_TURNS = 0.004, 4  # a claim waits so long, and so often at most, while more hints come in


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


class Hint:
    """An id that was pushed, until its claim was tried or it was given back."""

    def __init__(self, execution_id: str, at: float) -> None:
        self.execution_id, self.at = execution_id, at
        self._done, self._tried = threading.Event(), False

    def settle(self, *, tried: bool) -> None:
        """Tells whoever waits."""
        self._tried = tried
        self._done.set()

    def wait(self) -> bool:
        """Returns True once the claim was tried, and False if the hint was given back."""
        self._done.wait()
        return self._tried


class PushedSource(WorkSource):
    """Is told the ids of executions, by a message broker or another process, and claims what it was told in batches.

    An id may come late, twice, or for an execution that somebody else has claimed, and is forgotten once it was tried: whoever sends ids
    sends again those of executions that still wait. `without` gives the jobs that are to wait.
    """

    def __init__(self, claims: Claims, clock: Clock, *, without: Callable[[], Collection[str]] = tuple) -> None:
        self._claims, self._clock, self._without = claims, clock, without
        self._hints: deque[Hint] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def push(self, execution_id: str) -> Hint:
        """Claim this execution at the next `take`; from any thread."""
        hint = Hint(execution_id, self._clock.monotonic())
        with self._lock:
            if not self._closed:
                self._hints.append(hint)
                return hint
        hint.settle(tried=False)
        return hint

    def give_back(self, after_seconds: float = 0.0) -> int:
        """Gives back the hints that no `take` has had for so long; those that a `take` has are tried. Returns how many."""
        now = self._clock.monotonic()
        with self._lock:
            late = [hint for hint in self._hints if now - hint.at >= after_seconds]
            for hint in late:
                self._hints.remove(hint)
        for hint in late:
            hint.settle(tried=False)
        return len(late)

    def close(self) -> None:
        """Gives back what is there and what comes."""
        with self._lock:
            self._closed = True
        self.give_back()

    def take(self, limit: int, *, until: datetime | None) -> list[Attempt]:
        attempts = self._claims.recover(self._clock.now())
        self._gather(limit)
        while len(attempts) < limit and (hints := self._next(limit - len(attempts))):
            ids = list(dict.fromkeys(hint.execution_id for hint in hints))
            try:
                attempts += self._claims.claim_these(ids, now=self._clock.now(), until=until, without=self._without())
            except Exception:
                self._put_back(hints)
                if attempts:  # those are claimed and are to run; the error comes again
                    return attempts
                raise
            for hint in hints:
                hint.settle(tried=True)
        return attempts

    def _gather(self, limit: int) -> None:
        """Waits while more hints come in, for a moment: one claim of ten costs as much as one of one."""
        known = 0
        for _ in range(GATHER_TURNS):
            count = len(self._hints)
            if count == known or count >= limit:
                return
            known = count
            time.sleep(GATHER_SECONDS)

    def _next(self, limit: int) -> list[Hint]:
        with self._lock:
            return [self._hints.popleft() for _ in range(min(limit, len(self._hints)))]

    def _put_back(self, hints: list[Hint]) -> None:
        with self._lock:
            if not self._closed:
                self._hints.extendleft(reversed(hints))
                return
        for hint in hints:
            hint.settle(tried=False)
