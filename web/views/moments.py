"""Dates and times that a person picks or types, in their own time zone, and the buttons that fill them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from urllib.parse import parse_qsl, urlencode

from app import moments
from app.errors import FieldError
from app.instants import InstantRefused, OutOfBounds, in_zone, midnight, shifted
from app.zones import zone
from templates_lib.messages import Said, say
from web.current import services, viewer_zone
from web.language import instant

TAKE = "take"  # the name of the buttons of shortcuts; the value has the fields to fill in, as a query
MORNING = time(8)
MONDAY = 0


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A button that fills in fields. `fields` has what inputs of type datetime-local hold, by their names."""

    words: Said
    fields: Mapping[str, str]

    @property
    def value(self) -> str:
        """What the button posts."""
        return urlencode(self.fields)


def pause_shortcuts(name: str = "until") -> Sequence[Shortcut]:
    """Returns the usual ends of a pause; the last one empties the field."""
    now, here = services().clock.now().replace(second=0, microsecond=0), zone(viewer_zone())
    ends = (
        (say("1 h"), now + timedelta(hours=1)),
        (say("4 h"), now + timedelta(hours=4)),
        (say("Until tomorrow 8:00"), moments.tomorrow(now, here, MORNING)),
        (say("Until Monday 8:00"), moments.next_weekday(now, here, MONDAY, MORNING)),
    )
    return [*(Shortcut(words, {name: local_text(end)}) for words, end in ends), Shortcut(say("Until someone resumes"), {name: ""})]


def mute_shortcuts(name: str = "ends_at") -> Sequence[Shortcut]:
    """Returns the usual ends of a mute."""
    now, here = services().clock.now().replace(second=0, microsecond=0), zone(viewer_zone())
    ends = (
        (say("1 h"), now + timedelta(hours=1)),
        (say("8 h"), now + timedelta(hours=8)),
        (say("Until tomorrow 8:00"), moments.tomorrow(now, here, MORNING)),
        (say("Until Monday 8:00"), moments.next_weekday(now, here, MONDAY, MORNING)),
        (say("7 d"), now + timedelta(days=7)),
    )
    return [Shortcut(words, {name: local_text(end)}) for words, end in ends]


def backfill_shortcuts(outage: tuple[datetime, datetime] | None) -> Sequence[Shortcut]:
    """Returns the usual ranges of a backfill: the last outage, if there was one, and whole days."""
    now, here = services().clock.now().replace(second=0, microsecond=0), zone(viewer_zone())
    today = midnight(in_zone(now, here).date(), here)
    ranges = [
        (say("Today"), today, now),
        (say("Yesterday"), shifted(today, timedelta(days=-1)), today),
        (say("Last 7 days"), shifted(now, timedelta(days=-7)), now),
    ]
    if outage is not None:
        ranges.insert(0, (say("Last outage"), *outage))
    return [Shortcut(words, {"from": local_text(begin), "to": local_text(end)}) for words, begin, end in ranges]


def taken(form: Mapping[str, str]) -> dict[str, str]:
    """Returns the fields that a pressed shortcut fills in; none if none was pressed."""
    return dict(parse_qsl(form.get(TAKE, ""), keep_blank_values=True))


def local_text(moment: datetime | None) -> str:
    """Returns an instant as an input of type datetime-local holds it, in the viewer's zone; "" for None."""
    if moment is None:
        return ""
    local = in_zone(moment, zone(viewer_zone())).replace(tzinfo=None, microsecond=0)
    return local.isoformat(timespec="seconds" if local.second else "minutes")


def local_words(moment: datetime) -> str:
    """Returns an instant in the viewer's zone, for the middle of a sentence: "2026-03-29 02:30 (Europe/Berlin)"."""
    return f"{instant(in_zone(moment, zone(viewer_zone())), seconds=False)} ({viewer_zone()})"


def read_moment(text: str, pointer: str, errors: list[FieldError]) -> datetime | None:
    """Returns the instant of a local date and time, or of words such as "tomorrow 8:00"; None for an empty text. An unreadable text adds
    an error."""
    if not text.strip():
        return None
    try:
        return moments.parse(text, now=services().clock.now(), zone=zone(viewer_zone()))
    except (InstantRefused, OutOfBounds) as refused:
        errors.append(FieldError(pointer, str(refused)))
    return None
