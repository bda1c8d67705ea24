"""/audit: the audit trail."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flask import Blueprint, Response, render_template, request

from app.accounts.auditors import FORMATS
from app.audit.model import AuditFilter
from app.errors import NotFound
from app.instants import day_after, midnight
from templates_lib.messages import say
from web.current import actor, services

blueprint = Blueprint("audit_pages", __name__, url_prefix="/audit")

OUTCOMES = {"done": say("Done"), "failed": say("Failed"), "refused": say("Refused")}
LONGEST = 320


@blueprint.get("")
def list_events() -> str:
    """Shows the events that match the filters in the address, newest first."""
    before = request.args.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
    page = services().auditors.page(actor(), _filter(), before=number)
    shown = {name: value for name, value in request.args.items() if name != "before"}
    return render_template("audit.html", page=page, args=shown, actions=services().auditors.actions(actor()), outcomes=OUTCOMES)


@blueprint.get("/export.<kind>")
def export(kind: str) -> Response:
    """Sends all events that match as a file."""
    if kind not in FORMATS:
        raise NotFound("export format", kind)
    lines = services().auditors.export(actor(), _filter(), kind)
    return Response(lines, mimetype=FORMATS[kind], headers={"Content-Disposition": f'attachment; filename="audit.{kind}"'})


def _filter() -> AuditFilter:
    text = {name: request.args.get(name, "").strip()[:LONGEST] for name in ("actor", "action", "kind", "target_id", "correlation_id")}
    outcome = request.args.get("outcome", "")
    return AuditFilter(**text, outcome=outcome if outcome in OUTCOMES else "", begin=_day("begin"), end=_day("end", after=1))


def _day(name: str, *, after: int = 0) -> datetime | None:
    """Returns the beginning (UTC) of the day in an argument of the address, `after` days later; None if the argument is no date."""
    try:
        return midnight(day_after(date.fromisoformat(request.args.get(name, "")), after), UTC)
    except ValueError:
        return None
