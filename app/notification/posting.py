"""One try to send one delivery: finds its channel, sends, and says how it went. It writes nothing."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from app.clock import Clock
from app.connections.service import Connections
from app.connections.vault import Vault
from app.errors import StartError
from app.events import get_logger
from app.mongo import Document
from app.notification.channel_store import ChannelStore
from app.notification.channels.base import SEND_SECONDS, Channel, NotDelivered, Receipt, Refused, Unknown, Unreachable
from app.notification.channels.catalogue import ChannelTypes
from app.notification.delivery import MAIL, Delivery, Try
from app.notification.message import Fact, Message
from app.notification.texts import InWords
from app.shapes import DAMAGED
from app.triggers.words import duration_words
from app.validation.storable import whole_text
from templates_lib.base import ConnectionGrant
from templates_lib.messages import parts_of, restored, say
from templates_lib.net import open_http

log = get_logger(__name__)

LONGEST_REASON = 500  # characters
LATE_MINUTES = 2  # after its event: a message that is sent later says so


class NoChannel(Refused):
    """There is nothing that could send the message: no channel, no readable record of it, or no connection for plain addresses."""


class Disabled(NotDelivered):
    """The channel is disabled: the delivery is kept, and not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try went. `error` is None if the receiver took the message."""

    attempt: Try
    error: NotDelivered | None = None

    @property
    def retry_after(self) -> timedelta | None:
        return self.error.retry_after if isinstance(self.error, Unreachable) else None


class OpenDoor:
    """The way out of this installation."""

    def __init__(self, connections: Connections, clock: Clock, *, allowed_hosts: Collection[str], apprise_schemes: Collection[str]) -> None:
        self._connections, self._clock, self._allowed_hosts = connections, clock, allowed_hosts
        self._apprise_schemes = apprise_schemes

    def connection(self, name: str, kind: str) -> ConnectionGrant:
        grant = self.find(name)
        if grant is None or grant.kind != kind:
            raise Refused(
                say("There is no connection {name!r} of the kind {kind}. Create it, or change the channel.", name=name, kind=kind)
            )
        return grant

    def find(self, name: str) -> ConnectionGrant | None:
        """Returns a connection in the clear; None if there is none of this name."""
        return self._connections.grant([name]).get(name)

    def http(self) -> httpx.Client:
        return open_http(allowed_hosts=self._allowed_hosts, timeout_seconds=SEND_SECONDS, redirects=0)

    def now(self) -> datetime:
        return self._clock.now()

    def allowed_hosts(self) -> Collection[str]:
        return self._allowed_hosts

    def apprise_schemes(self) -> Collection[str]:
        return self._apprise_schemes


class Posting:
    """Sends deliveries. `mail_connection` is the SMTP connection of the built-in channel."""

    def __init__(
        self,
        *,
        channels: ChannelStore,
        types: ChannelTypes,
        vault: Vault,
        door: OpenDoor,
        clock: Clock,
        mail_connection: str,
        in_words: InWords,
    ) -> None:
        self._channels, self._types, self._vault, self._door, self._clock = channels, types, vault, door, clock
        self._mail_connection, self._in_words, self._host = mail_connection, in_words, socket.gethostname()

    def problems(self, channel: Channel, settings: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Returns what keeps a channel from being saved with settings in the clear that fulfil the schema of its type."""
        try:
            return channel.problems(settings, self._door)
        except Exception as failure:  # the code of a channel may be somebody else's
            return [("", say("cannot be checked: the type of channel failed ({error})", error=type(failure).__name__))]

    def send(self, delivery: Delivery) -> Outcome:
        """Tries once. Raises only errors of the database."""
        at, began = self._clock.now(), self._clock.monotonic()
        row = self._row(delivery)
        error: NotDelivered | None = None
        try:
            receipt = self._send(delivery, row)
            result, reason = "sent", receipt.words
        except NotDelivered as failure:
            error, result, reason = failure, _result_of(failure), str(failure)
        except Exception as failure:  # the code of a channel may be somebody else's
            log.exception("delivery.crashed", id=delivery.id, channel=delivery.channel, reason=type(failure).__name__)
            words = say("The channel failed unexpectedly: {error}", error=type(failure).__name__)
            error, result, reason = Unreachable(words), "unreachable", words
        took = int((self._clock.monotonic() - began) * 1000)
        reason = restored(whole_text(reason[:LONGEST_REASON]), parts_of(reason))
        return Outcome(attempt=Try(at=at, took_ms=took, result=result, reason=reason, by=self._host), error=error)

    def _row(self, delivery: Delivery) -> Document | None:
        if delivery.channel_id == MAIL:
            settings = {"connection": self._mail_connection, "recipients": list(delivery.recipients)}
            return {"type": "mail", "settings": settings, "enabled": True}
        return self._channels.get(delivery.channel_id)

    def _send(self, delivery: Delivery, row: Document | None) -> Receipt:
        if delivery.damaged:
            raise NoChannel(say("The record of this notification is damaged: {reason}", reason=delivery.damaged))
        if row is None:
            raise NoChannel(say("There is no channel {name!r}. Create it, or change the job.", name=delivery.channel))
        channel = self._type(row)
        if delivery.channel_id == MAIL:
            self._require_mail()
        message = replace(delivery.message, key=delivery.key, facts=(*self._delay(delivery.message), *delivery.message.facts))
        return channel.send(message, self._opened(row["settings"]), self._door)

    def _delay(self, message: Message) -> Iterator[Fact]:
        """Yields what a message says that is sent late."""
        minutes = (self._clock.now() - message.at) // timedelta(minutes=1)
        if minutes >= LATE_MINUTES:
            words = duration_words(60 * minutes, message.language)
            yield Fact(label=self._in_words(say("Delayed by"), message.language), value=words)

    def _type(self, row: Document) -> Channel:
        """Returns the type of a channel. Raises Refused or Disabled if it cannot send."""
        if DAMAGED in row:
            raise Refused(say("The record of this channel is damaged: {reason}", reason=row[DAMAGED]))
        if not row["enabled"]:
            raise Disabled(say("The channel is disabled."))
        channel = self._types.get(row["type"])
        if channel is None:
            raise Refused(say("The type of channel {type!r} is not installed.", type=row["type"]))
        return channel

    def _require_mail(self) -> None:
        name = self._mail_connection
        if not name:
            raise NoChannel(
                say("Jobwright cannot send mail yet. Set JOBWRIGHT_NOTIFY_CONNECTION to the name of an SMTP connection, and restart.")
            )
        grant = self._door.find(name)
        if grant is None or grant.kind != "smtp":
            raise NoChannel(say("There is no SMTP connection {name!r}. Create it, or change JOBWRIGHT_NOTIFY_CONNECTION.", name=name))

    def _opened(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            opened: Mapping[str, Any] = self._vault.open(settings)
        except StartError as error:
            raise Refused(str(error)) from error
        return opened


def _result_of(error: NotDelivered) -> str:
    match error:
        case Unreachable():
            return "unreachable"
        case Unknown():
            return "unknown"
        case Disabled():
            return "held"
    return "refused"
