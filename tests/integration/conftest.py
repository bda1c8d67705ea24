"""What tests of kinds share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.factory import Store
from templates_lib.base import ConnectionGrant
from tests.running import Ctx, Data


@pytest.fixture
def data(mongod: str, database_name: str, store: Store) -> Iterator[Data]:
    name = f"{database_name}_d"
    yield store.client[name]
    store.client.drop_database(name)


@pytest.fixture
def ctx(tmp_path: Path, mongod: str, data: Data) -> Ctx:
    files = tmp_path / "scratch"
    files.mkdir()
    return Ctx(
        files,
        {
            "db": ConnectionGrant("db", "mongodb", {"uri": mongod, "database": data.name}),
            "files": ConnectionGrant("files", "file_store", {"path": str(tmp_path / "store")}),
        },
    )
