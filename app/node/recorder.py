"""Writes what attempts report: one thread, many reports a trip, nothing lost while the database is away."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.clock import Clock
from app.events import get_logger
from app.execution.log_store import LogStore, chunk, execution_of
from app.executors.base import LogLine
from app.executors.outcomes import storable_outcome, unwritable_outcome
from app.mongo import Document, is_permanent, portions
from app.node.finisher import Finisher
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, Deferral, Outcome
from app.validation.storable import storable_text, whole_text

log = get_logger(__name__)

GATHER_SECONDS = 0.05  # log lines and progress wait so long for company; ends do not wait
RETRY_SECONDS = 0.5
LINES_A_CHUNK = 1000
CHUNK_BYTES = 1_000_000  # of the texts in a chunk, which may have 16 MiB
LINE_BYTES = 80  # of a line beside its text: its time, its level and their names
CLOSE_SECONDS = 5.0  # for what is there at a stop; the database may be away
PENDING_LIMIT = 20_000  # reports waiting while the database is away; beyond it attempts block on their log


class GaveUp(Exception):
    """The service stops and does not wait for the database."""


class Report(NamedTuple):
    """`what` is `lines` (LogLines), `progress` (a document) or `ended` (an Outcome)."""

    what: str
    attempt: Attempt
    value: Any


class Recorder:
    """The sink of executors. Order holds within an attempt: its lines are written before its end.

    What the store cannot hold is replaced, and a line of the run's log names it. Where the database refuses a batch for what is in it, the
    reports of each attempt are written by themselves, and those that it refuses again end their attempt as failed, with the reason.
    """

    def __init__(self, store: ClaimStore, logs: LogStore, finisher: Finisher, clock: Clock) -> None:
        self._store, self._logs, self._finisher, self._clock = store, logs, finisher, clock
        self._reports: queue.Queue[Report | None] = queue.Queue(PENDING_LIMIT)
        self._chunk_numbers: dict[tuple[str, int], int] = {}
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)
        self._unwritten = 0
        self._ending: dict[str, Attempt] = {}
        self._lock = threading.Condition()
        self._gave_up = threading.Event()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Write what is there, then end; False where the database did not take it in time. Those runs are called lost when their leases
        are over, here or on another node."""
        self._put_or_drop(None)
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self.give_up()
            self._thread.join(CLOSE_SECONDS)  # one that a hanging database holds ends with the process
        with self._lock:
            left = self._unwritten
        if left:
            log.error("recorder.unwritten", reports=left)
        return not left

    def give_up(self) -> None:
        """Try nothing twice from now on: the service stops, and the database does not answer."""
        self._gave_up.set()

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
        self._put_or_drop(Report(what, attempt, value))

    def _put_or_drop(self, report: Report | None) -> None:
        """Wait for room, unless nothing makes any more."""
        while True:
            try:
                self._reports.put(report, timeout=RETRY_SECONDS)
            except queue.Full:
                if not self._gave_up.is_set():
                    continue
            return

    def _loop(self) -> None:
        while True:
            batch, closing = self._gather()
            if batch:
                try:
                    written = self._write_until_done(batch)
                except Exception:  # the thread that all attempts depend on goes on
                    log.exception("recorder.lost", executions=sorted({report.attempt.execution_id for report in batch})[:10])
                    written = True
                if written:
                    self._note_written(batch)
            if closing:
                return

    def _note_written(self, batch: Sequence[Report]) -> None:
        with self._lock:
            self._unwritten -= len(batch)
            for what, attempt, _ in batch:
                if what == "ended":
                    self._ending.pop(attempt.execution_id, None)
            self._lock.notify_all()

    def _gather(self) -> tuple[list[Report], bool]:
        """Wait for a report, then take all that is there: with an end among them at once, else after GATHER_SECONDS."""
        batch: list[Report] = []
        deadline: float | None = None
        while True:
            try:
                report = self._reports.get(timeout=RETRY_SECONDS if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                if deadline is None and not self._gave_up.is_set():
                    continue
                return batch, deadline is None
            if report is None:
                return batch, True
            batch.append(report)
            if deadline is None or report.what == "ended":
                deadline = time.monotonic() + (0.0 if report.what == "ended" else GATHER_SECONDS)

    def _write_until_done(self, batch: list[Report]) -> bool:
        """False where it gave up. Reports go together; where the database refuses them for good, those of each attempt by themselves."""
        fit = [part for report in batch for part in _fitting(report, self._clock.now())]
        chunks = self._chunks(fit)
        refused = self._until_passed(lambda: self._write(fit, chunks))
        if isinstance(refused, GaveUp):
            return False
        if refused is not None:
            log.error("recorder.refused", reports=len(batch), reason=repr(refused)[:200])
            for attempt in dict.fromkeys(report.attempt.execution_id for report in fit):
                mine = [report for report in fit if report.attempt.execution_id == attempt]
                if not self._write_alone(mine, [lines for lines in chunks if execution_of(lines["_id"]) == attempt]):
                    return False
        return True

    def _write_alone(self, reports: list[Report], chunks: list[Document]) -> bool:
        """The reports of one attempt; what the database refuses is left out, and an end that it refuses is replaced by one that says so.
        False where it gave up."""
        for document in chunks:
            refused = self._until_passed(lambda document=document: self._logs.append([document]))  # type: ignore[misc]
            if isinstance(refused, GaveUp):
                return False
            if refused is not None:
                text = f"Some log lines ({len(document['lines'])}) could not be stored: {storable_text(str(refused), 500)}"
                line = {"timestamp": self._clock.now(), "level": "WARNING", "message": text}
                instead = {**document, "count": 1, "levels": ["WARNING"], "lines": [line]}
                self._until_passed(lambda instead=instead: self._logs.append([instead]))  # type: ignore[misc]
        refused = self._until_passed(lambda: self._write(reports, []))
        if refused is not None and not isinstance(refused, GaveUp):
            why = refused
            ends = [report._replace(value=unwritable_outcome(report.value, why)) for report in reports if report.what == "ended"]
            refused = self._until_passed(lambda: self._write(ends, []))
            if refused is not None and not isinstance(refused, GaveUp):
                log.error("recorder.lost", executions=[report.attempt.execution_id for report in ends], reason=repr(refused)[:200])
                return True  # its lease runs out, and a sweeper ends it
        return refused is None

    def _until_passed(self, write: Callable[[], None]) -> Exception | None:
        """Write, again and again while the database is away or too busy; the error where it refuses for good, GaveUp where that was not
        to be waited for."""
        while True:
            try:
                write()
            except Exception as error:
                if is_permanent(error):
                    return error
                if self._gave_up.wait(RETRY_SECONDS):
                    return GaveUp()
                log.warning("recorder.waiting", reason=str(error)[:200])
            else:
                return None

    def _write(self, batch: list[Report], chunks: list[Document]) -> None:
        """Each write may be repeated after an error: chunks have fixed places, ends are refused the second time by their token."""
        if chunks:
            self._logs.append(chunks)
        ends = [(attempt, value) for what, attempt, value in batch if what == "ended"]
        newest = {attempt.execution_id: (attempt, value) for what, attempt, value in batch if what == "progress"}
        if newest:
            self._store.write_progress(list(newest.values()))
        if ends:
            self._finisher.finish([(attempt, outcome) for attempt, outcome in ends if outcome.deferral is None])
            for attempt, outcome in ends:
                if outcome.deferral is not None:
                    self._defer(attempt, outcome, outcome.deferral)
            for attempt, _ in ends:
                self._chunk_numbers.pop((attempt.execution_id, attempt.number), None)

    def _defer(self, attempt: Attempt, outcome: Outcome, deferral: Deferral) -> None:
        began_at = outcome.began_at or attempt.started_at
        held = self._store.defer(attempt, deferral, began_at, now=self._clock.now())
        log.info("attempt.deferred", **attempt.log_fields, held=held)

    def _chunks(self, batch: Sequence[Report]) -> list[Document]:
        """Log lines of the batch in chunks, numbered within their attempt; the number is fixed before the first try to write."""
        gathered: dict[tuple[str, int], tuple[Attempt, list[Document]]] = {}
        for what, attempt, value in batch:
            if what == "lines":
                _, lines = gathered.setdefault((attempt.execution_id, attempt.number), (attempt, []))
                lines += [_line(line) for line in value]
        chunks = []
        for key, (attempt, lines) in gathered.items():
            for portion in portions(lines, _size, most_bytes=CHUNK_BYTES, most=LINES_A_CHUNK):
                number = self._chunk_numbers[key] = self._chunk_numbers.get(key, 0) + 1
                chunks.append(chunk(attempt.execution_id, attempt.number, number, portion))
        return chunks


def _fitting(report: Report, now: datetime) -> list[Report]:
    """A report that the store can hold; before it, where something of an outcome was replaced, a line that names it."""
    if report.what != "ended":
        return [report]
    outcome, named = storable_outcome(report.value)
    fit = report._replace(value=outcome)
    return [fit] if named is None else [Report("lines", report.attempt, [LogLine(now.timestamp(), "WARNING", named)]), fit]


def _line(line: LogLine) -> Document:
    return {"timestamp": datetime.fromtimestamp(line.at, UTC), "level": line.level, "message": whole_text(line.message)}


def _size(line: Document) -> int:
    """How many bytes a line of a log takes in its chunk."""
    text = line["message"]
    return LINE_BYTES + (len(text) if text.isascii() else len(text.encode()))
