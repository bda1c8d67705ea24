"""The `job_executions`, `execution_logs` and `run_limits` collections."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from pymongo import InsertOne, ReturnDocument, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.execution.model import LIVE, Attempt, Outcome, Reason, Status, Trigger, owed
from app.mongo import Document
from app.notification.base import recipients_of

_DUPLICATE = 11000
QUERY_TIME_MS = 5_000
STREAM_WAIT_MS = 500  # how often a change stream without changes looks whether it is to stop
# A run that its job's other runs keep waiting is looked at again after so long.
BLOCKED_RECHECK = timedelta(milliseconds=500)
FAILURES = (Status.FAILED.value, Status.TIMEOUT.value)
LIVE_VALUES = [status.value for status in LIVE]
ENDED_VALUES = [status.value for status in Status if status not in LIVE]


class ExecutionStore:
    """Executions, and the compare-and-sets that move them. Each write of a worker names its lease token and is refused without."""

    def __init__(self, database: Database[Document]) -> None:
        self._executions = database["job_executions"]

    # -- into the queue -------------------------------------------------------------------------------------------

    def add(self, documents: Sequence[Document]) -> int:
        """Write new executions; one whose due time (or id) is there already is left as it is. Returns how many are new."""
        if not documents:
            return 0
        try:
            return self._executions.bulk_write([InsertOne(one) for one in documents], ordered=False).inserted_count
        except BulkWriteError as error:
            others = [one for one in error.details["writeErrors"] if one["code"] != _DUPLICATE]
            if others:
                raise
            return int(error.details["nInserted"])

    def add_one(self, document: Document) -> bool:
        """Write one; False where its id is there already."""
        try:
            self._executions.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    def live_counts(self, job_ids: Iterable[str]) -> dict[str, int]:
        """How many executions of each job are queued, running or retrying."""
        rows = self._executions.aggregate(
            [
                {"$match": {"job_id": {"$in": list(job_ids)}, "status": {"$in": LIVE_VALUES}}},
                {"$group": {"_id": "$job_id", "count": {"$sum": 1}}},
            ]
        )
        return {row["_id"]: row["count"] for row in rows}

    # -- out of the queue -----------------------------------------------------------------------------------------

    def claim_due(self, *, owner: str, host: str, now: datetime, lease: timedelta, limit: int) -> list[Attempt]:
        """Take up to `limit` executions whose time has come, by age, to which a priority adds (PRIORITY_STEP).

        1. Candidates are read: queued or retrying, available, not asked to stop.
        2. Each is set running by compare-and-set, with a higher token and a lease, on one of its job's places (`slot_key`, unique).
        3. What this claim won is read back. One that found no place is skipped or waits, as its overlap policy says.
        """
        candidates = self._candidates(now, limit)
        if not candidates:
            return []
        claim, places = secrets.token_hex(12), self._places(candidates)
        operations = [self._take(row, places[row["_id"]], claim, owner, host, now, lease) for row in candidates if row["_id"] in places]
        if operations:
            try:
                self._executions.bulk_write(operations, ordered=False)
            except BulkWriteError as error:
                if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                    raise
        won = list(self._executions.find({"lease.claim": claim})) if operations else []
        taken = {row["_id"] for row in won}
        self._settle_blocked([row for row in candidates if row["_id"] not in taken], now)
        return [_attempt(row) for row in won]

    def _candidates(self, now: datetime, limit: int) -> list[Document]:
        where = {
            "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]},
            "available_at": {"$lte": now},
            "cancel": {"$exists": False},
        }
        fields = {"job_id": 1, "status": 1, "slot_key": 1, "overlap": 1, "max_instances": 1}
        return list(self._executions.find(where, fields).sort("queue_rank", 1).limit(limit))

    def _places(self, candidates: Sequence[Document]) -> dict[str, str]:
        """A free place for each candidate that can have one: the one it holds, else the lowest of its job's free ones."""
        jobs = {row["job_id"] for row in candidates if "slot_key" not in row}
        held = self._executions.find({"job_id": {"$in": list(jobs)}, "slot_key": {"$exists": True}}, {"slot_key": 1}) if jobs else ()
        used = {row["slot_key"] for row in held}
        places: dict[str, str] = {}
        for row in candidates:
            keys = [row["slot_key"]] if "slot_key" in row else [f"{row['job_id']}#{n}" for n in range(row["max_instances"])]
            key = next((key for key in keys if key not in used or "slot_key" in row), None)
            if key is not None:
                used.add(key)
                places[row["_id"]] = key
        return places

    @staticmethod
    def _take(row: Document, place: str, claim: str, owner: str, host: str, now: datetime, lease: timedelta) -> UpdateOne:
        attempt = {
            "number": {"$add": [{"$size": "$attempts"}, 1]}, "started_at": now, "completed_at": None,
            "status": Status.RUNNING.value, "error": None, "host": {"$literal": host}, "worker": {"$literal": owner},
        }  # fmt: skip
        return UpdateOne(
            {"_id": row["_id"], "status": row["status"], "cancel": {"$exists": False}},
            [
                {
                    "$set": {
                        "status": Status.RUNNING.value,
                        "slot_key": {"$literal": place},
                        "lease": {
                            "owner": {"$literal": owner}, "claim": claim, "expires_at": now + lease,
                            "token": {"$add": [{"$ifNull": ["$last_token", 0]}, 1]},
                        },
                        "last_token": {"$add": [{"$ifNull": ["$last_token", 0]}, 1]},
                        "started_at": {"$ifNull": ["$started_at", now]},
                        "execution_host": {"$literal": host},
                        "progress": None,
                        "attempts": {"$concatArrays": ["$attempts", [attempt]]},
                    }
                }
            ],
        )  # fmt: skip

    def _settle_blocked(self, rows: Sequence[Document], now: datetime) -> None:
        """Those that found their job running: skipped where the policy is skip, else looked at again a little later."""
        operations = [
            UpdateOne(
                {"_id": row["_id"], "status": Status.QUEUED.value},
                {"$set": {"status": Status.SKIPPED.value, "reason": Reason.OVERLAP.value, "completed_at": now}}
                if row["overlap"] == "skip"
                else {"$set": {"available_at": now + BLOCKED_RECHECK}},
            )
            for row in rows
        ]
        if operations:
            self._executions.bulk_write(operations, ordered=False)

    def asked_for(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Ids of the runs that people and programs ask for, as they are written by whatever process, until `stopped` says so."""
        by_request = {"operationType": "insert", "fullDocument.triggered_by": {"$ne": Trigger.SCHEDULE.value}}
        with self._executions.watch([{"$match": by_request}, {"$project": {"documentKey": 1}}], max_await_time_ms=STREAM_WAIT_MS) as stream:
            while stream.alive and not stopped():
                change = stream.try_next()
                if change is not None:
                    yield change["documentKey"]["_id"]

    # -- while running --------------------------------------------------------------------------------------------

    def heartbeat(self, *, owner: str, held: Mapping[str, int], expires_at: datetime) -> set[str]:
        """Renew the leases of `held` (execution id → token) to `expires_at`; returns the ids whose lease is no longer ours."""
        if not held:
            return set()
        mine = {"_id": {"$in": list(held)}, "status": Status.RUNNING.value, "lease.owner": owner}
        matched = self._executions.update_many(mine, {"$set": {"lease.expires_at": expires_at}}).matched_count
        if matched == len(held):
            return set()
        still = {row["_id"]: row["lease"]["token"] for row in self._executions.find(mine, {"lease.token": 1})}
        return {key for key, token in held.items() if still.get(key) != token}

    def cancels_wanted(self, ids: Iterable[str]) -> dict[str, Document]:
        """Which of the running executions `ids` someone asked to stop, with who and why."""
        rows = self._executions.find({"_id": {"$in": list(ids)}, "cancel": {"$exists": True}}, {"cancel": 1})
        return {row["_id"]: row["cancel"] for row in rows}

    def write_progress(self, rows: Sequence[tuple[Attempt, Document]]) -> None:
        """Progress of running attempts; a stale one matches nothing."""
        self._executions.bulk_write(
            [UpdateOne(_held(attempt), {"$set": {"progress": progress}}) for attempt, progress in rows], ordered=False
        )

    def finish(self, ends: Sequence[tuple[Attempt, Outcome, float | None]], *, now: datetime) -> set[str]:
        """Write the ends of attempts, each with the delay of the next one or None for the end of the execution.

        Returns the ids that were refused: their lease had gone to another worker.
        """
        operations = [UpdateOne(_held(attempt), _end(attempt, outcome, delay, now)) for attempt, outcome, delay in ends]
        if self._executions.bulk_write(operations, ordered=False).matched_count == len(ends):
            return set()
        refused = set()
        for attempt, _, _ in ends:  # rare: find which ones; a written end has this token in `last_token` and no lease
            ended = {"_id": attempt.execution_id, "last_token": attempt.token, "lease": {"$exists": False}}
            if self._executions.find_one(ended, {"_id": 1}) is None:
                refused.add(attempt.execution_id)
        return refused

    def hand_back(self, attempt: Attempt, *, now: datetime) -> bool:
        """Put an unfinished run back into the queue, without counting the attempt as a failure; False where it was not ours."""
        update = {
            "$set": {
                "status": Status.QUEUED.value, "available_at": now, "attempts.$[last].completed_at": now,
                "attempts.$[last].status": Status.CANCELLED.value, "attempts.$[last].reason": Reason.HANDED_BACK.value,
            },
            "$unset": {"lease": "", "slot_key": ""},
        }  # fmt: skip
        result = self._executions.update_one(_held(attempt), update, array_filters=[{"last.completed_at": None}])
        return result.matched_count == 1

    # -- lost workers ---------------------------------------------------------------------------------------------

    def find_lost(self, now: datetime, limit: int) -> list[Attempt]:
        """Running executions whose lease has run out."""
        where = {"status": Status.RUNNING.value, "lease.expires_at": {"$lt": now}}
        return [_attempt(row) for row in self._executions.find(where).sort("lease.expires_at", 1).limit(limit)]

    def end_lost(self, attempt: Attempt, outcome: Outcome, delay_seconds: float | None, *, now: datetime) -> bool:
        """End an attempt whose worker is lost; False where the lease was renewed, or another sweeper was quicker."""
        where = {**_held(attempt), "lease.expires_at": {"$lt": now}}
        return self._executions.update_one(where, _end(attempt, outcome, delay_seconds, now)).matched_count == 1

    def end_asked_to_stop(self, now: datetime) -> int:
        """Cancel what waits although someone asked it to stop: the request and the end of its attempt crossed."""
        waiting = {"status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}, "cancel": {"$exists": True}}
        ended = {"$set": {"status": Status.CANCELLED.value, "completed_at": now}, "$unset": {"slot_key": ""}}
        return self._executions.update_many(waiting, ended).modified_count

    # -- by people ------------------------------------------------------------------------------------------------

    def ask_cancel(self, execution_id: str, *, by: str, now: datetime) -> Document | None:
        """Stop an execution: at once where it waits, by its worker where it runs. The document after; None where it has ended."""
        ended = {
            "$set": {"status": Status.CANCELLED.value, "completed_at": now, "cancel": {"by": by, "at": now}},
            "$unset": {"slot_key": ""},
        }
        waiting = {"_id": execution_id, "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}}
        document = self._executions.find_one_and_update(waiting, ended, return_document=ReturnDocument.AFTER)
        if document is None:
            running = {"_id": execution_id, "status": Status.RUNNING.value}
            document = self._executions.find_one_and_update(
                running, {"$set": {"cancel": {"by": by, "at": now}}}, return_document=ReturnDocument.AFTER
            )
        return document

    def replace_running(self, job_ids: Sequence[str], *, now: datetime) -> None:
        """Stop what these jobs run or have waiting: newer due times take their place."""
        cancel = {"by": "system", "at": now, "reason": Reason.REPLACED.value}
        live = {"job_id": {"$in": list(job_ids)}, "cancel": {"$exists": False}}
        self._executions.update_many({**live, "status": Status.RUNNING.value}, {"$set": {"cancel": cancel}})
        self._executions.update_many(
            {**live, "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}},
            {
                "$set": {
                    "status": Status.CANCELLED.value,
                    "reason": Reason.REPLACED.value,
                    "completed_at": now,
                    "cancel": cancel,
                },
                "$unset": {"slot_key": ""},
            },
        )

    def drop_queued(self, job_id: str, *, now: datetime) -> int:
        """Skip what a retired job still has waiting; returns how many."""
        result = self._executions.update_many(
            {"job_id": job_id, "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}},
            {
                "$set": {"status": Status.SKIPPED.value, "reason": Reason.JOB_GONE.value, "completed_at": now},
                "$unset": {"slot_key": ""},
            },
        )
        return result.modified_count

    # -- telling people -------------------------------------------------------------------------------------------

    def claim_notification(self, *, now: datetime, again_at: datetime) -> Document | None:
        """An ended execution that people are to be told of, taken until `again_at`; None where there is none."""
        return self._executions.find_one_and_update(
            {"notify.state": "pending", "notify.at": {"$lte": now}},
            {"$set": {"notify.at": again_at}, "$inc": {"notify.tries": 1}},
            sort=[("notify.at", 1)],
            return_document=ReturnDocument.AFTER,
        )

    def settle_notification(self, execution_id: str, *, tries: int, state: str, error: str | None) -> None:
        """Record how try number `tries` went; a later try's record is left alone."""
        self._executions.update_one({"_id": execution_id, "notify.tries": tries}, {"$set": {"notify.state": state, "notify.error": error}})

    # -- failures in a row ----------------------------------------------------------------------------------------

    def unjudged(self, limit: int) -> list[Document]:
        """Failed executions of jobs that may pause themselves, whose job was not looked at since: id and job."""
        return list(self._executions.find({"verdict": "pending"}, {"job_id": 1}).limit(limit))

    def failures_in_a_row(self, job_id: str, since: datetime, limit: int) -> int:
        """How many of the newest executions that were queued after `since` and ran to an end failed, up to `limit`."""
        ran = {"job_id": job_id, "status": {"$in": [Status.SUCCESS.value, *FAILURES]}, "queued_at": {"$gt": since}}
        rows = self._executions.find(ran, {"status": 1}).sort("queued_at", -1).limit(limit)
        return sum(1 for _ in takewhile(lambda row: row["status"] in FAILURES, rows))

    def judged(self, execution_id: str) -> None:
        """Its job was looked at."""
        self._executions.update_one({"_id": execution_id}, {"$unset": {"verdict": ""}})

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, execution_id: str) -> Document | None:
        return self._executions.find_one({"_id": execution_id})

    def page(self, *, job_id: str | None = None, status: str | None = None, skip: int = 0, limit: int = 50) -> tuple[list[Document], int]:
        """Newest first, with how many there are in all."""
        where: dict[str, Any] = {}
        if job_id is not None:
            where["job_id"] = job_id
        if status is not None:
            where["status"] = status
        rows = self._executions.find(where, max_time_ms=QUERY_TIME_MS).sort("queued_at", -1).skip(skip).limit(limit)
        total = self._executions.count_documents(where, maxTimeMS=QUERY_TIME_MS) if where else self._executions.estimated_document_count()
        return list(rows), total

    def latest(self, job_id: str, limit: int) -> list[Document]:
        """The newest executions of a job, in brief: id, status, start and duration."""
        fields = {"status": 1, "reason": 1, "queued_at": 1, "started_at": 1, "completed_at": 1, "duration_seconds": 1}
        return list(self._executions.find({"job_id": job_id}, fields).sort("queued_at", -1).limit(limit))

    def counts_by_status(self) -> dict[str, int]:
        """How many are live, by status."""
        return {status: self._executions.count_documents({"status": status}) for status in LIVE_VALUES}

    def stuck(self, now: datetime, *, silent: timedelta, waiting: timedelta) -> dict[str, int]:
        """How many hang: `silent` run with a lease that ended so long ago, `waiting` have been free to run for so long,
        `untold` are those of whose end people were to be told and could not be."""
        return {
            "silent": self._executions.count_documents({"status": Status.RUNNING.value, "lease.expires_at": {"$lt": now - silent}}),
            "waiting": self._executions.count_documents(
                {"status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}, "available_at": {"$lt": now - waiting}}
            ),
            "untold": self._executions.count_documents({"notify.state": "failed", "queued_at": {"$gt": now - timedelta(days=7)}}),
        }

    # -- forgetting -----------------------------------------------------------------------------------------------

    def forgettable(
        self, *, before: datetime, status: Status | None = None, job_id: str | None = None, spare_jobs: Sequence[str] = (), limit: int
    ) -> list[str]:
        """Ids of ended executions that were queued before `before`, oldest first, of one status or of one job."""
        if job_id is not None and job_id in spare_jobs:
            return []
        where: Document = {
            "status": status.value if status else {"$in": ENDED_VALUES},
            "queued_at": {"$lt": before},
            "job_id": {"$nin": list(spare_jobs)} if job_id is None else job_id,
            "notify.state": {"$ne": "pending"},
        }
        rows = self._executions.find(where, {"_id": 1}).sort("queued_at", 1).limit(limit)
        return [row["_id"] for row in rows]

    def crowded(self, most: int) -> Iterator[tuple[str, datetime]]:
        """Jobs with more than `most` executions, each with the time of the last one that may stay."""
        for job_id in self._executions.distinct("job_id"):
            newest = self._executions.find({"job_id": job_id}, {"queued_at": 1}).sort("queued_at", -1).skip(most - 1).limit(2)
            rows = list(newest)
            if len(rows) == 2:
                yield job_id, rows[0]["queued_at"]

    def remove(self, ids: Sequence[str]) -> None:
        """Forget these, if they have ended."""
        self._executions.delete_many({"_id": {"$in": list(ids)}, "status": {"$in": ENDED_VALUES}})


class LogStore:
    """Log lines in chunks; a line is {timestamp, level, message}, its number its place in the execution."""

    def __init__(self, database: Database[Document]) -> None:
        self._logs = database["execution_logs"]

    def append(self, chunks: Sequence[Document]) -> None:
        """Write chunks {execution_id, attempt, seq, lines}; one that is there already is left as it is."""
        try:
            self._logs.insert_many(list(chunks), ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise

    def remove(self, execution_ids: Sequence[str]) -> None:
        """Forget all lines of these executions."""
        self._logs.delete_many({"execution_id": {"$in": list(execution_ids)}})

    def read(self, execution_id: str, *, after: str = "", limit: int = 1000) -> tuple[list[Document], str]:
        """Lines after the cursor `after` (empty: from the start), and the cursor to go on with; about `limit` lines at most."""
        lines: list[Document] = []
        for chunk in self._logs.find({"execution_id": execution_id, "seq": {"$gt": after}}).sort("seq", 1):
            lines += [{**line, "attempt": chunk["attempt"]} for line in chunk["lines"]]
            after = chunk["seq"]
            if len(lines) >= limit:
                break
        return lines, after


class RunLimits:
    """Manual runs of each user in a sliding hour, exact however many ask at once: one document a user, one compare-and-set."""

    def __init__(self, database: Database[Document]) -> None:
        self._limits = database["run_limits"]

    def take(self, user_id: str, *, now: datetime, limit: int, window: timedelta) -> float | None:
        """Count one run; None where it fits, else the seconds until one will."""
        recent = {"$filter": {"input": {"$ifNull": ["$at", []]}, "cond": {"$gt": ["$$this", now - window]}}}
        fits = {"_id": user_id, "$expr": {"$lt": [{"$size": recent}, limit]}}
        update = [{"$set": {"at": {"$concatArrays": [recent, [now]]}}}]
        if self._limits.update_one(fits, update).matched_count:
            return None
        with suppress(DuplicateKeyError):  # a first run; of two that race one makes the document
            self._limits.update_one({"_id": user_id}, {"$setOnInsert": {"at": []}}, upsert=True)
        if self._limits.update_one(fits, update).matched_count:
            return None
        times = sorted((self._limits.find_one({"_id": user_id}) or {}).get("at", []))[-limit:]
        return max(1.0, (times[0] + window - now).total_seconds()) if times else 1.0


def _held(attempt: Attempt) -> Document:
    return {"_id": attempt.execution_id, "status": Status.RUNNING.value, "lease.token": attempt.token}


def _end(attempt: Attempt, outcome: Outcome, delay_seconds: float | None, now: datetime) -> list[Document]:
    """The pipeline update that ends the running attempt and, without a delay, the execution."""
    error = outcome.error.as_document() if outcome.error else None
    last = {
        "completed_at": now, "status": outcome.status.value, "error": error, "duration_seconds": outcome.seconds,
        "reason": outcome.reason.value if outcome.reason else None, "usage": dict(outcome.usage),
    }  # fmt: skip
    size = {"$subtract": [{"$size": "$attempts"}, 1]}
    ended = {"$mergeObjects": [{"$arrayElemAt": ["$attempts", size]}, {"$literal": last}]}
    fields: Document = {
        "attempts": {
            "$cond": [
                {"$gt": [size, 0]},
                {"$concatArrays": [{"$slice": ["$attempts", 0, {"$max": [size, 1]}]}, [ended]]},
                [ended],
            ]
        },
        "error": {"$literal": error},
        "result": {"$literal": outcome.result},
        "reason": outcome.reason.value if outcome.reason else None,
    }
    if delay_seconds is None:
        fields |= {
            "status": outcome.status.value,
            "completed_at": now,
            "duration_seconds": {"$divide": [{"$subtract": [now, "$started_at"]}, 1000]},
        }
        if recipients_of(attempt.notifications, outcome.status.value):
            fields["notify"] = {"$literal": owed(now)}
        if attempt.pause_after_failures and outcome.status in FAILURES:
            fields["verdict"] = "pending"
        return [{"$set": fields}, {"$unset": ["lease", "slot_key"]}]
    fields |= {"status": Status.RETRYING.value, "available_at": now + timedelta(seconds=delay_seconds)}
    return [{"$set": fields}, {"$unset": ["lease"]}]


def _attempt(row: Document) -> Attempt:
    attempts = row["attempts"]
    return Attempt(
        execution_id=row["_id"], number=len(attempts), token=row["lease"]["token"], job_id=row["job_id"],
        template_type=row["template_type"], parameters=row["parameters"], timeout_seconds=row["timeout_seconds"],
        started_at=attempts[-1]["started_at"], began_at=row["started_at"], retry_policy=row["retry_policy"],
        failed_attempts=1 + sum(one["status"] in FAILURES for one in attempts[:-1]),
        notifications=row.get("notifications", {}), pause_after_failures=row.get("pause_after_failures", 0),
    )  # fmt: skip
