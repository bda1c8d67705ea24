"""The machine of each file of guides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.guides.machine import Machine, machine_of


@pytest.fixture(scope="module")
def machine(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine_of(mongod, tmp_path_factory.mktemp("machine")) as made:
        yield made
