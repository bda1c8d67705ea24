"""What moves an execution through the queue, as updates of its document. Pure: the stores send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

import bson
from pymongo import UpdateMany, UpdateOne

from app.jobs.model import Overlap, RetryPolicy, notifications_from, retry_policy_from
from app.mongo import Document, by_id
from app.outbox.model import owed_now
from app.queue.endings import Ending, ending
from app.queue.execution import resolved_from
from app.queue.model import FAILURES, Attempt, AttemptError, Deferral, Outcome, Reason, Status
from app.queue.retry import LAST, RetryDecision, decide_retry
from app.queue.slots import RunBounds
from app.queue.start_limits import limit_of

CALLBACK_OWNER = "callback"  # of the lease of an attempt that another program goes on with
WAITS = [Reason.NO_INSTANCE.value, Reason.CIRCUIT_OPEN.value, Reason.SERVICE_BUSY.value]  # the reasons of runs that are put off
SMALL_RESULT = 4_000  # bytes; larger results are written one by one, as a command has room for 16 MB


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """The end of an attempt: how it went, and what follows. `owed` are the handlers that the end of the execution, or the failure that is
    tried again, is owed to."""

    attempt: Attempt
    outcome: Outcome
    decision: RetryDecision
    owed: tuple[str, ...] = ()

    @property
    def ends_execution(self) -> bool:
        return self.decision.delay_seconds is None

    def cancelled(self, owed: tuple[str, ...]) -> AttemptEnd:
        """The same attempt, where somebody asked the execution to stop before it could be tried again."""
        return AttemptEnd(self.attempt, replace(self.outcome, status=Status.CANCELLED), LAST, owed)


def held(attempt: Attempt) -> Document:
    """Finds the running execution as long as this attempt's claim holds."""
    return {"_id": attempt.execution_id, "status": Status.RUNNING.value, "lease.token": attempt.token}


def token_of(row: Document) -> int:
    """The fencing token of the last claim; 0 before the first."""
    return int(row.get("last_token") or 0)


def takes(
    rows: Sequence[Document],
    slots: Mapping[str, list[str]],
    lease: Document,
    host: str,
    now: datetime,
    *,
    until: datetime | None = None,
    owed: tuple[str, ...] = (),
) -> list[UpdateOne | UpdateMany]:
    """Set waiting executions running, each if nobody has touched its token since it was read, and if it is not `until` yet by the
    database's clock. `owed` are the handlers that the start of an attempt is owed to.

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
    owes: Document = {"owed": {"$literal": owed_now(owed, now)}} if owed else {}
    in_time: Document = {} if until is None else {"$expr": {"$lt": ["$$NOW", until]}}
    return [
        UpdateMany(
            {"_id": {"$in": ids}, "queue_rank": {"$exists": True}, "last_token": token or None, "cancel": {"$exists": False}, **in_time},
            [
                {
                    "$set": {
                        "status": Status.RUNNING.value,
                        "slots": by_id(ids, [slots[execution_id] for execution_id in ids]),
                        "lease": {"$literal": {**lease, "token": token + 1}},
                        "last_token": token + 1,
                        "started_at": {"$ifNull": ["$started_at", now]},
                        "execution_host": {"$literal": host},
                        "reason": {"$cond": [{"$in": ["$reason", WAITS]}, None, "$reason"]},  # it waits no longer
                        "progress": None,
                        "attempts": {"$concatArrays": ["$attempts", [attempt]]},
                        **owes,
                    }
                },
                {"$unset": ["queue_rank", "waits_for", "released"]},
            ],
            hint="_id_",
        )
        for token, ids in by_token.items()
    ]


def is_plain(end: AttemptEnd) -> bool:
    """A success, as nearly all ends are, that is small enough to be written with many others."""
    if not end.ends_execution or end.outcome.status is not Status.SUCCESS:
        return False
    return len(bson.encode({"result": end.outcome.result})) <= SMALL_RESULT


def plain_ends(ends: Sequence[AttemptEnd], now: datetime) -> list[UpdateOne | UpdateMany]:
    """Write successes, those of the same token that owe the same in one update, as in `takes`."""
    alike: dict[tuple[int, tuple[str, ...]], list[AttemptEnd]] = {}
    for end in ends:
        alike.setdefault((end.attempt.token, end.owed), []).append(end)
    operations: list[UpdateOne | UpdateMany] = []
    for (token, owed), group in alike.items():
        common = ending(Status.SUCCESS, now, owed=owed, fields={"reason": None, "error": None})
        ids = [end.attempt.execution_id for end in group]
        differing = [
            {
                "attempt": {**_attempt_fields(end.outcome, now), "started_at": end.outcome.began_at or end.attempt.started_at},
                "result": end.outcome.result,
                **_span_of(end.attempt, end.outcome, now),
            }
            for end in group
        ]
        earlier = {"$slice": ["$attempts", {"$max": [{"$subtract": [{"$size": "$attempts"}, 1]}, 1]}]}
        rest = {"$cond": [{"$gt": [{"$size": "$attempts"}, 1]}, earlier, []]}
        operations.append(
            UpdateMany(
                {"_id": {"$in": ids}, "lease.token": token, "status": Status.RUNNING.value},
                [
                    {"$set": {"end": by_id(ids, differing)}},
                    {
                        "$set": {
                            "result": "$end.result",
                            "started_at": "$end.started_at",
                            "duration_seconds": "$end.duration_seconds",
                            "attempts": {"$concatArrays": [rest, [{"$mergeObjects": [{"$last": "$attempts"}, "$end.attempt"]}]]},
                        }
                    },
                    *common.stages(),
                    {"$unset": "end"},
                ],
                hint="_id_",
            )
        )
    return operations


def _attempt_fields(outcome: Outcome, now: datetime) -> Document:
    """What an attempt's record gains by its end."""
    fields = {
        "completed_at": now,
        "status": outcome.status.value,
        "error": outcome.error.as_stored() if outcome.error else None,
        "duration_seconds": outcome.seconds,
        "reason": outcome.reason.value if outcome.reason else None,
        "usage": dict(outcome.usage),
    }
    return fields if outcome.report is None else {**fields, "report": outcome.report}


