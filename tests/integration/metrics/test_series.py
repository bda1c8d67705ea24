"""How many series there are at most, and what the values say of a registry with a history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.execution.measured_store import Ended
from app.factory import Store, build_services, create_probes
from app.jobs.model import job_document
from app.jobs.usage_store import UsageStore
from app.jobtemplates.catalogue import Catalogue
from app.metrics.catalogue import METRICS
from app.metrics.ends import MOST_TEMPLATES, added
from app.metrics.service import CACHE_SECONDS
from app.metrics.totals_store import TotalsStore
from app.outbox.model import owed_now
from app.queue.model import Reason, Status
from app.scheduling.node_store import Heartbeat, NodeRole, NodeStore
from app.services import Services
from tests.builders.jobs import stored_job
from tests.builders.queue import new_execution

MOST_SERIES = 3000
JOBS, WORKERS = 10_000, 200


def samples(app: Flask) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples of a scrape, by name and labels."""
    text = app.test_client().get("/metrics").get_data(as_text=True)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(app: Flask, name: str, **labels: str) -> float:
    return samples(app)[name, tuple(sorted(labels.items()))]


def test_ten_thousand_jobs_and_two_hundred_workers_make_few_series(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue
) -> None:
    jobs = [job_document(replace(stored_job(f"job {number}", due_in=number), id=f"j{number}")) for number in range(JOBS)]
    store.database["dynamic_jobs"].insert_many(jobs)
    nodes = NodeStore(store.database)
    for number in range(WORKERS):
        beat = Heartbeat(host=f"pod-{number}", clock=clock.now(), tick_age_seconds=0.0, role=NodeRole.WORKER, slots=4)
        nodes.beat(f"pod-{number}-{number:x}", beat)
    ends = [
        Ended(job_id="x", template=f"t{n}", status=status, reason=reason, due_times=1, seconds=1.0, delay=1.0, attempts=2, lost=1)
        for n in range(3 * MOST_TEMPLATES)
        for status, reason in [*((status.value, None) for status in Status), *(("skipped", reason.value) for reason in Reason)]
    ]
    totals = TotalsStore(store.database)
    totals.begin(clock.now())
    totals.add(added(ends, types={}, templates=()), after=clock.now(), until=clock.now() + timedelta(seconds=1))
    services = build_services(replace(settings, metrics_jobs=("top", "200")), store, clock=clock, catalogue=catalogue)
    app = create_probes(services)
    for rule in range(400):  # as many patterns as all faces have together, each with two answers
        for status in ("2xx", "4xx"):
            services.metrics.measures.count("jobwright_http_requests_total", f"/{rule}", "GET", status)
    found = samples(app)
    assert len(found) <= MOST_SERIES
    assert sum(name == "jobwright_job_failing" for name, _ in found) == 200
    assert found["schedules_total", (("status", "enabled"), ("type", "interval"))] == JOBS


def test_a_registry_as_its_metrics_show_it(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    app, now = create_probes(services), clock.now()
    job = services.jobs.create(super_admin, {"name": "nightly", "template_type": "noop", "schedule": {"type": "manual"}})[0]
    executions = store.database["job_executions"]
    waits = new_execution(job, now=now, available_at=now - timedelta(seconds=90), queued_at=now).as_document()
    later = {**new_execution(job, now=now, status=Status.RETRYING).as_document(), "available_at": now + timedelta(hours=1)}
    blocked = {**waits, "_id": "blocked", "waits_for": "job", "available_at": now - timedelta(hours=9)}
    attempt = {"number": 1, "started_at": now - timedelta(seconds=50), "status": "running", "error": None}
    runs = {**waits, "_id": "runs", "status": "running", "timeout_seconds": 60, "attempts": [attempt], "slots": ["x"]}
    del runs["queue_rank"]
    ended = new_execution(job, now=now, status=Status.SUCCESS).as_document()
    owed: list[dict[str, Any]] = owed_now(["notify"], now - timedelta(seconds=45))
    executions.insert_many([waits, later, blocked, runs, {**ended, "owed": owed}])
    assert value(app, "jobwright_up") == 1
    assert value(app, "jobwright_queue_depth") == 1
    assert value(app, "jobwright_queue_oldest_seconds") == 90
    assert value(app, "jobwright_queue_backlog") == 3
    assert value(app, "jobwright_executions", status="running") == 1
    assert (value(app, "jobwright_running_oldest_seconds"), value(app, "jobwright_running_long")) == (50, 1)
    assert value(app, "jobwright_outbox_waiting", carrier="notify") == 1
    assert value(app, "jobwright_outbox_oldest_seconds", carrier="notify") == 45
    assert value(app, "schedules_total", type="manual", status="enabled") == 1
    assert value(app, "jobwright_jobs_created_total") == 1
    assert value(app, "jobwright_maintenance") == 0


def test_an_execution_that_no_node_takes(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> None:
    job = services.jobs.create(super_admin, {"name": "nightly", "template_type": "noop", "schedule": {"type": "manual"}})[0]
    waits = new_execution(job, now=clock.now(), available_at=clock.now() - timedelta(days=1)).as_document()
    store.database["job_executions"].insert_one({**waits, "needs": ["gpu"], "needs_key": "gpu"})
    app = create_probes(services)
    assert value(app, "jobwright_queue_unplaced") == 1
    read = [value(app, f"jobwright_queue_{what}") for what in ("depth", "oldest_seconds", "backlog")]
    assert read == [0, 0, 1], "more nodes without the label would not help"
    beat = Heartbeat(host="pod", clock=clock.now(), tick_age_seconds=0.0, labels=("gpu",), slots=4)
    NodeStore(store.database).beat("pod", beat)
    store.database["nodes"].update_one({"_id": "pod"}, {"$set": {"seen_at": clock.now() + timedelta(seconds=CACHE_SECONDS)}})
    clock.advance(CACHE_SECONDS)
    assert (value(app, "jobwright_queue_unplaced"), value(app, "jobwright_queue_depth")) == (0, 1)


def test_every_metric_of_the_database_is_read(services: Services) -> None:
    shown = set(services.metrics.of_database() or {})
    unseen = {
        "jobwright_job_failing",
        "jobwright_job_last_run_timestamp_seconds",
        "jobwright_scheduler_tick_age_seconds",
        "jobwright_monitor_ping_age_seconds",
        "jobwright_monitor_failing_seconds",
    }
    assert {metric.name for metric in METRICS if metric.source == "database"} - shown == unseen


def test_the_highest_priorities_have_metrics_of_their_own(store: Store) -> None:
    jobs = [
        stored_job("low", due_in=0, priority=1, tags=("shop",)),
        stored_job("high", due_in=0, priority=9, last_status="failed"),
        stored_job("usual", due_in=0, tags=("shop",)),
        stored_job("off", due_in=0, priority=10, enabled=False, tags=("shop",)),
    ]
    store.database["dynamic_jobs"].insert_many([job_document(job) for job in jobs])
    usage = UsageStore(store.database)
    assert usage.highest_ids(2) == ["id-high", "id-usual"]
    assert usage.highest_ids(9, tag="shop") == ["id-usual", "id-low"]
    assert [(run.job_name, run.status) for run in usage.last_runs(["id-high", "id-off"])] == [("high", "failed")]
    assert usage.count_failing() == 1
    assert usage.schedule_types(["id-low", "id-off", "id-gone"]) == {"id-low": "interval", "id-off": "interval"}
    assert usage.schedule_types([]) == {}
