"""Runs attempts on this machine, in processes that zygotes fork. One thread moves all messages."""

from __future__ import annotations

import os
import queue
import secrets
import selectors
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.config import Settings
from app.events import get_logger
from app.executors.base import Executor, LogLine, Run, Sink
from app.executors.judge import BROKEN, CANCEL, DRAIN, FLOOD, LEASE_LOST, REPLACED, TIMEOUT, judge
from app.executors.local.parents import Parent, Root, plan_of
from app.executors.local.worker import Running, Worker
from app.executors.permit import boot_seconds
from app.executors.reports import UNREADABLE, is_last_word, log_line, message_of, progress_of, seconds_of, usage_of
from app.queue.model import Attempt
from templates_lib.own import Own

log = get_logger(__name__)

MESSAGE_OVERHEAD = 100_000  # what a last message may hold beside its result: error text and traceback
# Runs that are taken ahead of a free place, so that short ones do not wait for the database: as many as are worth so much time, …
AHEAD_SECONDS = 0.1
MOST_AHEAD = 500
SMOOTHING = 0.05  # … by the mean duration, to which each run adds this share
LINED_UP = 16  # short runs given to a reused process before it has ended the first
SHORT_SECONDS = 0.005
CHECK_SECONDS = 0.1  # how often the deadlines of reused processes are looked at
IDLE_SECONDS = 10.0  # then a reused process ends
RUNS_A_PROCESS = 1000
# Why a zygote ended a reused process: for the one run that its executor named, whichever it works on by then.
_OF_ANOTHER = {TIMEOUT, CANCEL, REPLACED, LEASE_LOST, DRAIN}


