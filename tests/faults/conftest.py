"""Processes of the service on a database of the test's own, and what their records must add up to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.support import KEY, Service

MINUTES = float(os.environ.get("JOBWRIGHT_FAULT_MINUTES", "0"))
LIVE = {"status": {"$in": ["queued", "running", "retrying"]}}


@pytest.fixture
def start(mongod: str, database_name: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a process of the service; all are killed at the end."""
    running: list[Service] = []

    def begin(command: str, **settings: str) -> Service:
        chosen = {"uri": mongod, **{key: settings.pop(key) for key in ("uri",) if key in settings}}
        service = Service(
            command,
            database=database_name,
            data_dir=tmp_path / uuid.uuid4().hex[:6],
            JOBWRIGHT_SECRET_KEY=KEY,
            warm=True,
            **chosen,
            **settings,
        )
        running.append(service)
        return service

    yield begin
    for service in running:
        service.stop(kill=True)


@pytest.fixture
def registry(mongod: str, database_name: str) -> Iterator[Any]:
    """The database that the processes share, as others see it."""
    with MongoClient(mongod, tz_aware=True, tzinfo=UTC) as client:
        yield client[database_name]
        client.drop_database(database_name)


def overlapping(lines: list[str]) -> list[str]:
    """Executions of which two attempts were alive at once, by the `start` and `end` lines that the attempts wrote themselves."""
    spans: dict[str, list[tuple[float, float]]] = {}
    starts: dict[tuple[str, str], float] = {}
    for line in lines:
        what, execution, attempt, _, at = line.split()
        if what == "start":
            starts[execution, attempt] = float(at)
        else:
            spans.setdefault(execution, []).append((starts[execution, attempt], float(at)))
    return [key for key, found in spans.items() if any(b[0] < a[1] for a, b in zip(sorted(found), sorted(found)[1:], strict=False))]
