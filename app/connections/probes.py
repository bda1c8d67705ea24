"""Opens every connection now and then, so that people learn of a connection that does not answer before their jobs fail."""

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
from templates_lib.messages import parts_of, restored

log = get_logger(__name__)

FIRST_WAIT = timedelta(seconds=30)  # between a failure and the next probe; it doubles with each further failure
CLAIM_TIME = timedelta(minutes=2)  # a node that takes longer for one probe is taken for dead, and another node may probe


class Probes:
    """One node at a time probes each connection, at intervals of `every`. A connection that failed is probed sooner, so that its
    recovery is known soon."""

    def __init__(self, connections: Connections, store: HealthStore, clock: Clock, events: Events, *, every: timedelta) -> None:
        self._connections, self._store, self._clock, self._events, self._every = connections, store, clock, events, every

    def tick(self) -> int:
        """Probes the connections that are due. Returns how many were probed."""
        known = self._store.all()
        versions = self._connections.versions()
        for gone in known.keys() - versions.keys():
            self._store.remove(gone)
        return sum(each("connections", versions.items(), lambda item: self._probe_if_due(*item, known.get(item[0]))))

    def _probe_if_due(self, connection_id: str, version: int, before: Health | None) -> bool:
        now = self._clock.now()
        if before is not None and before.version == version and before.next_at > now:
            return False
        if not self._store.claim(connection_id, version, before, now=now, until=now + CLAIM_TIME):
            return False
        return self._probe(connection_id, version, before)

    def _probe(self, connection_id: str, version: int, before: Health | None) -> bool:
        answer = self._connections.answer_of(connection_id)
        if answer is None:
            return False
        works, message = answer[0], restored(str(make_storable(answer[1]).value), parts_of(answer[1]))
        failures = 0 if works else 1 + (before.failures if before is not None else 0)
        now = self._clock.now()
        self._store.note(connection_id, version, works=works, message=message, failures=failures, at=now, next_at=now + self.wait(failures))
        if works and before is not None and before.works is False:
            log.info("connection.answers", connection=connection_id, reason=message)
        elif not works and (before is None or before.works is not False):
            log.warning("connection.silent", connection=connection_id, reason=message)
            self._events.publish(ConnectionDown(at=now, connection=connection_id, reason=message))
        return True

    def wait(self, failures: int) -> timedelta:
        """Returns how long to wait before the next probe, after so many failures in a row.

        With 30 s and an interval of 5 minutes: 30 s, 1 min, 2 min, 4 min, then 5 min.
        """
        return self._every if not failures else min(self._every, FIRST_WAIT * 2 ** min(failures - 1, 20))
