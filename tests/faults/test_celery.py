"""Runs through Celery, over real brokers: what the broker loses or doubles, and what happens to whom it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders.brokers import Broker
from tests.builders.fleet import Fleet
from tests.support import Service

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def fleet(start: Callable[..., Service], mongod: str, database_name: str, tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes a fleet over a broker's address."""
    made: list[Fleet] = []

    def make(url: str, **settings: str) -> Fleet:
        made.append(Fleet(start, url, uri=mongod, database=database_name, folder=tmp_path, **settings))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_workers_run_what_a_scheduler_plans(broker: Broker, fleet: MakeFleet) -> None:
    house = fleet(broker.url)
    workers = [house.worker(), house.worker()]
    began = time.monotonic()
    house.put(house.job(), 500)
    house.wait_for(500)
    print(500 / (time.monotonic() - began), "runs/s")
    assert house.outcomes() == {"success": 500}
    owners = set(house.executions.distinct("attempts.worker"))
    assert len(owners) == 2
    assert [worker.stop() for worker in workers] == [0, 0]
    assert house.planner.stop() == 0
