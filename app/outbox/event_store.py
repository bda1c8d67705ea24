"""The `domain_events` collection: events that somebody is still to hear of."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pymongo.database import Database

from app.clock import Clock
from app.events import get_logger
from app.mongo import Document, Records
from app.outbox.events import EVENT, Cause, DomainEvent, EventListeners, StoredEvent, details_of, event_from
from app.outbox.model import owed_now
from app.outbox.store import OutboxStore

log = get_logger(__name__)

COLLECTION = "domain_events"
UNCONFIRMED = timedelta(seconds=60)  # longer than any request takes


class Events:
    """Records what happens, for the handlers that want to hear of it. An event that no handler wants is not recorded."""

    def __init__(self, database: Database[Document], handlers: EventListeners, clock: Clock) -> None:
        self._collection, self._handlers, self._clock = Records(database, COLLECTION, EVENT), tuple(handlers), clock

    def publish(self, event: DomainEvent) -> None:
        """Record an event: it is heard of at least once, soon. Raises where the database is away."""
        self._record(event, due=event.at)

    @contextmanager
    def around(self, event: DomainEvent, cause: Cause | None = None) -> Iterator[None]:
        """Record an event that tells of a change of the registry, around the write that makes the change. `cause` asked for the change.

        The event is there before the change and is heard of after it, or after UNCONFIRMED where this process is killed between the two. A
        change that is refused leaves an event of nothing behind, so whoever hears of one looks at what is there. A change that took so long
        that its event may have been heard of before it is told of once more.
        """
        due = self._clock.now() + UNCONFIRMED
        event_id = self._record(event, due=due, cause=cause)
        yield
        if event_id is not None:
            try:
                self._confirm(event_id, event, due, cause)
            except Exception as error:  # the change is made, and the event is heard of a little later
                log.warning("event.unconfirmed", kind=event.kind, reason=str(error)[:200])

    def _confirm(self, event_id: str, event: DomainEvent, due: datetime, cause: Cause | None) -> None:
        """The change is made. An event that may have been heard of before that, as the write took longer than UNCONFIRMED, is recorded
        again: whoever is hearing of it at the moment will settle the first record."""
        now = self._clock.now()
        due_now = {"$set": {"owed.$[].at": now}}
        unheard = {"_id": event_id, "owed": {"$exists": True}}
        if now >= due or self._collection.update_one(unheard, due_now).matched_count == 0:
            self._record(event, due=now, cause=cause)

    def forget_settled(self) -> int:
        """Remove the events that everybody has heard of; returns how many."""
        return self._collection.delete_many({"owed": {"$exists": False}}).deleted_count

    def _record(self, event: DomainEvent, *, due: datetime, cause: Cause | None = None) -> str | None:
        """The id of the stored event; None where no handler wants it."""
        names = [handler.name for handler in self._handlers if handler.wants(event)]
        if not names:
            return None
        event_id = uuid.uuid4().hex
        row = {"_id": event_id, "kind": event.kind, "at": event.at, "details": details_of(event), "owed": owed_now(names, due)}
        if cause is not None and cause.correlation_id:
            row["correlation_id"] = cause.correlation_id
        if cause is not None and cause.traceparent:
            row["traceparent"] = cause.traceparent
        self._collection.insert_one(row)
        return event_id


def event_outbox(database: Database[Document]) -> OutboxStore[StoredEvent]:
    """What events owe."""
    return OutboxStore(database, COLLECTION, EVENT, event_from)
