"""What a record owes because of what happened to it: a mail, the runs of the jobs that follow, a look at its job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.mongo import Document
from app.shapes import Anything, Instant, Listed, Number, Object, Text
from templates_lib.messages import restored

# How a collection whose documents owe something describes the field.
OWED = Listed(
    optional=True,
    of=Object(
        members={
            "what": Text(),
            "at": Instant(nullable=True),
            "tries": Number(),
            "error": Text(nullable=True),
            "said": Anything(optional=True),  # the parts of the error
            "given_up_at": Instant(nullable=True),
            "by": Text(optional=True),  # the claim that has it, where many are claimed at once
        }
    ),
)
TOLD = "told"  # the field in which a record keeps what handlers have told others of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One item that a record owes.

    `what` is the name of the handler that carries it out. `at` is when it is carried out next, as an aware UTC instant; None once it was
    given up. `tries` counts the tries so far, and `error` is what the last one failed with. `given_up_at` is set when no further try
    follows until a person asks for one. `by` is the claim that has it, where many are claimed at once.
    """

    what: str
    at: datetime | None
    tries: int = 0
    error: str | None = None
    given_up_at: datetime | None = None
    by: str | None = None

    @property
    def given_up(self) -> bool:
        return self.given_up_at is not None

    def as_document(self) -> Document:
        return {"what": self.what, "at": self.at, "tries": self.tries, "error": self.error, "given_up_at": self.given_up_at}


def owed_now(names: Iterable[str], now: datetime) -> list[Document]:
    """The stored form of new items, one for each handler named, to be carried out from `now` on."""
    return [Owed(what=name, at=now).as_document() for name in names]


def owed_from(row: Mapping[str, Any]) -> tuple[Owed, ...]:
    """The items that a stored record owes."""
    return tuple(_owed(item) for item in row.get("owed") or ())


def _owed(item: Mapping[str, Any]) -> Owed:
    fields: dict[str, Any] = {name: item.get(name) for name in Owed.__dataclass_fields__}
    return Owed(**{**fields, "error": restored(fields["error"], item.get("said")) if fields["error"] else None})
