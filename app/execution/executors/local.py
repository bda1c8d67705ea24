"""Runs attempts on this machine, one process each, forked by the zygote. One thread moves all messages."""

from __future__ import annotations

import json
import os
import queue
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.config import Settings
from app.errors import StartError
from app.events import get_logger
from app.execution.executors.base import Executor, LogLine, Run, Sink
from app.execution.judge import FLOOD, LEASE_LOST, judge
from app.execution.model import Attempt

log = get_logger(__name__)

READ_BYTES = 262_144
LONGEST_PRINT = 8_000  # characters of one printed line
MESSAGE_OVERHEAD = 100_000  # what a last message may hold beside its result: error text and traceback
ZYGOTE_START_SECONDS = 30.0
# All that the zygote's environment keeps: nothing in it is a secret, and JOBWRIGHT_* and MONGODB_URI are not in it.
KEPT_ENVIRONMENT = (
    "PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
)  # fmt: skip


@dataclass(slots=True)
class _Running:
    run: Run
    messages: socket.socket
    prints: int
    began: float
    files: Path
    unsent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    unprinted: bytearray = field(default_factory=bytearray)
    last: dict[str, Any] | None = None
    kept_bytes: int = 0
    why: str | None = None
    ended: dict[str, Any] | None = None
    open_ends: list[socket.socket | int] = field(default_factory=list)

    @property
    def attempt(self) -> Attempt:
        return self.run.attempt


