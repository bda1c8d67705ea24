"""Periodic tasks of Celery Beat: the tables of django-celery-beat, and `beat_schedule` in a Python file, which is never run."""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import shelve
import sqlite3
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.imports.entries import Call, EntryKind
from app.imports.plan import Plan, State, make_plan, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions
from app.imports.stores.python_data import Made, PythonData, Unknown
from app.imports.views import as_text
from tests.builders import beat, hostile
from tests.builders.beat import NOW

SOURCE = SOURCES["celery-beat"]


def plan_of(place: Path, **own: str) -> Plan:
    return make_plan(SOURCE, str(place), SourceOptions(machine="web1", own=own), NOW)


def plan_of_task(folder: Path, **values: Any) -> Any:
    """The plan of one periodic task of Django with these values."""
    path = folder / "db.sqlite3"
    beat.django(path, [beat.task(0, **values)])
    (entry,) = plan_of(path, app="shop")["entries"]
    return entry


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "celeryconfig.py"
    path.write_text(beat.MODULE.format(canary=tmp_path / "canary"))
    return path


# -- django-celery-beat -------------------------------------------------------------------------------------------------


def test_a_task_is_called_by_the_command_line_of_celery(tmp_path: Path) -> None:
    entry = plan_of_task(tmp_path, args='["a b", 1]', kwargs='{"deep": {"x": null}}', queue="slow", expire_seconds=60)
    assert state_of(entry) is State.READY
    arguments = ["-A", "shop", "call", "shop.tasks.sync_orders", "--args", '["a b", 1]', "--kwargs", '{"deep": {"x": null}}']
    assert entry["job"]["parameters"]["arguments"] == [*arguments, "--queue", "slow", "--expires", "60"]
    assert entry["job"]["parameters"]["program"].endswith("/celery")
    assert entry["job"]["misfire"] == {"policy": "once"}


def test_without_an_application_a_program_of_ones_own_makes_the_call(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(1)])
    (entry,) = plan_of(path)["entries"]
    assert entry["job"]["parameters"]["program"] == "/usr/local/lib/jobwright/call-celery-beat"


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"args": "[1,"}, EntryKind.INVALID, "arguments that are not a JSON array"),
        ({"args": '{"a": 1}'}, EntryKind.INVALID, "arguments that are not a JSON array"),
        ({"crontab_id": 99}, EntryKind.INVALID, "has no schedule"),
        ({"expires": "2026-01-01 00:00:00"}, EntryKind.NOTE, "has expired at 2026-01-01"),
    ],
)
def test_what_beat_does_not_send_is_no_job(tmp_path: Path, values: dict[str, Any], kind: EntryKind, words: str) -> None:
    entry = plan_of_task(tmp_path, **values)
    assert entry["kind"] == kind
    assert words in entry["reason"]


def test_disabled_tasks_and_those_that_were_sent_once_stay_disabled(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(0, enabled=False), beat.task(1, one_off=True, total_run_count=1)])
    entries = plan_of(path)["entries"]
    assert [entry["disabled"] for entry in entries] == ["is not enabled", "has been sent, and is only sent once"]
    assert all(entry["disable"] == entry["enable"] for entry in entries)


def test_a_solar_schedule_is_decided(tmp_path: Path) -> None:
    entry = plan_of_task(tmp_path, crontab_id=None, solar_id=1)
    assert state_of(entry) is State.OPEN
    assert "they follow the sun" in entry["decisions"][0]["question"]


def test_secrets_are_not_in_a_plan(tmp_path: Path) -> None:
    entry = plan_of_task(
        tmp_path, kwargs='{"password": "correct-horse", "url": "redis://:battery@h/0"}', headers='{"x-api-key": "staple99"}'
    )
    text = json.dumps(entry)
    assert not [word for word in ("correct-horse", "battery", "staple99") if word in text]
    assert state_of(entry) is State.OPEN


def test_a_run_does_not_change_the_source_and_another_time_does(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(number) for number in range(20)])
    options = SourceOptions(machine="web1")
    digest = SOURCE.read(str(path), options).digest
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE django_celery_beat_periodictask SET total_run_count = 99, last_run_at = '2026-11-30 11:59:00' WHERE enabled AND NOT one_off"
        )
    assert SOURCE.read(str(path), options).digest == digest
    with sqlite3.connect(path) as database:
        database.execute("UPDATE django_celery_beat_crontabschedule SET hour = '5' WHERE id = 1")
    assert SOURCE.read(str(path), options).digest != digest


