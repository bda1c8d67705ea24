"""Calls a template for one attempt: builds its context, and turns whatever becomes of the call into the attempt's last message.

Every job process holds this module, so it imports only what each attempt needs.
"""

from __future__ import annotations

import inspect
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from app.sandbox.protocol import End, Limits, Log, Progress, Start
from templates_lib.base import (
    CallbackAddress,
    Cancelled,
    Commands,
    ConnectionGrant,
    Deferred,
    JobResult,
    JobTemplate,
    Route,
    RunContext,
    TemplateError,
)
from templates_lib.call_notes import CallNotes
from templates_lib.messages import parts_of, say
from templates_lib.own import Own

PROGRESS_EVERY_SECONDS = 0.1
LONGEST_LINE = 8_000  # characters of one log message
LONGEST_ERROR = 4_000
LONGEST_TRACEBACK = 8_000
LONGEST_NOTE = 200


class LogHandler(logging.Handler):
    """Passes each record to `send` as a Log message."""

    def __init__(self, send: Callable[[Log], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            text = str(record.msg)
        self._send(Log(text[:LONGEST_LINE], record.levelname, record.created))


class ProgressReport:
    """Passes on the first progress and then at most one each PROGRESS_EVERY_SECONDS. `flush` passes on the last one."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send, self._next = send, 0.0
        self._pending: Progress | None = None

    def __call__(self, done: int, total: int | None, note: str) -> None:
        self._pending = Progress(int(done), None if total is None else int(total), str(note)[:LONGEST_NOTE])
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Passes on the last progress if that has not happened yet."""
        if self._pending is not None:
            self._send(self._pending)
            self._pending, self._next = None, time.monotonic() + PROGRESS_EVERY_SECONDS


def call_template(
    template: JobTemplate, start: Start, *, log: logging.Logger, report: ProgressReport, stop: threading.Event, limits: Limits
) -> End:
    """Runs the template, or its preview if the attempt is dry. Returns the attempt's last message, whatever the template raises."""
    calls = CallNotes(start.traceparent, only=start.route is not None) if start.traced else None
    try:
        work = template.preview if start.dry else template.run
        if work is None:
            raise TemplateError("This template has no preview", permanent=True)
        result: Any = work(start.parameters, _context(start, log=log, report=report, stop=stop, calls=calls))
        if inspect.isawaitable(result):
            import asyncio  # noqa: PLC0415 - the zygote of an asynchronous template has it; the others do without its pages

            result = asyncio.run(_await(result))
        if isinstance(result, Deferred):
            end = _deferred(start, result)
        else:
            end = _end_with_result(start.execution_id, result, limits.result_bytes)
    except Cancelled:
        end = End(start.execution_id, cancelled=True)
    except TemplateError as error:
        with suppress(Exception):  # the template may have changed the logger
            log.error("%s", error)  # noqa: TRY400 - an expected error has no traceback
        failed = failure(start.execution_id, type(error).__name__, str(error), permanent=error.permanent)
        if error.retry_after_seconds is not None:
            failed.error["retry_after_seconds"] = error.retry_after_seconds
        end = failed._replace(result=_partial_result(error.data, limits.result_bytes))
    except SystemExit as error:
        end = failure(start.execution_id, "SystemExit", say("The template called sys.exit({code!r})", code=error.code))
    except MemoryError:
        most = limits.memory_bytes // (1 << 20)
        words = say("The run needed more memory than the limit allows ({most} MiB, JOBWRIGHT_JOB_MEMORY_MB)", most=most)
        end = failure(start.execution_id, "MemoryError", words)
    except BaseException as error:
        trace = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
        end = failure(start.execution_id, type(error).__name__, str(error) or "no error message", trace=trace)
    report.flush()
    return end if calls is None or not calls.made else end._replace(calls=calls.made)


def _context(start: Start, *, log: logging.Logger, report: ProgressReport, stop: threading.Event, calls: CallNotes | None) -> RunContext:
    return RunContext(
        log=log,
        execution_id=start.execution_id,
        attempt=start.attempt,
        now=datetime.fromisoformat(start.now),
        files=Path(start.files),
        grants={name: ConnectionGrant(name, kind, settings) for name, (kind, settings) in start.connections.items()},
        allowed_hosts=tuple(start.allowed_hosts),
        commands=Commands(*map(tuple, start.commands or ())),
        own=Own(*start.own),
        triggered_by=start.triggered_by,
        triggered_by_user=start.triggered_by_user,
        timeout_seconds=start.timeout_seconds,
        route=None if start.route is None else Route(*start.route),
        callback=None if start.callback is None else CallbackAddress(*start.callback),
        correlation_id=start.correlation_id,
        traceparent=start.traceparent,
        calls=calls,
        report=report,
        stop=stop,
    )


def failure(execution_id: str, error_type: str, message: str, *, permanent: bool = False, trace: str = "") -> End:
    """Returns the last message of an attempt that failed."""
    error = {"type": error_type, "message": message[:LONGEST_ERROR], "permanent": bool(permanent), "traceback": trace}
    if len(message) <= LONGEST_ERROR and (parts := parts_of(message)) is not None:
        error["said"] = parts
    return End(execution_id, error=error)


def _deferred(start: Start, deferred: Deferred) -> End:
    if start.callback is None or start.dry:
        words = say("This run has no address for reports, so it cannot be deferred")
        return failure(start.execution_id, "NotDeferrable", words, permanent=True)
    return End(start.execution_id, deferred={"heartbeat_seconds": deferred.heartbeat_seconds})


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _end_with_result(execution_id: str, result: Any, most_bytes: int) -> End:
    if not isinstance(result, JobResult):
        return failure(execution_id, "TypeError", f"run() must return a JobResult; it returned {type(result).__name__}")
    try:
        text = json.dumps({**result.data, "message": result.message}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return failure(execution_id, "UnserialisableResult", f"The result is not a JSON value: {error}")
    if len(text.encode("utf-8", errors="replace")) > most_bytes:
        words = f"The result has {len(text):,} characters; the limit is {most_bytes:,} bytes (JOBWRIGHT_JOB_RESULT_BYTES)"
        return failure(execution_id, "ResultTooLarge", words)
    return End(execution_id, result=json.loads(text))


def _partial_result(data: Mapping[str, Any], most_bytes: int) -> dict[str, Any] | None:
    """Returns what a failed attempt achieved, as JSON values; None if that is nothing, no JSON or too large."""
    if not data:
        return None
    try:
        text = json.dumps(dict(data), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return dict(json.loads(text)) if len(text) <= most_bytes else None
