"""A node as it tells of itself with its heartbeats, and as its record says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from app.mongo import Document
from app.scheduling.bus_state import BUS_STATE, BusState
from app.shapes import Flag, Instant, Listed, Number, Object, Text, texts, wholes

SILENT_AFTER = timedelta(seconds=30)  # a node that was not seen for so long is taken for gone

NODE = Object(
    members={
        "host": Text(),
        "seen_at": Instant(),
        "clock": Instant(),
        "tick_age": Number(whole=False),
        "bus": BUS_STATE,
        **texts("role", "version", optional=True),
        "labels": Listed(optional=True, of=Text()),
        **wholes("slots", "running", optional=True),
        "drain": Object(optional=True, nullable=True, members={"by": Text(), "at": Instant()}),
        "drained": Flag(optional=True),
        "queues": Listed(optional=True, of=Text()),
        "hears": Flag(optional=True),
    }
)


class NodeRole(StrEnum):
    """What a node does."""

    SCHEDULER = "scheduler"  # it plans, and runs jobs unless workers do that
    WORKER = "worker"  # it runs jobs only


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A person asked a node to claim nothing more."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a node tells of itself. `clock` is its own time, `tick_age_seconds` the time since its last good tick, `running` the attempts
    that run, of `slots`. `drained` says that it was asked to drain and holds nothing any more. `bus` is None where no bus is set.

    `queues` and `hears` are told by a node that gets its work from a message broker: what it consumes, and whether messages reach it.
    """

    host: str
    clock: datetime
    tick_age_seconds: float
    bus: BusState | None = None
    role: NodeRole = NodeRole.SCHEDULER
    version: str = ""
    labels: tuple[str, ...] = ()
    slots: int = 0
    running: int = 0
    drained: bool = False
    queues: tuple[str, ...] = ()
    hears: bool | None = None

    def as_update(self) -> Document:
        """The update that writes it. The database adds its own time."""
        changed: Document = {
            "host": self.host,
            "clock": self.clock,
            "tick_age": round(self.tick_age_seconds, 3),
            "role": self.role.value,
            "version": self.version,
            "labels": list(self.labels),
            "slots": self.slots,
            "running": self.running,
            "drained": self.drained,
            "queues": list(self.queues),
        }
        told = {"bus": self.bus.as_document() if self.bus else None, "hears": self.hears}
        changed |= {name: value for name, value in told.items() if value is not None}
        silent = {name: "" for name, value in told.items() if value is None}
        return {"$set": changed, "$currentDate": {"seen_at": True}, **({"$unset": silent} if silent else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node at its last heartbeat. `skew_seconds`: how far its clock is ahead of the database's, with the time that the message took.
    The other fields are those of Heartbeat; a node of an earlier release has the defaults. `drain` is who asked it to drain, if anyone."""

    id: str
    host: str
    seen_at: datetime
    skew_seconds: float
    tick_age_seconds: float
    bus: BusState | None = None
    role: str = NodeRole.SCHEDULER
    version: str = ""
    labels: tuple[str, ...] = ()
    slots: int = 0
    running: int = 0
    drain: Drain | None = None
    drained: bool = False
    queues: tuple[str, ...] = ()
    hears: bool | None = None

    def lives(self, now: datetime) -> bool:
        """Whether the last heartbeat is recent at `now`."""
        return now - self.seen_at < SILENT_AFTER

    @classmethod
    def from_row(cls, row: Document) -> Self:
        """The node in a stored document, which has the shape NODE."""
        return cls(
            id=row["_id"],
            host=row["host"],
            seen_at=row["seen_at"],
            tick_age_seconds=row["tick_age"],
            skew_seconds=(row["clock"] - row["seen_at"]).total_seconds(),
            bus=BusState.from_document(row["bus"]) if row.get("bus") else None,
            role=row.get("role", NodeRole.SCHEDULER.value),
            version=row.get("version", ""),
            labels=tuple(row.get("labels", ())),
            slots=row.get("slots", 0),
            running=row.get("running", 0),
            drain=drain_from(row),
            drained=row.get("drained", False),
            queues=tuple(row.get("queues", ())),
            hears=row.get("hears"),
        )


def drain_from(row: Document) -> Drain | None:
    """Returns who asked a node to drain, by its document; None if nobody did."""
    drain = row.get("drain")
    return Drain(by=drain["by"], at=drain["at"]) if drain else None
