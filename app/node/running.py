"""The duty of a node that runs: it claims executions, runs their attempts, keeps their leases, and records how they went."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.events import get_logger
from app.executors.base import Executor
from app.node.duty import Duty, Engine
from app.node.guard import guarded
from app.node.heard import HeardSink
from app.node.hearing import Hearing
from app.node.loops import Loop
from app.node.recorder import Recorder
from app.node.routing import Router
from app.node.runner import Runner
from app.node.work_source import PushedSource
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.permits import PermitKeeper

log = get_logger(__name__)

CANCEL_SECONDS = 0.5
ENDPOINTS_SECONDS = 0.5  # so often it is written for all nodes how calls to services went
CONSUMER_SECONDS = 5.0  # so long is waited at a stop for a consumer of messages
POLL_SECONDS = 0.05
FLUSH_SECONDS = 5.0  # at least so long is waited at a stop until the ends of runs are written


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningParts:
    """What running is made of. `templates_in_use` names those that runs are to be expected of. A worker that is told by a message
    broker what to run has the `source` of these hints, and the watch over its consumer."""

    runner: Runner
    executor: Executor
    recorder: Recorder
    router: Router
    switch: MaintenanceStore
    nodes: NodeStore
    templates_in_use: Callable[[], list[str]]
    source: PushedSource | None = None
    hearing: Hearing | None = None


class Running(Duty):
    """Runs. `on_permitted` is called when this node may start runs again, or for the first time."""

    kept_ticks = frozenset({"leases", "cancels"})
    vital_ticks = frozenset({"claim", "leases"})

    def __init__(self, parts: RunningParts, engine: Engine, *, on_permitted: Callable[[], None]) -> None:
        self.parts, self._engine = parts, engine
        self._permits = PermitKeeper(
            permit=parts.runner.permit,
            nodes=parts.nodes,
            switch=parts.switch,
            name=engine.name,
            put_back=parts.runner.put_back_all,
            on_end=on_permitted,
        )
        self._kept_at = engine.clock.monotonic()

    def start(self) -> None:
        parts, engine = self.parts, self._engine
        parts.recorder.start()
        sink = HeardSink(parts.recorder, parts.router.hear)
        parts.executor.start(sink, on_free=engine.wake, begin_until=parts.runner.permit.begin_until)
        guarded("warm_up", lambda: parts.runner.warm_up(parts.templates_in_use()))
        engine.ticks.claim_every(engine.settings.tick_seconds, parts.runner.claim)
        engine.ticks.every("leases", min(engine.settings.lease_seconds / 4, 5.0), self._keep_leases)
        engine.ticks.every("cancels", CANCEL_SECONDS, self._look_after_runs)
        engine.ticks.every("endpoints", ENDPOINTS_SECONDS, parts.router.flush)
        self._permits.start()

    def loops(self) -> Sequence[Loop]:
        return () if self.parts.hearing is None else (self.parts.hearing,)

    def begin(self) -> None:
        if self.parts.hearing is not None:
            self.parts.hearing.on_hint = self._engine.wake
            self.parts.hearing.consumer.start()

    def wake(self) -> None:
        self._engine.ticks.wake()

    def stop_taking(self) -> None:
        self.parts.runner.draining = True
        if self.parts.source is not None:
            self.parts.source.close()

    def stop(self) -> None:
        if self.parts.hearing is not None and not self.parts.hearing.consumer.stop(CONSUMER_SECONDS):
            log.error("worker.hangs")

    def finish(self, grace_seconds: float) -> None:
        """1. What runs gets the grace. 2. The rest is ended and handed back. 3. All that was reported is written."""
        parts, settings = self.parts, self._engine.settings
        deadline = time.monotonic() + grace_seconds
        while parts.executor.held() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        parts.runner.give_up()
        while parts.executor.held() and time.monotonic() < deadline + settings.kill_grace_seconds + 2:
            time.sleep(POLL_SECONDS)
        if not parts.recorder.flush(min(settings.lease_seconds, max(FLUSH_SECONDS, deadline - time.monotonic()))):
            parts.recorder.give_up()  # the database takes nothing: what it does not know is found lost when the leases are over
        self._permits.close()

    def settle(self) -> None:
        guarded("endpoints", self.parts.router.flush)

    def close(self) -> None:
        self.parts.executor.close()
        self.parts.recorder.close()

    def age(self) -> float:
        return self._engine.clock.monotonic() - self._kept_at

    def permit(self) -> str:
        """Returns whether runs may be started: `holds`, `maintenance`, or `none` where the permit could not be renewed."""
        if self.parts.runner.permit.holds:
            return "holds"
        return "maintenance" if self._permits.rests else "none"

    def hears(self) -> bool | None:
        """Returns whether messages of the broker reach it; None if it has no broker."""
        return self.parts.hearing.listening()[1] if self.parts.hearing is not None else None

    def hurry(self) -> None:
        """Hands back now what still runs."""
        self.parts.runner.give_up()

    def _keep_leases(self) -> None:
        self.parts.runner.keep_leases()
        self._kept_at = self._engine.clock.monotonic()

    def _look_after_runs(self) -> None:
        self.parts.runner.carry_out_cancels()
        self.parts.runner.put_back()
