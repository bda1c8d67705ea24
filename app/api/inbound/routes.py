"""/api/admin/scheduler-jobs/<job_id>/inbound: the inbound addresses of a job, and what became of the deliveries to them"""

from __future__ import annotations

from typing import Any

from flask import url_for

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, base_address, services
from app.api.etag import Versioned
from app.api.inbound.schemas import AddressEnvelope, AddressList, DeliveryList, address_json, delivery_json
from app.integrations.inbound.addresses import CHANGES_SCHEMA, ROTATION_SCHEMA, SCHEMA, Shown
from app.integrations.inbound.model import PATH

blueprint = ApiBlueprint(
    "Inbound webhooks",
    __name__,
    url_prefix="/api/admin/scheduler-jobs/<job_id>/inbound",
    description="Addresses that other programs call to run a job, and the deliveries to them",
)


def _envelope(shown: Shown, message: str) -> dict[str, Any]:
    """Returns an address with what is shown once."""
    once = {"url": f"{base_address()}{PATH}/{shown.secret}" if shown.secret else "", "key": shown.key}
    return {"message": message, "address": address_json(shown.address), **{name: text for name, text in once.items() if text}}


@blueprint.get("")
@blueprint.response(200, AddressList)
def list_inbound_addresses(job_id: str) -> dict[str, Any]:
    """List the inbound addresses of a job; their secrets and keys are not shown"""
    return {"addresses": [address_json(address) for address in services().inbound.of(actor(), job_id)]}


@blueprint.post("")
@blueprint.body(SCHEMA, validate=False)
@blueprint.response(201, AddressEnvelope)
@blueprint.etag()
def create_inbound_address(job_id: str, body: Any) -> Versioned:
    """Create an inbound address; its `url`, and its `key` if none was sent, are shown only in this answer"""
    shown = services().inbound.create(actor(), job_id, body)
    location = url_for("Inbound webhooks.get_inbound_address", job_id=job_id, address_id=shown.address.id)
    return Versioned(body=_envelope(shown, "Inbound address created"), version=shown.address.version, status=201, location=location)


@blueprint.get("/deliveries")
@blueprint.response(200, DeliveryList)
def list_inbound_deliveries(job_id: str) -> dict[str, Any]:
    """List the last deliveries to the inbound addresses of a job, newest first, with what became of each"""
    return {"deliveries": [delivery_json(delivery) for delivery in services().inbound.deliveries(actor(), job_id)]}


@blueprint.get("/<address_id>")
@blueprint.response(200, AddressEnvelope)
@blueprint.etag()
def get_inbound_address(job_id: str, address_id: str) -> Versioned:
    """Read one inbound address"""
    address = services().inbound.get(actor(), job_id, address_id)
    return Versioned(body={"address": address_json(address)}, version=address.version)


@blueprint.put("/<address_id>")
@blueprint.body(CHANGES_SCHEMA, validate=False)
@blueprint.response(200, AddressEnvelope)
@blueprint.etag(if_match=True)
def change_inbound_address(job_id: str, address_id: str, body: Any, version: int | None) -> Versioned:
    """Change the fields that are sent; runs have the rights of the account that changed the address last"""
    address = services().inbound.change(actor(), job_id, address_id, body, version=version)
    return Versioned(body={"message": "Inbound address changed", "address": address_json(address)}, version=address.version)


@blueprint.post("/<address_id>/rotate")
@blueprint.body(ROTATION_SCHEMA, required=False, validate=False)
@blueprint.response(200, AddressEnvelope)
@blueprint.etag()
def rotate_inbound_address(job_id: str, address_id: str, body: Any) -> Versioned:
    """Replace the secret address, and the old one is invalid at once; with `what: key` the signing key, and the old one is valid for 24
    hours more"""
    shown = services().inbound.rotate(actor(), job_id, address_id, body)
    return Versioned(body=_envelope(shown, "Address replaced" if shown.secret else "Signing key replaced"), version=shown.address.version)


@blueprint.delete("/<address_id>")
@blueprint.response(200, Message)
def delete_inbound_address(job_id: str, address_id: str) -> dict[str, str]:
    """Delete an inbound address with its deliveries"""
    services().inbound.delete(actor(), job_id, address_id)
    return {"message": "Inbound address deleted"}
