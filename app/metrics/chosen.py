"""The jobs that have metrics of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from app.clock import Clock
from app.jobs.records import LastRun
from app.metrics.service import Values
from app.queue.model import FAILURES

CHOSEN_SECONDS = 60.0  # to choose takes a look at every job, so it is done once in a while


class ChosenJobs:
    """Chooses jobs, and reads their last runs. One thread at a time may use it."""

    def __init__(
        self, *, choose: Callable[[], Sequence[str]], last_runs: Callable[[Collection[str]], Sequence[LastRun]], clock: Clock
    ) -> None:
        """`choose` returns the ids of the jobs."""
        self._choose, self._last_runs, self._clock = choose, last_runs, clock
        self._ids: Sequence[str] = ()
        self._chosen_at = float("-inf")

    def read(self) -> Values:
        """Returns the values of the jobs. The newest run decides: a job that failed and then succeeded does not fail."""
        now = self._clock.monotonic()
        if now - self._chosen_at >= CHOSEN_SECONDS:
            self._ids, self._chosen_at = self._choose(), now
        runs = self._last_runs(self._ids)
        return {
            "jobwright_job_failing": {(run.job_name,): float(run.status in FAILURES) for run in runs},
            "jobwright_job_last_run_timestamp_seconds": {(run.job_name,): run.began_at.timestamp() for run in runs if run.began_at},
        }
