"""One node: the engine of one process. It plans, runs, or does both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.clock import Clock
from app.config import Settings
from app.events import get_logger
from app.node.beats import Beats, NoRuns, not_listening
from app.node.duty import Duty, Engine, Unrest
from app.node.guard import guarded
from app.node.listening import ClockWatch
from app.node.loops import Loop
from app.node.planning import Planning, PlanningParts
from app.node.running import Running, RunningParts
from app.node.state import NodeState
from app.node.ticks import Ticks
from app.scheduling.bus_state import BusState
from app.scheduling.node_store import NodeRole, NodeStore
from app.signals import Signal

log = get_logger(__name__)

BEAT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a node is made of: what it plans with, what it runs with, or both.

    `name` is unlike any other node's. `queued` is sent when something new waits in the queue, `written` when slots and retries have
    changed.
    """

    name: str
    nodes: NodeStore
    queued: Signal
    written: Signal
    planning: PlanningParts | None
    running: RunningParts | None


class Node:
    """`start` and `drain` once each; `tick_age` for the health page. `planning` and `running` are its duties; it has at least one."""

    def __init__(self, parts: Parts, *, clock: Clock, settings: Settings) -> None:
        self.parts, self._clock = parts, clock
        self._unrest = Unrest(clock)
        self._ticks = Ticks(self._unrest.note_away)
        engine = Engine(name=parts.name, ticks=self._ticks, unrest=self._unrest, clock=clock, settings=settings, wake=self.wake)
        self.planning = Planning(parts.planning, engine) if parts.planning is not None else None
        self.running = Running(parts.running, engine, on_permitted=self._may_start_again) if parts.running is not None else None
        self._duties: list[Duty] = [duty for duty in (self.running, self.planning) if duty is not None]
        self._loops: list[Loop] = [ClockWatch(clock, self._clock_was_set), *(loop for duty in self._duties for loop in duty.loops())]
        hearing = parts.running.hearing if parts.running is not None else None
        self._beats = Beats(
            nodes=parts.nodes,
            name=parts.name,
            role=NodeRole.SCHEDULER if self.planning is not None else NodeRole.WORKER,
            load=self.running.parts.runner if self.running is not None else NoRuns(),
            slots=settings.pool_size if self.running is not None else 0,
            clock=clock,
            settings=settings,
            state=self._state,
            wake=self.wake,
            listening=hearing.listening if hearing is not None else not_listening,
        )
        self.draining = self.failed = False
        if hearing is not None:
            hearing.on_change, hearing.on_failure = self._beat_now, self._fail
        self._on_failure: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin: to dispatch where it plans, to claim where it runs."""
        for signal in (self.parts.queued, self.parts.written):
            signal.connect(self.wake)
        for duty in self._duties:
            duty.start()
        self._ticks.every("beat", BEAT_SECONDS, self._beats.tick)
        self._ticks.start()
        for duty in self._duties:
            duty.begin()
        for loop in self._loops:
            loop.start()

    def wake(self) -> None:
        """Something waits in the queue, or capacity is free: look now rather than at the next tick."""
        for duty in self._duties:
            duty.wake()

    def tick_age(self) -> float:
        """Seconds since its most important tick last finished, which is the dispatcher's where it plans; a stalled or failing one grows."""
        return self.planning.age() if self.planning is not None else max((duty.age() for duty in self._duties), default=0.0)

    def state(self) -> NodeState:
        """Returns how the node is, for probes. It does not look at the database."""
        running = self.running
        return NodeState(
            role=(NodeRole.SCHEDULER if self.planning is not None else NodeRole.WORKER).value,
            tick_age_seconds=self.tick_age(),
            turn_age_seconds=self._ticks.longest_silence(frozenset().union(*(duty.vital_ticks for duty in self._duties))),
            permit=running.permit() if running is not None else None,
            hears=running.hears() if running is not None else None,
            drains=running is not None and running.parts.runner.asked_to_drain,
        )

    def drain(self, grace_seconds: float) -> None:
        """Stop, losing nothing.

        1. Nothing new is dispatched or claimed, and no command is taken. 2. What runs gets the grace. 3. The rest is ended and handed back.
        4. All that was reported is written.
        """
        self.draining = True
        for duty in self._duties:
            duty.stop_taking()
        self._ticks.stop_all_but(frozenset().union(*(duty.kept_ticks for duty in self._duties)))
        for duty in self._duties:
            duty.stop()
        for loop in self._loops:
            loop.close()
        for duty in self._duties:
            duty.finish(grace_seconds)
        self._ticks.close()
        for duty in self._duties:
            duty.settle()
        guarded("leave", lambda: self.parts.nodes.leave(self.parts.name))
        for duty in self._duties:
            duty.close()

    def hurry(self) -> None:
        """A second request to stop: what still runs is handed back now."""
        if self.running is not None:
            self.running.hurry()

    def on_failure(self, call: Callable[[], None]) -> None:
        """Calls `call` if this node cannot work any more and its process is to end: `failed` is set then."""
        self._on_failure = call

    def _fail(self) -> None:
        self.failed = True
        self._on_failure()

    def _beat_now(self) -> None:
        self._ticks.hurry("beat")

    def _state(self) -> tuple[float, BusState | None]:
        bus = self.planning.parts.bus if self.planning is not None else None
        return self.tick_age(), bus.state() if bus is not None else None

    def _may_start_again(self) -> None:
        """Maintenance has ended, or this node may start runs for the first time."""
        if self.planning is not None:
            self.planning.settle_maintenance()
        self.wake()

    def _clock_was_set(self, step: float) -> None:
        """Every tick has its turn now, and none is called lost before each worker has had the time to renew its leases."""
        self._unrest.note_clock_set()
        log.warning("clock.was_set", seconds=round(step, 1))
        self._ticks.hurry_all()
