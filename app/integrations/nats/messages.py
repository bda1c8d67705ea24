"""What goes over the bus: messages to a stream, and answers to commands. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

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
