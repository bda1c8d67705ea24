"""The process of an attempt: reads what to run, runs the template, reports how it went.

`run_one` is for a process that runs one attempt. `Server` is for a reused process: it runs the attempts that the executor lines up, and
ends after the first that failed, was stopped or left something behind. Its messages between Begun and End belong to the attempt that these
name.

This module is in every job process, so it imports only what each attempt needs.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.sandbox.kernel import boot_seconds
from app.sandbox.protocol import Begun, Dropped, End, Limits, Message, Start, StopRun, TooLate, decode, encode
from app.sandbox.template_call import LogHandler, ProgressReport, call_template, failure
from templates_lib.base import JobTemplate

READ_BYTES = 262_144


class _Channel:
    """Sends messages to the executor, each as a whole line, from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._lock = sock, threading.Lock()
        self._held_back = b""

    def send(self, message: Message, *, hold_back: bool = False) -> None:
        """Sends the message; with `hold_back`, together with the next one, so that two that follow at once are one system call."""
        data = encode(message) + b"\n"
        with self._lock:
            data, self._held_back = self._held_back + data, b""
            if hold_back:
                self._held_back = data
            else:
                self._sock.sendall(data)

    def flush(self) -> None:
        """Sends what was held back."""
        with self._lock:
            data, self._held_back = self._held_back, b""
            if data:
                self._sock.sendall(data)


