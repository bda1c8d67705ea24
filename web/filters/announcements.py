"""The states of announcements, and what mutes hold, in icons and words."""

from __future__ import annotations

from markupsafe import Markup

from app.notification.quiet.entry import Entry, EntryStatus
from app.notification.quiet.muting import MATCHED, Mute
from templates_lib.messages import say
from web.filters.states import icon
from web.language import translated

# Status → (icon, colour, words). The colours are those of the states of executions.
ENTRY_STATES: dict[str, tuple[str, str, str]] = {
    EntryStatus.WAITING: ("circle", "queued", say("Waiting to be sent")),
    EntryStatus.HELD: ("pause", "skipped", say("Held back")),
    EntryStatus.SENT: ("circle-check", "success", say("Sent")),
}
SEVERITY_WORDS = {"info": say("Info"), "warning": say("Warning"), "critical": say("Critical")}
MATCHED_WORDS = {
    "rules": say("Rules"),
    "jobs": say("Jobs"),
    "tags": say("Tags"),
    "groups": say("Groups"),
    "templates": say("Templates"),
    "severities": say("Severities"),
}
MOST_NAMED = 5  # values of a field that a list shows


def entry_state(entry: Entry) -> Markup:
    """Returns the icon and the word of the status of an announcement; one that is held for good says so."""
    icon_name, colour, words = ENTRY_STATES[entry.status]
    if entry.status is EntryStatus.HELD and entry.hold is not None and entry.hold.final:
        icon_name, words = "ban", say("Not sent")
    return Markup('<span class="state state-{}">{}{}</span>').format(colour, icon(icon_name), translated(words))


def muted(mute: Mute) -> list[tuple[str, str]]:
    """Returns what a mute holds: the titles of its fields and their values."""
    rows = []
    for name in MATCHED:
        values = getattr(mute.matcher, name)
        if values:
            shown = [translated(SEVERITY_WORDS[value]) if name == "severities" else value for value in values[:MOST_NAMED]]
            more = ["…"] if len(values) > MOST_NAMED else []
            rows.append((translated(MATCHED_WORDS[name]), ", ".join([*shown, *more])))
    return rows
