"""The audit trail: what cannot be audited does not happen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bson import ObjectId

from app.audit.chain import Verdict, link, verify
from app.audit.model import Actor
from app.audit.store import AuditFilter, AuditStore
from app.clock import Clock
from app.errors import StoreUnavailable
from app.events import get_logger
from app.keys import KeyRing
from app.mongo import Document

log = get_logger(__name__)

# Other processes write to the same chain: whoever finds the next number taken takes the one after it.
APPEND_TRIES = 200
LONGEST_WAIT_SECONDS = 0.05


class AuditTrail:
    """Writes an event before its change, so that a change without an event cannot be (design.md 5, 9)."""

    def __init__(self, store: AuditStore, clock: Clock, keys: KeyRing) -> None:
        self._store, self._clock, self._keys = store, clock, keys
        self._turn = threading.Lock()  # within a process one after the other

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
        self._append(event)
        try:
            yield
        except Exception as error:
            undone = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=())
            self._append({**undone, "outcome": "failed", "of": event["_id"], "reason": type(error).__name__})
            raise

    def refused(self, actor: Actor, action: str, *, kind: str, target_id: str, name: str = "", reason: str) -> None:
        """Record that someone was not let do something."""
        event = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=())
        self._append({**event, "outcome": "refused", "reason": reason})

    def history(self, query: AuditFilter, *, before: int | None = None, limit: int = 50) -> list[Document]:
        """The newest events first; those with a smaller number than `before`. Whoever shows them asks who may see them."""
        return self._store.find(query, before=before, limit=limit)

    def walk(self, query: AuditFilter) -> Iterator[Document]:
        """All events that match, oldest first, as they come from the database."""
        return self._store.walk(query)

    def actions(self) -> list[str]:
        """Every action that was ever recorded, sorted."""
        return self._store.actions()

    def verify(self) -> Verdict:
        """Whether the chain holds: reads every event."""
        return verify(self._store.walk_exact(), self._keys)

    def _append(self, event: Document) -> None:
        with self._turn:
            for _ in range(APPEND_TRIES):
                linked = link(event, self._store.head(), self._keys)
                if self._store.append(linked):
                    log.info("audit.written", seq=linked["seq"], action=linked["action"], outcome=linked["outcome"], seal=linked["seal"])
                    return
                time.sleep(random.uniform(0, LONGEST_WAIT_SECONDS))
        raise StoreUnavailable("The audit trail is too busy; nothing was changed")

    def _event(self, actor: Actor, action: str, *, kind: str, target_id: str, name: str, diff: Sequence[dict[str, Any]]) -> Document:
        return {
            "_id": ObjectId(),  # ascends, so that events of one millisecond keep their order
            "at": self._clock.now(),
            "action": action,
            "outcome": "done",
            "actor": {"id": actor.id, "email": actor.email, "role": actor.role},
            **({"approved_by": actor.approved_by} if actor.approved_by else {}),
            "via": actor.via,
            "address": actor.address,
            "correlation_id": actor.correlation_id,
            "target": {"kind": kind, "id": target_id, "name": name},
            "diff": list(diff),
        }
