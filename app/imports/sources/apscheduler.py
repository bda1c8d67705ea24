"""Job stores of APScheduler 3, in MongoDB and in databases of SQLAlchemy.

APScheduler itself deletes what it cannot load, so nothing here uses it: the rows are read, and the pickle in each of them is read as data
(app.imports.stores.pickles).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from app.imports.dialects.aps_schedule import describe, may_coincide, trigger_schedule
from app.imports.entries import Call, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times
from app.imports.names import hashed_slug
from app.imports.secrets import Redactor
from app.imports.sources.addresses import without_credentials
from app.imports.sources.base import Source, SourceOptions
from app.imports.sources.mongo import collection_of
from app.imports.stores.aps_state import JobState, read_state, text_of
from app.imports.stores.pickles import PickleRefused
from app.imports.stores.sql import open_sql, rows_of, sql_address, sql_name, sqlite_path
from app.imports.stores.values import call_line
from app.imports.undecided import ask_to_accept

TABLE = "apscheduler_jobs"
DATABASE, COLLECTION = "apscheduler", "jobs"
LATEST = 253_370_764_800  # the year 9999, in seconds since 1970
LONGEST_GRACE = 604_800  # seconds, of a job


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A job as its store has it. `due` is the time in seconds since 1970 that the store has noted; None for a paused job."""

    id: str
    due: float | None
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Store:
    """Where the rows are: `address` without credentials, and the table or the collection."""

    address: str
    table: str
    database: str = ""


class ApScheduler(Source):
    """Jobs of APScheduler 3. A call is the name of a function with its arguments."""

    type = "apscheduler"
    title = "APScheduler job store"
    options: ClassVar[dict[str, str]] = {
        "table": f"the table of the jobs in a database of SQLAlchemy, by default {TABLE}",
        "database": f"the database in MongoDB, by default that of the address, else {DATABASE}",
        "collection": f"the collection of the jobs in MongoDB, by default {COLLECTION}",
    }
    at_clock_changes: ClassVar[str] = (
        "APScheduler runs what the clock skips as if the clock had not changed, so 02:30 at 03:30, and what comes twice both times."
    )
    is_store = True

    def shown_place(self, place: str, options: SourceOptions) -> str:
        return without_credentials(options.address or place)

    def read(self, place: str, options: SourceOptions) -> Reading:
        store, name, rows = _rows(place, options)
        entries: list[Entry] = []
        digest = hashlib.sha256()
        for row in rows:
            made = [_without_past(entry, options.now) for entry in _entries(row, store)]
            entries += made
            digest.update(_content(row, made))
        remarks = [] if rows else ["The store has no jobs."]
        return Reading(name=f"{self.type}:{name}", digest=digest.hexdigest(), entries=tuple(entries), remarks=tuple(remarks))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        values = entry.values
        due = float(values["next_run_time"]) if values["next_run_time"] else None
        next_run = datetime.fromtimestamp(due, UTC) if due is not None else None
        times = trigger_schedule(json.loads(values["trigger"]), options.timezone, next_run, draft)
        if values["part"]:
            draft.mapped("trigger", values["part"], "schedule", "a trigger with or becomes a job for each of its triggers")
            if values["coincide"]:
                words = (
                    "Two triggers of this job can be due at the same time. APScheduler then starts it once, and each of the jobs starts."
                )
                ask_to_accept(draft, words, "Each of the jobs starts then.")
        _behaviour(values, draft)
        draft.dropped("id", values["id"], "a job of Jobwright has its own id")
        draft.dropped("executor", values["executor"], "a job runs on the nodes of Jobwright")
        reason = "the schedule has its own times" if due is not None else "the job is paused"
        if draft.body["schedule"]["type"] != "interval" or due is None or "jitter_seconds" in draft.body["schedule"]:
            draft.dropped("next_run_time", next_run.isoformat() if next_run else "", reason)
        else:
            draft.mapped("next_run_time", str(next_run), "schedule.start_at")
        if values["changed"]:
            draft.mapped("kinds of values", values["changed"], "parameters", "JSON has no such values")
        return times

    def disable(self, entry: Entry) -> str:
        return _update(entry, None)

    def enable(self, entry: Entry) -> str:
        return _update(entry, float(entry.values["next_run_time"]) if entry.values["next_run_time"] else None)


# -- rows ---------------------------------------------------------------------------------------------------------------


