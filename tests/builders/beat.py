"""Real-shaped periodic tasks of Celery Beat: as tables of django-celery-beat, as keys of RedBeat, and as a Python file."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TABLES = """
CREATE TABLE django_celery_beat_intervalschedule (id integer PRIMARY KEY, every integer NOT NULL, period varchar(24) NOT NULL);
CREATE TABLE django_celery_beat_crontabschedule (id integer PRIMARY KEY, minute varchar(240) NOT NULL, hour varchar(96) NOT NULL,
  day_of_week varchar(64) NOT NULL, day_of_month varchar(124) NOT NULL, month_of_year varchar(64) NOT NULL, timezone varchar(63) NOT NULL);
CREATE TABLE django_celery_beat_solarschedule (id integer PRIMARY KEY, event varchar(24) NOT NULL, latitude decimal NOT NULL,
  longitude decimal NOT NULL);
CREATE TABLE django_celery_beat_clockedschedule (id integer PRIMARY KEY, clocked_time datetime NOT NULL);
CREATE TABLE django_celery_beat_periodictask (id integer PRIMARY KEY, name varchar(200) NOT NULL UNIQUE, task varchar(200) NOT NULL,
  args text NOT NULL, kwargs text NOT NULL, queue varchar(200), exchange varchar(200), routing_key varchar(200), expires datetime,
  enabled bool NOT NULL, last_run_at datetime, total_run_count integer NOT NULL, date_changed datetime NOT NULL, description text NOT NULL,
  crontab_id integer, interval_id integer, solar_id integer, one_off bool NOT NULL, start_time datetime, priority integer, headers text,
  clocked_id integer, expire_seconds integer);
