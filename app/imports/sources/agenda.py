"""Agenda, a scheduler for Node.js: its collection of MongoDB. The rules are those of Agenda 6 (packages/agenda/src)."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from bson import Decimal128, ObjectId, json_util

from app.imports.agenda_times import AgendaTimes, first_after, interval_fields
from app.imports.entries import Call, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times
from app.imports.names import slug
from app.imports.node_schedules import day_names, node_schedule
from app.imports.node_times import Refused, human_seconds, read_node_cron
from app.imports.secrets import Redactor
from app.imports.sources.addresses import without_credentials
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.mongo import collection_of
from app.imports.undecided import ask_without_schedule
from app.zones import is_zone

COLLECTION = "agendaJobs"
STORED = "_id"  # among the values of an entry: where its document is
MOST_DONE = 100  # single runs that are done and are listed; the others are counted
LONGEST_RAW = 4_000
_LARGEST_PRIORITY = 20
_HISTORY = "runs of the past stay in Agenda"
_DROPPED = {
    "lockedAt": "a lock does not say that the job runs: Agenda leaves it behind when a process ends",
    "lastFinishedAt": _HISTORY,
    "failedAt": _HISTORY,
    "failCount": _HISTORY,
    "failReason": _HISTORY,
    "result": _HISTORY,
    "progress": "it is of a run that has ended",
    "type": "a job of Jobwright has one schedule. Agenda says with it whether a name may have several",
    "unique": "it keeps Agenda from saving an entry twice. An entry is imported once",
    "uniqueOpts": "it keeps Agenda from saving an entry twice. An entry is imported once",
    "debounceStartedAt": "it keeps Agenda from saving an entry too often",
    "lastModifiedBy": "it is the name of a process of Agenda",
    "fork": "each run of Jobwright has a process of its own",
    "shouldSaveResult": "Jobwright stores the result of each run",
}
# What decides about the times of a job that repeats. What changes with each run is not among it.
_DEFINING = (
    "name",
    "data",
    "priority",
    "disabled",
    "repeatInterval",
    "repeatTimezone",
    "repeatAt",
    "startDate",
    "endDate",
    "skipDays",
)


class Agenda(Source):
    """The documents of a collection. A lock that is stale, and a single run that is done, are never taken for a job that runs."""

    type = "agenda"
    title = "Agenda"
    options: ClassVar[Mapping[str, str]] = {
        "database": "the database, unless the address names it",
        "collection": f"the collection; otherwise {COLLECTION}",
    }
    at_clock_changes: ClassVar[str] = (
        "Agenda runs what the clock skips an hour later, and what comes twice the first time only. An expression with all hours follows the"
        " clock."
    )
    is_store = True

    def shown_place(self, place: str, options: SourceOptions) -> str:
        return without_credentials(options.address or place)

    def read(self, place: str, options: SourceOptions) -> Reading:
        found = collection_of(place, options, collection=COLLECTION)
        digest = hashlib.sha256()
        entries: list[Entry] = []
        done: Counter[str] = Counter()
        for document in found.documents():
            entry = _entry(document, found.database, found.collection)
            if entry.kind is EntryKind.NOTE:
                done[str(document.get("name"))] += 1
                if done.total() > MOST_DONE:
                    continue
            entries.append(entry)
            if _repeats(document):
                digest.update(json.dumps([json_util.dumps(document["_id"]), [_plain(document.get(name)) for name in _DEFINING]]).encode())
        remarks: tuple[str, ...] = ()
        if done.total() > MOST_DONE:
            counts = ", ".join(f"{count:,} of {name!r}" for name, count in done.most_common(20))
            remarks = (f"Single runs that are done are not imported, and {MOST_DONE} of them are listed: {counts}.",)
        return Reading(name=f"{self.type}:{found.name}", digest=digest.hexdigest(), entries=tuple(entries), remarks=remarks)

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        document = {name: json.loads(value) for name, value in entry.values.items() if name != STORED}
        draft.dropped(STORED, json.loads(entry.values[STORED])["key"], "a job of Jobwright has its own id")
        for name, value in document.items():
            if name in _DROPPED:
                draft.dropped(name, _text(value), _DROPPED[name])
            elif name not in _KNOWN:
                draft.dropped(name, _text(value), "it is not a field of Agenda")
        _priority(document, draft)
        try:
            return _times(document, options, draft)
        except Refused as refused:
            _by_hand(document, str(refused), draft)
            return None

    def disable(self, entry: Entry) -> str:
        return _command(entry, "{$set: {disabled: true}}")

    def enable(self, entry: Entry) -> str:
        return _command(entry, "{$unset: {disabled: 1}}")


# -- documents ---------------------------------------------------------------------------------------------------------


def _entry(document: Mapping[str, Any], database: str, collection: str) -> Entry:
    redactor = Redactor()
    key, name = document["_id"], document.get("name")
    fields = {field: _plain(value) for field, value in document.items() if field not in {"_id", "name", "data"}}
    data = redactor.redact_json(_plain(document.get("data")))
    fields = {field: redactor.redact(value) if isinstance(value, str) else value for field, value in fields.items()}
    shown = {"name": name, **fields, **({"data": data} if data is not None else {})}
    own_id = key if isinstance(key, ObjectId) else hashlib.sha256(json_util.dumps(key).encode()).hexdigest()[:24]
    stored = {"database": database, "collection": collection, "key": json_util.dumps(key)}
    plain: dict[str, Any] = {
        "id": f"{slug(str(name))[:80].rstrip('-')}-{own_id}",
        "where": f"{database}.{collection}:{key}",
        "raw": json.dumps(shown, ensure_ascii=False)[:LONGEST_RAW],
        "secrets": tuple(redactor.found),
        "prints": tuple(redactor.prints),
        "values": {field: json.dumps(value, ensure_ascii=False) for field, value in fields.items()} | {STORED: json.dumps(stored)},
    }
    if not isinstance(name, str) or not name:
        return Entry(kind=EntryKind.INVALID, reason="has no name", **plain)
    if not _repeats(document) and document.get("nextRunAt") is None:
        ran = f": it ran at {_plain(document['lastRunAt'])}" if document.get("lastRunAt") else ""
        return Entry(kind=EntryKind.NOTE, reason=f"is a single run that is done{ran}", **plain)
    keywords = dict(data) if isinstance(data, Mapping) else {}
    arguments = () if data is None or isinstance(data, Mapping) else (data,)
    call = Call(name=name, arguments=arguments, keywords=keywords)
    return Entry(kind=EntryKind.JOB, call=call, disabled=_disabled(document), **plain)


def _repeats(document: Mapping[str, Any]) -> bool:
    return document.get("repeatInterval") not in {None, ""} or document.get("repeatAt") not in {None, ""}


def _disabled(document: Mapping[str, Any]) -> str:
    if document.get("disabled") is True:
        return "is disabled in Agenda"
    if document.get("nextRunAt") is None:
        return "has no next run in Agenda, because it has ended or its times could not be worked out"
    return ""


def _plain(value: Any) -> Any:
    """Returns a value of BSON as one of JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal128 | ObjectId):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else f"({type(value).__name__})"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _command(entry: Entry, change: str) -> str:
    stored = json.loads(entry.values[STORED])
    key = json_util.loads(stored["key"])
    wanted = f"EJSON.parse({json.dumps(stored['key'])})"
    if isinstance(key, str | ObjectId):
        wanted = json.dumps(key) if isinstance(key, str) else f"ObjectId({json.dumps(str(key))})"
    place = f"db.getSiblingDB({json.dumps(stored['database'])}).getCollection({json.dumps(stored['collection'])})"
    script = f"{place}.updateOne({{_id: {wanted}}}, {change})"
    return f'mongosh "$JOBWRIGHT_IMPORT_ADDRESS" --eval {shlex.quote(script)}'