def _rows(place: str, options: SourceOptions) -> tuple[_Store, str, list[_Row]]:
    """Returns where the jobs are, what identifies the store, and its jobs."""
    address = options.address or place
    if address.startswith("mongodb"):
        collection = collection_of(place, options, database=DATABASE, collection=COLLECTION)
        store = _Store(address=without_credentials(address), table=collection.collection, database=collection.database)
        rows = [_row(found.get("_id"), found.get("next_run_time"), found.get("job_state")) for found in collection.documents()]
        return store, collection.name, rows
    address = sql_address(place, options)
    table = options.get("table", TABLE)
    with open_sql(address) as connection:
        found = rows_of(connection, table, option="table")
    rows = [_row(one.get("id"), one.get("next_run_time"), one.get("job_state")) for one in found]
    store = _Store(address=without_credentials(address), table=table)
    return store, f"{sql_name(address, options)}/{table}", sorted(rows, key=lambda row: row.id)


def _row(job_id: Any, due: Any, state: Any) -> _Row:
    data = bytes(state) if isinstance(state, bytes | bytearray | memoryview) else b""
    known = isinstance(due, int | float) and 0 <= due < LATEST
    return _Row(id=job_id if isinstance(job_id, str) else str(job_id), due=float(due) if known else None, state=data)


def _entries(row: _Row, store: _Store) -> Iterator[Entry]:
    """Yields the entry of a row; one for each part of a trigger with or."""
    entry_id = hashed_slug(row.id, "job")
    where = f"{store.table} {text_of(row.id)}"
    try:
        state = read_state(row.state)
    except PickleRefused as refused:
        reason = f"The state of the job cannot be read: {refused}. Nothing of it was run."
        yield Entry(id=entry_id, where=where, kind=EntryKind.INVALID, raw=text_of(row.id), reason=reason)
        return
    if state.trigger["type"] == "or":
        parts = state.trigger["triggers"]
        coincide = any(may_coincide(one, other) for place, one in enumerate(parts) for other in parts[place + 1 :])
        for number, part in enumerate(parts, start=1):
            one = _entry(row, replace(state, trigger=part), store, where, entry_id)
            values = {**one.values, "part": f"{number} of {len(parts)}", "coincide": "yes" if coincide else ""}
            yield replace(one, id=f"{entry_id}-{number}", values=values)
    else:
        yield _entry(row, state, store, where, entry_id)


def _entry(row: _Row, state: JobState, store: _Store, where: str, entry_id: str) -> Entry:
    redactor = Redactor()
    arguments = tuple(redactor.redact_json(list(state.arguments)))
    keywords = redactor.redact_json(state.keywords)
    unreadable = ""
    if state.unknown:
        unreadable = f"they contain {', '.join(state.unknown[:5])}, which is Python and not data. It was not run"
    name = redactor.redact(state.name)
    values = {
        "id": text_of(row.id),
        "trigger": json.dumps(state.trigger),
        "executor": state.executor,
        "misfire_grace_time": "" if state.misfire_grace_seconds is None else str(state.misfire_grace_seconds),
        "coalesce": "true" if state.coalesce else "false",
        "max_instances": str(state.max_instances),
        "next_run_time": "" if row.due is None else repr(row.due),
        "changed": "; ".join(state.changed),
        "part": "",
        "coincide": "",
        **{f"store_{key}": value for key, value in asdict(store).items()},
    }
    return Entry(
        id=entry_id,
        where=where,
        kind=EntryKind.JOB,
        raw=redactor.redact(f"{describe(state.trigger)} {call_line(state.function, arguments, keywords)}"),
        name="" if name in {state.function, state.function.rpartition(":")[2]} else name[:100],
        values=values,
        call=Call(name=state.function, arguments=arguments, keywords=keywords, unreadable=unreadable),
        disabled="is paused in APScheduler" if row.due is None else "",
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
    )


def _without_past(entry: Entry, now: datetime) -> Entry:
    """Returns an entry; a note if its only time has passed, so that APScheduler is about to remove it."""
    spec = json.loads(entry.values["trigger"]) if entry.kind is EntryKind.JOB else {}
    if spec.get("type") != "date" or datetime.fromisoformat(spec["at"]) > now:
        return entry
    return replace(entry, kind=EntryKind.NOTE, reason=f"was due at {spec['at']}, and is not due again")


