"""Maintenance: until it ends no run starts on any node, and nothing else changes."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import SYSTEM, Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import FieldError, StoreUnavailable, ValidationFailed
from app.instants import InstantRefused, parse
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause
from app.mongo import Document
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.permit import PERMIT_SECONDS
from app.validation import SchemaValidator
from app.validation.names import read_names
from templates_lib.messages import Said, say

CHECK_SECONDS = 0.05  # between two checks whether all nodes rest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["reason"],
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "title": "Reason",
            "minLength": 1,
            "maxLength": 500,
            "description": "Shown to everyone at the top of every page.",
        },
        "until": {
            "type": "string",
            "format": "date-time",
            "title": "Ends at",
            "maxLength": 40,
            "description": "Maintenance ends by itself at this time. Leave empty to end it by hand.",
        },
    },
}


class Maintenance:
    """While maintenance is on, no attempt starts and no due time becomes an execution. When it ends, each job gets one `skipped` record
    for all its due times. Runs that have begun go on. Queued executions start afterwards, also those of people. No job is changed."""

    def __init__(self, store: MaintenanceStore, nodes: NodeStore, jobs: DispatchStore, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._nodes, self._jobs, self._audit, self._clock = store, nodes, jobs, audit, clock
        self._validator = SchemaValidator(SCHEMA)

    def get(self) -> Document | None:
        """Returns {reason, by, at, until} while maintenance is on, else None. `until` is None if it does not end by itself."""
        return self._store.get()

    def reason(self) -> str | None:
        """The reason of the maintenance; None while it is off."""
        row = self._store.get()
        return row["reason"] if row else None

    def why_nothing_starts(self, now: datetime) -> Said | None:
        """Why no run starts on any node: maintenance is on, or there is no node. None if runs may start."""
        reason = self.reason()
        if reason is not None:
            return say("maintenance is on ({reason})", reason=reason)
        if not any(node.lives(now) for node in self._nodes.all()):
            return say("no node that starts runs is online")
        return None

    def begin(self, actor: Actor, body: Any) -> Document:
        """Switches maintenance on. `body` is {reason, until?}. When this returns, no node starts a run: each has confirmed that, or its
        permit to start runs has run out.

        Raises ValidationFailed; Forbidden unless the actor is a super-admin; StoreUnavailable if a node may still start runs.
        """
        require(actor, May.SWITCH_MAINTENANCE)
        body, unseen = read_names(body, "reason")
        errors = [*self._validator.errors(body), *unseen]
        if errors:
            raise ValidationFailed(errors)
        now, before, reason = self._clock.now(), self._store.get(), body["reason"]
        until = _read_end(body["until"], now) if "until" in body else None
        diff = [{"field": "/reason", "before": before["reason"] if before else None, "after": reason}]
        if until is not None:
            diff.append({"field": "/until", "before": before.get("until") if before else None, "after": until})
        with self._audit.action(actor, "maintenance.begin", kind="installation", target_id="maintenance", diff=diff):
            row = self._store.put(reason=reason, by=actor.email, at=now, until=until)
        self._wait_for_nodes(row["token"])
        return row

    def end(self, actor: Actor) -> bool:
        """Switches maintenance off. Returns False if it was off already."""
        require(actor, May.SWITCH_MAINTENANCE)
        if self._store.get() is None:
            self._replan_jobs()  # an earlier end may have been killed half-way
            return False
        with self._audit.action(actor, "maintenance.end", kind="installation", target_id="maintenance"):
            ended = self._store.remove()
            self._replan_jobs()
        return ended

    def settle(self) -> int:
        """Ends a maintenance whose time is over. Lets the dispatcher plan jobs anew that a maintenance pauses although it has ended: its
        end was killed half-way, or a dispatcher paused a job at the same moment. Returns how many jobs that were."""
        row = self._store.get()
        if row is not None and row.get("until") is not None and row["until"] <= self._clock.now():
            with self._audit.action(SYSTEM, "maintenance.end", kind="installation", target_id="maintenance"):
                self._store.remove(token=row["token"])  # somebody may have given it another end in the meantime
        return self._replan_jobs() if self._store.get() is None else 0

    def _wait_for_nodes(self, token: str) -> None:
        deadline = time.monotonic() + 3 * PERMIT_SECONDS
        while self._store.token() == token and (nodes := self._nodes.names_that_may_start(token, timedelta(seconds=PERMIT_SECONDS))):
            if time.monotonic() > deadline:
                raise StoreUnavailable(say("Maintenance is on, but these nodes have not confirmed it yet: {nodes}", nodes=", ".join(nodes)))
            time.sleep(CHECK_SECONDS)

    def _replan_jobs(self) -> int:
        return self._jobs.look_again(Cause.MAINTENANCE, None, self._clock.now())


def _read_end(text: str, now: datetime) -> datetime:
    """Raises ValidationFailed for an end that is not a time in the future."""
    try:
        until = parse(text)
    except InstantRefused as refused:
        raise ValidationFailed([FieldError("/until", str(refused))]) from refused
    if until <= now:
        raise ValidationFailed([FieldError("/until", "must be in the future")])
    return until
