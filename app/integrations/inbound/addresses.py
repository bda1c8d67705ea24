"""The inbound addresses of jobs: created, changed, rotated, deleted. A secret is shown once."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.inventory import Inventory
from app.errors import Conflict, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.integrations.inbound.address_store import AddressStore
from app.integrations.inbound.delivery_store import DeliveryStore
from app.integrations.inbound.model import Address, Delivery, Proof
from app.integrations.inbound.payload import mapping_errors
from app.integrations.inbound.signatures import key_problem, new_key
from app.integrations.inbound.signing_keys import OVERLAP, SigningKeys
from app.jobs.model import Job
from app.jobs.parameters import JobParameters
from app.jobs.service import JobRegistry
from app.keys import digest
from app.validation import SchemaValidator
from app.validation.names import read_names
from app.validation.storable import unstorable
from app.validation.together import beside
from templates_lib.messages import say

MOST = 10  # addresses of a job
PREFIX = "jwi_"  # lets secret scanners recognise an address
KEY: dict[str, Any] = {
    "type": "string",
    "title": "Signing key",
    "minLength": 1,
    "maxLength": 500,
    "writeOnly": True,
    "description": "The key that the sender signs with. Leave empty to generate one.",
}
_PROPERTIES: dict[str, Any] = {
    "name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 80, "description": "Who sends to this address."},
    "proof": {
        "title": "Proof of the sender",
        "oneOf": [
            {"const": "standard", "title": "Standard Webhooks (recommended)"},
            {"const": "github", "title": "Signature of GitHub"},
            {"const": "secret", "title": "Secret address only"},
        ],
        "default": "standard",
        "description": "Everybody who knows an address without a signature can start the job.",
    },
    "key": KEY,
    "parameters": {
        "type": "object",
        "title": "Parameters from the payload",
        "maxProperties": 100,
        "default": {},
        "description": "A JSON object with the parameters that the payload decides. The other parameters keep their values.",
    },
    "events": {
        "type": "array",
        "title": "Events",
        "maxItems": 20,
        "uniqueItems": True,
        "items": {"type": "string", "minLength": 1, "maxLength": 80, "title": "Event"},
        "default": [],
        "description": "Only for signatures as GitHub sends them: events that start a run, such as push. Leave empty to allow all events.",
    },
    "rate_per_minute": {
        "type": "integer",
        "title": "Deliveries per minute",
        "minimum": 1,
        "maximum": 6000,
        "default": 60,
        "description": "Further deliveries are refused until the minute is over.",
    },
    "max_bytes": {
        "type": "integer",
        "title": "Largest body in bytes",
        "minimum": 1,
        "maximum": 1_000_000,
        "default": 65_536,
    },
    "enabled": {
        "type": "boolean",
        "title": "Enabled",
        "default": True,
        "description": "A disabled address answers like an unknown one.",
    },
}
SCHEMA: dict[str, Any] = {"type": "object", "additionalProperties": False, "required": ["name", "proof"], "properties": _PROPERTIES}
# A change cannot touch the proof or the key: those belong to a new address, or to a rotation.
CHANGES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: schema for name, schema in _PROPERTIES.items() if name not in {"proof", "key"}},
}
ROTATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "what": {"type": "string", "enum": ["address", "key"], "default": "address"},
        "key": KEY,
    },
}
_DEFAULTS = {name: schema["default"] for name, schema in _PROPERTIES.items() if "default" in schema}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An address with what is shown once: its secret and its signing key, each empty if it is not new."""

    address: Address
    secret: str = ""
    key: str = ""


