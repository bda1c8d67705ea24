"""/job-types: the ready-made jobs of this installation, and the button that installs them. The gallery leads here."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.integrations.job_types.service import Installation
from templates_lib.messages import say, say_many
from web.current import actor, services
from web.views.common import tell

blueprint = Blueprint("job_type_pages", __name__, url_prefix="/job-types")


@blueprint.get("")
def show() -> str:
    """Shows each job type with its job, or with what it lacks."""
    standings = services().job_types.standing(actor())
    ready = sum(standing.job is None and not standing.missing for standing in standings)
    return render_template("job_types.html", standings=standings, ready=ready)


@blueprint.post("/install")
def install() -> Any:
    """Installs one job type, or all that lack nothing."""
    name = request.form.get("name")
    outcomes = services().job_types.install(actor(), [name] if name else None)
    created = sum(outcome.result is Installation.CREATED for outcome in outcomes)
    if created:
        tell(
            say_many(
                "{count} job created. Its schedule is disabled until you enable it.",
                "{count} jobs created. Their schedules are disabled until you enable them.",
                created,
            )
        )
    failed = [outcome for outcome in outcomes if outcome.result is Installation.FAILED]
    if not created:
        tell(failed[0].detail if failed else say("All job types are installed already."))
    return redirect(url_for("job_type_pages.show"))
