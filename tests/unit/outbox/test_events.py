"""Domain events as typed records, and as they are stored."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import decode, encode

from app.mongo import CODEC
from app.outbox.events import KINDS, DomainEvent, EventHandler, JobBroken, JobChanged, StoredEvent, details_of, event_from
from app.outbox.model import Owed, owed_now

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
VALUES: dict[str, Any] = {"str": "a text", "float": 7.5, "int": 3, "tuple[str, ...]": ("group", "name")}


def made(kind: type[DomainEvent]) -> DomainEvent:
    """An event of this kind, each field with a value of its type."""
    return kind(at=NOW, **{field.name: VALUES[str(field.type)] for field in fields(kind) if field.name != "at"})


def stored(event: DomainEvent, **changes: Any) -> dict[str, Any]:
    """An event as it comes out of the database."""
    row = {"_id": "e1", "kind": event.kind, "at": event.at, "details": details_of(event), "owed": owed_now(["regroup"], NOW), **changes}
    return decode(encode(row), CODEC)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_comes_back_as_it_was_stored(kind: str) -> None:
    event = made(KINDS[kind])
    assert event.kind == kind
    assert event_from(stored(event)) == StoredEvent(id="e1", event=event, owed=(Owed(what="regroup", at=NOW),))


def test_every_kind_of_event_is_known() -> None:
    kinds = {event.kind for event in DomainEvent.__subclasses__() if event.__module__.startswith("app.")}
    assert kinds == KINDS.keys() == {event.kind for event in KINDS.values()}
    assert all(kind and kind == kind.lower() for kind in KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_details_are_all_but_the_instant(kind: str) -> None:
    event = made(KINDS[kind])
    assert details_of(event).keys() == {field.name for field in fields(event)} - {"at"}
    assert not any(isinstance(value, tuple) for value in details_of(event).values()), "BSON has lists"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "of_a_later_version"},
        {"kind": ""},
        {"details": None},
        {"details": "text"},
        {"details": ["list"]},
        {"details": {}},
        {"details": {"job_id": "j", "job_name": "n"}},
        {"details": {"job_id": "j", "job_name": "n", "reason": "r", "of_a_later_version": 1}},
    ],
)
def test_an_event_that_cannot_be_read_is_none_and_keeps_what_it_owes(changes: dict[str, Any]) -> None:
    event = event_from(stored(made(JobBroken), **changes))
    assert event == StoredEvent(id="e1", event=None, owed=(Owed(what="regroup", at=NOW),))


class Hearing(EventHandler):
    """Keeps what it hears."""

    name = "hearing"
    kinds = (JobChanged,)

    def __init__(self) -> None:
        self.heard: list[DomainEvent] = []

    def hear(self, event: DomainEvent) -> None:
        self.heard.append(event)


def test_a_handler_wants_the_kinds_that_it_names_and_hears_what_can_be_read() -> None:
    handler, changed = Hearing(), made(JobChanged)
    assert [kind for kind in sorted(KINDS) if Hearing.wants(made(KINDS[kind]))] == ["job_changed"]
    handler.carry_out(StoredEvent(id="e1", event=None))
    assert handler.heard == []
    handler.carry_out(StoredEvent(id="e1", event=changed))
    assert handler.heard == [changed]
