"""What pages say of times, durations, numbers and states."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from flask import has_request_context
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from app.instants import in_zone
from app.jobs.model import DependsOn, Schedule
from app.queue.execution import Outline
from app.queue.model import Status
from app.shapes import DAMAGED, UNKNOWN
from app.triggers.words import duration_words
from app.validation.terminal import Run, Style, escaped, plain, runs
from app.zones import zone
from templates_lib.messages import Said, counted, say, say_many
from web.current import actor, services, viewer_zone
from web.forms.prose import markdown as prose
from web.language import dated, decimal, gettext, instant, language, ngettext, translated
from web.words import word

# Outcome → (icon, words): colour, shape and word together (look.md).
STATES: dict[str, tuple[str, str]] = {
    Status.SUCCESS: ("circle-check", say("Success")),
    Status.FAILED: ("circle-x", say("Failed")),
    Status.TIMEOUT: ("clock", say("Timed out")),
    Status.RUNNING: ("loader", say("Running")),
    Status.QUEUED: ("circle", say("Queued")),
    Status.RETRYING: ("rotate-ccw", say("Retrying")),
    Status.CANCELLED: ("ban", say("Cancelled")),
    Status.SKIPPED: ("skip-forward", say("Skipped")),
    Status.MISSED: ("triangle", say("Missed")),
    UNKNOWN: ("circle-alert", say("Unreadable")),
}
# What an end owes, by the name of its handler: said of an item that was given up, and of one that is tried again.
OWED_WORDS = {
    "notify": (say("Nobody was told"), say("Telling people failed; it is tried again")),
    "followers": (
        say("The jobs that run after this one were not started"),
        say("Starting the jobs that run after this one failed; it is tried again"),
    ),
    "self_pause": (
        say("Whether the job is to pause itself could not be found out"),
        say("Finding out whether the job is to pause itself failed; it is tried again"),
    ),
}
REASONS = {
    "overlap": say("the job still ran"),
    "replaced": say("a newer run took its place"),
    "misfire": say("later than its grace"),
    "paused": say("the job was paused"),
    "blackout": say("a calendar of the job keeps the time free"),
    "circle": say("the jobs depend on each other in a circle, or more than a hundred runs triggered one another"),
    "template_off": say("its template was switched off"),
    "maintenance": say("nothing was started: maintenance"),
    "disabled": say("the job was switched off"),
    "rescheduled": say("the job was given another schedule"),
    "job_gone": say("the job was deleted"),
    "lost_worker": say("its worker fell silent"),
    "handed_back": say("its worker was stopping"),
}


def relative(moment: datetime | None, now: datetime) -> str:
    """ "in 12 min", "3 h ago", "now"; empty for none."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    size = abs(seconds)
    if size < 2:
        return translated(say("now"))
    unit, length = next((one for one in _UNITS if size >= one[1]), _UNITS[-1])
    one, many = unit
    text = say_many(one, many, int(size // length))
    return translated(say("in {time}", time=text) if seconds > 0 else say("{time} ago", time=text))


_UNITS = (
    (counted("{count} d", "{count} d"), 86_400),
    (counted("{count} h", "{count} h"), 3600),
    (counted("{count} min", "{count} min"), 60),
    (counted("{count} s", "{count} s"), 1),
)


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
        value.astimezone(UTC).isoformat(timespec="milliseconds"), in_zones(value), instant(local(value))
    )


def local(value: datetime) -> datetime:
    """The instant in the viewer's zone; in UTC where nobody looks."""
    return in_zone(value, zone(viewer_zone()) if has_request_context() else UTC)


def in_zones(value: datetime) -> str:
    """ "2026-03-29 02:30:00 Europe/Berlin", and below it the same in UTC where that differs."""
    here, utc = local(value), f"{instant(value.astimezone(UTC))} UTC"
    zone = getattr(here.tzinfo, "key", "UTC")
    return utc if zone == "UTC" else f"{instant(here)} {zone}\n{utc}"


def seconds(value: float | None, name: str | None = None) -> str:
    """ "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"; in a language, the viewer's where none is named."""
    if value is None:
        return "–"
    if value < 60:
        return f"{decimal(value, 2 if value < 10 else 1, name)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def pretty_json(value: Any) -> str:
    """Indented JSON, dates in Extended JSON's relaxed form."""
    known = json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))
    return escaped(json.dumps(known, indent=2, ensure_ascii=False))


