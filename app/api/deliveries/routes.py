"""/api/admin/deliveries"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.deliveries.schemas import NotificationEnvelope, NotificationList, NotificationQuery, delivery_json
from app.api.present import instant
from app.notification.delivery import DeliveryFilter

blueprint = ApiBlueprint("Notifications", __name__, url_prefix="/api/admin/deliveries", description="Every message to people")


@blueprint.get("")
@blueprint.arguments(NotificationQuery, location="query")
@blueprint.response(200, NotificationList)
def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
    """List notifications, newest first; go on with `after`, the text in `next`"""
    same = {name: query[name] for name in ("status", "job_id", "execution_id", "begin", "end")}
    wanted = DeliveryFilter(channel_id=query["channel"], before=_place(query["after"]), **same)
    rows, more = services().deliveries.page(actor(), wanted, limit=query["limit"])
    after = f"{instant(rows[-1].created_at)}~{rows[-1].id}" if more else None
    return {"deliveries": [delivery_json(row) for row in rows], "next": after}


def _place(text: str) -> tuple[datetime, str] | None:
    at, _, last_id = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (moment, last_id) if moment.tzinfo is not None else None


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
