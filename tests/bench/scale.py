"""`python -m tests.bench.scale`: what a job and an execution cost in documents and indexes, from which docs/explanation/scale.md computes."""

from __future__ import annotations

import os
import random
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from pymongo.database import Database

from app.local_mongod import LocalMongod
from app.mongo import Document, connect, open_database
from tests.bench.capacity import copies
from tests.support import KEY, Service, eventually

JOBS = int(os.environ.get("JOBS", "100000"))
ENDED = int(os.environ.get("ENDED", "200000"))


def main() -> None:
    """Prints a line for each collection, and one for each of its indexes."""
    with tempfile.TemporaryDirectory() as folder:
        server = LocalMongod(Path(folder) / "mongod")
        uri = server.start()
        try:
            measure(uri, Path(folder))
        finally:
            server.stop()


def measure(uri: str, folder: Path) -> None:
    """Makes one job and one run by the product, and copies them."""
    name = f"b_{uuid.uuid4().hex[:8]}"
    service = Service("serve", uri=uri, database=name, data_dir=folder / "s", JOBWRIGHT_SECRET_KEY=KEY).wait_ready()
    with connect(uri) as client:
        database = open_database(client, name)
        try:
            with service.api() as api:
                body = {"name": "j", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 2 * * *"}, "tags": ["shop"]}
                job = api.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
                api.post(f"/api/admin/scheduler-jobs/{job}/run", json={}).raise_for_status()
            eventually(
                lambda: database["job_executions"].find_one({"status": "success", "owed": {"$in": [None, []]}}) is not None, every=0.2
            )
        finally:
            service.stop()
        one_job, run = database["dynamic_jobs"].find_one({}) or {}, database["job_executions"].find_one({}) or {}
        seats = count(1)
        copies(database, "dynamic_jobs", JOBS, lambda: _job(one_job, next(seats)))
        report(database, "dynamic_jobs", JOBS)
        copies(database, "job_executions", ENDED, lambda: _ended(run))
        report(database, "job_executions", ENDED)


def _job(job: Document, seat: int) -> Document:
    due = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(86_400))
    return {
        **job,
        "_id": str(uuid.uuid4()),
        "name": f"job {uuid.uuid4().hex[:16]}",
        "next_run_at": due,
        "seat": seat,
        "creator_seat": f"a#{seat}",
    }


def _ended(run: Document) -> Document:
    later = timedelta(milliseconds=random.randrange(30 * 86_400_000))
    times = {name: value + later for name, value in run.items() if isinstance(value, datetime)}
    return {**run, **times, "_id": str(uuid.uuid4()), "job_id": str(random.randrange(JOBS)), "scheduled_for": run["queued_at"] + later}


def report(database: Database[Document], name: str, number: int) -> None:
    """Prints bytes for each document: in memory, on disk, and of each index."""
    stats: dict[str, Any] = database.command("collStats", name)
    print(f"{name}: {number:,} documents")
    print(f"  a document, uncompressed {stats['avgObjSize']:>8.0f} bytes")
    print(f"  a document, on disk      {stats['storageSize'] / number:>8.0f} bytes")
    for index, size in sorted(stats["indexSizes"].items(), key=lambda pair: -pair[1]):
        print(f"  index {index:<40} {size / number:>8.1f} bytes")
    print(f"  all indexes              {stats['totalIndexSize'] / number:>8.1f} bytes")


if __name__ == "__main__":
    main()
