"""`UnifiedScheduler` for programs that still start it: it has the methods of the old one, and its jobs are those of Jobwright's database.

Deprecated: it will be removed on 31 December 2027. Run `jobwright serve` or `jobwright scheduler` in its place.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import ExitStack
from datetime import date
from typing import Any

from app.audit.model import SYSTEM
from app.config import Settings, load_settings
from app.errors import Conflict, NotFound
from app.factory import Store, build_node, build_services, launch_executor, open_store, require_migrated
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.services import Services

REMOVED_ON = date(2027, 12, 31)
MOST_JOBS = 200


class UnifiedScheduler:
    """Runs the jobs of Jobwright in this process. The settings are those of Jobwright, from the environment."""

    def __init__(self, settings: Settings | None = None) -> None:
        words = f"UnifiedScheduler is deprecated and will be removed on {REMOVED_ON:%Y-%m-%d}. Run `jobwright scheduler` in its place."
        warnings.warn(words, DeprecationWarning, stacklevel=2)
        self._settings, self._stop, self._running = settings or load_settings(), threading.Event(), threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether `start` has begun to run jobs and has not ended."""
        return self._running.is_set()

    def start(self) -> None:
        """Runs jobs until `stop` is called in another thread or by a signal handler. Runs that go on then get JOBWRIGHT_DRAIN_SECONDS."""
        with ExitStack() as stack:
            executor = launch_executor(self._settings)
            stack.callback(executor.close)
            store, services = self._open(stack)
            node = build_node(self._settings, store, services, executor)
            node.start()
            self._running.set()
            self._stop.wait()
            self._running.clear()
            node.drain(self._settings.drain_seconds)

    def stop(self) -> None:
        """Ends `start`."""
        self._stop.set()

    def get_jobs(self) -> list[dict[str, Any]]:
        """Returns the jobs of the database, at most MOST_JOBS, as {name, interval_seconds, enabled, next_run_at, last_run_at}."""
        with ExitStack() as stack:
            _, services = self._open(stack)
            page = services.directory.page(SYSTEM, JobFilter(), limit=MOST_JOBS)
            return [_old_form(job) for job in page.items]

    def run_job(self, name: str) -> str:
        """Runs a job now. Returns the id of its execution. Raises NotFound."""
        with ExitStack() as stack:
            _, services = self._open(stack)
            job = next(iter(services.directory.page(SYSTEM, JobFilter(name=name), limit=1).items), None)
            if job is None:
                raise NotFound("job", name)
            return services.runs.run_now(SYSTEM, job.id).id

    def add_job(self, name: str, *_: Any, **__: Any) -> None:
        """Raises Conflict: a job is made from a template, on the pages, over REST or with `jobwright apply`."""
        raise Conflict(f"{name!r} cannot be added from code. Create a job from a template, or write a template of your own.")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _open(self, stack: ExitStack) -> tuple[Store, Services]:
        """Opens the database until `stack` is closed."""
        store = open_store(self._settings)
        stack.callback(store.close)
        require_migrated(store)
        return store, build_services(self._settings, store)


def initialize_unified_scheduler() -> UnifiedScheduler:
    """Returns the scheduler, as programs called it at their start. Deprecated as UnifiedScheduler is."""
    return UnifiedScheduler()


def _old_form(job: Job) -> dict[str, Any]:
    trigger = job.definition.schedule.trigger
    return {
        "name": job.definition.name,
        "interval_seconds": getattr(trigger, "interval_seconds", None),
        "enabled": job.definition.enabled,
        "next_run_at": job.next_run_at,
        "last_run_at": job.last_run_at,
    }
