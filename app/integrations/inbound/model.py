"""An inbound address of a job, and one delivery to it. Records are frozen and change by copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.errors import FieldError
from app.mongo import Document
from templates_lib.messages import parts_of, restored

PATH = "/api/inbound"  # the secret of an address follows it


class Proof(StrEnum):
    """How a request proves that it comes from the right sender."""

    SECRET = "secret"  # noqa: S105 - it knows the secret address, and nothing else
    STANDARD = "standard"  # it is signed by Standard Webhooks: id, time and body
    GITHUB = "github"  # it is signed as GitHub does: the body (X-Hub-Signature-256)


class Outcome(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"  # a run was queued
    WAITING = "waiting"  # the run waits for approval
    REPEATED = "repeated"  # the sender has sent it again; the first one counts
    IGNORED = "ignored"  # the address does not start a run for this event
    REFUSED = "refused"  # no run was queued, for the reason given


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An inbound address. `digest` is that of its secret, and `keys` are its sealed signing keys, the current one first; an earlier one is
    valid until `earlier_until`. A run acts with the rights of the account `owner_id`: whoever changed the address last."""

    id: str
    job_id: str
    name: str
    proof: Proof
    digest: str
    keys: tuple[Any, ...] = ()
    earlier_until: datetime | None = None
    events: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rate_per_minute: int = 60
    max_bytes: int = 65_536
    enabled: bool = True
    owner_id: str
    owner: str
    version: int = 1
    created_by: str
    created_at: datetime
    updated_at: datetime
    rotated_at: datetime | None = None
    last_at: datetime | None = None
    accepted: int = 0
    refused: int = 0
    damaged: str = ""

    def settings(self) -> dict[str, Any]:
        """Returns what a person decides about the address, without its key."""
        return {
            "name": self.name,
            "proof": self.proof.value,
            "events": list(self.events),
            "parameters": dict(self.parameters),
            "rate_per_minute": self.rate_per_minute,
            "max_bytes": self.max_bytes,
            "enabled": self.enabled,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to an address, or `count` alike within a minute. `body` is the beginning of the payload with its secrets masked."""

    id: str
    address_id: str
    job_id: str
    at: datetime
    outcome: Outcome
    status: int
    sender: str
    reason: str = ""
    errors: tuple[FieldError, ...] = ()
    execution_id: str | None = None
    approval_id: str | None = None
    delivery_id: str = ""
    size: int = 0
    body: str = ""
    count: int = 1

    def document(self) -> Document:
        """Returns the stored form."""
        return {
            "_id": self.id,
            "address_id": self.address_id,
            "job_id": self.job_id,
            "at": self.at,
            "outcome": self.outcome.value,
            "status": self.status,
            "sender": self.sender,
            "reason": self.reason[:],
            "said": parts_of(self.reason),
            "errors": [{"pointer": e.pointer, "message": e.message[:], "said": parts_of(e.message)} for e in self.errors],
            "execution_id": self.execution_id,
            "approval_id": self.approval_id,
            "delivery_id": self.delivery_id,
            "size": self.size,
            "body": self.body,
            "count": self.count,
        }


def delivery_from(row: Document) -> Delivery:
    """Returns the delivery in a stored document."""
    errors = tuple(FieldError(error["pointer"], restored(error["message"], error.get("said"))) for error in row["errors"])
    same = {
        name: row[name]
        for name in (
            "address_id",
            "job_id",
            "at",
            "status",
            "sender",
            "execution_id",
            "approval_id",
            "delivery_id",
            "size",
            "body",
            "count",
        )
    }
    reason = restored(row["reason"], row.get("said"))
    return Delivery(id=row["_id"], outcome=Outcome(row["outcome"]), reason=reason, errors=errors, **same)
