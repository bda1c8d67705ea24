"""Supervises the processes of attempts: gives them runs, stops them, passes on what they report, and reports their ends.

All of it happens in the one thread of the pump.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.config import Settings
from app.events import get_logger
from app.executors.base import LogLine, Run, Sink
from app.executors.local.backlog import Backlog, Placement, choose
from app.executors.local.pump import Pump
from app.executors.local.worker import Assignment, Worker
from app.executors.local.zygotes import Zygotes, root_of
from app.executors.outcomes import ProcessEnd, attempt_outcome, duration, usage_figures
from app.executors.reports import LogBudget, log_line, progress_document, unreadable_line
from app.sandbox.handles import ZygoteHandle
from app.sandbox.kernel import boot_seconds
from app.sandbox.protocol import Begun, Dropped, End, Ended, Fork, Log, Message, Progress, Stop, StopReason, StopRun, TooLate
from templates_lib.own import Own

log = get_logger(__name__)

MESSAGE_OVERHEAD = 100_000  # bytes of a last message beside its result: the error's text and traceback
CHECK_SECONDS = 0.1  # how often the deadlines of reused processes are checked
IDLE_SECONDS = 10.0  # after so long without a run a reused process ends
RUNS_A_PROCESS = 1000  # a reused process ends after so many attempts
# Reasons to stop one run. A reused process may work on another run by the time at which it is stopped for one of them.
_FOR_ONE_RUN = {StopReason.TIMEOUT, StopReason.CANCEL, StopReason.REPLACED, StopReason.LEASE_LOST, StopReason.DRAIN}


class Supervisor:
    """The processes of this node. Only the pump's thread calls it, but for its creation and `launch`."""

    def __init__(self, settings: Settings, backlog: Backlog, work: Path) -> None:
        """`work` is the folder for the folders of attempts."""
        self._settings, self._backlog, self._work = settings, backlog, work
        self._own = Own(settings.database, str(settings.data_path))
        self._sink: Sink
        self._on_free: Callable[[], None]
        self._begin_until: Callable[[], float]
        self.pump = Pump(wait_seconds=self._wait_seconds, on_turn=self._enforce, on_close=self._let_go)
        self.zygotes = Zygotes(root_of(settings), self.pump, on_ended=self._take_end, on_lost=self._lose_zygote)
        self._workers: dict[str, Worker] = {}  # by their ids
        self._worker_of: dict[str, Worker] = {}  # by the execution ids of their runs
        self._count = 0
        self._next_check = 0.0

    def start(self, sink: Sink, *, on_free: Callable[[], None], begin_until: Callable[[], float]) -> None:
        """Waits for the root and starts the thread. The arguments are those of Executor.start."""
        self._sink, self._on_free, self._begin_until = sink, on_free, begin_until
        self.zygotes.start()
        self.pump.start()

    # -- to the processes ----------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Gives runs that wait to processes, in their order. Runs that may not begin now wait on."""
        while boot_seconds() < self._begin_until():
            first = self._backlog.first()
            if first is None:
                return
            chosen = choose(first, self._workers.values(), pool_size=self._settings.pool_size, mean_seconds=self._backlog.mean_seconds)
            if chosen is Placement.WAIT:
                return
            lined_up = None if not first.reused else 0 if isinstance(chosen, Placement) else len(chosen.runs)
            runs = self._backlog.take(first, lined_up=lined_up)
            if not runs:
                continue  # it was released meanwhile
            worker = self._fork(first) if isinstance(chosen, Placement) else chosen
            for run in runs:
                self._give(worker, run)
            worker.send(self.pump)

    def stop(self, execution_id: str, reason: StopReason, grace_seconds: float) -> None:
        """Stops a run wherever it is: in a process, lined up in one, or in the backlog."""
        worker = self._worker_of.get(execution_id)
        if worker is None:
            run = self._backlog.remove(execution_id)
            if run is not None:
                self._conclude(self._assignment(run), ProcessEnd(reason=reason))
            return
        assignment = worker.find(execution_id)
        assert assignment is not None  # noqa: S101 - `_worker_of` names the worker that has it
        log.info("attempt.killed", **assignment.attempt.log_fields, reason=reason.value)
        assignment.reason = assignment.reason or reason
        if worker.reused:
            worker.closing = True
            worker.queue_message(StopRun(execution_id))
            worker.send(self.pump)
        if assignment is worker.current:
            worker.zygote.send(Stop(worker.id, grace_seconds, reason))

    def _fork(self, run: Run) -> Worker:
        self._count += 1
        ours, theirs = socket.socketpair()
        prints, child_prints = os.pipe()
        name = f"p{self._count}"
        mark = f"\0{secrets.token_hex(8)} " if run.reused else ""
        worker = Worker(name, self.zygotes.of(run.load), run.reused, self._work / name, ours, prints, mark)
        fork = Fork(
            worker.id,
            timeout_seconds=None if run.reused else run.attempt.timeout_seconds,
            grace_seconds=self._settings.kill_grace_seconds,
            files=str(worker.files),
            stores=run.stores,
            reused=run.reused,
            most_runs=RUNS_A_PROCESS,
            mark=mark,
        )
        worker.zygote.send(fork, [theirs.fileno(), child_prints])
        theirs.close()
        os.close(child_prints)
        worker.open(self.pump, on_message=lambda: self._read_messages(worker), on_print=lambda: self._read_prints(worker))
        self._workers[worker.id] = worker
        return worker

    def _give(self, worker: Worker, run: Run) -> None:
        attempt = run.attempt
        log.info("attempt.started", **attempt.log_fields, template=attempt.template_type)
        worker.runs.append(self._assignment(run, began=None if worker.reused else time.monotonic()))
        self._worker_of[attempt.execution_id] = worker
        worker.queue_message(
            run.start_message(
                self._settings,
                files=str(worker.files),
                own=self._own,
                begin_until=self._begin_until(),
            )
        )

    def _assignment(self, run: Run, *, began: float | None = None) -> Assignment:
        return Assignment(run, LogBudget(self._settings.job_log_bytes), began)

    # -- from the processes --------------------------------------------------------------------------------------------

    def _read_messages(self, worker: Worker) -> None:
        if worker.has_unsent():
            worker.send(self.pump)
        data = worker.receive()
        if data is None:
            return
        if not data:
            worker.close(self.pump, worker.messages)
            self._end_if_done(worker)
            return
        self._read_prints(worker)  # everything that a run printed was there before it reported its end
        messages = worker.read_messages(data, self._settings.job_result_bytes * 2 + MESSAGE_OVERHEAD)
        if messages is None:
            if worker.current is not None:
                self.stop(worker.current.attempt.execution_id, StopReason.FLOOD, 0.0)
            return
        lines: list[LogLine] = []  # passed on together
        for message in messages:
            now = time.time()
            if isinstance(message, Log):
                lines.append(log_line(message, now))
                continue
            self._pass_on(worker.current, lines)
            lines = [] if message is not None and self._take_message(worker, message) else [unreadable_line(now)]
        self._pass_on(worker.current, lines)

    def _take_message(self, worker: Worker, message: Message) -> bool:
        """Acts on a message about the current run. Returns False if the process may not send it, or not now."""
        current = worker.current
        if current is None:
            return True  # it is about a run whose end was reported
        execution_id = current.attempt.execution_id
        match message:
            case Progress():
                progress = progress_document(message)
                if progress is not None:
                    self._sink.progress(current.attempt, progress)
                return progress is not None
            case TooLate() if message.execution_id == execution_id and not current.begun:
                self._note_too_late(worker, current)
            case Begun() if message.execution_id == execution_id and not current.begun:
                self._note_begun(worker, current)
            case Dropped() if worker.reused:
                self._note_dropped(worker, message)
            case End() if message.execution_id == execution_id:
                current.end = message
                if worker.reused:
                    self._note_end(worker, current, message)
            case _:
                return False
        return True

    def _note_too_late(self, worker: Worker, assignment: Assignment) -> None:
        assignment.too_late = True
        if worker.reused:
            worker.runs.popleft()
            worker.idle_since = time.monotonic()
            self._wait_again([assignment])
            self.fill()

    def _note_begun(self, worker: Worker, assignment: Assignment) -> None:
        assignment.begun = True
        self._backlog.note_begun(assignment.attempt.execution_id)
        if worker.reused:
            assignment.began = time.monotonic()
            if assignment.reason is not None:  # it was stopped before it began
                worker.zygote.send(Stop(worker.id, self._settings.kill_grace_seconds, assignment.reason))

    def _note_dropped(self, worker: Worker, message: Dropped) -> None:
        assignment = worker.find(message.execution_id)
        if assignment is not None:
            worker.runs.remove(assignment)
            self._conclude(assignment, ProcessEnd(reason=assignment.reason))

    def _note_end(self, worker: Worker, assignment: Assignment, end: End) -> None:
        """A reused process has ended a run. It goes on, or it ends now, and with it whatever the run has left."""
        if end.reusable is not True or assignment.reason is not None:
            worker.closing = True
            return
        if worker.printing is assignment:
            for printed_by, lines in worker.print_lines(b""):  # a last line without an end
                self._pass_on(printed_by, lines)
        worker.runs.popleft()
        worker.idle_since = time.monotonic()
        self._conclude(assignment, ProcessEnd(usage=usage_figures(end.usage)))
        self.fill()

    def _read_prints(self, worker: Worker) -> None:
        data = worker.receive_prints()
        if data is None:
            return
        for assignment, lines in worker.print_lines(data):
            self._pass_on(assignment, lines)
        if not data:
            worker.close(self.pump, worker.prints)
            self._end_if_done(worker)

    def _pass_on(self, assignment: Assignment | None, lines: Sequence[LogLine]) -> None:
        """Reports log lines, until the log of the attempt is full."""
        admitted = [] if assignment is None else assignment.log_budget.admit(lines)
        if assignment is not None and admitted:
            self._sink.lines(assignment.attempt, admitted)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _wait_seconds(self) -> float | None:
        return CHECK_SECONDS if any(worker.reused for worker in self._workers.values()) else None

    def _enforce(self) -> None:
        """Stops runs of reused processes at their deadline, which the zygote does not know, and ends processes that nobody needs."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        for worker in [worker for worker in self._workers.values() if worker.reused]:
            current = worker.current
            if current is None and not worker.closing and now - worker.idle_since > IDLE_SECONDS:
                worker.closing = True
                worker.messages.shutdown(socket.SHUT_WR)
            elif current and current.began and not current.reason and now - current.began > current.attempt.timeout_seconds:
                self.stop(current.attempt.execution_id, StopReason.TIMEOUT, self._settings.kill_grace_seconds)

    def _take_end(self, ended: Ended) -> None:
        worker = self._workers.get(ended.process_id)
        if worker is not None:
            worker.end = ProcessEnd(status=ended.status, reason=ended.reason, usage=ended.usage)
            self._end_if_done(worker)

    def _lose_zygote(self, zygote: ZygoteHandle, broken: str | None) -> None:
        """A zygote has ended, and its processes with it: their runs are lost, or their template cannot be imported."""
        reason = StopReason.LEASE_LOST if broken is None else StopReason.BROKEN
        for worker in [worker for worker in self._workers.values() if worker.zygote is zygote]:
            worker.end, worker.zygote_died = ProcessEnd(status=9, reason=reason, broken=broken or ""), True
            for end in tuple(worker.open_ends):
                worker.close(self.pump, end)
            self._end_if_done(worker)

    def _end_if_done(self, worker: Worker) -> None:
        """Concludes the runs of a process once its zygote has reaped its tree, and its socket and pipe are read to their ends."""
        if worker.end is None or worker.open_ends or worker.id not in self._workers:
            return
        del self._workers[worker.id]
        if worker.files.exists():
            shutil.rmtree(worker.files, ignore_errors=True)
        assignments = list(worker.runs)
        worker.runs.clear()
        again: list[Assignment] = []
        for index, assignment in enumerate(assignments):
            lined_up = worker.reused and index > 0 and assignment.began is None and assignment.reason is None
            if lined_up or (assignment.too_late and not assignment.begun):
                again.append(assignment)
            else:
                self._conclude(assignment, _process_end(worker, worker.end, assignment))
        self._wait_again(again)
        self.fill()

    def _wait_again(self, assignments: Sequence[Assignment]) -> None:
        """Puts runs that their processes did not begin before those that wait. One that was stopped meanwhile ends."""
        for assignment in assignments:
            self._worker_of.pop(assignment.attempt.execution_id, None)
            if assignment.reason is not None:
                self._conclude(assignment, ProcessEnd(reason=assignment.reason))
        self._backlog.add_first([assignment.run for assignment in assignments if assignment.reason is None], time.monotonic())

    def _conclude(self, assignment: Assignment, process: ProcessEnd) -> None:
        """Decides the outcome of a run, and reports it."""
        attempt = assignment.attempt
        self._worker_of.pop(attempt.execution_id, None)
        ran = 0.0 if assignment.began is None else time.monotonic() - assignment.began
        seconds = ran if assignment.end is None else duration(assignment.end.seconds, ran)
        outcome = attempt_outcome(assignment.end, process, timeout_seconds=attempt.timeout_seconds, seconds=seconds)
        if assignment.began is not None:
            outcome = replace(outcome, began_at=datetime.fromtimestamp(time.time() - ran, UTC))
        self._sink.ended(attempt, outcome)
        self._backlog.note_end(attempt.execution_id, seconds)
        self._on_free()

    def _let_go(self) -> None:
        """Closes the sockets and pipes of all processes at the end of the thread."""
        for worker in self._workers.values():
            for end in tuple(worker.open_ends):
                worker.close(self.pump, end)
        self.zygotes.let_go()


def _process_end(worker: Worker, end: ProcessEnd, assignment: Assignment) -> ProcessEnd:
    """Returns how the process ended, as it concerns one of its runs."""
    reason = assignment.reason or end.reason
    if worker.reused and assignment.reason is None and end.reason in _FOR_ONE_RUN and not worker.zygote_died:
        reason = StopReason.DRAIN  # it was stopped for another run, which had just ended
    usage = usage_figures(assignment.end.usage) if assignment.end is not None and worker.reused else end.usage
    return replace(end, reason=reason, usage=usage)
