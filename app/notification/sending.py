"""Sends deliveries on any number of nodes: a few threads for each channel, so that one that hangs delays no other."""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from app.clock import Clock
from app.events import get_logger
from app.notification.channel_store import ChannelStateStore
from app.notification.channels.base import RecipientsRefused, Refused, Unknown, Unreachable
from app.notification.delivery import LADDER, MAIL, MOST_UNKNOWN, UNDELIVERED, Delivery, DeliveryStatus, wait_after
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.fallback import Fallbacks
from app.notification.posting import Disabled, NoChannel, Outcome, Posting

log = get_logger(__name__)

CLAIM = timedelta(seconds=30)  # a claim of a sender that was killed ends after this time
RENEW_SECONDS = 10.0
SCOUT = timedelta(seconds=30)  # a channel that cannot be reached is tried this often with its oldest message
MOST_OF_ONE = 4  # threads for one channel
SLOW_SECONDS = 1.0  # a channel whose receiver takes this long for a message has a further thread
MOST_FURTHER = 32  # threads beside the first one of each channel

Note = Callable[[str, str], None]


class Sender:
    """Sends what is due.

    Each channel has a thread of its own while it has something to send. A further one joins while all of them wait for a slow receiver and
    there are some left. A delivery is claimed, sent, and settled or put off by the name of its claim. A sender that is killed after the
    receiver took the message, and before it could write that, leaves a claim that ends: the message is sent again, with the same key. So at
    most one message of each channel that answers quickly comes twice. `note` is told the type of the channel and how each try went: `sent`
    or `failed`.
    """

    def __init__(
        self,
        *,
        deliveries: NotificationDeliveryStore,
        states: ChannelStateStore,
        posting: Posting,
        fallbacks: Fallbacks,
        clock: Clock,
        note: Note,
    ) -> None:
        self._deliveries, self._states, self._posting, self._clock, self._note = deliveries, states, posting, clock, note
        self._fallbacks = fallbacks
        self._lock = threading.Lock()
        self._threads: Counter[str] = Counter()
        self._held: dict[str, tuple[str, float]] = {}  # by claim: the channel of a try that goes on, and when it began
        self._renewed_at = clock.monotonic()
        self._stopping = threading.Event()
        self._chance = random.Random()

    def tick(self) -> None:
        """Renews the claims of messages that are being sent, and gives a thread to each channel that has something due."""
        self._renew()
        self._scout()
        for channel_id in self._deliveries.channels_due(self._clock.now()):
            if not self._stopping.is_set() and self._may_start(channel_id):
                threading.Thread(target=self._run, args=(channel_id,), name="deliveries", daemon=True).start()

    def stop(self) -> None:
        """Begins no further try."""
        self._stopping.set()

    def send_due(self) -> int:
        """Sends all that is due now, in this thread; returns the number of tries."""
        self._scout()
        return sum(self._send_all(channel_id) for channel_id in self._deliveries.channels_due(self._clock.now()))

    def forget(self, age: timedelta) -> int:
        """Removes some of the deliveries that are older and do not wait."""
        return self._deliveries.forget(self._clock.now() - age)

    # -- threads --------------------------------------------------------------------------------------------------

    def _may_start(self, channel_id: str) -> bool:
        """Counts a thread for a channel, if it may have one more."""
        with self._lock:
            mine, further = self._threads[channel_id], self._threads.total() - len(self._threads)
            if mine and (mine >= MOST_OF_ONE or further >= MOST_FURTHER or self._slow(channel_id) < mine):
                return False
            self._threads[channel_id] += 1
            return True

    def _slow(self, channel_id: str) -> int:
        """Returns how many tries of a channel wait for its receiver for long."""
        long_ago = self._clock.monotonic() - SLOW_SECONDS
        return sum(of == channel_id and began <= long_ago for of, began in list(self._held.values()))

    def _run(self, channel_id: str) -> None:
        try:
            self._send_all(channel_id)
        except Exception as error:  # the database is away: the claim ends, and another tick goes on
            log.warning("delivery.interrupted", channel=channel_id, reason=f"{type(error).__name__}: {error}"[:200])
        finally:
            with self._lock:
                self._threads[channel_id] -= 1
                if not self._threads[channel_id]:
                    del self._threads[channel_id]

    def _send_all(self, channel_id: str) -> int:
        tries = 0
        while not self._stopping.is_set():
            now, claim = self._clock.now(), secrets.token_hex(8)
            delivery = self._deliveries.claim(channel_id, now=now, until=now + CLAIM, claim=claim)
            if delivery is None:
                break
            tries += 1
            self._held[claim] = channel_id, self._clock.monotonic()
            try:
                self._carry_out(delivery)
            finally:
                del self._held[claim]
        return tries

    def _renew(self) -> None:
        if self._held and self._clock.monotonic() - self._renewed_at >= RENEW_SECONDS:
            self._deliveries.renew(list(self._held), until=self._clock.now() + CLAIM)
            self._renewed_at = self._clock.monotonic()

    # -- one delivery ---------------------------------------------------------------------------------------------

    def _carry_out(self, delivery: Delivery) -> None:
        outcome = self._posting.send(delivery)
        attempt, error = outcome.attempt, outcome.error
        status, due_at = verdict(delivery, outcome, chance=self._chance)
        self._report(delivery, outcome, status)
        if status in UNDELIVERED:  # before the status is written: a sender that dies between the two writes the same delivery again
            instead = self._fallbacks.instead_of(delivery)
            self._deliveries.add([instead] if instead is not None else [])
        if due_at is not None:
            self._deliveries.put_off(delivery, attempt, due_at=due_at, unknown=isinstance(error, Unknown))
        else:
            self._deliveries.settle(delivery, status, attempt)
        if isinstance(error, Unreachable):
            self._states.note_unreachable(delivery.channel_id, at=attempt.at, scout_at=attempt.at + SCOUT)
        elif note_answer(self._states, delivery, outcome):
            self._deliveries.hasten(delivery.channel_id, now=self._clock.now())

    def _report(self, delivery: Delivery, outcome: Outcome, status: DeliveryStatus) -> None:
        """Counts a try, and logs one that failed."""
        attempt, failed = outcome.attempt, outcome.error is not None
        if status is not DeliveryStatus.HELD:
            self._note(delivery.type, "failed" if failed else "sent")
        if failed:
            names = {"id": delivery.id, "channel": delivery.channel, "status": status.value}
            log.warning("delivery.failed", result=attempt.result, reason=attempt.reason, **names)

    def _scout(self) -> None:
        now = self._clock.now()
        for channel_id in self._states.unreachable():
            if self._states.claim_scout(channel_id, now=now, next_at=now + SCOUT):
                self._deliveries.bring_oldest(channel_id, now=now)


