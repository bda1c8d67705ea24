"""/api/admin/outbox"""

from __future__ import annotations

from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.outbox.schemas import GivenUpList, given_up_json

blueprint = ApiBlueprint(
    "Follow-ups",
    __name__,
    url_prefix="/api/admin/outbox",
    description="Mails and other follow-ups of executions and events that were given up after several tries",
)
AGAIN = {"message": "The follow-up is tried again now"}


@blueprint.get("")
@blueprint.response(200, GivenUpList)
def list_given_up_items() -> dict[str, Any]:
    """List the mails and other follow-ups that were given up after several tries, newest first"""
    return {"items": [given_up_json(item) for item in services().given_up.items(actor())]}


@blueprint.post("/executions/<execution_id>/<what>/again")
@blueprint.response(202, Message)
def retry_execution_follow_up(execution_id: str, what: str) -> dict[str, str]:
    """Try a follow-up of an execution again"""
    services().given_up.ask_again(actor(), execution_id, what)
    return AGAIN


@blueprint.post("/events/<event_id>/<what>/again")
@blueprint.response(202, Message)
def retry_event_follow_up(event_id: str, what: str) -> dict[str, str]:
    """Try a follow-up of an event again"""
    services().given_up.ask_again_of_event(actor(), event_id, what)
    return AGAIN
