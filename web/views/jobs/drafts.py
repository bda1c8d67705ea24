"""The draft of a new job: a form that somebody left without saving it. A draft never holds a secret."""

from __future__ import annotations

import re
from typing import Any

from flask import redirect, request, url_for

from app.connections.inventory import Inventory
from web.current import actor, services
from web.views.common import posted
from web.views.job_form import PARAMETERS, JobForm
from web.views.jobs.blueprint import blueprint

SHORT_SECRET = 3  # characters; a secret as short as this stands in many texts by chance


@blueprint.post("/new/draft")
def keep_draft() -> Any:
    """Saves the fields of a form that somebody leaves. The page leaves out its secrets, and so does this function."""
    entry, pairs = services().catalogue.get(request.args.get("template", "")), posted()
    submission = JobForm.read(entry, pairs).parts[PARAMETERS].submission
    if submission is None or submission.errors or not isinstance(submission.value, dict):
        # Parameters that cannot be read may hold a secret anywhere, for example in a JSON text that is half typed.
        pairs = [(name, text) for name, text in pairs if not re.match(rf"{PARAMETERS}\b", name)]
        value = {}
    else:
        value = submission.value
    # A field with a secret in it is left out as a whole, be it a password or the JSON of all parameters.
    sites = Inventory.of(entry.parameters_schema, value).secrets()
    secrets = [site.value for site in sites if isinstance(site.value, str) and site.value]
    safe = [(name, text) for name, text in pairs if name != "csrf_token" and not any(_holds_secret(text, secret) for secret in secrets)]
    services().drafts.keep(actor(), entry.type, safe)
    return "", 204


def _holds_secret(text: str, secret: str) -> bool:
    """True if a field is the secret, or contains it. A secret of a few letters counts only in JSON: other texts contain it by chance."""
    return text == secret or (secret in text and (len(secret) > SHORT_SECRET or text.lstrip()[:1] in {"{", "["}))


@blueprint.post("/new/draft/drop")
def drop_draft() -> Any:
    """Deletes the draft."""
    template_type = request.args.get("template", "")
    services().drafts.drop(actor(), template_type)
    return redirect(url_for(".new", template=template_type))