def seen(text: Any) -> Markup:
    """What a job wrote as it is seen: in its colours, with a mark for each character that nobody sees."""
    return Markup("".join(_run(run) for run in runs(str(text))))  # noqa: S704 - each part is escaped


def _run(run: Run) -> str:
    text = escape(run.text)
    if run.named:
        return f'<span class="unseen" title="{escape(run.named)}">{text}</span>'
    names = style_names(run.style)
    return f'<span class="{" ".join(names)}">{text}</span>' if names else str(text)


def style_names(style: Style) -> list[str]:
    """The classes of a style; the stylesheet has an ink and a ground for each basic colour that can be read in light and dark."""
    ink, ground = (style.ground, style.ink) if style.inverse else (style.ink, style.ground)
    names = [name for name in ("bold", "dim", "italic", "underline", "strike") if getattr(style, name)]
    names += ["inverse"] if style.inverse and ink is None and ground is None else []
    names += [f"ink-{ink}"] if ink is not None else []
    names += [f"ground-{ground % 8}"] if ground is not None else []
    return [f"t-{name}" for name in names]


def seen_plainly(text: Any) -> str:
    """The same without colours, for where a text is cut or stands in an attribute."""
    return plain(str(text))


def state(status: str, reason: str | None = None) -> Markup:
    """Icon and word of an outcome."""
    icon_name, words = STATES.get(status, STATES[UNKNOWN])
    hint = translated(REASONS.get(reason or "", ""))
    return Markup('<span class="state state-{}"{}>{}{}</span>').format(
        status, Markup(' title="{}"').format(hint) if hint else "", icon(icon_name), translated(words)
    )


def damage(row: Any) -> Markup:
    """What is wrong with a record that could not be read as it is; nothing for any other."""
    why = row.get(DAMAGED, "") if isinstance(row, Mapping) else row.damaged
    told = translated(say("Its record is damaged: {reason}", reason=why)) if why else ""
    return Markup('<span class="sub wrong-text">{}{}</span>').format(icon("circle-alert"), told) if why else Markup()


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
            f'<span class="text" dir="auto">{seen(line["message"])}</span></li>'
        )
    return Markup("".join(parts))  # noqa: S704 - each part is a number, a time, or escaped


_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def markdown(text: str) -> Markup:
    """Markdown of our own files, HTML switched off all the same."""
    return Markup(_markdown.render(text))  # noqa: S704 - markdown-it escapes with html=False


def told(text: str) -> Markup:
    """A description, with its paragraphs, line breaks and lists."""
    return prose(translated(text))


def lead(text: str) -> Markup:
    """A description that other words follow: one that is half a sentence gets its full stop."""
    text = translated(text).rstrip()
    return prose(text if "\n" in text or text[-1:] in {"", ".", "!", "?", "…", ":"} else f"{text}.")


