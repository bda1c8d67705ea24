"""Deliveries that come again: a copy of an accepted request is refused, a new sending of it is answered as the first one."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from app.errors import Conflict
from app.integrations.inbound.model import Address, Delivery, Proof
from app.integrations.inbound.seen_store import Seen, SeenStore
from app.integrations.inbound.signatures import REMEMBERED, Identity
from templates_lib.messages import say

_BUSY = say("This delivery is being handled by another request")
STUCK_AFTER = timedelta(seconds=60)  # a process that was at work on a delivery for so long was killed


class Repeats:
    """Remembers accepted deliveries for longer than the window in which a signature is valid, so that none starts a second run."""

    def __init__(self, seen: SeenStore) -> None:
        self._seen = seen

    def begin(self, address: Address, identity: Identity, now: datetime) -> Seen | None:
        """Begins with a delivery. Returns None if it is new, or was refused before; else what it has led to when it came first.

        Raises Conflict for a copy of a signed request (same signature), and while another process is at work on the delivery.
        """
        if not identity.key:
            return None
        key, expires_at = _key(address, identity), now + REMEMBERED[address.proof]
        if self._seen.begin(key, stamp=identity.stamp, at=now, expires_at=expires_at):
            return None
        earlier = self._seen.get(key)
        if earlier is None:  # the first one has just been refused
            if self._seen.begin(key, stamp=identity.stamp, at=now, expires_at=expires_at):
                return None
            raise Conflict(_BUSY)
        if earlier.done:
            if address.proof is not Proof.SECRET and earlier.stamp == identity.stamp:
                raise Conflict(say("This delivery was accepted before. A copy of it starts no second run."))
            return earlier
        if earlier.at > now - STUCK_AFTER or not self._seen.take_over(key, since=earlier.at, at=now):
            raise Conflict(_BUSY)
        return None

    def finish(self, address: Address, identity: Identity, delivery: Delivery) -> None:
        """Remembers what an accepted delivery has led to."""
        if identity.key:
            self._seen.finish(_key(address, identity), execution_id=delivery.execution_id, approval_id=delivery.approval_id)

    def forget(self, address: Address, identity: Identity) -> None:
        """The delivery was refused, so it may come again."""
        if identity.key:
            self._seen.forget(_key(address, identity))


def _key(address: Address, identity: Identity) -> str:
    return hashlib.sha256(f"{address.id}\0{identity.key}".encode("utf-8", "replace")).hexdigest()