class LocalExecutor(Executor):
    """Attempts as child processes: of their own, or one after the other in reused ones where the template says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink: Sink
        self._on_free: Callable[[], None]
        self._own = Own(settings.database, str(settings.data_path))
        self._work = settings.data_path / "work" / str(os.getpid())
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held: dict[str, Attempt] = {}
        self._beginning: set[str] = set()  # of those that are held
        self._backlog: deque[tuple[float, Run]] = deque()  # with when it came
        self._mean_seconds: float | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._loop, name="local-executor", daemon=True)
        self._root = Root(settings.cgroup, plan_of(settings))
        self._launched = self._closed = False
        # What only the thread touches.
        self._parents: dict[str, Parent] = {}
        self._broken: dict[str, str] = {}
        self._workers: dict[str, Worker] = {}
        self._where: dict[str, Worker] = {}
        self._count = 0
        self._next_check = 0.0
        self._limits = {
            "memory_bytes": settings.job_memory_mb << 20,
            "cpu_seconds": settings.job_cpu_seconds,
            "open_files": settings.job_open_files,
            "file_bytes": settings.job_file_mb << 20,
            "processes": settings.job_processes,
            "result_bytes": settings.job_result_bytes,
        }

    # -- the Executor interface -----------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the root zygote and do not wait for it; `start` does. Call it early: it starts while the rest does."""
        self._root.launch()
        self._launched = True

    def start(self, sink: Sink, *, on_free: Callable[[], None]) -> None:
        self._sink, self._on_free = sink, on_free
        if not self._launched:
            self.launch()
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._settings.job_user:  # who runs there passes through to its own folder, and reads nothing on the way
            for folder in (self._settings.data_path, self._work.parent, self._work):
                folder.chmod(0o711)
        self._root.wait_ready()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._take_inbox)
        self._selector.register(self._root.control, selectors.EVENT_READ, self._replace_root)
        self._thread.start()

    def warm_up(self, loads: Iterable[str]) -> None:
        self._post("warm", list(loads))

    def free_places(self) -> int:
        with self._lock:
            held, mean = len(self._held), self._mean_seconds
        ahead = 0
        if mean is not None and mean < AHEAD_SECONDS:
            ahead = min(MOST_AHEAD, int(self._settings.pool_size * AHEAD_SECONDS / max(mean, 1e-6)))
        room = self._settings.pool_size + ahead - held
        return room if room > ahead // 4 else 0  # a claim is for many runs, or for a place that is free now

    def submit(self, runs: Sequence[Run]) -> None:
        now = time.monotonic()
        with self._lock:
            self._held.update({run.attempt.execution_id: run.attempt for run in runs})
            self._beginning.update(run.attempt.execution_id for run in runs)
            self._backlog.extend((now, run) for run in runs)
        self._post("fill", None)

    def take_back(self, seconds: float) -> list[Attempt]:
        before = time.monotonic() - seconds
        with self._lock:
            if not self._backlog or self._backlog[0][0] > before:
                return []
            late = [run.attempt for _, run in self._backlog]
            self._backlog.clear()
            for attempt in late:
                del self._held[attempt.execution_id]
                self._beginning.discard(attempt.execution_id)
            self._mean_seconds = None  # it promised too much
        return late

    def beginning(self) -> bool:
        with self._lock:
            return bool(self._beginning)

    def stop_attempt(self, execution_id: str, why: str, *, grace_seconds: float | None = None) -> None:
        grace = self._settings.kill_grace_seconds if grace_seconds is None else grace_seconds
        self._post("stop", (execution_id, why, grace))

    def held(self) -> dict[str, Attempt]:
        with self._lock:
            return dict(self._held)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._post("close", None)
            self._thread.join()
        self._root.close()
        for end in (self._wake_read, self._wake_write):
            end.close()
        self._selector.close()
        shutil.rmtree(self._work, ignore_errors=True)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _post(self, what: str, argument: Any) -> None:
        self._inbox.put((what, argument))
        with suppress(OSError):
            self._wake_write.send(b"\0")

    def _loop(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                try:
                    closing = key.data() == "close"
                except Exception:
                    # One attempt's trouble must not end the thread that all others depend on; its deadline still holds.
                    log.exception("executor.failed")
                    continue
                if closing:
                    self._let_all_go()
                    return
            try:
                self._enforce(time.monotonic())
            except Exception:
                log.exception("executor.failed")

    def _patience(self) -> float | None:
        return CHECK_SECONDS if any(worker.reused for worker in self._workers.values()) else None

    def _take_inbox(self) -> str | None:
        with suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while True:
            try:
                what, argument = self._inbox.get_nowait()
            except queue.Empty:
                return None
            if what == "close":
                return what
            if what == "fill":
                self._fill()
            elif what == "warm":
                for load in argument:
                    self._parent(load)
            else:
                self._stop(*argument)

    # -- to the processes -----------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Give what waits to processes, as places allow, in its order; what may not begin now waits on."""
        while boot_seconds() < self.begin_until():
            with self._lock:
                if not self._backlog:
                    return
                first = self._backlog[0][1]
                worker = self._place_for(first)
                if worker is None:
                    return
                runs = [self._backlog.popleft()[1]]
                if worker.reused and (self._mean_seconds or 1.0) < SHORT_SECONDS:
                    # Only what would wait here anyway: every place has some by now, or gets its own in the next round.
                    share = min(LINED_UP - len(worker.runs), len(self._backlog) // self._settings.pool_size)
                    while len(runs) < share and self._backlog[0][1].reused and self._backlog[0][1].load == first.load:
                        runs.append(self._backlog.popleft()[1])
            for run in runs:
                self._give(worker, run)
            worker.send(self._selector)

    def _place_for(self, run: Run) -> Worker | None:
        busy = sum(1 for worker in self._workers.values() if worker.runs or not worker.reused)
        free = busy < self._settings.pool_size
        if not run.reused:
            return self._fork(run) if free else None
        warm = [one for one in self._workers.values() if one.reused and one.parent.name == run.load and not one.closing]
        if free:
            return next((worker for worker in warm if not worker.runs), None) or self._fork(run)
        if warm and (self._mean_seconds or 1.0) < SHORT_SECONDS:
            shortest = min(warm, key=lambda worker: len(worker.runs))
            if len(shortest.runs) <= LINED_UP // 2:
                return shortest
        return None

    def _fork(self, run: Run) -> Worker:
        self._count += 1
        ours, theirs = socket.socketpair()
        prints, child_prints = os.pipe()
        parent = self._parent(run.load)
        mark = f"\0{secrets.token_hex(8)} " if run.reused else ""
        worker = Worker(f"p{self._count}", parent, run.reused, self._work / f"p{self._count}", ours, prints, mark)
        parent.tell(
            {
                "op": "fork",
                "id": worker.id,
                "timeout": run.attempt.timeout_seconds,
                "grace": self._settings.kill_grace_seconds,
                "limits": self._limits,
                "reused": run.reused,
                "most_runs": RUNS_A_PROCESS,
                "mark": mark,
                "files": str(worker.files),
                "stores": run.stores,
            },
            [theirs.fileno(), child_prints],
        )
        theirs.close()
        os.close(child_prints)
        worker.open(self._selector, lambda: self._read_messages(worker), lambda: self._read_prints(worker))
        self._workers[worker.id] = worker
        return worker

    def _give(self, worker: Worker, run: Run) -> None:
        attempt = run.attempt
        log.info("attempt.started", execution=attempt.execution_id, attempt=attempt.number, template=attempt.template_type)
        worker.runs.append(Running(run, None if worker.reused else time.monotonic()))
        self._where[attempt.execution_id] = worker
        worker.line_up(
            {
                "execution_id": attempt.execution_id,
                "attempt": attempt.number,
                "now": (attempt.stands_for or attempt.began_at).isoformat(),
                "parameters": run.parameters,
                "connections": run.connections,
                "files": str(worker.files),
                "folders": run.folders(self._own),
                "allowed_hosts": self._settings.allowed_hosts,
                "own": [self._own.database, self._own.folder],
                "dry": attempt.dry,
                "begin_until": self.begin_until(),
            }
        )

    def _stop(self, execution_id: str, why: str, grace: float) -> None:
        worker = self._where.get(execution_id)
        if worker is None:
            self._stop_waiting(execution_id, why)
            return
        log.info("attempt.killed", execution=execution_id, reason=why)
        running = next(one for one in worker.runs if one.attempt.execution_id == execution_id)
        running.why = running.why or why
        if worker.reused:
            worker.closing = True
            worker.line_up({"stop": execution_id})
            worker.send(self._selector)
        if running is worker.current:
            worker.parent.tell({"op": "stop", "id": worker.id, "grace": grace, "why": why})

    def _stop_waiting(self, execution_id: str, why: str) -> None:
        with self._lock:
            found = next((item for item in self._backlog if item[1].attempt.execution_id == execution_id), None)
            if found is None:
                return
            self._backlog.remove(found)
        self._conclude(Running(found[1], why=why), status=0, usage={})

    # -- the zygotes ----------------------------------------------------------------------------------------------

    def _parent(self, load: str) -> Parent:
        if load not in self._parents:
            parent = self._parents[load] = self._root.kind(load)
            self._selector.register(parent.control, selectors.EVENT_READ, lambda: self._hear_parent(parent))
        return self._parents[load]

    def _hear_parent(self, parent: Parent) -> None:
        message = parent.hear()
        if message is None:
            self._lose_parent(parent)
        elif "broken" in message:
            self._broken[parent.name] = message["broken"]
        elif "ready" in message:
            log.info("cage.holds", kind=parent.name, **{name: message[name] for name in ("landlock", "mounts", "network")})
        elif "ended" in message:
            worker = self._workers.get(message["ended"])
            if worker is not None:
                worker.ended = message
                self._end_if_done(worker)

    def _lose_parent(self, parent: Parent) -> None:
        """A zygote is gone, and its children with it: what they ran is lost, or its kind cannot be imported. It comes back when needed."""
        self._selector.unregister(parent.control)
        parent.control.close()
        del self._parents[parent.name]
        broken = self._broken.pop(parent.name, None)
        log.error("zygote.died", kind=parent.name, reason=broken)
        for worker in [one for one in self._workers.values() if one.parent is parent]:
            worker.ended = {"status": 9, "why": f"{BROKEN}{broken}" if broken else LEASE_LOST, "usage": {}, "with_parent": True}
            for end in tuple(worker.open_ends):
                worker.drop(self._selector, end)
            self._end_if_done(worker)

    def _replace_root(self) -> None:
        """The root died, and every zygote with it: each of them is heard to end."""
        self._selector.unregister(self._root.control)
        log.error("zygote.died", kind="root", code=self._root.close())
        self._root.launch()
        self._root.wait_ready()
        self._selector.register(self._root.control, selectors.EVENT_READ, self._replace_root)

    # -- from the processes ---------------------------------------------------------------------------------------

    def _read_messages(self, worker: Worker) -> None:
        if worker.unsent:
            worker.send(self._selector)
        data = worker.receive()
        if data is None:
            return
        if not data:
            worker.drop(self._selector, worker.messages)
            self._end_if_done(worker)
            return
        self._read_prints(worker)  # all that a run printed was there before it said that it has ended
        worker.unread += data
        if len(worker.unread) > self._settings.job_result_bytes * 2 + MESSAGE_OVERHEAD and b"\n" not in data:
            worker.unread.clear()
            if worker.current is not None:
                self._stop(worker.current.attempt.execution_id, FLOOD, 0.0)
            return
        *whole, rest = worker.unread.split(b"\n")
        worker.unread = bytearray(rest)
        lines: list[LogLine] = []
        for raw in whole:
            message, now = message_of(raw), time.time()
            line = log_line(message, now) if message is not None else LogLine(now, "WARNING", UNREADABLE)
            if line is not None:
                lines.append(line)
                continue
            self._keep(worker.current, lines)
            lines = []
            if message is None or not self._take_message(worker, message):
                lines.append(LogLine(now, "WARNING", UNREADABLE))
        self._keep(worker.current, lines)

    def _take_message(self, worker: Worker, message: Mapping[str, Any]) -> bool:
        """Act on a message that is no log line; False where it is none that a process may send."""
        current = worker.current
        if current is None:
            return True  # it has ended and been judged
        if "progress" in message:
            progress = progress_of(message["progress"])
            if progress is not None:
                self._sink.progress(current.attempt, progress.as_document())
            return progress is not None
        if not current.begun and message.get("late") == current.attempt.execution_id:
            current.late = True
            if worker.reused:
                worker.runs.popleft()
                worker.idle_since = time.monotonic()
                self._wait_again([current])
                self._fill()
            return True
        if not current.begun and message.get("begin") == current.attempt.execution_id:
            self._note_begun(worker, current)
            return True
        if worker.reused:
            return self._take_word(worker, current, message)
        if is_last_word(message):
            current.last = message
        return is_last_word(message)

    def _note_begun(self, worker: Worker, running: Running) -> None:
        running.begun = True
        with self._lock:
            self._beginning.discard(running.attempt.execution_id)
        if worker.reused:
            running.began = time.monotonic()
            if running.why is not None:  # it was to be stopped before it began
                grace = self._settings.kill_grace_seconds
                worker.parent.tell({"op": "stop", "id": worker.id, "grace": grace, "why": running.why})

    def _wait_again(self, runs: Sequence[Running]) -> None:
        """Put runs that their processes did not begin before what waits; one that is to be stopped ends."""
        now = time.monotonic()
        for running in reversed(runs):
            self._where.pop(running.attempt.execution_id, None)
            if running.why is not None:
                self._conclude(running, status=0, usage={})
                continue
            with self._lock:
                self._backlog.appendleft((now, running.run))

    def _take_word(self, worker: Worker, current: Running, message: Mapping[str, Any]) -> bool:
        """Act on what a reused process says of its runs; False where that is nothing that it may say."""
        if "dropped" in message:
            self._take_from(worker, message["dropped"])
        elif message.get("end") == current.attempt.execution_id:
            current.last = message
            if message.get("more") is True and current.why is None:
                if worker.printing is current:
                    for running, lines in worker.print_lines(b""):  # a last line without an end
                        self._keep(running, lines)
                worker.runs.popleft()
                worker.idle_since = time.monotonic()
                self._conclude(current, status=0, usage=usage_of(message.get("usage")))
                self._fill()
            else:
                worker.closing = True  # it ends now, and with it whatever the run has left
        else:
            return False
        return True

    def _take_from(self, worker: Worker, execution_id: Any) -> None:
        """A reused process dropped a run that it had not begun."""
        for running in list(worker.runs):
            if running.attempt.execution_id == execution_id:
                worker.runs.remove(running)
                self._conclude(running, status=0, usage={})

    def _read_prints(self, worker: Worker) -> None:
        data = worker.printed()
        if data is None:
            return
        for running, lines in worker.print_lines(data):
            self._keep(running, lines)
        if not data:
            worker.drop(self._selector, worker.prints)
            self._end_if_done(worker)

    def _keep(self, running: Running | None, lines: list[LogLine]) -> None:
        """Pass on log lines until the attempt has used up its bytes; then say so, once."""
        if running is None or not lines:
            return
        limit, kept = self._settings.job_log_bytes, []
        for line in lines:
            if running.kept_bytes > limit:
                break
            running.kept_bytes += len(line.message) + 40
            kept.append(line)
            if running.kept_bytes > limit:
                text = f"The log is full ({limit:,} bytes, JOBWRIGHT_JOB_LOG_BYTES); the rest is dropped"
                kept.append(LogLine(line.at, "WARNING", text))
        if kept:
            self._sink.lines(running.attempt, kept)

    # -- ends -----------------------------------------------------------------------------------------------------

    def _enforce(self, now: float) -> None:
        """Deadlines of reused processes, which their zygote does not know, and the end of those that nobody needs."""
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        for worker in [one for one in self._workers.values() if one.reused]:
            current = worker.current
            if current is None and not worker.closing and now - worker.idle_since > IDLE_SECONDS:
                worker.closing = True
                worker.messages.shutdown(socket.SHUT_WR)
            elif current and current.began and not current.why and now - current.began > current.attempt.timeout_seconds:
                self._stop(current.attempt.execution_id, TIMEOUT, self._settings.kill_grace_seconds)

    def _end_if_done(self, worker: Worker) -> None:
        """The end: the zygote has reaped the tree and both pipes are read to their ends."""
        if worker.ended is None or worker.open_ends or worker.id not in self._workers:
            return
        del self._workers[worker.id]
        if worker.files.exists():
            shutil.rmtree(worker.files, ignore_errors=True)
        ended, runs = worker.ended, list(worker.runs)
        worker.runs.clear()
        again: list[Running] = []
        for place, running in enumerate(runs):
            if (running.late and not running.begun) or (worker.reused and place and running.began is None and running.why is None):
                again.append(running)
                continue
            if worker.reused and running.why is None and ended["why"] in _OF_ANOTHER and "with_parent" not in ended:
                running.why = DRAIN  # the process was stopped for another run, which had just ended
            usage = usage_of(running.last.get("usage")) if running.last and worker.reused else ended["usage"]
            self._conclude(running, status=ended["status"], usage=usage, why=ended["why"])
        self._wait_again(again)
        self._fill()

    def _conclude(self, running: Running, *, status: int, usage: dict[str, float], why: str | None = None) -> None:
        """Judge a run and report it."""
        attempt = running.attempt
        self._where.pop(attempt.execution_id, None)
        seconds = 0.0 if running.began is None else time.monotonic() - running.began
        if running.last is not None:
            seconds = seconds_of(running.last.get("seconds"), seconds)
        outcome = judge(
            running.last, status=status, why=running.why or why, timeout_seconds=attempt.timeout_seconds, usage=usage, seconds=seconds
        )
        if running.began is not None:
            ago = time.monotonic() - running.began
            outcome = replace(outcome, began_at=datetime.fromtimestamp(time.time() - ago, UTC))
        self._sink.ended(attempt, outcome)
        with self._lock:
            self._held.pop(attempt.execution_id, None)
            self._beginning.discard(attempt.execution_id)
            mean = self._mean_seconds
            self._mean_seconds = seconds if mean is None else mean + SMOOTHING * (seconds - mean)
        self._on_free()

    def _let_all_go(self) -> None:
        for worker in self._workers.values():
            for end in tuple(worker.open_ends):
                worker.drop(self._selector, end)
        for parent in self._parents.values():
            self._selector.unregister(parent.control)
            parent.control.close()