"""
# minute, hour, day of month, month, day of week, time zone
CRONTABS = (
    ("0", "4", "*", "*", "*", "UTC"),
    ("*/15", "*", "*", "*", "*", "UTC"),
    ("30", "7", "*", "*", "mon-fri", "Europe/Berlin"),
    ("0", "0", "1", "*", "*", "UTC"),
    ("5,35", "8-18/2", "*", "*", "1-5", "America/New_York"),
    ("0", "9", "1-7", "*", "mon", "Europe/Berlin"),
    ("0", "6", "*", "*/3", "fri-mon", "UTC"),
    ("0", "22", "*", "1,7", "0", "Europe/Berlin"),
    ("*/10", "*", "*", "*", "*", "Asia/Kolkata"),
    ("0", "5", "*/2", "*", "*", "UTC"),
)
INTERVALS = ((10, "seconds"), (5, "minutes"), (1, "hours"), (1, "days"), (90, "minutes"))
TASKS = ("shop.tasks.sync_orders", "shop.tasks.send_digest", "celery.backend_cleanup", "billing.tasks.invoice", "search.rebuild")


def task(number: int, **values: Any) -> dict[str, Any]:
    """A row of a periodic task; nine of ten have a crontab or an interval."""
    last = NOW - timedelta(minutes=number % 7 + 1, milliseconds=number)
    row: dict[str, Any] = {
        "id": number + 1,
        "name": f"Task {number}",
        "task": TASKS[number % len(TASKS)],
        "args": json.dumps([number] if number % 3 else []),
        "kwargs": json.dumps({"tenant": f"t{number}", "limit": 10} if number % 2 else {}),
        "queue": "slow" if number % 9 == 0 else None,
        "expires": (NOW + timedelta(days=900)).isoformat(" ") if number % 40 == 1 else None,
        "enabled": number % 25 != 24,
        "last_run_at": last.replace(tzinfo=None).isoformat(" ") if number % 25 != 24 else None,
        "total_run_count": number,
        "date_changed": last.isoformat(" "),
        "description": "Runs for the shop" if number % 11 == 0 else "",
        "one_off": False,
        "priority": 5 if number % 13 == 0 else None,
        "headers": json.dumps({"trace": "on"}) if number % 17 == 0 else "{}",
        "expire_seconds": 300 if number % 8 == 2 else None,
    }
    match number % 10:
        case 9:
            row |= {"clocked_id": number % 3 + 1, "one_off": True, "total_run_count": 0}
        case kind if kind % 3 == 1:
            row["interval_id"] = number // 3 % len(INTERVALS) + 1
        case _:
            row["crontab_id"] = number // 2 % len(CRONTABS) + 1
    return row | values


def django(path: Path, tasks: list[dict[str, Any]]) -> None:
    """Writes the tables of django-celery-beat into an SQLite file."""
    with sqlite3.connect(path) as database:
        database.executescript(TABLES)
        for number, crontab in enumerate(CRONTABS, start=1):
            minute, hour, day, month, weekday, zone = crontab
            values = (number, minute, hour, weekday, day, month, zone)
            database.execute("INSERT INTO django_celery_beat_crontabschedule VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        for number, interval in enumerate(INTERVALS, start=1):
            database.execute("INSERT INTO django_celery_beat_intervalschedule VALUES (?, ?, ?)", (number, *interval))
        database.execute("INSERT INTO django_celery_beat_solarschedule VALUES (1, 'sunrise', 52.5, 13.4)")
        for number in (1, 2, 3):
            clocked = (NOW + timedelta(days=number * 20)).replace(tzinfo=None).isoformat(" ")
            database.execute("INSERT INTO django_celery_beat_clockedschedule VALUES (?, ?)", (number, clocked))
        for row in tasks:
            columns, marks = ", ".join(row), ", ".join("?" for _ in row)
            database.execute(f"INSERT INTO django_celery_beat_periodictask ({columns}) VALUES ({marks})", list(row.values()))  # noqa: S608


def redbeat(client: Any, count: int, *, prefix: str = "redbeat:") -> None:
    """Writes entries as RedBeat does: a hash for each, its due time in a sorted set, and the names of static ones in a set."""
    for number in range(count):
        definition, meta = (
            definition_of(number),
            {"last_run_at": moment(NOW - timedelta(minutes=number % 5 + 1)), "total_run_count": number},
        )
        key = f"{prefix}{definition['name']}"
        client.hset(key, mapping={"definition": json.dumps(definition), "meta": json.dumps(meta)})
        if number % 50 != 48:
            client.zadd(f"{prefix}:schedule", {key: int(NOW.timestamp()) + number})
        if number % 7 == 0:
            client.sadd(f"{prefix}:statics", definition["name"])
    client.set(f"{prefix}:lock", "1")


def definition_of(number: int) -> dict[str, Any]:
    """The definition of an entry, as RedBeat encodes it."""
    minute, hour, day, month, weekday, _ = CRONTABS[number // 2 % len(CRONTABS)]
    crontab = {"__type__": "crontab", "minute": minute, "hour": hour, "day_of_week": weekday, "day_of_month": day, "month_of_year": month}
    interval = {"__type__": "interval", "every": float(INTERVALS[number % len(INTERVALS)][0] * 60), "relative": number % 10 == 4}
    return {
        "name": f"Entry {number}",
        "task": TASKS[number % len(TASKS)],
        "args": [number, {"when": moment(NOW)}],
        "kwargs": {"tenant": f"t{number}"},
        "options": {"queue": "slow"} if number % 5 == 0 else {},
        "schedule": interval if number % 4 == 0 else crontab,
        "enabled": number % 25 != 24,
    }


def moment(at: datetime) -> dict[str, Any]:
    """A time, as RedBeat encodes it."""
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__type__": "datetime", **{name: getattr(at, name) for name in names}, "timezone": "UTC"}


MODULE = '''\
"""Settings of Celery."""
import os
from datetime import timedelta

from celery import schedules
from celery.schedules import crontab as every

os.system("touch {canary}")
MINUTE = 60
NIGHT = {{"minute": 0, "hour": 3}}
PREFIX = "shop." + "tasks"
timezone = "Europe/Berlin"


class Settings:
    beat_schedule = {{
        "every minute": {{"task": f"{{PREFIX}}.ping", "schedule": MINUTE}},
        "nightly": {{
            "task": "shop.tasks.nightly",
            "schedule": every(minute=0, hour="4"),
            "args": (1, "two", [3.5, None]),
            "kwargs": {{"dry_run": False, "limit": 10 * 60}},
            "options": {{"queue": "slow", "expires": 60 * 5}},
        }},
        "weekly": {{
            "task": "shop.tasks.weekly",
            "schedule": schedules.crontab(0, 8, "mon"),
        }},
        "every ten": {{"task": "shop.tasks.ten", "schedule": timedelta(minutes=10)}},
        "from a text": {{"task": "shop.tasks.text", "schedule": every.from_string("15 7 * * 1-5")}},
        "at sunrise": {{"task": "shop.tasks.sun", "schedule": schedules.solar("sunrise", -37.8, 144.9)}},
        "with code": {{"task": "shop.tasks.code", "schedule": 30.0, "args": (os.environ["TOKEN"],)}},
        "with a secret": {{
            "task": "shop.tasks.secret",
            "schedule": schedules.schedule(run_every=timedelta(hours=1)),
            "kwargs": {{"api_key": "k3y-abcdefghijklmnop"}},
        }},
        "without a schedule": {{"task": "shop.tasks.nothing"}},
    }}
'''
