"""An attempt's own process: builds the context, runs the template, says how it went. JSON lines over one socket.

`run_one` is for a process that is one attempt's. `serve` is for a reused one: it works through attempts that its runner lines up, and
ends after the first that failed, was stopped, or left something behind. Each line that it sends names nothing but its own: what runs is
known from `{"begin": id}` and `{"end": id, …}` around it.

This module is in every job process: it imports only what each attempt needs.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from templates_lib.base import Cancelled, ConnectionGrant, JobResult, JobTemplate, RunContext, TemplateError
from templates_lib.own import Own

PROGRESS_EVERY_SECONDS = 0.1
LONGEST_LINE = 8_000  # characters of one log message
LONGEST_TRACEBACK = 8_000
READ_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Config:
    """What an attempt may: the largest result and its memory in bytes, its processor time in seconds. Of a reused process: after how
    many attempts it ends, and what it prints, with an attempt's id and the end of the line, before that attempt."""

    result_bytes: int
    memory_bytes: int
    cpu_seconds: int
    most_runs: int
    mark: str


class _Pipe:
    """Sends messages to the runner; whole lines, from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._lock = sock, threading.Lock()
        self._held = b""

    def send(self, message: Mapping[str, Any], *, hold: bool = False) -> None:
        """`hold`: with the next message, so that two that follow at once are one call of the kernel."""
        data = json.dumps(message, ensure_ascii=False, allow_nan=False).encode("utf-8", errors="replace") + b"\n"
        with self._lock:
            data, self._held = self._held + data, b""
            if hold:
                self._held = data
            else:
                self._sock.sendall(data)

    def flush(self) -> None:
        with self._lock:
            data, self._held = self._held, b""
            if data:
                self._sock.sendall(data)


class _PipeHandler(logging.Handler):
    def __init__(self, pipe: _Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            text = str(record.msg)
        self._pipe.send({"log": text[:LONGEST_LINE], "level": record.levelname, "at": record.created})


class _Progress:
    """Thins progress out; the last word always gets through, as the run's end sends it again."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe, self._next = pipe, 0.0
        self._pending: dict[str, Any] | None = None

    def __call__(self, done: int, total: int | None, note: str) -> None:
        self._pending = {"done": int(done), "total": None if total is None else int(total), "note": str(note)[:200]}
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        if self._pending is not None:
            self._pipe.send({"progress": self._pending})
            self._pending, self._next = None, time.monotonic() + PROGRESS_EVERY_SECONDS


