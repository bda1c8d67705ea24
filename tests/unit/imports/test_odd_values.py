"""Values that nobody expects, at every place of a store: each makes at most its own entry invalid or open, and never stops a plan."""

from __future__ import annotations

import json
import math
import pickle
import sqlite3
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.imports.plan import make_plan
from app.imports.sources import SOURCES, SourceError, SourceOptions
from app.imports.stores.beat_redis import _entry, _Place
from app.imports.views import as_html, as_text
from tests.builders import aps_jobs, beat, hostile
from tests.builders.aps_jobs import NOW

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    0.5,
    math.inf,
    math.nan,
    1e300,
    10**40,
    10**5000,
    "",
    "\ud800",
    "x" * 5000,
    b"\xff",
    [],
    [[]],
    {},
    {1: 2},
    (),
    {"a"},
    date(1, 1, 1),
    datetime(9999, 12, 31, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    timedelta(days=999_999_999),
    timezone(timedelta(minutes=7)),
    ZoneInfo("Europe/Berlin"),
    ValueError,
)
TRIGGERS = (
    CronTrigger(hour=2, timezone="UTC"),
    CronTrigger(day="2nd fri", start_date="2026-01-01", end_date="2030-01-01", jitter=5, timezone="UTC"),
    IntervalTrigger(minutes=5, timezone="UTC"),
    DateTrigger("2030-01-01", timezone="UTC"),
    CalendarIntervalTrigger(months=1, timezone="UTC"),
    AndTrigger([CronTrigger(hour=2, timezone="UTC"), CronTrigger(minute=0, timezone="UTC")]),
    OrTrigger([CronTrigger(hour=2, timezone="UTC"), IntervalTrigger(minutes=5, timezone="UTC")]),
)


class Changed:
    """Pickles to a trigger whose state is another one."""

    def __init__(self, trigger: Any, state: Any) -> None:
        self.trigger, self.state = trigger, state

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (type(self.trigger),), self.state


def planned(path: Path, source: str) -> dict[str, Any]:
    plan = make_plan(SOURCES[source], str(path), SourceOptions(machine="web1", timezone="Europe/Berlin"), NOW)
    text = as_text(plan) + as_html(plan)
    json.dumps(plan, ensure_ascii=False).encode()
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    return {entry["where"].split(" ", 1)[-1]: entry for entry in plan["entries"]}


def test_odd_values_in_states_of_apscheduler(tmp_path: Path) -> None:
    states = {"good": pickle.dumps(hostile.state())}
    for place, odd in enumerate(ODD):
        for name in hostile.state():
            states[f"{name} {place}"] = pickle.dumps(hostile.state(**{name: odd}))
        for kind, trigger in enumerate(TRIGGERS):
            known = trigger.__getstate__()
            states[f"trigger {kind} {place}"] = pickle.dumps(hostile.state(trigger=Changed(trigger, odd)))
            for name in known:
                changed = Changed(trigger, {**known, name: odd})
                states[f"trigger {kind} {name} {place}"] = pickle.dumps(hostile.state(trigger=changed))
    aps_jobs.write_states(tmp_path / "jobs.sqlite", states)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        database.executemany(
            "UPDATE apscheduler_jobs SET next_run_time = ? WHERE id = ?", [(9e999, "name 0"), (-5.0, "name 1"), (1e15, "name 2")]
        )
    entries = planned(tmp_path / "jobs.sqlite", "apscheduler")
    assert entries.keys() == states.keys()
    assert entries["good"]["kind"] == "job"


ODD_CELLS = (None, -1, 0, 10**15, 1e300, "", "x", "[]", "{}", "null", "[" * 10_000, '{"a": ' * 5_000, "9999-99-99", "\x1b[31m", "*/0")


def test_odd_values_in_tables_of_django(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    tasks = [beat.task(0, id=1, name="good")]
    for place, odd in enumerate(ODD_CELLS):
        names = ("args", "kwargs", "headers", "queue", "priority", "expire_seconds", "crontab_id", "description", "task", "one_off")
        tasks += [
            beat.task(0, id=len(tasks) + number + 2, **{name: odd, "name": f"{name} {place}"})
            for number, name in enumerate(names)
            if odd is not None
        ]
    beat.django(path, tasks)
    entries = planned(path, "celery-beat")
    assert len(entries) == len(tasks)


@pytest.mark.parametrize("odd", [odd for odd in ODD_CELLS if odd is not None])
@pytest.mark.parametrize("column", ["minute", "day_of_week", "timezone"])
def test_odd_crontabs_of_django(tmp_path: Path, column: str, odd: Any) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(0)])
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE django_celery_beat_crontabschedule SET {column} = ?", (odd,))  # noqa: S608
    assert len(planned(path, "celery-beat")) == 1


def test_a_time_that_a_database_cannot_read_is_an_error_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(0, expires="tomorrow")])
    with pytest.raises(SourceError, match="cannot be read"):
        planned(path, "celery-beat")


@pytest.mark.parametrize(
    "name", ["every", "relative", "minute", "__type__", "task", "args", "kwargs", "options", "schedule", "enabled", "name", "meta"]
)
def test_odd_definitions_of_redbeat(name: str) -> None:
    source, options = SOURCES["celery-beat"], SourceOptions(machine="web1")
    place = _Place("redis://h/0", "redbeat:", "UTC", {"redbeat:a": math.inf}, set())
    from app.imports.entries import Draft, EntryKind
    from app.imports.sources.celery_beat import _entry as entry_of

    for odd in (None, True, -1, 1e300, 10**40, "x", [], {}, [[]], {"__type__": "datetime", "year": 10**9}, math.inf, math.nan):
        for number in (0, 1):
            definition, meta = beat.definition_of(number), {"last_run_at": beat.moment(NOW)}
            if name == "meta":
                meta = odd if odd is not None else {"last_run_at": odd}
            elif name in {"every", "relative", "minute", "__type__"}:
                definition["schedule"][name] = odd
            else:
                definition[name] = odd
            made = entry_of(_entry("redbeat:a", [json.dumps(definition).encode(), json.dumps(meta).encode()], place), NOW)
            if made.kind is EntryKind.JOB:
                source.schedule(made, options, Draft(body={}))
