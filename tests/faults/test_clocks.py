"""A scheduler whose clock is set while it runs (libfaketime): two hours ahead and two hours back.

The year 2200 is in test_scale_and_time.py: under libfaketime a sleep fails there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import LIVE, overlapping
from tests.support import Service, eventually

HOURS = 3600


def library() -> str:
    found = next(Path("/usr/lib").rglob("libfaketimeMT.so.1"), None)
    assert found is not None, "install libfaketime"
    return str(found)


@pytest.mark.parametrize("step", [2 * HOURS, -2 * HOURS])
def test_a_clock_that_is_set_under_a_scheduler_doubles_and_loses_nothing(
    start: Callable[..., Service], registry: Any, tmp_path: Path, step: float
) -> None:
    """An every-second job and a long run; the clock steps away and back. Its monotonic clock goes on, as a machine's does."""
    setting, trace, long_trace = tmp_path / "clock", tmp_path / "trace", tmp_path / "long"
    setting.write_text("+0")
    trace.touch()
    fake = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(setting),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    web = start("web").wait_ready()
    scheduler = start("scheduler", **fake).wait_ready()
    executions = registry["job_executions"]

    def clock(seconds: float) -> None:
        renamed = tmp_path / "next"
        renamed.write_text(f"{seconds:+.0f}")
        renamed.rename(setting)

    with web.client(web.token()) as client:
        body = {
            "name": "tick",
            "template_type": "noop",
            "parameters": {"file": str(trace)},
            "overlap": "queue",
            "misfire": {"policy": "skip", "grace_seconds": 30},
            "schedule": {"type": "cron", "expression": "* * * * * *"},
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        stay = {"name": "long", "template_type": "noop", "parameters": {"seconds": 25, "file": str(long_trace)}}
        long = client.post("/api/admin/scheduler-jobs", json=stay).json()["job"]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{long}/run").json()["execution_id"]
        eventually(lambda: trace.read_text().count("end") >= 2 and long_trace.exists())
        clock(step)
        eventually(lambda: any(line.get("event") == "clock.was_set" for line in scheduler.events()))
        if step > 0:  # the due times between are told at once, and the seconds of the wrong clock run
            eventually(lambda: executions.find_one({"job_id": job, "status": "missed"}))
        else:
            time.sleep(5)  # long enough for ticks that rest to be seen below
        clock(0)
        eventually(lambda: sum(line.get("event") == "clock.was_set" for line in scheduler.events()) >= 2)
        # Runs by hand go on with the true time; after a step back and forth so does the schedule.
        after = client.post(f"/api/admin/scheduler-jobs/{long}/run")
        assert after.status_code == 409, "the long run is still the first attempt"
        ended = eventually(lambda: executions.find_one({"_id": run, "status": "success"}))
        assert len(ended["attempts"]) == 1, "a run of its own is not lost because the clock says so"
        client.post(f"/api/admin/scheduler-jobs/{job}/disable").raise_for_status()
        # What the wrong clock queued waits for its due time, which has not come: the future is not run early.
        ready = {"job_id": job, **LIVE, "scheduled_for": {"$lte": datetime.now(UTC)}}
        eventually(lambda: executions.count_documents(ready) == 0)
    rows = sorted(executions.find({"job_id": job}), key=lambda row: row["scheduled_for"])
    reached = rows[0]["scheduled_for"]
    for row in rows:
        assert row["scheduled_for"] == reached, "a due time is missing or doubled"
        count = row["due_times"]["count"] if "due_times" in row else 1
        reached += timedelta(seconds=count)
    started = Counter(line.split()[1] for line in trace.read_text().splitlines() if line.startswith("start"))
    assert set(started.values()) == {1}
    assert overlapping(long_trace.read_text().splitlines()) == []
