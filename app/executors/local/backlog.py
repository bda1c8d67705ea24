"""The runs that the local executor holds, and the decisions about them: how many it takes, and which process a run goes to.

It takes short runs ahead (read-ahead), so that they do not wait for the database. It lines them up in reused processes, so that these
do not wait for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence, Sized
from enum import Enum
from typing import Protocol, TypeVar

from app.executors.base import Run
from app.queue.model import Attempt

AHEAD_SECONDS = 0.1  # as many runs are taken ahead as are worth so much time
MOST_AHEAD = 500
SMOOTHING = 0.05  # the share of each run in the mean duration
SHORT_SECONDS = 0.005  # runs that are shorter in the mean are lined up
LINED_UP = 16  # runs that a reused process has at most, the current one included


class Placement(Enum):
    """Where a run goes that goes to no existing process."""

    FORK = "fork"  # to a new process
    WAIT = "wait"  # it stays in the backlog


class Candidate(Protocol):
    """What `choose` looks at of a process."""

    @property
    def load(self) -> str:
        """The class of its template."""

    @property
    def reused(self) -> bool:
        """Whether it runs several attempts, one after the other."""

    @property
    def closing(self) -> bool:
        """Whether it takes no further runs."""

    @property
    def runs(self) -> Sized:
        """The runs that it has."""
        ...


CandidateT = TypeVar("CandidateT", bound=Candidate)


# -- decisions ---------------------------------------------------------------------------------------------------------


def read_ahead(pool_size: int, mean_seconds: float | None) -> int:
    """Returns how many runs are taken ahead of the processes that are free: as many as `pool_size` processes end in AHEAD_SECONDS.

    `mean_seconds` is the mean duration of the runs so far; None if there were none. Of 4 processes and runs of 1 ms: 400; of runs of
    50 ms: 8; of runs of 0.1 s and more: none.
    """
    if mean_seconds is None or mean_seconds >= AHEAD_SECONDS:
        return 0
    return min(MOST_AHEAD, int(pool_size * AHEAD_SECONDS / max(mean_seconds, 1e-6)))


def capacity(pool_size: int, held: int, mean_seconds: float | None) -> int:
    """Returns how many more runs the executor takes, which holds `held`.

    Without a free process it takes none until a quarter of the read-ahead is empty, so that a claim is worth its round trip.
    """
    ahead = read_ahead(pool_size, mean_seconds)
    room = pool_size + ahead - held
    return room if room > ahead // 4 else 0


def are_short(mean_seconds: float | None) -> bool:
    """Returns whether runs are so short that a process should have its next one before it has ended the current one."""
    return mean_seconds is not None and 0.0 < mean_seconds < SHORT_SECONDS


def line_up(lined_up: int, waiting: int, pool_size: int) -> int:
    """Returns how many runs a reused process with `lined_up` runs gets at once.

    It gets a fair share of the runs that wait behind the first, so that the other processes have some too, and at least one.
    """
    return max(1, min(LINED_UP - lined_up, waiting // pool_size))


def choose(run: Run, processes: Iterable[CandidateT], *, pool_size: int, mean_seconds: float | None) -> CandidateT | Placement:
    """Returns the process that the run goes to.

    1. A run with a process of its own gets one while fewer than `pool_size` processes are busy.
    2. A run of a reusable template goes to an idle process of that template, or to a new one, on the same condition.
    3. If all are busy and runs are short, it is lined up in the process with the fewest runs, if that has at most half of LINED_UP.
    """
    there = list(processes)
    busy = sum(1 for process in there if len(process.runs) or not process.reused)
    free = busy < pool_size
    if not run.reused:
        return Placement.FORK if free else Placement.WAIT
    warm = [process for process in there if process.reused and process.load == run.load and not process.closing]
    if free:
        return next((process for process in warm if not len(process.runs)), Placement.FORK)
    if warm and are_short(mean_seconds):
        shortest = min(warm, key=lambda process: len(process.runs))
        if len(shortest.runs) <= LINED_UP // 2:
            return shortest
    return Placement.WAIT


def smoothed(mean_seconds: float | None, seconds: float) -> float:
    """Returns the mean duration after one more run, as an exponential moving average."""
    return seconds if mean_seconds is None else mean_seconds + SMOOTHING * (seconds - mean_seconds)


# -- the runs ----------------------------------------------------------------------------------------------------------


class Backlog:
    """The runs that the executor holds. Any thread may call it; times are seconds of time.monotonic."""

    def __init__(self, pool_size: int) -> None:
        self._pool_size = pool_size
        self._lock = threading.Lock()
        self._held: dict[str, Attempt] = {}
        self._not_begun: set[str] = set()  # of those that are held
        self._waiting: deque[tuple[float, Run]] = deque()  # each with the time at which it came
        self._mean_seconds: float | None = None

    @property
    def mean_seconds(self) -> float | None:
        """The mean duration of the runs so far; None if it is not known."""
        with self._lock:
            return self._mean_seconds

    def capacity(self) -> int:
        """Returns how many more runs the executor takes."""
        with self._lock:
            return capacity(self._pool_size, len(self._held), self._mean_seconds)

    def held(self) -> dict[str, Attempt]:
        """Returns all attempts without an end, by execution id."""
        with self._lock:
            return dict(self._held)

    def running(self) -> int:
        """Returns how many runs have begun and not ended."""
        with self._lock:
            return len(self._held) - len(self._not_begun)

    def has_not_begun(self) -> bool:
        """Returns whether it holds runs that have not begun."""
        with self._lock:
            return bool(self._not_begun)

    def add(self, runs: Sequence[Run], now: float) -> None:
        """Puts runs behind those that wait."""
        with self._lock:
            self._held.update({run.attempt.execution_id: run.attempt for run in runs})
            self._not_begun.update(run.attempt.execution_id for run in runs)
            self._waiting.extend((now, run) for run in runs)

    def add_first(self, runs: Sequence[Run], now: float) -> None:
        """Puts runs back before those that wait: their processes have not begun them."""
        with self._lock:
            self._waiting.extendleft((now, run) for run in reversed(runs))

    def first(self) -> Run | None:
        """Returns the run that has waited longest; None if none waits."""
        with self._lock:
            return self._waiting[0][1] if self._waiting else None

    def take(self, first: Run, *, lined_up: int | None = None) -> list[Run]:
        """Removes `first` from those that wait, and returns it. Returns nothing if it is no longer the first.

        With `lined_up`, the number of runs that its reused process has, the runs of the same template that follow it come along if runs
        are short (`line_up`).
        """
        with self._lock:
            if not self._waiting or self._waiting[0][1] is not first:
                return []
            runs = [self._waiting.popleft()[1]]
            if lined_up is None or not are_short(self._mean_seconds):
                return runs
            most = line_up(lined_up, len(self._waiting), self._pool_size)
            while len(runs) < most and self._waiting and self._waiting[0][1].reused and self._waiting[0][1].load == first.load:
                runs.append(self._waiting.popleft()[1])
            return runs

    def remove(self, execution_id: str) -> Run | None:
        """Removes a run from those that wait, and returns it; None if it does not wait. It stays held until `note_end`."""
        with self._lock:
            for item in self._waiting:
                if item[1].attempt.execution_id == execution_id:
                    self._waiting.remove(item)
                    return item[1]
            return None

    def release(self, waited_seconds: float, now: float) -> list[Attempt]:
        """Removes all runs that wait, if the first of them has waited so long. Returns their attempts; they are no longer held."""
        with self._lock:
            if not self._waiting or self._waiting[0][0] > now - waited_seconds:
                return []
            attempts = [run.attempt for _, run in self._waiting]
            self._waiting.clear()
            for attempt in attempts:
                del self._held[attempt.execution_id]
                self._not_begun.discard(attempt.execution_id)
            self._mean_seconds = None  # it let too many come
            return attempts

    def note_begun(self, execution_id: str) -> None:
        """The run has begun."""
        with self._lock:
            self._not_begun.discard(execution_id)

    def note_end(self, execution_id: str, seconds: float) -> None:
        """The run has ended after so long, and is no longer held."""
        with self._lock:
            self._held.pop(execution_id, None)
            self._not_begun.discard(execution_id)
            self._mean_seconds = smoothed(self._mean_seconds, seconds)
