"""`python -m tests.bench.capacity`: what executions, log lines, processes and backups cost on this machine (docs/how-to/capacity.md)."""

from __future__ import annotations

import os
import platform
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo.database import Database

from app.local_mongod import LocalMongod
from app.mongo import Document, connect, open_database
from tests.support import KEY, Service, eventually

RUNS = int(os.environ.get("N", "300"))
COPIES = int(os.environ.get("COPIES", "50000"))  # of an ended execution, so that its size on disk can be measured
LINES = 200  # of a log chunk that is copied
BATCH = 1000


def main() -> None:
    """Prints one figure on each line."""
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        server = LocalMongod(Path(folder) / "mongod")
        uri = server.start()
        pid = int((Path(folder) / "mongod" / "mongod.pid").read_text().split()[0])
        try:
            measure(uri, Path(folder), pid)
        finally:
            server.stop()


def figure(name: str, value: float, unit: str) -> None:
    """Prints a figure."""
    print(f"{name:<58} {value:>10.1f} {unit}")


def measure(uri: str, folder: Path, mongod: int) -> None:
    """Runs jobs, then copies what they left, and backs it up."""
    name = f"b_{uuid.uuid4().hex[:8]}"
    key = {"JOBWRIGHT_SECRET_KEY": KEY, "SCHEDULER_EXECUTOR_POOL_SIZE": "4"}
    scheduler = Service("scheduler", uri=uri, database=name, data_dir=folder / "s", **key).wait_ready()
    web = Service("web", uri=uri, database=name, data_dir=folder / "w", **key).wait_ready()
    with connect(uri) as client:
        database = open_database(client, name)
        try:
            figure("memory of a web server at rest", memory(web.process.pid) / 1e6, "MB")
            figure("memory of a scheduler at rest (with its zygotes)", memory(scheduler.process.pid) / 1e6, "MB")
            runs(web, scheduler, mongod, database)
            figure("memory of a scheduler after its runs", memory(scheduler.process.pid) / 1e6, "MB")
        finally:
            web.stop()
            scheduler.stop()
        disk(database)
        backup(web, folder, name)


def runs(web: Service, scheduler: Service, mongod: int, database: Database[Document]) -> None:
    """Processor time for a run, in the scheduler with its children and in MongoDB."""
    with web.api() as client:
        body = {"name": "j", "template_type": "noop", "overlap": "queue"}
        job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
        before = [processor(scheduler.process.pid), processor(mongod), processor(web.process.pid)]
        began = time.monotonic()
        for _ in range(RUNS):
            client.post(f"/api/admin/scheduler-jobs/{job}/run", json={}).raise_for_status()
        eventually(lambda: database["job_executions"].count_documents({"status": "success"}) >= RUNS, every=0.2)
        took = time.monotonic() - began
        after = [processor(scheduler.process.pid), processor(mongod), processor(web.process.pid)]
    for role, first, last in zip(("scheduler, with the job's process", "MongoDB", "web server (the request)"), before, after, strict=True):
        figure(f"processor time for a run: {role}", (last - first) * 1000 / RUNS, "ms")
    figure("runs of one job, one after the other", RUNS / took, "/s")


def disk(database: Database[Document]) -> None:
    """Room on disk for an ended execution and a log line, with indexes, as MongoDB compresses them."""
    execution = database["job_executions"].find_one({"status": "success"}) or {}

    def ended() -> Document:
        later = timedelta(milliseconds=random.randrange(86_400_000))
        times = {name: value + later for name, value in execution.items() if isinstance(value, datetime)}
        return {**execution, **times, "_id": str(uuid.uuid4()), "job_id": str(random.randrange(1000))}

    copies(database, "job_executions", COPIES, ended)
    figure("disk for an ended execution, with indexes", room(database, "job_executions") / COPIES, "bytes")
    at = execution["completed_at"]

    def chunk() -> Document:
        words = uuid.uuid4().hex
        lines = [
            {"timestamp": at, "level": "info", "message": f"{number}: copied order {words[number % 24 :]} to the archive"}
            for number in range(LINES)
        ]
        return {"_id": f"{uuid.uuid4()}/1", "attempt": 1, "count": LINES, "levels": ["info"], "lines": lines}

    copies(database, "execution_logs", 1000, chunk)
    figure("disk for a log line of 55 characters", room(database, "execution_logs") / (1000 * LINES), "bytes")


def copies(database: Database[Document], name: str, count: int, make: Callable[[], Document]) -> None:
    """Writes new documents, and everything to disk."""
    for first in range(0, count, BATCH):
        database[name].insert_many([make() for _ in range(min(BATCH, count - first))])
    database.client.admin.command("fsync")


def room(database: Database[Document], name: str) -> float:
    """Bytes of a collection and its indexes on disk."""
    stats: dict[str, Any] = database.command("collStats", name)
    return float(stats["storageSize"] + stats["totalIndexSize"])


def backup(web: Service, folder: Path, name: str) -> None:
    """How fast a backup is read, written and verified, and how large it is; how fast it is restored."""
    began = time.monotonic()
    path = Path(web.command("backup", str(folder / "x.zip")))
    took = time.monotonic() - began
    documents = COPIES + 1000 + RUNS
    figure("backup", documents / took, "documents/s")
    figure("backup file for 1,000 executions, without logs", path.stat().st_size / documents, "KB")
    began = time.monotonic()
    web.command("restore", str(path), "--into", f"{name}_2")
    figure("restore", documents / (time.monotonic() - began), "documents/s")


def tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [pid, *(each for child in children for each in tree(child))]


def memory(pid: int) -> int:
    """Bytes of memory of a process and its children, what they share counted once."""
    total = 0
    for each in tree(pid):
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:])
        total += int(rows["Pss"].split()[0]) * 1024
    return total


def processor(pid: int) -> float:
    """Seconds of processor time of a process and its children, those included that have ended."""
    total = 0.0
    for each in tree(pid):
        stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


if __name__ == "__main__":
    main()
