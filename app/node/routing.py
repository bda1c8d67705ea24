"""Routes of attempts that a service does: asked of a router, and refused when they have been put off for too long."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Protocol

from app.clock import Clock
from app.integrations.callbacks.route import Postpone, Target
from app.queue.model import Attempt, Outcome, Reason

LEAST_GRACE = timedelta(minutes=5)


class Router(Protocol):
    """Knows the services and their instances."""

    def begin_batch(self, held: Collection[str]) -> None:
        """Attempts are about to be routed; `held` are the executions that this node has in hand."""

    def route(self, attempt: Attempt, *, service: str, job_name: str, address: str) -> Target | Postpone:
        """Where an attempt goes, or why it has to wait."""
        ...

    def held_up(self) -> Collection[str]:
        """The jobs whose service has no room for one more run of this node."""
        ...

    def hear(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended or was deferred."""

    def flush(self) -> None:
        """Write what was heard."""


class Postponed(Exception):
    """The service of an attempt cannot take it before `until`."""

    def __init__(self, reason: Reason, until: datetime) -> None:
        super().__init__(reason.value)
        self.reason, self.until = reason, until


class TooLate(Exception):
    """The service of an attempt could not take it within its start deadline; `words` say why."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Routing:
    """Asks the router. `grace_of` gives how many seconds late a due time of a job may start."""

    def __init__(self, router: Router, clock: Clock, *, grace_of: Callable[[str], float], report_address: Callable[[Attempt], str]) -> None:
        self._router, self._clock, self._grace_of, self._report_address = router, clock, grace_of, report_address

    def begin_batch(self, held: Collection[str]) -> None:
        """Attempts are about to be routed; `held` are the executions that this node has in hand."""
        self._router.begin_batch(held)

    def target_of(self, attempt: Attempt, *, service: str, job_name: str, address: str) -> Target:
        """Where an attempt goes. Raises Postponed, or TooLate where it was put off until its start deadline."""
        target = self._router.route(attempt, service=service, job_name=job_name, address=address)
        if isinstance(target, Target):
            return target
        if target.counts and self._clock.now() >= self.start_deadline(attempt):
            raise TooLate(target.words)
        raise Postponed(target.reason, target.until)

    def start_deadline(self, attempt: Attempt) -> datetime:
        """When an attempt must have begun: the grace of its job after its due time, or after it was asked for; that of a retry counts from
        when it was put off for the first time. Its service has at least LEAST_GRACE, however long the attempt was in the queue before."""
        grace, waits_since = timedelta(seconds=self._grace_of(attempt.job_id)), attempt.postponed_since or attempt.started_at
        asked = attempt.scheduled_for or attempt.queued_at
        return max((asked if attempt.number == 1 and asked else waits_since) + grace, waits_since + LEAST_GRACE)

    def report_address(self, attempt: Attempt) -> tuple[str, str] | None:
        """The address of an attempt's reports, and the token in it; None where this installation has no public address."""
        token = self._report_address(attempt)
        return None if not token else (token, token.rpartition("/")[2])
