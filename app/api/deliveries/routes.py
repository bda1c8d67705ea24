"""/api/admin/deliveries"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.deliveries.schemas import NotificationEnvelope, NotificationList, NotificationQuery, delivery_json
from app.notification.delivery import DeliveryFilter, place_from

blueprint = ApiBlueprint("Notifications", __name__, url_prefix="/api/admin/deliveries", description="Every message to people")


@blueprint.get("")
@blueprint.arguments(NotificationQuery, location="query")
@blueprint.response(200, NotificationList)
def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """List notifications, newest first; go on with `after`, the text in `next`"""
    same = {name: query[name] for name in ("status", "job_id", "execution_id", "begin", "end")}
    wanted = DeliveryFilter(channel_id=query["channel"], before=place_from(query["after"]), **same)
    rows, place = services().deliveries.page(actor(), wanted, limit=query["limit"])
    return {"deliveries": [delivery_json(row) for row in rows], "next": place or None}


@blueprint.get("/<delivery_id>")
@blueprint.response(200, NotificationEnvelope)
def get_delivery(delivery_id: str) -> dict[str, Any]:
    """Read a notification with its text and each try to send it"""
    return {"delivery": delivery_json(services().deliveries.get(actor(), delivery_id))}


@blueprint.post("/<delivery_id>/replay")
@blueprint.response(202, NotificationEnvelope)
def replay_delivery(delivery_id: str) -> dict[str, Any]:
    """Send a notification again, with a key of its own"""
    return {"delivery": delivery_json(services().deliveries.replay(actor(), delivery_id)), "message": "The notification is sent again"}
