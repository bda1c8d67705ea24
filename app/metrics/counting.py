"""Counts each execution that ends, exactly once, for the totals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from app.clock import Clock
from app.execution.measured_store import MeasuredStore
from app.metrics.ends import added, templates_in
from app.metrics.totals_store import TotalsStore

# An end is written within this time of the instant that it names: writes take a while, and clocks of nodes differ.
LAG = timedelta(seconds=30)
STEP = timedelta(seconds=10)  # that one compare-and-set moves on
EVERY = timedelta(seconds=5)  # so that of several nodes one does the work
STEADY_SECONDS = 20.0  # without a look for so long, ends may be on their way that are older than LAG


class EndCounter:
    """Walks over time, some seconds behind it, and adds what has ended:

    1. The totals say until when all ends are counted.
    2. The ends of the next STEP are read, by the index on `completed_at`.
    3. They are added, and the totals say the later instant, in one compare-and-set. If another node has done that, this one looks again.

    No write of an end does anything for this, so none can be forgotten: whatever ends an execution, on whatever way, it is counted. A node
    that begins, or had no database for a while, waits for LAG: those that were held up write first.
    """

    def __init__(
        self,
        *,
        ends: MeasuredStore,
        totals: TotalsStore,
        types: Callable[[Collection[str]], Mapping[str, str]],
        now: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        """`types` finds the type of schedule of jobs, by id. `now` is the time of the database: a node whose clock is wrong would walk past
        ends that others are about to write."""
        self._ends, self._totals, self._types, self._now, self._clock = ends, totals, types, now, clock
        self._looked_at, self._steady_since = float("-inf"), float("-inf")

    def tick(self) -> int:
        """Adds what has ended; returns how many steps were made. Raises where the database is away."""
        totals = self._totals.read()
        now, monotonic = self._now(), self._clock.monotonic()
        if monotonic - self._looked_at > STEADY_SECONDS:
            self._steady_since = monotonic
        self._looked_at = monotonic
        if totals is None:
            self._totals.begin(now)
            return 0
        until, counts, steps = totals.until, dict(totals.counts), 0
        if monotonic - self._steady_since < LAG.total_seconds() or now - LAG - until < EVERY:
            return 0
        while (first := self._ends.first_end_after(until)) is not None and first <= now - LAG:
            end = min(max(first, until) + STEP, now - LAG)
            ended = list(self._ends.ended(until, end))
            more = added(ended, types=self._types({one.job_id for one in ended}), templates=templates_in(counts))
            if not self._totals.add(more, after=until, until=end):
                return steps
            until, steps = end, steps + 1
            counts |= more  # which templates have a series is all that is asked of it
        return steps
