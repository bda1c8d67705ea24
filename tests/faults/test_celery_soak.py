"""Many runs through Celery, while workers are killed, the broker starts anew, the database steps down, and a proxy loses a tenth of the
messages and doubles a tenth. `make check` runs SHORT of them, and SOAK_RUNS=50000 as many as that."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from tests.builders.brokers import Redis
from tests.builders.fleet import ENDED, Fleet
from tests.builders.resp_proxy import RespProxy
from tests.faults.conftest import overlapping
from tests.support import Service, eventually

SHORT = 2_000
RUNS = int(os.environ.get("SOAK_RUNS", SHORT))
PATIENCE = 300 + RUNS / 10  # seconds
WORKERS, KILLS, RESTARTS = 2, 3, 2
SETTLED = 0.2  # memory is compared with what it was after this share of the runs
GROWTH = 40 << 20  # bytes that the memory of a process may grow meanwhile


def memory(pid: int) -> int:
    """Bytes of memory that a process has for itself (proc(5))."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_nothing_is_lost_and_no_effect_is_doubled(
    start: Callable[..., Service], redis: Redis, mongod: str, database_name: str, tmp_path: Path
) -> None:
    proxy, trace = RespProxy(redis.port, dropped=0.1, doubled=0.1), tmp_path / "trace"
    trace.touch()
    # Retention would remove ended runs of one job beyond 10,000, and they are counted here.
    kept = {"JOBWRIGHT_KEEP_PER_JOB": "0"}
    house = Fleet(start, redis.url_at(proxy.port), uri=mongod, database=database_name, folder=tmp_path, **kept)
    workers = [house.worker() for _ in range(WORKERS)]
    job = house.job(parameters={"file": str(trace)})
    ids = house.put(job, RUNS)

    def ended(share: float) -> None:
        def so_many() -> bool:
            try:
                return house.executions.count_documents(ENDED) >= RUNS * share
            except PyMongoError:  # it steps down
                return False

        eventually(so_many, seconds=PATIENCE, every=0.2)

    ended(SETTLED)
    before: dict[int, int] = {}
    for share, fault in faults(redis, house, workers):
        ended(share)
        for process in (house.planner, *workers):
            before.setdefault(process.process.pid, memory(process.process.pid))
        fault()
    ended(1.0)
    grown = {pid: memory(pid) - before[pid] for process in (house.planner, *workers) if (pid := process.process.pid) in before}
    assert len(grown) == 1 + WORKERS, "the last workers have lived for a while, too"
    assert max(grown.values()) < GROWTH, grown
    assert house.outcomes() == {"success": RUNS}
    assert min(proxy.counts.values()) > RUNS / 20, "the proxy did its work"
    lines = trace.read_text().splitlines()
    assert overlapping(lines) == []
    effects = Counter(tuple(line.split()[1:3]) for line in lines if line.startswith("end"))
    attempts = {row["_id"]: row["attempts"] for row in house.executions.find({"_id": {"$in": ids}}, {"attempts": 1})}
    assert max(effects.values()) == 1, "no attempt does its work twice"
    assert {execution for execution, _ in effects} == set(ids)
    done = {
        (execution, str(attempt["number"])) for execution, rows in attempts.items() for attempt in rows if attempt["status"] == "success"
    }
    assert done <= set(effects)
    lost = sum(len(rows) - 1 for rows in attempts.values())
    assert lost <= KILLS * 60, "only what a killed worker held was tried again"
    proxy.close()
    house.close()


def faults(redis: Redis, house: Fleet, workers: list[Service]) -> Iterator[tuple[float, Callable[[], object]]]:
    """(after which share of the runs, what happens)."""

    def kill(number: int) -> None:
        workers[number % WORKERS].stop(kill=True)
        workers[number % WORKERS] = house.worker()

    def restart() -> None:
        redis.stop()
        time.sleep(1.5)
        redis.start()

    def step_down() -> None:
        with suppress(PyMongoError):
            house.store.client.admin.command("replSetStepDown", 3, force=True)

    yield 0.25, lambda: kill(0)
    yield 0.35, restart
    yield 0.45, lambda: kill(1)
    yield 0.55, step_down
    yield 0.65, lambda: kill(2)
    yield 0.75, restart
