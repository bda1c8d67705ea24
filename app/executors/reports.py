"""What an attempt reports while it runs, as the service keeps it. Every function accepts any JSON value in a message.

A template runs its own code in its process and can send anything, by mistake or on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.executors.base import LogLine
from app.executors.outcomes import number_between
from app.sandbox.protocol import Log, Progress
from app.validation.storable import MOST_WHOLE, storable_text, whole_text

LONGEST_LEVEL = 20  # characters
LONGEST_NOTE = 200
LINE_BYTES = 40  # what a line counts in the log beside its text
LATEST_SECONDS = 253_402_300_799.0  # the end of the year 9999, in seconds since 1970
UNREADABLE = "The process sent a message that cannot be read"


def unreadable_line(now: float) -> LogLine:
    """Returns the line that stands in the log for a message that cannot be read; `now` in seconds since 1970."""
    return LogLine(now, "WARNING", UNREADABLE)


def log_line(message: Log, now: float) -> LogLine:
    """Returns the line of a log message. `now` replaces a time that is none; the level of a message without one is INFO."""
    if not isinstance(message.text, str):
        return unreadable_line(now)
    at = number_between(message.at, 0.0, LATEST_SECONDS, now)
    return LogLine(at, storable_text(message.level, LONGEST_LEVEL) or "INFO", whole_text(message.text))


def progress_document(message: Progress) -> dict[str, Any] | None:
    """Returns the progress {done, total, note}; None if `done` is no number. Counts lie between 0 and 2⁶³ - 1."""
    done = _count(message.done)
    if done is None:
        return None
    return {"done": done, "total": _count(message.total), "note": storable_text(message.note, LONGEST_NOTE)}


class LogBudget:
    """How much of an attempt's log is kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._used_bytes = most_bytes, 0

    def admit(self, lines: Sequence[LogLine]) -> list[LogLine]:
        """Returns the lines that still fit. The line that exceeds the budget is kept, too, and followed by one that says so."""
        admitted: list[LogLine] = []
        for line in lines:
            if self._used_bytes > self._most_bytes:
                break
            self._used_bytes += len(line.message) + LINE_BYTES
            admitted.append(line)
            if self._used_bytes > self._most_bytes:
                text = f"The log is full ({self._most_bytes:,} bytes, JOBWRIGHT_JOB_LOG_BYTES); the rest is dropped"
                admitted.append(LogLine(line.at, "WARNING", text))
        return admitted


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, 0), MOST_WHOLE))
