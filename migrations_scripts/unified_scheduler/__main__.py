"""Runs the old scheduler: `python -m migrations_scripts.unified_scheduler`, until it gets SIGTERM or Ctrl-C.

UNIFIED_SCHEDULER_URI and UNIFIED_SCHEDULER_DATABASE name its MongoDB, which is not that of Jobwright. UNIFIED_SCHEDULER_INTERVALS replaces
intervals, in seconds, as JSON: `{"test_scheduler": 2}`. UNIFIED_SCHEDULER_PAUSES makes runs last longer, in the same form.
"""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from pymongo import MongoClient

from migrations_scripts.unified_scheduler.old import UnifiedScheduler


def main() -> None:
    """Runs the loop until a signal ends it."""
    uri = os.environ.get("UNIFIED_SCHEDULER_URI", "mongodb://localhost:27017")
    name = os.environ.get("UNIFIED_SCHEDULER_DATABASE", "unified_scheduler")
    intervals = json.loads(os.environ.get("UNIFIED_SCHEDULER_INTERVALS", "{}"))
    pauses = json.loads(os.environ.get("UNIFIED_SCHEDULER_PAUSES", "{}"))
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        scheduler = UnifiedScheduler(client[name], intervals, pauses)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: scheduler.stop())
        scheduler.start()


if __name__ == "__main__":
    main()
