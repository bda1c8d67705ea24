"""The schedule of a job for a trigger of APScheduler 3, and the times at which the trigger fires.

A trigger is described in values of JSON (app.imports.stores.aps_state). Each of its fields gets a fate in the draft.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from app.imports.dialects.aps import FIELDS, CronRule, TriggerRefused, read_cron
from app.imports.dialects.spelling import schedule_of
from app.imports.entries import Draft
from app.imports.fires import Times
from app.imports.intervals import SECOND, interval_seconds, interval_times, next_whole_second, single_time, whole_second
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule
from app.zones import is_zone
from app.zones import zone as zone_of

Spec = Mapping[str, Any]
MOST_INTERVAL = 1_000  # of a calendar rule
MOST_JITTER = 86_400
_ZONE_UNKNOWN = "its time zone is not known. Give it with --zone"


def trigger_schedule(spec: Spec, timezone: str, next_run: datetime | None, draft: Draft) -> Times | None:
    """Adds the schedule for a trigger to the draft. `timezone` is for a trigger without a known one, and `next_run` the time that
    APScheduler has noted. Returns the times of the trigger; None if the job has no schedule."""
    zone = str(spec.get("timezone") or timezone)
    if spec["type"] not in {"date", "and", "or"} and not is_zone(zone):
        without_schedule(draft, "trigger", describe(spec), _ZONE_UNKNOWN)
        return None
    makers: dict[str, Callable[[], Times | None]] = {
        "cron": lambda: _cron(spec, zone, draft),
        "interval": lambda: _interval(spec, zone, next_run, draft),
        "date": lambda: _once(spec, draft),
        "calendarinterval": lambda: _calendar_interval(spec, zone, draft),
        "and": lambda: _both(spec, timezone, draft),
    }
    maker = makers.get(spec["type"])
    if maker is None:
        without_schedule(draft, "trigger", describe(spec), f"the trigger {spec['type']} is inside another one")
        return None
    times = maker()
    if times is not None:
        _jitter(spec, draft)
    return times


def describe(spec: Spec) -> str:
    """Returns a trigger as APScheduler shows it: `cron[hour='2']`, `interval[60 s]`."""
    match spec["type"]:
        case "cron":
            own = [f"{name}='{text}'" for name, text in spec["fields"].items() if text != "*"]
            return f"cron[{', '.join(own)}]"
        case "interval":
            return f"interval[{spec['seconds']:g} s]"
        case "date":
            return f"date[{spec['at']}]"
        case "calendarinterval":
            spans = [f"{spec[name]} {name}" for name in ("years", "months", "weeks", "days") if spec[name]]
            return f"calendarinterval[{', '.join(spans)}, at {_clock(spec).isoformat()}]"
    return f"{spec['type']}[{', '.join(describe(part) for part in spec['triggers'])}]"


def may_coincide(first: Spec, second: Spec) -> bool:
    """Whether two triggers can fire at the same time. True where that is not known."""
    if first["type"] != "cron" or second["type"] != "cron":
        return True
    try:
        both = read_cron(first["fields"], first.get("timezone", "")).both(read_cron(second["fields"], second.get("timezone", "")))
    except TriggerRefused:
        return True
    return both is None or not both.never


# -- cron ---------------------------------------------------------------------------------------------------------------


def _cron(spec: Spec, zone: str, draft: Draft) -> Times | None:
    try:
        rule = _rule(spec, zone)
    except TriggerRefused as refused:
        without_schedule(draft, "trigger", describe(spec), str(refused))
        return None
    if not _of_rule(rule, describe(spec), draft):
        return None
    target = "schedule.expression" if draft.body["schedule"]["type"] == "cron" else "schedule.rule"
    fields = spec["fields"]
    for name in FIELDS:
        if name in fields and not (fields[name] == "*" and name in {"year", "week"}):
            reason = "APScheduler counts the days of the week from Monday, which is 0" if name == "day_of_week" else ""
            bounds = "schedule.start_at, schedule.end_at" if name == "year" else target
            draft.mapped(name, fields[name], bounds, reason)
    return rule.times


def _rule(spec: Spec, zone: str) -> CronRule:
    return read_cron(spec["fields"], zone, start=_instant(spec.get("start")), end=_instant(spec.get("end")))


def _of_rule(rule: CronRule, text: str, draft: Draft) -> bool:
    """Adds the schedule of a rule. Returns False if there is none."""
    if rule.never:
        without_schedule(draft, "trigger", text, "a field leaves no time")
        return False
    years = sorted(rule.years or ())
    if years and years != list(range(years[0], years[-1] + 1)):
        without_schedule(draft, "trigger", text, "it has years with other years between them")
        return False
    schedule = schedule_of(rule.pattern, rule.timezone)
    if schedule is None:
        why = "neither a cron expression nor a calendar rule can combine these days, or the day has more than 1,440 times"
        without_schedule(draft, "trigger", text, why)
        return False
    start, end = rule.start, rule.end + SECOND if rule.end else None
    if years:
        first, last = _midnight(date(years[0], 1, 1), rule.timezone), _midnight(date(min(years[-1], 9998) + 1, 1, 1), rule.timezone)
        start, end = max(first, start or first), min(last, end or last) if years[-1] < 9999 else end
    draft.body["schedule"] = {**schedule, **_bounds(start, end, draft)}
    draft.mapped("timezone", rule.timezone, "schedule.timezone")
    return True


def _bounds(start: datetime | None, end: datetime | None, draft: Draft) -> dict[str, str]:
    """Returns the beginning and the end of a schedule. `end` is the first instant after the last time."""
    bounds = {}
    if start is not None:
        bounds["start_at"] = next_whole_second(start).isoformat()
        draft.mapped("start_date", start.isoformat(), "schedule.start_at")
    if end is not None:
        bounds["end_at"] = whole_second(end).isoformat()
        draft.mapped(
            "end_date", end.isoformat(), "schedule.end_at", "the end of a trigger is its last time, and that of a job comes after it"
        )
    return bounds


def _both(spec: Spec, timezone: str, draft: Draft) -> Times | None:
    """All of several cron triggers are one with fewer values. Other combinations have no schedule."""
    rule: CronRule | None = None
    for part in spec["triggers"]:
        zone = str(part.get("timezone") or timezone)
        if part["type"] != "cron" or not is_zone(zone):
            rule = None
            break
        try:
            other = _rule(part, zone)
        except TriggerRefused:
            rule = None
            break
        rule = other if rule is None else rule.both(other)
        if rule is None:
            break
    if rule is None:
        without_schedule(draft, "trigger", describe(spec), "only cron triggers of one time zone can be combined with and")
        return None
    if not _of_rule(rule, describe(spec), draft):
        return None
    draft.mapped("trigger", describe(spec), "schedule", "the values that all of its triggers have")
    return rule.times


# -- others -------------------------------------------------------------------------------------------------------------


def _interval(spec: Spec, zone: str, next_run: datetime | None, draft: Draft) -> Times | None:
    """An interval counts on from the time that is noted as the next one, or from its start if it has jitter, which moves that time."""
    try:
        seconds = interval_seconds(spec["seconds"])
    except NoSchedule as refused:
        without_schedule(draft, "trigger", describe(spec), str(refused))
        return None
    start, end = _instant(spec.get("start")), _instant(spec.get("end"))
    first = whole_second((None if spec.get("jitter") else next_run) or start or datetime(2000, 1, 1, tzinfo=UTC))
    end_at = whole_second(end) + SECOND if end else None
    draft.body["schedule"] = {
        "type": "interval",
        "interval_seconds": seconds,
        "timezone": zone,
        "start_at": first.isoformat(),
        **({"end_at": end_at.isoformat()} if end_at else {}),
    }
    draft.mapped("interval", f"{seconds} s", "schedule.interval_seconds")
    draft.mapped("start_date", first.isoformat(), "schedule.start_at", "the interval is counted from here, in whole seconds")
    draft.mapped("timezone", zone, "schedule.timezone", "an interval has the same length in all time zones")
    if end:
        draft.mapped("end_date", end.isoformat(), "schedule.end_at")
    return partial(interval_times, first, timedelta(seconds=seconds), end_at)


def _once(spec: Spec, draft: Draft) -> Times | None:
    at = next_whole_second(_required(spec["at"]))
    draft.body["schedule"] = {"type": "once", "run_at": at.isoformat()}
    draft.mapped("run_date", spec["at"], "schedule.run_at")
    return partial(single_time, at)


def _calendar_interval(spec: Spec, zone: str, draft: Draft) -> Times | None:
    months, days = spec["years"] * 12 + spec["months"], spec["weeks"] * 7 + spec["days"]
    start, clock = date.fromisoformat(spec["start"]), _clock(spec)
    if bool(months) == bool(days) or max(months, days) > MOST_INTERVAL:
        why = "it counts in months and in days together" if months and days else "it counts further than 1,000 days or months"
        without_schedule(draft, "trigger", describe(spec), why)
        return None
    frequency = f"FREQ=MONTHLY;INTERVAL={months};BYMONTHDAY={start.day}" if months else f"FREQ=DAILY;INTERVAL={days}"
    rule = f"{frequency};BYHOUR={clock.hour};BYMINUTE={clock.minute};BYSECOND={clock.second}"
    end = date.fromisoformat(spec["end"]) if spec.get("end") else None
    draft.body["schedule"] = {
        "type": "calendar",
        "rule": rule,
        "counted_from": start.isoformat(),
        "timezone": zone,
        "start_at": _midnight(start, zone).isoformat(),
        **({"end_at": _midnight(end + timedelta(days=1), zone).isoformat()} if end else {}),
    }
    for name in ("years", "months", "weeks", "days"):
        if spec[name]:
            draft.mapped(name, str(spec[name]), "schedule.rule")
    draft.mapped("time", clock.isoformat(), "schedule.rule")
    draft.mapped("start_date", start.isoformat(), "schedule.counted_from, schedule.start_at")
    draft.mapped("timezone", zone, "schedule.timezone")
    if end:
        draft.mapped("end_date", end.isoformat(), "schedule.end_at")
    return partial(_calendar_times, start, months, days, clock, end, zone)


def _calendar_times(
    start: date, months: int, days: int, clock: time, end: date | None, zone: str, after: datetime, until: datetime
) -> Iterator[datetime]:
    """The times of a calendar interval in (after, until]: a day that a month does not have is left out, as is a time that the clock skips.
    Of a time that comes twice, the first one counts."""
    tz, count = zone_of(zone), 0
    day: date | None = start
    while day is None or day <= until.astimezone(tz).date():
        if day is not None and (end is None or day <= end):
            moment = datetime.combine(day, clock, tzinfo=tz).astimezone(UTC)
            if after < moment <= until and moment.astimezone(tz).time() == clock:
                yield moment
        count += 1
        day = start + timedelta(days=days * count) if days else _month_later(start, months * count)


def _month_later(start: date, months: int) -> date | None:
    year, month = start.year + (start.month - 1 + months) // 12, (start.month - 1 + months) % 12 + 1
    return date(year, month, start.day) if start.day <= monthrange(year, month)[1] else None


def _jitter(spec: Spec, draft: Draft) -> None:
    if spec.get("jitter"):
        seconds = min(MOST_JITTER, max(1, math.ceil(spec["jitter"])))
        draft.body["schedule"]["jitter_seconds"] = seconds
        reason = "the delay is the same for each run of the job, and not made up anew"
        draft.mapped("jitter", f"{spec['jitter']:g} s", "schedule.jitter_seconds", reason)


def _clock(spec: Spec) -> time:
    hour, minute, second = (min(value, most) for value, most in zip(spec["time"], (23, 59, 59), strict=True))
    return time(hour, minute, second)


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone_of(zone)).astimezone(UTC)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _required(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