class Addresses:
    """Manages the addresses of jobs that the actor sees. Runs act with the rights of whoever changed an address last, so that nobody gains
    rights by changing another person's address."""

    def __init__(
        self,
        *,
        addresses: AddressStore,
        deliveries: DeliveryStore,
        registry: JobRegistry,
        parameters: JobParameters,
        keys: SigningKeys,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._addresses, self._deliveries, self._registry, self._parameters = addresses, deliveries, registry, parameters
        self._keys, self._audit, self._clock = keys, audit, clock
        self._new, self._changes = SchemaValidator(SCHEMA), SchemaValidator(CHANGES_SCHEMA)
        self._rotation = SchemaValidator(ROTATION_SCHEMA)

    def of(self, actor: Actor, job_id: str) -> list[Address]:
        """Returns the addresses of a job, by name. Raises Forbidden, NotFound."""
        self._registry.get(actor, job_id)
        return self._addresses.of(job_id)

    def get(self, actor: Actor, job_id: str, address_id: str) -> Address:
        """Returns one address. Raises Forbidden, NotFound."""
        self._registry.get(actor, job_id)
        return self._existing(job_id, address_id)

    def deliveries(self, actor: Actor, job_id: str, *, address_id: str | None = None) -> list[Delivery]:
        """Returns the last deliveries to a job, or to one of its addresses, newest first. Raises Forbidden, NotFound."""
        self._registry.get(actor, job_id)
        return self._deliveries.of(job_id, address_id=address_id)

    def create(self, actor: Actor, job_id: str, body: Any) -> Shown:
        """Creates an address from `body` (SCHEMA). Raises ValidationFailed, LimitReached, NotFound, Forbidden."""
        job = self._to_change(actor, job_id)
        given, errors = self._read_new(job, body)
        if errors:
            raise ValidationFailed(errors)
        if self._addresses.count(job_id) >= MOST:
            raise LimitReached(say("The job already has {most} inbound addresses. Delete one first.", most=MOST))
        chosen, now = {**_DEFAULTS, **given}, self._clock.now()
        secret, key = PREFIX + secrets.token_urlsafe(32), given.get("key") or new_key(Proof(chosen["proof"]))
        address = Address(
            id=str(uuid.uuid4()),
            job_id=job_id,
            digest=digest(secret),
            keys=self._keys.seal([key] if key else []),
            owner_id=actor.id,
            owner=actor.email,
            created_by=actor.email,
            created_at=now,
            updated_at=now,
            proof=Proof(chosen["proof"]),
            **{name: chosen[name] for name in ("name", "parameters", "rate_per_minute", "max_bytes", "enabled")},
            events=tuple(chosen["events"]),
        )
        diff = field_diff({}, address.settings(), prefix=f"/inbound/{address.name}")
        with self._audit.action(actor, "inbound.create", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            self._addresses.add(address)
        return Shown(address=address, secret=secret, key="" if given.get("key") else key)

    def problems(self, actor: Actor, job_id: str, body: Any, *, is_new: bool) -> list[FieldError]:
        """Returns everything that keeps an address from being created with `body`, or from being changed so. Raises Forbidden, NotFound."""
        job = self._to_change(actor, job_id)
        return (self._read_new(job, body) if is_new else self._read_changes(job, body))[1]

    def change(self, actor: Actor, job_id: str, address_id: str, body: Any, *, version: int | None = None) -> Address:
        """Changes the fields in `body` (CHANGES_SCHEMA). Runs then act with the rights of `actor`. Raises ValidationFailed, StaleVersion,
        NotFound, Forbidden."""
        job, before = self._to_change(actor, job_id), self._existing(job_id, address_id)
        given, errors = self._read_changes(job, body)
        if errors:
            raise ValidationFailed(errors)
        changes = {name: value for name, value in given.items() if before.settings()[name] != value}
        diff = field_diff(before.settings(), {**before.settings(), **given}, prefix=f"/inbound/{before.name}")
        return self._change(actor, job, before, "inbound.update", diff=diff, changes=changes, version=version)

    def rotate(self, actor: Actor, job_id: str, address_id: str, body: Any) -> Shown:
        """Replaces the secret of an address, and the old one is invalid at once; or its signing key (`what: key`), and the old one stays
        valid for OVERLAP. Runs then act with the rights of `actor`. Raises ValidationFailed, Conflict, NotFound, Forbidden."""
        job, before = self._to_change(actor, job_id), self._existing(job_id, address_id)
        errors = self._rotation.errors(body)
        given: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        of_key = given.get("what", "address") == "key"
        more = _key_errors(before.proof, given) if of_key else [FieldError("/key", "belongs to what: key")] if "key" in given else []
        if of_key and before.proof is Proof.SECRET:
            more = [FieldError("/what", say("must be address: this address has no signing key"))]
        errors = beside(errors, more)
        if errors:
            raise ValidationFailed(errors)
        now = self._clock.now()
        if not of_key:
            secret = PREFIX + secrets.token_urlsafe(32)
            changes = {"digest": digest(secret), "rotated_at": now}
            return Shown(address=self._change(actor, job, before, "inbound.rotate", diff=[], changes=changes), secret=secret)
        key = given.get("key") or new_key(before.proof)
        keys = [*self._keys.seal([key]), *before.keys[:1]]
        changes = {"keys": keys, "earlier_until": now + OVERLAP, "rotated_at": now}
        address = self._change(actor, job, before, "inbound.rotate_key", diff=[], changes=changes)
        return Shown(address=address, key="" if given.get("key") else key)

    def delete(self, actor: Actor, job_id: str, address_id: str) -> None:
        """Deletes an address with its deliveries. Raises NotFound, Forbidden."""
        job, address = self._to_change(actor, job_id), self._existing(job_id, address_id)
        diff = field_diff(address.settings(), {}, prefix=f"/inbound/{address.name}")
        with self._audit.action(actor, "inbound.delete", kind="job", target_id=job_id, name=job.definition.name, diff=diff):
            self._addresses.remove(address_id)
            self._deliveries.remove_of(address_id)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _to_change(self, actor: Actor, job_id: str) -> Job:
        require(actor, May.CHANGE_JOBS)
        require(actor, May.RUN_JOBS)
        return self._registry.visible(actor, job_id)

    def _read_new(self, job: Job, body: Any) -> tuple[Mapping[str, Any], list[FieldError]]:
        """Returns the members of a body that creates an address, and what is wrong with them."""
        body, unseen = read_names(body, "name")
        given: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        proof = Proof(given["proof"]) if given.get("proof") in list(Proof) else None
        errors = [*self._new.errors(body), *unseen]
        return given, beside(errors, [*self._mapping_errors(job, given), *_key_errors(proof, given)])

    def _read_changes(self, job: Job, body: Any) -> tuple[Mapping[str, Any], list[FieldError]]:
        """Returns the members of a body that changes an address, and what is wrong with them."""
        body, unseen = read_names(body, "name")
        given: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        return given, beside([*self._changes.errors(body), *unseen], self._mapping_errors(job, given))

    def _existing(self, job_id: str, address_id: str) -> Address:
        address = self._addresses.get(job_id, address_id)
        if address is None:
            raise NotFound("inbound address", address_id)
        return address

    def _change(
        self,
        actor: Actor,
        job: Job,
        before: Address,
        action: str,
        *,
        diff: Sequence[dict[str, Any]],
        changes: Mapping[str, Any],
        version: int | None = None,
    ) -> Address:
        if version is not None and version != before.version:
            raise StaleVersion(version, before.version)
        rows = diff or [{"field": f"/inbound/{before.name}"}]
        fields = {**changes, "owner_id": actor.id, "owner": actor.email, "updated_at": self._clock.now()}
        with self._audit.action(actor, action, kind="job", target_id=job.id, name=job.definition.name, diff=rows):
            changed = self._addresses.change(before.id, before.version, fields)
            if changed is None:
                raise Conflict("Someone else has just changed this address. Try again")
        return changed

    def _mapping_errors(self, job: Job, body: Mapping[str, Any]) -> list[FieldError]:
        mapping = body.get("parameters", {})
        entry, now = self._parameters.entry_of(job), self._clock.now()
        errors = beside(unstorable(mapping, prefix="/parameters"), mapping_errors(mapping, entry, now=now))
        held = Inventory.of(entry.parameters_schema, mapping).secrets() if isinstance(mapping, Mapping) else ()
        plain = [site for site in held if isinstance(site.value, str) and "{{" not in site.value]
        text = say("must not hold a secret; store it in the job")
        return [*errors, *(FieldError(f"/parameters{site.pointer}", text) for site in plain)]


def _key_errors(proof: Proof | None, body: Mapping[str, Any]) -> list[FieldError]:
    key = body.get("key")
    if proof is None or not isinstance(key, str) or not key:
        return []
    if proof is Proof.SECRET:
        return [FieldError("/key", say("must be empty: nothing is signed for this address"))]
    problem = key_problem(proof, key)
    return [FieldError("/key", problem)] if problem else []
