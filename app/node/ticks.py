"""The ticks of a node, on APScheduler. The only door to APScheduler.

APScheduler keeps its own jobs, the ticks, in memory; the truth about time and claims is in MongoDB.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from app.node.guard import guarded

THREADS = 32  # more than there are ticks, so that a slow one keeps no other waiting; each thread is made when it is needed
SOON_SECONDS = 0.01


class ClaimExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """APScheduler's extension point: a submission means "look at the queue", and one thread answers it by claiming batches."""

    def __init__(self, claim: Callable[[], object]) -> None:
        super().__init__()
        self._claim, self._woken = claim, threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="claims", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:  # noqa: ARG002 - the signature is APScheduler's
        self.wake()
        self._run_job_success(job.id, [])

    def _loop(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._closing:
                return
            self._claim()

    def shutdown(self, wait: bool = True) -> None:
        self._closing = True
        self._woken.set()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()


class Ticks:
    """Calls pieces of work at intervals. A tick survives any exception, is never queued twice, and is never given up for being late.

    `on_away` is called whenever the database did not answer one.
    """

    def __init__(self, on_away: Callable[[], None]) -> None:
        self._on_away = on_away
        self._ended_at: dict[str, float] = {}
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(THREADS)})
        self._claims: ClaimExecutor | None = None

    def claim_every(self, seconds: float, claim: Callable[[], int]) -> None:
        """Claim at this interval, and whenever `wake` is called."""
        self._claims = ClaimExecutor(lambda: self._turn("claim", claim))
        self._ended_at["claim"] = time.monotonic()
        self._scheduler.add_executor(self._claims, alias="claims")
        self._add("claim at intervals", seconds, lambda: None, executor="claims")

    def every(self, name: str, seconds: float, work: Callable[[], Any], *, first_after: float = SOON_SECONDS) -> None:
        """Do `work` at this interval; for the first time `first_after` seconds from now."""
        self._ended_at[name] = time.monotonic()
        self._add(name, seconds, work, first_after=first_after)

    def longest_silence(self, names: Collection[str]) -> float:
        """Returns for how many seconds one of these ticks has not come to its end, well or not: that of the longest such time. A tick that
        hangs grows; one that fails does not."""
        now = time.monotonic()
        return max((now - self._ended_at[name] for name in names if name in self._ended_at), default=0.0)

    def _turn(self, name: str, work: Callable[[], Any]) -> None:
        guarded(name, work, self._on_away)
        self._ended_at[name] = time.monotonic()

    def _add(
        self, name: str, seconds: float, work: Callable[[], Any], *, executor: str = "default", first_after: float = SOON_SECONDS
    ) -> None:
        self._scheduler.add_job(
            self._turn,
            "interval",
            args=(name, work),
            id=name,
            seconds=seconds,
            executor=executor,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC) + timedelta(seconds=first_after),
        )

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def wake(self) -> None:
        """Claim now rather than at the next tick."""
        if self._claims is not None:
            self._claims.wake()

    def hurry(self, name: str, at: datetime | None = None) -> None:
        """Do this work now, or `at` an instant, if its next turn is later than that; the interval goes on from then."""
        job = self._scheduler.get_job(name)
        at = at or datetime.now(UTC)
        if job is not None and job.next_run_time is not None and at < job.next_run_time:
            with suppress(JobLookupError):  # at a stop
                job.modify(next_run_time=at)

    def hurry_all(self) -> None:
        """Give every tick its turn now, whatever its next time says."""
        for job in self._scheduler.get_jobs():
            with suppress(JobLookupError):
                job.modify(next_run_time=datetime.now(UTC))

    def stop_all_but(self, names: Collection[str]) -> None:
        """End all ticks but these."""
        for job in self._scheduler.get_jobs():
            if job.id not in names:
                with suppress(JobLookupError):  # one that ran its last time meanwhile
                    job.remove()

    def close(self) -> None:
        """End them all; what is at work is waited for. (A tick that comes due while the scheduler's threads end would be an error.)"""
        self.stop_all_but(())
        self._scheduler.shutdown(wait=True)
