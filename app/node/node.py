"""One node: the engine of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.clock import Clock
from app.config import Settings
from app.connections.probes import Probes
from app.events import get_logger
from app.execution.retention import Retention
from app.executors.base import Executor
from app.instants import INSTANT
from app.integrations.nats.bus import Bus
from app.integrations.services.service import RegisteredServices
from app.node.beats import Beats
from app.node.carrying import Carrying
from app.node.deferred import DeferredWatch
from app.node.guard import guarded
from app.node.heard import HeardSink
from app.node.listening import Arrivals, ClockWatch, Probing
from app.node.loops import Loop
from app.node.recorder import Recorder
from app.node.routing import Router
from app.node.runner import Runner
from app.node.stall_watch import StallWatch
from app.node.sweeper import Sweeper
from app.node.ticks import Ticks
from app.outbox.carrier import Carrier
from app.outbox.event_store import Events
from app.scheduling.bus_state import BusState
from app.scheduling.dispatcher import Dispatcher
from app.scheduling.maintenance import Maintenance
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeRole, NodeStore
from app.scheduling.permits import PermitKeeper
from app.scheduling.resting import RestingTemplates
from app.signals import Signal

log = get_logger(__name__)

UPKEEP_SECONDS = 2.0
CANCEL_SECONDS = 0.5
ENDPOINTS_SECONDS = 0.5  # so often it is written for all nodes how calls to services went
BEAT_SECONDS = 5.0
RETENTION_SECONDS = 600.0
SETTLE_AFTER_OUTAGE_SECONDS = 5.0  # workers write what they hold before anyone calls them lost
POLL_SECONDS = 0.05
FLUSH_SECONDS = 5.0  # at least so long is waited at a stop until the ends of runs are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a node is made of.

    `name` is unlike any other node's. `bus` is there where one is set. `queued` is sent when something new waits in the queue, `written`
    when slots and retries have changed, and `owed` when an end or an event owes something. `templates_in_use` names those that runs are to
    be expected of, and `requested` gives the ids of runs that other processes ask for, until it is told to stop.
    """

    name: str
    dispatcher: Dispatcher
    runner: Runner
    sweeper: Sweeper
    deferred: DeferredWatch
    router: Router
    executor: Executor
    recorder: Recorder
    carriers: Sequence[Carrier[Any]]
    bus: Bus | None
    events: Events
    retention: Retention
    probes: Probes
    maintenance: Maintenance
    switch: MaintenanceStore
    resting: RestingTemplates
    services: RegisteredServices
    nodes: NodeStore
    queued: Signal
    written: Signal
    owed: Signal
    templates_in_use: Callable[[], list[str]]
    requested: Callable[[Callable[[], bool]], Iterator[str]]


