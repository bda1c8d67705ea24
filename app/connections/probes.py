"""Opens every connection now and then, so that people hear of one that does not answer before their jobs do."""

from __future__ import annotations

from datetime import timedelta

from app.clock import Clock
from app.connections.health_store import Health, HealthStore
from app.connections.service import Connections
from app.events import get_logger
from app.outbox.event_store import Events
from app.outbox.events import ConnectionDown
from app.ticks import each
from app.validation.storable import make_storable

log = get_logger(__name__)

FIRST_AGAIN = timedelta(seconds=30)  # after a failure; twice as long after each further one
LONGEST_LOOK = timedelta(minutes=2)  # a node that takes longer has died over it


class Probes:
    """Each connection is looked at by one node at a time, `every` so often; one that fails sooner, and its recovery is soon known."""

    def __init__(self, connections: Connections, store: HealthStore, clock: Clock, events: Events, *, every: timedelta) -> None:
        self._connections, self._store, self._clock, self._events, self._every = connections, store, clock, events, every

    def tick(self) -> int:
        """Look at those whose turn it is; returns how many answered or failed to."""
        known = self._store.all()
        versions = self._connections.versions()
        for gone in known.keys() - versions.keys():
            self._store.remove(gone)
        return sum(each("connections", versions.items(), lambda one: self._take_turn(*one, known.get(one[0]))))

    def _take_turn(self, connection_id: str, version: int, was: Health | None) -> bool:
        now = self._clock.now()
        if was is not None and was.version == version and was.next_at > now:
            return False
        if not self._store.claim(connection_id, version, was, now=now, until=now + LONGEST_LOOK):
            return False
        return self._look(connection_id, version, was)

    def _look(self, connection_id: str, version: int, was: Health | None) -> bool:
        found = self._connections.answer_of(connection_id)
        if found is None:
            return False
        works, message = found[0], str(make_storable(found[1]).value)
        failures = 0 if works else 1 + (was.failures if was is not None else 0)
        now = self._clock.now()
        self._store.note(connection_id, version, works=works, message=message, failures=failures, at=now, next_at=now + self.wait(failures))
        if works and was is not None and was.works is False:
            log.info("connection.answers", connection=connection_id, reason=message)
        elif not works and (was is None or was.works is not False):
            log.warning("connection.silent", connection=connection_id, reason=message)
            self._events.publish(ConnectionDown(at=now, connection=connection_id, reason=message))
        return True

    def wait(self, failures: int) -> timedelta:
        """How long until the next look, after so many failures in a row."""
        return self._every if not failures else min(self._every, FIRST_AGAIN * 2 ** min(failures - 1, 20))
