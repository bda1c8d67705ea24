"""Carries out the notifications that ended executions owe: each claimed by one node, tried again when it fails."""

from __future__ import annotations

from datetime import timedelta

from app.clock import Clock
from app.events import get_logger
from app.execution.store import ExecutionStore
from app.notification.base import Notifier, recipients_of
from app.validation.storable import storable_text

log = get_logger(__name__)

MOST_TRIES = 5
RETRY_AFTER = timedelta(seconds=60)  # also how long a node that died while sending is waited for
BATCH = 50
LONGEST_REASON = 500  # characters


class Deliveries:
    """At least once: what was sent and could not be recorded is sent again, with the same message id."""

    def __init__(self, store: ExecutionStore, notifier: Notifier, clock: Clock) -> None:
        self._store, self._notifier, self._clock = store, notifier, clock

    def tick(self) -> int:
        """Deliver what is owed now; returns how many notifications were sent."""
        sent = 0
        for _ in range(BATCH):
            now = self._clock.now()
            execution = self._store.claim_notification(now=now, again_at=now + RETRY_AFTER)
            if execution is None:
                break
            tries = execution["notify"]["tries"]
            try:
                self._notifier.send(execution, recipients_of(execution["notifications"], execution["status"]))
            except Exception as error:
                state, why = "failed" if tries >= MOST_TRIES else "pending", storable_text(str(error), LONGEST_REASON)
                log.warning("notification.failed", execution=execution["_id"], tries=tries, reason=why[:200])
                self._store.settle_notification(execution["_id"], tries=tries, state=state, error=why)
            else:
                self._store.settle_notification(execution["_id"], tries=tries, state="sent", error=None)
                sent += 1
        return sent
