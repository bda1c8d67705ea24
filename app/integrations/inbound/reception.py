"""What becomes of a request to an inbound address: a run, a request for approval, nothing, or a refusal with its reason."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.accounts.actors import actor_of
from app.accounts.model import Role
from app.accounts.rates import Rates
from app.accounts.store import UserStore
from app.approvals.service import Approvals
from app.audit.model import Actor
from app.clock import Clock
from app.errors import (
    ApprovalNeeded,
    Conflict,
    Forbidden,
    JobwrightError,
    LimitReached,
    NotFound,
    SignatureRefused,
    ValidationFailed,
)
from app.execution.runs import Runs
from app.integrations.inbound.address_store import AddressStore
from app.integrations.inbound.delivery_store import DeliveryStore
from app.integrations.inbound.model import Address, Delivery, Outcome, Proof
from app.integrations.inbound.payload import excerpt, map_payload, names_of, read_payload
from app.integrations.inbound.repeats import Repeats
from app.integrations.inbound.signatures import Headers, Identity, identity_of
from app.integrations.inbound.signing_keys import SigningKeys
from app.jobs.model import Job
from app.jobs.parameters import JobParameters
from app.jobs.service import JobRegistry
from app.keys import digest
from app.queue.model import Reason
from app.scheduling.hindrance import hindrance
from app.scheduling.triggers import Triggers
from templates_lib.messages import Said, say

MINUTE = timedelta(minutes=1)
PING = "ping"  # what GitHub sends when somebody creates a webhook
_HINDRANCES = {
    Reason.PAUSED: say("The job is paused"),
    Reason.BLACKOUT: say("A blackout calendar of the job covers this time"),
    Reason.TEMPLATE_OFF: say("The template of the job is disabled"),
}


class BodyTooLarge(JobwrightError):
    """The body of a request is larger than its address accepts."""

    status = 413
    title = "The body is too large"


class UnknownAddress(NotFound):
    """No enabled address has the secret of a request. The error does not repeat the secret."""

    def __init__(self) -> None:
        self.kind, self.key = "inbound address", ""
        JobwrightError.__init__(self, say("No job has this inbound address"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request. `read` returns its body; None if that is larger than the given number of bytes. `sender` is its network address."""

    secret: str
    headers: Headers
    read: Callable[[int], bytes | None]
    sender: str
    correlation_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSide:
    """What the reception needs of jobs."""

    registry: JobRegistry
    parameters: JobParameters
    triggers: Triggers
    rests: Callable[[str], bool]
    runs: Runs
    approvals: Approvals


