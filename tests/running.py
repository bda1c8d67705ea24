"""A template's run in the test's own process: its context, and what it reports."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo.database import Database

from templates_lib.base import ConnectionGrant, RunContext

NOW = datetime(2026, 8, 31, 12, 0, tzinfo=UTC)
Data = Database[dict[str, Any]]


class Ctx:
    """Builds a run context and keeps what the run reports."""

    def __init__(self, files: Path, grants: dict[str, ConnectionGrant]) -> None:
        self.files, self.grants, self.steps = files, grants, []
        self.stop = threading.Event()

    def __call__(self, **changes: Any) -> RunContext:
        def report(done: int, total: int | None, note: str) -> None:
            self.steps.append((done, total))

        given = {"execution_id": "exec-1", "attempt": 1, "now": NOW, "files": self.files, "grants": self.grants, "stop": self.stop}
        return RunContext(log=logging.getLogger("job"), **{"report": report, **given, **changes})
