"""The duty of a node that plans: it decides what is due, looks after what others left, and carries out what ends and events owe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.connections.probes import Probes
from app.execution.retention import Retention
from app.instants import INSTANT
from app.integrations.nats.bus import Bus
from app.integrations.services.service import RegisteredServices
from app.node.carrying import Carrying
from app.node.deferred import DeferredWatch
from app.node.delivering import Delivering
from app.node.duty import Duty, Engine
from app.node.guard import guarded
from app.node.listening import Arrivals, Probing, Watching
from app.node.loops import Loop
from app.node.releasing import Releasing
from app.node.stall_watch import StallWatch
from app.node.state import STALLED_SECONDS
from app.node.sweeper import Sweeper
from app.notification.digests.sending import DigestSender
from app.notification.incidents.upkeep import AlertUpkeep
from app.notification.monitor.watch import Watch
from app.notification.quiet.quieting import Quieting
from app.notification.sending import Sender
from app.outbox.carrier import Carrier
from app.outbox.event_store import Events
from app.scheduling.dispatcher import Dispatcher
from app.scheduling.maintenance import Maintenance
from app.scheduling.resting import RestingTemplates
from app.signals import Signal

UPKEEP_SECONDS = 2.0
RETENTION_SECONDS = 600.0
DIGEST_SECONDS = 20.0  # a digest is due at a minute; nobody waits for it


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningParts:
    """What planning is made of. `bus` is there where one is set. `owed` is sent when an end or an event owes something, and `told`
    when a notification is to be sent. `requested` gives the ids of runs that other processes ask for, until it is told to stop.
    `count_ends` adds what has ended to the totals of metrics, and `hand_overs` completes the migrations of jobs that are under way.
    `digests` writes the digests that are due, and `watch` looks whether the installation works. `releasing` announces runs to workers,
    where they run the jobs."""

    dispatcher: Dispatcher
    sweeper: Sweeper
    deferred: DeferredWatch
    carriers: Sequence[Carrier[Any]]
    bus: Bus | None
    events: Events
    retention: Retention
    probes: Probes
    maintenance: Maintenance
    resting: RestingTemplates
    services: RegisteredServices
    owed: Signal
    requested: Callable[[Callable[[], bool]], Iterator[str]]
    count_ends: Callable[[], Any]
    hand_overs: Callable[[], Any]
    sender: Sender
    quieting: Quieting
    told: Signal
    digests: DigestSender
    watch: Watch
    alerts: AlertUpkeep
    releasing: Releasing | None = None


class Planning(Duty):
    """Plans. Any number of nodes may plan on one database."""

    vital_ticks = frozenset({"dispatch"})

    def __init__(self, parts: PlanningParts, engine: Engine) -> None:
        self.parts, self._engine = parts, engine
        self._carrying = [Carrying(carrier, engine.ticks) for carrier in parts.carriers]
        self._delivering = Delivering(parts.sender, parts.quieting, engine.ticks, keep_days=engine.settings.keep_delivery_days)
        self._loops: list[Loop] = [Arrivals(parts.requested, engine.wake)]
        if engine.settings.probe_seconds:
            self._loops.append(Probing(parts.probes.tick))
        if parts.watch.is_set:
            self._loops.append(Watching(lambda: parts.watch.tick(ticks_move=self.age() < STALLED_SECONDS)))
        if parts.releasing is not None:
            self._loops.append(parts.releasing)
        self._stall_watch = StallWatch(age=self.age, events=parts.events, clock=engine.clock, node=engine.name)
        self._ticked_at = engine.clock.monotonic()

    def start(self) -> None:
        ticks = self._engine.ticks
        for carrying in self._carrying:
            self.parts.owed.connect(carrying.now)
        self.parts.told.connect(self._delivering.now)
        ticks.every("dispatch", self._engine.settings.tick_seconds, self._dispatch)
        ticks.every("upkeep", UPKEEP_SECONDS, self._upkeep)
        ticks.every("digests", DIGEST_SECONDS, self.parts.digests.tick)
        ticks.every("retention", RETENTION_SECONDS, self._forget, first_after=RETENTION_SECONDS / 2)
        for carrying in self._carrying:
            carrying.start()
        self._delivering.start()

    def loops(self) -> Sequence[Loop]:
        return self._loops

    def begin(self) -> None:
        if self.parts.bus is not None:
            self.parts.bus.start()

    def wake(self) -> None:
        if self.parts.releasing is not None:
            self.parts.releasing.wake()

    def stop_taking(self) -> None:
        if self.parts.bus is not None:
            self.parts.bus.stop_listening()

    def stop(self) -> None:
        for carrying in self._carrying:
            carrying.stop()
        self._delivering.stop()

    def settle(self) -> None:
        guarded("settle", self.parts.dispatcher.close)

    def close(self) -> None:
        if self.parts.bus is not None:
            self.parts.bus.close()

    def age(self) -> float:
        return self._engine.clock.monotonic() - self._ticked_at

    def settle_maintenance(self) -> None:
        """Ends what an end of maintenance that was killed half-way has left."""
        guarded("maintenance", self.parts.maintenance.settle, self._engine.unrest.note_away)

    def upkeep_steps(self) -> Sequence[tuple[str, Callable[[], Any]]]:
        """What others left: lost runs, deferred attempts that are to end, full outboxes of jobs, an end of maintenance that was killed
        half-way, templates that were switched on again, services that have fallen silent; whether the dispatcher still ticks; the
        count of what has ended; and what becomes of incidents by time."""
        parts = self.parts
        return (
            ("deferred", self._end_deferred),
            ("sweep", self._sweep),
            ("recover", parts.dispatcher.recover),
            ("maintenance", parts.maintenance.settle),
            ("templates", parts.resting.settle),
            ("services", parts.services.look_for_silence),
            ("stall", self._stall_watch.tick),
            ("metrics", parts.count_ends),
            ("hand-overs", parts.hand_overs),
            ("alerts", parts.alerts.tick),
        )

    def _dispatch(self) -> None:
        self.parts.dispatcher.tick(on_written=self._engine.wake)
        self._ticked_at = self._engine.clock.monotonic()
        due = self.parts.dispatcher.next_due_at
        if due is not None:
            self._engine.ticks.hurry("dispatch", due + INSTANT)  # the poll would be late; it stays for what others put in between

    def _upkeep(self) -> None:
        for name, work in self.upkeep_steps():
            guarded(name, work, self._engine.unrest.note_away)

    def _forget(self) -> None:
        self.parts.retention.tick()
        self.parts.events.forget_settled()
        self._delivering.forget()
        if self._engine.settings.keep_delivery_days:
            self.parts.alerts.forget(timedelta(days=self._engine.settings.keep_delivery_days))

    def _sweep(self) -> None:
        unrest = self._engine.unrest
        settled = unrest.is_over() and not unrest.clock_set_within(self._engine.settings.lease_seconds)
        if settled and self.parts.sweeper.tick():
            self._engine.wake()

    def _end_deferred(self) -> None:
        if not self._engine.unrest.clock_set_within(self._engine.settings.lease_seconds) and self.parts.deferred.tick():
            self._engine.wake()
