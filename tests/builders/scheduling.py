"""Dispatchers by hand, and what they write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Job
from app.jobs.shadow_store import ShadowStore
from app.jobtemplates.store import TemplateStore
from app.queue.store import QueueStore
from app.scheduling.dispatcher import Dispatcher
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import Queue


def dispatcher(store: Store, services: Services, clock: ManualClock) -> Dispatcher:
    return Dispatcher(
        jobs=DispatchStore(store.database),
        queue=QueueStore(store.database, OWING, TemplateStore(store.database).needs_of),
        shadows=ShadowStore(store.database),
        triggers=services.triggers,
        clock=clock,
        events=services.events,
        starts=Queue(store.database).limits,
        maintenance=services.maintenance.reason,
    )


@contextmanager
def at_work(count: int, store: Store, services: Services, clock: ManualClock) -> Iterator[None]:
    """So many dispatchers in threads of their own; what one of them raises fails the test."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        engine = dispatcher(store, services, clock)
        try:
            while not stop.is_set():
                engine.tick()
                engine.recover()
            engine.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def every_second(services: Services, actor: Actor, **fields: Any) -> Job:
    body = {"name": "tick", "template_type": "noop", "schedule": {"type": "cron", "expression": "* * * * * *"}, **fields}
    return services.jobs.create(actor, body)[0]


def records(store: Store, job: Job) -> list[dict[str, Any]]:
    return list(store.database["job_executions"].find({"job_id": job.id}).sort("scheduled_for", 1))
