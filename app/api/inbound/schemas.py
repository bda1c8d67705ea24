"""Requests and answers of inbound addresses and deliveries."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import OneOf

from app.api.base_schemas import INSTANT, AnswerSchema, FieldErrorOut, RecordOut
from app.api.present import errors_json, jsonable
from app.integrations.inbound.model import Address, Delivery, Outcome, Proof


class AddressOut(RecordOut):
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    proof = ma.String(required=True, validate=OneOf([item.value for item in Proof]))
    parameters = ma.Dict(keys=ma.String(), metadata={"description": "Values or expressions, by parameter"})
    events = ma.List(ma.String())
    rate_per_minute = ma.Integer()
    max_bytes = ma.Integer()
    enabled = ma.Boolean()
    owner = ma.String(metadata={"description": "The account whose rights the runs have: who changed the address last"})
    version = ma.Integer(metadata={"description": "The ETag"})
    created_by = ma.String()
    created_at = ma.String(metadata=INSTANT)
    updated_at = ma.String(metadata=INSTANT)
    rotated_at = ma.String(allow_none=True, metadata=INSTANT)
    last_at = ma.String(allow_none=True, metadata={**INSTANT, "description": "The last delivery"})
    accepted = ma.Integer(metadata={"description": "Deliveries that were not refused"})
    refused = ma.Integer(metadata={"description": "Deliveries that were refused"})


class AddressList(AnswerSchema):
    addresses = ma.List(ma.Nested(AddressOut), required=True)


class AddressEnvelope(AnswerSchema):
    message = ma.String()
    address = ma.Nested(AddressOut, required=True)
    url = ma.String(metadata={"description": "The address to send to. It is shown once."})
    key = ma.String(metadata={"description": "The signing key, if Jobwright generated it. It is shown once."})


class DeliveryOut(RecordOut):
    address_id = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    outcome = ma.String(required=True, validate=OneOf([item.value for item in Outcome]))
    status = ma.Integer(required=True, metadata={"description": "The HTTP status of the answer"})
    reason = ma.String(metadata={"description": "Why it was refused, ignored or repeated"})
    errors = ma.List(ma.Nested(FieldErrorOut))
    execution_id = ma.String(allow_none=True)
    approval_id = ma.String(allow_none=True)
    delivery_id = ma.String(metadata={"description": "The id that the sender gave it"})
    sender = ma.String(metadata={"description": "Network address"})
    size = ma.Integer(metadata={"description": "Bytes of the body"})
    body = ma.String(metadata={"description": "The beginning of the payload, with secrets hidden"})
    count = ma.Integer(metadata={"description": "Number of refusals of the same kind within the minute"})


class DeliveryList(AnswerSchema):
    deliveries = ma.List(ma.Nested(DeliveryOut), required=True)


_OF_ADDRESS = ("job_id", "owner", "version", "created_by", "created_at", "updated_at", "rotated_at", "last_at", "accepted", "refused")
_OF_DELIVERY = (
    "address_id",
    "at",
    "status",
    "reason",
    "execution_id",
    "approval_id",
    "delivery_id",
    "sender",
    "size",
    "body",
    "count",
)


def address_json(address: Address) -> dict[str, Any]:
    """Returns an address without its secret and its keys."""
    return _record(address.id, {**address.settings(), **{name: getattr(address, name) for name in _OF_ADDRESS}})


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Returns a delivery."""
    members = {name: getattr(delivery, name) for name in _OF_DELIVERY}
    return _record(delivery.id, {**members, "outcome": delivery.outcome.value, "errors": errors_json(delivery.errors)})


def _record(record_id: str, members: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = jsonable({"id": record_id, "_id": record_id, **members})
    return shown