def _content(row: _Row, entries: list[Entry]) -> bytes:
    """Returns what the digest covers: all that a person can change, without the next time, which changes with each run."""
    if entries[0].kind is EntryKind.INVALID:
        return hashlib.sha256(row.state).digest()
    kept = [{key: value for key, value in entry.values.items() if key != "next_run_time"} for entry in entries]
    calls = [
        [entry.id, entry.name, entry.raw, entry.disabled, entry.prints, asdict(entry.call) if entry.call else None] for entry in entries
    ]
    return json.dumps([kept, calls], sort_keys=True, default=str).encode()


# -- fields -------------------------------------------------------------------------------------------------------------


def _behaviour(values: Any, draft: Draft) -> None:
    """Late runs and runs beside each other."""
    grace, coalesce, most = values["misfire_grace_time"], values["coalesce"] == "true", int(values["max_instances"])
    if draft.body["schedule"]["type"] != "manual":
        if grace:
            seconds = min(LONGEST_GRACE, max(1, int(grace)))
            draft.body["misfire"] = {"policy": "skip", "grace_seconds": seconds}
            draft.mapped("misfire_grace_time", f"{grace} s", "misfire.grace_seconds", "a run that is later than this is left out")
            draft.mapped("coalesce", values["coalesce"], "misfire.policy", "a run within the grace starts; later ones are left out")
        else:
            draft.body["misfire"] = {"policy": "once" if coalesce else "all"}
            draft.mapped("misfire_grace_time", "", "misfire.policy", "a late run starts however late it is")
            draft.mapped(
                "coalesce", values["coalesce"], "misfire.policy", "of several late runs, " + ("one" if coalesce else "all") + " start"
            )
    else:
        draft.dropped("misfire_grace_time", grace, "a job without a schedule is never late")
        draft.dropped("coalesce", values["coalesce"], "a job without a schedule is never late")
    if most > 1:
        draft.body |= {"overlap": "allow", "concurrency": {"max_instances": min(most, 1000)}}
        draft.mapped("max_instances", str(most), "overlap, concurrency.max_instances")
    else:
        draft.body["overlap"] = "skip"
        draft.mapped("max_instances", str(most), "overlap", "a run that is due while the job runs is skipped")


# -- commands -----------------------------------------------------------------------------------------------------------


def _update(entry: Entry, due: float | None) -> str:
    """Returns the command that sets the next time of a row. APScheduler asks for rows with a time, so one without it is paused."""
    values = entry.values
    address, table, job_id = values["store_address"], values["store_table"], values["id"]
    if values["store_database"]:
        change = f"{{_id: {json.dumps(job_id)}}}, {{$set: {{next_run_time: {'null' if due is None else repr(due)}}}}}"
        script = f"db.getSiblingDB({json.dumps(values['store_database'])}).getCollection({json.dumps(table)}).updateOne({change})"
        return f"mongosh {shlex.quote(address)} --eval {shlex.quote(script)}"
    text = _quoted(job_id, address)
    statement = f"UPDATE {table} SET next_run_time = {'NULL' if due is None else repr(due)} WHERE id = {text}"  # noqa: S608 - for people
    return run_sql(address, statement)


def _quoted(text: str, address: str) -> str:
    """Returns a text as a literal of SQL. In MySQL and MariaDB a backslash begins an escape, unless the server is told otherwise: there the
    text is written as bytes, which mean the same in each mode."""
    if address.startswith(("mysql", "mariadb")) and "\\" in text:
        return f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"
    return "'" + text.replace("'", "''") + "'"


def run_sql(address: str, statement: str) -> str:
    """Returns the command line that runs a statement in the database of an address."""
    path = sqlite_path(address)
    if path is not None:
        return f"sqlite3 {shlex.quote(str(path))} {shlex.quote(statement)}"
    scheme, _, rest = address.partition("://")
    host, _, database = rest.partition("?")[0].partition("/")
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
    if scheme.startswith("postgresql"):
        return f"psql {shlex.quote(f'postgresql://{rest}')} -c {shlex.quote(statement)}"
    if scheme.startswith(("mysql", "mariadb")):
        ports = f" --port {port}" if port else ""
        return f"mysql --host {shlex.quote(name)}{ports} -p --database {shlex.quote(database)} -e {shlex.quote(statement)}"
    return f"{statement};"
