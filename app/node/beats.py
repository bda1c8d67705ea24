"""The heartbeats of a node: what it tells of itself, and what it reads with them of itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.metadata import version
from typing import Protocol

from app.clock import Clock
from app.config import Settings
from app.events import get_logger
from app.scheduling.bus_state import BusState
from app.scheduling.node_store import Drain, Heartbeat, NodeRole, NodeStore

log = get_logger(__name__)

# What a node gets its work from: the queues that it consumes, and whether messages reach it; None if it looks into the database itself.
Listening = tuple[tuple[str, ...], bool | None]


def not_listening() -> Listening:
    """A node that looks into the database itself."""
    return (), None


class Load(Protocol):
    """What a node runs, and whether it takes more."""

    @property
    def asked_to_drain(self) -> bool:
        """Whether a person asked it to claim nothing more."""
        ...

    def drain(self) -> None:
        """Claims nothing more."""

    def resume(self) -> None:
        """Claims again."""

    def running(self) -> int:
        """Returns how many attempts run."""
        ...

    def is_drained(self) -> bool:
        """Returns whether it was asked to drain and runs nothing more."""
        ...


class NoRuns:
    """The load of a node that runs nothing."""

    def __init__(self) -> None:
        self.asked_to_drain = False

    def drain(self) -> None:
        self.asked_to_drain = True

    def resume(self) -> None:
        self.asked_to_drain = False

    def running(self) -> int:
        return 0

    def is_drained(self) -> bool:
        return self.asked_to_drain


class Beats:
    """Writes heartbeats, and drains the node if its record says so.

    `state` gives the seconds since the last good tick and the state of the bus (None where none is set), and `listening` what the node
    consumes from a message broker. `wake` has it claim again.
    """

    def __init__(
        self,
        *,
        nodes: NodeStore,
        name: str,
        role: NodeRole,
        load: Load,
        slots: int,
        clock: Clock,
        settings: Settings,
        state: Callable[[], tuple[float, BusState | None]],
        wake: Callable[[], None],
        listening: Callable[[], Listening] = not_listening,
    ) -> None:
        self._nodes, self._name, self._role, self._load = nodes, name, role, load
        self._slots = slots
        self._clock, self._settings, self._state, self._wake, self._listening = clock, settings, state, wake, listening
        self._version, self._host = version("jobwright"), socket.gethostname()

    def tick(self) -> None:
        """Writes a heartbeat, and carries out what a person asked of this node: to drain, or to resume. A change is told at once, so that
        the page shows it with this heartbeat and not with the next."""
        told = self._heartbeat()
        asked = self._nodes.beat(self._name, told)
        if (asked is not None) != self._load.asked_to_drain:
            self._follow(asked)
            self._nodes.beat(self._name, self._heartbeat())

    def _follow(self, asked: Drain | None) -> None:
        if asked is None:
            log.info("node.resumed", node=self._name)
            self._load.resume()
            self._wake()
        else:
            log.info("node.drains", node=self._name, by=asked.by)
            self._load.drain()

    def _heartbeat(self) -> Heartbeat:
        tick_age, bus = self._state()
        queues, hears = self._listening()
        return Heartbeat(
            host=self._host,
            clock=self._clock.now(),
            tick_age_seconds=tick_age,
            bus=bus,
            role=self._role,
            version=self._version,
            labels=self._settings.node_labels,
            slots=self._slots,
            running=self._load.running(),
            drained=self._load.is_drained(),
            queues=queues,
            hears=hears,
        )