# -- schedules ---------------------------------------------------------------------------------------------------------

_KNOWN = {
    "priority",
    "disabled",
    "nextRunAt",
    "lastRunAt",
    "repeatInterval",
    "repeatTimezone",
    "repeatAt",
    "startDate",
    "endDate",
    "skipDays",
}


def _times(document: Mapping[str, Any], options: SourceOptions, draft: Draft) -> Times | None:
    """Adds the schedule of a document to the draft. Raises Refused for what a person must decide."""
    if document.get("disabled") is not None and document["disabled"] is not True:
        draft.mapped("disabled", _text(document["disabled"]), "paused", "it is not disabled")
    next_run, last_run = _moment(document.get("nextRunAt")), _moment(document.get("lastRunAt"))
    if not _repeats(document):
        return _once(document, next_run, options, draft)
    draft.body["misfire"] = {"policy": "once"}
    draft.mapped("missed times", "", "misfire.policy", "Agenda makes up for a time that it missed, once; so does the job")
    zone, skipped = _timezone(document, options), _skipped(document)
    interval = _interval(document)
    if interval is None:
        times, fields = _of_expression(document, zone, skipped, draft)
        if next_run is not None and first_after(times, options.now) != first_after(times.without_next_run(), options.now):
            fields["start_at"] = next_run.isoformat()
    else:
        anchor = next_run or (last_run + timedelta(seconds=interval) if last_run else None)
        fields = interval_fields(interval, anchor, skipped, zone)
        times = AgendaTimes(seconds=interval, anchor=anchor, skipped=skipped, zone=zone, next_run=next_run)
        target = "schedule.interval_seconds" if fields["type"] == "interval" else "schedule.expression"
        draft.mapped("repeatInterval", _text(document["repeatInterval"]), target, f"{interval:,.0f} s after the last run")
    _limits(document, fields, options, draft)
    _note_runs(document, fields, options, draft)
    draft.body["schedule"] = fields
    if "repeatTimezone" in document:
        reason = "" if document["repeatTimezone"] else f"it is that of the processes of Agenda: {zone}"
        draft.mapped("repeatTimezone", _text(document["repeatTimezone"]), "schedule.timezone", reason)
    if "skipDays" in document:
        words = f"no runs on {day_names(skipped)}" if skipped else "no day is skipped"
        draft.mapped("skipDays", _text(document["skipDays"]), "schedule.expression" if skipped else "schedule.type", words)
    return replace(times, end=_moment(document.get("endDate")))


