"""What moves an execution, as updates of its document: pure, and the store sends them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import bson
from pymongo import UpdateMany, UpdateOne

from app.jobs.model import Overlap
from app.mongo import Document, by_id
from app.notification.base import recipients_of
from app.queue.model import Attempt, AttemptError, Outcome, Status, owed
from app.queue.retry import decide_retry
from app.queue.slots import RunBounds

FAILURES = (Status.FAILED.value, Status.TIMEOUT.value)
RAN = (Status.SUCCESS.value, *FAILURES)  # to an end of its own; other jobs may run after it
# What an execution has only while it waits or runs, and what the indexes of the queue are made of.
LEAVES_QUEUE = {"live": "", "queue_rank": "", "slots": "", "waits_for": ""}
NO_BOUNDS = RunBounds()
SMALL_RESULT = 4_000  # bytes; larger results are written one by one, as a command has room for 16 MB


def held(attempt: Attempt) -> Document:
    return {"_id": attempt.execution_id, "status": Status.RUNNING.value, "lease.token": attempt.token}


def token_of(row: Document) -> int:
    return int(row.get("last_token", 0))


def takes(
    rows: Sequence[Document], places: Mapping[str, list[str]], lease: Document, host: str, now: datetime, until: datetime | None = None
) -> list[UpdateOne | UpdateMany]:
    """Set waiting executions running, each if nobody has touched its token since it was read, and if it is not `until` yet by the
    database's clock.

    Those of the same token go in one update: an update a document costs the server three times as much.
    """
    by_token: dict[int, list[str]] = {}
    for row in rows:
        by_token.setdefault(token_of(row), []).append(row["_id"])
    attempt = {
        "number": {"$add": [{"$size": "$attempts"}, 1]},
        "started_at": now,
        "completed_at": None,
        "status": Status.RUNNING.value,
        "error": None,
        "host": {"$literal": host},
        "worker": {"$literal": lease["owner"]},
    }
    in_time: Document = {} if until is None else {"$expr": {"$lt": ["$$NOW", until]}}
    return [
        UpdateMany(
            {"_id": {"$in": ids}, "queue_rank": {"$exists": True}, "last_token": token or None, "cancel": {"$exists": False}, **in_time},
            [
                {
                    "$set": {
                        "status": Status.RUNNING.value,
                        "slots": by_id(ids, [places[one] for one in ids]),
                        "lease": {"$literal": {**lease, "token": token + 1}},
                        "last_token": token + 1,
                        "started_at": {"$ifNull": ["$started_at", now]},
                        "execution_host": {"$literal": host},
                        "progress": None,
                        "attempts": {"$concatArrays": ["$attempts", [attempt]]},
                    }
                },
                {"$unset": ["queue_rank", "waits_for"]},
            ],
            hint="_id_",
        )
        for token, ids in by_token.items()
    ]


def is_plain(attempt: Attempt, outcome: Outcome, delay_seconds: float | None) -> bool:
    """A success of which nobody is to be told: nearly all ends, and small enough to be written many at a time."""
    if delay_seconds is not None or outcome.status is not Status.SUCCESS or recipients_of(attempt.notifications, outcome.status.value):
        return False
    return len(bson.encode({"result": outcome.result})) <= SMALL_RESULT


def is_followed(attempt: Attempt, followed: Collection[str]) -> bool:
    """Whether others may run after this: `followed` are the jobs that others depend on. A preview and a run that makes up for a due time of
    long ago are nothing to them."""
    return attempt.job_id in followed and not attempt.dry and attempt.stands_for is None


def plain_ends(ends: Sequence[tuple[Attempt, Outcome]], now: datetime) -> list[UpdateOne | UpdateMany]:
    """Write successes, those of the same token in one update, as in `takes`."""
    by_token: dict[int, list[tuple[Attempt, Outcome]]] = {}
    for attempt, outcome in ends:
        by_token.setdefault(attempt.token, []).append((attempt, outcome))
    operations: list[UpdateOne | UpdateMany] = []
    for token, group in by_token.items():
        ids = [attempt.execution_id for attempt, _ in group]
        ended = [
            {
                "attempt": {**_ended_attempt(outcome, now), "started_at": outcome.began_at or attempt.started_at},
                "result": outcome.result,
                **_span_of(attempt, outcome, now),
            }
            for attempt, outcome in group
        ]
        earlier = {"$slice": ["$attempts", {"$max": [{"$subtract": [{"$size": "$attempts"}, 1]}, 1]}]}
        rest = {"$cond": [{"$gt": [{"$size": "$attempts"}, 1]}, earlier, []]}
        operations.append(
            UpdateMany(
                {"_id": {"$in": ids}, "lease.token": token, "status": Status.RUNNING.value},
                [
                    {"$set": {"end": by_id(ids, ended)}},
                    {
                        "$set": {
                            "status": Status.SUCCESS.value,
                            "reason": None,
                            "error": None,
                            "completed_at": now,
                            "result": "$end.result",
                            "started_at": "$end.started_at",
                            "duration_seconds": "$end.duration_seconds",
                            "attempts": {"$concatArrays": [rest, [{"$mergeObjects": [{"$last": "$attempts"}, "$end.attempt"]}]]},
                        }
                    },
                    {"$unset": ["end", "lease", *LEAVES_QUEUE]},
                ],
                hint="_id_",
            )
        )
    return operations


def _ended_attempt(outcome: Outcome, now: datetime) -> Document:
    """What an attempt's record gains by its end."""
    return {
        "completed_at": now,
        "status": outcome.status.value,
        "error": outcome.error.as_document() if outcome.error else None,
        "duration_seconds": outcome.seconds,
        "reason": outcome.reason.value if outcome.reason else None,
        "usage": dict(outcome.usage),
    }