class Reception:
    """Receives requests to inbound addresses.

    1. The address is looked up by the digest of its secret, so that the time says nothing about the secret.
    2. The body is read up to the limit of the address, and its signature is checked.
    3. The delivery is counted (`rates`), and one that was accepted before starts no second run (`repeats`).
    4. The payload becomes parameters, and the run is asked for as a person asks: same rights, approvals and audit.

    What became of it is stored with the address.
    """

    def __init__(
        self,
        *,
        addresses: AddressStore,
        deliveries: DeliveryStore,
        repeats: Repeats,
        users: UserStore,
        keys: SigningKeys,
        rates: Rates,
        jobs: JobSide,
        clock: Clock,
    ) -> None:
        self._addresses, self._deliveries, self._repeats, self._users = addresses, deliveries, repeats, users
        self._keys, self._rates, self._jobs, self._clock = keys, rates, jobs, clock

    def receive(self, request: Incoming) -> Delivery:
        """Returns what became of a request. Raises UnknownAddress also for a disabled address, SignatureRefused, BodyTooLarge,
        LimitReached, ValidationFailed at the fields of the payload or the parameters, Conflict."""
        address = self._addresses.by_digest(digest(request.secret))
        if address is None or not address.enabled or address.damaged:
            self._rates.count_stranger(request.sender)
            raise UnknownAddress
        now = self._clock.now()
        delivery = Delivery(
            id=str(uuid.uuid4()),
            address_id=address.id,
            job_id=address.job_id,
            at=now,
            outcome=Outcome.REFUSED,
            status=0,
            sender=request.sender,
        )
        body, identity = self._proven(address, request, delivery)
        delivery = replace(delivery, delivery_id=identity.shown, size=len(body))
        try:
            ignored = _ignored(address, request.headers)
            if ignored is not None:
                return self._noted(replace(delivery, outcome=Outcome.IGNORED, status=200, reason=ignored))
            earlier = self._repeats.begin(address, identity, now)
            if earlier is not None:
                repeated = replace(delivery, outcome=Outcome.REPEATED, status=200, reason=say("The sender has sent this delivery again"))
                return self._noted(replace(repeated, execution_id=earlier.execution_id, approval_id=earlier.approval_id))
        except JobwrightError as error:
            self._refuse(delivery, error)
            raise
        return self._carried_out(address, request, body, identity, delivery)

    # -- who sends ------------------------------------------------------------------------------------------------

    def _proven(self, address: Address, request: Incoming, delivery: Delivery) -> tuple[bytes, Identity]:
        """Returns the body and the identity of a request whose proof is valid and that fits the rate. The others are counted together,
        those of a minute in one record, so that a flood stays small."""
        try:
            body = request.read(address.max_bytes)
            if body is None:
                raise BodyTooLarge(say("The body may have {most:,} bytes", most=address.max_bytes))
            identity = identity_of(address.proof, self._keys.valid(address, delivery.at), request.headers, body)
            self._rates.count_delivery(address.id, address.rate_per_minute)
        except (BodyTooLarge, SignatureRefused, LimitReached) as error:
            minute = int(delivery.at.timestamp() // MINUTE.total_seconds())
            self._refuse(replace(delivery, id=f"{address.id} {type(error).__name__} {minute}"), error, alike=True)
            raise
        return body, identity

    def _actor(self, address: Address, request: Incoming) -> Actor:
        """Returns the actor of a run: the account that the address belongs to, with its present rights. Raises Conflict without rights."""
        user = self._users.get(address.owner_id)
        if user is None or user.disabled or user.role is Role.USER:
            raise Conflict(say("{email} may no longer run jobs. Somebody who may has to save this address again", email=address.owner))
        return actor_of(
            user,
            via="webhook",
            address=request.sender,
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
            inbound=f"webhook:{address.name}",
        )

    # -- what it asks for -----------------------------------------------------------------------------------------

    def _carried_out(self, address: Address, request: Incoming, body: bytes, identity: Identity, delivery: Delivery) -> Delivery:
        """Asks for the run, and notes what became of that."""
        try:
            payload = read_payload(body, request.headers.get("content-type", "").partition(";")[0].strip().lower())
            actor = self._actor(address, request)
            job = self._job(actor, address)
            entry = self._jobs.parameters.entry_of(job)
            names = names_of(payload, request.headers, identity.shown)
            mapped = map_payload(address.parameters, names, entry, now=delivery.at, job_id=job.id, job_name=job.definition.name)
            delivery = replace(delivery, body=excerpt(payload, mapped.secrets))
            self._refuse_hindered(job)
            if mapped.errors:
                raise ValidationFailed(mapped.errors)
            key = f"inbound {address.id} {_hashed(identity.key)}" if identity.key else None
            delivery = self._asked(actor, job, mapped.parameters, key, delivery)
        except JobwrightError as error:
            self._repeats.forget(address, identity)
            self._refuse(delivery, error)
            raise
        self._repeats.finish(address, identity, delivery)
        return self._noted(delivery)

    def _job(self, actor: Actor, address: Address) -> Job:
        """Returns the job of an address. Raises Conflict if it is deleted or the actor does not see it."""
        try:
            return self._jobs.registry.visible(actor, address.job_id)
        except NotFound as error:
            raise Conflict(say("The job is deleted, or {email} may no longer run it", email=address.owner)) from error

    def _asked(self, actor: Actor, job: Job, parameters: Mapping[str, Any], key: str | None, delivery: Delivery) -> Delivery:
        """Returns the delivery with the execution or the request for approval that it has led to."""
        try:
            execution = self._jobs.runs.run_now(actor, job.id, overrides=parameters, idempotency_key=key)
        except ApprovalNeeded as needed:
            row = self._jobs.approvals.ask(actor, needed.ask)
            return replace(delivery, outcome=Outcome.WAITING, status=202, approval_id=row["_id"])
        except Forbidden as error:
            raise Conflict(error.detail) from error
        return replace(delivery, outcome=Outcome.ACCEPTED, status=202, execution_id=execution.id)

    def _refuse_hindered(self, job: Job) -> None:
        """Raises Conflict if the job does not run by itself now."""
        if not job.definition.enabled:
            raise Conflict(say("The job is disabled"))
        reason = hindrance(job, self._clock.now(), triggers=self._jobs.triggers, rests=self._jobs.rests)
        if reason is not None:
            raise Conflict(_HINDRANCES[reason])

    # -- what became of it ----------------------------------------------------------------------------------------

    def _noted(self, delivery: Delivery) -> Delivery:
        self._deliveries.add(delivery)
        self._addresses.note(delivery.address_id, delivery.at, accepted=True)
        return delivery

    def _refuse(self, delivery: Delivery, error: JobwrightError, *, alike: bool = False) -> None:
        errors = error.errors if isinstance(error, ValidationFailed) else ()
        refused = replace(delivery, status=error.status, reason=error.detail, errors=tuple(errors))
        if alike:
            self._deliveries.add_alike(refused)
        else:
            self._deliveries.add(refused)
        self._addresses.note(delivery.address_id, delivery.at, accepted=False)


def _ignored(address: Address, headers: Headers) -> Said | None:
    """Returns why an address starts no run for an event of GitHub; None if it does."""
    if address.proof is not Proof.GITHUB:
        return None
    event = headers.get("x-github-event", "")
    if event == PING:
        return say("GitHub has tried the address")
    if address.events and event not in address.events:
        return say("The address does not start runs for the event {event!r}", event=event[:80])
    return None


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
