"""How an execution ends: the one place that says what every end writes. Nothing else writes `completed_at` of an execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.mongo import Document
from app.outbox.model import owed_now
from app.queue.model import ENDED, Reason, Status

# What an execution has only while it waits or runs; the indexes of the queue are made of these fields.
LEAVES_QUEUE = ("live", "queue_rank", "slots", "waits_for", "lease", "callback", "postponed")


def ended_fields(status: Status, now: datetime, reason: Reason | None = None) -> dict[str, Any]:
    """The fields that every end sets. The reason stays as it was where none is given. Raises ValueError for a status that is no end."""
    if status not in ENDED:
        raise ValueError(f"{status.value} is not how an execution ends")
    return {"status": status.value, "completed_at": now, **({} if reason is None else {"reason": reason.value})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One end of an execution: the fields that it sets, and those that go."""

    sets: Mapping[str, Any]
    unsets: tuple[str, ...] = LEAVES_QUEUE

    def update(self) -> Document:
        """As an update of one or more documents."""
        return {"$set": dict(self.sets), "$unset": dict.fromkeys(self.unsets, "")}

    def stages(self) -> list[Document]:
        """As the stages of a pipeline update, whose other stages set what differs from document to document."""
        return [{"$set": {name: {"$literal": value} for name, value in self.sets.items()}}, {"$unset": list(self.unsets)}]


def ending(
    status: Status,
    now: datetime,
    *,
    reason: Reason | None = None,
    owed: tuple[str, ...] = (),
    fields: Mapping[str, Any] | None = None,
) -> Ending:
    """The end of an execution at `now`: as `status`, for `reason`, with what it owes to the handlers named in `owed`.

    `fields` are what this kind of end sets beside that: the result, the error, who asked for it. Raises ValueError for a status that is no
    end.
    """
    sets = {**(fields or {}), **ended_fields(status, now, reason)}
    return Ending(sets={**sets, "owed": owed_now(owed, now)} if owed else sets)