def _span_of(attempt: Attempt, outcome: Outcome, now: datetime) -> Document:
    """When the execution began, to which its first process has the last word, and how long it took."""
    began_at = outcome.began_at if outcome.began_at and attempt.number == 1 else attempt.began_at
    return {"started_at": began_at, "duration_seconds": max(0.0, (now - began_at) / timedelta(seconds=1))}


def back_in_queue(attempt: Attempt, status: Status, available_at: datetime) -> Document:
    """What makes a running execution wait again: at its old rank, on its job's place, so that no other run overtakes it."""
    return {"status": status.value, "available_at": available_at, "queue_rank": attempt.rank, "slots": list(attempt.places[:1])}


def end(attempt: Attempt, outcome: Outcome, delay_seconds: float | None, now: datetime, *, followed: bool = False) -> Document:
    """The update that ends the running attempt and, without a delay, the execution. One that is `followed` is marked, in the same write,
    for the jobs that run after its own."""
    last = f"attempts.{attempt.number - 1}"
    ended = _ended_attempt(outcome, now)
    fields: Document = {
        **{f"{last}.{name}": value for name, value in ended.items()},
        "error": ended["error"],
        "result": outcome.result,
        "reason": ended["reason"],
    }
    span = _span_of(attempt, outcome, now)
    if outcome.began_at is not None:
        fields |= {f"{last}.started_at": outcome.began_at, "started_at": span["started_at"]}
    if delay_seconds is not None:
        fields |= back_in_queue(attempt, Status.RETRYING, now + timedelta(seconds=delay_seconds))
        return {"$set": fields, "$unset": {"lease": ""}}
    fields |= {"status": outcome.status.value, "completed_at": now, "duration_seconds": span["duration_seconds"]}
    if recipients_of(attempt.notifications, outcome.status.value):
        fields["notify"] = owed(now)
    if attempt.pause_after_failures and outcome.status in FAILURES:
        fields["verdict"] = "pending"
    if followed and outcome.status in RAN:
        fields["dependants"] = "pending"
    return {"$set": fields, "$unset": {"lease": "", **LEAVES_QUEUE}}


def checked(row: Document, now: datetime) -> Document:
    """The row, where it is an execution with all that a run takes. Raises whatever is wrong with it."""
    attempt = attempt_from(row, number=len(row["attempts"]) + 1, token=token_of(row) + 1, started_at=now)
    NO_BOUNDS.of(row)
    Overlap(row["overlap"])
    float(attempt.timeout_seconds)
    dict(attempt.parameters)
    decide_retry(attempt.retry_policy, attempt.failed_attempts, AttemptError(type="", message=""))
    for status in Status:
        recipients_of(attempt.notifications, status.value)
    for name in ("job_id", "job_name", "template_type", "triggered_by"):
        if not isinstance(row[name], str):
            raise TypeError(f"{name} is no text")
    return row


def attempt_from(row: Document, *, number: int, token: int, started_at: datetime) -> Attempt:
    """Attempt `number` of an execution; of the ones before it, those that failed count for the retry policy."""
    return Attempt(
        execution_id=row["_id"],
        number=number,
        token=token,
        job_id=row["job_id"],
        job_name=row["job_name"],
        template_type=row["template_type"],
        template_version=row.get("template_version", 0),
        code_version=row.get("code_version") or row.get("template_version", 0),
        parameters=row["parameters"],
        timeout_seconds=row["timeout_seconds"],
        started_at=started_at,
        began_at=row["started_at"] or started_at,
        retry_policy=row["retry_policy"],
        failed_attempts=1 + sum(one["status"] in FAILURES for one in row["attempts"][: number - 1]),
        notifications=row.get("notifications", {}),
        pause_after_failures=row.get("pause_after_failures", 0),
        rank=row["rank"],
        places=tuple(row.get("slots", ())),
        stands_for=row.get("stands_for"),
        dry=row.get("dry", False),
        scheduled_for=row.get("scheduled_for"),
        resolved={one["pointer"]: one["value"] for one in row["resolved"]} if row.get("resolved") else None,
    )
