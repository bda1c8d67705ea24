"""The draft of a job: a form that somebody left without saving it. A draft never holds a secret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import redirect, request, url_for

from app.connections.inventory import Inventory
from app.jobs.drafts import Draft
from app.jobs.model import Job
from app.jobtemplates.entry import TemplateVersion
from web.current import actor, services
from web.forms import ABSENT, Submission
from web.forms.controls.json import JsonControl, JsonOnRequest
from web.views.common import Pairs, posted
from web.views.job_form import PARAMETERS, JobForm
from web.views.jobs.blueprint import blueprint

SHORT_SECRET = 3  # characters; a secret as short as this stands in many texts by chance


NEW_CONNECTION = "new.connection"  # the button beside a choice of connections: "<kind> <name of the field>"
CREATED = "connection"  # in the address that the form of a new connection leads back to: the name of what was created


@blueprint.post("/new/draft")
def keep_draft() -> Any:
    """Saves the fields of a form that somebody leaves. The page leaves out its secrets, and so does this function."""
    keep(services().catalogue.get(request.args.get("template", "")), posted())
    return "", 204


def keep(entry: TemplateVersion, pairs: Pairs, job: Job | None = None) -> None:
    """Saves the fields of the form of a new job of a template, or of `job`, as the actor's draft. Leaves secrets out."""
    submission = JobForm.read(entry, pairs, job).parts[PARAMETERS].submission
    value = submission.value if submission is not None else ABSENT
    unread = _unread(submission) if submission is not None and isinstance(value, dict) else {PARAMETERS}
    # A field with a secret in it is left out as a whole, be it a password or the JSON of all parameters.
    sites = Inventory.of(entry.parameters_schema, value if isinstance(value, dict) else {}).secrets()
    secrets = [site.value for site in sites if isinstance(site.value, str) and site.value]
    safe = [
        (name, text)
        for name, text in pairs
        if name != "csrf_token" and not _is_part(name, unread) and not any(_holds_secret(text, secret) for secret in secrets)
    ]
    services().drafts.keep(actor(), draft_key(entry, job), safe)


def _unread(submission: Submission) -> set[str]:
    """Returns the names of the fields that may hold a secret that cannot be found: JSON that is wrong, for example half typed."""
    fields = [field for field in submission.root.walk() if field.control.name in {JsonControl.name, JsonOnRequest.name}]
    return {field.name for field in fields if any(f"{error.pointer}/".startswith(f"{field.pointer}/") for error in submission.errors)}


def _is_part(name: str, fields: Iterable[str]) -> bool:
    """True if a posted name belongs to one of the fields, or to a field inside it."""
    return any(name == field or name.startswith(f"{field}.") for field in fields)


def draft_key(entry: TemplateVersion, job: Job | None = None) -> str:
    """Returns the key of the draft: one for each template, and one for each job that is edited."""
    return f"edit:{job.id}" if job else entry.type


def leave_for_connection(entry: TemplateVersion, job: Job | None = None) -> Any:
    """Keeps the posted form as a draft and leads to the form of a new connection, which leads back here."""
    kind = request.form[NEW_CONNECTION].partition(" ")[0]
    keep(entry, posted(), job)
    back = url_for(".edit", job_id=job.id, draft=1) if job else url_for(".new", template=entry.type, draft=1)
    return redirect(url_for("connections_pages.new", kind=kind, next=back))


def resumed(draft: Draft) -> Pairs:
    """Returns the fields of a draft. The field for which a connection was created names it."""
    asked = next((value.partition(" ")[2] for name, value in draft.pairs if name == NEW_CONNECTION), "")
    created, pairs = request.args.get(CREATED, ""), [pair for pair in draft.pairs if pair[0] != NEW_CONNECTION]
    if not asked or not created:
        return pairs
    return [*(pair for pair in pairs if pair[0] != asked), (asked, created)]


def _holds_secret(text: str, secret: str) -> bool:
    """True if a field is the secret, or contains it. A secret of a few letters counts only in JSON: other texts contain it by chance."""
    return text == secret or (secret in text and (len(secret) > SHORT_SECRET or text.lstrip()[:1] in {"{", "["}))


@blueprint.post("/new/draft/drop")
def drop_draft() -> Any:
    """Deletes the draft."""
    template_type = request.args.get("template", "")
    services().drafts.drop(actor(), template_type)
    return redirect(url_for(".new", template=template_type))
