"""A service that is killed while an archive runs: the next one goes on, and each document is there once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support import Service, eventually

COUNT, RECENT = 40_000, 500


@pytest.mark.parametrize("to", ["collection", "files"])
def test_an_archive_survives_kill_9(to: str, mongod: str, database_name: str, tmp_path: Path) -> None:
    shop, store = f"{database_name}_shop", tmp_path / "store"
    now = datetime.now(UTC)
    with MongoClient(mongod, tz_aware=True) as mongo:
        rows = [{"_id": n, "at": now - timedelta(days=1 if n < RECENT else 400), "text": "x" * 200} for n in range(COUNT + RECENT)]
        mongo[shop]["orders"].insert_many(rows)
        first = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "d", warm=True).wait_ready()
        services = [first]
        try:
            with first.client(first.token()) as client:
                for name, kind, settings in (
                    ("db", "mongodb", {"uri": mongod, "database": shop}),
                    ("files", "file_store", {"path": str(store)}),
                ):
                    client.post("/api/admin/connections", json={"name": name, "kind": kind, "settings": settings}).raise_for_status()
                where: dict[str, Any] = (
                    {"target_collection": "old", "batch_size": 200}
                    if to == "collection"
                    else {"destination": {"connection": "files", "path": "orders"}}
                )
                parameters = {
                    "connection": "db",
                    "collection": "orders",
                    "condition": {"at": {"$lt": "1 year ago"}},
                    "to": to,
                    "dryRun": False,
                    **where,
                }
                retries = {"max_retries": 3, "retry_delay_seconds": 0, "backoff": "fixed"}
                body = {"name": "archive", "template_type": "data_archive", "parameters": parameters, "retry_policy": retries}
                job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
                run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
            half_way = lambda: 1000 < COUNT + RECENT - mongo[shop]["orders"].estimated_document_count() < COUNT
            eventually(half_way, every=0.005)
            first.stop(kill=True)
            services.append(Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "d", warm=True).wait_ready())
            with services[1].client(services[1].token()) as client:
                ended = lambda: (found := client.get(f"/api/admin/job-executions/{run}").json()["execution"])["completed_at"] and found
                execution = eventually(ended)
            assert execution["status"] == "success", execution
            assert len(execution["attempts"]) == 2
            assert execution["attempts"][1]["usage"]["max_memory_mb"] < 300
            assert sorted(row["_id"] for row in mongo[shop]["orders"].find({}, {"_id": 1})) == list(range(RECENT))
            archived = [row["_id"] for row in mongo[shop]["old"].find({}, {"_id": 1})]
            ids = _in_files(store) if to == "files" else archived
            assert len(ids) == COUNT
            assert sorted(ids) == list(range(RECENT, COUNT + RECENT))
        finally:
            for service in services:
                service.stop()
        mongo.drop_database(shop)
        mongo.drop_database(database_name)


def _in_files(store: Path) -> list[int]:
    import gzip
    import json

    lines = [line for path in store.rglob("*.jsonl.gz") for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [int(json.loads(line)["_id"]["$numberInt"]) for line in lines]
