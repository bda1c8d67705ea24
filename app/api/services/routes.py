"""/api/jobs/register and /api/services"""

from __future__ import annotations

from typing import Any

from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.services.schemas import (
    HEARTBEAT_BODY,
    MANIFEST_BODY,
    REGISTRATION_BODY,
    HandOverBody,
    HeartbeatOut,
    ManifestOut,
    RegistrationOut,
    RemovedOut,
    ServiceList,
    ServiceOut,
    SigningKeyOut,
    key_json,
    manifest_json,
    registration_json,
    service_json,
)
from app.integrations.services.model import INSTANCE_SECONDS

blueprint = ApiBlueprint("Services", __name__, url_prefix="/api", description="Services that register jobs from their code")


@blueprint.post("/jobs/register")
@blueprint.body(REGISTRATION_BODY, validate=False)
@blueprint.response(200, RegistrationOut)
def register_jobs(body: Any) -> dict[str, Any]:
    """Register one job of a service, or a list of jobs; what is registered as before is not written"""
    return registration_json(services().registration.register(actor(), body))


@blueprint.get("/services")
@blueprint.response(200, ServiceList)
def list_services() -> dict[str, Any]:
    """List the services that have registered jobs"""
    now = services().clock.now()
    return {"services": [service_json(item, now) for item in services().registered.all(actor())]}


@blueprint.get("/services/<name>")
@blueprint.response(200, ServiceOut)
def get_service(name: str) -> dict[str, Any]:
    """Read a service with its instances and jobs"""
    return service_json(services().registered.get(actor(), name), services().clock.now())


@blueprint.put("/services/<name>")
@blueprint.body(HandOverBody)
@blueprint.response(200, ServiceOut)
def hand_over_service(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Give a service to another account, whose tokens may register its jobs from now on"""
    services().registered.hand_over(actor(), name, body["owner"])
    return service_json(services().registered.get(actor(), name), services().clock.now())


@blueprint.delete("/services/<name>")
@blueprint.response(200, RemovedOut)
def remove_service(name: str) -> dict[str, Any]:
    """Remove a service: its jobs stop, and return with their settings if it registers them again"""
    return {"retired": services().registered.remove(actor(), name)}


@blueprint.put("/services/<name>/manifest")
@blueprint.body(MANIFEST_BODY, validate=False)
@blueprint.response(200, ManifestOut)
@blueprint.content_etag()
def put_manifest(name: str, body: Any, etag: str | None) -> Versioned:
    """Declare the complete set of jobs of a service; those that are missing are retired"""
    outcome = services().registration.put_manifest(actor(), name, body, if_match=etag)
    return Versioned(body=manifest_json(outcome), version=outcome.manifest.etag if outcome.manifest else "")


@blueprint.post("/services/<name>/heartbeat")
@blueprint.body(HEARTBEAT_BODY, validate=False)
@blueprint.response(200, HeartbeatOut)
def send_heartbeat(name: str, body: Any) -> dict[str, Any]:
    """Report that an instance of a service is online"""
    service = services().registered.heartbeat(actor(), name, body)
    return {"ttlSeconds": service.ttl_seconds or INSTANCE_SECONDS, "digest": service.manifest.digest if service.manifest else None}


@blueprint.post("/services/<name>/keys/rotate")
@blueprint.response(200, SigningKeyOut)
def rotate_service_key(name: str) -> dict[str, str]:
    """Add a signing key; the one before it stays valid until the next rotation"""
    return key_json(services().registered.rotate_key(actor(), name))


@blueprint.delete("/services/<name>/keys/previous")
@blueprint.response(200, Message)
def retire_service_key(name: str) -> dict[str, str]:
    """Make the newest signing key the only one"""
    services().registered.retire_old_key(actor(), name)
    return {"message": "The previous signing key is no longer valid"}
