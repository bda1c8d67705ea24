"""/deliveries: the log of notifications."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for

from app.notification.delivery import MAIL, DeliveryFilter, DeliveryStatus, place_from
from templates_lib.messages import say
from web.current import actor, services
from web.filters.deliveries import DELIVERY_STATES, TRY_WORDS
from web.views.common import MOST_OFFERED, beginning_of, job_named, tell, unknown_filters

blueprint = Blueprint("deliveries_pages", __name__, url_prefix="/deliveries")

PAGE_SIZE = 50
FILTERS = ("status", "channel", "job", "from", "to", "before")


@blueprint.get("")
def list_deliveries() -> str:
    """Shows the notifications that match the filters in the address, newest first."""
    args = request.args
    channels = {MAIL: say("Mail addresses"), **{row["_id"]: row["name"] for row in services().channels.all(actor())}}
    job_id, job_name = job_named(args.get("job", "").strip()[:200])
    wanted = DeliveryFilter(
        channel_id=args.get("channel", "") if args.get("channel", "") in channels else "",
        status=args.get("status", "") if args.get("status", "") in list(DeliveryStatus) else "",
        job_id=job_id,
        begin=beginning_of(args.get("from", "")),
        end=beginning_of(args.get("to", ""), after=1),
        before=place_from(args.get("before", "")[:200]),
    )
    rows, place = services().deliveries.page(actor(), wanted, limit=PAGE_SIZE)
    kept = {name: value for name, value in args.items() if name in FILTERS and name != "before" and value}
    older = urlencode({**kept, "before": place}) if place else ""
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


@blueprint.get("/<delivery_id>")
def show(delivery_id: str) -> str:
    """Shows one notification: its text, and each try to send it."""
    return render_template("delivery.html", delivery=services().deliveries.get(actor(), delivery_id), try_words=TRY_WORDS)


@blueprint.post("/<delivery_id>/replay")
def replay(delivery_id: str) -> Any:
    """Has a notification sent again."""
    services().deliveries.replay(actor(), delivery_id)
    tell(say("The notification is sent again"))
    return redirect(url_for(".show", delivery_id=delivery_id))
