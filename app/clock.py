"""Time, injected: production reads the system, tests tick by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.instants import to_milliseconds


class Clock(Protocol):
    """What code may ask about time."""

    def now(self) -> datetime:
        """The wall clock: aware, UTC, whole milliseconds (what MongoDB keeps)."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return to_milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime) -> None:
        self._now = to_milliseconds(start.astimezone(UTC))
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now = to_milliseconds(self._now + timedelta(seconds=seconds))
        self._monotonic += seconds
