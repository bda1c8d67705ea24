"""Which labels the executions that wait need, and of which templates they are, remembered for a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.mongo import Records
from app.shapes import LONG_AGO

FRESH_FOR = timedelta(seconds=0.5)
MOST_REMEMBERED = 500  # values


class WaitingValues:
    """Reads from an index which values a field has in the executions that wait: `needs_key` (sets of labels) or `template_type`. Any thread
    may call it."""

    def __init__(self, executions: Records, field: str) -> None:
        self._executions, self._field = executions, field
        self._read: tuple[datetime, frozenset[str]] | None = None

    def read(self, now: datetime) -> frozenset[str]:
        """Returns the values.

        They are read again after FRESH_FOR, so an execution with a value that none had before waits so long at most. Values of before are
        remembered, so the next such execution does not wait.
        """
        read = self._read
        if read is None or not timedelta(0) <= now - read[0] < FRESH_FOR:
            known = read[1] if read is not None else frozenset[str]()
            waiting = {"queue_rank": {"$gte": LONG_AGO}, self._field: {"$gt": ""}}
            fresh = frozenset(self._executions.distinct(self._field, waiting))
            read = self._read = now, fresh | known if len(known) < MOST_REMEMBERED else fresh
        return read[1]
