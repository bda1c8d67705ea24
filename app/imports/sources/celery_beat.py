"""Periodic tasks of Celery Beat: the tables of django-celery-beat, RedBeat, `beat_schedule` in a Python file, and the file of Beat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from app.imports.dialects.celery_schedule import Limits, beat_schedule, describe
from app.imports.entries import Call, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times
from app.imports.names import hashed_slug
from app.imports.secrets import Redactor, has_secret
from app.imports.sources.addresses import without_credentials
from app.imports.sources.base import Source, SourceOptions
from app.imports.stores.beat import CALL_OPTIONS, BeatEntry, BeatReading
from app.imports.stores.beat_django import read_django
from app.imports.stores.beat_module import read_module
from app.imports.stores.beat_redis import PREFIX, read_redbeat
from app.imports.stores.beat_shelve import is_shelf, read_shelf
from app.imports.stores.values import as_json, call_line, printable

LONGEST_NAME = 100
_MOMENTS = ("start", "end", "last_run")


class CeleryBeat(Source):
    """Periodic tasks of Celery. A call is the name of a task with its arguments and the options of its message."""

    type = "celery-beat"
    title = "Celery Beat"
    options: ClassVar[dict[str, str]] = {
        "app": "the application for `celery -A`; with it, a job calls a task by the command line of Celery",
        "folder": "the folder in which Celery finds the application, for `celery --workdir`",
        "prefix": f"redbeat_key_prefix of the application, by default {PREFIX}",
    }
    at_clock_changes: ClassVar[str] = (
        "Celery Beat sends what the clock skips as if the clock had not changed, so 02:30 at 03:30, and what comes twice the first time"
        " only."
    )
    is_store = True
    calls = "command"

    def shown_place(self, place: str, options: SourceOptions) -> str:
        return without_credentials(options.address or place)

    def read(self, place: str, options: SourceOptions) -> Reading:
        found = _read(place, options)
        entries = list(_entries(found, options.now))
        content = [[entry.id, entry.kind, entry.raw, entry.disabled, entry.prints, _content(entry)] for entry in entries]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
        remarks = found.remarks or (() if entries else ("There are no periodic tasks.",))
        return Reading(name=f"{self.type}:{found.name}", digest=digest, entries=tuple(entries), remarks=tuple(map(printable, remarks)))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        values = entry.values
        moments = {name: datetime.fromisoformat(values[name]) if values[name] else None for name in _MOMENTS}
        limits = Limits(now=options.now, once=bool(values["once"]), **moments)
        times = beat_schedule(json.loads(values["schedule"]), limits, draft)
        mapped = {field.name for field in draft.fields}
        if times is not None:
            draft.body["misfire"] = {"policy": "once"}
            draft.mapped(
                "missed times", "", "misfire.policy", "Beat sends a task once that was due while Beat was not running; so does the job"
            )
        if values["last_run"] and "last_run_at" not in mapped:
            draft.dropped("last_run_at", values["last_run"], "the job waits for its next time")
        for key, name in (("start", "start_time"), ("end", "expires")):
            if values[key] and name not in mapped:
                reason = (
                    "it is counted from the last run"
                    if times is not None and key == "start"
                    else "the job has no schedule that begins or ends"
                )
                draft.dropped(name, values[key], reason)
        if values["once"] and "one_off" not in mapped:
            reason = "the job is started once, at the time of its schedule" if times is not None else "the job has no schedule"
            draft.dropped("one_off", "true", reason)
        for name, (value, reason) in json.loads(values["others"]).items():
            draft.dropped(name, value, reason)
        if values["description"]:
            draft.body["description"] = f"{values['description']}\n\n{draft.body.get('description', '')}"[:1_800]
            draft.mapped("description", values["description"], "description")
        return times

    def arguments_of(self, call: Call, options: SourceOptions) -> list[str] | None:
        app = options.get("app")
        sent = {name: value for name, value in call.sending.items() if name in CALL_OPTIONS}
        if not app or has_secret(as_json([call.arguments, call.keywords])) or len(sent) < len(call.sending):
            return None
        folder = ["--workdir", options.get("folder")] if options.get("folder") else []
        given = ["--args", as_json(call.arguments)] if call.arguments else []
        given += ["--kwargs", as_json(call.keywords)] if call.keywords else []
        for name, value in sent.items():
            given += [CALL_OPTIONS[name], str(value)]
        named = [*given, "--", call.name] if call.name.startswith("-") else [call.name, *given]
        return ["celery", *folder, "-A", app, "call", *named]

    def disable(self, entry: Entry) -> str:
        return entry.values["disable"]

    def enable(self, entry: Entry) -> str:
        return entry.values["enable"]


def _read(place: str, options: SourceOptions) -> BeatReading:
    """Reads the place by its kind: the address of Redis, a Python file, a file of Beat, or a database."""
    address = options.address or place
    if address.startswith(("redis://", "rediss://")):
        return read_redbeat(place, options)
    if "://" not in address and Path(address).suffix == ".py":
        return read_module(address, options)
    if "://" not in address and address and is_shelf(Path(address)):
        return read_shelf(address, options)
    return read_django(place, options)


def _entries(found: BeatReading, now: datetime) -> Iterator[Entry]:
    for beat in found.entries:
        yield _entry(beat, now)


def _entry(beat: BeatEntry, now: datetime) -> Entry:
    redactor = Redactor()
    name = printable(redactor.redact(beat.name))
    arguments, keywords = redactor.redact_json(list(beat.arguments)), redactor.redact_json(beat.keywords)
    sending = {key: redactor.redact_json(value, key) for key, value in beat.options.items() if key in CALL_OPTIONS}
    others = {
        key: (as_json(value), "the command line of Celery has no option for it")
        for key, value in beat.options.items()
        if key not in CALL_OPTIONS
    }
    others |= {key: (str(redactor.redact_value(key, value)), reason) for key, (value, reason) in beat.others.items()}
    spec = {key: printable(redactor.redact(value)) if isinstance(value, str) else value for key, value in beat.schedule.items()}
    kind, reason = _kind(beat, now)
    return Entry(
        id=hashed_slug(beat.name, "task"),
        where=printable(beat.where),
        kind=kind,
        raw=printable(redactor.redact(f"{describe(spec)} {call_line(beat.task or beat.name, arguments, keywords)}")),
        name="" if name == beat.task else name[:LONGEST_NAME],
        values={
            "schedule": json.dumps(spec),
            **{key: moment.isoformat() if (moment := getattr(beat, key)) else "" for key in _MOMENTS},
            "once": "true" if beat.once else "",
            "others": json.dumps({key: (printable(redactor.redact(value)), words) for key, (value, words) in others.items()}),
            "description": printable(redactor.redact(beat.description)),
            "disable": beat.disable,
            "enable": beat.enable,
        },
        call=Call(
            name=printable(beat.task), arguments=tuple(arguments), keywords=keywords, sending=sending, unreadable=printable(beat.unreadable)
        ),
        disabled=beat.disabled,
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
        reason=reason,
    )


def _kind(beat: BeatEntry, now: datetime) -> tuple[EntryKind, str]:
    """Returns what an entry is, and why it is no job."""
    if beat.wrong:
        return EntryKind.INVALID, beat.wrong
    if beat.end is not None and beat.end <= now:
        return EntryKind.NOTE, f"has expired at {beat.end.isoformat()}"
    if beat.schedule["type"] == "clocked" and datetime.fromisoformat(beat.schedule["at"]) <= now:
        return EntryKind.NOTE, f"was due at {beat.schedule['at']}, and is not due again"
    return EntryKind.JOB, ""


def _content(entry: Entry) -> Mapping[str, Any]:
    """Returns what the digest covers: all that a person can change, without what changes with each run."""
    kept = {key: value for key, value in entry.values.items() if key not in {"last_run", "others", "enable"}}
    others = {key: value for key, value in json.loads(entry.values["others"]).items() if key != "total_run_count"}
    sending = entry.call.sending if entry.call else {}
    return {**kept, "others": others, "sending": dict(sending)}
