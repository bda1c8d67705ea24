"""What a type of channel declares and promises, and how it says that a message did not arrive.

A type is a subclass of Channel. It is found by an entry point of the group `jobwright.channels`, whose name is its `type`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Protocol

import httpcore
import httpx

from app.notification.message import Message, cut
from templates_lib.base import ConnectionGrant
from templates_lib.connections.failures import sentence
from templates_lib.messages import say
from templates_lib.net import TargetRefused

SEND_SECONDS = 30.0  # the time limit of each step of one try
LONGEST_ANSWER = 200  # characters of what a receiver says
LONGEST_WAIT = timedelta(hours=6)  # that a receiver may ask for
# Answers after which the same request may work later (RFC 9110, RFC 6585).
PASSING = frozenset({408, 421, 425, 429})
# Errors after which the receiver cannot have the whole request.
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.WriteError, httpcore.WriteTimeout)


class NotDelivered(Exception):
    """A message did not arrive, for a reason that people read."""


class Refused(NotDelivered):
    """The receiver does not take this message, and would not take it later. Somebody must change the channel."""


class RecipientsRefused(Refused):
    """The receiver does not take this message for its recipients. Others it may take."""


class Unreachable(NotDelivered):
    """The receiver does not have the message, and the same try may work later: after `retry_after`, if it says so."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unknown(NotDelivered):
    """The message was sent and no answer came: the receiver may have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receiver answered to a message that it took, as a sentence. It holds no secret."""

    words: str


class Door(Protocol):
    """The only way from a channel to the outside."""

    def connection(self, name: str, kind: str) -> ConnectionGrant:
        """Returns a connection in the clear. Raises Refused if there is none of this name and kind."""
        ...

    def http(self) -> httpx.Client:
        """Returns a client that reaches no private address but those that the operator allows. It follows no redirects."""
        ...

    def now(self) -> datetime:
        """Returns the time."""
        ...

    def allowed_hosts(self) -> Collection[str]:
        """Returns the private hosts, as `host` or `host:port`, that the operator allows."""
        ...

    def apprise_schemes(self) -> Collection[str]:
        """Returns the schemes of Apprise that the operator allows."""
        ...


class Channel(ABC):
    """A type of channel. `title`, `description` and the schema are shown to people. The schema (JSON Schema 2020-12) stands in
    `settings.schema.json` beside the class: members with `writeOnly` are secrets, which are stored encrypted. An object of the class keeps
    nothing of a call, and any number of threads may call it."""

    type: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    icon: ClassVar[str] = "bell"
    libraries: ClassVar[tuple[str, ...]] = ()  # of an extra: the type is left out where one of them is not installed

    @classmethod
    def settings_schema(cls) -> dict[str, Any]:
        """Returns the schema of the settings."""
        return _schema_beside(cls)

    def problems(self, settings: Mapping[str, Any], door: Door) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - most types have none
        """Returns what is wrong with settings that fulfil the schema: pointers into them, each with a sentence without its subject, such as
        "must be …". `settings` are in the clear."""
        return ()

    @abstractmethod
    def place(self, settings: Mapping[str, Any]) -> str:
        """Returns in a few words where messages go, without any secret."""

    @abstractmethod
    def send(self, message: Message, settings: Mapping[str, Any], door: Door) -> Receipt:
        """Sends one message; `settings` are in the clear. Raises Refused, Unreachable or Unknown. The same message may come again, with
        the same `key`."""


@cache
def _schema_beside(channel: type[Channel]) -> dict[str, Any]:
    package = channel.__module__.rpartition(".")[0]
    schema: dict[str, Any] = json.loads(files(package).joinpath("settings.schema.json").read_text("utf-8"))
    return schema


def post_json(door: Door, url: str, body: bytes, headers: Mapping[str, str]) -> Receipt:
    """Sends a POST request with JSON and returns the receipt if the answer is a success (2xx). Raises Refused, Unreachable or Unknown
    otherwise."""
    place = host_of(url)
    with errors_of_http(place), door.http() as client:
        answer = client.post(url, content=body, headers={"content-type": "application/json", "user-agent": "Jobwright", **headers})
    if answer.is_success:
        return Receipt(words=say("{place} answered {status}.", place=place, status=answer.status_code))
    words = say("{place} answered {status}: {words}", place=place, status=answer.status_code, words=_shortened(answer))
    if answer.status_code in PASSING or answer.status_code >= 500:
        raise Unreachable(words, retry_after(answer.headers.get("retry-after", "")))
    raise Refused(words)


@contextmanager
def errors_of_http(place: str) -> Iterator[None]:
    try:
        yield
    except TargetRefused as error:
        raise Refused(
            say("{host} has a private or local address. Add it to JOBWRIGHT_ALLOWED_HOSTS if it may be called.", host=place)
        ) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Refused(sentence(error, place, SEND_SECONDS)) from error
    except httpx.TransportError as error:
        words = sentence(error, place, SEND_SECONDS)
        raise (Unreachable if isinstance(error.__cause__, _NOT_SENT) else Unknown)(words) from error


def host_of(url: str) -> str:
    """Returns the host of an address, with its port if it has one, without anything that may be secret."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "?"
    return parsed.host if parsed.port is None else f"{parsed.host}:{parsed.port}"


def retry_after(header: str) -> timedelta | None:
    """Returns for how long a receiver asks to wait: whole seconds (RFC 9110, 10.2.3), at most LONGEST_WAIT; None if it does not say."""
    text = header.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return min(timedelta(seconds=int(text)), LONGEST_WAIT)


def _shortened(answer: httpx.Response) -> str:
    is_page = "html" in answer.headers.get("content-type", "")  # of a proxy or a web server: its markup says nothing to people
    words = ("" if is_page else " ".join(answer.text.split())) or answer.reason_phrase
    return cut(words, LONGEST_ANSWER)
