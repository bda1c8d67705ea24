"""Every store has a contract."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.unit.project.sources import ROOT, sources

# Executions and what they owe are claimed, leased and ended by many at once, and counted by large aggregations: their stores are tested on
# the real mongod alone (tests/integration/queue, tests/integration/execution, tests/integration/metrics, tests/integration/notification).
ON_A_SERVER = {"EndStore", "HistoryStore", "MeasuredStore", "StatisticsStore", "OutboxStore", "ReviewStore"}


def test_every_store_has_a_contract() -> None:
    files = [path for path in sources("app") if path.name == "store.py" or path.name.endswith("_store.py")]
    stores = {
        node.name
        for path in files
        if ROOT / "app" / "queue" not in path.parents
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Store")
    }
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*stores.py"))
    assert {name for name in stores - ON_A_SERVER if f"{name}(database)" not in tested} == set()
