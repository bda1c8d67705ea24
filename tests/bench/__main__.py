"""`make bench`: figures of the engine on this machine, each beside its target and the ratio to it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from pymongo import MongoClient

from app.audit.model import SYSTEM
from app.config import Settings
from app.events import configure_logging
from app.factory import Store, build_node, build_services, launch_executor, migrate, with_engine
from app.jobs.model import job_document
from app.local_mongod import LocalMongod
from app.mongo import connect, open_database
from app.node.node import Node
from app.queue.model import Trigger
from app.sandbox import kernel
from app.services import Services
from app.validation import SchemaValidator
from tests.bench.bus import bus
from tests.bench.celery import celery
from tests.bench.client import client
from tests.bench.hanging import hanging
from tests.bench.imports import imports
from tests.bench.metrics import metrics
from tests.bench.notifications import notifications
from tests.bench.pages import pages
from tests.bench.services import services
from tests.builders.queue import Queue, new_execution
from tests.posting import Page
from tests.support import KINDS, Service, eventually
from web.forms import Form

EXECUTIONS = int(os.environ.get("N", "2000"))
DUE_AT_ONCE = 1000


def main() -> None:
    os.environ["PYTHONPATH"] = str(KINDS)
    sys.path.insert(0, str(KINDS))
    configure_logging(level="ERROR")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}")
    print(f"{'figure':<58} {'measured':>14} {'target':>14} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        mongod = LocalMongod(Path(folder) / "mongod")
        uri = mongod.start()
        try:
            measured_start(uri, Path(folder))
            server = int((Path(folder) / "mongod" / "mongod.pid").read_text().split()[0])
            throughput(uri, Path(folder), server, isolation="process", count=2_000, target=500)
            bare_fork()
            throughput(uri, Path(folder), server, isolation="reused", count=20_000, target=5_000)
            celery(uri, Path(folder), row)
            for isolation in ("process", "reused"):
                thousand_at_once(uri, Path(folder), isolation=isolation)
            idle_among_many(uri, Path(folder))
            year_of_silence(uri, Path(folder))
            asked_elsewhere(uri, Path(folder))
            bus(uri, Path(folder), row)
            hanging(uri, Path(folder), row)
            form()
            client(row)
            services(uri, Path(folder), row)
            metrics(uri, Path(folder), row)
            notifications(uri, Path(folder), row)
            imports(uri, row)
            pages(uri, Path(folder), row)
        finally:
            mongod.stop()


def row(name: str, value: float, unit: str, target: float, *, more_is_better: bool) -> None:
    ratio = value / target if more_is_better else target / value
    print(f"{name:<58} {value:>9.2f} {unit:<4} {target:>9.2f} {unit:<4} {ratio:>6.1f}x")


def measured_start(uri: str, folder: Path) -> None:
    """From the start of the process to its first answered request, with a mongod of its own; the second start, as after a restart."""
    for name, database_uri in (("`jobwright serve` to first answer, own mongod", ""), ("the same, MongoDB running", uri)):
        best = []
        for _ in range(3):
            began = time.monotonic()
            service = Service("serve", uri=database_uri, database=f"b_{uuid.uuid4().hex[:8]}", data_dir=folder / "start", PORT="18437")
            eventually(lambda: _answers("http://127.0.0.1:18437/live"), every=0.01)
            best.append(time.monotonic() - began)
            service.stop()
        row(name, sorted(best)[1], "s", 3.0, more_is_better=False)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


class Engine:
    """The house in this process, over a database of its own."""

    def __init__(self, uri: str, folder: Path, **changes: object) -> None:
        settings = replace(
            Settings(
                data_dir=str(folder / uuid.uuid4().hex),
                max_jobs=10_000,
                max_jobs_per_creator=10_000,
                max_instances=500,
            ),
            **changes,
        )
        client: MongoClient = connect(uri)
        self.store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
        migrate(self.store)
        executor = launch_executor(settings)
        self.root: int = executor.root_pid or 0
        self.services: Services = build_services(settings, self.store)
        self.node: Node = build_node(settings, self.store, self.services, executor)
        self.services = with_engine(self.services, self.node)
        self.executions = Queue(self.store.database)

    def stop(self) -> None:
        self.node.drain(1.0)
        self.store.client.drop_database(self.store.database.name)
        self.store.close()


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and of those of its children that have ended (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def faults_of(pid: int) -> int:
    """Page faults of the children of a process that have ended."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[8])


