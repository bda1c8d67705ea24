"""The inline executor: runs attempts in threads of this process. It is for tests, and for a worker that a broker feeds."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from app.config import Settings
from app.events import get_logger
from app.executors.base import Executor, Run, Sink, job_limits, without_end
from app.executors.outcomes import ProcessEnd, attempt_outcome
from app.executors.reports import LogBudget, log_line, progress_document
from app.queue.model import Attempt
from app.sandbox.kernel import boot_seconds
from app.sandbox.protocol import End, Log, Progress, StopReason
from app.sandbox.template_call import LogHandler, ProgressReport, call_template
from templates_lib.base import JobTemplate
from templates_lib.own import Own

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Running:
    run: Run
    log_budget: LogBudget
    files: Path
    stop: threading.Event = field(default_factory=threading.Event)
    reason: StopReason | None = None  # why it was stopped
    began: float | None = None  # seconds of time.monotonic; None if it may not begin
    ended: bool = False  # nothing more of it is reported
    reporting: threading.Lock = field(default_factory=threading.Lock)  # held for each report, so that none comes after the end

    @property
    def execution_id(self) -> str:
        return self.run.attempt.execution_id


class InlineExecutor(Executor):
    """Runs each attempt in a thread, at most `pool_size` at once. It bounds much less than the local executor:

    - It cannot end a run by force. A stop and the timeout make `ctx.cancelled()` true, and the end is reported when the template returns.
      A template that never asks runs on and keeps its place, so that no second attempt of its execution runs beside it.
    - It bounds the result and the log, but no memory, processor time, files or processes. A library that crashes ends this process.
    - The template reaches everything that this process has, credentials included.
    - The log of the attempt has what goes to `ctx.log`. What the template prints and what its libraries log go where this process's do.
    - The template has a folder of its own as `ctx.files`; the working folder and the environment are those of this process.

    A run that may not begin any more ends at once as handed back.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink: Sink
        self._on_free: Callable[[], None]
        self._begin_until: Callable[[], float]
        self._work = settings.data_path / "work" / f"{os.getpid()}-inline"
        self._own = Own(settings.database, str(settings.data_path))
        self._limits = job_limits(settings)
        self._lock = threading.Lock()  # of what follows
        self._running: dict[str, _Running] = {}
        self._threads: list[threading.Thread] = []
        self._count = 0

    def start(self, sink: Sink, *, on_free: Callable[[], None], begin_until: Callable[[], float] = without_end) -> None:
        self._sink, self._on_free, self._begin_until = sink, on_free, begin_until
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)

    def capacity(self) -> int:
        with self._lock:
            return max(0, self._settings.pool_size - len(self._running))

    def submit(self, runs: Sequence[Run]) -> None:
        for run in runs:
            with self._lock:
                self._count += 1
                running = _Running(run, LogBudget(self._settings.job_log_bytes), self._work / f"r{self._count}")
                self._running[running.execution_id] = running
            if boot_seconds() >= self._begin_until():
                self._report_end(running, None, ProcessEnd(reason=StopReason.DRAIN))
                continue
            running.began = time.monotonic()
            thread = threading.Thread(target=self._run, args=(running,), name=f"inline-{run.attempt.execution_id}", daemon=True)
            with self._lock:
                self._threads = [other for other in self._threads if other.is_alive()] + [thread]
                thread.start()

    def stop(self, execution_id: str, reason: StopReason, *, grace_seconds: float | None = None) -> None:  # noqa: ARG002 - see the class
        with self._lock:
            running = self._running.get(execution_id)
        if running is not None:
            log.info("attempt.killed", **running.run.attempt.log_fields, reason=reason.value)
            running.reason = running.reason or reason
            running.stop.set()

    def held(self) -> dict[str, Attempt]:
        with self._lock:
            return {execution_id: running.run.attempt for execution_id, running in self._running.items()}

    def close(self) -> None:
        """Asks all runs to stop and waits for them for the grace of the settings. A template that does not ask is left to itself."""
        with self._lock:
            runs, threads = list(self._running.values()), self._threads
        for running in runs:
            with running.reporting:
                running.ended = True
            running.stop.set()
        deadline = time.monotonic() + self._settings.kill_grace_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        shutil.rmtree(self._work, ignore_errors=True)

    # -- a thread ------------------------------------------------------------------------------------------------------

    def _run(self, running: _Running) -> None:
        attempt = running.run.attempt
        log.info("attempt.started", **attempt.log_fields, template=attempt.template_type)
        deadline = threading.Timer(attempt.timeout_seconds, self.stop, (attempt.execution_id, StopReason.TIMEOUT))
        deadline.daemon = True
        deadline.start()
        try:
            template = _load(running.run.load)
        except Exception as error:
            end, process = None, ProcessEnd(reason=StopReason.BROKEN, broken=f"{type(error).__name__}: {error}")
        else:
            end = self._call(running, template)
            process = ProcessEnd(reason=running.reason)
        deadline.cancel()
        shutil.rmtree(running.files, ignore_errors=True)
        self._report_end(running, end, process)

    def _call(self, running: _Running, template: JobTemplate) -> End:
        running.files.mkdir(mode=0o700)
        start = running.run.start_message(self._settings, files=str(running.files), own=self._own)
        logger = logging.Logger("job", logging.INFO)  # not in the tree of loggers: it is this attempt's alone
        logger.addHandler(LogHandler(partial(self._pass_on_log, running)))
        progress = ProgressReport(partial(self._pass_on_progress, running))
        return call_template(template, start, log=logger, report=progress, stop=running.stop, limits=self._limits)

    def _pass_on_log(self, running: _Running, message: Log) -> None:
        with running.reporting:
            lines = running.log_budget.admit([log_line(message, time.time())])
            if lines and not running.ended:
                self._sink.lines(running.run.attempt, lines)

    def _pass_on_progress(self, running: _Running, message: Progress) -> None:
        progress = progress_document(message)
        with running.reporting:
            if progress is not None and not running.ended:
                self._sink.progress(running.run.attempt, progress)

    def _report_end(self, running: _Running, end: End | None, process: ProcessEnd) -> None:
        attempt = running.run.attempt
        seconds = 0.0 if running.began is None else time.monotonic() - running.began
        outcome = attempt_outcome(end, process, timeout_seconds=attempt.timeout_seconds, seconds=seconds)
        if running.began is not None:
            outcome = replace(outcome, began_at=datetime.fromtimestamp(time.time() - seconds, UTC))
        with running.reporting:
            if running.ended:
                return  # the executor is closed
            running.ended = True
            self._sink.ended(attempt, outcome)
        with self._lock:
            del self._running[running.execution_id]
        self._on_free()


def _load(load: str) -> JobTemplate:
    """Returns an instance of the template's class, "module:class", ready to run."""
    module, _, name = load.partition(":")
    template: JobTemplate = getattr(importlib.import_module(module), name)()
    template.warm()
    return template
