"""The two databases on which each store must behave alike."""

from __future__ import annotations

import pytest
from pymongo.database import Database

from app.factory import Store
from app.mongo import Document
from tests.builders.memory import memory_store

MEMORY, SERVER = "mongomock", "mongod"


@pytest.fixture(params=[MEMORY, SERVER])
def engine(request: pytest.FixtureRequest) -> str:
    """Which of the two a test runs on. What `differs` on mongomock is expected to fail there (tests/contract/differences.py)."""
    differs = request.node.get_closest_marker("differs")
    if differs is not None and request.param == MEMORY:
        request.applymarker(pytest.mark.xfail(strict=True, reason=f"mongomock: {differs.args[0]}"))
    return str(request.param)


@pytest.fixture
def database(engine: str, request: pytest.FixtureRequest) -> Database[Document]:
    """An empty, migrated registry: in memory, or on the real mongod."""
    store: Store = memory_store() if engine == MEMORY else request.getfixturevalue("store")
    return store.database
