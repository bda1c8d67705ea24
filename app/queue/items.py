"""How many items a run did, as the result of its template or the answer of its service counts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

# Where a result says how many: the member of a service's answer, else that of a template.
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "processed": ("itemsProcessed", "records_processed"),
    "succeeded": ("itemsSucceeded", "items_succeeded"),
    "failed": ("itemsFailed", "items_failed"),
}
COUNTS = tuple(name for names in MEMBERS.values() for name in names)
ITEM_FIELDS = tuple(f"result.{name}" for name in COUNTS)  # what a query asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCounts:
    """Items of one run, or of several together."""

    processed: int = 0
    succeeded: int = 0
    failed: int = 0

    @classmethod
    def of_result(cls, result: Any) -> Self | None:
        """The counts in the result of a run; None if it has none. Those that it leaves out follow from the others: each item that was
        processed succeeded or failed."""
        given = {what: _first_count(result, names) for what, names in MEMBERS.items()} if isinstance(result, Mapping) else {}
        if all(count is None for count in given.values()):
            return None
        failed = given["failed"] or 0
        processed = (given["succeeded"] or 0) + failed if given["processed"] is None else given["processed"]
        succeeded = max(0, processed - failed) if given["succeeded"] is None else given["succeeded"]
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


def _first_count(result: Mapping[str, Any], names: Iterable[str]) -> int | None:
    values = (result.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value >= 0), None)
