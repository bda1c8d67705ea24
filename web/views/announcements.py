"""/announcements: what became of each alert for each channel."""

from __future__ import annotations

from datetime import date, datetime
from urllib.parse import urlencode

from flask import Blueprint, render_template, request

from app.instants import day_after
from app.notification.delivery import MAIL
from app.notification.quiet.entry import WORDS, EntryFilter, EntryStatus, Why
from templates_lib.messages import say
from web.current import actor, services
from web.filters.announcements import ENTRY_STATES
from web.views.common import midnight, unknown_filters

blueprint = Blueprint("announcements_pages", __name__, url_prefix="/announcements")

PAGE_SIZE = 50
FILTERS = ("status", "reason", "channel", "batch", "mute", "incident", "from", "to", "before")


@blueprint.get("")
def list_announcements() -> str:
    """Shows the announcements that match the filters in the address, newest first."""
    args = request.args
    channels = {MAIL: say("Mail addresses"), **{row["_id"]: row["name"] for row in services().channels.all(actor())}}
    wanted = EntryFilter(
        status=args.get("status", "") if args.get("status", "") in list(EntryStatus) else "",
        why=args.get("reason", "") if args.get("reason", "") in list(Why) else "",
        channel_id=args.get("channel", "") if args.get("channel", "") in channels else "",
        batch=args.get("batch", "")[:100],
        by=args.get("mute", "")[:100],
        incident_id=args.get("incident", "")[:100],
        begin=_day(args.get("from", "")),
        end=_day(args.get("to", ""), after=1),
        before=_before(args.get("before", "")),
    )
    rows, more = services().announced.page(actor(), wanted, limit=PAGE_SIZE)
    kept = {name: value for name, value in args.items() if name in FILTERS and name != "before" and value}
    older = urlencode({**kept, "before": f"{rows[-1].created_at.isoformat()}~{rows[-1].id}"}) if more else ""
    return render_template(
        "announcements.html",
        rows=rows,
        older=older,
        wanted=wanted,
        args=args,
        others=urlencode({name: value for name, value in kept.items() if name != "status"}),
        channels=channels,
        narrowed_by=sum(bool(args.get(name)) for name in ("reason", "channel", "from", "to")),
        states=ENTRY_STATES,
        reasons={why.value: words for why, words in WORDS.items()},
        held=services().announced.held_lately(actor()),
        unknown=unknown_filters(FILTERS),
    )


def _day(text: str, *, after: int = 0) -> datetime | None:
    """Returns the beginning of a day in the viewer's zone, `after` days later; None if the text is no date."""
    try:
        return midnight(day_after(date.fromisoformat(text), after))
    except ValueError:
        return None


def _before(text: str) -> tuple[datetime, str] | None:
    at, _, last_id = text[:200].partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (moment, last_id) if moment.tzinfo is not None and last_id else None
