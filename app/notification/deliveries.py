"""The log of deliveries, for people: those about jobs that they see, and a replay of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, NotFound
from app.jobs.directory import JobDirectory
from app.notification.delivery import UNDELIVERED, Delivery, DeliveryFilter
from app.notification.delivery_store import NotificationDeliveryStore
from app.signals import Signal
from templates_lib.messages import say

LATELY = timedelta(hours=24)
READ_AT_ONCE, MOST_READS = 101, 20  # records of which those that the actor may not see are left out


class Deliveries:
    """Deliveries of jobs in groups that the actor does not see are left out; so are tests of channels, for who is limited to groups."""

    def __init__(
        self, *, store: NotificationDeliveryStore, directory: JobDirectory, audit: AuditTrail, clock: Clock, written: Signal
    ) -> None:
        self._store, self._directory, self._audit, self._clock, self._written = store, directory, audit, clock, written

    def page(self, actor: Actor, wanted: DeliveryFilter, *, limit: int) -> tuple[list[Delivery], str]:
        """Returns up to `limit` deliveries, newest first, and the `place` after which the next page begins; empty at the end.

        An actor who is limited to groups may get fewer, even none, before the end: only MOST_READS times READ_AT_ONCE records are read."""
        require(actor, May.SEE_EXECUTIONS)
        shown: list[Delivery] = []
        for _ in range(MOST_READS):
            rows = self._store.page(wanted, limit=READ_AT_ONCE)
            shown += self._seen(actor, rows)
            if len(shown) > limit:
                return shown[:limit], shown[limit - 1].place
            if len(rows) < READ_AT_ONCE:
                return shown, ""
            wanted = replace(wanted, before=(rows[-1].created_at, rows[-1].id))
        return shown, rows[-1].place

    def get(self, actor: Actor, delivery_id: str) -> Delivery:
        """Returns one delivery. Raises NotFound."""
        require(actor, May.SEE_EXECUTIONS)
        return self._existing(actor, delivery_id)

    def of_execution(self, actor: Actor, execution_id: str) -> list[Delivery]:
        """Returns who was told of an execution, oldest first."""
        require(actor, May.SEE_EXECUTIONS)
        return self._seen(actor, self._store.of_execution(execution_id))

    def replay(self, actor: Actor, delivery_id: str) -> Delivery:
        """Has a delivery sent again, with a key of its own. Raises NotFound; Conflict if it waits to be sent."""
        require(actor, May.RUN_JOBS)
        delivery = self._existing(actor, delivery_id)
        with self._audit.action(actor, "delivery.replay", kind="delivery", target_id=delivery_id, name=delivery.message.title):
            if not self._store.replay(delivery_id, now=self._clock.now()):
                raise Conflict(say("The notification waits to be sent already."))
        self._written.send()
        return self._existing(actor, delivery_id)

    def undelivered_lately(self) -> int:
        """Returns how many notifications of the last LATELY did not arrive."""
        return self._store.count_since(self._clock.now() - LATELY, UNDELIVERED)

    def _existing(self, actor: Actor, delivery_id: str) -> Delivery:
        delivery = self._store.get(delivery_id)
        if delivery is None or not self._seen(actor, [delivery]):
            raise NotFound("delivery", delivery_id)
        return delivery

    def _seen(self, actor: Actor, deliveries: list[Delivery]) -> list[Delivery]:
        if actor.groups is None:
            return deliveries
        seen = self._directory.of_these_seen(actor, {delivery.job_id for delivery in deliveries if delivery.job_id})
        return [delivery for delivery in deliveries if delivery.job_id in seen]
