"""The list of differences between mongomock and MongoDB is true: each of them is tried on both."""

from __future__ import annotations

import pytest
from pymongo.database import Database

from app.mongo import Document
from tests.contract.conftest import MEMORY
from tests.contract.differences import DIFFERENCES


@pytest.mark.parametrize("name", DIFFERENCES)
def test_mongod_does_it_and_mongomock_does_not(database: Database[Document], engine: str, name: str) -> None:
    difference = DIFFERENCES[name]
    try:
        result = difference.attempt(database)
    except Exception:
        if engine != MEMORY:
            raise
        return
    assert (result == difference.expected) is (engine != MEMORY), difference.reason
