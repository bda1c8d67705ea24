"""Instants, durations and schedules in words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time, tzinfo

from flask import has_request_context
from markupsafe import Markup

from app import durations
from app.instants import day_after, in_zone
from app.jobs.model import Schedule
from app.scheduling.calendars import Blackout
from app.triggers.words import duration_words
from app.zones import zone
from templates_lib.messages import counted, say, say_many
from web.current import viewer_zone
from web.language import decimal, instant, language, translated


def relative(moment: datetime | None, now: datetime) -> str:
    """ "in 12 min", "3 h ago", "now"; empty for none."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    size = abs(seconds)
    if size < 2:
        return translated(say("now"))
    forms, length = next((unit for unit in _UNITS if size >= unit[1]), _UNITS[-1])
    singular, plural = forms
    text = say_many(singular, plural, int(size // length))
    return translated(say("in {time}", time=text) if seconds > 0 else say("{time} ago", time=text))


_TIME_OF_DAY = re.compile(r"\b\d{1,2}:\d{2}\b")

_UNITS = (
    (counted("{count} d", "{count} d"), 86_400),
    (counted("{count} h", "{count} h"), 3600),
    (counted("{count} min", "{count} min"), 60),
    (counted("{count} s", "{count} s"), 1),
)


def moment(value: datetime | None, now: datetime) -> Markup:
    """Returns a <time> element that shows a relative time; its title and its attribute have the exact one."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), relative(value, now)
    )


def exact(value: datetime | None) -> Markup:
    """Returns a <time> element that shows the instant itself."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" class="exact" title="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), instant(local(value))
    )


def whole_days(blackout: Blackout, zone: tzinfo) -> int:
    """Returns how many whole days of `zone` a blackout lasts; 0 if it begins or ends in the middle of a day."""
    start, end = in_zone(blackout.start, zone), in_zone(blackout.end, zone)
    return (end.date() - start.date()).days if start.time() == end.time() == time() else 0


def day_before(value: datetime) -> date:
    """Returns the day before the one of `value`: the last day of what ends at midnight."""
    return day_after(value.date(), -1)


def clock(value: datetime | None) -> Markup:
    """Returns a <time> element that shows the time of day, for a list with the days as headings."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), local(value).strftime("%H:%M:%S")
    )


def local(value: datetime) -> datetime:
    """Returns the instant in the viewer's zone, or in UTC outside a request."""
    return in_zone(value, zone(viewer_zone()) if has_request_context() else UTC)


def in_zones(value: datetime) -> str:
    """ "2026-03-29 02:30:00 Europe/Berlin", and below it the same in UTC where that differs."""
    here, utc = local(value), f"{instant(value.astimezone(UTC))} UTC"
    zone = getattr(here.tzinfo, "key", "UTC")
    return utc if zone == "UTC" else f"{instant(here)} {zone}\n{utc}"


def seconds(value: float | None, name: str | None = None) -> str:
    """ "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"; in the language `name`, or in the viewer's."""
    if value is None:
        return "–"
    if value < 60:
        return f"{decimal(value, 2 if value < 10 else 1, name)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def rough_time(seconds: float) -> str:
    """Returns an estimate, as exactly as it can be meant: "8 s", "40 s", "7 min", "2 h 15 min"."""
    step = 1 if seconds < 10 else 5 if seconds < 60 else 30 if seconds < 600 else 60 if seconds < 3_600 else 900
    return durations.write(max(1, round(seconds / step) * step), language())


def schedule_words(schedule: Schedule) -> str:
    """Returns a schedule in words of the viewer's language. A time of day is followed by the time zone of the schedule."""
    trigger = schedule.trigger
    words, rule = trigger.words(language()), replace(trigger, start_at=None, end_at=None).words(language())
    if not trigger.repeats or not _TIME_OF_DAY.search(rule):
        return words
    return words.replace(rule, f"{rule} ({trigger.timezone})", 1)


def span_words(seconds: int) -> str:
    """Returns a duration in words of the viewer's language."""
    return duration_words(seconds, language())
