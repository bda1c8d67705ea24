"""The schedule of a job for a schedule of Celery Beat, and the times at which Beat sends the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from app.imports.dialects.celery import FIELDS, Crontab, CrontabRefused, read_crontab
from app.imports.dialects.spelling import schedule_of
from app.imports.entries import Draft
from app.imports.fires import HORIZON, Times
from app.imports.intervals import interval_seconds, interval_times, next_whole_second, single_time, whole_second
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule
from app.zones import is_zone

Spec = Mapping[str, Any]
_DAY = 86_400
_ROUNDED = {_DAY: "0 0 * * *", 3_600: "0 * * * *", 60: "* * * * *"}  # intervals that Beat rounds to the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From when to when an entry is sent, when it was sent last, and whether it is sent only once. `now` is the time of the plan."""

    now: datetime
    start: datetime | None = None
    end: datetime | None = None
    last_run: datetime | None = None
    once: bool = False


def beat_schedule(spec: Spec, limits: Limits, draft: Draft) -> Times | None:
    """Adds the schedule to the draft. Returns the times of Beat; None if the job has no schedule."""
    match spec["type"]:
        case "crontab":
            times = _crontab(spec, limits, draft)
        case "interval":
            times = _interval(spec, limits, draft)
        case "clocked":
            return _once(datetime.fromisoformat(spec["at"]), "clocked", draft)
        case "solar":
            why = "they follow the sun, and Jobwright does not know where it stands"
            without_schedule(draft, "solar", describe(spec), why)
            times = None
        case _:
            without_schedule(draft, "schedule", describe(spec), "the schedule is not one of those that Celery itself has")
            times = None
    if times is not None and limits.once:
        first = next(islice(times(limits.now, limits.now + HORIZON), 1), None)
        if first is not None:
            draft.body["schedule"] = {}
            return _once(first, "one_off", draft)
    return times


def describe(spec: Spec) -> str:
    """Returns a schedule as one line."""
    match spec["type"]:
        case "crontab":
            return " ".join(spec[name] for name in FIELDS)
        case "interval":
            return f"every {spec['seconds']:g} s"
        case "clocked":
            return f"at {spec['at']}"
        case "solar":
            return f"{spec['event']} at {spec['latitude']}, {spec['longitude']}"
    return str(spec.get("text", spec["type"]))


def _crontab(spec: Spec, limits: Limits, draft: Draft) -> Times | None:
    zone = spec["timezone"]
    if not is_zone(zone):
        without_schedule(draft, "timezone", zone, f"{zone or 'its time zone'} is not an IANA time zone. Give it with --zone")
        return None
    try:
        crontab = read_crontab({name: spec[name] for name in FIELDS}, zone)
    except CrontabRefused as refused:
        without_schedule(draft, "crontab", describe(spec), str(refused))
        return None
    schedule = schedule_of(crontab.pattern, zone, follow_clock=crontab.follows_clock)
    if schedule is None:
        without_schedule(draft, "crontab", describe(spec), "the day has more than 1,440 times")
        return None
    target = "schedule.expression" if schedule["type"] == "cron" else "schedule.rule"
    draft.body["schedule"] = {**schedule, **_bounds(limits.start, limits, draft)}
    both = schedule["type"] == "calendar"
    for name in FIELDS:
        reason = (
            "Celery wants the day of the month and the day of the week to match, and cron takes either" if both and "day" in name else ""
        )
        draft.mapped(name, spec[name], target, reason)
    draft.mapped("timezone", zone, "schedule.timezone")
    return partial(_crontab_times, crontab, limits)


def _crontab_times(crontab: Crontab, limits: Limits, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of a crontab. At a start that has not come yet, Beat sends the task once, as its crontab has been due before."""
    begin, start = after, limits.start
    if start is not None and start > after:
        if start > limits.now and start <= until:
            yield next_whole_second(start)
        begin = max(after, start - timedelta(microseconds=1), next_whole_second(start) if start > limits.now else after)
    for moment in crontab.times(begin, until):
        if limits.end is not None and moment >= limits.end:
            return
        yield moment


def _interval(spec: Spec, limits: Limits, draft: Draft) -> Times | None:
    seconds = spec["seconds"]
    if spec.get("relative") and seconds in _ROUNDED:
        zone = spec["timezone"] if is_zone(spec.get("timezone", "")) else "UTC"
        draft.body["schedule"] = {"type": "cron", "expression": _ROUNDED[seconds], "timezone": zone, **_bounds(limits.start, limits, draft)}
        draft.mapped("interval", describe(spec), "schedule.expression", "it is relative, so Beat rounds it to the clock")
        draft.mapped("relative", "true", "schedule.expression")
        minute, hour, *_ = _ROUNDED[seconds].split()
        return partial(_crontab_times, read_crontab({"minute": minute, "hour": hour}, zone), limits)
    try:
        whole = interval_seconds(seconds)
        if spec.get("relative") and whole > _DAY:
            raise NoSchedule("Beat rounds it to days, and an interval of a job is not rounded to days")
    except NoSchedule as refused:
        without_schedule(draft, "interval", describe(spec), str(refused))
        return None
    step = timedelta(seconds=whole)
    first = _first(step, limits)
    draft.body["schedule"] = {"type": "interval", "interval_seconds": whole, "timezone": "UTC", **_bounds(first, limits, draft)}
    draft.mapped(
        "interval", describe(spec), "schedule.interval_seconds", "Beat counts from each run, so its times move by the delay of each"
    )
    if spec.get("relative"):
        draft.dropped("relative", "true", "the interval is counted from a whole second")
    return partial(_interval_times, first, step, limits.end)


def _first(step: timedelta, limits: Limits) -> datetime | None:
    """Returns the time from which an interval is counted: the next one after the last run, or the start."""
    after_last = whole_second(limits.last_run + step) if limits.last_run else None
    start = next_whole_second(limits.start) if limits.start else None
    return max((moment for moment in (after_last, start) if moment is not None), default=None)


def _interval_times(first: datetime | None, step: timedelta, end: datetime | None, after: datetime, until: datetime) -> Iterator[datetime]:
    """The times of an interval in (after, until]. Without a first time, it is counted from `after`."""
    return interval_times(first if first is not None else whole_second(after) + step, step, end, after, until)


def _once(at: datetime, name: str, draft: Draft) -> Times:
    moment = next_whole_second(at)
    draft.body["schedule"] = {"type": "once", "run_at": moment.isoformat()}
    draft.mapped(name, moment.isoformat(), "schedule.run_at", "" if name == "clocked" else "it is sent once, at its next time")
    return partial(single_time, moment)


def _bounds(start: datetime | None, limits: Limits, draft: Draft) -> dict[str, str]:
    bounds = {}
    if start is not None:
        bounds["start_at"] = next_whole_second(start).isoformat()
        name = "start_time" if limits.start and next_whole_second(limits.start) == next_whole_second(start) else "last_run_at"
        draft.mapped(name, start.isoformat(), "schedule.start_at")
    if limits.end is not None:
        bounds["end_at"] = next_whole_second(limits.end).isoformat()
        draft.mapped("expires", limits.end.isoformat(), "schedule.end_at")
    return bounds
