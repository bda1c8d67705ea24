"""What a job's page does about values that admins put in place of declared ones."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for

from templates_lib.messages import say
from web.current import actor, services
from web.views.common import posted_version, tell
from web.views.jobs.blueprint import blueprint

KEEP = "override"  # the side of an admin; any other value means the side of the code


@blueprint.post("/<job_id>/overrides")
def settle(job_id: str) -> Any:
    """Keeps the value of an admin, or lets the declared one apply again."""
    keep = request.form.get("side") == KEEP
    services().registrations.settle(actor(), job_id, request.form.get("field", ""), keep=keep, version=posted_version())
    tell(say("The value of the admin stays") if keep else say("The declared value applies again"))
    return redirect(url_for(".show", job_id=job_id))
