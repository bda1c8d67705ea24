"""Reads the file in which Beat keeps its schedule (celery.beat.PersistentScheduler): a shelf whose values are pickles.

The pickles are read as data (app.imports.stores.pickles). The file is opened read-only.
"""

from __future__ import annotations

import dbm
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.imports.sources.base import SourceError, SourceOptions
from app.imports.stores.beat import BeatEntry, BeatReading, Spec, crontab_spec
from app.imports.stores.pickles import Instance, PickleRefused, read_pickle
from app.imports.stores.plain import Plain, read_moment, read_span, utc

SUFFIXES = ("", ".db", ".dat", ".dir")
_SQLITE = b"SQLite format 3\x00"
_CRONTAB = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")  # the order of the arguments
_ENTRY = ("name", "task", "last_run_at", "total_run_count", "schedule", "args", "kwargs", "options")


def is_shelf(path: Path) -> bool:
    """Whether a path is that of a shelf; the suffix may be missing."""
    return _is_sqlite_shelf(path) or bool(dbm.whichdb(str(path)))


def read_shelf(place: str, options: SourceOptions) -> BeatReading:
    """Returns the entries in a file of Beat. Raises SourceError."""
    path = Path(place)
    try:
        stored = {name: read_pickle(data) for name in ("entries", "tz") if (data := _value(path, name)) is not None}
    except PickleRefused as refused:
        raise SourceError(f"{place} cannot be read: {refused}. Nothing of it was run.") from refused
    entries = stored.get("entries")
    if not isinstance(entries, dict):
        raise SourceError(f"{place} is not a file of Celery Beat: it has no entries.")
    zone = stored.get("tz") if isinstance(stored.get("tz"), str) else ""
    timezone = zone or options.timezone or "UTC"
    found = tuple(_entry(path, str(name), entry, timezone) for name, entry in sorted(entries.items(), key=lambda pair: str(pair[0])))
    remarks = ("Beat writes this file from beat_schedule of the application. Disable originals there.",)
    return BeatReading(name=f"{options.machine}:{path.absolute()}", entries=found, remarks=remarks)


def _is_sqlite_shelf(path: Path) -> bool:
    """Whether it is a shelf of dbm.sqlite3, which newer releases of Python make: one table named Dict."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(len(_SQLITE)) != _SQLITE:
            return False
    with closing(_open_sqlite(path)) as database:
        return database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'Dict'").fetchone() is not None


def _open_sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)


def _value(path: Path, name: str) -> bytes | None:
    """Returns the pickle of a value; None if there is none."""
    if _is_sqlite_shelf(path):
        with closing(_open_sqlite(path)) as database:
            row = database.execute("SELECT value FROM Dict WHERE key = CAST(? AS BLOB)", (name,)).fetchone()
        return bytes(row[0]) if row else None
    try:
        with dbm.open(str(path), "r") as shelf:
            return bytes(shelf[name.encode()]) if name.encode() in shelf else None
    except dbm.error as error:
        words = "If Beat is running, copy the file and read the copy."
        raise SourceError(f"{path} cannot be read: {error}. {words}") from error


def _entry(path: Path, name: str, source: Any, timezone: str) -> BeatEntry:
    change = "the entry {0!r} {1} beat_schedule of the application; Beat writes this file itself"
    off, on = (f"# {path}: {words}" for words in (f"remove {change.format(name, 'from')}", f"put {change.format(name, 'into')} again"))
    common: dict[str, Any] = {"name": name, "where": f"{path} {name}", "disable": off, "enable": on}
    values = dict(zip(_ENTRY, source.arguments, strict=False)) if isinstance(source, Instance) else {}
    if len(values) < len(_ENTRY) or not isinstance(values["task"], str):
        what = source.name if isinstance(source, Instance) else type(source).__name__
        return BeatEntry(task="", schedule={"type": "none"}, wrong=f"is {what} and not an entry of Celery. It was not run", **common)
    plain = Plain()
    try:
        arguments, keywords, options = (plain.value(values[key] or empty) for key, empty in (("args", []), ("kwargs", {}), ("options", {})))
        if not isinstance(arguments, list) or not isinstance(keywords, dict) or not isinstance(options, dict):
            raise PickleRefused("its arguments are not a list and a dict")
    except PickleRefused as refused:
        return BeatEntry(task=values["task"], schedule={"type": "none"}, wrong=f"cannot be read: {refused}", **common)
    unknown = ", ".join(plain.unknown[:5])
    return BeatEntry(
        task=values["task"],
        schedule=_schedule(values["schedule"], timezone),
        arguments=tuple(arguments),
        keywords=keywords,
        options=options,
        others={"total_run_count": (str(values["total_run_count"])[:20], "the history stays in the file")},
        last_run=utc(read_moment(values["last_run_at"])),
        unreadable=f"they contain {unknown}, which is Python and not data. It was not run" if unknown else "",
        **common,
    )


def _schedule(source: Any, timezone: str) -> Spec:
    """Returns the description of a pickled schedule of Celery."""
    name = source.name if isinstance(source, Instance) else ""
    arguments = source.arguments if isinstance(source, Instance) else ()
    if name == "celery.schedules.crontab" and len(arguments) == len(_CRONTAB):
        fields = [field.items if isinstance(field, Instance) else field for field in arguments]
        return crontab_spec(dict(zip(_CRONTAB, fields, strict=True)), timezone)
    span = read_span(arguments[0]) if name == "celery.schedules.schedule" and arguments else None
    if span is not None:
        relative = len(arguments) > 1 and arguments[1] is True
        return {"type": "interval", "seconds": span.total_seconds(), "relative": relative, "timezone": timezone}
    if name == "celery.schedules.solar" and len(arguments) == 3 and all(isinstance(value, str | int | float) for value in arguments):
        return {"type": "solar", **dict(zip(("event", "latitude", "longitude"), arguments, strict=True))}
    return {"type": "other", "text": name or type(source).__name__}
