"""The schedule of the job form: reads what was posted, and tells what it means in words and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from app import durations
from app.errors import FieldError, ValidationFailed
from app.instants import in_zone
from app.jobs.model import Schedule
from app.jobs.reading import load_definition
from app.triggers import CronTrigger, ManualTrigger
from app.triggers.words import duration_words
from app.zones import is_zone
from app.zones import zone as zone_of
from web.current import actor, services, viewer_zone
from web.forms.names import small_number
from web.language import language
from web.schedule_parts import PARTS, read_local_instant, written_local
from web.views.upcoming import upcoming

CROWDED = 3  # from so many other jobs in one minute on, the preview mentions them
CALENDAR = "s.calendar:"  # begins the name of a checkbox per calendar; the calendar's name follows
# The ids of the inputs that all types of schedule share, by field.
COMMON_IDS = {"timezone": "s-timezone", "start_at": "s-start", "end_at": "s-end", "jitter_seconds": "s-jitter"}


def merged(posted: Mapping[str, str]) -> dict[str, str]:
    """The posted fields, in which each part has reduced its own to those that `read_schedule` knows."""
    fields = dict(posted)
    for part in PARTS.values():
        fields = part.merged(fields)
    return fields


def input_ids() -> dict[str, str]:
    """The ids of the inputs of the form by the pointers of their fields."""
    ids = {field.name: part.input_id(field.name) for part in PARTS.values() for field in part.trigger.fields}
    return {f"/schedule/{name}": input_id for name, input_id in (ids | COMMON_IDS).items()}


def parts_context(fields: Mapping[str, str]) -> dict[str, Any]:
    """The variables that the partials of all parts need, for `merged` fields."""
    context: dict[str, Any] = {"schedule_parts": list(PARTS.values())}
    for part in PARTS.values():
        context |= part.context(fields)
    return context


def read_schedule(fields: Mapping[str, str]) -> tuple[dict[str, Any], list[FieldError]]:
    """The schedule in `merged` fields, as the body of a request has it, and what is wrong with it."""
    chosen = fields.get("s.type", ManualTrigger.type)
    zone = fields.get("s.timezone") or services().settings.timezone
    schedule: dict[str, Any] = {"type": chosen, "timezone": zone}
    part, errors = PARTS.get(chosen), list[FieldError]()
    if part is not None:
        values, errors = part.read(fields, zone)
        schedule |= values
        if not part.trigger.is_timed:
            return schedule, errors
    for name in ("start_at", "end_at"):
        schedule |= read_local_instant(fields.get(f"s.{name}", ""), zone, name, errors, required=False)
    jitter = fields.get("s.jitter", "").strip()
    if jitter:
        try:
            schedule["jitter_seconds"] = durations.parse(jitter)
        except durations.DurationRefused as refused:
            errors.append(FieldError("/schedule/jitter_seconds", refused.args[0]))
    calendars = sorted(name.removeprefix(CALENDAR) for name in fields if name.startswith(CALENDAR))
    return {**schedule, **({"calendars": calendars} if calendars else {})}, errors


def schedule_fields(schedule: Schedule | None) -> dict[str, str]:
    """The fields that would be posted for this schedule. A new job has the default values of each type and the viewer's time zone, and
    cron is chosen."""
    timezone = schedule.trigger.timezone if schedule else viewer_zone()
    zone = zone_of(timezone) if is_zone(timezone) else UTC
    values = schedule.values() if schedule else {}
    fields = {"s.type": values.get("type", CronTrigger.type), "s.timezone": timezone}
    for part in PARTS.values():
        fields |= part.posted(values, zone)
    if schedule is None:
        return fields
    fields |= {f"s.{name}": written_local(values[name], zone) for name in ("start_at", "end_at")}
    fields["s.jitter"] = durations.write(schedule.jitter_seconds) if schedule.jitter_seconds else ""
    return fields | {f"{CALENDAR}{name}": "1" for name in schedule.calendars}


def preview_schedule(posted: Mapping[str, str]) -> dict[str, Any]:
    """The schedule in words, its next runs in its own zone, or what is wrong with it."""
    fields = merged(posted)
    raw, errors = read_schedule(fields)
    if not errors:
        try:
            schedule = load_definition({"name": "x", "template_type": "x", "schedule": raw}, services().settings).schedule
            errors = services().triggers.check(schedule, services().clock.now())
        except ValidationFailed as failed:
            errors = list(failed.errors)
    if errors:
        return {"errors": [error.message for error in errors], "words": "", "runs": []}
    spread = duration_words(schedule.jitter_seconds, language()) if schedule.jitter_seconds else ""
    typical, job_id = small_number(fields.get("s.typical", "")), fields.get("s.job", "")
    runs = upcoming(services(), schedule, typical)
    return {
        "errors": [],
        "words": schedule.trigger.words(language()),
        "remarks": [remark.message for remark in schedule.trigger.remarks()],
        "spread": spread,
        "runs": runs,
        "zone": schedule.trigger.timezone,
        "rush": _rush(schedule, runs, job_id),
        "old": _stored(schedule, typical, job_id),
    }


def _rush(schedule: Schedule, runs: list[dict[str, Any]], job_id: str) -> dict[str, Any] | None:
    """How crowded the minute of the next run is, and the preset by which the job would run in a freer one."""
    if not runs:
        return None
    rush = services().forecast.rush(runs[0]["utc"], without=job_id or None)
    if rush.others < CROWDED:
        return None
    trigger, preset, local = schedule.trigger, "", None
    part = PARTS[trigger.type]
    if rush.free is not None:
        local = in_zone(rush.free, zone_of(trigger.timezone))
        preset = part.preset_at(trigger, local, same_hour=local.hour == runs[0]["local"].hour)
    return {"others": rush.others, "at": runs[0]["local"], "free": local, "others_then": rush.others_then, "preset": preset, "part": part}


def _stored(schedule: Schedule, typical: int, job_id: str) -> dict[str, Any] | None:
    """The schedule that the job has; None if the form has the same, or if there is no job yet."""
    if not job_id:
        return None
    stored = services().jobs.get(actor(), job_id).definition.schedule
    if replace(stored, jitter_seconds=schedule.jitter_seconds) == schedule:
        return None
    return {"words": stored.trigger.words(language()), "runs": upcoming(services(), stored, typical), "zone": stored.trigger.timezone}
