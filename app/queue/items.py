"""How many items a run did, as the services that do the work count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

# The members of a result that count, and what a query asks for.
COUNTS = ("itemsProcessed", "itemsSucceeded", "itemsFailed")
ITEM_FIELDS = tuple(f"result.{name}" for name in COUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCounts:
    """Items of one run, or of several together."""

    processed: int
    succeeded: int
    failed: int

    @classmethod
    def of_result(cls, result: Any) -> Self | None:
        """The counts in the result of a run; None if it has none."""
        if not isinstance(result, Mapping):
            return None
        processed, succeeded, failed = (_count(result.get(name)) for name in COUNTS)
        if processed is None or succeeded is None or failed is None:
            return None
        return cls(processed=processed, succeeded=succeeded, failed=failed)

    @classmethod
    def sum_of(cls, counts: Iterable[ItemCounts | None]) -> Self | None:
        """The counts of several runs together; None if none of them counts."""
        known = [count for count in counts if count is not None]
        if not known:
            return None
        return cls(
            processed=sum(count.processed for count in known),
            succeeded=sum(count.succeeded for count in known),
            failed=sum(count.failed for count in known),
        )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