def _span_of(attempt: Attempt, outcome: Outcome, now: datetime) -> Document:
    """When the execution began, on which its first process has the last word, and how long it took."""
    began_at = outcome.began_at if outcome.began_at and attempt.number == 1 else attempt.began_at
    return {"started_at": began_at, "duration_seconds": max(0.0, (now - began_at) / timedelta(seconds=1))}


def back_in_queue(attempt: Attempt, status: Status, available_at: datetime) -> Document:
    """The fields that make a running execution wait again: at its old rank, in its job's slot, so that no other run overtakes it."""
    return {"status": status.value, "available_at": available_at, "queue_rank": attempt.rank, "slots": list(attempt.slots[:1])}


def end_of_attempt(end: AttemptEnd, now: datetime) -> Document:
    """The update that ends a running attempt: the execution waits for its next attempt, or has ended."""
    attempt, outcome = end.attempt, end.outcome
    last, recorded = f"attempts.{attempt.number - 1}", _attempt_fields(outcome, now)
    fields: Document = {
        **{f"{last}.{name}": value for name, value in recorded.items()},
        "error": recorded["error"],
        "result": outcome.result,
        "reason": recorded["reason"],
    }
    span = _span_of(attempt, outcome, now)
    if outcome.began_at is not None:
        fields |= {f"{last}.started_at": outcome.began_at, "started_at": span["started_at"]}
    delay = end.decision.delay_seconds
    if delay is not None:
        fields |= back_in_queue(attempt, Status.RETRYING, now + timedelta(seconds=delay))
        fields |= {"owed": owed_now(end.owed, now)} if end.owed else {}
        return {"$set": fields, "$unset": {"lease": "", "callback": "", "postponed": ""}}
    fields["duration_seconds"] = span["duration_seconds"]
    return ending(outcome.status, now, owed=end.owed, fields=fields).update()


def handed_back(attempt: Attempt, now: datetime, again_at: datetime) -> Document:
    """The update that puts an unfinished run back into the queue; its attempt does not count as a failure."""
    last = f"attempts.{attempt.number - 1}"
    fields = {
        f"{last}.completed_at": now,
        f"{last}.status": Status.CANCELLED.value,
        f"{last}.reason": Reason.HANDED_BACK.value,
    }
    return {"$set": {**back_in_queue(attempt, Status.QUEUED, again_at), **fields}, "$unset": {"lease": ""}}