def throughput(uri: str, folder: Path, mongod: int, *, isolation: str, count: int, target: float) -> None:
    """No-op executions a second, history and logs majority-durable: from the first start to the last record; and where the time goes."""
    engine = Engine(uri, folder, isolation=isolation, pool_size=4)
    body = {"template_type": "noop", "parameters": {}, "overlap": "allow", "concurrency": {"max_instances": 500}}
    jobs = [engine.services.jobs.create(SYSTEM, {**body, "name": f"noop {n}"})[0] for n in range(20)]
    now = datetime.now(UTC)
    engine.executions.queue.add([new_execution(jobs[n % 20], now=now, triggered_by=Trigger.API) for n in range(count)])
    executions = engine.store.database["job_executions"]
    ours, server = time.process_time(), cpu_of(mongod)
    engine.node.start()
    eventually(lambda: executions.find_one({"live": True}) is None, seconds=180, every=0.05)
    ours, server = time.process_time() - ours, cpu_of(mongod) - server
    family = [engine.root, *kernel.descendants(engine.root)]
    processes, faults = sum(cpu_of(pid) for pid in family), sum(faults_of(pid) for pid in family)
    rows = list(executions.find({}, {"started_at": 1, "completed_at": 1, "status": 1}))
    assert {row["status"] for row in rows} == {"success"}
    logs = engine.store.database["execution_logs"].count_documents({})
    assert logs == count, f"{logs} logs"
    seconds = (max(r["completed_at"] for r in rows) - min(r["started_at"] for r in rows)).total_seconds()
    words = "a process each" if isolation == "process" else "reused processes"
    row(f"no-op executions a second ({count:,}, {words})", count / seconds, "/s", target, more_is_better=True)
    parts = f"node {ours / count * 1000:.2f}, mongod {server / count * 1000:.2f}, job processes {processes / count * 1000:.2f}"
    print(f"  processor time a run, ms: {parts} ({faults / count:.0f} page faults); of {seconds / count * 2000:.2f} that two cores had")
    engine.stop()


def bare_fork() -> None:
    """What a process a run costs at the least: a fork and an exit of the root zygote's own image, and nothing else."""
    program = (
        "import os, time, gc, app.sandbox.zygote\ngc.collect(); gc.freeze(); began = time.perf_counter()\nfor _ in range(200):\n"
        "    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)\nprint((time.perf_counter() - began) * 5)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    print(f"{'  a bare fork, exit and wait of the smallest image':<58} {float(said.stdout):>9.2f} ms")


def thousand_at_once(uri: str, folder: Path, *, isolation: str) -> None:
    """1,000 jobs due at one instant: when the last of them stands in the queue, and when they start."""
    engine = Engine(uri, folder, isolation=isolation, pool_size=4)
    due = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=0)
    for n in range(DUE_AT_ONCE):
        body = {"name": f"job {n}", "template_type": "noop", "schedule": {"type": "once", "run_at": due.isoformat()}}
        engine.services.jobs.create(SYSTEM, body)
    assert datetime.now(UTC) < due, "the machine is too slow to make the jobs in time"
    # A few runs first, as in any installation that is not just installed: how long they take is known then.
    warm = engine.services.jobs.create(
        SYSTEM, {"name": "warm", "template_type": "noop", "overlap": "allow", "concurrency": {"max_instances": 50}}
    )[0]
    engine.executions.queue.add([new_execution(warm, now=datetime.now(UTC), triggered_by=Trigger.API) for _ in range(50)])
    dispatcher = engine.node.planning.parts.dispatcher
    spent: dict[str, float] = {}
    for name, owner, method in (
        ("reading what is due", dispatcher._jobs, "find_due"),
        ("who is busy", dispatcher._queue, "live_counts"),
        ("planning", dispatcher, "_plan"),
        ("moving the jobs on", dispatcher._jobs, "advance"),
        ("writing the executions", dispatcher._queue, "add_planned"),
        ("claiming", engine.node.running.parts.runner._source, "take"),
    ):
        timed(owner, method, spent, name)
    engine.node.start()
    executions = engine.store.database["job_executions"]
    ours = {"triggered_by": "schedule"}
    eventually(lambda: executions.count_documents(ours) >= DUE_AT_ONCE, seconds=120, every=0.01)
    parts = ", ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in spent.items())
    queued = (datetime.now(UTC) - due).total_seconds()
    eventually(lambda: executions.count_documents({**ours, "status": "success"}) == DUE_AT_ONCE, seconds=60, every=0.1)
    rows = list(executions.find(ours, {"job_id": 1, "started_at": 1}))
    assert len(rows) == DUE_AT_ONCE, f"{len(rows)} executions"
    assert len({r["job_id"] for r in rows}) == DUE_AT_ONCE, "a job ran twice"
    started = quantiles([(r["started_at"] - due).total_seconds() for r in rows], n=100)[98]
    if isolation == "process":
        row(f"{DUE_AT_ONCE:,} due at once: last one queued after", queued * 1000, "ms", 100.0, more_is_better=False)
        print(f"  of that, ms: {parts}")
        print(f"{'  the same: p99 of the start, a process each':<58} {started * 1000:>9.0f} ms")
    else:
        row("  the same: p99 of the start, reused processes", started * 1000, "ms", 150.0, more_is_better=False)
    engine.stop()


