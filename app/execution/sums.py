"""What the executions of a job come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.queue.items import ItemCounts
from app.queue.model import FAILURES, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """How many executions of a job have which status, and what they did. `seconds` is the sum of the durations of those that succeeded."""

    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    items: ItemCounts | None = None

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

    def plus(self, status: str, count: int, seconds: float, items: ItemCounts | None) -> Sums:
        """Returns the sums with those of one more status."""
        return Sums(
            counts={**self.counts, status: self.counts.get(status, 0) + count},
            seconds=self.seconds + (seconds if status == Status.SUCCESS else 0.0),
            items=ItemCounts.sum_of((self.items, items)),
        )
