"""/system: the nodes that run jobs, what waits, and what this installation is set to."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flask import Blueprint, render_template

from app.accounts.permissions import May, lacks, require
from app.config import Settings
from app.validation.secret import MASK
from web.current import actor, services

blueprint = Blueprint("system_pages", __name__)

SKEW_SECONDS = 2.0  # of a clock, beyond which it is worth a word


@blueprint.get("/system")
def show() -> str:
    """Nodes for whoever sees jobs; settings for super-admins."""
    require(actor(), May.SEE_JOBS)
    now = services().clock.now()
    nodes = [(one, one.lives(now)) for one in services().nodes()]
    settings = _settings() if lacks(actor(), May.SWITCH_MAINTENANCE) is None else []
    return render_template("system.html", nodes=nodes, live=services().history.live_counts(), settings=settings, skew=SKEW_SECONDS)


def _settings() -> list[dict[str, Any]]:
    """Each setting with its value, masked where it is a secret, and whether it is a default."""
    rows = []
    for item in fields(Settings):
        value, secret = getattr(services().settings, item.name), item.metadata["secret"]
        shown = (MASK if value else "") if secret else value
        rows.append({"name": item.metadata["name"], "text": item.metadata["text"], "value": shown, "set": value != item.default})
    return rows
