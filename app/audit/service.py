"""The audit trail: what cannot be audited does not happen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bson import ObjectId

from app.audit.model import Actor
from app.audit.store import AuditStore
from app.clock import Clock
from app.mongo import Document


class AuditTrail:
    """Writes an event before its change, so that a change without an event cannot be (design.md 5, 9)."""

    def __init__(self, store: AuditStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    @contextmanager
    def action(
        self,
        actor: Actor,
        action: str,
        *,
        kind: str,
        target_id: str,
        name: str = "",
        diff: Sequence[dict[str, Any]] = (),
    ) -> Iterator[None]:
        """Record `action` on a target, then let the body do it.

        1. The event is written; where that fails the body does not run.
        2. The body runs. Where it raises, a second event says that the first did not happen, and the error goes on.
        """
        event = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=diff)
        self._store.append(event)
        try:
            yield
        except Exception as error:
            undone = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=())
            self._store.append({**undone, "outcome": "failed", "of": event["_id"], "reason": type(error).__name__})
            raise

    def history(self, *, kind: str | None = None, target_id: str | None = None, limit: int = 50) -> list[Document]:
        """The newest events first."""
        return self._store.find(kind=kind, target_id=target_id, limit=limit)

    def _event(self, actor: Actor, action: str, *, kind: str, target_id: str, name: str, diff: Sequence[dict[str, Any]]) -> Document:
        return {
            "_id": ObjectId(),  # ascends, so that events of one millisecond keep their order
            "at": self._clock.now(),
            "action": action,
            "outcome": "done",
            "actor": {"id": actor.id, "email": actor.email, "role": actor.role},
            "via": actor.via,
            "address": actor.address,
            "correlation_id": actor.correlation_id,
            "target": {"kind": kind, "id": target_id, "name": name},
            "diff": list(diff),
        }
