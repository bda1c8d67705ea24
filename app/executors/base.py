"""What every executor promises."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.queue.model import Attempt, Outcome
from templates_lib.connections import KINDS
from templates_lib.own import Own


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt with all that its process is told: decrypted parameters and connections included. Never stored, never logged."""

    attempt: Attempt
    parameters: Mapping[str, Any]
    connections: Mapping[str, tuple[str, Mapping[str, Any]]]
    load: str  # the template's class, "module:class"
    reused: bool = False  # in a process that works through several
    stores: bool = False  # its kind writes to file stores

    def folders(self, own: Own) -> list[str]:
        """Folders on this machine that its connections lead to, without those of Jobwright itself."""
        found = [folder for kind, settings in self.connections.values() for folder in KINDS[kind].folders(settings)]
        return [folder for folder in found if own.refuses(folder) is None]

    def __repr__(self) -> str:
        return f"Run({self.attempt.execution_id}, attempt {self.attempt.number})"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log; `at` in seconds since 1970."""

    at: float
    level: str
    message: str


class Sink(Protocol):
    """Where an executor reports, from whatever thread; each call returns at once."""

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None: ...

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None: ...

    def ended(self, attempt: Attempt, outcome: Outcome) -> None: ...

    def unwritten(self) -> dict[str, Attempt]:
        """Attempts that have ended and whose ends are not in the database yet, by execution id."""
        ...


class Executor(ABC):
    """Runs attempts, bounded; reports each end exactly once, and nothing of an attempt after its end.

    `begin_until` says until when a run may begin (app.executors.permit.boot_seconds); it is asked for each, and one that has not begun by
    then waits until it says another time.
    """

    begin_until: Callable[[], float] = staticmethod(lambda: math.inf)

    @abstractmethod
    def start(self, sink: Sink, *, on_free: Callable[[], None]) -> None:
        """Be ready to take runs; reports go to `sink`, and `on_free` is called whenever a place becomes free."""

    @abstractmethod
    def warm_up(self, loads: Iterable[str]) -> None:
        """Runs of these template classes are to be expected."""

    @abstractmethod
    def free_places(self) -> int:
        """How many runs may be submitted now; more than can run at once where recent ones were so short that they would wait for us."""

    @abstractmethod
    def submit(self, runs: Sequence[Run]) -> None:
        """Start these, in this order."""

    @abstractmethod
    def take_back(self, seconds: float) -> list[Attempt]:
        """What has not begun, if some of it has waited so long; it is no longer held."""

    @abstractmethod
    def beginning(self) -> bool:
        """Whether it holds runs that have not begun."""

    @abstractmethod
    def stop_attempt(self, execution_id: str, why: str, *, grace_seconds: float | None = None) -> None:
        """End one, tree and all, within the grace; an unknown one is ignored. `why` is one of app.executors.judge."""

    @abstractmethod
    def held(self) -> dict[str, Attempt]:
        """What runs now, by execution id."""

    @abstractmethod
    def close(self) -> None:
        """End everything at once and let go of all resources."""