def unclaimed(attempt: Attempt, now: datetime) -> Document:
    """The update that makes a claimed run wait again as if it had not been claimed."""
    started_at = None if attempt.number == 1 else attempt.began_at
    waiting = {**back_in_queue(attempt, Status.QUEUED, now), "started_at": started_at, "execution_host": None}
    return {"$set": waiting, "$pop": {"attempts": 1}, "$unset": {"lease": ""}}


def deferred(attempt: Attempt, deferral: Deferral, began_at: datetime, now: datetime) -> Document:
    """The update by which another program goes on with an attempt: the lease is that program's, and no worker renews it."""
    lease = {"owner": CALLBACK_OWNER, "token": attempt.token, "expires_at": now + timedelta(seconds=deferral.heartbeat_seconds)}
    callback = {
        "attempt": attempt.number,
        "token": attempt.token,
        "heartbeat_seconds": deferral.heartbeat_seconds,
        "deadline": began_at + timedelta(seconds=attempt.timeout_seconds),
    }
    return {"$set": {"lease": lease, "callback": callback}}


def postponed(attempt: Attempt, reason: Reason, until: datetime, now: datetime) -> Document:
    """The update that makes a claimed run wait until then, as if it had not been claimed: its service cannot take it. It says since when it
    is put off; a service that is only busy takes calls, so the time begins again."""
    since = now if reason is Reason.SERVICE_BUSY else attempt.postponed_since or now
    update = unclaimed(attempt, until)
    update["$set"] |= {"reason": reason.value, "postponed": {"attempt": attempt.number, "since": since}}
    return update


def ended_unclaimed(end: Ending) -> Document:
    """The update that ends a claimed run as if it had not been claimed."""
    return {**end.update(), "$pop": {"attempts": 1}}


def checked(row: Document, now: datetime) -> Document:
    """The row, where it has all that a run takes. Raises whatever is wrong with it."""
    attempt = attempt_from(row, number=len(row["attempts"]) + 1, token=token_of(row) + 1, started_at=now)
    RunBounds().of(row)
    limit_of(row)
    if missing := {field.name for field in fields(RetryPolicy)} - row["retry_policy"].keys():
        raise ValueError(f"retry_policy lacks {', '.join(sorted(missing))}")
    float(attempt.timeout_seconds)
    dict(attempt.parameters)
    decide_retry(attempt.retry_policy, attempt.failed_attempts, AttemptError(type="", message=""))
    for name in ("job_id", "job_name", "template_type", "triggered_by"):
        if not isinstance(row[name], str):
            raise TypeError(f"{name} is not text")
    return row


def attempt_from(row: Document, *, number: int, token: int, started_at: datetime) -> Attempt:
    """Attempt `number` of an execution. Raises whatever is wrong with a row that is no execution."""
    Overlap(row["overlap"])
    earlier, postponed = row["attempts"][: number - 1], row.get("postponed")
    return Attempt(
        execution_id=row["_id"],
        number=number,
        token=token,
        job_id=row["job_id"],
        job_name=row["job_name"],
        template_type=row["template_type"],
        template_version=row.get("template_version") or 0,
        code_version=row.get("code_version") or row.get("template_version") or 0,
        parameters=row["parameters"],
        timeout_seconds=row["timeout_seconds"],
        started_at=started_at,
        began_at=row["started_at"] or started_at,
        retry_policy=retry_policy_from(row["retry_policy"]),
        failed_attempts=1 + sum(attempt["status"] in FAILURES for attempt in earlier),
        notifications=notifications_from(row.get("notifications") or {}),
        pause_after_failures=row.get("pause_after_failures") or 0,
        rank=row["rank"],
        slots=tuple(row.get("slots") or ()),
        stands_for=row.get("stands_for"),
        dry=row.get("dry", False),
        scheduled_for=row.get("scheduled_for"),
        resolved=resolved_from(row),
        triggered_by=row["triggered_by"],
        triggered_by_user=row.get("triggered_by_user"),
        queued_at=row.get("queued_at"),
        correlation_id=row.get("correlation_id") or row["_id"],
        traceparent=row.get("traceparent") or "",
        postponed_since=postponed["since"] if postponed and postponed["attempt"] == number else None,
        deferral=_deferral_from(row, token),
    )


def _deferral_from(row: Document, token: int) -> Deferral | None:
    callback = row.get("callback")
    if callback is None or callback["token"] != token:
        return None
    return Deferral(heartbeat_seconds=callback["heartbeat_seconds"], deadline=callback["deadline"])
