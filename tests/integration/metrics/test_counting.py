"""Each ended execution is counted exactly once, by any number of nodes, whenever its end is written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clock import ManualClock
from app.execution.measured_store import MeasuredStore
from app.factory import Store
from app.jobs.usage_store import UsageStore
from app.metrics.counting import EVERY, LAG, STEADY_SECONDS, EndCounter
from app.metrics.ends import values_of
from app.metrics.totals_store import TotalsStore
from app.mongo import Document
from app.queue.model import Status
from tests.builders.jobs import stored_job
from tests.builders.queue import new_execution

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
JOB = stored_job("nightly", due_in=0)


class Counting:
    """A registry with nodes that count, all by one clock."""

    def __init__(self, store: Store) -> None:
        self.database, self.clock = store.database, ManualClock(START)
        self.totals = TotalsStore(self.database)
        self._number = 0

    def node(self) -> EndCounter:
        types = UsageStore(self.database).schedule_types
        return EndCounter(ends=MeasuredStore(self.database), totals=self.totals, types=types, now=self.clock.now, clock=self.clock)

    def steady(self) -> EndCounter:
        """A node that has looked for long enough."""
        node = self.node()
        node.tick()
        self.pass_time(node, LAG.total_seconds())
        return node

    def pass_time(self, node: EndCounter, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            node.tick()

    def end(self, count: int = 1, *, ago: float = 0.0, status: Status = Status.SUCCESS, **fields: Any) -> None:
        rows: list[Document] = []
        for _ in range(count):
            self._number += 1
            row = new_execution(
                JOB, now=self.clock.now() - timedelta(seconds=ago), status=status, execution_id=f"e{self._number}", **fields
            )
            rows.append(row.as_document())
        self.database["job_executions"].insert_many(rows)

    def counted(self) -> float:
        found = self.totals.read()
        series = values_of(found.counts if found else {})["schedule_executions_total"]
        return sum(float(count) for count in series.values() if isinstance(count, float | int))


@pytest.fixture
def counting(store: Store) -> Counting:
    return Counting(store)


def test_ends_are_counted_once_with_any_number_of_nodes(counting: Counting) -> None:
    nodes = [counting.steady(), *(counting.node() for _ in range(3))]
    for node in nodes:
        node.tick()
    for _ in range(12):
        counting.end(50)
        counting.clock.advance(7)
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(lambda node: node.tick(), nodes))
    assert 0 < counting.counted() < 600
    for _ in range(12):
        counting.clock.advance(5)
        for node in nodes:
            node.tick()
    assert counting.counted() == 600


def test_an_end_that_is_written_late_is_counted(counting: Counting) -> None:
    node = counting.steady()
    counting.end(ago=0)
    counting.pass_time(node, 10)
    counting.end(3, ago=LAG.total_seconds() - EVERY.total_seconds())
    counting.pass_time(node, 60)
    assert counting.counted() == 4


def test_after_an_outage_what_was_held_up_is_waited_for(counting: Counting) -> None:
    node = counting.steady()
    counting.clock.advance(600)  # the database was away, and no tick passed
    counting.end(ago=1)
    node.tick()
    counting.clock.advance(5)
    counting.end(2, ago=600 + LAG.total_seconds() - EVERY.total_seconds())  # planned before, written by whoever recovers it
    counting.pass_time(node, LAG.total_seconds() + STEADY_SECONDS)
    assert counting.counted() == 3


def test_what_ended_before_the_first_count_is_not_counted(counting: Counting) -> None:
    counting.end(5, ago=3600)
    node = counting.steady()
    counting.pass_time(node, 60)
    assert counting.counted() == 0


def test_what_is_read_of_an_end(counting: Counting) -> None:
    lost = {"number": 1, "started_at": START, "status": "failed", "reason": "lost_worker", "error": None}
    good = {"number": 2, "started_at": START, "status": "success", "error": None}
    row = new_execution(JOB, now=START, status=Status.SUCCESS, execution_id="e", scheduled_for=START - timedelta(seconds=4)).as_document()
    counting.database["job_executions"].insert_one({**row, "attempts": [lost, good], "started_at": START, "duration_seconds": 7.5})
    (end,) = MeasuredStore(counting.database).ended(START - EVERY, START)
    assert (end.job_id, end.template, end.status, end.due_times) == (JOB.id, "noop", "success", 1)
    assert (end.attempts, end.lost, end.seconds, end.delay) == (2, 1, 7.5, 4.0)


def test_the_time_is_that_of_the_database(counting: Counting) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    assert before < counting.totals.database_time() < before + timedelta(minutes=1)


def test_a_restart_changes_nothing_and_previews_do_not_count(counting: Counting) -> None:
    node = counting.steady()
    counting.end(4)
    counting.end(2, dry=True)
    counting.pass_time(node, 40)
    assert counting.counted() == 4
    counting.pass_time(counting.node(), 80)
    assert counting.counted() == 4
