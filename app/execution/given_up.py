"""What ends and events owed and nobody could carry out: shown to people, and done again when they ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import NotFound
from app.execution.visible import VisibleExecutions
from app.jobs.directory import JobDirectory
from app.outbox.events import StoredEvent
from app.outbox.model import Owed
from app.outbox.store import OutboxStore
from app.queue.execution import Execution
from app.queue.store import QueueStore
from app.shapes import LONG_AGO
from app.signals import Signal

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUpItem:
    """One item that nobody tries any more. `execution_id` is the execution whose end owed it, or None where an event did; `event_id`
    likewise. `what` is the name of the handler, `error` what the last try failed with."""

    what: str
    tries: int
    error: str
    given_up_at: datetime
    execution_id: str | None = None
    job_id: str | None = None
    job_name: str = ""
    event_id: str | None = None
    event: str = ""


class GivenUp:
    """`owed` is sent when an item is due again."""

    def __init__(
        self,
        *,
        executions: OutboxStore[Execution],
        events: OutboxStore[StoredEvent],
        queue: QueueStore,
        directory: JobDirectory,
        audit: AuditTrail,
        clock: Clock,
        owed: Signal,
    ) -> None:
        self._executions, self._events, self._directory = executions, events, directory
        self._visible = VisibleExecutions(queue, directory)
        self._audit, self._clock, self._owed = audit, clock, owed

    def items(self, actor: Actor) -> list[GivenUpItem]:
        """What was given up of the jobs that `actor` sees, newest first; also of events, for whoever is not kept to groups."""
        require(actor, May.SEE_EXECUTIONS)
        pairs = self._executions.given_up(MOST_SHOWN)
        seen = self._directory.of_these_seen(actor, {execution.job_id for execution, _ in pairs})
        items = [_of_execution(execution, item) for execution, item in pairs if execution.job_id in seen]
        if actor.groups is None:  # an event may be about a job of any group
            items += [_of_event(stored, item) for stored, item in self._events.given_up(MOST_SHOWN)]
        return sorted(items, key=lambda item: item.given_up_at, reverse=True)

    def count(self, since: datetime = LONG_AGO) -> int:
        """How many executions and events have something that was given up after `since`."""
        return self._executions.count_given_up(since) + self._events.count_given_up(since)

    def ask_again(self, actor: Actor, execution_id: str, what: str) -> None:
        """Have what the end of an execution owed tried again. Raises NotFound where it was not given up."""
        require(actor, May.RUN_JOBS)
        execution = self._visible.get(actor, execution_id)
        with self._audit.action(actor, "execution.owed_again", kind="execution", target_id=execution_id, name=execution.job_name):
            if not self._executions.ask_again(execution_id, what, now=self._clock.now()):
                raise NotFound("follow-up", what)
        self._owed.send()

    def ask_again_of_event(self, actor: Actor, event_id: str, what: str) -> None:
        """Have what an event owed tried again. Raises NotFound where it was not given up."""
        require(actor, May.SWITCH_MAINTENANCE)
        with self._audit.action(actor, "event.owed_again", kind="event", target_id=event_id, name=what):
            if not self._events.ask_again(event_id, what, now=self._clock.now()):
                raise NotFound("event", event_id)
        self._owed.send()


def _of_execution(execution: Execution, item: Owed) -> GivenUpItem:
    return GivenUpItem(
        what=item.what,
        tries=item.tries,
        error=item.error or "",
        given_up_at=item.given_up_at or execution.queued_at,
        execution_id=execution.id,
        job_id=execution.job_id,
        job_name=execution.job_name,
    )


def _of_event(stored: StoredEvent, item: Owed) -> GivenUpItem:
    at = item.given_up_at or (stored.event.at if stored.event else None)
    kind = stored.event.kind if stored.event else ""
    return GivenUpItem(what=item.what, tries=item.tries, error=item.error or "", given_up_at=at or LONG_AGO, event_id=stored.id, event=kind)