def _of_expression(document: Mapping[str, Any], zone: str, skipped: frozenset[int], draft: Draft) -> tuple[AgendaTimes, dict[str, Any]]:
    """Returns the times and the schedule of an expression, or of the time of day in `repeatAt`."""
    cron = read_node_cron(_expression(document))
    fields: dict[str, Any] = {**node_schedule(cron, skipped), "timezone": zone}
    written = "repeatAt" if document.get("repeatInterval") in {None, ""} else "repeatInterval"
    name = "expression" if "expression" in fields else "rule"
    same = fields[name] == document[written]
    draft.mapped(written, _text(document[written]), f"schedule.{name}", "" if same else f"in the terms of Jobwright: {fields[name]}")
    if written == "repeatInterval" and "repeatAt" in document:
        draft.dropped("repeatAt", _text(document["repeatAt"]), "Agenda uses the interval if there are both")
    return AgendaTimes(cron=cron, skipped=skipped, zone=zone, next_run=_moment(document.get("nextRunAt"))), fields


def _once(document: Mapping[str, Any], next_run: datetime | None, options: SourceOptions, draft: Draft) -> Times | None:
    """A single run (types/JobParameters.ts): its time is `nextRunAt`."""
    for name in ("lastRunAt", "repeatTimezone", "startDate", "endDate", "skipDays", "repeatInterval", "repeatAt"):
        if name in document:
            draft.dropped(name, _text(document[name]), "it says nothing of a single run")
    if next_run is None or next_run <= options.now:
        raise Refused(f"it is a single run that is overdue since {document.get('nextRunAt')}")
    draft.body["schedule"] = {"type": "once", "run_at": next_run.isoformat(), "timezone": "UTC"}
    draft.mapped("nextRunAt", str(document["nextRunAt"]), "schedule.run_at")
    return AgendaTimes(zone="UTC", next_run=next_run)


def _by_hand(document: Mapping[str, Any], why: str, draft: Draft) -> None:
    """A job without a schedule, if somebody decides so."""
    draft.body.pop("misfire", None)
    noted = {field.name for field in draft.fields}
    draft.fields[:] = [field for field in draft.fields if field.name != "missed times"]
    for name in _KNOWN & set(document) - noted - {"disabled"}:
        draft.waits(name, _text(document[name]), why)
    ask_without_schedule(draft, f"No schedule of Jobwright has these times: {why}.")


def _interval(document: Mapping[str, Any]) -> float | None:
    """Returns the seconds of an interval; None if it is an expression (utils/nextRunAt.ts: a readable interval comes before one)."""
    value = document.get("repeatInterval")
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds: float | None = value / 1000
    else:
        seconds = human_seconds(value) if isinstance(value, str) else None
    if seconds is not None and (seconds < 1 or seconds != int(seconds)):
        raise Refused(f"Agenda reads the interval {value!r} as {seconds:g} s, and a job has whole seconds from 1 on")
    return seconds


def _expression(document: Mapping[str, Any]) -> str:
    value = document.get("repeatInterval")
    return str(value) if value not in {None, ""} else _daily(str(document["repeatAt"]))


