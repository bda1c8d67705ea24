"""Writes what attempts report: one thread, many reports a trip, nothing lost while the database is away."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.clock import Clock
from app.events import get_logger
from app.execution.executors.base import LogLine
from app.execution.log_store import LogStore, chunk
from app.execution.model import Attempt, Outcome, Reason, Status
from app.execution.retry import decide_retry
from app.execution.store import ExecutionStore
from app.jobs.store import Ended, JobStore
from app.mongo import Document, is_away

log = get_logger(__name__)

GATHER_SECONDS = 0.05  # log lines and progress wait so long for company; ends do not wait
RETRY_SECONDS = 0.5
LINES_A_CHUNK = 1000
PENDING_LIMIT = 20_000  # reports waiting while the database is away; beyond it attempts block on their log


class Recorder:
    """The sink of executors. Order holds within an attempt: its lines are written before its end."""

    def __init__(self, executions: ExecutionStore, logs: LogStore, jobs: JobStore, clock: Clock) -> None:
        self._executions, self._logs, self._jobs, self._clock = executions, logs, jobs, clock
        self._on_written: Callable[[], None] = lambda: None
        self._on_followed: Callable[[], None] = lambda: None
        self._reports: queue.Queue[tuple[str, Attempt, Any] | None] = queue.Queue(PENDING_LIMIT)
        self._chunk_numbers: dict[tuple[str, int], int] = {}
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)
        self._unwritten = 0
        self._ending: dict[str, Attempt] = {}
        self._lock = threading.Condition()

    def start(self, *, on_written: Callable[[], None] = lambda: None, on_followed: Callable[[], None] = lambda: None) -> None:
        """`on_written` is called after ends are in the database, and places and retries with them; `on_followed` where other jobs run after
        one of them."""
        self._on_written, self._on_followed = on_written, on_followed
        self._thread.start()

    def close(self) -> None:
        """Write what is there, then end."""
        self._reports.put(None)
        self._thread.join()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was reported is written; False where that took too long."""
        with self._lock:
            return self._lock.wait_for(lambda: self._unwritten == 0, timeout_seconds)

    # -- the Sink interface ---------------------------------------------------------------------------------------

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        self._put("lines", attempt, list(lines))

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self._put("progress", attempt, dict(progress))

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        with self._lock:
            self._ending[attempt.execution_id] = attempt
        self._put("ended", attempt, outcome)

    def unwritten(self) -> dict[str, Attempt]:
        with self._lock:
            return dict(self._ending)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _put(self, what: str, attempt: Attempt, value: Any) -> None:
        with self._lock:
            self._unwritten += 1
        self._reports.put((what, attempt, value))

    def _loop(self) -> None:
        while True:
            batch, closing = self._gather()
            if batch:
                self._write_until_done(batch)
                with self._lock:
                    self._unwritten -= len(batch)
                    for what, attempt, _ in batch:
                        if what == "ended":
                            self._ending.pop(attempt.execution_id, None)
                    self._lock.notify_all()
            if closing:
                return

    def _gather(self) -> tuple[list[tuple[str, Attempt, Any]], bool]:
        """Wait for a report, then take all that is there: with an end among them at once, else after GATHER_SECONDS."""
        batch: list[tuple[str, Attempt, Any]] = []
        deadline: float | None = None
        while True:
            try:
                report = self._reports.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, False
            if report is None:
                return batch, True
            batch.append(report)
            if deadline is None or report[0] == "ended":
                deadline = time.monotonic() + (0.0 if report[0] == "ended" else GATHER_SECONDS)

    def _write_until_done(self, batch: list[tuple[str, Attempt, Any]]) -> None:
        chunks = self._chunks(batch)
        while True:
            try:
                self._write(batch, chunks)
            except Exception as error:
                if not is_away(error):
                    log.exception("recorder.waiting", reason=repr(error)[:200])
                else:
                    log.warning("recorder.waiting", reason=str(error)[:200])
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _write(self, batch: list[tuple[str, Attempt, Any]], chunks: list[Document]) -> None:
        """Each write may be repeated after an error: chunks have fixed places, ends are refused the second time by their token."""
        if chunks:
            self._logs.append(chunks)
        ends = [(attempt, value) for what, attempt, value in batch if what == "ended"]
        ended = {attempt.execution_id for attempt, _ in ends}
        newest = {a.execution_id: (a, value) for what, a, value in batch if what == "progress" and a.execution_id not in ended}
        last = {a.execution_id: value for what, a, value in batch if what == "progress" and a.execution_id in ended}
        if newest:
            self._executions.write_progress(list(newest.values()))
        if ends:
            self._write_ends(ends, last)
            self._on_written()

    def _write_ends(self, ends: list[tuple[Attempt, Outcome]], last_progress: Mapping[str, Any]) -> None:
        rows = [(attempt, outcome, _delay(attempt, outcome)) for attempt, outcome in ends if outcome.reason is not Reason.HANDED_BACK]
        for attempt, outcome in ends:
            if outcome.reason is Reason.HANDED_BACK and self._executions.hand_back(attempt, now=self._clock.now()):
                log.warning("attempt.handed_back", execution=attempt.execution_id, attempt=attempt.number)
        if not rows:
            return
        final = [(attempt, last_progress[attempt.execution_id]) for attempt, _ in ends if attempt.execution_id in last_progress]
        if final:
            self._executions.write_progress(final)
        followed = self._jobs.followed({attempt.job_id for attempt, _, delay in rows if delay is None})
        refused = self._executions.finish(rows, now=self._clock.now(), followed=followed)
        if followed:
            self._on_followed()
        for attempt, outcome, delay in rows:
            self._chunk_numbers.pop((attempt.execution_id, attempt.number), None)
            if attempt.execution_id in refused:
                log.warning("attempt.stale", execution=attempt.execution_id, attempt=attempt.number, token=attempt.token)
                continue
            log.info(
                "attempt.ended", execution=attempt.execution_id, attempt=attempt.number, status=outcome.status.value,
                seconds=outcome.seconds, error=outcome.error.type if outcome.error else None, retry_in=delay,
            )  # fmt: skip
        self._jobs.note_runs(
            Ended(attempt.job_id, attempt.began_at, outcome.status.value if delay is None else None)
            for attempt, outcome, delay in rows if attempt.execution_id not in refused and not attempt.dry
        )  # fmt: skip

    def _chunks(self, batch: list[tuple[str, Attempt, Any]]) -> list[Document]:
        """Log lines of the batch in chunks, numbered within their attempt; the number is fixed before the first try to write."""
        gathered: dict[tuple[str, int], tuple[Attempt, list[Document]]] = {}
        for what, attempt, value in batch:
            if what == "lines":
                _, lines = gathered.setdefault((attempt.execution_id, attempt.number), (attempt, []))
                lines += [
                    {"timestamp": datetime.fromtimestamp(line.at, UTC), "level": line.level, "message": line.message} for line in value
                ]
        chunks = []
        for key, (attempt, lines) in gathered.items():
            for start in range(0, len(lines), LINES_A_CHUNK):
                number = self._chunk_numbers[key] = self._chunk_numbers.get(key, 0) + 1
                chunks.append(chunk(attempt.execution_id, attempt.number, number, lines[start : start + LINES_A_CHUNK]))
        return chunks


def _delay(attempt: Attempt, outcome: Outcome) -> float | None:
    if outcome.status not in {Status.FAILED, Status.TIMEOUT} or outcome.error is None:
        return None
    return decide_retry(attempt.retry_policy, attempt.failed_attempts, outcome.error).delay_seconds
