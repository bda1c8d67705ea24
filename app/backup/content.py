"""What a backup holds of each collection: all documents but those that only matter for minutes and, on demand, the history of runs.

Collections without documents are in it, too: a restore makes the indexes of all collections.
"""

from __future__ import annotations

import re
from typing import Any

from app.mongo import Document
from app.queue.model import LIVE

# Collections of the restore itself: the new ones until they are complete, the replaced ones until the restore has ended.
NEW, OLD, MARKS = "restore_new.", "restore_old.", "restores"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")  # of a collection of the registry

# What says something about processes, browsers, monitors and minutes that are over when a backup is restored.
TRANSIENT = {
    "nodes": "nodes that are online",
    "sessions": "sessions: everyone signs in again",
    "rate_counters": "counted requests",
    "rate_windows": "counted requests",
    "sign_in_attempts": "failed sign-ins",
    "connection_health": "results of connection tests",
    "channel_states": "whether channels can be reached",
    "monitor": "calls of the outside monitor",
    "notification_turns": "which node plans notifications",
    "endpoints": "states of circuit breakers",
    # Older totals than those that Prometheus has read look like a restart from 0, after which all of history happens within a minute.
    "metric_totals": "totals of metrics: they begin at 0",
}
# What runs have left. An execution that waits or runs is no history, and neither is one that still owes something.
_GOES_ON: Document = {"$or": [{"status": {"$in": sorted(status.value for status in LIVE)}}, {"owed": {"$exists": True}}]}
_NOTHING: Document = {"_id": {"$exists": False}}
HISTORY: dict[str, Document] = {
    "job_executions": _GOES_ON,
    "execution_logs": _NOTHING,
    "acknowledgements": _NOTHING,
    "inbound_deliveries": _NOTHING,
    "deliveries": {"status": "waiting"},
    "incidents": {"open": True},
    "announcements": {"due_at": {"$type": "date"}},
    "announcement_batches": {"open": True},
}


def is_backed_up(name: str) -> bool:
    """Returns whether a backup holds this collection of the database."""
    return NAME.fullmatch(name) is not None and name != MARKS


def filter_of(name: str, *, history: bool) -> dict[str, Any]:
    """Returns which documents of a collection a backup holds."""
    if name == "migrations":
        return {"_id": {"$ne": "lock"}}
    if name in TRANSIENT:
        return _NOTHING
    return {} if history else HISTORY.get(name, {})


def left_out(*, history: bool, key: bool) -> list[str]:
    """Returns what a backup does not hold, as texts for people."""
    texts = sorted(set(TRANSIENT.values()))
    if not history:
        texts.append(
            "the history of runs: ended executions, logs, acknowledgements, inbound deliveries, notifications, incidents that are over"
        )
    if not key:
        texts.append("the key of the installation (JOBWRIGHT_SECRET_KEY): without it, nobody can decrypt connections and other secrets")
    return texts
