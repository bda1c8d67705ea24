"""The local executor: each attempt in a process of its own, or one after the other in reused processes if the template allows it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from app.config import Settings
from app.executors.base import Executor, Run, Sink, without_end
from app.executors.local.backlog import Backlog
from app.executors.local.supervisor import Supervisor
from app.queue.model import Attempt
from app.sandbox.protocol import StopReason


class LocalExecutor(Executor):
    """Runs attempts in child processes, which are bounded in time, memory, processor time, output, files and processes.

    It takes more runs than it has processes if recent runs were short (app.executors.local.backlog).
    """

    def __init__(self, settings: Settings) -> None:
        """Raises StartError if attempts cannot run as the user that is set."""
        self._settings = settings
        self._work = settings.data_path / "work" / str(os.getpid())
        self._backlog = Backlog(settings.pool_size)
        self._supervisor = Supervisor(settings, self._backlog, self._work)
        self._closed = False

    @property
    def root_pid(self) -> int | None:
        """The process id of the root zygote; None before its start."""
        return self._supervisor.zygotes.root_pid

    def launch(self) -> None:
        """Starts the root zygote, and does not wait for it; `start` does. To call early saves time: it starts beside everything else."""
        self._supervisor.zygotes.launch()

    def start(self, sink: Sink, *, on_free: Callable[[], None], begin_until: Callable[[], float] = without_end) -> None:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._settings.job_user:  # that user passes through to the folder of its attempt, and reads nothing on the way
            for folder in (self._settings.data_path, self._work.parent, self._work):
                folder.chmod(0o711)
        self._supervisor.start(sink, on_free=on_free, begin_until=begin_until)

    def capacity(self) -> int:
        return self._backlog.capacity()

    def submit(self, runs: Sequence[Run]) -> None:
        self._backlog.add(runs, time.monotonic())
        self._post(self._supervisor.fill)

    def stop(self, execution_id: str, reason: StopReason, *, grace_seconds: float | None = None) -> None:
        grace = self._settings.kill_grace_seconds if grace_seconds is None else grace_seconds
        self._post(partial(self._supervisor.stop, execution_id, reason, grace))

    def held(self) -> dict[str, Attempt]:
        return self._backlog.held()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._supervisor.pump.close()
        self._supervisor.zygotes.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def warm_up(self, loads: Iterable[str]) -> None:
        for load in loads:
            self._post(partial(self._supervisor.zygotes.of, load))

    def running(self) -> int:
        return self._backlog.running()

    def has_waiting(self) -> bool:
        return self._backlog.has_not_begun()

    def release_waiting(self, waited_seconds: float) -> list[Attempt]:
        return self._backlog.release(waited_seconds, time.monotonic())

    def _post(self, work: Callable[[], object]) -> None:
        self._supervisor.pump.post(work)
