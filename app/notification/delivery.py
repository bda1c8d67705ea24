"""One message to one channel: its record, and what becomes of it after a failed try."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.instants import InstantRefused, as_text, parse
from app.mongo import Document
from app.notification.message import Message, message_from
from app.shapes import DAMAGED
from templates_lib.messages import parts_of, restored

MAIL = "mail"  # the id of the built-in channel: plain addresses, through JOBWRIGHT_NOTIFY_CONNECTION
# How long to wait after each failed try. A receiver that is away for longer than all of them together is given up.
LADDER = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 3_600, 21_600))
LONGEST_FAILING = sum(LADDER, timedelta())
JITTER = 0.1  # part of a wait by which it may be longer, so that not all messages come at once
MOST_UNKNOWN = 2  # tries without an answer: the receiver may have the message twice already
MOST_ATTEMPTS = 20  # that a record keeps: the first one and the last ones


class DeliveryStatus(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"  # it is sent, or tried again, when it is due
    SENT = "sent"  # the receiver took it
    UNKNOWN = "unknown"  # the receiver did not answer twice, and may have it
    REFUSED = "refused"  # the receiver does not take it, or the channel cannot send
    GIVEN_UP = "given_up"  # the receiver could not be reached for too long
    HELD = "held"  # the channel is disabled


UNDELIVERED = (DeliveryStatus.UNKNOWN, DeliveryStatus.REFUSED, DeliveryStatus.GIVEN_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries a list shows; empty means any. `before` is an instant and an id: the last delivery of the page before."""

    channel_id: str = ""
    status: str = ""
    job_id: str = ""
    execution_id: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One try: `result` is `sent`, `unreachable`, `unknown` or `refused`. `reason` is what the receiver said, or why there is no answer."""

    at: datetime
    took_ms: int
    result: str
    reason: str
    by: str = ""

    def as_document(self) -> Document:
        return {
            "at": self.at,
            "took_ms": self.took_ms,
            "result": self.result,
            "reason": self.reason[:],
            "said": parts_of(self.reason),
            "by": self.by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery. `channel` is the name that its channel had when it was written, and `recipients` are the addresses of the built-in
    channel. `replays` counts how often a person has sent it again. `instead_of` names the channels that failed to deliver the message
    before, the first one first."""

    id: str
    channel_id: str
    channel: str
    type: str
    message: Message
    status: DeliveryStatus
    created_at: datetime
    due_at: datetime
    recipients: tuple[str, ...] = ()
    execution_id: str | None = None
    job_id: str | None = None
    job_name: str = ""
    settled_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    unknowns: int = 0
    replays: int = 0
    attempts: tuple[Try, ...] = ()
    claim: str | None = None
    instead_of: tuple[str, ...] = ()
    damaged: str = ""

    @property
    def key(self) -> str:
        """Returns what the receiver recognises this message by: the same for each try, another one after a replay by a person."""
        return self.id if not self.replays else f"{self.id}-{self.replays}"

    @property
    def addressee(self) -> str:
        """Returns who gets the message: the mail addresses, or the name that the channel had."""
        return ", ".join(self.recipients) or self.channel

    @property
    def place(self) -> str:
        """Returns the place of this delivery in a list, for a request for the page after it."""
        return f"{as_text(self.created_at)}~{self.id}"

    @property
    def reason(self) -> str:
        """Returns what the last try ended with; empty before the first one."""
        return self.attempts[-1].reason if self.attempts else ""

    def as_document(self) -> Document:
        """Returns the stored form of a new delivery."""
        return {
            "_id": self.id,
            "channel_id": self.channel_id,
            "channel": self.channel,
            "type": self.type,
            "recipients": list(self.recipients),
            "execution_id": self.execution_id,
            "job_id": self.job_id,
            "job_name": self.job_name,
            "message": self.message.as_document(),
            "status": self.status.value,
            "created_at": self.created_at,
            "due_at": self.due_at,
            "settled_at": self.settled_at,
            "failing_since": self.failing_since,
            "failures": self.failures,
            "unknowns": self.unknowns,
            "replays": self.replays,
            "attempts": [attempt.as_document() for attempt in self.attempts],
            "claim": self.claim,
            "instead_of": list(self.instead_of),
        }


def delivery_from(row: Mapping[str, Any]) -> Delivery:
    """Returns the delivery in a stored document."""
    same = (
        "channel_id",
        "channel",
        "type",
        "execution_id",
        "job_id",
        "job_name",
        "created_at",
        "due_at",
        "settled_at",
        "failing_since",
        "failures",
        "unknowns",
        "replays",
        "claim",
    )
    return Delivery(
        id=row["_id"],
        message=message_from(row["message"]),
        status=DeliveryStatus(row["status"]),
        recipients=tuple(row["recipients"]),
        attempts=tuple(_try_from(item) for item in row["attempts"]),
        instead_of=tuple(row.get("instead_of") or ()),
        damaged=row.get(DAMAGED, ""),
        **{name: row[name] for name in same},
    )


def _try_from(row: Mapping[str, Any]) -> Try:
    reason = restored(row["reason"], row.get("said"))
    return Try(at=row["at"], took_ms=row["took_ms"], result=row["result"], reason=reason, by=row["by"])


def place_from(text: str) -> tuple[datetime, str] | None:
    """Returns the instant and the id in a text that `place` has returned; None if it is another text."""
    at, _, last_id = text.partition("~")
    try:
        return (parse(at), last_id) if last_id else None
    except InstantRefused:
        return None


def delivery_id(event: str, channel_id: str, recipients: Iterable[str], kind: str) -> str:
    """Returns the id of a delivery: the same for the same event, channel, recipients and kind of message, so that a delivery that is
    written twice is one delivery."""
    parts = [event, channel_id, *sorted(recipients), kind]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def wait_after(failures: int, failing_for: timedelta, retry_after: timedelta | None, chance: random.Random) -> timedelta | None:
    """Returns how long to wait after failed try number `failures`, from 1, if the first of them was `failing_for` ago; None if the delivery
    is given up.

    After the second failure it is 120 s to 132 s; longer only if the receiver asks for it. After 2 h of failures the delivery still waits,
    after 8 h it is given up.
    """
    if failing_for >= LONGEST_FAILING:
        return None
    wait = LADDER[min(failures, len(LADDER)) - 1] * (1 + chance.uniform(0, JITTER))
    return max(wait, retry_after) if retry_after is not None else wait