def without_message(result: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of a result, whose message stands apart."""
    return {name: value for name, value in result.items() if name != "message"}


ENDS = {
    DependsOn.SUCCESS: say("has succeeded"),
    DependsOn.FAILURE: say("has failed"),
    DependsOn.END: say("has ended, whichever way"),
}


def readable(value: Any) -> Any:
    """A value as people read it: what a job depends on with the names of the jobs, all else as it is."""
    if not (isinstance(value, list) and value and all(isinstance(one, Mapping) and one.keys() == {"job", "when"} for one in value)):
        return value
    names = services().dependencies.names(actor(), [one["job"] for one in value])
    return "; ".join(
        translated(say("{job}, once it {ends}", job=names.get(one["job"], one["job"]), ends=ENDS[one["when"]])) for one in value
    )


def strip(executions: Sequence[Outline]) -> Markup:
    """The last outcomes, given newest first, as a row of links, oldest first, each from 20 to 100 high by its duration. A list has
    hundreds of them, so they are put together here and not by a template."""
    longest = max((row.duration_seconds or 0.0 for row in executions), default=0.0) or 1.0
    name = language()
    words = {status: escape(translated(word, name)) for status, (_, word) in STATES.items()}
    parts = []
    for row in reversed(executions):
        took = row.duration_seconds
        hint = f"{words[row.status]}, {seconds(took, name)}"
        high = 20 + round(80 * (took or 0.0) / longest / 10) * 10
        parts.append(
            f'<a href="/executions/{escape(row.id)}" class="tick state-{escape(row.status)} h{high}" title="{hint}"'
            f' aria-label="{hint}"></a>'
        )
    label = translated(say("Last {count} outcomes, oldest first", count=len(executions)), name)
    return Markup('<span class="strip" role="group" aria-label="{}">{}</span>').format(
        label,
        Markup("".join(parts)),  # noqa: S704 - each part is a number, a word of ours, or escaped
    )


def browser(agent: str | None) -> str:
    """ "Firefox on Linux": what most browsers call themselves, in words; the rest as they say."""
    text = agent or ""
    name = next((word for mark, word in _BROWSERS if mark in text), None)
    system = next((word for mark, word in _SYSTEMS if mark in text), None)
    return say("{browser} on {system}", browser=name, system=system) if name and system else name or text[:60] or say("Unknown")


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
    told = [f"{decimal(count)} {translated(STATES[status][1]).lower()}" for status in OUTCOMES if (count := counts.get(status, 0))]
    return ", ".join(told) or translated(say("nothing"))


def pairs(first: Iterable[Any], second: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The items of two lists side by side."""
    return list(zip(first, second, strict=True))


def number(value: Any) -> str:
    """1,234,567, or 1.234.567"""
    return decimal(value) if isinstance(value, int | float) else str(escape(value))


def schedule_words(schedule: Schedule) -> str:
    """A schedule in the viewer's language."""
    return schedule.trigger.words(language())


def span_words(seconds: int) -> str:
    """A span of time in the viewer's language."""
    return duration_words(seconds, language())


def percent(share: float, digits: int) -> str:
    """0.987 → "98.7 %" with one digit."""
    return f"{decimal(share * 100, digits)} %"


def said_of(pattern: str, **values: Any) -> Said:
    """A sentence whose pattern a view gives."""
    return say(pattern, **values)


FILTERS: dict[str, Callable[..., Any]] = {
    "moment": moment,
    "exact": exact,
    "seconds": seconds,
    "pretty_json": pretty_json,
    "markdown": markdown,
    "strip": strip,
    "told": told,
    "lead": lead,
    "readable": readable,
    "seen": seen,
    "plain": seen_plainly,
    "schedule_words": schedule_words,
    "duration_words": span_words,
    "number": number,
    "browser": browser,
    "zip": pairs,
    "without_message": without_message,
    "hour_words": hour_words,
    "local": local,
    "in_zone": in_zone,
    "in_zones": in_zones,
    "log_items": log_items,
    "dated": dated,
    "word": word,
    "percent": percent,
    "decimal": decimal,
    "said_of": said_of,
    "instant": instant,
    "t": translated,
}
GLOBALS: dict[str, Any] = {
    "state": state,
    "icon": icon,
    "damage": damage,
    "STATES": STATES,
    "ENDS": ENDS,
    "REASONS": REASONS,
    "OWED_WORDS": OWED_WORDS,
    "_": gettext,
    "ngettext": ngettext,
}
