"""What is forgotten, and what never is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.execution.history_store import HistoryStore
from app.execution.log_store import LogStore
from app.execution.retention import Retention
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.queue.model import LIVE, Status
from app.services import Services


@pytest.fixture
def keep(store: Store, settings: Settings, clock: ManualClock) -> Any:
    def made(**limits: int) -> Retention:
        wanted = {"keep_success_days": 90, "keep_failure_days": 365, "keep_skipped_days": 30, "keep_per_job": 0, **limits}
        return Retention(
            history=HistoryStore(store.database),
            logs=LogStore(store.database),
            jobs=DispatchStore(store.database),
            clock=clock,
            settings=replace(settings, **wanted),
        )

    return made


def put(store: Store, clock: ManualClock, name: str, *, status: str, days: float, job: str = "j", **fields: Any) -> None:
    at = clock.now() - timedelta(days=days)
    ended = {"live": True} if status in LIVE else {"completed_at": at}
    store.database["job_executions"].insert_one({"_id": name, "job_id": job, "status": status, "queued_at": at, **ended, **fields})
    store.database["execution_logs"].insert_one({"_id": f"{name}/1", "attempt": 1, "lines": []})


def left(store: Store) -> set[str]:
    ids = {row["_id"] for row in store.database["job_executions"].find()}
    logs = {row["_id"].rpartition("/")[0] for row in store.database["execution_logs"].find()}
    assert logs == ids, "an execution goes with its log"
    return ids


def test_each_status_has_its_age_and_what_has_not_ended_stays(store: Store, clock: ManualClock, keep: Any) -> None:
    for status in Status:
        for days in (29, 31, 89, 91, 364, 366):
            put(store, clock, f"{status}-{days}", status=status.value, days=days)
    gone = {f"skipped-{n}" for n in (31, 89, 91, 364, 366)} | {f"success-{n}" for n in (91, 364, 366)}
    gone |= {f"{status}-366" for status in ("failed", "timeout", "cancelled", "missed")}
    assert keep().tick() == len(gone) == 12
    assert left(store) == {f"{status}-{days}" for status in Status for days in (29, 31, 89, 91, 364, 366)} - gone
    assert keep().tick() == 0
    assert keep(keep_success_days=0, keep_failure_days=0, keep_skipped_days=0).tick() == 0


def test_the_newest_of_each_job_stay(store: Store, clock: ManualClock, keep: Any) -> None:
    for n in range(30):
        put(store, clock, f"a{n}", status="success", days=n / 10, job="a")
        if n < 10:
            put(store, clock, f"b{n}", status="failed", days=n / 10, job="b")
    assert keep(keep_per_job=10).tick() == 20
    assert left(store) == {f"{job}{n}" for job in "ab" for n in range(10)}


def test_what_is_still_needed_stays(store: Store, clock: ManualClock, keep: Any) -> None:
    put(
        store,
        clock,
        "untold",
        status="failed",
        days=900,
        owed=[{"what": "notify", "at": clock.now(), "tries": 0, "error": None, "given_up_at": None}],
    )
    put(store, clock, "told", status="failed", days=900, notify={"state": "sent"})
    put(store, clock, "planned", status="success", days=900, job="full")
    put(store, clock, "planned too", status="success", days=901, job="full")
    store.database["dynamic_jobs"].insert_one(
        {"_id": "full", "name": "full", "dispatch": {"claim": "c", "at": clock.now(), "executions": []}}
    )
    assert keep(keep_per_job=1).tick() == 1
    assert left(store) == {"untold", "planned", "planned too"}
    store.database["dynamic_jobs"].update_one({"_id": "full"}, {"$unset": {"dispatch": ""}})
    assert keep(keep_per_job=1).tick() == 2
    assert left(store) == {"untold"}


def test_a_tick_is_bounded_and_the_next_one_goes_on(store: Store, clock: ManualClock, keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.execution.retention.BATCH", 10)
    monkeypatch.setattr("app.execution.retention.BATCHES_A_TICK", 3)
    for n in range(70):
        put(store, clock, f"e{n}", status="success", days=100 + n)
    assert [keep().tick() for _ in range(4)] == [30, 30, 10, 0]


def test_the_audit_log_is_never_touched(store: Store, services: Services, super_admin: Actor, clock: ManualClock, keep: Any) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "j", "template_type": "noop", "schedule": {"type": "manual"}})
    services.runs.cancel(super_admin, services.runs.run_now(super_admin, job.id).id)
    before = list(store.database["audit_log"].find())
    assert before
    clock.advance(timedelta(days=4000).total_seconds())
    assert keep(keep_per_job=1).tick() == 1
    assert list(store.database["audit_log"].find()) == before
    assert services.jobs.get(super_admin, job.id).definition.name == "j"
