"""/jobs/<id>/inbound: the addresses that other programs call to run the job, and what became of their deliveries."""

from __future__ import annotations

import json
from typing import Any

from flask import redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import Conflict, FieldError, LimitReached, StaleVersion, ValidationFailed
from app.integrations.inbound.addresses import CHANGES_SCHEMA, MOST, SCHEMA, Shown
from app.integrations.inbound.model import PATH, Address, Outcome, Proof
from app.integrations.inbound.payload import example_payload
from app.jobs.model import Job
from app.validation.together import beside
from templates_lib.messages import Said, say
from web.current import actor, base_address, services
from web.views.common import CHECK, Editor, form_of, is_refused, posted, posted_version, tell
from web.views.jobs.blueprint import blueprint

PROOFS: dict[str, Said] = {
    Proof.STANDARD: say("Standard Webhooks"),
    Proof.GITHUB: say("GitHub"),
    Proof.SECRET: say("secret address only"),
}
OUTCOMES: dict[str, tuple[str, str, Said]] = {  # the icon, the colour (that of a status of executions), the word
    Outcome.ACCEPTED: ("circle-check", "success", say("accepted")),
    Outcome.WAITING: ("user-check", "queued", say("waits for approval")),
    Outcome.REPEATED: ("rotate-ccw", "skipped", say("repeated")),
    Outcome.IGNORED: ("skip-forward", "skipped", say("ignored")),
    Outcome.REFUSED: ("circle-x", "failed", say("refused")),
}
_LOOKS: dict[str, dict[str, Any]] = {
    "name": {"x-width": "half"},
    "proof": {"x-width": "half"},
    "parameters": {"x-widget": "json", "x-rows": 6},
    "events": {"x-widget": "tokens", "x-placeholder": "push, release"},
    "rate_per_minute": {"x-width": "half"},
    "max_bytes": {"x-width": "half"},
}


