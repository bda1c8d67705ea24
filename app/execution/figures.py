"""What some executions come to: how many of them succeed, how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from app.queue.execution import Outline
from app.queue.items import ItemCounts
from app.queue.model import FAILURES, Status

ENOUGH = 20  # successes, for the time that 95 of 100 take


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`success` is the share, 0 to 1, of those that ran to an end; the seconds are of those that succeeded; `items` are those of all
    together. None where there are none."""

    success: float | None
    median_seconds: float | None
    p95_seconds: float | None
    items: ItemCounts | None = None

    @classmethod
    def of(cls, rows: Sequence[Outline]) -> Figures:
        good = [row for row in rows if row.status == Status.SUCCESS]
        ran = len(good) + sum(row.status in FAILURES for row in rows)
        spans = [row.duration_seconds for row in good if row.duration_seconds is not None]
        return cls(
            success=len(good) / ran if ran else None,
            median_seconds=median(spans) if spans else None,
            p95_seconds=quantiles(spans, n=20)[-1] if len(spans) >= ENOUGH else None,
            items=ItemCounts.sum_of(row.items for row in rows),
        )
