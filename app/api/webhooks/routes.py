"""/api/inbound/<secret>: where other programs send webhooks to"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.blueprint import OpenBlueprint
from app.api.current import services
from app.api.operation import describe
from app.api.webhooks.incoming import incoming
from app.api.webhooks.schemas import Received
from app.integrations.inbound.model import PATH, Delivery, Outcome
from app.integrations.inbound.reception import BodyTooLarge

blueprint = OpenBlueprint("Webhooks", __name__, url_prefix=PATH, description="Send webhooks to the inbound addresses of jobs")

_MESSAGES = {
    Outcome.ACCEPTED: "Run queued",
    Outcome.WAITING: "A super-admin must approve this run first",
    Outcome.REPEATED: "This delivery was received before",
    Outcome.IGNORED: "This event starts no run",
}


def receive_webhook(secret: str) -> Response:
    """Run a job by a webhook. The body is JSON or a form; its signature is checked as the address demands. A delivery that comes again
    starts no second run"""
    try:
        delivery = services().reception.receive(incoming(secret))
    except BodyTooLarge as error:
        raise RequestEntityTooLarge(error.detail) from error
    return _answer(delivery)


def _answer(delivery: Delivery) -> Response:
    ids = {"execution_id": delivery.execution_id, "approval_id": delivery.approval_id}
    body: dict[str, Any] = {
        "delivery_id": delivery.id,
        "outcome": delivery.outcome.value,
        "message": _MESSAGES[delivery.outcome],
        **{name: value for name, value in ids.items() if value},
    }
    answer = jsonify(body)
    answer.status_code = delivery.status
    return answer


# The reception reads the body itself, after it has found the address and its limit.
describe(receive_webhook, body={"required": False, "content": {"application/json": {"schema": {}}}})
blueprint.post("/<secret>")(
    blueprint.response(202, Received)(
        blueprint.alt_response(200, schema=Received, description="The delivery was repeated or ignored; nothing was started")(
            receive_webhook
        )
    )
)