def _form_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a form: all that has a default is shown and sent."""
    properties = {name: {**of_field, **_LOOKS.get(name, {})} for name, of_field in schema["properties"].items()}
    return {**schema, "properties": properties, "required": [name for name in properties if name not in {"key", "events", "parameters"}]}


NEW_FORM, EDIT_FORM = _form_schema(SCHEMA), _form_schema(CHANGES_SCHEMA)


@blueprint.get("/<job_id>/inbound")
def inbound(job_id: str) -> str:
    """Shows the addresses of the job and the last deliveries to them."""
    job = services().jobs.get(actor(), job_id)
    addresses = services().inbound.of(actor(), job_id)
    changes = lacks(actor(), May.CHANGE_JOBS) is None and lacks(actor(), May.RUN_JOBS) is None
    return render_template(
        "inbound.html",
        job=job,
        addresses=addresses,
        names={address.id: address.name for address in addresses},
        deliveries=services().inbound.deliveries(actor(), job_id),
        changes=changes,
        full=len(addresses) >= MOST,
        PROOFS=PROOFS,
        OUTCOMES=OUTCOMES,
    )


@blueprint.route("/<job_id>/inbound/new", methods=["GET", "POST"])
def new_inbound(job_id: str) -> Any:
    """Shows the form of a new address; creates it and shows its secret once."""
    require(actor(), May.CHANGE_JOBS)
    job, editor = services().jobs.get(actor(), job_id), Editor(form_of(NEW_FORM))
    if request.method == "GET":
        return _form(job, editor)
    editor.read(posted())
    if editor.pressed or is_refused():
        return _form(job, editor, _checked(editor))
    try:
        shown = services().inbound.create(actor(), job_id, _value(editor, job_id, is_new=True))
    except (ValidationFailed, LimitReached) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.detail),)
        return _form(job, editor, errors), failed.status
    return _once(job, shown)


@blueprint.route("/<job_id>/inbound/<address_id>", methods=["GET", "POST"])
def edit_inbound(job_id: str, address_id: str) -> Any:
    """Shows the form of an address and saves it."""
    require(actor(), May.CHANGE_JOBS)
    job, address = services().jobs.get(actor(), job_id), services().inbound.get(actor(), job_id, address_id)
    settings = address.settings()
    del settings["proof"]
    editor = Editor(form_of(EDIT_FORM), settings)
    if request.method == "GET":
        return _form(job, editor, address=address)
    editor.read(posted())
    if editor.pressed or is_refused():
        return _form(job, editor, _checked(editor), address=address)
    try:
        body = {"parameters": {}, "events": [], **_value(editor, job_id, is_new=False)}
        changed = services().inbound.change(actor(), job_id, address_id, body, version=posted_version())
    except (ValidationFailed, StaleVersion, Conflict) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.told),)
        return _form(job, editor, errors, address=address), failed.status
    tell(say("Inbound address {name} changed", name=changed.name))
    return redirect(url_for(".inbound", job_id=job_id))


@blueprint.post("/<job_id>/inbound/<address_id>/rotate")
def rotate_inbound(job_id: str, address_id: str) -> Any:
    """Replaces the secret of an address, or its signing key, and shows the new one once."""
    job = services().jobs.get(actor(), job_id)
    what = "key" if request.form.get("what") == "key" else "address"
    return _once(job, services().inbound.rotate(actor(), job_id, address_id, {"what": what}))


@blueprint.post("/<job_id>/inbound/<address_id>/delete")
def delete_inbound(job_id: str, address_id: str) -> Any:
    """Deletes an address with its deliveries."""
    name = services().inbound.get(actor(), job_id, address_id).name
    services().inbound.delete(actor(), job_id, address_id)
    tell(say("Inbound address {name} deleted", name=name))
    return redirect(url_for(".inbound", job_id=job_id))


def _value(editor: Editor, job_id: str, *, is_new: bool) -> dict[str, Any]:
    """Returns what was posted. Raises ValidationFailed with what the form finds wrong with it, and what the service would find."""
    submission = editor.submission
    if submission is not None and submission.errors and isinstance(submission.value, dict):
        raise ValidationFailed(beside(submission.errors, services().inbound.problems(actor(), job_id, submission.value, is_new=is_new)))
    value: dict[str, Any] = editor.value
    return value


def _checked(editor: Editor) -> tuple[FieldError, ...]:
    return editor.submission.errors if editor.submission and editor.pressed == CHECK else ()


def _form(job: Job, editor: Editor, errors: tuple[FieldError, ...] = (), *, address: Address | None = None) -> str:
    shown = editor.present(errors)
    return render_template("inbound_form.html", job=job, address=address, controls=shown.controls, errors=shown.summary, PROOFS=PROOFS)


def _once(job: Job, shown: Shown) -> str:
    """Shows the page with what is new about an address, once, and a command that tries it."""
    url = f"{base_address()}{PATH}/{shown.secret}" if shown.secret else ""
    body = json.dumps(example_payload(shown.address.parameters), ensure_ascii=False)
    return render_template(
        "inbound_secret.html",
        job=job,
        address=shown.address,
        url=url,
        key=shown.key,
        command=try_command(shown.address.proof, url or "$ADDRESS", shown.key or "$KEY", body),
    )


def try_command(proof: Proof, url: str, key: str, body: str) -> str:
    """Returns a command of the shell that sends a body to an address, signed as it demands."""
    quoted = "'" + body.replace("'", "'\\''") + "'"
    send = f'curl -X POST "{url}" -H "Content-Type: application/json" -d "$body"'
    match proof:
        case Proof.STANDARD:
            return "\n".join(
                (
                    f"body={quoted} id=msg_$(date +%s%N) time=$(date +%s)",
                    f'key=$(printf %s "{key}" | sed s/^whsec_// | base64 -d | od -An -v -tx1 | tr -d " \\n")',
                    'signature=$(printf %s "$id.$time.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)',
                    f'{send} -H "webhook-id: $id" -H "webhook-timestamp: $time" -H "webhook-signature: v1,$signature"',
                )
            )
        case Proof.GITHUB:
            return "\n".join(
                (
                    f"body={quoted}",
                    f'signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "{key}" | sed "s/^.* //")',
                    f'{send} -H "X-GitHub-Event: push" -H "X-Hub-Signature-256: sha256=$signature"',
                )
            )
    return f"body={quoted}\n{send}"
