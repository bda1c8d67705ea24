"""How many items runs did."""

from __future__ import annotations

from typing import Any

import pytest

from app.execution.figures import Figures
from app.queue.execution import Outline
from app.queue.items import ItemCounts

SOME = {"itemsProcessed": 1200, "itemsSucceeded": 1198, "itemsFailed": 2}


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (SOME, (1200, 1198, 2)),
        ({**SOME, "message": "m"}, (1200, 1198, 2)),
        (None, None),
        ({}, None),
        ({"itemsProcessed": 3}, None),
        ({**SOME, "itemsFailed": "2"}, None),
        ({**SOME, "itemsFailed": -1}, None),
        ({**SOME, "itemsFailed": True}, None),
        ([1], None),
    ],
)
def test_the_counts_of_a_result(result: Any, counts: tuple[int, int, int] | None) -> None:
    items = ItemCounts.of_result(result)
    assert (None if items is None else (items.processed, items.succeeded, items.failed)) == counts


def test_the_counts_of_several_runs() -> None:
    rows = [Outline.from_row({"_id": str(n), "status": "success", "result": result}) for n, result in enumerate((SOME, None, SOME))]
    assert Figures.of(rows).items == ItemCounts(processed=2400, succeeded=2396, failed=4)
    assert Figures.of(rows[1:2]).items is None
