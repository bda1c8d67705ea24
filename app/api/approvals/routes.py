"""/api/admin/approvals"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for

from app.api.approvals.schemas import ApprovalEnvelope, ApprovalList, ApprovalQuery, DecisionBody
from app.api.blueprint import ApiBlueprint
from app.api.body import json_body, judged
from app.api.current import actor, services
from app.api.present import jsonable
from app.errors import ApprovalNeeded
from app.jobs.reading import judge_of

blueprint = ApiBlueprint(
    "approvals", __name__, url_prefix="/api/admin/approvals", description="Destructive work of an admin, which a super-admin is to look at"
)

_decision = judge_of(DecisionBody())
BODY = {"required": False, "content": {"application/json": {"schema": DecisionBody}}}


def answer_asked(error: ApprovalNeeded) -> Response:
    """202: nothing was done; the request waits where `Location` says."""
    row = services().approvals.ask(actor(), error.ask)
    response: Response = jsonify({"approval": jsonable(row), "message": "Waits for the approval of a super-admin"})
    response.status_code = 202
    response.headers["Location"] = url_for("approvals.get_approval", approval_id=row["_id"])
    return response


def _note() -> str:
    return str(judged(_decision, json_body(request, optional=True)).get("note", ""))


@blueprint.get("")
@blueprint.arguments(ApprovalQuery, location="query")
@blueprint.response(200, ApprovalList)
def list_approvals(query: dict[str, Any]) -> dict[str, Any]:
    """List requests, newest first"""
    page = services().approvals.page(actor(), state=query.get("state"), page=query["page"], limit=query["limit"])
    return {"approvals": [jsonable(row) for row in page.approvals], "total": page.total, "page": page.page, "pages": page.pages}


@blueprint.get("/<approval_id>")
@blueprint.response(200, ApprovalEnvelope)
def get_approval(approval_id: str) -> dict[str, Any]:
    """Read a request: what would change, and what the preview found"""
    return {"approval": jsonable(services().approvals.get(actor(), approval_id))}


@blueprint.post("/<approval_id>/approve")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200, ApprovalEnvelope)
def approve(approval_id: str) -> dict[str, Any]:
    """Do what was asked for; never one's own"""
    return {"approval": jsonable(services().approvals.approve(actor(), approval_id, note=_note()))}


@blueprint.post("/<approval_id>/refuse")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200, ApprovalEnvelope)
def refuse(approval_id: str) -> dict[str, Any]:
    """Do it not; never one's own"""
    return {"approval": jsonable(services().approvals.refuse(actor(), approval_id, note=_note()))}


@blueprint.post("/<approval_id>/withdraw")
@blueprint.response(200, ApprovalEnvelope)
def withdraw(approval_id: str) -> dict[str, Any]:
    """Take one's own request back"""
    return {"approval": jsonable(services().approvals.withdraw(actor(), approval_id))}
