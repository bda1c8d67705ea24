"""/approvals: the requests of admins that a super-admin decides."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks
from app.approvals.service import STATES
from app.errors import ApprovalNeeded, JobwrightError
from app.mongo import Document
from templates_lib.messages import say
from web.current import actor, services
from web.views.common import is_htmx, is_refused, page_number, tell

blueprint = Blueprint("approvals_pages", __name__, url_prefix="/approvals")

WORDS = {
    "job.create": say("Create {name}"),
    "job.update": say("Change {name}"),
    "job.enable": say("Enable {name}"),
    "job.resume": say("Resume {name}"),
    "job.end_shadow": say("End the shadow mode of {name}"),
    "job.delete": say("Delete {name}"),
    "job.undelete": say("Restore {name}"),
    "job.run": say("Run {name}"),
    "execution.retry": say("Run {name} again"),
    "job.backfill": say("Backfill {name}"),
}


def answer_asked(error: ApprovalNeeded) -> Any:
    """Stores the request for the super-admins and leads to its page."""
    row = services().approvals.ask(actor(), error.ask)
    tell("Your change waits for a super-admin to approve it")
    target = url_for("approvals_pages.show", approval_id=row["_id"])
    return Response(status=204, headers={"HX-Redirect": target}) if is_htmx() else redirect(target, 303)


@blueprint.get("")
def list_approvals() -> str:
    """Shows the requests in one state; those that wait by default."""
    state = request.args.get("state", "pending")
    wanted = state if state in STATES else None
    page = services().approvals.page(actor(), state=wanted, page=page_number())
    return render_template(
        "approvals.html", page=page, state=wanted, states=STATES, words=WORDS, args=request.args, destructive=_is_destructive
    )


def _is_destructive(row: Document) -> bool:
    """Returns whether the template of a request can delete data."""
    entry = services().catalogue.find(row["template_type"])
    return entry is not None and entry.template.destructive


@blueprint.get("/<approval_id>")
def show(approval_id: str) -> str:
    """Shows one request."""
    return _page(services().approvals.get(actor(), approval_id))


@blueprint.get("/<approval_id>/preview")
def preview(approval_id: str) -> str:
    """Shows the result of the dry run, or that it still runs."""
    return render_template("partials/approval_preview.html", row=services().approvals.get(actor(), approval_id))


@blueprint.post("/<approval_id>/<any(approve, refuse, withdraw):decision>")
def decide(approval_id: str, decision: str) -> Any:
    """Approves, refuses or withdraws a request."""
    note = request.form.get("note", "").strip()
    if is_refused():
        return _page(services().approvals.get(actor(), approval_id), note=note)
    try:
        if decision == "approve":
            services().approvals.approve(actor(), approval_id, note=note)
        elif decision == "refuse":
            services().approvals.refuse(actor(), approval_id, note=note)
        else:
            services().approvals.withdraw(actor(), approval_id)
    except JobwrightError as error:
        if error.status in {401, 403, 404}:
            raise
        row = services().approvals.get(actor(), approval_id)
        if row["state"] == "pending":  # it can still be decided, so the note is kept
            return _page(row, wrong=error.detail, note=note), error.status
        if row["state"] != "failed" or decision != "approve":  # the page of a failed request says why it has failed
            tell(error.detail)
        return redirect(url_for(".show", approval_id=approval_id), 303)
    tell({"approve": say("Approved and carried out"), "refuse": say("Refused"), "withdraw": say("Withdrawn")}[decision])
    return redirect(url_for(".show", approval_id=approval_id))


def _page(row: Document, *, wrong: str = "", note: str = "") -> str:
    own = row["requested_by"]["id"] == actor().id
    decides = lacks(actor(), May.DECIDE_APPROVALS) is None and not own
    entry = services().catalogue.find(row["template_type"])
    return render_template(
        "approval.html",
        row=row,
        own=own,
        decides=decides,
        related=services().approvals.related(actor(), row),
        words=WORDS,
        wrong=wrong,
        entry=entry,
        note=note,
        schema=entry.parameters_schema if entry is not None else None,
        destructive=_is_destructive(row),
    )
