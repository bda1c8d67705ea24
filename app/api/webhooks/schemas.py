"""The answer to a delivery."""

from __future__ import annotations

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import AnswerSchema
from app.integrations.inbound.model import Outcome


class Received(AnswerSchema):
    delivery_id = ma.String(required=True, metadata={"description": "The id of the delivery in the list of deliveries"})
    outcome = ma.String(required=True, validate=OneOf([item.value for item in Outcome if item is not Outcome.REFUSED]))
    message = ma.String(required=True)
    execution_id = ma.String(metadata={"description": "Of accepted: the execution that was queued"})
    approval_id = ma.String(metadata={"description": "Of waiting: the request for approval"})
