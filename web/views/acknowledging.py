"""/incidents/acknowledge: where the link in a message leads. It works without signing in, and the address holds the proof."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from app.errors import Conflict
from app.notification.incidents.incident import Incident, IncidentState
from web.current import services

blueprint = Blueprint("acknowledging_pages", __name__, url_prefix="/incidents/acknowledge")


@blueprint.get("/<token>")
def ask(token: str) -> str:
    """Shows what is to be acknowledged, and a button. It changes nothing, as mail servers follow links by themselves."""
    return _page(services().incidents.by_link(token))


@blueprint.post("/<token>")
def acknowledge(token: str) -> Any:
    """Acknowledges the incident."""
    incident = services().incidents.by_link(token)
    try:
        incident = services().incidents.acknowledge_by_link(token, address=request.remote_addr or "")
    except Conflict as failed:
        return _page(services().incidents.by_link(token), refused=failed.detail), failed.status
    return _page(incident, done=True)


def _page(incident: Incident, *, done: bool = False, refused: str = "") -> str:
    waits = incident.state is IncidentState.FIRING
    return render_template("acknowledge.html", incident=incident, waits=waits, done=done, refused_because=refused)
