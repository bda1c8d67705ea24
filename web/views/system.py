"""/system: the nodes that run jobs, what waits, and what this installation is set to."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flask import Blueprint, redirect, render_template, url_for

from app.accounts.permissions import May, lacks, require
from app.config import Settings
from app.validation.secret import MASK
from templates_lib.messages import say
from web.current import actor, services
from web.views.common import tell

blueprint = Blueprint("system_pages", __name__)

SKEW_SECONDS = 2.0  # of a clock, beyond which it is worth a word


@blueprint.get("/system")
def show() -> str:
    """Nodes for whoever sees jobs; settings for super-admins."""
    require(actor(), May.SEE_JOBS)
    now = services().clock.now()
    nodes = [(node, node.lives(now)) for node in services().nodes()]
    settings = _settings() if lacks(actor(), May.SWITCH_MAINTENANCE) is None else []
    return render_template(
        "system.html",
        nodes=nodes,
        live=services().history.live_counts(),
        settings=settings,
        skew=SKEW_SECONDS,
        given_up=services().given_up.items(actor()),
    )


@blueprint.post("/system/outbox/events/<event_id>/<what>/again")
def carry_out_again(event_id: str, what: str) -> Any:
    """Have what an event owed, and nobody could carry out, tried again."""
    services().given_up.ask_again_of_event(actor(), event_id, what)
    tell(say("It is tried again now"))
    return redirect(url_for(".show"))


def _settings() -> list[dict[str, Any]]:
    """Each setting with its value, masked where it is a secret, and whether it is a default."""
    rows = []
    for item in fields(Settings):
        value, secret = getattr(services().settings, item.name), item.metadata["secret"]
        shown = (MASK if value else "") if secret else value
        rows.append({"name": item.metadata["name"], "text": item.metadata["text"], "value": shown, "set": value != item.default})
    return rows