def prepare() -> None:
    """Does in the zygote what all attempts have in common. They share each page of memory that they do not write to."""
    for chatty in ("httpx", "httpcore", "pymongo"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run_one(sock: socket.socket, template: JobTemplate, limits: Limits, confine: Callable[[list[str]], object]) -> int:
    """Runs the attempt that the executor sends over `sock`. Returns the process's exit status: 0 if the attempt's end was sent.

    `confine` is called with the folders of the attempt's file stores before anything of the template runs; the attempt has no others.
    """
    data = b""
    while not data.endswith(b"\n"):
        received = sock.recv(READ_BYTES)
        if not received:
            return 1  # the executor is gone
        data += received
    start = decode(data)
    assert isinstance(start, Start)  # noqa: S101 - the executor sends nothing else
    channel, stop = _Channel(sock), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    confine(list(start.folders))
    _open_streams()
    if _is_too_late(start):
        channel.send(TooLate(start.execution_id))
        return 0
    channel.send(Begun(start.execution_id))
    channel.send(_run(template, start, channel, LogHandler(channel.send), stop, limits))
    return 0


class Server:
    """A reused process. The signal handler and the loop read the same socket: the handler between two steps of a template."""

    def __init__(self, sock: socket.socket, template: JobTemplate, limits: Limits, *, most_runs: int, mark: str) -> None:
        """It ends after `most_runs` attempts. It prints `mark` with an attempt's id and the end of the line before that attempt."""
        self._sock, self._template, self._limits, self._most_runs, self._mark = sock, template, limits, most_runs, mark
        self._channel = _Channel(sock)
        self._handler = LogHandler(self._channel.send)
        self._waiting: deque[Start] = deque()
        self._dropped: list[str] = []  # reported by the loop: the signal handler must not wait for the channel's lock
        self._unread = b""
        self._current: str | None = None
        self._stop = threading.Event()
        self._doomed = self._closed = self._reading = False
        self._environment = dict(os.environ)

    def run(self) -> int:
        """Runs attempts until the executor closes the socket, or one of them ends this process. Returns the exit status."""
        _open_streams()
        served = 0
        while not self._doomed and served < self._most_runs:
            while self._dropped:
                self._channel.send(Dropped(self._dropped.pop()))
            if not self._waiting:
                self._channel.flush()
                self._read(wait=True)
                if self._closed:
                    break
                continue
            served += 1
            if not self._attempt(self._waiting.popleft(), last=served == self._most_runs):
                break
        self._channel.flush()
        return 0

    def _attempt(self, start: Start, *, last: bool) -> bool:
        """Runs one attempt. Returns whether the next one may follow in this process."""
        if _is_too_late(start):
            self._channel.send(TooLate(start.execution_id))
            return not last
        self._current = start.execution_id
        signal.signal(signal.SIGTERM, self._hear_stop)
        self._stop.clear()
        self._channel.send(Begun(start.execution_id))
        os.write(1, f"{self._mark}{start.execution_id}\n".encode())  # what is printed from here on is this attempt's
        used, began = time.process_time(), time.monotonic()
        soft = int(used) + 1 + self._limits.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        end = _run(self._template, start, self._channel, self._handler, self._stop, self._limits)
        self._current = None
        succeeded = end.error is None and not end.cancelled
        reusable = succeeded and not self._doomed and not last and self._left_nothing(start.files)
        usage = {
            "cpu_seconds": round(time.process_time() - used, 4),
            "max_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }
        end = end._replace(seconds=round(time.monotonic() - began, 4), usage=usage, reusable=reusable)
        self._read(wait=False)
        self._channel.send(end, hold_back=reusable and bool(self._waiting))
        return reusable

    def _left_nothing(self, files: str) -> bool:
        """Returns whether the attempt left no process, no thread and no change of the environment. Its files are removed."""
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        else:
            return False
        if threading.active_count() > 1 or dict(os.environ) != {**self._environment, "TMPDIR": files}:
            return False
        if any(Path(files).iterdir()):
            shutil.rmtree(files, ignore_errors=True)
        return not any(stream is None or stream.closed for stream in (sys.stdout, sys.stderr))

    def _hear_stop(self, *_: Any) -> None:
        """Handles SIGTERM: the executor has named the attempt that it wants stopped. This process ends after it in any case."""
        self._doomed = True
        if not self._reading:  # else the read that it interrupts takes the message
            self._read(wait=False)

    def _read(self, *, wait: bool) -> None:
        """Takes what the executor sent: attempts to run, and attempts to stop."""
        self._reading = True
        with suppress(BlockingIOError):
            data = self._sock.recv(READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
            self._closed = not data
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                self._take(decode(line))
        self._reading = False

    def _take(self, message: Message) -> None:
        if isinstance(message, Start):
            self._waiting.append(message)
        elif isinstance(message, StopRun) and message.execution_id == self._current:
            self._stop.set()
        elif isinstance(message, StopRun):
            others = deque(start for start in self._waiting if start.execution_id != message.execution_id)
            if others != self._waiting:
                self._waiting = others
                self._dropped.append(message.execution_id)


def _is_too_late(start: Start) -> bool:
    """Returns whether the attempt may not begin any more: the node was stopped meanwhile, or nothing may start from now on."""
    return boot_seconds() >= float(start.begin_until)


def _open_streams() -> None:
    """Opens standard output and error anew. They stay open for as long as the process lives."""
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - stays open
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - stays open


def _run(template: JobTemplate, start: Start, channel: _Channel, handler: LogHandler, stop: threading.Event, limits: Limits) -> End:
    """Runs one attempt in its own folder. Returns its last message."""
    files = start.files
    os.umask(0o077)  # what a template writes is its owner's, and nobody else reads it
    try:
        with suppress(FileExistsError):
            os.mkdir(files, 0o700)  # noqa: PTH102 - touches a third of the pages that Path.mkdir does, in each attempt
        os.chdir(files)
    except OSError as error:
        return failure(start.execution_id, "NoFolder", f"The folder for the files of this attempt could not be created: {error}")
    os.environ["TMPDIR"] = files
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].__dict__["tempdir"] = files
    end = call_template(template, start, log=_job_logger(handler), report=ProgressReport(channel.send), stop=stop, limits=limits)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # the template may have closed it
            stream.flush()
    return end


def _job_logger(handler: LogHandler) -> logging.Logger:
    """Sends everything that the template and its libraries log to the job's log. Done before each attempt, as a template may change it.

    What they print goes through the output pipe.
    """
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    return logging.getLogger("job")
