"""Unit tests need no server: their registry is in memory."""

from __future__ import annotations

import pytest

from app.factory import Store
from tests.builders.memory import memory_store


@pytest.fixture
def store() -> Store:
    return memory_store()