def _daily(text: str) -> str:
    """Returns the expression of `repeatAt`, a time of day such as 3:30pm (Agenda, README, repeatAt). Raises Refused for other texts."""
    for form in ("%I:%M%p", "%I%p", "%H:%M"):
        try:
            moment = datetime.strptime(text.strip().lower().removeprefix("at ").replace(" ", ""), form)  # noqa: DTZ007 - a time of day
        except ValueError:
            continue
        return f"{moment.minute} {moment.hour} * * *"
    raise Refused(f"the time {text!r} of repeatAt is not a time of day such as 3:30pm")


def _timezone(document: Mapping[str, Any], options: SourceOptions) -> str:
    own = document.get("repeatTimezone")
    if own:
        if not is_zone(str(own)):
            raise Refused(f"{own!r} is not an IANA time zone")
        return str(own)
    if _interval(document) is not None and not document.get("skipDays"):
        return "UTC"
    if not options.timezone:
        raise SourceError(
            "Some entries have no repeatTimezone. Give the time zone of the processes of Agenda, such as --zone UTC for most containers."
        )
    return options.timezone


def _skipped(document: Mapping[str, Any]) -> frozenset[int]:
    """Returns the days of the week that are skipped, from 0 for Sunday (utils/dateConstraints.ts). Raises Refused."""
    days = document.get("skipDays")
    if days in (None, [], ""):
        return frozenset()
    if not isinstance(days, list) or not all(isinstance(day, int) and 0 <= day <= 6 for day in days):
        raise Refused(f"skipDays {_text(days)} is of Agenda 5 or older, where it moves each run by that time")
    if len(set(days)) == 7:
        raise Refused("skipDays has all days of the week")
    return frozenset(days)


def _limits(document: Mapping[str, Any], fields: dict[str, Any], options: SourceOptions, draft: Draft) -> None:
    """The first and the last day (utils/dateConstraints.ts, applyAllDateConstraints): a run at the end itself still happens."""
    start, end = _moment(document.get("startDate")), _moment(document.get("endDate"))
    if start is not None and start > options.now:
        draft.mapped("startDate", _text(document["startDate"]), "schedule.start_at", "Agenda has put the next run behind it")
    elif "startDate" in document:
        draft.dropped("startDate", _text(document["startDate"]), "it has passed" if start else "there is none")
    if end is not None and end <= options.now:
        raise Refused(f"it has ended at {document['endDate']}")
    if end is not None:
        fields["end_at"] = (end + timedelta(seconds=1)).isoformat()
        draft.mapped("endDate", _text(document["endDate"]), "schedule.end_at")
    elif "endDate" in document:
        draft.dropped("endDate", _text(document["endDate"]), "there is none")


def _note_runs(document: Mapping[str, Any], fields: Mapping[str, Any], options: SourceOptions, draft: Draft) -> None:
    """Says what becomes of the next and of the last run. Nothing runs at once: what is overdue is not made up for."""
    next_run = _moment(document.get("nextRunAt"))
    if next_run is not None:
        moved = "schedule.start_at" if "start_at" in fields else "schedule"
        overdue = "" if next_run > options.now else "it is overdue, and not made up for. The next times are counted from it"
        draft.mapped("nextRunAt", _text(document["nextRunAt"]), moved, overdue)
    elif "nextRunAt" in document:
        draft.dropped("nextRunAt", _text(document["nextRunAt"]), "there is no next run")
    if next_run is None and document.get("lastRunAt") and "start_at" in fields:
        draft.mapped("lastRunAt", _text(document["lastRunAt"]), "schedule.start_at", "the interval is counted from it")
    elif "lastRunAt" in document:
        draft.dropped("lastRunAt", _text(document["lastRunAt"]), f"the next run is known, and {_HISTORY}")


def _priority(document: Mapping[str, Any], draft: Draft) -> None:
    """-20 to 20, 20 first (utils/priority.ts), becomes 1 to 10, 10 first."""
    value = document.get("priority")
    if isinstance(value, int | float) and not isinstance(value, bool) and value:
        share = max(-1.0, min(1.0, value / _LARGEST_PRIORITY))
        draft.body["priority"] = max(1, min(10, round(5 + 5 * share)))
        draft.mapped("priority", _text(value), "priority", f"{draft.body['priority']} of 1 to 10")
    elif "priority" in document:
        draft.dropped("priority", _text(value), "it is the usual one")


def _moment(value: Any) -> datetime | None:
    """Returns a time to the second; None if there is none."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.replace(microsecond=0, tzinfo=found.tzinfo or UTC)
