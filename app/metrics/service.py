"""The values of the metrics of one process and of the installation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import pymongo

from app.clock import Clock
from app.events import get_logger
from app.measures import Labels, Measures, Times
from app.metrics.access import MetricsAccess

log = get_logger(__name__)

CACHE_SECONDS = 5.0
READ_SECONDS = 5.0  # that all reads of the database together may take; Prometheus waits for 10 s

Values = Mapping[str, Mapping[Labels, float | Times]]  # by the name of the metric and its labels
Part = Callable[[], Values]  # reads some values of the database


class Metrics:
    """What `/metrics` shows. The values of the database are read at most once in CACHE_SECONDS, however many ask at the same time."""

    def __init__(self, *, access: MetricsAccess, measures: Measures, parts: Mapping[str, Part], clock: Clock) -> None:
        self.access, self.measures = access, measures
        self._parts, self._clock, self._lock = parts, clock, threading.Lock()
        self._values: Values | None = None
        self._read_at = float("-inf")

    def of_database(self) -> Values | None:
        """Returns the values of the database; None where it does not answer."""
        with self._lock:
            if self._clock.monotonic() - self._read_at >= CACHE_SECONDS:
                self._values = self._read()
                self._read_at = self._clock.monotonic()
            return self._values

    def _read(self) -> Values | None:
        values: dict[str, Mapping[Labels, float | Times]] = {}
        limit: AbstractContextManager[None] = pymongo.timeout(READ_SECONDS)
        try:
            with limit:
                for part in self._parts.values():
                    values |= part()
        except Exception as error:
            log.warning("metrics.unreadable", reason=str(error)[:200])
            return None
        return values
