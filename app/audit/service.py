"""The audit trail. A change that cannot be recorded is not made."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bson import ObjectId

from app.audit.chain import ChainReport, Head, link, verify
from app.audit.model import Actor, AuditFilter, Target
from app.audit.store import AuditStore
from app.clock import Clock
from app.errors import StoreUnavailable
from app.events import get_logger
from app.keys import KeyRing
from app.mongo import Document

log = get_logger(__name__)

# Other processes write to the same chain. A process that finds the next number taken tries the one after it.
APPEND_TRIES = 200
LONGEST_WAIT_SECONDS = 0.05
MOST_AT_ONCE = 100  # events of one write


class AuditTrail:
    """Writes each event before its change, so that there is no change without an event."""

    def __init__(self, store: AuditStore, clock: Clock, keys: KeyRing) -> None:
        self._store, self._clock, self._keys = store, clock, keys
        self._turn = threading.Lock()  # the threads of one process append one after the other

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
        """Records `action` on a target, and then lets the body carry it out.

        1. The event is written. If that fails, the body does not run.
        2. The body runs. If it raises, a second event with outcome `failed` says that the first did not happen, and the error is raised.

        `kind` is the kind of the target (`job`, `user`, `connection` …), `diff` what `field_diff` returns. Raises StoreUnavailable if the
        event cannot be written.
        """
        event = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=diff)
        self._append(event)
        try:
            yield
        except Exception as error:
            failure = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=())
            self._append({**failure, "outcome": "failed", "of": event["_id"], "reason": type(error).__name__})
            raise

    @contextmanager
    def batch(self, actor: Actor, action: str, *, kind: str, targets: Sequence[Target]) -> Iterator[Callable[[str], None]]:
        """Records the same action on several targets as `action` does on one, in few writes, and then lets the body carry it out.

        The body gets a function that it calls with the id of each target on which it could not carry the action out; if it raises, it has
        carried out none. Raises StoreUnavailable if the events cannot be written.
        """
        events = [self._event(actor, action, kind=kind, target_id=item.id, name=item.name, diff=item.diff) for item in targets]
        self._append_all(events)
        failed = dict[str, None]()
        reason = "Conflict"
        try:
            yield lambda target_id: failed.update({target_id: None})
        except Exception as error:
            failed, reason = {item.id: None for item in targets}, type(error).__name__
            raise
        finally:
            made = {event["target"]["id"]: event for event in events}
            self._append_all(
                [
                    {**made[target_id], "_id": ObjectId(), "diff": [], "outcome": "failed", "of": made[target_id]["_id"], "reason": reason}
                    for target_id in failed
                ]
            )

    def refused(self, actor: Actor, action: str, *, kind: str, target_id: str, name: str = "", reason: str) -> None:
        """Records that an actor was refused an action."""
        event = self._event(actor, action, kind=kind, target_id=target_id, name=name, diff=())
        self._append({**event, "outcome": "refused", "reason": reason})

    def history(self, wanted: AuditFilter, *, before: int | None = None, limit: int = 50) -> list[Document]:
        """Returns matching events, the newest first; with `before`, only those with a smaller number.

        The caller must check who may see them.
        """
        return self._store.find(wanted, before=before, limit=limit)

    def walk(self, wanted: AuditFilter) -> Iterator[Document]:
        """Yields all matching events, the oldest first, while they come from the database."""
        return self._store.walk(wanted)

    def actions(self) -> list[str]:
        """Returns every action that was ever recorded, sorted."""
        return self._store.actions()

    def verify(self) -> ChainReport:
        """Reads every event and returns whether the chain is intact."""
        return verify(self._store.walk_exact(), self._keys)

    def _append(self, event: Document) -> None:
        with self._turn:
            for _ in range(APPEND_TRIES):
                linked = link(event, self._store.head(), self._keys)
                if self._store.append(linked):
                    log.info("audit.written", seq=linked["seq"], action=linked["action"], outcome=linked["outcome"], seal=linked["seal"])
                    return
                time.sleep(random.uniform(0, LONGEST_WAIT_SECONDS))
        raise StoreUnavailable("The audit trail is too busy. Nothing was changed. Try again.")

    def _append_all(self, events: Sequence[Document]) -> None:
        waiting = list(events)
        with self._turn:
            for _ in range(APPEND_TRIES):
                if not waiting:
                    return
                linked, head = list[Document](), self._store.head()
                for event in waiting[:MOST_AT_ONCE]:
                    linked.append(link(event, head, self._keys))
                    head = Head(linked[-1]["seq"], linked[-1]["seal"])
                written = self._store.append_all(linked)
                for event in linked[:written]:
                    log.info("audit.written", seq=event["seq"], action=event["action"], outcome=event["outcome"], seal=event["seal"])
                waiting = waiting[written:]
                if written < len(linked):
                    time.sleep(random.uniform(0, LONGEST_WAIT_SECONDS))
        raise StoreUnavailable("The audit trail is too busy. Nothing was changed. Try again.")

    def _event(self, actor: Actor, action: str, *, kind: str, target_id: str, name: str, diff: Sequence[dict[str, Any]]) -> Document:
        return {
            "_id": ObjectId(),  # ids ascend, so events of one millisecond keep their order
            "at": self._clock.now(),
            "action": action,
            "outcome": "done",
            "actor": {"id": actor.id, "email": actor.email, "role": actor.role},
            **({"approved_by": actor.approved_by} if actor.approved_by else {}),
            **({"on_behalf_of": actor.on_behalf_of} if actor.on_behalf_of else {}),
            "via": actor.via,
            "address": actor.address,
            "correlation_id": actor.correlation_id,
            "target": {"kind": kind, "id": target_id, "name": name},
            "diff": list(diff),
        }
