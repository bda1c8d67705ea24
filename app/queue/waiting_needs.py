"""Which labels the executions that wait need, remembered for a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.mongo import Records
from app.shapes import LONG_AGO

FRESH_FOR = timedelta(seconds=0.5)
MOST_REMEMBERED = 500  # sets of labels


class WaitingNeeds:
    """Reads from the index which sets of labels the executions that wait need. Any thread may call it."""

    def __init__(self, executions: Records) -> None:
        self._executions = executions
        self._read: tuple[datetime, frozenset[str]] | None = None

    def keys(self, now: datetime) -> frozenset[str]:
        """Returns the sets of labels as values of `needs_key`.

        They are read again after FRESH_FOR, so an execution that needs what none needed before waits so long at most. What was needed
        before is remembered, so the next such execution does not wait.
        """
        read = self._read
        if read is None or not timedelta(0) <= now - read[0] < FRESH_FOR:
            known = read[1] if read is not None else frozenset[str]()
            waiting = {"queue_rank": {"$gte": LONG_AGO}, "needs_key": {"$gt": ""}}
            fresh = frozenset(self._executions.distinct("needs_key", waiting))
            read = self._read = now, fresh | known if len(known) < MOST_REMEMBERED else fresh
        return read[1]