def test_the_command_for_django_names_the_task_exactly(tmp_path: Path) -> None:
    name = 'it\'s "the" task'
    entry = plan_of_task(tmp_path, name=name)
    words = subprocess.run(f"printf '%s\\n' {entry['disable']}", shell=True, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S602
    assert words[:4] == ["python", "manage.py", "shell", "-c"]
    assert repr(name) in ast.unparse(ast.parse(words[4]))
    assert "task.enabled = False" in words[4]
    assert "task.enabled = True" in entry["enable"]


def test_tables_of_older_releases_have_fewer_columns(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    beat.django(path, [beat.task(0)])
    with sqlite3.connect(path) as database:
        for column in ("headers", "priority", "clocked_id", "expire_seconds", "start_time", "one_off"):
            database.execute(f"ALTER TABLE django_celery_beat_periodictask DROP COLUMN {column}")
        database.execute("DROP TABLE django_celery_beat_clockedschedule")
    (entry,) = plan_of(path)["entries"]
    assert state_of(entry) is State.READY


def test_a_database_without_the_tables_says_so(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    sqlite3.connect(path).close()
    with pytest.raises(SourceError, match="has no table django_celery_beat_periodictask"):
        plan_of(path)


# -- modules ------------------------------------------------------------------------------------------------------------


def test_a_module_is_read_and_never_run(module: Path) -> None:
    plan = plan_of(module, app="shop")
    assert not (module.parent / "canary").exists()
    jobs = {entry["job"]["name"]: entry["job"] for entry in plan["entries"] if entry["job"]}
    schedules = {name: job["schedule"].get("expression") or job["schedule"].get("interval_seconds") for name, job in jobs.items()}
    assert schedules == {
        "every minute": 60,
        "nightly": "0 4 * * *",
        "weekly": "0 8 * * 1",
        "every ten": 600,
        "from a text": "15 7 * * 1-5",
        "at sunrise": None,
        "with code": 30,
        "with a secret": 3600,
    }
    assert jobs["nightly"]["schedule"]["timezone"] == "Europe/Berlin"
    words = ["--args", '[1, "two", [3.5, null]]', "--kwargs", '{"dry_run": false, "limit": 600}', "--queue", "slow", "--expires", "300"]
    assert jobs["nightly"]["parameters"]["arguments"] == ["-A", "shop", "call", "shop.tasks.nightly", *words]
    states = {entry["id"].rpartition("-")[0]: state_of(entry) for entry in plan["entries"]}
    assert states["with-code"] is states["with-a-secret"] is states["at-sunrise"] is State.OPEN
    assert states["without-a-schedule"] is State.INVALID
    assert "k3y-abcdefghijklmnop" not in as_text(plan)
    assert "os.environ['TOKEN'], which is code and not data" in as_text(plan)


def test_the_commands_make_comments_of_entries_and_take_them_back(module: Path) -> None:
    before = module.read_text()
    entries = {entry.name: entry for entry in SOURCE.read(str(module), SourceOptions(machine="web1")).entries}
    for name in ("every minute", "nightly", "weekly", "with a secret"):
        subprocess.run(SOURCE.disable(entries[name]), shell=True, check=True)  # noqa: S602 - it is printed for a shell
        ast.parse(module.read_text())
        assert name not in {entry.name for entry in SOURCE.read(str(module), SourceOptions(machine="web1")).entries}
    for name in ("every minute", "nightly", "weekly", "with a secret"):
        subprocess.run(SOURCE.enable(entries[name]), shell=True, check=True)  # noqa: S602 - the same
    assert module.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "app.conf.beat_schedule = {'a': {'task': 't', 'schedule': 60}}",
        "beat_schedule = {}\nbeat_schedule['a'] = {'task': 't', 'schedule': 60}",
        "CELERY_BEAT_SCHEDULE: dict = {'a': {'task': 't', 'schedule': 60}}",
        "app.conf.update(timezone='Europe/Berlin', beat_schedule={'a': {'task': 't', 'schedule': 60}})",
        "app.conf.update({'beat_schedule': {'a': {'task': 't', 'schedule': 60}}})",
        "ENTRY = {'task': 't', 'schedule': 60}\nCELERYBEAT_SCHEDULE = {'a': {**ENTRY, 'args': ()}}",
        "ALL = {'a': {'task': 't', 'schedule': 60}}\nbeat_schedule = ALL | {}",
        "beat_schedule = dict(a=dict(task='t', schedule=60))",
    ],
)
def test_the_schedule_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "celeryconfig.py"
    path.write_text(text)
    (entry,) = plan_of(path)["entries"]
    assert (entry["job"]["name"], entry["job"]["schedule"]["interval_seconds"]) == ("a", 60)


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("beat_schedule = load()", "is not written out in this file: load()"),
        ("if DEBUG:\n    beat_schedule = {'a': {}}", "beat_schedule inside a condition is not read"),
        ("def setup(sender):\n    sender.add_periodic_task(10, t.s())", "add_periodic_task inside a function is not read"),
        ("beat_schedule = {name(): {}}", "its name is not a text in this file"),
        ("timezone = zone()", "The time zone in the file is not a text"),
    ],
)
def test_what_is_not_written_out_is_remarked(tmp_path: Path, text: str, remark: str) -> None:
    path = tmp_path / "celeryconfig.py"
    path.write_text(text)
    plan = plan_of(path)
    assert plan["entries"] == []
    assert any(remark in line for line in plan["remarks"]), plan["remarks"]


