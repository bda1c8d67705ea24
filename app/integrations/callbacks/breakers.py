"""The circuit breakers as one node sees them: it asks before a call, and tells how calls went."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.events import get_logger
from app.integrations.callbacks.breaker import Circuit
from app.integrations.callbacks.endpoint import MOST_CALLS, Endpoint, LastCall
from app.integrations.callbacks.endpoint_store import EndpointStore

log = get_logger(__name__)

KNOWN_SECONDS = 0.5  # a state is read again after this time
PUT_TRIES = 5
AGAIN = timedelta(seconds=2)  # a run that finds a probe out looks again after this time
LATELY = timedelta(seconds=30)
LONGEST_PROBE = timedelta(minutes=5)  # after this time nobody expects to hear of a probe
Key = tuple[str, str]  # service and origin


class Breakers:
    """Endpoints are read when they are needed, and results are written together by `flush`."""

    def __init__(self, store: EndpointStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[Key, tuple[float, Endpoint]] = {}
        self._calls: defaultdict[Key, list[LastCall]] = defaultdict(list)
        self._lock = threading.Lock()  # of `_calls`

    def blocked_until(self, service: str, origin: str, *, timeout_seconds: float) -> datetime | None:
        """Until when no call may be made; None if one may be made now. The first that asks when an open breaker lets a probe through is the
        probe: it may take `timeout_seconds`."""
        now = self._clock.now()
        for _ in range(PUT_TRIES):
            endpoint = self._read(service, origin)
            breaker = endpoint.breaker
            if breaker.circuit is Circuit.CLOSED:
                return None
            if not breaker.admits(now):
                later = now + AGAIN if breaker.circuit is Circuit.HALF_OPEN else breaker.retry_at
                return later or now + AGAIN
            until = now + min(timedelta(seconds=timeout_seconds), LONGEST_PROBE) + AGAIN
            if self._put(endpoint, replace(endpoint, breaker=breaker.probed(until))):
                log.info("circuit.probed", service=service, origin=origin)
                return None
        return now + AGAIN

    def failed_lately(self, service: str, origin: str) -> bool:
        """Whether the last call has failed, a short time ago: other endpoints are better. An instance that was killed is found so before
        its breaker opens."""
        last_calls = self._read(service, origin).last_calls
        return bool(last_calls) and not last_calls[0].succeeded and self._clock.now() - last_calls[0].at < LATELY

    def note(self, service: str, origin: str, call: LastCall) -> None:
        """Remember how a call went, until the next flush; from any thread."""
        with self._lock:
            self._calls[service, origin].append(call)

    def flush(self) -> None:
        """Write how calls went. Raises where the database is away: then they are written the next time."""
        with self._lock:
            calls, self._calls = self._calls, defaultdict(list)
        left = dict(calls)
        try:
            for (service, origin), results in calls.items():
                if self._record(service, origin, results):
                    del left[service, origin]
        finally:
            with self._lock:
                for key, results in left.items():
                    self._calls[key][:0] = results

    def _record(self, service: str, origin: str, calls: list[LastCall]) -> bool:
        """False where other nodes were quicker again and again."""
        now, last = self._clock.now(), calls[-1]
        for _ in range(PUT_TRIES):
            endpoint = self._read(service, origin, fresh=True)
            breaker = endpoint.breaker.after([call.succeeded for call in calls], now)
            turned = breaker.circuit is not endpoint.breaker.circuit
            after = replace(
                endpoint,
                breaker=breaker,
                last_calls=(*reversed(calls), *endpoint.last_calls)[:MOST_CALLS],
                changed_at=now if turned else endpoint.changed_at,
            )
            if self._put(endpoint, after):
                if turned:
                    log.warning("circuit.changed", service=service, origin=origin, state=breaker.circuit.value, reason=last.error)
                return True
        return False

    def _read(self, service: str, origin: str, *, fresh: bool = False) -> Endpoint:
        at, endpoint = self._known.get((service, origin), (float("-inf"), None))
        if endpoint is None or fresh or self._clock.monotonic() - at > KNOWN_SECONDS:
            endpoint = self._store.get(service, origin)
            self._known[service, origin] = self._clock.monotonic(), endpoint
        return endpoint

    def _put(self, before: Endpoint, after: Endpoint) -> bool:
        done = self._store.put(before, after)
        self._known.pop((before.service, before.origin), None)
        return done
