"""How arguments name jobs, channels, executions and accounts, and the columns and words for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from app.cli.client import Client, segment
from app.cli.failures import ExitCode, Failed
from app.cli.output import moment

JOBS, EXECUTIONS, CHANNELS = "/scheduler-jobs", "/job-executions", "/channels"
MOST_ACCOUNTS = 10  # whose addresses an error message lists
MOST_NAMED = 200  # jobs whose names are compared with an unknown one


def id_of(row: Mapping[str, Any]) -> str:
    """Returns the id of an object of REST."""
    return str(row["id"])


def find_job(client: Client, name_or_id: str) -> dict[str, Any]:
    """Returns the job with this name or id. Raises Failed, which names jobs that are spelled alike."""
    text = name_or_id.strip()
    if text:
        found = client.get(JOBS, "jobs", name=text, limit=1)["jobs"]
        if found:
            return dict(found[0])
    if _is_id(text):
        return dict(client.get(f"{JOBS}/{segment(text)}", "job")["job"])
    raise _unknown("job", name_or_id, client.get(JOBS, "jobs", limit=MOST_NAMED)["jobs"])


def find_channel(client: Client, name_or_id: str) -> dict[str, Any]:
    """Returns the channel with this name or id. Raises Failed, which names channels that are spelled alike."""
    rows = client.get(CHANNELS, "channels")["channels"]
    row = next((row for row in rows if name_or_id.strip() in (row.get("name"), id_of(row))), None)
    if row is None:
        raise _unknown("channel", name_or_id, rows)
    return dict(row)


def _unknown(what: str, given: str, rows: Iterable[Mapping[str, Any]]) -> Failed:
    """Returns the error for a job or a channel that does not exist, with the names of those that are spelled alike."""
    alike = get_close_matches(given.strip(), [str(row.get("name")) for row in rows], n=3)
    advice = f" Did you mean {' or '.join(repr(name) for name in alike)}?" if alike else f" `jobwright {what} list` shows the {what}s."
    return Failed(f"There is no {what} {given!r}.{advice}", ExitCode.NOT_FOUND)


def find_account(client: Client, email: str) -> dict[str, Any]:
    """Returns the account with this e-mail address, in any case. Raises Failed, which names the accounts that there are."""
    accounts = client.get("/users", "users")["users"]
    for account in accounts:
        if account.get("email") == email.strip().lower():
            return dict(account)
    known = [str(account.get("email")) for account in accounts]
    more = f" and {len(known) - MOST_ACCOUNTS} more" if len(known) > MOST_ACCOUNTS else ""
    told = f"The accounts are {', '.join(known[:MOST_ACCOUNTS])}{more}." if known else "There are no accounts yet."
    raise Failed(f"There is no account {email!r} in {client.server}. {told}", ExitCode.NOT_FOUND)


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def state_of(job: Mapping[str, Any]) -> str:
    """Returns whether a job starts by itself, in one word."""
    if not job.get("enabled"):
        return "disabled"
    if job.get("schedule_error"):
        return "broken"
    if job.get("paused"):
        return "paused"
    if job.get("shadow") and not job.get("ended"):
        return "shadow"
    return "ended" if job.get("ended") else "enabled"


def schedule_of(job: Mapping[str, Any]) -> str:
    """Returns the schedule of a job in words, with its time zone where it names times of day."""
    schedule = job.get("schedule") or {}
    words = str(job.get("schedule_words") or "")
    return f"{words} ({schedule.get('timezone')})" if schedule.get("type") == "cron" else words


def outcome_of(execution: Mapping[str, Any]) -> str:
    """Returns what came out of an execution: the message of its result, its error, or why it did not run."""
    error, result = execution.get("error"), execution.get("result")
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("type") or "")
    if isinstance(result, Mapping) and result.get("message"):
        return str(result["message"])
    progress = execution.get("progress")
    if isinstance(progress, Mapping) and execution.get("status") == "running":
        return progress_words(progress)
    return str(execution.get("reason") or "")


def progress_words(progress: Mapping[str, Any]) -> str:
    """Returns how far a run is: `18 of 4500`, with its note."""
    done, total, words = progress.get("done"), progress.get("total"), progress.get("note")
    count = f"{done} of {total}" if total is not None else f"{done}"
    return f"{count}: {words}" if words else count


def began_at(execution: Mapping[str, Any]) -> str:
    """Returns when an execution started; for one that has not, when it was due or queued."""
    return moment(execution.get("started_at") or execution.get("scheduled_for") or execution.get("queued_at"))
