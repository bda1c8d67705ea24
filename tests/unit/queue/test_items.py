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
        ({"message": "m", "errors": 1}, None),
        ({"itemsProcessed": 3}, (3, 3, 0)),
        ({"itemsFailed": 3}, (3, 0, 3)),
        ({"itemsSucceeded": 3, "itemsFailed": 1}, (4, 3, 1)),
        ({"itemsProcessed": 3, "itemsFailed": 4}, (3, 0, 4)),
        ({"records_processed": 60, "errors": 0}, (60, 60, 0)),
        ({"records_processed": 150, "items_succeeded": 145, "items_failed": 5}, (150, 145, 5)),
        ({**SOME, "records_processed": 9, "items_failed": 9}, (1200, 1198, 2)),
        ({"itemsProcessed": "12", "records_processed": 9}, (9, 9, 0)),
        ({**SOME, "itemsFailed": "2"}, (1200, 1198, 0)),
        ({"itemsFailed": -1}, None),
        ({"itemsFailed": True}, None),
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
