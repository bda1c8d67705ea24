"""Real processes, killed for real (design.md 5). A short run here; `make faults MINUTES=15` goes on for longer."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from app.local_mongod import LocalMongod
from tests.faults.conftest import MINUTES, overlapping
from tests.support import PATIENCE_SECONDS, Service, alive, eventually, seconds_of

ROUNDS = max(20, int(MINUTES * 6))
SECONDS = max(120, int(MINUTES * 20))
LEASE = 3.0


def test_kill_nine_at_random_moments_loses_and_doubles_nothing(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    """The service is killed with -9 at a random moment, ROUNDS times, while an every-second job and slower ones run."""
    service = start("serve").wait_ready()
    token, trace = service.token(), tmp_path / "trace"
    trace.touch()
    retry = {"max_retries": 100, "retry_delay_seconds": 0, "backoff": "fixed"}
    with service.client(token) as client:
        body = {
            "name": "tick",
            "template_type": "noop",
            "parameters": {"file": str(trace), "seconds": 0.3},
            "retry_policy": retry,
            "schedule": {"type": "cron", "expression": "* * * * * *"},
            "overlap": "queue",
            "misfire": {"policy": "all", "max_catch_up": 100},
        }
        job = client.post(
            "/api/admin/scheduler-jobs", json={**body, "enabled": False, "overlap": "allow", "concurrency": {"max_instances": 3}}
        ).json()["job"]
        stubborn = {"name": "never retried", "template_type": "noop", "parameters": {"seconds": 1.0}, "retry_policy": {"max_retries": 0}}
        once = client.post("/api/admin/scheduler-jobs", json={**stubborn, "schedule": {"type": "interval", "interval_seconds": 2}}).json()[
            "job"
        ]
        after = {"template_type": "noop", "retry_policy": retry, "overlap": "queue", "concurrency": {"max_instances": 3}}
        follower, gatherer = (
            client.post("/api/admin/scheduler-jobs", json={**after, "name": name, "depends_on": rows}).json()["job"]["_id"]
            for name, rows in (
                ("after each tick", [{"job": "tick"}]),
                ("after both", [{"job": "tick"}, {"job": "never retried", "when": "end"}]),
            )
        )
        assert client.post(f"/api/admin/scheduler-jobs/{job['_id']}/enable").status_code == 200
    dice = random.Random(7)
    for _ in range(ROUNDS):
        time.sleep(dice.uniform(0.1, 2.0))  # the moment of death is what varies
        service.stop(kill=True)
        service = start("serve").wait_ready()
    last = datetime.now(UTC)
    executions = registry["job_executions"]
    # Only once the scheduler has come past `last` are the jobs switched off: a job that is off owes nothing any more.
    eventually(lambda: executions.find_one({"job_id": job["_id"], "scheduled_for": {"$gte": last}}) is not None)
    with service.client(token) as client:
        for job_id in (job["_id"], once["_id"]):
            assert client.post(f"/api/admin/scheduler-jobs/{job_id}/disable").status_code == 200
    eventually(lambda: executions.count_documents({"status": {"$in": ["queued", "running", "retrying"]}}) == 0)
    rows = list(executions.find({"job_id": job["_id"]}))
    due = seconds_of(rows)
    first = min(due)
    expected = [first + timedelta(seconds=n) for n in range(int((last - first).total_seconds()))]
    assert due[: len(expected)] == expected, "a due time is missing or doubled"
    ends = Counter(row["status"] for row in rows)
    assert set(ends) <= {"success", "skipped", "missed"}, ends
    assert all(row["reason"] for row in rows if row["status"] != "success")
    assert overlapping(trace.read_text().splitlines()) == []
    never = list(executions.find({"job_id": once["_id"]}))
    lost = [row for row in never if row["status"] == "failed"]
    assert {row["status"] for row in never} <= {"success", "failed", "skipped"}
    assert all(len(row["attempts"]) == 1 and row["error"]["type"] == "LostWorker" for row in lost), "a policy of no retries holds"
    open_ends = {"$or": [{"owed.what": "followers"}, {"live": True}]}
    eventually(lambda: executions.count_documents(open_ends) == 0)
    followed = Counter(cause for row in executions.find({"job_id": follower}) for cause in row["caused_by"])
    assert followed == dict.fromkeys((row["_id"] for row in rows if row["status"] == "success"), 1), "each success began one run"
    gathered = [row["caused_by"] for row in executions.find({"job_id": gatherer})]
    used = Counter(cause for causes in gathered for cause in causes)
    assert used == dict.fromkeys(used, 1), "no end counted twice"
    sources = {row["_id"]: row["job_id"] for row in executions.find({"job_id": {"$in": [job["_id"], once["_id"]]}}, {"job_id": 1})}
    assert gathered
    assert all({sources[cause] for cause in causes} == {job["_id"], once["_id"]} for causes in gathered)
    words = f"{len(followed)} runs began after others, {len(gathered)} after two"
    print(f"{ROUNDS} kills: {dict(ends)}, {len(lost)} runs without retries were lost and failed, {words}")


@pytest.mark.slow
def test_two_schedulers_on_one_database_run_each_second_once(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    """Two `jobwright scheduler` processes and a `web`, SECONDS seconds of every-second jobs."""
    web = start("web").wait_ready()
    token, trace = web.token(), tmp_path / "trace"
    trace.touch()
    # One place each, and more than a second of work each second: one alone would fall behind, so both must work.
    schedulers = [start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="1"), start("scheduler", SCHEDULER_EXECUTOR_POOL_SIZE="1")]
    for scheduler in schedulers:
        scheduler.wait_ready()
    begins = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    ends = begins + timedelta(seconds=SECONDS)
    jobs = []
    with web.client(token) as client:
        for n in range(3):
            body = {
                "name": f"tick {n}",
                "template_type": "noop",
                "parameters": {"file": str(trace), "seconds": 0.35},
                "overlap": "queue",
                "schedule": {"type": "cron", "expression": "* * * * * *", "start_at": begins.isoformat(), "end_at": ends.isoformat()},
            }
            jobs.append(client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"])
    executions = registry["job_executions"]
    wanted = 3 * SECONDS
    eventually(lambda: executions.count_documents({}) >= wanted, seconds=SECONDS + PATIENCE_SECONDS, every=0.5)
    eventually(lambda: executions.count_documents({"status": {"$in": ["queued", "running", "retrying"]}}) == 0)
    for job_id in jobs:
        rows = list(executions.find({"job_id": job_id}))
        assert seconds_of(rows) == [begins + timedelta(seconds=n) for n in range(SECONDS)]
        assert Counter(row["status"] for row in rows) == {"success": SECONDS}
    started = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    assert (len(started), set(started.values())) == (wanted, {1}), "each execution ran exactly once"
    workers = {row["attempts"][0]["worker"] for row in executions.find({}, {"attempts": 1})}
    assert len(workers) == 2, "both worked"


def test_a_killed_service_takes_its_jobs_and_its_mongod_with_it(tmp_path: Path) -> None:
    """kill -9 of `jobwright serve` with a mongod of its own: no job process outlives it, and the next start finds its data."""
    service = Service("serve", uri="", database="jobwright", data_dir=tmp_path / "d").wait_ready()
    token = service.token()
    with service.client(token) as client:
        body = {
            "name": "stay",
            "template_type": "misbehave",
            "parameters": {"how": "stubborn_tree", "file": str(tmp_path / "pids")},
            "retry_policy": {"max_retries": 0},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
    pids = eventually(lambda: (tmp_path / "pids").exists() and [int(p) for p in (tmp_path / "pids").read_text().split()])
    mongod = service.event("mongod.started")["pid"]
    service.stop(kill=True)
    eventually(lambda: not any(alive(pid) for pid in pids), seconds=5)
    again = Service("serve", uri="", database="jobwright", data_dir=tmp_path / "d").wait_ready()
    try:
        assert not alive(mongod), "the old server is down before a new one takes the folder"
        with again.client(token) as client:
            path = f"/api/admin/job-executions/{run}"
            ended = eventually(lambda: (e := client.get(path).json()["execution"])["status"] == "failed" and e, seconds=LEASE + 10)
        assert (ended["error"]["type"], ended["reason"]) == ("LostWorker", "lost_worker")
    finally:
        assert again.stop() == 0


def test_a_private_mongod_that_is_killed_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    """kill -9 of the mongod under a running `jobwright serve`, three times."""
    service = Service("serve", uri="", database="jobwright", data_dir=tmp_path / "d").wait_ready()
    trace = tmp_path / "trace"
    try:
        with service.client(service.token()) as client:
            body = {
                "name": "tick",
                "template_type": "noop",
                "parameters": {"file": str(trace)},
                "overlap": "queue",
                "schedule": {"type": "cron", "expression": "* * * * * *"},
            }
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            for round_ in range(3):
                ran = trace.read_text().count("end") if trace.exists() else 0
                eventually(lambda ran=ran: trace.exists() and trace.read_text().count("end") > ran + 1)
                started = [line["pid"] for line in service.events() if line.get("event") == "mongod.started"]
                assert len(started) == round_ + 1
                os.kill(started[-1], signal.SIGKILL)
                eventually(lambda n=round_: sum(line.get("event") == "mongod.started" for line in service.events()) == n + 2)
            last = datetime.now(UTC)
            path = f"/api/admin/scheduler-jobs/{job}/executions?limit=100"
            eventually(lambda: (a := client.get(path)).status_code == 200 and a.json()["executions"][0]["scheduled_for"] > last.isoformat())
            eventually(lambda: client.post(f"/api/admin/scheduler-jobs/{job}/disable").status_code == 200)
            live = "/api/admin/job-executions?status="
            eventually(lambda: not any(client.get(live + one).json()["total"] for one in ("queued", "running", "retrying")))
            rows = client.get(path).json()["executions"]
            due = sorted(datetime.fromisoformat(row["scheduled_for"]) for row in rows)
            assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]
        runs = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
        assert set(runs.values()) == {1}
    finally:
        assert service.stop() == 0


def test_sigterm_drains_and_hands_back_what_is_unfinished(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    service = start("serve", JOBWRIGHT_DRAIN_SECONDS="2").wait_ready()
    token, trace = service.token(), tmp_path / "trace"
    with service.client(token) as client:
        for name, seconds in (("short", 1.0), ("long", 20.0)):
            body = {
                "name": name,
                "template_type": "noop",
                "parameters": {"seconds": seconds, "file": str(trace)},
                "retry_policy": {"max_retries": 0},
            }
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            client.post(f"/api/admin/scheduler-jobs/{job}/run")
        eventually(lambda: trace.exists() and trace.read_text().count("start") == 2)
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 10
    assert [event for event in service.events() if event.get("level") == "error"] == []
    rows = {row["job_name"]: row for row in registry["job_executions"].find()}
    assert (rows["short"]["status"], rows["long"]["status"]) == ("success", "queued")
    assert [attempt["reason"] for attempt in rows["long"]["attempts"]] == ["handed_back"]
    registry["job_executions"].update_one({"_id": rows["long"]["_id"]}, {"$set": {"parameters.seconds": 0.1}})
    start("scheduler").wait_ready()
    ended = eventually(lambda: registry["job_executions"].find_one({"_id": rows["long"]["_id"], "status": "success"}))
    assert [attempt["status"] for attempt in ended["attempts"]] == ["cancelled", "success"]
    assert overlapping(trace.read_text().splitlines()) == []


def test_a_second_sigterm_is_quicker(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    service = start("serve", JOBWRIGHT_DRAIN_SECONDS="60").wait_ready()
    token, trace = service.token(), tmp_path / "trace"
    with service.client(token) as client:
        body = {"name": "long", "template_type": "noop", "parameters": {"seconds": 60, "file": str(trace)}}
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        client.post(f"/api/admin/scheduler-jobs/{job}/run")
        eventually(lambda: trace.exists() and "start" in trace.read_text())
    began = time.monotonic()
    service.process.terminate()
    eventually(lambda: service.event("service.draining"))
    service.process.terminate()
    assert service.process.wait(15) == 0
    assert time.monotonic() - began < 15
    assert [row["status"] for row in registry["job_executions"].find()] == ["queued"]


def test_a_stopped_owner_loses_its_run_and_cannot_write_when_it_wakes(start: Callable[..., Service], registry: Any, tmp_path: Path) -> None:
    """SIGSTOP of one scheduler past its lease; another takes the run over; SIGCONT: the first kills its child and writes nothing."""
    web, first = start("web").wait_ready(), start("scheduler").wait_ready()
    token, trace = web.token(), tmp_path / "trace"
    with web.client(token) as client:
        body = {
            "name": "slow",
            "template_type": "noop",
            "parameters": {"seconds": 9, "file": str(trace)},
            "retry_policy": {"max_retries": 3, "retry_delay_seconds": 0, "backoff": "fixed"},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
    eventually(lambda: trace.exists() and "start" in trace.read_text())
    child = int(trace.read_text().split()[3])
    os.kill(first.process.pid, signal.SIGSTOP)
    start("scheduler").wait_ready()
    eventually(lambda: trace.read_text().count("start") == 2, seconds=LEASE + 10)
    os.kill(first.process.pid, signal.SIGCONT)
    eventually(lambda: not alive(child), seconds=5)
    ended = eventually(lambda: registry["job_executions"].find_one({"_id": run, "status": "success"}))
    assert [attempt["status"] for attempt in ended["attempts"]] == ["failed", "success"]
    assert ended["attempts"][1]["worker"] != ended["attempts"][0]["worker"]


def test_a_run_asked_of_another_process_does_not_wait_for_the_poll(start: Callable[..., Service]) -> None:
    """The scheduler polls every minute; it hears of the run by the change stream."""
    web = start("web").wait_ready()
    scheduler = start("scheduler", JOBWRIGHT_TICK_SECONDS="60").wait_ready()
    with web.client(web.token()) as client:
        job = client.post("/api/admin/scheduler-jobs", json={"name": "now", "template_type": "noop"}).json()["job"]["_id"]
        for _ in range(3):
            run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
            path = f"/api/admin/job-executions/{run}"  # as the API sees it: once most of the replica set has it
            eventually(lambda path=path: client.get(path).json()["execution"]["status"] == "success")
    assert scheduler.stop() == 0
    assert [line for line in scheduler.events() if line.get("event") == "tick.failed"] == []


def test_a_database_that_is_away_delays_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """mongod is stopped (SIGSTOP, then a real restart) under load: 503 with a clear body meanwhile, every second in the record after."""
    folder = tmp_path / "mongod"
    mongod = LocalMongod(folder)
    uri = mongod.start()
    service = Service("serve", uri=uri, database="jobwright", data_dir=tmp_path / "d", LOCK_TIMEOUT_SECONDS="30").wait_ready()
    try:
        token, trace = service.token(), tmp_path / "trace"
        with service.client(token) as client:
            body = {
                "name": "tick",
                "template_type": "noop",
                "parameters": {"file": str(trace)},
                "schedule": {"type": "cron", "expression": "* * * * * *"},
                "overlap": "queue",
            }
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            slow = client.post(
                "/api/admin/scheduler-jobs", json={"name": "slow", "template_type": "noop", "parameters": {"seconds": 3}}
            ).json()["job"]["_id"]
            eventually(lambda: trace.exists() and trace.read_text().count("end") >= 2)
            run = client.post(f"/api/admin/scheduler-jobs/{slow}/run").json()["execution_id"]
            eventually(lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]["status"] == "running")
            mongod.stop()
            answer = client.get(f"/api/admin/scheduler-jobs/{job}")
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (answer.json()["title"], "Retry-After" in answer.headers) == ("The database does not answer", True)
            assert (client.get("/ready").status_code, client.get("/live").status_code) == (503, 200)
            for path in ("/ready", "/health", "/health/detailed", "/sign-in", f"/api/admin/scheduler-jobs/{job}"):
                assert "m.sock" not in client.get(path).text, path
            time.sleep(4)  # the slow run ends while nobody can be told
            mongod.start()
            ended = eventually(
                lambda: (
                    (a := client.get(f"/api/admin/job-executions/{run}")).status_code == 200
                    and a.json()["execution"]["status"] == "success"
                    and a.json()["execution"]
                ),
                seconds=30,
            )
            assert len(ended["attempts"]) == 1, "what ended while the database was away is not run again"
            eventually(lambda: client.post(f"/api/admin/scheduler-jobs/{job}/disable").status_code == 200)
        with MongoClient(uri, tz_aware=True, tzinfo=UTC) as connection:
            executions = connection["jobwright"]["job_executions"]
            eventually(lambda: executions.count_documents({"status": {"$in": ["queued", "running", "retrying"]}}) == 0)
            rows = list(executions.find({"job_id": job}))
        due = seconds_of(rows)
        assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))]
        started = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
        assert set(started.values()) == {1}
    finally:
        service.stop()
        mongod.stop()
