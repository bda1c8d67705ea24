"""What job code gets: its config, what it reports, and whether it should stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobwright_client.errors import Cancelled
from jobwright_client.results import JobResult

if TYPE_CHECKING:
    import typing_extensions

    ConfigT = typing_extensions.TypeVar("ConfigT", default=dict[str, Any])
else:
    ConfigT = TypeVar("ConfigT")
ItemT = TypeVar("ItemT")


class Reports:
    """Takes what a run says about itself. This one drops it; `reports.py` has the one that sends it to Jobwright."""

    def progress(self, done: int, total: int | None, note: str) -> None:
        """Takes how far the run is."""

    def line(self, level: str, message: str, created: float) -> None:
        """Takes a line of the log; `created` is in seconds since 1970."""

    def extend(self, seconds: int) -> None:
        """Asks for a later deadline."""


class JobContext(Generic[ConfigT]):
    """One run of a job. `config` has the type that the job declares, or is a dict.

    `execution_id` is the same in each attempt of a run, so it serves as an idempotency key. `attempt` counts from 1. `triggered_by_user` is
    the person who asked for the run, if one did. Methods may be called from any thread.
    """

    def __init__(
        self,
        job_name: str,
        config: ConfigT,
        call: Mapping[str, Any],
        reports: Reports | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.job_name = job_name
        self.config = config
        self.execution_id = str(call["executionId"])
        self.attempt = int(call.get("attempt") or 1)
        self.triggered_by = str(call.get("triggeredBy") or "")
        self.triggered_by_user: str | None = call.get("triggeredByUser")
        self.reports = reports or Reports()
        self.stop_requested = threading.Event()
        self.log = _logger(self)
        self._clock = clock
        self._lock = threading.Lock()
        self._succeeded = self._failed = 0
        self._errors: list[str] = []

    # -- items -------------------------------------------------------------------------------------------------------

    def succeeded(self, items: int = 1) -> None:
        """Counts items that went well."""
        with self._lock:
            self._succeeded += items

    def failed(self, reason: object = "", items: int = 1) -> None:
        """Counts items that failed. The first reason becomes the error of the result."""
        with self._lock:
            self._failed += items
            if reason and not self._errors:
                self._errors.append(str(reason))

    def counted(self) -> JobResult:
        """Returns the result that the counts make: it succeeds, and failed items are judged by the policy of the job."""
        with self._lock:
            return JobResult(
                items_processed=self._succeeded + self._failed,
                items_succeeded=self._succeeded,
                items_failed=self._failed,
                error=self._errors[0] if self._errors else None,
            )

    # -- reports -----------------------------------------------------------------------------------------------------

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Reports how far the run is. This is cheap and may be called as often as needed."""
        self.reports.progress(done, total, note)

    def track(self, items: Iterable[ItemT], total: int | None = None) -> Iterator[ItemT]:
        """Yields items, reports the progress, and stops at the next item when the run is to stop."""
        if total is None:
            total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
        for done, item in enumerate(items):
            self.check_cancelled()
            self.progress(done, total)
            yield item
        if total is not None:
            self.progress(total, total)

    def extend(self, seconds: int) -> None:
        """Asks Jobwright to let the run go on for `seconds` from now."""
        self.reports.extend(seconds)

    # -- stopping ----------------------------------------------------------------------------------------------------

    def cancelled(self) -> bool:
        """Returns whether somebody cancelled the run, its time is up, another attempt took over, or this process stops."""
        return self.stop_requested.is_set()

    def check_cancelled(self) -> None:
        """Marks a safe point: raises Cancelled if the run is to stop."""
        if self.cancelled():
            raise Cancelled()


class _ToJobwright(logging.Handler):
    """Sends log records of one run to Jobwright."""

    def __init__(self, context: JobContext[Any]) -> None:
        super().__init__()
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._context.reports.line(record.levelname, self.format(record), record.created)
        except Exception:
            self.handleError(record)


def _logger(context: JobContext[Any]) -> logging.Logger:
    """A logger of one run. It is not among the named loggers, so it goes with its run; the program's handlers get its records, too."""
    logger = logging.Logger(f"jobwright_client.jobs.{context.job_name}", logging.INFO)
    logger.parent = logging.getLogger("jobwright_client.jobs")
    logger.addHandler(_ToJobwright(context))
    return logger
