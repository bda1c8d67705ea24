"""What runs attempts: the base class, what it is given and where it reports."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.config import Settings
from app.queue.model import Attempt, Outcome
from app.sandbox.protocol import Limits, Start, StopReason
from templates_lib.connections import KINDS
from templates_lib.own import Own


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt with all that running it needs, decrypted parameters and connections included. It is never stored and never logged."""

    attempt: Attempt
    parameters: Mapping[str, Any]
    connections: Mapping[str, tuple[str, Mapping[str, Any]]]  # by name: the kind of the connection and its settings
    load: str  # the template's class, "module:class"
    reused: bool = False  # the template lets a process run several attempts, one after the other
    stores: bool = False  # the template writes to file stores
    route: tuple[str, str] | None = None  # the address and the id of the instance of a service that it goes to
    callback: tuple[str, str] | None = None  # the address of its reports, and the token in that address
    traceparent: str = ""  # the span that its calls stand below; empty for that of the attempt
    traced: bool = False  # its calls become spans

    def start_message(self, settings: Settings, *, files: str, own: Own, begin_until: float = math.inf) -> Start:
        """Returns what the template is told.

        `settings` name the private hosts that it may call and the programs that it may start. `files` is the path of the attempt's own
        folder, `own` what belongs to Jobwright itself; the attempt may begin until `begin_until`, in seconds of
        app.sandbox.kernel.boot_seconds.
        """
        return Start(
            execution_id=self.attempt.execution_id,
            attempt=self.attempt.number,
            now=(self.attempt.stands_for or self.attempt.began_at).isoformat(),
            parameters=self.parameters,
            connections=self.connections,
            files=files,
            folders=self.folders(own),
            allowed_hosts=settings.allowed_hosts,
            commands=(settings.command_programs, settings.command_dirs),
            own=(own.database, own.folder),
            dry=self.attempt.dry,
            begin_until=begin_until,
            triggered_by=self.attempt.triggered_by,
            triggered_by_user=self.attempt.triggered_by_user,
            timeout_seconds=self.attempt.timeout_seconds,
            route=self.route,
            callback=self.callback,
            correlation_id=self.attempt.correlation_id or self.attempt.execution_id,
            traceparent=self.traceparent or self.attempt.traceparent,
            traced=self.traced,
        )

    def folders(self, own: Own) -> list[str]:
        """Returns the folders on this machine that its connections lead to, without those of Jobwright itself."""
        folders = [folder for kind, settings in self.connections.values() for folder in KINDS[kind].folders(settings)]
        return [folder for folder in folders if own.refuses(folder) is None]

    def __repr__(self) -> str:
        return f"Run({self.attempt.execution_id}, attempt {self.attempt.number})"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log; `at` in seconds since 1970."""

    at: float
    level: str
    message: str


class Sink(Protocol):
    """Where an executor reports. Any thread may call it, and each call returns at once."""

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        """The attempt logged these lines."""

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        """The attempt is so far: {done, total, note}."""

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """The attempt has ended, or it was deferred (`outcome.deferral`): its process has ended, and another program goes on with it."""

    def unwritten(self) -> dict[str, Attempt]:
        """Returns the attempts that have ended and whose ends are not in the database yet, by execution id."""
        ...


def job_limits(settings: Settings) -> Limits:
    """Returns what each attempt may use."""
    return Limits(
        memory_bytes=settings.job_memory_mb << 20,
        cpu_seconds=settings.job_cpu_seconds,
        open_files=settings.job_open_files,
        file_bytes=settings.job_file_mb << 20,
        processes=settings.job_processes,
        result_bytes=settings.job_result_bytes,
    )


def without_end() -> float:
    """A `begin_until` that lets runs begin at any time."""
    return math.inf


class Executor(ABC):
    """Runs attempts. It reports the end of each exactly once, and nothing of an attempt after its end.

    A subclass implements `start`, `capacity`, `submit`, `stop`, `held` and `close`. The other four methods are for executors that
    take more runs than they can begin at once, or that have something to prepare.
    """

    @abstractmethod
    def start(self, sink: Sink, *, on_free: Callable[[], None], begin_until: Callable[[], float] = without_end) -> None:
        """Makes it ready to take runs.

        It reports to `sink` and calls `on_free` whenever it can take another run. It asks `begin_until` before it begins a run: until
        when that is allowed, in seconds of app.sandbox.kernel.boot_seconds. A run that may not begin waits, or ends as handed back.
        """

    @abstractmethod
    def capacity(self) -> int:
        """Returns how many more runs it takes now."""

    @abstractmethod
    def submit(self, runs: Sequence[Run]) -> None:
        """Runs these, in this order. Returns at once."""

    @abstractmethod
    def stop(self, execution_id: str, reason: StopReason, *, grace_seconds: float | None = None) -> None:
        """Ends one attempt within the grace (None: the one of the settings). Does nothing if it does not hold that execution."""

    @abstractmethod
    def held(self) -> dict[str, Attempt]:
        """Returns the attempts that it was given and whose ends it has not reported, by execution id."""

    @abstractmethod
    def close(self) -> None:
        """Ends everything at once and frees all resources. It reports nothing afterwards."""

    def warm_up(self, loads: Iterable[str]) -> None:  # noqa: B027 - optional
        """Prepares for runs of these template classes, so that the first one does not wait."""

    def running(self) -> int:
        """Returns how many attempts it holds that have begun."""
        return len(self.held())

    def has_waiting(self) -> bool:
        """Returns whether it holds runs that have not begun."""
        return False

    def release_waiting(self, waited_seconds: float) -> list[Attempt]:  # noqa: ARG002 - for executors to override
        """Gives up all runs that wait for a process if the first of them has waited so long. Returns their attempts; they have no end."""
        return []