@pytest.mark.parametrize("text", ["beat_schedule = {", "x = " + "(" * 5_000 + ")" * 5_000, "\x00"])
def test_a_file_that_is_not_python_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "celeryconfig.py"
    path.write_text(text)
    with pytest.raises(SourceError, match="is not a Python file"):
        plan_of(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, -2.5, 'a', None, (True,)]", [1, -2.5, "a", None, [True]]),
        ("60 * 60 / 2 - 1 + 0.5", 1799.5),
        ("f'{1}-{\"a\"}'", "1-a"),
        ("timedelta(hours=1)", Made("timedelta", (), {"hours": 1})),
        ("9 ** 999999999", Unknown("9 ** 999999999")),
        ("'a' * 10 ** 9", Unknown("'a' * 10 ** 9")),
        ("9e307 * 9e307", Unknown("9e+307 * 9e+307")),
        ("1 / 0", Unknown("1 / 0")),
        ("__import__('os').system('true')", Unknown("__import__('os').system('true')")),
        ("(lambda: 1)()", Unknown("(lambda: 1)()")),
        ("[x for x in range(10 ** 9)]", Unknown("[x for x in range(10 ** 9)]")),
        ("-" * 200 + "1", Unknown("…")),
    ],
)
def test_expressions_are_read_as_data(text: str, value: Any) -> None:
    read = PythonData({"timedelta": "timedelta"}).value(ast.parse(text, mode="eval").body)
    assert read == value if not text.startswith("--") else isinstance(read, Unknown)


def test_the_time_zone_of_the_file_takes_precedence(module: Path) -> None:
    options = SourceOptions(machine="web1", timezone="Asia/Tokyo", now=NOW + timedelta(days=1))
    nightly = next(entry for entry in SOURCE.read(str(module), options).entries if entry.name == "nightly")
    assert json.loads(nightly.values["schedule"])["timezone"] == "Europe/Berlin"


# -- the file of Beat ---------------------------------------------------------------------------------------------------


def shelf(path: Path, entries: dict[str, Any]) -> None:
    """The file that Beat writes, with entries of Celery."""
    with shelve.open(str(path)) as store:  # noqa: S301 - it is written
        store["entries"], store["tz"], store["utc_enabled"], store["__version__"] = entries, "Europe/Berlin", True, "5.7.0"


def entries_of_celery() -> dict[str, Any]:
    pytest.importorskip("celery")
    from celery import Celery
    from celery.beat import ScheduleEntry
    from celery.schedules import crontab, schedule

    app = Celery("x", set_as_current=False)
    return {
        "nightly": ScheduleEntry(
            "nightly", "a.b", NOW, 5, crontab("0", "4", day_of_week={1, 2}), (1, "x"), {"y": None}, {"queue": "q"}, app=app
        ),
        "often": ScheduleEntry("often", "a.c", NOW, 5, schedule(timedelta(minutes=5)), (), {}, {}, app=app),
    }


