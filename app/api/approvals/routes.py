"""/api/admin/approvals"""

from __future__ import annotations

from typing import Any

from app.api.approvals.schemas import ApprovalEnvelope, ApprovalList, ApprovalQuery, DecisionBody
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.paging import page_json
from app.api.present import record_json

blueprint = ApiBlueprint(
    "Approvals", __name__, url_prefix="/api/admin/approvals", description="Requests of admins that a super-admin approves or refuses"
)


@blueprint.get("")
@blueprint.arguments(ApprovalQuery, location="query")
@blueprint.response(200, ApprovalList)
def list_approvals(query: dict[str, Any]) -> dict[str, Any]:
    """List requests for approval, newest first"""
    page = services().approvals.page(actor(), state=query.get("state"), page=query["page"], limit=query["limit"])
    return page_json("approvals", [record_json(row) for row in page.items], page)


@blueprint.get("/<approval_id>")
@blueprint.response(200, ApprovalEnvelope)
def get_approval(approval_id: str) -> dict[str, Any]:
    """Read a request for approval: what would change, and what the preview found"""
    return {"approval": record_json(services().approvals.get(actor(), approval_id))}


@blueprint.post("/<approval_id>/approve")
@blueprint.body(DecisionBody, required=False)
@blueprint.response(200, ApprovalEnvelope)
def approve_request(approval_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Approve a request and carry it out; you cannot approve your own"""
    return {"approval": record_json(services().approvals.approve(actor(), approval_id, note=body.get("note", "")))}


@blueprint.post("/<approval_id>/refuse")
@blueprint.body(DecisionBody, required=False)
@blueprint.response(200, ApprovalEnvelope)
def refuse_request(approval_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Refuse a request; you cannot refuse your own"""
    return {"approval": record_json(services().approvals.refuse(actor(), approval_id, note=body.get("note", "")))}


@blueprint.post("/<approval_id>/withdraw")
@blueprint.response(200, ApprovalEnvelope)
def withdraw_request(approval_id: str) -> dict[str, Any]:
    """Withdraw a request of your own"""
    return {"approval": record_json(services().approvals.withdraw(actor(), approval_id))}
