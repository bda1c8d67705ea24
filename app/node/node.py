"""One node: APScheduler ticks the dispatcher, the claims, the leases and the sweeper. The only door to APScheduler.

APScheduler keeps its own jobs, the ticks, in memory; the truth about time and claims is in MongoDB (design.md, 3).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from app.clock import Clock
from app.config import Settings
from app.connections.probes import Probes
from app.events import get_logger
from app.execution.delivery import Deliveries
from app.execution.retention import Retention
from app.execution.verdict import Verdicts
from app.executors.base import Executor
from app.mongo import is_away
from app.node.recorder import Recorder
from app.node.runner import Runner
from app.scheduling.dependants import Dependants
from app.scheduling.dispatcher import INSTANT, Dispatcher
from app.scheduling.maintenance import Maintenance
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.permits import PermitKeeper
from app.scheduling.resting import RestingTemplates

log = get_logger(__name__)

UPKEEP_SECONDS = 2.0
CANCEL_SECONDS = 0.5
BEAT_SECONDS = 5.0
LOOK_SECONDS = 2.0  # a connection that was just made is looked at so soon
RELISTEN_SECONDS = 1.0  # after the database was away
RETENTION_SECONDS = 600.0
CLOCK_SECONDS = 1.0
LARGEST_SLEW_SECONDS = 0.7  # a clock that differs more from one second to the next was set
SETTLE_AFTER_OUTAGE_SECONDS = 5.0  # workers write what they hold before anyone calls them lost
POLL_SECONDS = 0.05
FLUSH_SECONDS = 5.0  # at least so long is waited at a stop until the ends of runs are written


class AttemptExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler's extension point: a submission is "look at the queue", answered by one thread that claims batches."""

    def __init__(self, claim: Callable[[], int]) -> None:
        super().__init__()
        self._claim, self._wake = claim, threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="claims", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:  # noqa: ARG002 - the signature is APScheduler's
        self.wake()
        self._run_job_success(job.id, [])

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            guarded("claim", self._claim)

    def shutdown(self, wait: bool = True) -> None:
        self._closing = True
        self._wake.set()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()


