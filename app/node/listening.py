"""The loops of a node: new runs, the machine's clock, connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from app.clock import Clock
from app.node.loops import Loop

LARGEST_SLEW_SECONDS = 0.7  # a clock that differs more from one second to the next was set


class Arrivals(Loop):
    """Hears of runs that are asked for in other processes, by a change stream: a faster way than the poll, and never the only one."""

    name = "arrivals"
    pause_seconds = 1.0  # before it listens again, after the database was away
    starts_at_once = True

    def __init__(self, listen: Callable[[Callable[[], bool]], Iterator[str]], wake: Callable[[], None]) -> None:
        super().__init__()
        self._listen, self._wake = listen, wake

    def turn(self) -> None:
        """Listen until the stream ends. Raises what ends it; at a stop that is the closed client, which is as it should be."""
        try:
            for _ in self._listen(lambda: self.is_closing):
                self._wake()
        except Exception:
            if not self.is_closing:
                raise


class ClockWatch(Loop):
    """Notices that the machine's clock was set, and calls `on_step` with the seconds.

    APScheduler keeps its times by that clock: after a step back its ticks would rest for as long as the step was, leases and all.
    """

    name = "clock"
    pause_seconds = 1.0

    def __init__(self, clock: Clock, on_step: Callable[[float], None]) -> None:
        super().__init__()
        self._clock, self._on_step = clock, on_step
        self._known = self._ahead()

    def turn(self) -> None:
        before, self._known = self._known, self._ahead()
        if abs(self._known - before) > LARGEST_SLEW_SECONDS:
            self._on_step(self._known - before)

    def _ahead(self) -> float:
        """How far the wall clock is ahead of the monotonic one, in seconds."""
        return self._clock.now().timestamp() - self._clock.monotonic()


class Probing(Loop):
    """Probes connections in a thread of its own, so that a server that does not answer blocks neither ticks nor a stop."""

    name = "connections"
    pause_seconds = 2.0  # a connection that was just made is probed so soon
    close_seconds = 0.0  # a probe that is on its way ends with the process

    def __init__(self, probe: Callable[[], Any]) -> None:
        super().__init__()
        self._probe = probe

    def turn(self) -> None:
        self._probe()


class Watching(Loop):
    """Looks whether the installation works, in a thread of its own: what it watches cannot hold it up, and it holds up nothing."""

    name = "monitor"
    pause_seconds = 5.0
    starts_at_once = True
    close_seconds = 0.0  # a call that is on its way ends with the process

    def __init__(self, look: Callable[[], Any]) -> None:
        super().__init__()
        self._look = look

    def turn(self) -> None:
        self._look()
