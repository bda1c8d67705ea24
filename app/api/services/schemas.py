"""Requests and answers of registered services. Names are in camelCase, as the protocol of services has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, FieldErrorOut, RequestSchema
from app.api.present import errors_json, jsonable
from app.connections.services import NewKey
from app.instants import as_text
from app.integrations.callbacks.breaker import Circuit
from app.integrations.callbacks.endpoint import Endpoint
from app.integrations.services.declaration import HEARTBEAT, MANIFEST, MOST_JOBS, REGISTRATION
from app.integrations.services.model import Instance, Service
from app.integrations.services.registration import Outcome
from app.integrations.services.service import Overview
from app.jobs.model import Job
from app.jobs.registered import drift

ONE_REGISTRATION = {**REGISTRATION, "anyOf": [{"required": ["serviceName"]}, {"required": ["service"]}]}
REGISTRATION_BODY: dict[str, Any] = {"oneOf": [ONE_REGISTRATION, {"type": "array", "maxItems": MOST_JOBS, "items": ONE_REGISTRATION}]}
MANIFEST_BODY, HEARTBEAT_BODY = MANIFEST, HEARTBEAT


class SigningKeyOut(AnswerSchema):
    id = ma.String(required=True)
    secret = ma.String(
        required=True, metadata={"description": "Shown once. Jobwright signs its calls with it, and the service its reports"}
    )


class AppliedOut(AnswerSchema):
    service = ma.String(metadata={"description": "Missing in the answer to a list with jobs of several services"})
    created = ma.List(ma.String(), required=True)
    updated = ma.List(ma.String(), required=True)
    unchanged = ma.List(ma.String(), required=True)
    retired = ma.List(ma.String(), required=True)
    signingKey = ma.Nested(SigningKeyOut, metadata={"description": "Of a service that was registered for the first time"})


class RegistrationOut(AppliedOut):
    services = ma.List(ma.Nested(AppliedOut), metadata={"description": "The same for each service, if there are several"})
    warnings = ma.List(ma.Nested(FieldErrorOut), metadata={"description": "Members that were ignored"})


class ManifestOut(AppliedOut):
    version = ma.String(required=True)
    digest = ma.String(required=True)
    warnings = ma.List(ma.Nested(FieldErrorOut), metadata={"description": "Members that were ignored"})


class HeartbeatOut(AnswerSchema):
    ttlSeconds = ma.Integer(required=True, metadata={"description": "Seconds after which the instance counts as offline"})
    digest = ma.String(allow_none=True, metadata={"description": "That of the manifest that Jobwright has"})


class InstanceOut(AnswerSchema):
    id = ma.String(required=True)
    version = ma.String(required=True)
    address = ma.String(allow_none=True)
    state = ma.String(required=True, metadata={"description": "ready, draining or offline"})
    jobs = ma.List(ma.String(), required=True)
    running = ma.Integer(required=True)
    seenAt = ma.String(required=True, metadata=INSTANT)


class ManifestInfo(AnswerSchema):
    version = ma.String(required=True)
    digest = ma.String(required=True)
    etag = ma.String(required=True, metadata={"description": "For `If-Match` of the next manifest, between quotes"})
    at = ma.String(required=True, metadata=INSTANT)


class ServiceJobOut(AnswerSchema):
    id = ma.String(required=True)
    name = ma.String(required=True)
    displayName = ma.String(required=True)
    jobType = ma.String(required=True)
    enabled = ma.Boolean(required=True)
    nextRunAt = ma.String(allow_none=True, metadata=INSTANT)
    lastRunAt = ma.String(allow_none=True, metadata=INSTANT)
    lastStatus = ma.String(allow_none=True)
    overrides = ma.List(ma.String(), metadata={"description": "JSON Pointers of the fields whose value an admin has set"})
    drift = ma.List(ma.String(), metadata={"description": "Those of which the code has changed its own value since"})


class CallOut(AnswerSchema):
    at = ma.String(required=True, metadata=INSTANT)
    job = ma.String(required=True)
    executionId = ma.String(required=True)
    succeeded = ma.Boolean(required=True, metadata={"description": "The service answered, and not with a failure of its own"})
    seconds = ma.Float(required=True)
    error = ma.String(required=True, allow_none=True)


class EndpointOut(AnswerSchema):
    origin = ma.String(required=True, metadata={"description": "Scheme, host and port"})
    circuit = ma.String(
        required=True,
        metadata={"enum": [item.value for item in Circuit], "description": "`open`: no calls; `half_open`: one call as a probe"},
    )
    retryAt = ma.String(required=True, allow_none=True, metadata={**INSTANT, "description": "When the next probe may be made"})
    changedAt = ma.String(required=True, allow_none=True, metadata=INSTANT)
    failuresInRow = ma.Integer(required=True)
    lastCalls = ma.List(ma.Nested(CallOut), required=True, metadata={"description": "The newest ones, newest first"})


class ServiceOut(AnswerSchema):
    name = ma.String(required=True)
    displayName = ma.String(required=True)
    owner = ma.String(required=True, metadata={"description": "E-mail address of the account whose tokens may register its jobs"})
    address = ma.String(allow_none=True)
    stale = ma.Boolean(required=True, metadata={"description": "It has been silent for longer than its time to live"})
    staleSince = ma.String(allow_none=True, metadata=INSTANT)
    ttlSeconds = ma.Integer(allow_none=True)
    onStale = ma.String(required=True)
    manifest = ma.Nested(ManifestInfo, allow_none=True)
    seenAt = ma.String(required=True, metadata=INSTANT)
    createdAt = ma.String(required=True, metadata=INSTANT)
    instances = ma.List(ma.Nested(InstanceOut), required=True)
    endpoints = ma.List(ma.Nested(EndpointOut), required=True, metadata={"description": "Those that were called"})
    jobs = ma.List(ma.Nested(ServiceJobOut), required=True)


class ServiceList(AnswerSchema):
    services = ma.List(ma.Nested(ServiceOut), required=True)


class HandOverBody(RequestSchema):
    owner = ma.String(required=True, metadata={"description": "E-mail address of the account that may register the jobs of the service"})


class RemovedOut(AnswerSchema):
    retired = ma.List(ma.String(), required=True)


def applied_json(outcome: Outcome) -> dict[str, Any]:
    """Returns what a registration has done with the jobs of one service."""
    applied = outcome.applied
    return {
        "service": outcome.service,
        "created": list(applied.created),
        "updated": list(applied.updated),
        "unchanged": list(applied.unchanged),
        "retired": list(applied.retired),
        **({"signingKey": key_json(outcome.key)} if outcome.key else {}),
    }


def manifest_json(outcome: Outcome) -> dict[str, Any]:
    """Returns the answer to a manifest."""
    manifest, warnings = outcome.manifest, errors_json(outcome.warnings)
    return {
        **applied_json(outcome),
        **({"version": manifest.version, "digest": manifest.digest} if manifest else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def registration_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Returns the answer to a registration: of one service, or of several together and each by itself."""
    parts = [applied_json(outcome) for outcome in outcomes]
    warnings = [error for outcome in outcomes for error in errors_json(outcome.warnings)]
    body = parts[0] if len(parts) == 1 else {name: sorted(job for part in parts for job in part[name]) for name in _LISTS}
    return {**body, **({"services": parts} if len(parts) > 1 else {}), **({"warnings": warnings} if warnings else {})}