class Looks:
    """Looks at connections beside everything else: a server that does not answer holds up nothing, nor a stop."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look, self._closing = look, threading.Event()
        self._thread = threading.Thread(target=self._loop, name="looks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()  # a look that is on its way ends with the process

    def _loop(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            guarded("connections", self._look)


class Arrivals:
    """Hears of runs that are asked for in other processes, by a change stream: a faster way than the poll, and never the only one."""

    def __init__(self, listen: Callable[[Callable[[], bool]], Iterator[str]], wake: Callable[[], None]) -> None:
        self._listen, self._wake, self._closing = listen, wake, threading.Event()
        self._thread = threading.Thread(target=self._loop, name="arrivals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(RELISTEN_SECONDS)  # one that a hanging database holds ends with the process

    def _loop(self) -> None:
        while not self._closing.is_set():
            guarded("arrivals", self._hear)
            self._closing.wait(RELISTEN_SECONDS)

    def _hear(self) -> None:
        """Raises what ends the stream; at a stop that is the closed client, which is as it should be."""
        try:
            for _ in self._listen(self._closing.is_set):
                self._wake()
        except Exception:
            if not self._closing.is_set():
                raise


class ClockWatch:
    """Notices that the machine's clock was set. APScheduler keeps its times by that clock: after a step back its ticks would rest for as
    long as the step was, leases and all."""

    def __init__(self, clock: Clock, on_step: Callable[[float], None]) -> None:
        self._clock, self._on_step, self._closing = clock, on_step, threading.Event()
        self._thread = threading.Thread(target=self._loop, name="clock-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        known = self._ahead()
        while not self._closing.wait(CLOCK_SECONDS):
            found = self._ahead()
            if abs(found - known) > LARGEST_SLEW_SECONDS:
                guarded("clock", partial(self._on_step, found - known))
            known = found

    def _ahead(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()


class Node:
    """The engine of one process. `start` and `drain` once each; `tick_age` for the health page."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        runner: Runner,
        executor: Executor,
        recorder: Recorder,
        deliveries: Deliveries,
        retention: Retention,
        verdicts: Verdicts,
        dependants: Dependants,
        probes: Probes,
        maintenance: Maintenance,
        switch: MaintenanceStore,
        resting: RestingTemplates,
        templates_in_use: Callable[[], list[str]],
        asked_for: Callable[[Callable[[], bool]], Iterator[str]],
        nodes: NodeStore,
        name: str,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._dispatcher, self._runner, self._executor, self._recorder = dispatcher, runner, executor, recorder
        self._deliveries, self._retention, self._clock, self._settings = deliveries, retention, clock, settings
        self._nodes, self._name, self._verdicts, self._templates_in_use = nodes, name, verdicts, templates_in_use
        self._maintenance, self._resting, self._dependants = maintenance, resting, dependants
        self._permits = PermitKeeper(
            permit=runner.permit, nodes=nodes, switch=switch, name=name, put_back=runner.put_back_all, on_end=self._may_start_again
        )
        self._arrivals = Arrivals(asked_for, self.wake)
        self._clock_watch = ClockWatch(clock, self._clock_was_set)
        self._looks = Looks(probes.tick) if settings.probe_seconds else None
        self._ticked_at = clock.monotonic()
        self._away_at = self._set_at = float("-inf")
        self._attempts: AttemptExecutor | None = None
        self._ended_since = threading.Event()  # something that others wait for, since they were last looked for
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(6)})
        self.draining = False

    def start(self) -> None:
        """Begin to dispatch and to claim."""
        self._recorder.start(on_written=self.wake, on_followed=self._follow_now)
        self._attempts = AttemptExecutor(self._runner.claim)
        self._executor.start(self._recorder, on_free=self.wake, begin_until=self._runner.permit.begin_until)
        guarded("warm_up", lambda: self._runner.warm_up(self._templates_in_use()))
        self._scheduler.add_executor(self._attempts, alias="attempts")
        tick = self._settings.tick_seconds
        self._every("dispatch", tick, self._dispatch)
        self._every("claim", tick, lambda: None, executor="attempts")
        self._every("leases", min(self._settings.lease_seconds / 4, 5.0), self._runner.keep_leases)
        self._every("cancels", CANCEL_SECONDS, self._look_after_runs)
        self._every("upkeep", UPKEEP_SECONDS, self._upkeep)
        self._every("dependants", UPKEEP_SECONDS, self._follow)
        self._every("beat", BEAT_SECONDS, self._beat)
        self._every("retention", RETENTION_SECONDS, self._retention.tick, first=RETENTION_SECONDS / 2)
        self._permits.start()
        self._scheduler.start()
        self._arrivals.start()
        self._clock_watch.start()
        if self._looks is not None:
            self._looks.start()

    def wake(self) -> None:
        """Something waits in the queue, or a place is free: claim now rather than at the next tick."""
        if self._attempts is not None:
            self._attempts.wake()

    def tick_age(self) -> float:
        """Seconds since the dispatcher last finished a tick; a stalled or failing one grows."""
        return self._clock.monotonic() - self._ticked_at

    def drain(self, grace_seconds: float) -> None:
        """Stop, losing nothing.

        1. Nothing new is dispatched or claimed. 2. What runs gets the grace. 3. The rest is ended and handed back.
        4. All that was reported is written.
        """
        self.draining = self._runner.draining = True
        for job in self._scheduler.get_jobs():
            if job.id not in {"leases", "cancels"}:
                with suppress(JobLookupError):  # one that ran its last time meanwhile
                    job.remove()
        self._arrivals.close()
        self._clock_watch.close()
        if self._looks is not None:
            self._looks.close()
        deadline = time.monotonic() + grace_seconds
        while self._executor.held() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._runner.give_up()
        while self._executor.held() and time.monotonic() < deadline + self._settings.kill_grace_seconds + 2:
            time.sleep(POLL_SECONDS)
        if not self._recorder.flush(min(self._settings.lease_seconds, max(FLUSH_SECONDS, deadline - time.monotonic()))):
            self._recorder.give_up()  # the database takes nothing: what it does not know is found lost when the leases are over
        self._permits.close()
        self._scheduler.shutdown(wait=True)
        guarded("settle", self._dispatcher.close)
        guarded("leave", lambda: self._nodes.leave(self._name))
        self._executor.close()
        self._recorder.close()

    def hurry(self) -> None:
        """A second request to stop: what still runs is handed back now."""
        self._runner.give_up()

    def _dispatch(self) -> None:
        self._dispatcher.tick(on_written=self.wake)
        self._ticked_at = self._clock.monotonic()
        due, tick = self._dispatcher.next_due_at, self._scheduler.get_job("dispatch")
        if due is not None and tick is not None and due + INSTANT < tick.next_run_time:
            tick.modify(next_run_time=due + INSTANT)  # the poll would be late; it stays for what others put in between

    def _follow(self) -> None:
        """Start what runs after what has ended, here or on a node that died before it could."""
        self._ended_since.set()
        while self._ended_since.is_set():  # a tick that runs is not started beside itself
            self._ended_since.clear()
            if self._dependants.tick():
                self.wake()

    def _follow_now(self) -> None:
        self._ended_since.set()
        tick = self._scheduler.get_job("dependants")
        if tick is not None:
            with suppress(JobLookupError):  # at a stop
                tick.modify(next_run_time=datetime.now(UTC))

    def _beat(self) -> None:
        self._nodes.beat(self._name, host=socket.gethostname(), clock=self._clock.now(), tick_age=self.tick_age())

    def _upkeep(self) -> None:
        """What others left: lost runs, full outboxes, an end of maintenance that was killed half-way, notifications that are owed, jobs
        that failed too often."""
        steps: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("sweep", self._sweep),
            ("recover", self._dispatcher.recover),
            ("maintenance", self._maintenance.settle),
            ("templates", self._resting.settle),
            ("notify", self._deliveries.tick),
            ("verdicts", self._verdicts.tick),
        )
        for name, work in steps:
            guarded(name, work, self._note_away)

    def _look_after_runs(self) -> None:
        self._runner.carry_out_cancels()
        self._runner.put_back()

    def _may_start_again(self) -> None:
        """Maintenance has ended, or this node may start runs for the first time."""
        guarded("maintenance", self._maintenance.settle, self._note_away)
        self.wake()

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        if now - self._away_at > SETTLE_AFTER_OUTAGE_SECONDS and now - self._set_at > self._settings.lease_seconds and self._runner.sweep():
            self.wake()

    def _clock_was_set(self, step: float) -> None:
        """Every tick has its turn now, and none is called lost before each worker has had the time to renew its leases."""
        self._set_at = self._clock.monotonic()
        log.warning("clock.was_set", seconds=round(step, 1))
        for job in self._scheduler.get_jobs():
            with suppress(JobLookupError):
                job.modify(next_run_time=datetime.now(UTC))

    def _every(self, name: str, seconds: float, work: Callable[[], Any], *, executor: str = "default", first: float = 0.01) -> None:
        """A tick that survives any exception, is never queued twice and never given up for being late."""
        self._scheduler.add_job(
            guarded,
            "interval",
            args=(name, work, self._note_away),
            id=name,
            seconds=seconds,
            executor=executor,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC) + timedelta(seconds=first),
        )

    def _note_away(self) -> None:
        self._away_at = self._clock.monotonic()


def guarded(name: str, work: Callable[[], Any], on_away: Callable[[], None] = lambda: None) -> None:
    """Do `work`; an error is logged and the next tick tries again. (An exception would end APScheduler's own thread.)"""
    try:
        work()
    except Exception as error:
        if is_away(error):
            on_away()
            log.warning("tick.failed", tick=name, reason=str(error)[:200])
        else:
            log.exception("tick.failed", tick=name)
