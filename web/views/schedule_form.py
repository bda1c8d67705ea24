"""The schedule's own fields: how they are posted, and what a schedule means in words and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import islice
from typing import Any

from app.errors import FieldError, ValidationFailed
from app.instants import InstantRefused, OutOfBounds, in_zone, parse_local
from app.jobs.model import Schedule, ScheduleType
from app.jobs.reading import load_definition
from app.scheduling.builder import HOUR_STEPS, MINUTE_STEPS, Built, Every, build, built
from app.scheduling.triggers import clock_change
from app.scheduling.words import duration_words, in_words
from app.zones import UnknownZone, is_zone
from app.zones import zone as zone_of
from templates_lib.messages import Said, joined, say
from web.current import actor, services
from web.forms.names import small_number
from web.language import language

PREVIEWED_RUNS = 5
CROWDED = 3  # other jobs in one minute, from which on it is worth a word
ON_DAY = "b.on:"  # a box a day of the week, by its number
_BY_THE_CLOCK = {Every.DAY, Every.WEEK, Every.MONTH}
PRESETS = (
    (say("Every 15 minutes"), "*/15 * * * *"),
    (say("Each hour"), "0 * * * *"),
    (say("Each night"), "0 2 * * *"),
    (say("Mornings, Monday to Friday"), "30 6 * * 1-5"),
    (say("Mondays"), "0 8 * * 1"),
    (say("First of the month"), "0 6 1 * *"),
)
WEEKDAYS = ((1, say("Mon")), (2, say("Tue")), (3, say("Wed")), (4, say("Thu")), (5, say("Fri")), (6, say("Sat")), (0, say("Sun")))
CALENDAR = "s.calendar:"  # a box a calendar, by name


def settled(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields with one expression out of its three views: a preset that was pressed, else the expression where it was edited, else the
    builder where that was. `s.shown` is the expression that the page was drawn for; the builder's fields have had their say, and go."""
    found = dict(fields)
    shown, expression = found.get("s.shown"), found.get("s.expression", "").strip()
    if preset := found.pop("s.preset", ""):
        found["s.expression"] = preset
    elif shown is not None and expression == shown and found.get("b.every"):
        made = _posted_builder(found)
        if made != built(shown):
            found["s.expression"] = made.expression
    found["s.shown"] = found.get("s.expression", "").strip()
    return {name: value for name, value in found.items() if not name.startswith("b.")}


def _posted_builder(fields: Mapping[str, str]) -> Built:
    every = fields.get("b.every", "")
    step = fields.get("b.minutes", "") if every == Every.MINUTES else fields.get("b.hours", "")
    parts = {
        "every": every,
        "step": step,
        "time": fields.get("b.time", ""),
        "minute": fields.get("b.minute", ""),
        "day": fields.get("b.day", ""),
    }
    return build(parts, [name.removeprefix(ON_DAY) for name in fields if name.startswith(ON_DAY)])


def builder(fields: Mapping[str, str]) -> dict[str, Any]:
    """What the builder shows of an expression; `known` is False for one that says more than it can."""
    expression = fields.get("s.expression", "")
    found = built(expression)
    return {
        "known": found is not None,
        "is": found or Built(),
        "shown": expression.strip(),
        "minute_steps": MINUTE_STEPS,
        "hour_steps": HOUR_STEPS,
        "presets": PRESETS,
        "days": WEEKDAYS,
    }


def read_schedule(fields: Mapping[str, str]) -> tuple[dict[str, Any], list[FieldError]]:
    """The schedule in the posted fields `s.…`, as the body has it."""
    kind, errors = fields.get("s.type", "manual"), []
    schedule: dict[str, Any] = {"type": kind, "timezone": fields.get("s.timezone") or services().settings.timezone}
    if kind == ScheduleType.CRON:
        schedule["expression"] = fields.get("s.expression", "").strip()
        if not schedule["expression"]:
            errors.append(FieldError("/schedule/expression", "is required"))
    elif kind == ScheduleType.INTERVAL:
        amount, unit = fields.get("s.every", "").strip(), fields.get("s.unit", "1")
        if amount.isdigit() and amount.isascii() and len(amount) < 9 and unit in {"1", "60", "3600", "86400"}:
            schedule["interval_seconds"] = int(amount) * int(unit)
        else:
            errors.append(FieldError("/schedule/interval_seconds", "must be a whole number, such as 15"))
    elif kind == ScheduleType.ONCE:
        schedule |= _local_instant(fields.get("s.run_at", ""), schedule["timezone"], "run_at", errors, required=True)
    for name in ("start_at", "end_at"):
        if fields.get(f"s.{name}") and kind != ScheduleType.MANUAL:
            schedule |= _local_instant(fields[f"s.{name}"], schedule["timezone"], name, errors, required=False)
    jitter = fields.get("s.jitter", "").strip()
    if jitter and kind != ScheduleType.MANUAL:
        if jitter.isdigit() and jitter.isascii() and len(jitter) < 9:
            schedule["jitter_seconds"] = int(jitter)
        else:
            errors.append(FieldError("/schedule/jitter_seconds", "must be a whole number, such as 300"))
    calendars = sorted(name.removeprefix(CALENDAR) for name in fields if name.startswith(CALENDAR))
    if calendars and kind != ScheduleType.MANUAL:
        schedule["calendars"] = calendars
    return schedule, errors


