"""/maintenance: the switch that keeps every node from starting runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import FieldError, ValidationFailed
from app.instants import InstantRefused, parse_local
from app.scheduling.maintenance import SCHEMA
from app.zones import zone
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.views.common import Editor, form_of, posted, tell

blueprint = Blueprint("maintenance_pages", __name__)

# The form of the schema without the end, which has controls of its own.
_REASON = {**SCHEMA, "properties": {"reason": SCHEMA["properties"]["reason"]}}
AT = "at"  # the choice of a date and time
# By the value of the choice: the words, and after how many minutes maintenance ends by itself.
ENDS = {
    "": (say("When someone ends it"), 0),
    "30": (say("In 30 minutes"), 30),
    "60": (say("In 1 hour"), 60),
    "120": (say("In 2 hours"), 120),
    "240": (say("In 4 hours"), 240),
    AT: (say("At a date and time"), 0),
}


@blueprint.route("/maintenance", methods=["GET", "POST"])
def switch() -> Any:
    """Shows the form that begins maintenance; while it is on, what still runs."""
    require(actor(), May.SWITCH_MAINTENANCE)
    errors: tuple[FieldError, ...] = ()
    editor, status = Editor(form_of(_REASON)), 200
    if request.method == "POST":
        editor.read(posted())
        try:
            if not editor.pressed:
                services().maintenance.begin(actor(), {**editor.value, **_end()})
                tell("Maintenance has begun")
                return redirect(url_for(".switch"))
        except ValidationFailed as failed:
            errors, status = failed.errors, failed.status
    shown = editor.present(error for error in errors if error.pointer != "/until")
    return (
        render_template(
            "maintenance.html",
            controls=shown.controls,
            errors=shown.summary,
            end_error=next((error.message for error in errors if error.pointer == "/until"), ""),
            ends=ENDS,
            live=services().history.live_counts(),
            running=services().overview.running(actor()),
        ),
        status,
    )


@blueprint.post("/maintenance/end")
def end() -> Any:
    """Ends maintenance. Runs start again."""
    services().maintenance.end(actor())
    tell("Maintenance has ended")
    return redirect(url_for(".switch"))


def _end() -> dict[str, str]:
    """Returns the chosen end as a member of the request. Raises ValidationFailed for a date and time that cannot be read."""
    chosen = request.form.get("ends", "")
    if chosen in ENDS and ENDS[chosen][1]:
        return {"until": (services().clock.now() + timedelta(minutes=ENDS[chosen][1])).isoformat()}
    if chosen != AT:
        return {}
    try:
        return {"until": parse_local(request.form.get("until", ""), zone(viewer_zone())).isoformat()}
    except InstantRefused as refused:
        raise ValidationFailed([FieldError("/until", say("must be a date and time, such as 2026-03-29 08:00"))]) from refused
