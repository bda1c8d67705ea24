"""What the jobs of the old scheduler become, and how they differ from what they were. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.durations import write
from templates_lib.messages import say

CRON, INTERVAL = "cron", "interval"
TICKET_SCHEDULES = (CRON, INTERVAL)  # the first is the default
TICKETS = "auto_delete_resolved_tickets"
NIGHTLY = "0 19 * * *"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the jobs are made: the connection to the database of the old scheduler, the time zone of a cron expression, and the schedule of
    the clean-up of tickets."""

    connection: str
    timezone: str = "UTC"
    tickets: str = CRON


def _heartbeat(_: Options) -> dict[str, Any]:
    return {"template_type": "test_scheduler", "parameters": {"message": "The scheduler is alive"}}


def _cleanup(options: Options) -> dict[str, Any]:
    parameters = {
        "connection": options.connection,
        "collection": "sessions",
        "condition": {"lastSeen": {"$lt": "30 days ago"}},
        "dryRun": False,
    }
    return {"template_type": "database_cleanup", "parameters": parameters}


def _tickets(options: Options) -> dict[str, Any]:
    parameters = {
        "connection": options.connection,
        "collection": "tickets",
        "older_than_days": 90,
        "statuses": ["resolved", "closed"],
        "dryRun": False,
    }
    return {"template_type": "ticket_cleanup", "parameters": parameters}


OLD_JOBS: Mapping[str, Callable[[Options], dict[str, Any]]] = {
    "test_scheduler": _heartbeat,
    "data_cleanup": _cleanup,
    TICKETS: _tickets,
}


def body_of(name: str, interval_seconds: int, options: Options) -> dict[str, Any]:
    """Returns the job that an old one becomes, as for creating one. Raises KeyError for a name that is not in OLD_JOBS."""
    interval = {"type": "interval", "interval_seconds": interval_seconds}
    nightly = {"type": "cron", "expression": NIGHTLY, "timezone": options.timezone}
    return {
        "name": name,
        "description": "Migrated from the unified scheduler.",
        "tags": ["migrated"],
        "schedule": nightly if name == TICKETS and options.tickets == CRON else interval,
        "retry_policy": {"max_retries": 0},
        **OLD_JOBS[name](options),
    }


def differences(name: str, interval_seconds: int, options: Options) -> list[str]:
    """Returns how the job will differ from the old one, a sentence each."""
    told: list[str] = []
    if name == TICKETS and options.tickets == CRON:
        words = say(
            "The old scheduler runs it every {span}, counted from its start. The job runs at 19:00 ({zone}). "
            "With --tickets interval it keeps the interval.",
            span=write(interval_seconds),
            zone=options.timezone,
        )
        told.append(words)
    else:
        told.append(say("The old scheduler counts the interval from the last start and drifts. The job counts it from the due time."))
    if name == TICKETS:
        told.append(say("One run deletes at most 10,000 tickets."))
    if name == "data_cleanup":
        told.append(say("One run deletes at most 100,000 documents, and counts them first."))
    if name == "test_scheduler":
        told.append(say("The sign of life is the execution. Nothing is written to the collection heartbeats any more."))
    return told