def prepare() -> None:
    """What all attempts have in common, done once in their parent: each page of memory that they do not write they share."""
    for chatty in ("httpx", "httpcore", "pymongo"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run_one(sock: socket.socket, template: JobTemplate, config: Config, close: Callable[[list[str]], object]) -> int:
    """Run what the runner sends over `sock`, with nothing but the folders that it names once `close` was called with them; returns the
    process's exit status, 0 where a result was sent."""
    data = b""
    while not data.endswith(b"\n"):
        received = sock.recv(READ_BYTES)
        if not received:
            return 1  # the runner is gone
        data += received
    spec = json.loads(data)
    pipe, stop = _Pipe(sock), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    close(spec["folders"])
    _open_streams()
    if _is_late(spec):
        pipe.send({"late": spec["execution_id"]})
        return 0
    pipe.send({"begin": spec["execution_id"]})
    pipe.send(_run(template, spec, pipe, _Journal(pipe), stop, config))
    return 0


def serve(sock: socket.socket, template: JobTemplate, config: Config) -> int:
    """Run one attempt after the other, as the runner sends them, until it closes the socket or one of them ends this process."""
    return _Server(sock, template, config).run()


class _Server:
    """A reused process. The signal handler and the loop read the same socket: the handler between two steps of a template."""

    def __init__(self, sock: socket.socket, template: JobTemplate, config: Config) -> None:
        self._sock, self._template, self._config = sock, template, config
        self._pipe = _Pipe(sock)
        self._journal = _Journal(self._pipe)
        self._waiting: deque[dict[str, Any]] = deque()
        self._dropped: list[str] = []  # said by the loop: the signal handler must not wait for the pipe's lock
        self._unread = b""
        self._current: str | None = None
        self._stop = threading.Event()
        self._doomed = self._closed = self._reading = False
        self._environment = dict(os.environ)

    def run(self) -> int:
        _open_streams()
        served = 0
        while not self._doomed and served < self._config.most_runs:
            while self._dropped:
                self._pipe.send({"dropped": self._dropped.pop()})
            if not self._waiting:
                self._pipe.flush()
                self._read(wait=True)
                if self._closed:
                    break
                continue
            served += 1
            if not self._attempt(self._waiting.popleft(), last=served == self._config.most_runs):
                break
        self._pipe.flush()
        return 0

    def _attempt(self, spec: dict[str, Any], *, last: bool) -> bool:
        """True where the next attempt may follow in this process."""
        if _is_late(spec):
            self._pipe.send({"late": spec["execution_id"]})
            return not last
        self._current = spec["execution_id"]
        signal.signal(signal.SIGTERM, self._hear)
        self._stop.clear()
        self._pipe.send({"begin": self._current})
        os.write(1, f"{self._config.mark}{self._current}\n".encode())  # what is printed from here on is this attempt's
        used, began = time.process_time(), time.monotonic()
        soft = int(used) + 1 + self._config.cpu_seconds
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        message = _run(self._template, spec, self._pipe, self._journal, self._stop, self._config)
        self._current = None
        clean = "result" in message and "error" not in message and not self._doomed and not last and self._nothing_left(spec)
        usage = {
            "cpu_seconds": round(time.process_time() - used, 4),
            "max_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }
        seconds = round(time.monotonic() - began, 4)
        end = {"end": spec["execution_id"], "seconds": seconds, "usage": usage, "more": clean, **message}
        self._read(wait=False)
        self._pipe.send(end, hold=clean and bool(self._waiting))
        return clean

    def _nothing_left(self, spec: Mapping[str, Any]) -> bool:
        """True where the attempt left no process, no thread and no change of the environment; its files go."""
        files = spec["files"]
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

    def _hear(self, *_: Any) -> None:
        """SIGTERM: the runner wants one attempt stopped and has said which; this process ends after it either way."""
        self._doomed = True
        if not self._reading:  # else what it interrupts takes the message
            self._read(wait=False)

    def _read(self, *, wait: bool) -> None:
        """Take what the runner sent: attempts, and `{"stop": id}`."""
        self._reading = True
        with suppress(BlockingIOError):
            data = self._sock.recv(READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
            self._closed = not data
            *whole, self._unread = (self._unread + data).split(b"\n")
            for line in whole:
                message = json.loads(line)
                if "stop" not in message:
                    self._waiting.append(message)
                elif message["stop"] == self._current:
                    self._stop.set()
                elif (kept := deque(spec for spec in self._waiting if spec["execution_id"] != message["stop"])) != self._waiting:
                    self._waiting = kept
                    self._dropped.append(message["stop"])
        self._reading = False


class _Journal:
    """Where a run's log goes; put in place anew before each run, as a template may have moved it."""

    def __init__(self, pipe: _Pipe) -> None:
        self._handler = _PipeHandler(pipe)

    def open(self) -> logging.Logger:
        """Everything that the template or its libraries log goes to the job's log; prints arrive through the output pipe."""
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(logging.INFO)
        return logging.getLogger("job")


def _is_late(spec: Mapping[str, Any]) -> bool:
    """Whether the node may not start the attempt any more: it was stopped on the way, or nothing is to start from now on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) >= float(spec["begin_until"])


def _open_streams() -> None:
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - they live as long as we
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - the same


def _run(
    template: JobTemplate, spec: Mapping[str, Any], pipe: _Pipe, journal: _Journal, stop: threading.Event, config: Config
) -> dict[str, Any]:
    """One attempt; its last message."""
    files = spec["files"]
    os.umask(0o077)  # what a template writes is its owner's, and nobody else reads it
    try:
        with suppress(FileExistsError):
            os.mkdir(files, 0o700)  # noqa: PTH102 - a third of the pages that Path.mkdir touches, in each attempt
        os.chdir(files)
    except OSError as error:
        return _error("NoFolder", f"The folder of its files could not be made: {error}")
    os.environ["TMPDIR"] = files
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].__dict__["tempdir"] = files
    progress = _Progress(pipe)
    context = RunContext(
        log=journal.open(),
        execution_id=spec["execution_id"],
        attempt=spec["attempt"],
        now=datetime.fromisoformat(spec["now"]),
        files=Path(files),
        grants={name: ConnectionGrant(name, kind, settings) for name, (kind, settings) in spec["connections"].items()},
        allowed_hosts=tuple(spec["allowed_hosts"]),
        own=Own(*spec["own"]),
        report=progress,
        stop=stop,
    )
    message = _outcome(template.preview if spec.get("dry") else template.run, spec["parameters"], context, config)
    progress.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # the template may have closed it
            stream.flush()
    return message


def _outcome(work: Callable[..., Any] | None, parameters: Mapping[str, Any], context: RunContext, config: Config) -> dict[str, Any]:
    """The last message of a template's `run` or `preview`: `{"result": …}` or `{"error": …}`. Whatever it may raise ends here."""
    try:
        if work is None:
            raise TemplateError("This template has no preview", permanent=True)
        result = work(parameters, context)
        if inspect.isawaitable(result):
            import asyncio  # noqa: PLC0415 - the zygote of an asynchronous kind has it; the others do without its pages

            result = asyncio.run(_await(result))
        return _result_message(result, config.result_bytes)
    except Cancelled as stopped:
        return {"cancelled": str(stopped)}
    except TemplateError as error:
        return _error(type(error).__name__, str(error), permanent=error.permanent, data=error.data, limit=config.result_bytes)
    except SystemExit as error:
        return _error("SystemExit", f"The template called sys.exit({error.code!r})")
    except MemoryError:
        limit = config.memory_bytes // (1 << 20)
        return _error("MemoryError", f"The run needed more memory than it may have ({limit} MiB, JOBWRIGHT_JOB_MEMORY_MB)")
    except BaseException as error:
        text = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
        return {**_error(type(error).__name__, str(error) or "no message"), "traceback": text}


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _result_message(result: Any, limit: int) -> dict[str, Any]:
    if not isinstance(result, JobResult):
        return _error("TypeError", f"run() must return a JobResult; it returned {type(result).__name__}")
    try:
        text = json.dumps({**result.data, "message": result.message}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return _error("UnserialisableResult", f"The result is no JSON value: {error}")
    if len(text.encode("utf-8", errors="replace")) > limit:
        return _error(
            "ResultTooLarge",
            f"The result has {len(text):,} characters; it may have {limit:,} bytes (JOBWRIGHT_JOB_RESULT_BYTES)",
        )
    return {"result": json.loads(text)}


def _error(kind: str, message: str, *, permanent: bool = False, data: Mapping[str, Any] | None = None, limit: int = 0) -> dict[str, Any]:
    """The message of a failure; `data` is what was achieved all the same, left out where it exceeds `limit` bytes."""
    error: dict[str, Any] = {"error": {"type": kind, "message": message[:4000], "permanent": bool(permanent)}}
    if data:
        try:
            text = json.dumps(dict(data), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return error
        if len(text) <= limit:
            error["result"] = json.loads(text)
    return error
