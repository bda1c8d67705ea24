"""What one process counts of itself: requests, mails, calls of services. Counts begin at 0 with the process."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

# Upper bounds of the buckets of every histogram, in seconds; the last bucket takes the rest.
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

Labels = tuple[str, ...]  # the values of the labels of a metric, in the order of app.metrics.catalogue


@dataclass(slots=True)
class Times:
    """How often something took how long. `counts` has one number for each of BUCKETS and one for the rest; `seconds` is the sum."""

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration. A negative one, as clocks differ, counts as 0."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += max(0.0, seconds)

    def copy(self) -> Times:
        return Times(list(self.counts), self.seconds)


class Measures:
    """Counters and histograms by name and labels; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[Labels, float]] = {}
        self._times: dict[str, dict[Labels, Times]] = {}

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Adds `by` to a counter."""
        with self._lock:
            counts = self._counts.setdefault(name, {})
            counts[labels] = counts.get(labels, 0.0) + by

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """Adds a duration to a histogram."""
        with self._lock:
            self._times.setdefault(name, {}).setdefault(labels, Times()).add(seconds)

    def counts(self) -> Mapping[str, Mapping[Labels, float]]:
        """Returns a copy of the counters."""
        with self._lock:
            return {name: dict(counts) for name, counts in self._counts.items()}

    def times(self) -> Mapping[str, Mapping[Labels, Times]]:
        """Returns a copy of the histograms."""
        with self._lock:
            return {name: {labels: times.copy() for labels, times in by_labels.items()} for name, by_labels in self._times.items()}