def timed(owner: object, method: str, spent: dict[str, float], name: str) -> None:
    """Have each call of a method add its seconds to `spent`."""
    inner = getattr(owner, method)

    def outer(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

    setattr(owner, method, outer)


def idle_among_many(uri: str, folder: Path) -> None:
    """A `jobwright scheduler` over 100,000 jobs of which one is due: its first run after its start, then its processor time and memory."""
    engine = Engine(uri, folder)
    jobs, name = engine.store.database["dynamic_jobs"], engine.store.database.name
    body = {"name": "next year", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 0 1 1 *"}}
    document = job_document(engine.services.jobs.create(SYSTEM, body)[0])
    for first in range(0, 100_000, 10_000):
        jobs.insert_many([{**document, "_id": f"j{n}", "name": f"j{n}"} for n in range(first, first + 10_000)], ordered=False)
    trace = folder / "first"
    soon = (datetime.now(UTC) + timedelta(milliseconds=200)).isoformat()
    body = {"name": "once", "template_type": "noop", "parameters": {"file": str(trace)}, "schedule": {"type": "once", "run_at": soon}}
    engine.services.jobs.create(SYSTEM, body)
    time.sleep(0.3)
    began = time.time()
    service = Service("scheduler", uri=uri, database=name, data_dir=folder / "idle")
    try:
        eventually(lambda: trace.exists() and "start" in trace.read_text(), seconds=60, every=0.005)
        first_run = float(trace.read_text().split()[4]) - began
        service.wait_ready()
        row("100,000 jobs: first run after the start of the process", first_run, "s", 1.0, more_is_better=False)
        time.sleep(3)
        used = cpu_of(service.process.pid)
        time.sleep(20)
        row("  then idle: processor time", (cpu_of(service.process.pid) - used) / 20 * 100, "%", 0.5, more_is_better=False)
        resident = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        row("  then idle: memory of the scheduler process", resident, "MB", 100.0, more_is_better=False)
    finally:
        service.stop()
        engine.store.client.drop_database(name)
        engine.store.close()


def year_of_silence(uri: str, folder: Path) -> None:
    """A minutely job whose schedulers were down for a year."""
    engine = Engine(uri, folder)
    body = {"name": "j", "template_type": "noop", "schedule": {"type": "cron", "expression": "* * * * *"}}
    engine.services.jobs.create(SYSTEM, body)
    jobs, executions = engine.store.database["dynamic_jobs"], engine.store.database["job_executions"]
    jobs.update_one({}, {"$set": {"next_run_at": (datetime.now(UTC) - timedelta(days=365)).replace(second=0, microsecond=0)}})
    began = time.monotonic()
    engine.node.start()
    missed = eventually(lambda: executions.find_one({"status": "missed"}), every=0.005)
    row(
        f"a year's outage of a minutely job ({missed['due_times']['count']:,} missed)",
        time.monotonic() - began,
        "s",
        5.0,
        more_is_better=False,
    )
    engine.stop()


def asked_elsewhere(uri: str, folder: Path) -> None:
    """A run by REST on a `jobwright web`: from the request to the job's first line, in a process of an idle `jobwright scheduler`."""
    database = f"b_{uuid.uuid4().hex[:8]}"
    web, scheduler = (Service(kind, uri=uri, database=database, data_dir=folder / "asked") for kind in ("web", "scheduler"))
    try:
        web.wait_ready()
        scheduler.wait_ready()
        waits = []
        with web.client(web.token()) as client:
            trace = folder / "trace"
            body = {"name": "now", "template_type": "noop", "parameters": {"file": str(trace)}}
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            running = f"/api/admin/job-executions?job_id={job}&status=running"
            for n in range(31):
                time.sleep(0.05)
                asked = time.time()
                client.post(f"/api/admin/scheduler-jobs/{job}/run").raise_for_status()
                eventually(lambda n=n: trace.exists() and trace.read_text().count("end") == n + 1, every=0.005)
                waits.append([float(line.split()[4]) for line in trace.read_text().splitlines() if line.startswith("start")][-1] - asked)
                eventually(lambda: not client.get(running).json()["executions"], every=0.01)
        row("run asked of another process: first line after, median", sorted(waits)[15] * 1000, "ms", 100.0, more_is_better=False)
        print(f"{'  the same: the slowest of 31':<58} {max(waits) * 1000:>9.2f} ms")
    finally:
        for service in (web, scheduler):
            service.stop()
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(database)


def form() -> None:
    """The form generator beside the validator's own time."""
    text = {"type": "string", "maxLength": 100}
    wide = {
        "type": "object",
        "additionalProperties": False,
        "properties": {f"field_{n}": {**text, "title": f"Field {n}"} for n in range(200)},
    }
    value: dict[str, Any] = {f"field_{n}": f"value {n}" for n in range(200)}
    _form("form of 200 fields", wide, value, render_ms=30.0, read_ms=30.0)
    many = {"type": "object", "properties": {"pick": {"enum": [f"option {n}" for n in range(5000)]}}}
    _form("form of 5,000 options", many, {"pick": "option 4999"}, render_ms=100.0, read_ms=30.0)
    entry = {"type": "object", "additionalProperties": False, "properties": {"name": text, "count": {"type": "integer"}}}
    rows = {"type": "object", "properties": {"rows": {"type": "array", "items": entry}}}
    _form("form of 400 rows", rows, {"rows": [{"name": f"row {n}", "count": n} for n in range(400)]}, render_ms=300.0, read_ms=150.0)
    fresh = [{**wide, "title": f"{n}"} for n in range(5)]
    began = time.perf_counter()
    for schema in fresh:
        Form(schema)
    row("schema of 200 fields through the gate, first time", (time.perf_counter() - began) * 200, "ms", 2000.0, more_is_better=False)
    part = {"type": "object", "properties": {f"field_{n}": {**text, "title": f"Field {n}"} for n in range(200)}}
    names = [f"part_{n}" for n in range(100)]
    huge = {"type": "object", "properties": {name: {**part, "title": name} for name in names}, "required": names}
    began = time.perf_counter()
    opened = Form(huge).render()
    row("a schema of 20,100 subschemas: gate and first page", (time.perf_counter() - began) * 1000, "ms", 5000.0, more_is_better=False)
    row("  size of that page", len(opened) / 1000, "kB", 1000.0, more_is_better=False)


def _form(name: str, schema: Any, value: Any, *, render_ms: float, read_ms: float) -> None:
    form = Form(schema)
    pairs = Page(form.render(value)).pairs()
    validator = SchemaValidator(schema)
    assert form.read(pairs).value == value
    row(f"{name}: render", _milliseconds(lambda: form.render(value)), "ms", render_ms, more_is_better=False)
    row(f"{name}: read and judge", _milliseconds(lambda: form.read(pairs)), "ms", read_ms, more_is_better=False)
    print(f"{'  the validator alone':<58} {_milliseconds(lambda: validator.errors(value)):>9.2f} ms")


def _milliseconds(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(15):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[7]


if __name__ == "__main__":
    main()