def test_the_file_of_beat_is_read_as_data(tmp_path: Path) -> None:
    path, canary = tmp_path / "celerybeat-schedule", tmp_path / "canary"
    entries = entries_of_celery()
    entries["hostile"] = hostile.Call(os.system, (f"touch {canary}",))
    entries["with code"] = copy.copy(entries["often"])
    entries["with code"].args = (hostile.Call(os.system, (f"touch {canary}",)),)
    shelf(path, entries)
    plan = plan_of(path, app="shop", folder="/srv/shop")
    assert not canary.exists()
    nightly, often, bad, code = (
        next(entry for entry in plan["entries"] if entry["id"].startswith(name)) for name in ("nightly", "often", "host", "with")
    )
    assert nightly["job"]["schedule"] == {"type": "cron", "expression": "0 4 * * 1,2", "timezone": "Europe/Berlin"}
    words = ["--workdir", "/srv/shop", "-A", "shop", "call", "a.b", "--args", '[1, "x"]', "--kwargs", '{"y": null}', "--queue", "q"]
    assert nightly["job"]["parameters"]["arguments"] == words
    assert often["job"]["schedule"]["start_at"] == "2026-11-30T12:05:00+00:00"
    assert (bad["kind"], bad["reason"]) == ("invalid", "is posix.system and not an entry of Celery. It was not run")
    assert "posix.system, which is Python and not data" in code["decisions"][0]["question"]


@pytest.mark.parametrize("backend", ["dbm.dumb", "dbm.gnu", "dbm.ndbm"])
def test_all_files_of_shelves_are_read(tmp_path: Path, backend: str) -> None:
    library = pytest.importorskip(backend)
    path = tmp_path / "celerybeat-schedule"
    with library.open(str(path), "n") as store:
        store[b"entries"] = pickle.dumps(entries_of_celery())
    assert [entry["id"].rpartition("-")[0] for entry in plan_of(path)["entries"]] == ["nightly", "often"]


def test_a_shelf_of_newer_releases_of_python_is_read(tmp_path: Path) -> None:
    path = tmp_path / "celerybeat-schedule"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        database.execute("INSERT INTO Dict VALUES (?, ?)", (b"entries", pickle.dumps(entries_of_celery())))
    assert len(plan_of(path)["entries"]) == 2


@pytest.mark.parametrize(
    ("data", "words"), [(pickle.dumps([1]), "is not a file of Celery Beat"), (b"junk", "it is damaged, or not a pickle")]
)
def test_a_shelf_of_something_else_says_so(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "celerybeat-schedule"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        database.execute("INSERT INTO Dict VALUES (?, ?)", (b"entries", data))
    with pytest.raises(SourceError, match=words):
        plan_of(path)


@pytest.mark.parametrize("doubled", ["a + a", "[a, a]", "f'{a}{a}'", "{'x': a, 'y': a}", "[*[a], a]", "dict(x=a, y=a)"])
def test_a_file_that_doubles_a_value_in_each_line_is_read_at_once(tmp_path: Path, doubled: str) -> None:
    """80 lines describe a value of 2^80 parts."""
    path = tmp_path / "celeryconfig.py"
    lines = ["a = 'xy'", *[f"a = {doubled}"] * 80, "beat_schedule = {'one': {'task': 'shop.one', 'schedule': 60.0, 'args': [a]}}"]
    path.write_text("\n".join(lines))
    (entry,) = plan_of(path, app="shop")["entries"]
    assert state_of(entry) is State.OPEN
    assert len(json.dumps(entry)) < 1_000_000


def test_a_task_whose_name_begins_with_a_hyphen_is_no_option_of_celery() -> None:
    call = Call(name="--broker=redis://x.example.com", arguments=(1,), sending={"queue": "q"})
    options = SourceOptions(machine="m", own={"app": "shop"})
    words = SOURCES["celery-beat"].arguments_of(call, options)
    assert words == ["celery", "-A", "shop", "call", "--args", "[1]", "--queue", "q", "--", "--broker=redis://x.example.com"]
