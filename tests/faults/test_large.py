"""Large collections: an export, an archive and a cleanup, each killed with -9 in the middle; memory is bounded, progress is true, and
after the retry each document is where it belongs, once. A million documents in the long run (`make faults`), a tenth of it else."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.faults.conftest import MINUTES
from tests.support import Service, eventually

COUNT = 1_000_000 if MINUTES else 100_000
RECENT = 1_000  # too young for the archive and the cleanup
MOST_MEMORY_MB = 250
SECONDS = 900.0 if MINUTES else 180.0
CONDITION = {"at": {"$lt": "1 year ago"}}


@pytest.fixture
def shop(mongod: str, database_name: str) -> Iterator[Any]:
    """COUNT old documents and RECENT new ones."""
    with MongoClient(mongod, tz_aware=True) as client:
        database, now = client[f"{database_name}_shop"], datetime.now(UTC)
        for first in range(0, COUNT + RECENT, 20_000):
            rows = range(first, min(first + 20_000, COUNT + RECENT))
            database["orders"].insert_many(
                [{"_id": n, "at": now - timedelta(days=1 if n < RECENT else 400), "text": f"{n:010}" * 6} for n in rows], ordered=False
            )
        database["orders"].create_index("at")
        yield database
        client.drop_database(database.name)


class Killed:
    """A job that runs on a service that is killed half-way, and on the next one."""

    def __init__(self, shop: Any, uri: str, database: str, folder: Path) -> None:
        self.shop, self.store = shop, folder / "store"
        self._start = lambda: Service(
            "serve", uri=uri, database=database, data_dir=folder / "d", warm=True, JOBWRIGHT_JOB_MEMORY_MB="512"
        ).wait_ready()
        self._uri = uri
        self.steps: list[tuple[int, int]] = []

    def run(self, kind: str, parameters: dict[str, Any], half_way: Callable[[], bool]) -> dict[str, Any]:
        services = [self._start()]
        try:
            with services[0].client(services[0].token()) as client:
                for name, connection, settings in (
                    ("db", "mongodb", {"uri": self._uri, "database": self.shop.name}),
                    ("files", "file_store", {"path": str(self.store)}),
                ):
                    client.post("/api/admin/connections", json={"name": name, "kind": connection, "settings": settings}).raise_for_status()
                retries = {"max_retries": 3, "retry_delay_seconds": 0, "backoff": "fixed"}
                body = {
                    "name": kind,
                    "template_type": kind,
                    "parameters": parameters,
                    "retry_policy": retries,
                    "schedule": {"type": "manual"},
                }
                job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
                run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
                look = lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]
                eventually(lambda: self._note(look()) and half_way(), seconds=SECONDS, every=0.01)
            services[0].stop(kill=True)
            services.append(self._start())
            with services[1].client(services[1].token()) as client:
                again = lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]
                execution: dict[str, Any] = eventually(
                    lambda: (found := self._note(again()))["completed_at"] and found, seconds=SECONDS, every=0.05
                )
        finally:
            for service in services:
                service.stop(kill=True)
        assert execution["status"] == "success", execution["error"]
        assert len(execution["attempts"]) == 2
        assert execution["attempts"][1]["usage"]["max_memory_mb"] < MOST_MEMORY_MB
        return execution

    def _note(self, execution: dict[str, Any]) -> dict[str, Any]:
        progress = execution["progress"]
        if progress and progress["total"]:
            self.steps.append((len(execution["attempts"]), progress["done"]))
            assert progress["done"] <= progress["total"] <= COUNT + RECENT
        return execution

    def progressed(self) -> bool:
        """The last that was told of the first attempt is somewhere in the middle."""
        return bool(self.steps) and COUNT / 10 < self.steps[-1][1] < COUNT * 0.9


@pytest.fixture
def killed(shop: Any, mongod: str, database_name: str, tmp_path: Path) -> Iterator[Killed]:
    yield Killed(shop, mongod, database_name, tmp_path)
    with MongoClient(mongod) as client:
        client.drop_database(database_name)


def left(shop: Any) -> int:
    return int(shop["orders"].estimated_document_count())


def test_an_export(killed: Killed) -> None:
    parameters = {
        "connection": "db",
        "collection": "orders",
        "fields": ["_id", "text"],
        "format": "jsonl",
        "compress": "gzip",
        "destination": {"connection": "files", "path": "orders.jsonl"},
    }
    execution = killed.run("data_export", parameters, killed.progressed)
    assert os.listdir(killed.store) == ["orders.jsonl.gz"], "nothing half-written is left"  # noqa: PTH208 - names only
    with gzip.open(killed.store / "orders.jsonl.gz") as lines:
        ids = [json.loads(line)["_id"] for line in lines]
    assert sorted(ids) == list(range(COUNT + RECENT))
    assert execution["result"]["records_processed"] == COUNT + RECENT
    done = [step for attempt, step in killed.steps if attempt == 1]
    assert done == sorted(done)


def test_an_archive(killed: Killed) -> None:
    parameters = {
        "connection": "db",
        "collection": "orders",
        "condition": CONDITION,
        "to": "collection",
        "target_collection": "old",
        "dryRun": False,
        "max_documents": COUNT + RECENT,
    }
    killed.run("data_archive", parameters, lambda: COUNT * 0.1 < COUNT + RECENT - left(killed.shop) < COUNT * 0.9)
    assert sorted(row["_id"] for row in killed.shop["orders"].find({}, {"_id": 1})) == list(range(RECENT))
    assert sorted(row["_id"] for row in killed.shop["old"].find({}, {"_id": 1})) == list(range(RECENT, COUNT + RECENT))
    assert killed.shop["old"].find_one({"_id": COUNT})["text"] == f"{COUNT:010}" * 6


def test_a_cleanup(killed: Killed) -> None:
    parameters = {"connection": "db", "collection": "orders", "condition": CONDITION, "dryRun": False, "max_deletes": COUNT + RECENT}
    execution = killed.run("database_cleanup", parameters, lambda: COUNT * 0.1 < COUNT + RECENT - left(killed.shop) < COUNT * 0.9)
    assert sorted(row["_id"] for row in killed.shop["orders"].find({}, {"_id": 1})) == list(range(RECENT))
    deleted = [attempt["number"] for attempt in execution["attempts"]]
    assert deleted == [1, 2]
    assert 0 < execution["result"]["records_deleted"] < COUNT, "the second attempt deletes what the first has left"
