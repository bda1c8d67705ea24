"""What a planning node announces to workers, on the real MongoDB: whoever has room hears of what waits for it, however much waits for
others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.broker.base import BrokerAway
from app.broker.queues import queues_of
from app.clock import ManualClock
from app.factory import Store
from app.jobs.model import Job
from app.node.releasing import Releaser, taker_of
from app.queue import release_store
from app.queue.needs import needs_fields
from app.queue.release_store import BY_TEMPLATE, LONGEST_HOLD, ReleaseStore
from app.scheduling.node_store import NodeRole, NodeSeen
from app.services import Services
from tests.builders.queue import execution_document, make_job
from tests.lengths import LONG

OTHERS = 100_000 if LONG else 5_000
ROUTES = {"report_generation": "reports"}


class Published:
    """A broker that keeps what is published."""

    def __init__(self) -> None:
        self.hints: list[tuple[str, str]] = []
        self.away = False

    def publish(self, hints: Sequence[tuple[str, str]]) -> None:
        if self.away:
            raise BrokerAway("gone")
        self.hints += hints

    def ping(self) -> None:
        if self.away:
            raise BrokerAway("gone")

    def product(self) -> tuple[str, str, str]:
        return "list", "1", ""

    def close(self) -> None:
        pass


class House:
    """A planning node, workers by their records, and executions in the queue."""

    def __init__(self, store: Store, job: Job, clock: ManualClock) -> None:
        self.rows, self.clock, self.published = store.database["job_executions"], clock, Published()
        self.store, self._job, self._workers = ReleaseStore(store.database), job, list[NodeSeen]()
        self._dues = itertools.count()

    def worker(self, name: str, *, slots: int, labels: tuple[str, ...] = (), routes: Sequence[str] = ("default",)) -> None:
        queues = tuple(queues_of(routes, []))
        now = self.clock.now()
        told: dict[str, Any] = {"role": NodeRole.WORKER, "slots": slots, "labels": labels, "queues": queues, "hears": True}
        self._workers.append(NodeSeen(id=name, host="h", seen_at=now, skew_seconds=0, tick_age_seconds=0, **told))

    def put(self, name: str, count: int, *, age: float, needs: Sequence[str] = (), template: str = "noop") -> list[str]:
        """Executions that have waited for so many seconds."""
        now = self.clock.now()
        made = execution_document(self._job, now=now) | needs_fields(needs) | {"template_type": template}
        rank = now - timedelta(seconds=age)
        rows = [
            {
                **made,
                "_id": f"{name}{n}",
                "scheduled_for": now + timedelta(seconds=next(self._dues)),
                "queue_rank": rank + timedelta(milliseconds=n),
            }
            for n in range(count)
        ]
        for first in range(0, count, 10_000):
            self.rows.insert_many(rows[first : first + 10_000], ordered=False)
        return [str(row["_id"]) for row in rows]

    def turns(self, count: int = 1) -> list[str]:
        """What a new node announces in so many turns. (It reads the workers first.)"""
        releaser = Releaser(
            store=self.store,
            nodes=lambda: self._workers,
            publisher=self.published,
            routes=ROUTES,
            stopped=lambda: None,
            clock=self.clock,
        )
        self.published.hints = []
        for _ in range(count):
            releaser.turn()
        return [execution_id for _, execution_id in self.published.hints]

    def claim(self, ids: Sequence[str]) -> None:
        """Workers have taken these, and ended them."""
        self.rows.update_many({"_id": {"$in": list(ids)}}, {"$unset": {"queue_rank": "", "released": ""}})


@pytest.fixture
def house(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, make_job(services, super_admin), clock)


def test_a_backlog_for_all_keeps_nothing_from_a_worker_with_labels(house: House) -> None:
    """Runs that only one worker takes are announced in their turn, while others take what anybody may."""
    house.worker("plain", slots=10)
    house.worker("fast", slots=1, labels=("gpu",))
    anybodys = house.put("any", 200, age=60)
    urgent = house.put("gpu", 2, age=3600, needs=["gpu"])
    announced = house.turns(3)
    assert set(urgent) <= set(announced)
    assert len(announced) == len(set(announced)) == 2 * 11, "two for each free slot and no more, however many turns"
    house.claim(announced)
    late = house.put("late", 1, age=1800, needs=["gpu"])
    assert set(late) <= set(house.turns(1))
    assert set(house.turns(1)) <= set(anybodys)


@pytest.mark.parametrize("first", ["gpu", "site=berlin"])
def test_workers_with_other_labels_keep_nothing_from_each_other(house: House, first: str) -> None:
    second = {"gpu": "site=berlin", "site=berlin": "gpu"}[first]
    house.worker("a", slots=1, labels=(first,))
    house.worker("b", slots=1, labels=(second,))
    house.put("any", 100, age=60)
    urgent = house.put("urgent", 1, age=3600, needs=[second])
    assert set(urgent) <= set(house.turns(2))


def test_what_waits_for_others_is_not_read(house: House, store: Store, clock: ManualClock) -> None:
    """Executions of a route or with labels that no worker has wait before those that can run."""
    house.worker("plain", slots=2)
    house.put("gpu", OTHERS, age=3600, needs=["gpu"])
    house.put("report", OTHERS, age=3600, template="report_generation")
    mine = house.put("mine", 3, age=60)
    asked: list[dict[str, Any]] = []
    find = type(house.store._executions).find

    def recorded(self: Any, where: Any = None, fields: Any = None, **options: Any) -> Any:
        asked.append({"filter": where, **options})
        return find(self, where, fields, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.store._executions), "find", recorded)
        assert house.turns() == mine
    (waiting,) = [command for command in asked if command.get("hint") == BY_TEMPLATE]
    command = {"find": "job_executions", **waiting, "sort": {"queue_rank": 1}, "limit": 4}
    stats = store.database.command("explain", command, verbosity="executionStats")["executionStats"]
    assert stats["totalDocsExamined"] <= 4, stats
    assert stats["totalKeysExamined"] <= 20, stats
    taker = taker_of(["reports"], ("gpu",), ROUTES)
    assert [row.id for row in house.store.waiting(taker, clock.now(), 2)] == ["report0", "report1"]


def test_many_sets_of_labels_are_read_in_their_order(house: House, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> None:
    """More than one query finds."""
    monkeypatch.setattr(release_store, "MOST_SPANS", 4)
    labels = tuple(f"l{n}" for n in range(9))
    expected = [house.put(f"r{n}-", 1, age=1000 - n, needs=[labels[(n * 7) % 9]], template=f"t{n % 5}")[0] for n in range(20)]
    taker = taker_of(["default"], labels, ROUTES)
    assert [row.id for row in house.store.waiting(taker, clock.now(), 100)] == expected
    assert [row.id for row in house.store.waiting(taker, clock.now(), 7)] == expected[:7]


def test_a_mark_of_a_node_whose_clock_was_ahead_holds_nothing_up(house: House, clock: ManualClock) -> None:
    house.worker("plain", slots=2)
    ids = house.put("any", 1, age=60)
    taker = taker_of(["default"], (), ROUTES)

    def marked(at: datetime) -> list[str]:
        return house.store.mark(dict.fromkeys(ids, "q"), "turn", taker, at)

    assert marked(clock.now() + timedelta(hours=1)) == ids
    assert house.turns() == ids
    assert house.turns() == [], "its own mark holds"
    clock.advance(LONGEST_HOLD.total_seconds())
    house._workers.clear()
    house.worker("plain", slots=2)
    assert house.turns() == ids


def test_what_could_not_be_published_is_announced_when_the_broker_is_back(house: House) -> None:
    house.worker("plain", slots=2)
    ids = house.put("any", 3, age=60)
    house.published.away = True
    assert house.turns(3) == []
    assert house.rows.count_documents({"released": {"$exists": True}}) == 0
    house.published.away = False
    assert house.turns() == ids
