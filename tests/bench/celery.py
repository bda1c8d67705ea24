"""No-op runs a second on Celery workers, beside a scheduler, MongoDB and Redis on the same machine."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from app.mongo import connect
from tests.builders.brokers import Redis, running
from tests.builders.fleet import Fleet
from tests.support import KEY, Service

COUNT = 2_000


def celery(uri: str, folder: Path, row: Callable[..., None]) -> None:
    """Prints the figures for one and for two workers."""
    if shutil.which("redis-server") is None:
        print("Celery: no redis-server")
        return
    for workers in (1, 2):
        database = f"b_{uuid.uuid4().hex[:8]}"
        processes: list[Service] = []

        def start(command: str, database: str = database, processes: list[Service] = processes, **settings: str) -> Service:
            own = folder / uuid.uuid4().hex[:6]
            processes.append(Service(command, uri=uri, database=database, data_dir=own, JOBWRIGHT_SECRET_KEY=KEY, **settings))
            return processes[-1]

        with running(Redis(folder / f"redis{workers}")) as broker:
            house = Fleet(start, broker.url, uri=uri, database=database, folder=folder)
            try:
                for _ in range(workers):
                    house.worker()
                house.put(house.job(), COUNT)
                house.wait_for(COUNT, seconds=300)
                rows = list(house.executions.find({}, {"started_at": 1, "completed_at": 1}))
                seconds = (max(run["completed_at"] for run in rows) - min(run["started_at"] for run in rows)).total_seconds()
                row(f"no-op executions a second, Celery, workers: {workers}", COUNT / seconds, "/s", 150, more_is_better=True)
            finally:
                house.close()
                for process in processes:
                    process.stop()
        with connect(uri) as client:
            client.drop_database(database)
