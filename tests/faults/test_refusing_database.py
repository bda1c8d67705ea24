"""A database that answers and takes nothing: the service goes on, and a stop ends it within its grace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import Service, eventually

STOP_SECONDS = 40.0  # the grace, five seconds for what is to be written, and as much for a slow machine


@pytest.mark.parametrize("how", ["odd_result", "odd_error", "odd_progress"])
def test_a_stop_ends_a_service_whose_runs_reported_what_no_store_can_hold(start: Callable[..., Service], registry: Any, how: str) -> None:
    service = start("serve").wait_ready()
    with service.client(service.token()) as client:
        for name, kind, parameters in (("odd", "misbehave", {"how": how}), ("fine", "noop", {})):
            body = {"name": name, "template_type": kind, "parameters": parameters, "retry_policy": {"max_retries": 0}}
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            assert client.post(f"/api/admin/scheduler-jobs/{job}/run").status_code == 202
        eventually(lambda: registry["job_executions"].count_documents({"live": True}) == 0)
    assert {row["job_name"]: row["status"] for row in registry["job_executions"].find()} == {
        "odd": "failed" if how == "odd_error" else "success",
        "fine": "success",
    }
    assert service.stop() == 0


def test_a_stop_ends_a_service_whose_database_refuses_every_end(start: Callable[..., Service], registry: Any) -> None:
    service = start("serve", JOBWRIGHT_DRAIN_SECONDS="2").wait_ready()
    with service.client(service.token()) as client:
        body = {"name": "j", "template_type": "noop", "parameters": {"seconds": 1}}
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
        eventually(lambda: registry["job_executions"].count_documents({"_id": run, "status": "running"}) == 1)
        registry.command("collMod", "job_executions", validator={"status": {"$in": ["queued", "running"]}})
        eventually(lambda: service.event("recorder.refused"))
        assert client.get("/api/admin/job-executions").status_code == 200
    asked = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - asked < STOP_SECONDS
