"""The `job_executions` collection."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any

from pymongo import InsertOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.execution.day_store import Tally
from app.jobs.model import Overlap
from app.mongo import ANY_DATE, DUPLICATE_KEY, Document, Records
from app.queue import updates
from app.queue.model import LIVE, Attempt, AttemptError, Outcome, Reason, Status, Trigger
from app.queue.retry import LEAST_DELAY_SECONDS
from app.queue.shape import EXECUTION
from app.queue.slots import RunBounds, assign, places_query, prefix_of
from app.queue.updates import FAILURES, LEAVES_QUEUE, RAN
from app.shapes import DAMAGED
from app.ticks import each
from app.validation.storable import storable_text

QUERY_TIME_MS = 5_000
STREAM_WAIT_MS = 2000  # how often a change stream without changes looks whether it is to stop
# A run that its job's other runs keep waiting is looked at again after so long.
BLOCKED_RECHECK = timedelta(seconds=1)
LIVE_VALUES = [status.value for status in LIVE]
OUTLINE = {"status": 1, "reason": 1, "queued_at": 1, "duration_seconds": 1}
BRIEF = {"status": 1, "reason": 1, "queued_at": 1, "started_at": 1, "completed_at": 1, "duration_seconds": 1}
LIVE_INDEX = "live"
DRAWN = dict.fromkeys(("job_id", "job_name", "status", "reason", "started_at", "completed_at", "duration_seconds"), 1)
LONG_SECONDS = 60  # an index is of the runs that took so long
MOST_FAILED = 2_000
NO_BOUNDS = RunBounds()
CLAIM_TRIES = 3
CLAIM_FIELDS = (
    "job_id",
    "job_name",
    "status",
    "slots",
    "overlap",
    "max_instances",
    "concurrency_group",
    "template_type",
    "template_version",
    "code_version",
    "parameters",
    "timeout_seconds",
    "retry_policy",
    "attempts.status",
    "notifications",
    "pause_after_failures",
    "started_at",
    "last_token",
    "rank",
    "cancel",
    "triggered_by",
    "stands_for",
    "dry",
    "scheduled_for",
    "resolved",
)
_STATUSES = [status.value for status in Status]
ENDED_VALUES = [status.value for status in Status if status not in LIVE]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """What a list is narrowed to; None means all. `begin` is inclusive, `end` exclusive, of when they were queued."""

    job_id: str | None = None
    status: str | None = None
    triggered_by: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def where(self) -> Document:
        found: Document = {}
        for field, value in (("job_id", self.job_id), ("triggered_by", self.triggered_by)):
            if value is not None:
                found[field] = value
        if self.status is not None:
            found |= {"status": self.status, **({"live": True} if self.status in LIVE_VALUES else {"completed_at": ANY_DATE})}
        between = {name: value for name, value in (("$gte", self.begin), ("$lt", self.end)) if value is not None}
        return {**found, "queued_at": between} if between else found


ALL_EXECUTIONS = ExecutionFilter()


@dataclass(frozen=True, slots=True)
class Begun:
    """The executions of a job with one status: how many, the seconds that they took, and in which minutes of a span they began."""

    job_id: str
    job_name: str
    status: str
    count: int
    seconds: float
    minutes: list[int]


class ExecutionStore:
    """Executions, and the compare-and-sets that move them. Each write of a worker names its lease token and is refused without."""

    def __init__(self, database: Database[Document]) -> None:
        self._database, self._executions = database, Records(database, "job_executions", EXECUTION)
        self._full: set[str] = set()  # bounds that this worker found full, for which some may wait
        self._unsure: dict[str, dict[str, Attempt]] = {}  # claims whose answer did not come, with what they wanted

    # -- into the queue -------------------------------------------------------------------------------------------

    def add(self, documents: Sequence[Document]) -> int:
        """Write new executions; one whose due time (or id) is there already is left as it is. Returns how many are new."""
        if not documents:
            return 0
        try:
            return self._executions.bulk_write([InsertOne(one) for one in documents], ordered=False).inserted_count
        except BulkWriteError as error:
            others = [one for one in error.details["writeErrors"] if one["code"] != DUPLICATE_KEY]
            if others:
                raise
            return int(error.details["nInserted"])

    def remove_dry(self, execution_id: str) -> bool:
        """Forget a preview that has ended."""
        return self._executions.delete_one({"_id": execution_id, "dry": True, "status": {"$in": ENDED_VALUES}}).deleted_count == 1

    def add_one(self, document: Document) -> bool:
        """Write one; False where its id is there already."""
        try:
            self._executions.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    def live_counts(self, job_ids: Iterable[str]) -> dict[str, int]:
        """How many executions of each job are queued, running or retrying, without those of backfills."""
        rows = self._executions.aggregate(
            [
                {"$match": {"job_id": {"$in": list(job_ids)}, "live": True, "triggered_by": {"$ne": Trigger.BACKFILL.value}}},
                {"$group": {"_id": "$job_id", "count": {"$sum": 1}}},
            ]
        )
        return {row["_id"]: row["count"] for row in rows}

    # -- out of the queue -----------------------------------------------------------------------------------------

    def claim_due(
        self,
        *,
        owner: str,
        host: str,
        now: datetime,
        lease: timedelta,
        limit: int,
        bounds: RunBounds = NO_BOUNDS,
        until: datetime | None = None,
    ) -> list[Attempt]:
        """Take up to `limit` executions whose time has come, by age, to which a priority adds (PRIORITY_STEP). Three round trips:

        1. Candidates are read: they wait, are available, and nobody asked them to stop.
        2. Who holds the places that they could have (app.queue.slots).
        3. Each is set running by compare-and-set on its token, with a lease and its places; none from `until` on, by the database's clock.
        Where another worker was quicker with some, what was won is read back; one that found no place is skipped, or looked at again a
        little later, as its overlap policy says.
        """
        found = self._after_silence(now)
        if found:
            return found
        for _ in range(CLAIM_TRIES):
            attempts, raced = self._claim_once(owner=owner, host=host, now=now, lease=lease, limit=limit, bounds=bounds, until=until)
            if attempts or not raced:
                return attempts
        return []

    def _claim_once(
        self, *, owner: str, host: str, now: datetime, lease: timedelta, limit: int, bounds: RunBounds, until: datetime | None
    ) -> tuple[list[Attempt], bool]:
        """What was won, and whether another worker was quicker with some of it."""
        found = self._without_damaged(self._candidates(now, limit), now)
        candidates = [row for row in found if "cancel" not in row]
        if len(candidates) < len(found):
            self._end_asked_to_stop([row["_id"] for row in found if "cancel" in row], now)
        if not candidates:
            return [], False
        who_holds = places_query(candidates, bounds)
        held = list(self._executions.find(who_holds, {"slots": 1, "triggered_by": 1, "job_id": 1})) if who_holds else []
        places, full = assign(candidates, {key for row in held for key in row["slots"]}, bounds)
        blocked = [row for row in candidates if row["_id"] in full]
        # A backfill has time: what is due now waits for its present run and is not skipped because of it.
        taking = [*held, *(row for row in candidates if row["_id"] in places)]
        in_backfill = {row["job_id"] for row in taking if row["triggered_by"] == Trigger.BACKFILL.value}
        skipped = [
            row["_id"]
            for row in blocked
            if full[row["_id"]] == f"{row['job_id']}#" and row["overlap"] == Overlap.SKIP.value and row["job_id"] not in in_backfill
        ]
        self._step_aside({key: prefix for key, prefix in full.items() if key not in skipped}, skipped, now)
        rows = [row for row in candidates if row["_id"] in places]
        if not rows:
            return [], False
        claim = secrets.token_hex(12)
        lease_of: Document = {"owner": owner, "claim": claim, "expires_at": now + lease}
        operations = updates.takes(rows, places, lease_of, host, now, until)
        wanted = {
            row["_id"]: updates.attempt_from(
                {**row, "slots": places[row["_id"]]}, number=len(row["attempts"]) + 1, token=updates.token_of(row) + 1, started_at=now
            )
            for row in rows
        }
        try:
            raced = self._executions.bulk_write(operations, ordered=False).matched_count < len(rows)
        except BulkWriteError as error:
            if any(one["code"] != DUPLICATE_KEY for one in error.details["writeErrors"]):
                raise
            raced = True
        except Exception:
            self._unsure[claim] = wanted
            raise
        won = self._won(claim, wanted, now) if raced else list(wanted.values())
        return won, raced

    def full_bound(self, row: Document, bounds: RunBounds) -> str | None:
        """The prefix of the first bound that has no place left for a waiting execution; None where it finds all that it needs."""
        who_holds = places_query([row], bounds)
        held: Iterable[Document] = self._executions.find(who_holds, {"slots": 1}) if who_holds else ()
        return assign([row], {key for one in held for key in one["slots"]}, bounds)[1].get(row["_id"])

    def _won(self, claim: str, wanted: Mapping[str, Attempt], now: datetime) -> list[Attempt]:
        """What a claim has got of what it wanted, and still holds."""
        mine = {"_id": {"$in": list(wanted)}, "lease.claim": claim, "lease.expires_at": {"$gt": now}}
        return [wanted[row["_id"]] for row in self._executions.find(mine, {"_id": 1})]

    def _after_silence(self, now: datetime) -> list[Attempt]:
        """What claims won whose answers never came (a driver does not repeat an update of many). Leases that ran out are the sweeper's."""
        found = []
        for claim, wanted in list(self._unsure.items()):
            found += self._won(claim, wanted, now)
            self._unsure.pop(claim, None)
        return found

    def _step_aside(self, later: Mapping[str, str], skipped: Sequence[str], now: datetime) -> None:
        """Those that found no place: they wait for one of the bound that was full, or are skipped where their own job runs and their
        policy says so. An end wakes the oldest of them (`_give_way`); ends on other nodes are found by looking again."""
        by_bound: dict[str, list[str]] = {}
        for key, prefix in later.items():
            by_bound.setdefault(prefix, []).append(key)
        operations = [
            UpdateMany(
                {"_id": {"$in": ids}, "queue_rank": {"$exists": True}},
                {"$set": {"available_at": now + BLOCKED_RECHECK, "waits_for": prefix}},
            )
            for prefix, ids in by_bound.items()
        ]
        if skipped:
            ended = {"status": Status.SKIPPED.value, "reason": Reason.OVERLAP.value, "completed_at": now}
            waiting = {"_id": {"$in": list(skipped)}, "status": Status.QUEUED.value}
            operations.append(UpdateMany(waiting, {"$set": ended, "$unset": LEAVES_QUEUE}))
        self._full |= set(by_bound)
        if operations:
            self._executions.bulk_write(operations, ordered=False)

    def _give_way(self, ends: Sequence[tuple[Attempt, Outcome, float | None]], now: datetime) -> None:
        """Places are free: the oldest of those that wait for each may have it now."""
        freed = {prefix_of(key) for attempt, _, delay in ends for key in (attempt.places if delay is None else attempt.places[1:])}
        for prefix in freed & self._full:
            waiting = {"waits_for": prefix, "queue_rank": {"$exists": True}}
            woken = {"$set": {"available_at": now}, "$unset": {"waits_for": ""}}
            if self._executions.find_one_and_update(waiting, woken, {"_id": 1}, sort=[("queue_rank", 1)]) is None:
                self._full.discard(prefix)

    def _candidates(self, now: datetime, limit: int) -> list[Document]:
        where = {"queue_rank": {"$exists": True}, "available_at": {"$lte": now}}
        return list(self._executions.find(where, CLAIM_FIELDS).sort("queue_rank", 1).limit(limit))

    def _without_damaged(self, rows: list[Document], now: datetime) -> list[Document]:
        """The rows that are executions; one that somebody or something has damaged ends, so that it holds up no other."""
        for row in rows:
            if DAMAGED in row:
                self.end_damaged(row["_id"], ValueError(row[DAMAGED]), now=now)
        set_aside = partial(self._set_aside, now)
        readable = [row for row in rows if DAMAGED not in row]
        return list(each("claim", readable, lambda row: updates.checked(row, now), give_up=set_aside))

    def _set_aside(self, now: datetime, row: Document, error: Exception) -> None:
        self.end_damaged(row["_id"], error, now=now)

    def end_damaged(self, execution_id: str, error: Exception, *, now: datetime) -> None:
        """End an execution whose record cannot be read any more, with the reason."""
        told = AttemptError(
            type="DamagedRecord", message=f"Its record cannot be read: {type(error).__name__}: {storable_text(str(error), 500)}"
        )
        waits_or_runs = [{"status": {"$in": LIVE_VALUES}}, {"queue_rank": {"$exists": True}}, {"slots": {"$exists": True}}]
        ended = {"status": Status.FAILED.value, "completed_at": now, "error": told.as_document()}
        self._executions.update_one({"_id": execution_id, "$or": waits_or_runs}, {"$set": ended, "$unset": {"lease": "", **LEAVES_QUEUE}})

    def _end_asked_to_stop(self, ids: Sequence[str], now: datetime) -> None:
        """Cancel what was put back into the queue although someone had asked it to stop."""
        waiting = {"_id": {"$in": list(ids)}, "queue_rank": {"$exists": True}}
        ended = {"$set": {"status": Status.CANCELLED.value, "completed_at": now}, "$unset": LEAVES_QUEUE}
        self._executions.update_many(waiting, ended)

    def asked_for(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Ids of the runs that people and programs ask for, as they are written by whatever process, until `stopped` says so."""
        by_request = {"operationType": "insert", "fullDocument.triggered_by": {"$ne": Trigger.SCHEDULE.value}}
        with self._executions.watch([{"$match": by_request}, {"$project": {"documentKey": 1}}], max_await_time_ms=STREAM_WAIT_MS) as stream:
            while stream.alive and not stopped():
                change = stream.try_next()
                if change is not None:
                    yield change["documentKey"]["_id"]

    # -- while running --------------------------------------------------------------------------------------------

    def note_resolved(self, attempt: Attempt, became: Mapping[str, Any]) -> None:
        """Record what the dynamic values of an execution became, for its page and its later attempts."""
        rows = [{"pointer": place, "value": value} for place, value in became.items()]
        self._executions.update_one({"_id": attempt.execution_id, "lease.token": attempt.token}, {"$set": {"resolved": rows}})

    def last_success(self, job_id: str) -> Document | None:
        """The newest success of a job: {id, result, completed_at}."""
        fields = {"result": 1, "completed_at": 1}
        row = self._executions.find_one({"job_id": job_id, "status": Status.SUCCESS.value}, fields, sort=[("queued_at", -1)])
        return {"id": row["_id"], "result": row["result"], "completed_at": row["completed_at"]} if row else None

    def heartbeat(self, *, owner: str, held: Mapping[str, int], expires_at: datetime) -> set[str]:
        """Renew the leases of `held` (execution id → token) to `expires_at`; returns the ids whose lease is no longer ours."""
        if not held:
            return set()
        mine = {"_id": {"$in": list(held)}, "lease.owner": owner, "status": Status.RUNNING.value}
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
            [UpdateOne(updates.held(attempt), {"$set": {"progress": progress}}) for attempt, progress in rows], ordered=False
        )

    def finish(self, ends: Sequence[tuple[Attempt, Outcome, float | None]], *, now: datetime, followed: Collection[str] = ()) -> set[str]:
        """Write the ends of attempts, each with the delay of the next one or None for the end of the execution. `followed` are the jobs
        that others run after.

        Returns the ids that were refused: their lease had gone to another worker.
        """
        alike: list[tuple[Attempt, Outcome, float | None]] = []
        others: list[tuple[Attempt, Outcome, float | None]] = []
        for end in ends:
            (alike if updates.is_plain(*end) and not updates.is_followed(end[0], followed) else others).append(end)
        operations: list[UpdateOne | UpdateMany] = updates.plain_ends([(attempt, outcome) for attempt, outcome, _ in alike], now)
        for attempt, outcome, delay in others:
            held = updates.held(attempt) if delay is None else {**updates.held(attempt), "cancel": {"$exists": False}}
            ended = updates.end(attempt, outcome, delay, now, followed=updates.is_followed(attempt, followed))
            operations.append(UpdateOne(held, ended))
        matched = self._executions.bulk_write(operations, ordered=False).matched_count
        self._give_way(ends, now)
        if matched == len(ends):
            return set()
        refused = set()
        for attempt, outcome, delay in ends:  # rare: find which ones; a written end has this token in `last_token` and no lease
            written = {"_id": attempt.execution_id, "last_token": attempt.token, "lease": {"$exists": False}}
            if delay is not None and self._end_crossed(updates.held(attempt), attempt, outcome, now):
                continue
            if self._executions.find_one(written, {"_id": 1}) is None:
                refused.add(attempt.execution_id)
        return refused

    def _end_crossed(self, held: Document, attempt: Attempt, outcome: Outcome, now: datetime) -> bool:
        """The attempt failed and would be tried again, and meanwhile someone asked the execution to stop: it stops."""
        stopped = updates.end(attempt, replace(outcome, status=Status.CANCELLED), None, now)
        return self._executions.update_one({**held, "cancel": {"$exists": True}}, stopped).matched_count == 1

    def hand_back(self, attempt: Attempt, *, now: datetime) -> bool:
        """Put an unfinished run back into the queue, without counting the attempt as a failure; False where it was not ours. Its next
        attempt begins after LEAST_DELAY_SECONDS, as any other does."""
        again_at = now + timedelta(seconds=LEAST_DELAY_SECONDS)
        last = f"attempts.{attempt.number - 1}"
        ended = {f"{last}.completed_at": now, f"{last}.status": Status.CANCELLED.value, f"{last}.reason": Reason.HANDED_BACK.value}
        update = {"$set": {**updates.back_in_queue(attempt, Status.QUEUED, again_at), **ended}, "$unset": {"lease": ""}}
        return self._executions.update_one(updates.held(attempt), update).matched_count == 1

    def put_back(self, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Runs that were claimed and not begun wait again, as if they had not been claimed; one that is no longer ours is left alone."""
        changes = []
        for attempt in attempts:
            started_at = None if attempt.number == 1 else attempt.began_at
            waiting = {**updates.back_in_queue(attempt, Status.QUEUED, now), "started_at": started_at, "execution_host": None}
            changes.append(UpdateOne(updates.held(attempt), {"$set": waiting, "$pop": {"attempts": 1}, "$unset": {"lease": ""}}))
        self._executions.bulk_write(changes, ordered=False)

    def drop_claimed(self, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Claimed runs of jobs that were deleted before the claim are skipped, as if they had not been claimed."""
        skipped = {"status": Status.SKIPPED.value, "reason": Reason.JOB_GONE.value, "completed_at": now, "execution_host": None}
        gone = {"$set": skipped, "$pop": {"attempts": 1}, "$unset": {"lease": "", **LEAVES_QUEUE}}
        self._executions.bulk_write([UpdateOne(updates.held(attempt), gone) for attempt in attempts], ordered=False)

    # -- lost workers ---------------------------------------------------------------------------------------------

    def find_lost(self, now: datetime, limit: int) -> list[Attempt]:
        """Running executions whose lease has run out."""
        where = {"slots": {"$exists": True}, "lease.expires_at": {"$lt": now}, "status": Status.RUNNING.value}
        rows = self._without_damaged(list(self._executions.find(where).sort("lease.expires_at", 1).limit(limit)), now)

        def attempt(row: Document) -> Attempt:
            number, began = len(row["attempts"]), row["attempts"][-1]["started_at"]
            return updates.attempt_from(updates.checked(row, now), number=number, token=row["lease"]["token"], started_at=began)

        return list(each("sweep", rows, attempt, give_up=partial(self._set_aside, now)))

    def end_lost(
        self, attempt: Attempt, outcome: Outcome, delay_seconds: float | None, *, now: datetime, followed: Collection[str] = ()
    ) -> bool:
        """End an attempt whose worker is lost; False where the lease was renewed, or another sweeper was quicker. `followed` as in
        `finish`."""
        lost = {**updates.held(attempt), "lease.expires_at": {"$lt": now}}
        if delay_seconds is not None:
            if self._end_crossed(lost, attempt, outcome, now):
                return True
            lost["cancel"] = {"$exists": False}
        ended = updates.end(attempt, outcome, delay_seconds, now, followed=updates.is_followed(attempt, followed))
        return self._executions.update_one(lost, ended).matched_count == 1

    # -- by people ------------------------------------------------------------------------------------------------

    def ask_cancel(self, execution_id: str, *, by: str, now: datetime) -> Document | None:
        """Stop an execution: at once where it waits, by its worker where it runs. The document after; None where it has ended."""
        ended = {
            "$set": {"status": Status.CANCELLED.value, "completed_at": now, "cancel": {"by": by, "at": now}},
            "$unset": LEAVES_QUEUE,
        }
        waiting = {"_id": execution_id, "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}}
        document = self._executions.find_one_and_update(waiting, ended, return_document=ReturnDocument.AFTER)
        if document is None:
            running = {"_id": execution_id, "status": Status.RUNNING.value}
            document = self._executions.find_one_and_update(
                running, {"$set": {"cancel": {"by": by, "at": now}}}, return_document=ReturnDocument.AFTER
            )
        return document

    def replace_running(self, job_ids: Sequence[str], *, now: datetime, spare: str | None = None) -> None:
        """Stop what these jobs run or have waiting, but for `spare`: newer runs take their place."""
        cancel = {"by": "system", "at": now, "reason": Reason.REPLACED.value}
        live: Document = {"job_id": {"$in": list(job_ids)}, "live": True, "cancel": {"$exists": False}}
        if spare is not None:
            live["_id"] = {"$ne": spare}
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
                "$unset": LEAVES_QUEUE,
            },
        )

    def drop_queued(self, job_id: str, *, now: datetime) -> int:
        """Skip what a retired job still has waiting; returns how many."""
        result = self._executions.update_many(
            {"job_id": job_id, "live": True, "status": {"$in": [Status.QUEUED.value, Status.RETRYING.value]}},
            {
                "$set": {"status": Status.SKIPPED.value, "reason": Reason.JOB_GONE.value, "completed_at": now},
                "$unset": LEAVES_QUEUE,
            },
        )
        return result.modified_count

    def made_up_for(self, job_id: str, begin: datetime, end: datetime) -> set[datetime]:
        """Due times of [begin, end) that have a run which succeeded or is still to end."""
        wanted = [Status.SUCCESS.value, *LIVE_VALUES]
        within = {"$gte": begin, "$lt": end}
        due = self._executions.find({"job_id": job_id, "scheduled_for": within, "status": {"$in": wanted}}, {"scheduled_for": 1})
        again = {"job_id": job_id, "triggered_by": Trigger.BACKFILL.value, "stands_for": within, "status": {"$in": wanted}}
        return {row["scheduled_for"] for row in due} | {row["stands_for"] for row in self._executions.find(again, {"stands_for": 1})}

    def drop_backfill(self, job_id: str, *, by: str, now: datetime) -> int:
        """Cancel what a job still has waiting of backfills; returns how many."""
        waiting = {"job_id": job_id, "live": True, "triggered_by": Trigger.BACKFILL.value, "queue_rank": {"$exists": True}}
        ended = {"status": Status.CANCELLED.value, "completed_at": now, "cancel": {"by": by, "at": now}}
        return self._executions.update_many(waiting, {"$set": ended, "$unset": LEAVES_QUEUE}).modified_count

    def waiting_of_backfill(self, job_id: str) -> int:
        """How many runs of backfills a job still has waiting."""
        return self._executions.count_documents({"job_id": job_id, "live": True, "triggered_by": Trigger.BACKFILL.value})

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
        ran = {"job_id": job_id, "status": {"$in": list(RAN)}, "queued_at": {"$gt": since}}
        rows = self._executions.find(ran, {"status": 1}).sort("queued_at", -1).limit(limit)
        return sum(1 for _ in takewhile(lambda row: row["status"] in FAILURES, rows))

    def judged(self, execution_id: str) -> None:
        """Its job was looked at."""
        self._executions.update_one({"_id": execution_id}, {"$unset": {"verdict": ""}})

    # -- jobs that run after others -------------------------------------------------------------------------------

    def to_follow(self, limit: int) -> list[Document]:
        """Ended executions whose job others run after, for which they were not started yet, the oldest first: id, job, status, line."""
        kept = {"job_id": 1, "status": 1, "line": 1}
        return list(self._executions.find({"dependants": "pending"}, kept).sort("completed_at", 1).limit(limit))

    def was_followed(self, execution_id: str) -> None:
        """What runs after it is in the queue."""
        self._executions.update_one({"_id": execution_id}, {"$unset": {"dependants": ""}})

    def briefly(self, ids: Sequence[str]) -> list[Document]:
        """These executions in brief, with their jobs."""
        return list(self._executions.find({"_id": {"$in": list(ids)}}, {**BRIEF, "job_id": 1, "job_name": 1}))

    def caused_by(self, execution_id: str, limit: int) -> list[Document]:
        """The executions that its end began, in brief, with their jobs."""
        return list(self._executions.find({"caused_by": execution_id}, {**BRIEF, "job_id": 1, "job_name": 1}).limit(limit))

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, execution_id: str) -> Document | None:
        return self._executions.find_one({"_id": execution_id})

    def page(
        self, query: ExecutionFilter, *, of_jobs: Collection[str] | None = None, skip: int = 0, limit: int = 50, most: int = 0
    ) -> tuple[list[Document], int]:
        """Newest first, with how many there are in all; of these jobs alone. With `most`, no more than so many are counted."""
        where = query.where()
        # Few are live, and their index is of them alone: the planner does not see that it answers this.
        hint = {"hint": LIVE_INDEX} if query.status in LIVE_VALUES and query.job_id is None else {}
        if of_jobs is not None:
            where["$and"] = [{"job_id": {"$in": list(of_jobs)}}]
        rows = self._executions.find(where, max_time_ms=QUERY_TIME_MS, **hint).sort("queued_at", -1).skip(skip).limit(limit)
        bounds: dict[str, Any] = {**({"limit": most} if most else {}), **hint}
        total = (
            self._executions.count_documents(where, maxTimeMS=QUERY_TIME_MS, **bounds)
            if where
            else self._executions.estimated_document_count()
        )
        return list(rows), total

    def latest(self, job_id: str, limit: int) -> list[Document]:
        """The newest executions of a job, in brief: id, status, start and duration."""
        return list(self._executions.find({"job_id": job_id}, BRIEF).sort("queued_at", -1).limit(limit))

    def neighbour(self, row: Document, *, earlier: bool) -> str | None:
        """The id of the execution of the same job that was queued next before a row, or after it."""
        beyond = {"$lt": row["queued_at"]} if earlier else {"$gt": row["queued_at"]}
        where = {"job_id": row["job_id"], "queued_at": beyond}
        found = self._executions.find_one(where, {"_id": 1}, sort=[("queued_at", -1 if earlier else 1)])
        return found["_id"] if found else None

    def success_before(self, row: Document) -> Document | None:
        """The last success of the same job that was queued before a row."""
        where = {"job_id": row["job_id"], "queued_at": {"$lt": row["queued_at"]}, "status": Status.SUCCESS.value}
        return self._executions.find_one(where, sort=[("queued_at", -1)], max_time_ms=QUERY_TIME_MS)

    def latest_of(self, job_ids: Sequence[str], limit: int) -> dict[str, list[Document]]:
        """The newest of many jobs in one trip, in outline: each job's are read off its own place in the index."""
        stages_of_each: list[Document] = [{"$sort": {"queued_at": -1}}, {"$limit": limit}, {"$project": OUTLINE}]
        join = {"from": self._executions.name, "localField": "id", "foreignField": "job_id", "pipeline": stages_of_each, "as": "rows"}
        stages: list[Document] = [{"$documents": [{"id": one} for one in job_ids]}, {"$lookup": join}]
        found = self._database.aggregate(stages, maxTimeMS=QUERY_TIME_MS) if job_ids else ()
        return {row["id"]: [self._executions.readable(one, OUTLINE) for one in row["rows"]] for row in found}

    def tallies(self, since: datetime, until: datetime | None = None, *, of_jobs: Collection[str] | None = None) -> dict[datetime, Tally]:
        """What executions that were queued since then, and before `until`, and have ended came to, by the hour (UTC); of all jobs, or
        of some."""
        within = {"$gte": since, **({} if until is None else {"$lt": until})}
        ended: Document = {"status": {"$in": ENDED_VALUES}, "queued_at": within, "completed_at": ANY_DATE}
        if of_jobs is not None:
            return self._by_hour({**ended, "job_id": {"$in": list(of_jobs)}, "dry": {"$ne": True}})
        # An index holds all that this asks for, but for which of them were previews: those are few, and counted off.
        found = self._by_hour(ended)
        for hour, dry in self._by_hour({**ended, "dry": True}).items():
            whole = found[hour]
            left = {status: n for status, count in whole.counts.items() if (n := count - dry.counts.get(status, 0))}
            found[hour] = Tally(left, max(0.0, whole.seconds - dry.seconds))
        return {hour: one for hour, one in found.items() if one.counts}

    def _by_hour(self, where: Document) -> dict[datetime, Tally]:
        hour = {"$dateTrunc": {"date": "$queued_at", "unit": "hour"}}
        sums = {"count": {"$sum": 1}, "seconds": {"$sum": "$duration_seconds"}}
        counts: dict[datetime, dict[str, int]] = {}
        seconds: dict[datetime, float] = {}
        stages: list[Document] = [{"$match": where}, {"$group": {"_id": {"hour": hour, "status": "$status"}, **sums}}]
        for row in self._executions.aggregate(stages, maxTimeMS=QUERY_TIME_MS):
            at, status = row["_id"]["hour"], row["_id"]["status"]
            counts.setdefault(at, {})[status] = row["count"]
            if status == Status.SUCCESS.value:
                seconds[at] = _summed(row["seconds"])
        return {at: Tally(one, seconds.get(at, 0.0)) for at, one in counts.items()}

    def drawn(
        self, begin: datetime, end: datetime, limit: int, *, newest: bool = True, of_jobs: Collection[str] | None = None
    ) -> list[Document]:
        """What is worth drawing of the executions that were queued from `begin` on and before `end`, and began: those that took
        LONG_SECONDS or more (with what was queued a day before and went on), the failed, what runs and, where they are asked for, the
        `newest`; `limit` of each kind at most."""
        where: Document = {"queued_at": {"$gte": begin, "$lt": end}, "started_at": ANY_DATE, "dry": {"$ne": True}}
        if of_jobs is not None:
            where["job_id"] = {"$in": list(of_jobs)}
        yesterday: Document = {"queued_at": {"$gte": begin - timedelta(days=1), "$lt": begin}}
        kinds: list[tuple[Document, Document]] = [
            ({"status": {"$in": list(FAILURES)}, "completed_at": ANY_DATE}, {}),
            ({"duration_seconds": {"$gte": LONG_SECONDS}}, {}),
            ({"duration_seconds": {"$gte": LONG_SECONDS}, **yesterday, "completed_at": {"$gt": begin}}, {}),
            ({"live": True, "status": Status.RUNNING.value}, {"hint": LIVE_INDEX}),
            *([({}, {})] if newest else []),
        ]
        found: dict[str, Document] = {}
        for kind, hint in kinds:
            rows = self._executions.find({**where, **kind}, DRAWN, max_time_ms=QUERY_TIME_MS, **hint).sort("queued_at", -1).limit(limit)
            found |= {row["_id"]: row for row in rows}
        return list(found.values())

    def minutes(self, begin: datetime, end: datetime, *, of_jobs: Collection[str] | None = None) -> list[Begun]:
        """In which minutes the executions began that were queued from `begin` on and before `end`, by job and status; of all jobs, or of
        some."""
        where: Document = {"queued_at": {"$gte": begin, "$lt": end}, "started_at": ANY_DATE, "dry": {"$ne": True}}
        if of_jobs is not None:
            where["job_id"] = {"$in": list(of_jobs)}
        minute = {"$dateDiff": {"startDate": begin, "endDate": "$started_at", "unit": "minute"}}
        sums = {"name": {"$last": "$job_name"}, "count": {"$sum": 1}, "seconds": {"$sum": "$duration_seconds"}}
        group = {"_id": {"job": "$job_id", "status": "$status"}, **sums, "minutes": {"$addToSet": minute}}
        rows = self._executions.aggregate([{"$match": where}, {"$group": group}], maxTimeMS=QUERY_TIME_MS)
        return [
            Begun(row["_id"]["job"], str(row["name"]), row["_id"]["status"], row["count"], _summed(row["seconds"]), row["minutes"])
            for row in rows
            if isinstance(row["_id"].get("job"), str) and row["_id"].get("status") in _STATUSES
        ]

    def failures(self, since: datetime, *, of_jobs: Collection[str] | None = None) -> list[Document]:
        """The newest failure of each job that failed since then, newest first, out of the newest MOST_FAILED."""
        bad: Document = {"status": {"$in": list(FAILURES)}, "queued_at": {"$gte": since}, "completed_at": ANY_DATE, "dry": {"$ne": True}}
        if of_jobs is not None:
            bad["job_id"] = {"$in": list(of_jobs)}
        kept = dict.fromkeys(("job_id", "job_name", "status", "reason", "queued_at", "error.message"), 1)
        rows = self._executions.find(bad, kept, max_time_ms=QUERY_TIME_MS, batch_size=MOST_FAILED)
        newest: dict[str, Document] = {}
        for row in rows.sort("queued_at", -1).limit(MOST_FAILED):
            newest.setdefault(row["job_id"], {"error": None, **row})
        return list(newest.values())

    def latest_durations(self, kind: str, limit: int) -> list[float]:
        """How many seconds the latest successful runs of a template took."""
        where = {"template_type": kind, "status": Status.SUCCESS.value}
        rows = self._executions.find(where, {"duration_seconds": 1}).sort("completed_at", -1).limit(limit)
        return [row["duration_seconds"] for row in rows if row["duration_seconds"] is not None]

    def counts_by_status(self) -> dict[str, int]:
        """How many are live, by status."""
        stages: list[Document] = [{"$match": {"live": True}}, {"$group": {"_id": "$status", "count": {"$sum": 1}}}]
        rows = self._executions.aggregate(stages, hint=LIVE_INDEX, maxTimeMS=QUERY_TIME_MS)
        return {**dict.fromkeys(LIVE_VALUES, 0), **{row["_id"]: row["count"] for row in rows if row["_id"] in LIVE_VALUES}}

    def stuck(self, now: datetime, *, silent: timedelta, waiting: timedelta) -> dict[str, int]:
        """How many hang: `silent` run with a lease that ended so long ago, `waiting` have been free to run for so long,
        `untold` are those of whose end people were to be told and could not be."""
        silent_ones = {"slots": {"$exists": True}, "lease.expires_at": {"$lt": now - silent}, "status": Status.RUNNING.value}
        return {
            "silent": self._executions.count_documents(silent_ones),
            "waiting": self._executions.count_documents({"queue_rank": {"$exists": True}, "available_at": {"$lt": now - waiting}}),
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
            "completed_at": ANY_DATE,
            "queued_at": {"$lt": before},
            "job_id": {"$nin": list(spare_jobs)} if job_id is None else job_id,
            "notify.state": {"$ne": "pending"},
            "dependants": {"$ne": "pending"},
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


def _summed(seconds: Any) -> float:
    """A sum of durations by the database; 0 where a damaged record made it none."""
    return float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else 0.0
