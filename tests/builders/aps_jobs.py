"""Real-shaped jobs of APScheduler 3, written by its own job stores."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.job import Job
from apscheduler.jobstores.base import BaseJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.imports.stores.aps_state import Spec, read_state
from tests.builders import hostile

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
# Functions that exist, as a store takes no others.
FUNCTIONS = ("shutil:copy", "os:remove", "json:dumps", "time:sleep", "logging:info", "email.utils:formataddr", "zlib:compress")


def write_states(path: Path, states: Mapping[str, bytes]) -> None:
    """Writes pickled states into an SQLite file, as rows of a job store that are due in the year 2030."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE apscheduler_jobs (id VARCHAR(191) PRIMARY KEY, next_run_time FLOAT, job_state BLOB NOT NULL)")
        database.executemany("INSERT INTO apscheduler_jobs VALUES (?, 1900000000.0, ?)", states.items())


def spec_of(trigger: BaseTrigger) -> Spec:
    """A trigger as the import describes it, read from its pickle."""
    return read_state(pickle.dumps(hostile.state(trigger=trigger))).trigger


def triggers(random: Random) -> Iterator[BaseTrigger]:
    """Triggers as people write them: most of them cron in UTC, and intervals."""
    while True:
        hour, minute = random.choice([3, 4, 5, 6, 7, 8, 12, 18, 22, 23]), random.choice([0, 5, 15, 30, 45])
        zone = random.choice([ZoneInfo("UTC"), ZoneInfo("UTC"), BERLIN])
        yield random.choice(
            [
                CronTrigger(hour=hour, minute=minute, timezone=zone),
                CronTrigger(minute=random.choice(["*/5", "*/10", "0", "*/15", "7"]), timezone=zone),
                CronTrigger(day_of_week=random.choice(["mon-fri", "sun", "0", "sat,sun"]), hour=hour, minute=minute, timezone=zone),
                CronTrigger(day=random.choice([1, 15, "last", "1st mon", "last fri"]), hour=hour, timezone=zone),
                CronTrigger.from_crontab(f"{minute} {hour} * * 1-5", timezone=zone),
                IntervalTrigger(seconds=random.choice([30, 60, 300, 900]), timezone=zone, start_date=NOW + timedelta(seconds=90.25)),
                IntervalTrigger(hours=random.choice([1, 6, 24]), timezone=zone, start_date=NOW, jitter=random.choice([None, 30])),
                DateTrigger(NOW + timedelta(days=random.randint(1, 300), seconds=random.randint(0, 86_400))),
                CalendarIntervalTrigger(months=1, start_date="2026-01-15", hour=hour, timezone=zone),
            ]
        )


def arguments(random: Random, number: int) -> dict[str, Any]:
    """Arguments as people give them; all functions above are called with any number of them here."""
    return random.choice(
        [
            {"args": (number,), "kwargs": {}},
            {"args": (f"report-{number}", [1, 2, {"a": None}]), "kwargs": {}},
            {"args": (), "kwargs": {"tenant": f"t{number}", "limit": 10 * number, "flags": {"dry_run": False}}},
            {"args": (datetime(2026, 1, 1, tzinfo=UTC),), "kwargs": {}},
            {"args": (f"postgresql://app:pw{number}secret@db/shop",), "kwargs": {"api_key": f"k-{number}-abcdefghij"}},
        ]
    )


def fill(store: BaseJobStore, count: int, *, seed: int = 1) -> list[str]:
    """Adds jobs to a store, as a scheduler does, and returns their ids. Five of 200 are paused; some triggers are combined."""
    scheduler, random, ids = BackgroundScheduler(timezone="UTC"), Random(seed), []
    store.start(scheduler, "default")
    for number, trigger in zip(range(count), triggers(random), strict=False):
        if number % 50 == 49:
            trigger = OrTrigger([CronTrigger(hour=5, timezone="UTC"), CronTrigger(hour=6, day_of_week="sun", timezone="UTC")])
        job = new_job(scheduler, trigger, f"job-{number}", random)
        if number % 40 == 39:
            job._modify(next_run_time=None)
        store.add_job(job)
        ids.append(job.id)
    return ids


def new_job(scheduler: BackgroundScheduler, trigger: BaseTrigger, job_id: str, random: Random) -> Job:
    """A job as a scheduler makes it. Its function is given by name, so its arguments are not checked."""
    number = random.randint(0, 9999)
    values = {
        "trigger": trigger,
        "executor": random.choice(["default", "processpool"]),
        "func": random.choice(FUNCTIONS),
        "name": random.choice([f"Nightly job {number}", "copy"]),
        "misfire_grace_time": random.choice([1, 60, 3600, None]),
        "coalesce": random.choice([True, False]),
        "max_instances": random.choice([1, 1, 3]),
        "next_run_time": trigger.get_next_fire_time(None, NOW),
        **arguments(random, number),
    }
    job = Job.__new__(Job)
    job._scheduler, job._jobstore_alias, job.id = scheduler, None, job_id
    job.func_ref, job.func = values.pop("func"), None
    for name, value in values.items():
        setattr(job, name, value)
    return job