class Node:
    """`start` and `drain` once each; `tick_age` for the health page."""

    def __init__(self, parts: Parts, *, clock: Clock, settings: Settings) -> None:
        self.parts, self._clock, self._settings = parts, clock, settings
        self._ticks = Ticks(self._note_away)
        self._carrying = [Carrying(carrier, self._ticks) for carrier in parts.carriers]
        self._permits = PermitKeeper(
            permit=parts.runner.permit,
            nodes=parts.nodes,
            switch=parts.switch,
            name=parts.name,
            put_back=parts.runner.put_back_all,
            on_end=self._may_start_again,
        )
        self._beats = Beats(
            nodes=parts.nodes,
            name=parts.name,
            role=NodeRole.SCHEDULER,
            runner=parts.runner,
            clock=clock,
            settings=settings,
            state=self._state,
            wake=self.wake,
        )
        self._loops: list[Loop] = [Arrivals(parts.requested, self.wake), ClockWatch(clock, self._clock_was_set)]
        if settings.probe_seconds:
            self._loops.append(Probing(parts.probes.tick))
        self._stall_watch = StallWatch(age=self.tick_age, events=parts.events, clock=clock, node=parts.name)
        self._ticked_at = clock.monotonic()
        self._away_at = self._set_at = float("-inf")
        self.draining = False

    def start(self) -> None:
        """Begin to dispatch and to claim."""
        parts, tick = self.parts, self._settings.tick_seconds
        for signal in (parts.queued, parts.written):
            signal.connect(self.wake)
        for carrying in self._carrying:
            parts.owed.connect(carrying.now)
        parts.recorder.start()
        sink = HeardSink(parts.recorder, parts.router.hear)
        parts.executor.start(sink, on_free=self.wake, begin_until=parts.runner.permit.begin_until)
        guarded("warm_up", lambda: parts.runner.warm_up(parts.templates_in_use()))
        self._ticks.claim_every(tick, parts.runner.claim)
        self._ticks.every("dispatch", tick, self._dispatch)
        self._ticks.every("leases", min(self._settings.lease_seconds / 4, 5.0), parts.runner.keep_leases)
        self._ticks.every("cancels", CANCEL_SECONDS, self._look_after_runs)
        self._ticks.every("endpoints", ENDPOINTS_SECONDS, parts.router.flush)
        self._ticks.every("upkeep", UPKEEP_SECONDS, self._upkeep)
        self._ticks.every("beat", BEAT_SECONDS, self._beats.tick)
        self._ticks.every("retention", RETENTION_SECONDS, self._forget, first_after=RETENTION_SECONDS / 2)
        for carrying in self._carrying:
            carrying.start()
        self._permits.start()
        self._ticks.start()
        if parts.bus is not None:
            parts.bus.start()
        for loop in self._loops:
            loop.start()

    def wake(self) -> None:
        """Something waits in the queue, or capacity is free: claim now rather than at the next tick."""
        self._ticks.wake()

    def tick_age(self) -> float:
        """Seconds since the dispatcher last finished a tick; a stalled or failing one grows."""
        return self._clock.monotonic() - self._ticked_at

    def drain(self, grace_seconds: float) -> None:
        """Stop, losing nothing.

        1. Nothing new is dispatched or claimed, and no command is taken. 2. What runs gets the grace. 3. The rest is ended and handed back.
        4. All that was reported is written.
        """
        parts = self.parts
        self.draining = parts.runner.draining = True
        if parts.bus is not None:
            parts.bus.stop_listening()
        self._ticks.stop_all_but({"leases", "cancels"})
        for carrying in self._carrying:
            carrying.stop()
        for loop in self._loops:
            loop.close()
        deadline = time.monotonic() + grace_seconds
        while parts.executor.held() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        parts.runner.give_up()
        while parts.executor.held() and time.monotonic() < deadline + self._settings.kill_grace_seconds + 2:
            time.sleep(POLL_SECONDS)
        if not parts.recorder.flush(min(self._settings.lease_seconds, max(FLUSH_SECONDS, deadline - time.monotonic()))):
            parts.recorder.give_up()  # the database takes nothing: what it does not know is found lost when the leases are over
        self._permits.close()
        self._ticks.close()
        guarded("settle", parts.dispatcher.close)
        guarded("endpoints", parts.router.flush)
        guarded("leave", lambda: parts.nodes.leave(parts.name))
        parts.executor.close()
        parts.recorder.close()
        if parts.bus is not None:
            parts.bus.close()

    def hurry(self) -> None:
        """A second request to stop: what still runs is handed back now."""
        self.parts.runner.give_up()

    def upkeep_steps(self) -> Sequence[tuple[str, Callable[[], Any]]]:
        """What others left: lost runs, deferred attempts that are to end, full outboxes of jobs, an end of maintenance that was killed
        half-way, templates that were switched on again, services that have fallen silent; and whether the dispatcher still ticks."""
        parts = self.parts
        return (
            ("deferred", self._end_deferred),
            ("sweep", self._sweep),
            ("recover", parts.dispatcher.recover),
            ("maintenance", parts.maintenance.settle),
            ("templates", parts.resting.settle),
            ("services", parts.services.look_for_silence),
            ("stall", self._stall_watch.tick),
        )

    def _dispatch(self) -> None:
        self.parts.dispatcher.tick(on_written=self.wake)
        self._ticked_at = self._clock.monotonic()
        due = self.parts.dispatcher.next_due_at
        if due is not None:
            self._ticks.hurry("dispatch", due + INSTANT)  # the poll would be late; it stays for what others put in between

    def _state(self) -> tuple[float, BusState | None]:
        bus = self.parts.bus
        return self.tick_age(), bus.state() if bus is not None else None

    def _upkeep(self) -> None:
        for name, work in self.upkeep_steps():
            guarded(name, work, self._note_away)

    def _forget(self) -> None:
        self.parts.retention.tick()
        self.parts.events.forget_settled()

    def _look_after_runs(self) -> None:
        self.parts.runner.carry_out_cancels()
        self.parts.runner.put_back()

    def _may_start_again(self) -> None:
        """Maintenance has ended, or this node may start runs for the first time."""
        guarded("maintenance", self.parts.maintenance.settle, self._note_away)
        self.wake()

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        settled = now - self._away_at > SETTLE_AFTER_OUTAGE_SECONDS and now - self._set_at > self._settings.lease_seconds
        if settled and self.parts.sweeper.tick():
            self.wake()

    def _end_deferred(self) -> None:
        if self._clock.monotonic() - self._set_at > self._settings.lease_seconds and self.parts.deferred.tick():
            self.wake()

    def _clock_was_set(self, step: float) -> None:
        """Every tick has its turn now, and none is called lost before each worker has had the time to renew its leases."""
        self._set_at = self._clock.monotonic()
        log.warning("clock.was_set", seconds=round(step, 1))
        self._ticks.hurry_all()

    def _note_away(self) -> None:
        self._away_at = self._clock.monotonic()
