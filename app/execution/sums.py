"""What the executions of a job come to, and the items that their results report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.queue.model import FAILURES, Status

# Where the result of an execution says how many items it worked on: the member of a service's answer, else that of a template.
ITEM_FIELDS: Mapping[str, tuple[str, ...]] = {
    "processed": ("itemsProcessed", "records_processed"),
    "succeeded": ("itemsSucceeded", "items_succeeded"),
    "failed": ("itemsFailed", "items_failed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """How many items one execution worked on."""

    processed: int = 0
    succeeded: int = 0
    failed: int = 0

    @classmethod
    def of(cls, result: Mapping[str, Any] | None) -> Items:
        """Returns the counts that a result reports; 0 for those that it does not report."""
        return cls(**{what: _first_count(result or {}, names) for what, names in ITEM_FIELDS.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """How many executions of a job have which status, and what they did. `seconds` is the sum of the durations of those that succeeded."""

    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    items: Items = field(default_factory=Items)

    @property
    def successful(self) -> int:
        return self.counts.get(Status.SUCCESS.value, 0)

    @property
    def failed(self) -> int:
        return sum(self.counts.get(status.value, 0) for status in FAILURES)

    @property
    def total(self) -> int:
        """The number of executions that ran, or run; those that were skipped or missed did not."""
        not_run = {Status.SKIPPED.value, Status.MISSED.value}
        return sum(count for status, count in self.counts.items() if status not in not_run)

    @property
    def success_rate(self) -> float | None:
        """The share, 0 to 1, of those that ran to an end of their own; None if there are none."""
        ran = self.successful + self.failed
        return self.successful / ran if ran else None

    @property
    def average_seconds(self) -> float | None:
        """The mean duration of those that succeeded; None if there are none."""
        return self.seconds / self.successful if self.successful else None

    def plus(self, status: str, count: int, seconds: float, *, items_processed: int, items_succeeded: int, items_failed: int) -> Sums:
        """Returns the sums with those of one more status."""
        return Sums(
            counts={**self.counts, status: self.counts.get(status, 0) + count},
            seconds=self.seconds + (seconds if status == Status.SUCCESS else 0.0),
            items=Items(
                processed=self.items.processed + items_processed,
                succeeded=self.items.succeeded + items_succeeded,
                failed=self.items.failed + items_failed,
            ),
        )


def _first_count(result: Mapping[str, Any], names: tuple[str, ...]) -> int:
    values = (result.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value >= 0), 0)
