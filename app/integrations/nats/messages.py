"""What goes over the bus: messages to a stream, and answers to commands. Pure values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

STATUS = "Jobwright-Status"  # the status of HTTP, in the headers of an answer
BUSY_SECONDS = 1  # after which a command that was not taken may be sent again
COMMANDS, EVENTS = "commands", "events"  # the second parts of subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to the stream. The stream keeps the first message with an `id` and drops others with it, for as long as it remembers."""

    id: str
    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """How a chain of messages went: the first `count` are stored. `error` is why the next one is not; None where all are."""

    count: int
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a command."""

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def failure(status: int, title: str, data: bytes, headers: Mapping[str, str]) -> Reply:
    """An error, also with the headers of NATS services, which its tools show (docs.nats.io, ADR-32)."""
    return Reply(data=data, headers={STATUS: str(status), **headers, "Nats-Service-Error-Code": str(status), "Nats-Service-Error": title})


def busy(waiting: int) -> Reply:
    """The answer to a command that is not taken, because `waiting` others are being carried out: a problem document (RFC 9457)."""
    detail = f"This node is carrying out {waiting} commands. Nothing was changed. Send this one again."
    title = "Service Unavailable"
    problem = {"type": "about:blank", "title": title, "status": 503, "detail": detail}
    headers = {"Content-Type": "application/problem+json", "Retry-After": str(BUSY_SECONDS)}
    return failure(503, title, json.dumps(problem).encode(), headers)


# Answers a command: its name, its data, and its headers.
Answer: TypeAlias = Callable[[str, bytes, Mapping[str, str]], Reply]


class BusAway(Exception):
    """The bus did not take a message, and trying again later helps."""


def commands_subject(prefix: str) -> str:
    """The pattern of the subjects of commands."""
    return f"{prefix}.{COMMANDS}.*"


def events_subject(prefix: str, kind: str = ">") -> str:
    """The subject of a kind of event, such as `execution.failed`; of all of them by default."""
    return f"{prefix}.{EVENTS}.{kind}"


def is_inbox(prefix: str, subject: str) -> bool:
    """Whether an answer may go to a subject that the sender of a command names. Jobwright itself may publish events and ask the server: a
    sender that may not must not have it done by an answer."""
    return bool(subject) and not subject.startswith(("$", f"{prefix}."))


def stream_name(prefix: str) -> str:
    """The name of the stream of events, which has neither dots nor small letters."""
    return f"{prefix.replace('.', '_').upper()}_EVENTS"
