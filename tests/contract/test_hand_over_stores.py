"""The stores of hand-overs and of shadow runs do the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from app.handover.model import HandOver, Stage
from app.handover.store import HandOverStore
from app.jobs.records import WOULD_RUN, ShadowRun
from app.jobs.shadow_store import ShadowStore
from app.mongo import Document

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Data = Database[Document]


def hand_over(name: str = "data_cleanup", **fields: Any) -> HandOver:
    values = {"job_id": "", "connection": "old", "stage": Stage.MAKING.value, "epoch": 1, "by": "root@example.com", "since": NOW, "at": NOW}
    return HandOver(id=name, **{**values, **fields})


def shadow_run(minute: int, **fields: Any) -> Document:
    due = NOW + minute * MINUTE
    values = {"job_id": "job", "outcome": WOULD_RUN, "reason": None, "due_at": due, "last_due_at": due, "count": 1, "at": due}
    return {"_id": f"job-{minute}", **values, **fields}


def test_a_migration_goes_through_its_stages_and_only_from_what_is_stored(database: Data) -> None:
    store = HandOverStore(database)
    assert store.get("data_cleanup") is None
    first = hand_over()
    store.begin(first)
    store.begin(hand_over(by="another@example.com"))
    assert store.get("data_cleanup") == first, "one that is there stays as it is"
    store.made(hand_over(epoch=2), job_id="of another epoch")
    assert store.get("data_cleanup") == first
    store.made(first, job_id="job")
    shadow = hand_over(job_id="job", stage=Stage.SHADOW.value)
    assert store.get("data_cleanup") == shadow
    assert not store.move(first, Stage.MOVING, epoch=2, at=NOW + MINUTE), "it has gone on meanwhile"
    assert store.unfinished() == []
    assert store.move(shadow, Stage.MOVING, epoch=2, at=NOW + MINUTE)
    moving = hand_over(job_id="job", stage=Stage.MOVING.value, epoch=2, at=NOW + MINUTE)
    assert store.unfinished() == [moving]
    assert not store.move(shadow, Stage.MOVING, epoch=3, at=NOW), "its epoch is over"
    store.remove(shadow)
    assert store.all() == [moving], "what has changed meanwhile is not forgotten"
    store.remove(moving)
    assert store.all() == []


def test_migrations_are_listed_by_name(database: Data) -> None:
    store = HandOverStore(database)
    for name, stage in (("test_scheduler", Stage.MOVED), ("auto_delete_resolved_tickets", Stage.RETURNING), ("data_cleanup", Stage.MOVING)):
        store.begin(hand_over(name, stage=stage.value))
    assert [item.id for item in store.all()] == ["auto_delete_resolved_tickets", "data_cleanup", "test_scheduler"]
    assert {item.id for item in store.unfinished()} == {"auto_delete_resolved_tickets", "data_cleanup"}


def test_a_shadow_run_is_written_once(database: Data) -> None:
    store = ShadowStore(database)
    assert store.add([]) == 0
    assert store.add([shadow_run(1), shadow_run(2)]) == 2
    assert store.add([shadow_run(2, outcome="missed"), shadow_run(3, triggered_by="dependency")]) == 1
    newest, middle, oldest = store.of_job("job", 10)
    assert (newest.triggered_by, middle.outcome) == ("dependency", WOULD_RUN), "the first record of a due time stays"
    values = {"job_id": "job", "outcome": WOULD_RUN, "reason": None, "count": 1, "triggered_by": "schedule"}
    assert oldest == ShadowRun(id="job-1", due_at=NOW + MINUTE, last_due_at=NOW + MINUTE, at=NOW + MINUTE, **values)


def test_shadow_runs_are_counted_and_forgotten_from_a_time_on(database: Data) -> None:
    store = ShadowStore(database)
    outage = shadow_run(0, outcome="missed", reason="outage", last_due_at=NOW + 3 * MINUTE, count=4)
    store.add([outage, *(shadow_run(minute) for minute in range(4, 8)), shadow_run(5, _id="other", job_id="other")])
    assert [run.id for run in store.of_job("job", 2)] == ["job-7", "job-6"]
    assert [run.id for run in store.of_job("job", 10, since=NOW + 2 * MINUTE)] == ["job-7", "job-6", "job-5", "job-4", "job-0"]
    assert [store.count("job", NOW + minute * MINUTE) for minute in (0, 5, 8)] == [4, 3, 0]
    store.forget_from("job", NOW + 6 * MINUTE)
    assert [run.id for run in store.of_job("job", 10)] == ["job-5", "job-4", "job-0"]
    assert [run.id for run in store.of_job("other", 10)] == ["other"]
