"""The attempt's own process: builds the context, runs the template, says how it went. JSON lines over one socket."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from app.jobtemplates.catalogue import Catalogue
from templates_lib.base import Cancelled, ConnectionGrant, JobResult, RunContext, TemplateError

PROGRESS_EVERY_SECONDS = 0.1
LONGEST_LINE = 8_000  # characters of one log message
LONGEST_TRACEBACK = 8_000


class _Pipe:
    """Sends messages to the runner; whole lines, from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._lock = sock, threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message, ensure_ascii=False, allow_nan=False).encode("utf-8", errors="replace") + b"\n"
        with self._lock:
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


def run_attempt(sock: socket.socket, catalogue: Catalogue) -> int:
    """Run what the runner sends over `sock`; returns the process's exit status, 0 where a result was sent."""
    with sock.makefile("rb") as reader:
        spec = json.loads(reader.readline())
    pipe = _Pipe(sock)
    log = _redirect_logging(pipe)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    files = Path(spec["files"])
    files.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chdir(files)
    tempfile.tempdir = str(files)
    progress = _Progress(pipe)
    context = RunContext(
        log=log,
        execution_id=spec["execution_id"],
        attempt=spec["attempt"],
        now=datetime.fromisoformat(spec["now"]),
        files=files,
        grants={name: ConnectionGrant(name, kind, settings) for name, (kind, settings) in spec["connections"].items()},
        allowed_hosts=tuple(spec["allowed_hosts"]),
        report=progress,
        stop=stop,
    )
    message = _outcome(catalogue, spec, context)
    progress.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the template may have closed it
            stream.flush()
    pipe.send(message)
    return 0


def _redirect_logging(pipe: _Pipe) -> logging.Logger:
    """Everything that the template or its libraries log goes to the job's log; prints arrive through the output pipe."""
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - they live as long as we
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - the same
    root = logging.getLogger()
    root.handlers[:] = [_PipeHandler(pipe)]
    root.setLevel(logging.INFO)
    for chatty in ("httpx", "httpcore", "pymongo"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return logging.getLogger("job")


def _outcome(catalogue: Catalogue, spec: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
    """The last message: `{"result": …}` or `{"error": …}`. Whatever a template may raise ends here."""
    try:
        template = catalogue.get(spec["template_type"]).template
        result = template.run(spec["parameters"], context)
        if inspect.isawaitable(result):
            result = asyncio.run(_await(result))
        return _result_message(result, spec["limits"]["result_bytes"])
    except Cancelled as stopped:
        return {"cancelled": str(stopped)}
    except TemplateError as error:
        return _error(
            type(error).__name__,
            str(error),
            permanent=error.permanent,
            data=error.data,
            limit=spec["limits"]["result_bytes"],
        )
    except SystemExit as error:
        return _error("SystemExit", f"The template called sys.exit({error.code!r})")
    except MemoryError:
        limit = spec["limits"]["memory_bytes"] // (1 << 20)
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
    error: dict[str, Any] = {"error": {"type": kind, "message": message[:4000], "permanent": permanent}}
    if data:
        try:
            text = json.dumps(dict(data), allow_nan=False)
        except (TypeError, ValueError):
            return error
        if len(text) <= limit:
            error["result"] = json.loads(text)
    return error
