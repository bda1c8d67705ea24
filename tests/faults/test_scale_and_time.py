"""A hundred thousand jobs, a year of silence, and clocks that jump."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause, job_document
from app.jobtemplates.catalogue import Catalogue
from app.queue.model import Outcome, Status
from app.services import Services
from app.triggers.crontab import iter_times
from tests.builders.queue import Queue
from tests.builders.scheduling import dispatcher, records
from tests.conftest import START

JOBS = 100_000
DUE_A_MINUTE = 1_000


@pytest.fixture
def crowd(store: Store, services: Services, super_admin: Actor) -> Store:
    """JOBS jobs: a thousand due each minute of the next hundred minutes."""
    body = {"name": "one", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 6000}}
    row = job_document(services.jobs.create(super_admin, body)[0])
    jobs = store.database["dynamic_jobs"]
    for first in range(0, JOBS, 10_000):
        jobs.insert_many(
            [
                {**row, "_id": f"j{n:06}", "name": f"job {n:06}", "next_run_at": START + timedelta(minutes=1 + n // DUE_A_MINUTE)}
                for n in range(first, first + 10_000)
            ],
            ordered=False,
        )
    return store


def test_a_tick_over_a_hundred_thousand_jobs_scans_no_collection(crowd: Store, services: Services, clock: ManualClock) -> None:
    """Five minutes of a thousand due jobs each, claimed and ended: what the server looked at is what was due, found by an index."""
    database, engine = crowd.database, dispatcher(crowd, services, clock)
    executions = Queue(database)
    database.create_collection("system.profile", capped=True, size=64 << 20)
    database.command("profile", 2)
    try:
        for minute in range(5):
            clock.advance(60)
            assert engine.tick() == DUE_A_MINUTE, minute
            assert engine.tick() == 0
            engine.recover()
            while won := executions.claim_due(owner="w", now=clock.now(), lease=timedelta(minutes=9), limit=500):
                executions.finish([(attempt, Outcome(status=Status.SUCCESS), None) for attempt in won], now=clock.now())
            executions.claims.find_lost(clock.now(), 10)
            services.maintenance.settle()  # each node, each second
            DispatchStore(database).look_again(Cause.CALENDAR, "holidays", clock.now())
        database.command("profile", 0)
        looked = list(database["system.profile"].find({"ns": {"$regex": r"\.(dynamic_jobs|job_executions)$"}}))
        scans = [(row["ns"], row["op"], row.get("command")) for row in looked if "COLLSCAN" in row.get("planSummary", "")]
        assert scans == []
        widest = max(looked, key=lambda row: row.get("docsExamined", 0))
        assert widest["docsExamined"] <= 2 * DUE_A_MINUTE, widest
    finally:
        database.command("profile", 0)
        database.drop_collection("system.profile")
    ended = Counter(row["job_id"] for row in database["job_executions"].find({}, {"job_id": 1}))
    assert (len(ended), set(ended.values())) == (5 * DUE_A_MINUTE, {1})


def test_a_years_outage_of_a_minutely_job_is_one_record_and_one_run(
    store: Store, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    body = {
        "name": "j",
        "template_type": "noop",
        "schedule": {"type": "cron", "expression": "* * * * *"},
        "misfire": {"policy": "once", "grace_seconds": 1},
    }
    job = services.jobs.create(super_admin, body)[0]
    clock.advance(365 * 86_400)
    assert dispatcher(store, services, clock).tick() == 2
    missed, run = sorted(records(store, job), key=lambda row: row["status"])
    assert missed["due_times"]["count"] == 365 * 1440 - 1
    assert (run["status"], run["scheduled_for"]) == ("queued", clock.now())


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo"])
@pytest.mark.parametrize("expression", ["*/30 * * * *", "15 2 * * *", "30 0,1,2 * * *"])
def test_the_nights_on_which_clocks_change_run_what_the_calculator_says(
    store: Store, settings: Settings, catalogue: Catalogue, super_admin: Actor, zone: str, expression: str
) -> None:
    """Both of a year, in steps of half an hour, by a dispatcher that knows nothing of them; from noon to noon after next."""
    nights = [
        day
        for day in (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(365))
        if day.astimezone(ZoneInfo(zone)).utcoffset() != (day + timedelta(days=1)).astimezone(ZoneInfo(zone)).utcoffset()
    ]
    assert len(nights) == 2
    for number, night in enumerate(nights):
        begin, end = night - timedelta(hours=12), night + timedelta(hours=36)
        clock = ManualClock(begin)
        services = build_services(settings, store, clock=clock, catalogue=catalogue)
        schedule = {"type": "cron", "expression": expression, "timezone": zone}
        body = {"name": f"j{number}", "template_type": "noop", "overlap": "queue", "misfire": {"grace_seconds": 3600}, "schedule": schedule}
        job = services.jobs.create(super_admin, body)[0]
        engine = dispatcher(store, services, clock)
        while clock.now() < end:
            clock.advance(1800)
            engine.tick()
        expected = list(takewhile(end.__ge__, iter_times(expression, zone, begin)))
        assert [row["scheduled_for"] for row in records(store, job)] == expected
        services.jobs.set_enabled(super_admin, job.id, enabled=False)


class Jumping(ManualClock):
    """A wall clock that can be set; the monotonic one goes on."""

    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [-7200, 7200, 174 * 365 * 86_400])
def test_a_clock_that_jumps_and_comes_back_doubles_nothing_and_loses_nothing(
    store: Store, settings: Settings, catalogue: Catalogue, super_admin: Actor, seconds: int
) -> None:
    """Two hours back, two hours ahead, and past the year 2199: each due time is in the record once."""
    clock = Jumping(START)
    services = build_services(settings, store, clock=clock, catalogue=catalogue)
    body = {
        "name": "tick",
        "template_type": "noop",
        "overlap": "queue",
        "misfire": {"policy": "skip", "grace_seconds": 5},
        "schedule": {"type": "cron", "expression": "* * * * * *"},
    }
    job = services.jobs.create(super_admin, body)[0]
    engine = dispatcher(store, services, clock)

    def run(count: int) -> None:
        for _ in range(count):
            clock.advance(1)
            engine.tick()
            engine.recover()

    run(10)
    clock.jump(seconds)
    run(10)
    ahead = clock.now()
    clock.jump(-seconds)
    run(10)
    reached = max(clock.now(), ahead)
    rows = records(store, job)
    told = sum(row["due_times"]["count"] if "due_times" in row else 1 for row in rows)
    assert told == (reached - START).total_seconds()
    spans = sorted(
        (row["due_times"]["first"], row["due_times"]["last"]) if "due_times" in row else (row["scheduled_for"],) * 2 for row in rows
    )
    assert all(one[1] < other[0] for one, other in pairwise(spans)), "a due time is in two records"
