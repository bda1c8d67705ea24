"""/deliveries: the log of notifications."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for

from app.errors import NotFound
from app.instants import day_after
from app.jobs.filters import JobFilter
from app.notification.delivery import MAIL, Delivery, DeliveryFilter, DeliveryStatus
from templates_lib.messages import say
from web.current import actor, services
from web.filters.deliveries import DELIVERY_STATES, TRY_WORDS
from web.views.common import MOST_OFFERED, midnight, tell, unknown_filters

blueprint = Blueprint("deliveries_pages", __name__, url_prefix="/deliveries")

PAGE_SIZE = 50
FILTERS = ("status", "channel", "job", "from", "to", "before")


@blueprint.get("")
def list_deliveries() -> str:
    """Shows the notifications that match the filters in the address, newest first."""
    args = request.args
    channels = {MAIL: say("Mail addresses"), **{row["_id"]: row["name"] for row in services().channels.all(actor())}}
    job_id, job_name = _job(args.get("job", "").strip()[:200])
    wanted = DeliveryFilter(
        channel_id=args.get("channel", "") if args.get("channel", "") in channels else "",
        status=args.get("status", "") if args.get("status", "") in list(DeliveryStatus) else "",
        job_id=job_id,
        begin=_day(args.get("from", "")),
        end=_day(args.get("to", ""), after=1),
        before=_before(args.get("before", "")),
    )
    rows, more = services().deliveries.page(actor(), wanted, limit=PAGE_SIZE)
    kept = {name: value for name, value in args.items() if name in FILTERS and name != "before" and value}
    older = urlencode({**kept, "before": f"{rows[-1].created_at.isoformat()}~{rows[-1].id}"}) if more else ""
    return render_template(
        "deliveries.html",
        rows=rows,
        older=older,
        wanted=wanted,
        args=args,
        others=urlencode({name: value for name, value in kept.items() if name != "status"}),
        channels=channels,
        job_name=job_name,
        job_names=services().directory.names(actor(), limit=MOST_OFFERED),
        narrowed_by=sum(bool(args.get(name)) for name in ("channel", "job", "from", "to")),
        states=DELIVERY_STATES,
        unknown=unknown_filters(FILTERS),
    )


def _job(text: str) -> tuple[str, str]:
    """Returns the id and the name of the job that a filter names by its id or its name; a text that names no job is returned as both."""
    if not text:
        return "", ""
    named = services().directory.page(actor(), JobFilter(search=text), limit=MOST_OFFERED).items
    same = next((job for job in named if job.definition.name.casefold() == text.casefold()), None)
    if same is not None:
        return same.id, same.definition.name
    try:
        return text, services().jobs.get(actor(), text).definition.name
    except NotFound:
        return text, text


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


@blueprint.get("/<delivery_id>")
def show(delivery_id: str) -> str:
    """Shows one notification: its text, and each try to send it."""
    delivery = services().deliveries.get(actor(), delivery_id)
    return render_template("delivery.html", delivery=delivery, try_words=TRY_WORDS, states=DELIVERY_STATES, channel=_channel_name(delivery))


def _channel_name(delivery: Delivery) -> str:
    return say("Mail addresses") if delivery.channel_id == MAIL else delivery.channel


@blueprint.post("/<delivery_id>/replay")
def replay(delivery_id: str) -> Any:
    """Has a notification sent again."""
    services().deliveries.replay(actor(), delivery_id)
    tell(say("The notification is sent again"))
    return redirect(url_for(".show", delivery_id=delivery_id))
