"""What pages say of times, durations, numbers and states."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bson import json_util
from flask import has_request_context
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from app.execution.model import Status
from app.scheduling.words import duration_words, in_words
from web.views.common import viewer_zone

# Outcome → (icon, words): colour, shape and word together (look.md).
STATES: dict[str, tuple[str, str]] = {
    Status.SUCCESS: ("circle-check", "Success"),
    Status.FAILED: ("circle-x", "Failed"),
    Status.TIMEOUT: ("clock", "Timed out"),
    Status.RUNNING: ("loader", "Running"),
    Status.QUEUED: ("circle", "Queued"),
    Status.RETRYING: ("rotate-ccw", "Retrying"),
    Status.CANCELLED: ("ban", "Cancelled"),
    Status.SKIPPED: ("skip-forward", "Skipped"),
    Status.MISSED: ("triangle", "Missed"),
}
REASONS = {
    "overlap": "the job still ran", "replaced": "a newer run took its place", "misfire": "later than its grace",
    "paused": "the job was paused",
    "blackout": "a calendar of the job keeps the time free",
    "template_off": "its template was switched off",
    "maintenance": "nothing was started: maintenance",
    "disabled": "the job was switched off", "rescheduled": "the job was given another schedule", "job_gone": "the job was deleted",
    "lost_worker": "its worker fell silent", "handed_back": "its worker was stopping",
}  # fmt: skip


def relative(moment: datetime | None, now: datetime) -> str:
    """ "in 12 min", "3 h ago", "just now"; empty for none."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    size = abs(seconds)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if size >= length:
            text = f"{int(size // length)} {unit}"
            break
    else:
        if size < 2:
            return "now"
        text = f"{int(size)} s"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def moment(value: datetime | None, now: datetime) -> Markup:
    """A <time>: relative to look at, exact on hover and for machines."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), relative(value, now)
    )


def exact(value: datetime | None) -> Markup:
    """A <time> that shows the instant itself."""
    if value is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" class="exact" title="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), f"{local(value):%Y-%m-%d %H:%M:%S}"
    )


def local(value: datetime) -> datetime:
    """The instant in the viewer's zone; in UTC where nobody looks."""
    return value.astimezone(ZoneInfo(viewer_zone()) if has_request_context() else UTC)


def in_zones(value: datetime) -> str:
    """ "2026-03-29 02:30:00 Europe/Berlin", and below it the same in UTC where that differs."""
    here, utc = local(value), f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    zone = getattr(here.tzinfo, "key", "UTC")
    return utc if zone == "UTC" else f"{here:%Y-%m-%d %H:%M:%S} {zone}\n{utc}"


def seconds(value: float | None) -> str:
    """ "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def pretty_json(value: Any) -> str:
    """Indented JSON, dates in Extended JSON's relaxed form."""
    plain = json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))
    return json.dumps(plain, indent=2, ensure_ascii=False)


def state(status: str, reason: str | None = None) -> Markup:
    """Icon and word of an outcome."""
    icon_name, words = STATES[status]
    hint = REASONS.get(reason or "", "")
    return Markup('<span class="state state-{}"{}>{}{}</span>').format(
        status, Markup(' title="{}"').format(hint) if hint else "", icon(icon_name), words
    )


def icon(name: str) -> Markup:
    """An icon of the sprite; decoration only, so hidden from screen readers."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#{}"/></svg>').format(name)


def log_items(lines: Iterable[Mapping[str, Any]], failing: int = 0, *, links: bool = False) -> Markup:
    """The <li>s of log lines {number, level, timestamp, message}: a page has hundreds, so they are put together here and not by a
    template. `failing` is the number of the line that tells why a run failed; `links` leads from a line that was found into the log."""
    parts = []
    for line in lines:
        number, here = line["number"], local(line["timestamp"])
        mark = " failing" if number == failing else ""
        where = f"?line={number}" if links else ""
        parts.append(
            f'<li id="L{number}" class="level-{escape(line["level"].lower())}{mark}">'
            f'<a class="line-number" href="{where}#L{number}">{number}</a>'
            f'<time datetime="{here.isoformat()}" title="{here:%Y-%m-%d %H:%M:%S.%f}">{here:%H:%M:%S}</time>'
            f'<span class="text">{escape(line["message"])}</span></li>'
        )
    return Markup("".join(parts))  # noqa: S704 - each part is a number, a time, or escaped


_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def markdown(text: str) -> Markup:
    """Markdown of our own files, HTML switched off all the same."""
    return Markup(_markdown.render(text))  # noqa: S704 - markdown-it escapes with html=False


def without_message(result: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of a result, whose message stands apart."""
    return {name: value for name, value in result.items() if name != "message"}


def ticks(executions: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last outcomes, oldest first, each with a height from 20 to 100 by its duration."""
    longest = max((row.get("duration_seconds") or 0.0 for row in executions), default=0.0) or 1.0
    return [
        {"id": row["_id"], "status": row["status"], "words": f"{STATES[row['status']][1]}, {seconds(row.get('duration_seconds'))}",
         "height": 20 + round(80 * (row.get("duration_seconds") or 0.0) / longest / 10) * 10}
        for row in reversed(executions)
    ]  # fmt: skip


def browser(agent: str | None) -> str:
    """ "Firefox on Linux": what most browsers call themselves, in words; the rest as they say."""
    text = agent or ""
    name = next((word for mark, word in _BROWSERS if mark in text), None)
    system = next((word for mark, word in _SYSTEMS if mark in text), None)
    return f"{name} on {system}" if name and system else name or text[:60] or "Unknown"


# The order matters: most claim to be those that come after them.
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


OUTCOMES = ("success", "skipped", "missed", "cancelled", "timeout", "failed")  # from the ground of a chart up


def hour_words(counts: Mapping[str, int]) -> str:
    """ "3 success, 1 failed": what an hour had."""
    return ", ".join(f"{count} {STATES[status][1].lower()}" for status in OUTCOMES if (count := counts.get(status, 0))) or "nothing"


def pairs(first: Iterable[Any], second: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The items of two lists side by side."""
    return list(zip(first, second, strict=True))


def number(value: Any) -> str:
    """1,234,567"""
    return f"{value:,}" if isinstance(value, int | float) else str(escape(value))


FILTERS: dict[str, Callable[..., Any]] = {
    "moment": moment, "exact": exact, "seconds": seconds, "pretty_json": pretty_json, "markdown": markdown, "ticks": ticks,
    "schedule_words": in_words, "duration_words": duration_words, "number": number,
    "browser": browser, "zip": pairs, "without_message": without_message, "hour_words": hour_words, "local": local,
    "in_zones": in_zones, "log_items": log_items,
}  # fmt: skip
GLOBALS: dict[str, Any] = {"state": state, "icon": icon, "STATES": STATES, "REASONS": REASONS}
