"""The heartbeats of a node: what it tells of itself, and what it reads with them of itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.metadata import version

from app.clock import Clock
from app.config import Settings
from app.events import get_logger
from app.node.runner import Runner
from app.scheduling.bus_state import BusState
from app.scheduling.node_store import Drain, Heartbeat, NodeRole, NodeStore

log = get_logger(__name__)

# What a node gets its work from: the queues that it consumes, and whether messages reach it; None if it looks into the database itself.
Listening = tuple[tuple[str, ...], bool | None]


def not_listening() -> Listening:
    """A node that looks into the database itself."""
    return (), None


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
        runner: Runner,
        clock: Clock,
        settings: Settings,
        state: Callable[[], tuple[float, BusState | None]],
        wake: Callable[[], None],
        listening: Callable[[], Listening] = not_listening,
    ) -> None:
        self._nodes, self._name, self._role, self._runner = nodes, name, role, runner
        self._clock, self._settings, self._state, self._wake, self._listening = clock, settings, state, wake, listening
        self._version, self._host = version("jobwright"), socket.gethostname()

    def tick(self) -> None:
        """Writes a heartbeat, and carries out what a person asked of this node: to drain, or to resume. A change is told at once, so that
        the page shows it with this heartbeat and not with the next."""
        told = self._heartbeat()
        asked = self._nodes.beat(self._name, told)
        if (asked is not None) != self._runner.asked_to_drain:
            self._follow(asked)
            self._nodes.beat(self._name, self._heartbeat())

    def _follow(self, asked: Drain | None) -> None:
        if asked is None:
            log.info("node.resumed", node=self._name)
            self._runner.resume()
            self._wake()
        else:
            log.info("node.drains", node=self._name, by=asked.by)
            self._runner.drain()

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
            slots=self._settings.pool_size,
            running=self._runner.running(),
            drained=self._runner.is_drained(),
            queues=queues,
            hears=hears,
        )
