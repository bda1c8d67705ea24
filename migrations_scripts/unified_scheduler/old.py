"""The old scheduler, as it was: three jobs in the code, and a loop. It is here to be migrated from, in tests and in the guide.

It differs from the original in two ways that the migration needs: before each run it asks the ledger, and it writes down what it ran.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from migrations_scripts.unified_scheduler.ledger import Ledger

LOOP_SECONDS = 0.1
SEEN_SECONDS = 1.0
SESSION_DAYS = 30
TICKET_DAYS = 90
RESOLVED = ["resolved", "closed"]
INTERVALS = {"test_scheduler": 60, "data_cleanup": 3600, "auto_delete_resolved_tickets": 86_400}

Work = Callable[[Database[dict[str, Any]]], None]


def test_scheduler(database: Database[dict[str, Any]]) -> None:
    """Writes a sign of life."""
    database["heartbeats"].insert_one({"at": datetime.now(UTC)})


test_scheduler.__test__ = False  # type: ignore[attr-defined]  # tells pytest that this is not a test


def data_cleanup(database: Database[dict[str, Any]]) -> None:
    """Deletes sessions that nobody has used for 30 days."""
    database["sessions"].delete_many({"lastSeen": {"$lt": datetime.now(UTC) - timedelta(days=SESSION_DAYS)}})


def auto_delete_resolved_tickets(database: Database[dict[str, Any]]) -> None:
    """Deletes tickets that were resolved 90 days ago."""
    before = datetime.now(UTC) - timedelta(days=TICKET_DAYS)
    database["tickets"].delete_many({"status": {"$in": RESOLVED}, "resolvedAt": {"$lt": before}})


JOBS: Mapping[str, Work] = {
    "test_scheduler": test_scheduler,
    "data_cleanup": data_cleanup,
    "auto_delete_resolved_tickets": auto_delete_resolved_tickets,
}


class UnifiedScheduler:
    """Runs the three jobs, one after the other, until it is stopped. `intervals` replace those of INTERVALS, in seconds, and `pauses`
    are seconds by which runs last longer; both are for tests."""

    def __init__(
        self, database: Database[dict[str, Any]], intervals: Mapping[str, int] | None = None, pauses: Mapping[str, float] | None = None
    ) -> None:
        self._database, self._ledger = database, Ledger(database)
        self._intervals = {**INTERVALS, **(intervals or {})}
        self._pauses, self._stop = pauses or {}, threading.Event()

    def start(self) -> None:
        """Runs the loop until `stop` is called."""
        self._ledger.begin()
        for name, seconds in self._intervals.items():
            self._ledger.register(name, seconds)
        threading.Thread(target=self._show_life, daemon=True).start()
        while not self._stop.wait(LOOP_SECONDS):
            for name, work in JOBS.items():
                due_at = self._ledger.claim(name)
                if due_at is not None:
                    self._run(name, work, due_at)

    def get_jobs(self) -> list[dict[str, Any]]:
        """Returns the jobs as {name, interval_seconds}."""
        return [{"name": name, "interval_seconds": seconds} for name, seconds in self._intervals.items()]

    def stop(self) -> None:
        """Ends the loop after the present run."""
        self._stop.set()

    def _run(self, name: str, work: Work, due_at: datetime) -> None:
        status = "success"
        try:
            work(self._database)
            self._stop.wait(self._pauses.get(name, 0))
        except Exception:
            status = "failed"
        self._ledger.finish(name, due_at, status)

    def _show_life(self) -> None:
        while not self._stop.wait(SEEN_SECONDS):
            self._ledger.seen()