_LISTS = ("created", "updated", "unchanged", "retired")


def key_json(key: NewKey) -> dict[str, str]:
    """Returns a new signing key, which is shown once."""
    return {"id": key.id, "secret": key.secret}


def service_json(overview: Overview, now: datetime) -> dict[str, Any]:
    """Returns a service with its instances and jobs."""
    service = overview.service
    answer: dict[str, Any] = jsonable(
        {
            "name": service.name,
            "displayName": service.display_name,
            "owner": service.created_by,
            "address": overview.connection["settings"].get("address") if overview.connection else None,
            "stale": service.is_stale(now),
            "staleSince": service.stale_since,
            "ttlSeconds": service.ttl_seconds,
            "onStale": service.on_stale.value,
            "manifest": _manifest_json(service),
            "seenAt": service.seen_at,
            "createdAt": service.created_at,
            "instances": [_instance_json(item, now) for item in service.instances],
            "endpoints": [_endpoint_json(item) for item in overview.endpoints],
            "jobs": [_job_json(job) for job in overview.jobs],
        }
    )
    return answer


def _manifest_json(service: Service) -> dict[str, Any] | None:
    manifest = service.manifest
    if manifest is None:
        return None
    return {"version": manifest.version, "digest": manifest.digest, "etag": manifest.etag, "at": as_text(manifest.at)}


def _instance_json(item: Instance, now: datetime) -> dict[str, Any]:
    return {
        "id": item.id,
        "version": item.version,
        "address": item.address or None,
        "state": item.state.value if item.is_online(now) else "offline",
        "jobs": list(item.jobs),
        "running": item.running,
        "seenAt": item.seen_at,
    }


def _endpoint_json(item: Endpoint) -> dict[str, Any]:
    breaker = item.breaker
    return {
        "origin": item.origin,
        "circuit": breaker.circuit.value,
        "retryAt": breaker.retry_at,
        "changedAt": item.changed_at,
        "failuresInRow": breaker.failures_in_row,
        "lastCalls": [
            {
                "at": call.at,
                "job": call.job_name,
                "executionId": call.execution_id,
                "succeeded": call.succeeded,
                "seconds": call.seconds,
                "error": call.error,
            }
            for call in item.last_calls
        ],
    }


def _job_json(job: Job) -> dict[str, Any]:
    registered = job.registered
    return {
        "id": job.id,
        "name": job.definition.name,
        "displayName": registered.display_name if registered else "",
        "jobType": registered.job_type if registered else "",
        "enabled": job.definition.enabled,
        "nextRunAt": job.next_run_at,
        "lastRunAt": job.last_run_at,
        "lastStatus": job.last_status,
        "overrides": [item.field for item in registered.overrides] if registered else [],
        "drift": [item.field for item in drift(registered.declared, registered.overrides)] if registered else [],
    }
