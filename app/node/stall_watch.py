"""Notices that the dispatcher of this node does not come to the end of a tick any more."""

from __future__ import annotations

from collections.abc import Callable

from app.clock import Clock
from app.events import get_logger
from app.outbox.event_store import Events
from app.outbox.events import SchedulerStalled

log = get_logger(__name__)

STALLED_AFTER_SECONDS = 60.0


class StallWatch:
    """Tells of each stall once. `age` is how many seconds ago the dispatcher last finished a tick."""

    def __init__(self, *, age: Callable[[], float], events: Events, clock: Clock, node: str) -> None:
        self._age, self._events, self._clock, self._node = age, events, clock, node
        self._told = False

    def tick(self) -> None:
        """Look."""
        age = self._age()
        if age < STALLED_AFTER_SECONDS:
            self._told = False
        elif not self._told:
            log.error("scheduler.stalled", seconds=round(age))
            self._events.publish(SchedulerStalled(at=self._clock.now(), node=self._node, seconds=round(age)))
            self._told = True
