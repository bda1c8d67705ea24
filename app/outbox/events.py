"""What happens that is not the end of an execution, as typed records; and the handlers that want to hear of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeAlias

from app.mongo import Document
from app.outbox.handler import Handler
from app.outbox.model import OWED, Owed, owed_from
from app.shapes import Instant, Json, Object, one_of, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """Something that happened `at` an aware UTC instant. Each kind of event is a subclass whose fields are plain values."""

    kind: ClassVar[str] = ""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanged(DomainEvent):
    """A job is about to be changed in these fields. It is recorded before the change, so that no kill between the two loses it: whoever
    hears of it reads the job as it is by then. `change` says what is done to it, and `version` what it was at before; 0 for a new one."""

    kind: ClassVar[str] = "job_changed"
    job_id: str
    changed: tuple[str, ...] = ()
    change: str = "updated"
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBroken(DomainEvent):
    """The due times of a job cannot be computed or its runs cannot be written, for `reason`: it does not run until it is mended."""

    kind: ClassVar[str] = "job_broken"
    job_id: str
    job_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalWaiting(DomainEvent):
    """A change or a run waits for a super-admin's approval."""

    kind: ClassVar[str] = "approval_waiting"
    approval_id: str
    job_name: str
    operation: str
    asked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDown(DomainEvent):
    """A connection that answered before does not answer any more."""

    kind: ClassVar[str] = "connection_down"
    connection: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStalled(DomainEvent):
    """The dispatcher of a node has not finished a tick for `seconds`."""

    kind: ClassVar[str] = "scheduler_stalled"
    node: str
    seconds: float


KINDS: Mapping[str, type[DomainEvent]] = {
    event.kind: event for event in (JobChanged, JobBroken, ApprovalWaiting, ConnectionDown, SchedulerStalled)
}
EVENT = Object(
    members={
        "kind": one_of(list(KINDS), ""),
        "at": Instant(),
        "details": Json(),
        "owed": OWED,
        **texts("correlation_id", "traceparent", optional=True),
    }
)


class Cause(Protocol):
    """A request that causes events."""

    @property
    def correlation_id(self) -> str:
        """Its id; empty if it has none."""
        ...

    @property
    def traceparent(self) -> str:
        """The trace that it belongs to; empty if it belongs to none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as the outbox has it. `event` is None where the record is damaged or of a kind that this version does not know.
    `correlation_id` and `traceparent` are those of the request that caused it; empty if none did."""

    id: str
    event: DomainEvent | None
    correlation_id: str = ""
    traceparent: str = ""
    owed: tuple[Owed, ...] = field(default=())


def details_of(event: DomainEvent) -> Document:
    """The fields of an event but its instant, as they are stored."""
    values = {item.name: getattr(event, item.name) for item in fields(event) if item.name != "at"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def event_from(row: Mapping[str, Any]) -> StoredEvent:
    """The event in a stored document."""
    causes = {name: row.get(name) or "" for name in ("correlation_id", "traceparent")}
    return StoredEvent(id=row["_id"], event=_built(row), owed=owed_from(row), **causes)


def _built(row: Mapping[str, Any]) -> DomainEvent | None:
    known = KINDS.get(row["kind"])
    if known is None or not isinstance(row["details"], Mapping):
        return None
    details = {name: tuple(value) if isinstance(value, list) else value for name, value in row["details"].items()}
    try:
        return known(at=row["at"], **details)
    except TypeError:  # a field is missing, or one is of another version
        return None


class EventListener(Handler[StoredEvent]):
    """Wants some kinds of events."""

    kinds: ClassVar[tuple[type[DomainEvent], ...]]

    @classmethod
    def wants(cls, event: DomainEvent) -> bool:
        """Whether it is to hear of an event that has just happened; by default of each of its kinds."""
        return isinstance(event, cls.kinds)


class EventHandler(EventListener):
    """Hears of the events that it wants one by one."""

    def carry_out(self, record: StoredEvent) -> None:
        """As `hear`. An event that cannot be read has nothing to say."""
        if record.event is not None:
            self.hear(record.event)

    @abstractmethod
    def hear(self, event: DomainEvent) -> None:
        """What follows from one event. It may be called again for the same event."""


EventListeners: TypeAlias = Iterable[type[EventListener]]
