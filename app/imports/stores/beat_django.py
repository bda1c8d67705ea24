"""Reads the tables of django-celery-beat (django_celery_beat.models)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from app.imports.sources.base import SourceError, SourceOptions
from app.imports.stores.beat import BeatEntry, BeatReading, Spec, crontab_spec, moment_of
from app.imports.stores.sql import has_table, open_sql, rows_of, sql_address, sql_name

PREFIX = "django_celery_beat_"
TASKS = f"{PREFIX}periodictask"
_SECONDS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1, "microseconds": 0.000_001}
_KINDS = ("interval", "crontab", "solar", "clocked")
_SENT = ("queue", "exchange", "routing_key")

Row = Mapping[str, Any]


def read_django(place: str, options: SourceOptions) -> BeatReading:
    """Returns the periodic tasks. Raises SourceError."""
    address = sql_address(place, options)
    with open_sql(address) as connection:
        tables = {kind: f"{PREFIX}{kind}schedule" for kind in _KINDS}
        if not has_table(connection, TASKS):
            raise SourceError(f"The database has no table {TASKS}. Give the address of the database of the Django project.")
        schedules: dict[str, dict[Any, Row]] = {
            kind: {row["id"]: row for row in rows_of(connection, table)} if has_table(connection, table) else {}
            for kind, table in tables.items()
        }
        tasks = sorted(rows_of(connection, TASKS), key=lambda row: str(row.get("name")))
    entries = tuple(_entry(task, schedules) for task in tasks)
    return BeatReading(name=f"{sql_name(address, options)}/{TASKS}", entries=entries)


def _entry(task: Row, schedules: Mapping[str, Mapping[Any, Row]]) -> BeatEntry:
    wrong = ""
    spec = _schedule(task, schedules)
    if spec is None:
        spec, wrong = {"type": "none", "text": "none"}, "has no schedule, so Beat does not send it"
    arguments, keywords, headers = (_json(task.get(name), default) for name, default in (("args", []), ("kwargs", {}), ("headers", {})))
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        wrong = "has arguments that are not a JSON array and a JSON object, so Beat disables it"
        arguments, keywords = [], {}
    once, sent = bool(task.get("one_off")), bool(task.get("total_run_count"))
    name = str(task.get("name"))
    change = (
        "from django_celery_beat.models import PeriodicTask; task = PeriodicTask.objects.get(name={0!r}); task.enabled = {1}; task.save()"
    )
    commands = [f"python manage.py shell -c {shlex.quote(change.format(name, state))}" for state in (False, True)]
    disabled = "is not enabled" if not task.get("enabled", True) else "has been sent, and is only sent once" if once and sent else ""
    return BeatEntry(
        name=name,
        task=str(task.get("task")),
        schedule=spec,
        where=f"{TASKS} {task.get('id')}",
        disable=commands[0],
        enable=commands[1] if not disabled else commands[0],
        arguments=tuple(arguments),
        keywords=keywords,
        options=_options(task),
        others=_others(task, headers),
        start=moment_of(task.get("start_time")),
        end=moment_of(task.get("expires")),
        last_run=moment_of(task.get("last_run_at")),
        once=once,
        description=str(task.get("description") or ""),
        disabled=disabled,
        wrong=wrong,
    )


def _schedule(task: Row, schedules: Mapping[str, Mapping[Any, Row]]) -> Spec | None:
    """Returns the description of the schedule; None if the task has none, or if its row is gone."""
    for kind in _KINDS:
        row = schedules[kind].get(task.get(f"{kind}_id"))
        if row is None:
            continue
        if kind == "crontab":
            return crontab_spec(row, str(row.get("timezone") or "UTC"))
        if kind == "interval":
            return {"type": "interval", "seconds": row["every"] * _SECONDS.get(str(row["period"]), 0)}
        if kind == "solar":
            return {"type": "solar", **{name: str(row[name]) for name in ("event", "latitude", "longitude")}}
        moment = moment_of(row["clocked_time"])
        return {"type": "clocked", "at": moment.isoformat()} if moment else None
    return None


def _options(task: Row) -> dict[str, Any]:
    options = {name: task[name] for name in _SENT if task.get(name)}
    if task.get("expire_seconds"):
        options["expires"] = task["expire_seconds"]
    return options


def _others(task: Row, headers: Any) -> dict[str, tuple[str, str]]:
    others = {"total_run_count": (str(task.get("total_run_count") or 0), "the history stays in Django")}
    if task.get("priority") is not None:
        others["priority"] = (str(task["priority"]), "the command line of Celery has no option for it")
    if headers:
        others["headers"] = (json.dumps(headers), "the command line of Celery has no option for it")
    return others


def _json(text: Any, default: Any) -> Any:
    try:
        return json.loads(text) if text else default
    except (ValueError, RecursionError, TypeError):
        return None
