"""How the bus of a node is, as the node tells it with its heartbeats."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from app.mongo import Document
from app.shapes import Anything, Flag, Instant, Object, Text
from templates_lib.messages import parts_of, restored


@dataclass(frozen=True, slots=True, kw_only=True)
class BusState:
    """How the bus is. `stream` says whether events can be stored, `since` how long it has been as it is, and `problem` in one sentence why
    it is not connected, has no stream, or hears no commands."""

    connected: bool
    stream: bool
    since: datetime
    server: str = ""
    problem: str = ""

    def as_document(self) -> Document:
        """As a part of the document of a node."""
        fields = {"connected": self.connected, "stream": self.stream, "since": self.since, "server": self.server}
        return {**fields, "problem": self.problem, "said": parts_of(self.problem)}

    @classmethod
    def from_document(cls, row: Document) -> Self:
        """The way back."""
        problem = restored(row["problem"], row.get("said"))
        return cls(connected=row["connected"], stream=row["stream"], since=row["since"], server=row["server"], problem=problem)


BUS_STATE = Object(
    members={
        "connected": Flag(),
        "stream": Flag(),
        "since": Instant(),
        "server": Text(),
        "problem": Text(),
        "said": Anything(optional=True),
    },
    optional=True,
)
