"""The two databases on which each store must behave alike, and the brokers through which workers are told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from app.factory import Store
from app.mongo import Document
from tests.builders.brokers import Rabbit, Redis, running
from tests.builders.lines import LineMaker, Lines, need_celery
from tests.builders.memory import memory_store

BROKERS = {"celery-redis": "redis_lines", "celery-rabbitmq": "rabbit_lines"}
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


@pytest.fixture(scope="session")
def redis_lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    """Lines to workers over one Redis."""
    need_celery()
    with running(Redis(tmp_path_factory.mktemp("redis"))) as broker:
        lines = Lines(broker.url)
        yield lines
        lines.close()


@pytest.fixture(scope="session")
def rabbit_lines(request: pytest.FixtureRequest) -> Iterator[Lines]:
    """Lines to workers over the RabbitMQ of all tests."""
    need_celery()
    rabbit: Rabbit = request.getfixturevalue("rabbit")
    lines = Lines(rabbit.url)
    yield lines
    lines.close()


@pytest.fixture
def line_maker(request: pytest.FixtureRequest) -> Iterator[LineMaker]:
    """Gives the lines of a kind of source; None for those without a broker. Each test finds them empty."""
    used: list[Lines] = []

    def lines_of(kind: str) -> Lines | None:
        if kind not in BROKERS:
            return None
        used.append(request.getfixturevalue(BROKERS[kind]))
        return used[-1]

    yield lines_of
    for lines in used:
        lines.forget()