def note_answer(states: ChannelStateStore, delivery: Delivery, outcome: Outcome) -> bool:
    """Writes what the answer to a message says about its channel: one that refuses is broken, and one that takes a message is not. Returns
    whether the channel was in trouble before and is no longer."""
    error = outcome.error
    if error is None:
        return states.note_reached(delivery.channel_id)
    about_recipients = delivery.channel_id == MAIL and isinstance(error, RecipientsRefused)
    if isinstance(error, Refused) and not isinstance(error, NoChannel) and not about_recipients:
        states.note_broken(delivery.channel_id, at=outcome.attempt.at, reason=outcome.attempt.reason)
    return False


def verdict(delivery: Delivery, outcome: Outcome, *, chance: random.Random) -> tuple[DeliveryStatus, datetime | None]:
    """Returns the status that a delivery has after a try, and when it is due again; None for one that is settled."""
    attempt, error = outcome.attempt, outcome.error
    if error is None:
        return DeliveryStatus.SENT, None
    if isinstance(error, Disabled):
        return DeliveryStatus.HELD, None
    if isinstance(error, Unknown):
        again = delivery.unknowns + 1 < MOST_UNKNOWN
        return (DeliveryStatus.WAITING, attempt.at + LADDER[0]) if again else (DeliveryStatus.UNKNOWN, None)
    if isinstance(error, Unreachable):
        failing_for = attempt.at - (delivery.failing_since or attempt.at)
        wait = wait_after(delivery.failures + 1, failing_for, outcome.retry_after, chance)
        return (DeliveryStatus.GIVEN_UP, None) if wait is None else (DeliveryStatus.WAITING, attempt.at + wait)
    return DeliveryStatus.REFUSED, None