class LocalExecutor(Executor):
    """Attempts as child processes of a zygote."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink: Sink
        self._on_free: Callable[[], None]
        self._work = settings.data_path / "work" / str(os.getpid())
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held: dict[str, Attempt] = {}
        self._running: dict[str, _Running] = {}
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._loop, name="local-executor", daemon=True)
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    # -- the Executor interface -----------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the zygote and do not wait for it; `start` does. Call it early: it imports while the rest starts."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        command = [sys.executable, "-m", "app.execution.zygote", str(theirs.fileno())]
        self._zygote = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, process_group=0
        )
        theirs.close()
        self._control = ours

    def start(self, sink: Sink, *, on_free: Callable[[], None]) -> None:
        self._sink, self._on_free = sink, on_free
        if self._zygote is None:
            self.launch()
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._await_zygote()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._take_inbox)
        self._watch_zygote()
        self._thread.start()

    def free_places(self) -> int:
        with self._lock:
            return self._settings.pool_size - len(self._held)

    def submit(self, runs: Sequence[Run]) -> None:
        with self._lock:
            self._held.update({run.attempt.execution_id: run.attempt for run in runs})
        self._post("start", list(runs))

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
        if self._control is not None:
            self._control.close()  # the zygote ends every tree and itself
        if self._zygote is not None:
            self._zygote.wait()
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
            for key, _ in self._selector.select():
                try:
                    closing = key.data() == "close"
                except Exception:
                    # One attempt's trouble must not end the thread that all others depend on; its deadline still holds.
                    log.exception("executor.failed")
                    continue
                if closing:
                    for running in list(self._running.values()):
                        self._let_go(running)
                    return

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
            if what == "start":
                for run in argument:
                    self._begin(run)
            else:
                self._stop(*argument)

    def _begin(self, run: Run) -> None:
        attempt, settings = run.attempt, self._settings
        ours, theirs = socket.socketpair()
        prints, child_prints = os.pipe()
        limits = {
            "memory_bytes": settings.job_memory_mb << 20, "cpu_seconds": settings.job_cpu_seconds,
            "open_files": settings.job_open_files, "file_bytes": settings.job_file_mb << 20, "processes": settings.job_processes,
            "result_bytes": settings.job_result_bytes,
        }  # fmt: skip
        running = _Running(run, ours, prints, time.monotonic(), self._work / f"{attempt.execution_id}-{attempt.number}")
        self._running[attempt.execution_id] = running
        self._tell(
            {"op": "fork", "id": attempt.execution_id, "timeout": attempt.timeout_seconds, "grace": settings.kill_grace_seconds,
             "limits": limits},
            [theirs.fileno(), child_prints],
        )  # fmt: skip
        theirs.close()
        os.close(child_prints)
        log.info("attempt.started", execution=attempt.execution_id, attempt=attempt.number, template=attempt.template_type)
        spec = {
            "execution_id": attempt.execution_id, "attempt": attempt.number, "now": attempt.began_at.isoformat(),
            "template_type": attempt.template_type, "parameters": run.parameters, "connections": run.connections,
            "files": str(running.files), "allowed_hosts": settings.allowed_hosts, "limits": limits,
        }  # fmt: skip
        running.unsent += json.dumps(spec).encode() + b"\n"
        for end in (ours.fileno(), prints):
            os.set_blocking(end, False)
        running.open_ends = [ours, prints]
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._read_messages(running))
        self._selector.register(prints, selectors.EVENT_READ, lambda: self._read_prints(running))
        self._hand_over(running)

    def _hand_over(self, running: _Running) -> None:
        """Send what is left of the spec, as far as the socket takes it; a large one goes on whenever the child has read some."""
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while running.unsent:
                del running.unsent[: running.messages.send(running.unsent)]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if running.unsent else 0)
        self._selector.modify(running.messages, events, lambda: self._read_messages(running))

    def _stop(self, execution_id: str, why: str, grace: float) -> None:
        running = self._running.get(execution_id)
        if running is None:
            return
        running.why = running.why or why
        log.info("attempt.killed", execution=execution_id, reason=why)
        self._tell({"op": "stop", "id": execution_id, "grace": grace, "why": why})

    def _tell(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        if self._control is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):  # a dead zygote is seen by the reading side
            socket.send_fds(self._control, [json.dumps(message).encode()], list(fds))

    # -- messages of the zygote -----------------------------------------------------------------------------------

    def _await_zygote(self) -> None:
        assert self._control is not None  # noqa: S101 - launch() made it
        self._control.settimeout(ZYGOTE_START_SECONDS)
        try:
            answer = self._control.recv(1024)
        except TimeoutError as error:
            raise StartError(f"The parent of job processes was not ready within {ZYGOTE_START_SECONDS:g} s") from error
        if not answer:
            raise StartError("The parent of job processes ended at its start; its error is above")
        self._control.settimeout(None)
        log.info("zygote.started", pid=self._zygote.pid if self._zygote else None)

    def _watch_zygote(self) -> None:
        if self._control is not None:
            self._selector.register(self._control, selectors.EVENT_READ, self._hear_zygote)

    def _hear_zygote(self) -> None:
        assert self._control is not None  # noqa: S101 - registered with it
        try:
            data = self._control.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            self._replace_zygote()
            return
        message = json.loads(data)
        running = self._running.get(message["ended"])
        if running is not None:
            running.ended = message
            self._conclude_if_done(running)

    def _replace_zygote(self) -> None:
        """The zygote died, and its children with it: their attempts are lost, a new one is started."""
        assert self._control is not None  # noqa: S101 - as above
        assert self._zygote is not None  # noqa: S101 - as above
        self._selector.unregister(self._control)
        self._control.close()
        self._zygote.wait()
        log.error("zygote.died", code=self._zygote.returncode)
        for running in list(self._running.values()):
            running.why = LEASE_LOST
            running.ended = {"status": 9, "why": LEASE_LOST, "usage": {}}
            for end in tuple(running.open_ends):
                self._drop_end(running, end)
            self._conclude_if_done(running)
        self.launch()
        self._await_zygote()
        self._watch_zygote()

    # -- messages of an attempt -----------------------------------------------------------------------------------

    def _read_messages(self, running: _Running) -> None:
        if running.messages not in running.open_ends:
            return  # closed by what was handled just before, in the same round
        if running.unsent:
            self._hand_over(running)
        try:
            data = running.messages.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._close_end(running, running.messages)
            return
        running.unread += data
        if len(running.unread) > self._settings.job_result_bytes * 2 + MESSAGE_OVERHEAD and b"\n" not in data:
            running.unread.clear()
            self._stop(running.attempt.execution_id, FLOOD, 0.0)
            return
        *whole, rest = running.unread.split(b"\n")
        running.unread = bytearray(rest)
        lines: list[LogLine] = []
        for raw in whole:
            self._take_message(running, bytes(raw), lines)
        self._keep(running, lines)

    def _take_message(self, running: _Running, raw: bytes, lines: list[LogLine]) -> None:
        try:
            message = json.loads(raw)
        except ValueError:
            lines.append(LogLine(time.time(), "WARNING", "The process wrote something unreadable to its message socket"))
            return
        if "log" in message:
            lines.append(LogLine(message["at"], message["level"], message["log"]))
        elif "progress" in message:
            self._sink.progress(running.attempt, message["progress"])
        else:
            running.last = message

    def _read_prints(self, running: _Running) -> None:
        if running.prints not in running.open_ends:
            return  # as above
        try:
            data = os.read(running.prints, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            if running.unprinted:
                self._keep(running, [_printed(bytes(running.unprinted))])
            self._close_end(running, running.prints)
            return
        if running.kept_bytes > self._settings.job_log_bytes:
            return  # read, so that the job does not block, and dropped
        running.unprinted += data
        *whole, rest = running.unprinted.split(b"\n")
        if len(rest) > LONGEST_PRINT:
            whole, rest = [*whole, rest], bytearray()
        running.unprinted = bytearray(rest)
        self._keep(running, [_printed(bytes(raw)) for raw in whole])

    def _keep(self, running: _Running, lines: list[LogLine]) -> None:
        """Pass on log lines until the attempt has used up its bytes; then say so, once."""
        limit, kept = self._settings.job_log_bytes, []
        for line in lines:
            if running.kept_bytes > limit:
                break
            running.kept_bytes += len(line.message) + 40
            kept.append(line)
            if running.kept_bytes > limit:
                kept.append(
                    LogLine(
                        line.at,
                        "WARNING",
                        f"The log is full ({limit:,} bytes, JOBWRIGHT_JOB_LOG_BYTES); the rest is dropped",
                    )
                )
        if kept:
            self._sink.lines(running.attempt, kept)

    def _close_end(self, running: _Running, end: socket.socket | int) -> None:
        self._drop_end(running, end)
        self._conclude_if_done(running)

    def _drop_end(self, running: _Running, end: socket.socket | int) -> None:
        """Close one end, once: a descriptor's number may belong to another attempt a moment later."""
        if end not in running.open_ends:
            return
        running.open_ends.remove(end)
        self._selector.unregister(end)
        if isinstance(end, int):
            os.close(end)
        else:
            end.close()

    def _conclude_if_done(self, running: _Running) -> None:
        """The end: the zygote has reaped the tree and both pipes are read to their ends."""
        if running.ended is None or running.open_ends:
            return
        attempt, ended = running.attempt, running.ended
        self._let_go(running)
        outcome = judge(
            running.last, status=ended["status"], why=running.why or ended["why"], timeout_seconds=attempt.timeout_seconds,
            usage=ended["usage"], seconds=time.monotonic() - running.began,
        )  # fmt: skip
        self._sink.ended(attempt, outcome)
        with self._lock:
            self._held.pop(attempt.execution_id, None)
        self._on_free()

    def _let_go(self, running: _Running) -> None:
        self._running.pop(running.attempt.execution_id, None)
        for end in tuple(running.open_ends):
            self._drop_end(running, end)
        if running.files.exists():
            shutil.rmtree(running.files, ignore_errors=True)


def _printed(raw: bytes) -> LogLine:
    return LogLine(time.time(), "INFO", raw.decode("utf-8", errors="replace")[:LONGEST_PRINT])