def _local_instant(text: str, zone: str, name: str, errors: list[FieldError], *, required: bool) -> dict[str, str]:
    """A date and time as <input type=datetime-local> posts it, in the schedule's zone, as an instant."""
    if not text and not required:
        return {}
    try:
        return {name: parse_local(text, zone_of(zone)).isoformat()}
    except UnknownZone as error:
        errors.append(FieldError("/schedule/timezone", str(error)))
    except OutOfBounds as error:
        errors.append(FieldError(f"/schedule/{name}", str(error)))
    except InstantRefused:
        errors.append(FieldError(f"/schedule/{name}", "must be a date and time, such as 2026-03-29T02:30"))
    return {}


def schedule_fields(schedule: Schedule | None) -> dict[str, str]:
    """The posted fields that would give this schedule; for a new job, every night at two."""
    if schedule is None:
        return {
            "s.type": "cron",
            "s.expression": "0 2 * * *",
            "s.timezone": services().settings.timezone,
            "s.every": "15",
            "s.unit": "60",
        }
    zone = zone_of(schedule.timezone) if is_zone(schedule.timezone) else UTC
    fields = {
        "s.type": schedule.type.value,
        "s.timezone": schedule.timezone,
        "s.expression": schedule.expression or "0 2 * * *",
        "s.jitter": str(schedule.jitter_seconds or ""),
    }
    unit = next((size for size in (86400, 3600, 60) if schedule.interval_seconds and schedule.interval_seconds % size == 0), 1)
    fields |= {"s.every": str((schedule.interval_seconds or 900) // unit), "s.unit": str(unit)}
    for name in ("run_at", "start_at", "end_at"):
        moment = getattr(schedule, name)
        fields[f"s.{name}"] = in_zone(moment, zone).replace(tzinfo=None).isoformat(timespec="seconds") if moment else ""
    return fields | {f"{CALENDAR}{name}": "1" for name in schedule.calendars}


def preview_schedule(fields: Mapping[str, str]) -> dict[str, Any]:
    """The schedule in words, its next runs in its own zone, or what is wrong with it."""
    fields = settled(fields)
    raw, errors = read_schedule(fields)
    if not errors:
        try:
            schedule = load_definition({"name": "x", "template_type": "x", "schedule": raw}, services().settings).schedule
            errors = services().triggers.check(schedule, services().clock.now())
        except ValidationFailed as failed:
            errors = list(failed.errors)
    if errors:
        return {"errors": [error.message for error in errors], "words": "", "runs": []}
    late = duration_words(schedule.jitter_seconds, language()) if schedule.jitter_seconds else ""
    typical, job_id = small_number(fields.get("s.typical", "")), fields.get("s.job", "")
    runs = upcoming(schedule, typical)
    return {
        "errors": [],
        "words": in_words(schedule, language()),
        "spread": late,
        "runs": runs,
        "zone": schedule.timezone,
        "rush": _rush(schedule, runs, job_id),
        "old": _old(schedule, typical, job_id),
    }


def _rush(schedule: Schedule, runs: list[dict[str, Any]], job_id: str) -> dict[str, Any] | None:
    """How crowded the minute of the next run is, and the expression that would have it in a freer one."""
    if not runs:
        return None
    found = services().forecast.rush(runs[0]["utc"], without=job_id or None)
    if found.others < CROWDED:
        return None
    made = built(schedule.expression or "")
    local = in_zone(found.free, zone_of(schedule.timezone)) if found.free else None
    same_hour = local is not None and local.hour == runs[0]["local"].hour
    movable = made is not None and made.every is not Every.MINUTES and local is not None and (same_hour or made.every in _BY_THE_CLOCK)
    free = replace(made, minute=local.minute, hour=local.hour).expression if movable and made and local else ""
    return {"others": found.others, "at": runs[0]["local"], "free": local, "others_then": found.others_then, "expression": free}


def _old(schedule: Schedule, typical: int, job_id: str) -> dict[str, Any] | None:
    """The schedule that the job has, where the form has another."""
    if not job_id:
        return None
    stored = services().jobs.get(actor(), job_id).definition.schedule
    if replace(stored, jitter_seconds=schedule.jitter_seconds) == schedule:
        return None
    return {"words": in_words(stored, language()), "runs": upcoming(stored, typical), "zone": stored.timezone}


def upcoming(schedule: Schedule, typical_seconds: int = 0) -> list[dict[str, Any]]:
    """The next runs {utc, local, note}: in the job's own zone, with what is special of each: a blackout, a change of the clock, the run
    before it still running where one takes `typical_seconds`. None where they cannot be computed, or the zone of a calendar is unknown
    here."""
    if services().triggers.not_computable(schedule) is not None:
        return []
    try:
        return _upcoming(schedule, typical_seconds)
    except UnknownZone:
        return []


def _upcoming(schedule: Schedule, typical_seconds: int) -> list[dict[str, Any]]:
    zone = zone_of(schedule.timezone)
    moments = list(islice(services().triggers.iter_after(schedule, services().clock.now()), PREVIEWED_RUNS))
    blackouts, runs = services().triggers.blackouts(schedule), []
    for place, moment in enumerate(moments):
        hit = blackouts.at(moment)
        notes = [say("skipped: {calendar}", calendar=hit.calendar)] if hit else []
        notes += _change_in_words(clock_change(moment, schedule.timezone))
        if place and typical_seconds > (moment - moments[place - 1]).total_seconds():
            notes.append(say("the run before it takes about {time}", time=duration_words(typical_seconds, language())))
        runs.append({"utc": moment, "local": in_zone(moment, zone), "note": joined(notes, "; ")})
    return runs


def _change_in_words(jump: timedelta) -> list[Said]:
    """ "The clock goes forward by 1 hour that day"; nothing for a day like others."""
    if not jump:
        return []
    time = duration_words(int(abs(jump).total_seconds()), language())
    if jump > timedelta(0):
        return [say("the clock goes forward by {time} that day", time=time)]
    return [say("the clock goes back by {time} that day", time=time)]
