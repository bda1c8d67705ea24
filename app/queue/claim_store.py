"""What workers do with executions, in the `job_executions` collection. Each write names its claim's token and is refused without it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pymongo import UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.mongo import Document, Records, is_only_duplicates
from app.queue import updates
from app.queue.endings import ending
from app.queue.execution import CancelRequest, cancel_from
from app.queue.model import Attempt, AttemptError, Deferral, Reason, Status
from app.queue.needs import suitable_keys, suits
from app.queue.owing import Owing
from app.queue.retry import LEAST_DELAY_SECONDS
from app.queue.shape import EXECUTION
from app.queue.slots import RunBounds, slots_query
from app.queue.store import COLLECTION, LIVE_VALUES
from app.queue.updates import AttemptEnd
from app.queue.waiting_values import WaitingValues
from app.shapes import DAMAGED
from app.ticks import each
from app.validation.storable import whole_text
from templates_lib.messages import say

# A run that waits for a slot is looked at again after so long.
BLOCKED_RECHECK = timedelta(seconds=1)
LONGEST_REASON = 500  # characters
BY_NEEDS = "waiting_by_needs"  # the index of executions that wait, by the labels that they need
CLAIM_FIELDS = (
    "job_id",
    "job_name",
    "status",
    "slots",
    "overlap",
    "max_instances",
    "concurrency_group",
    "run_limit",
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
    "triggered_by_user",
    "queued_at",
    "postponed",
    "stands_for",
    "dry",
    "scheduled_for",
    "resolved",
    "correlation_id",
    "traceparent",
    "needs",
)


class ClaimStore:
    """The compare-and-sets of workers. `owing` says which ends owe something."""

    def __init__(self, database: Database[Document], owing: Owing) -> None:
        self._executions, self._owing = Records(database, COLLECTION, EXECUTION), owing
        self._waiting_needs = WaitingValues(self._executions, "needs_key")

    # -- claiming -------------------------------------------------------------------------------------------------

    def candidates(
        self,
        now: datetime,
        limit: int,
        *,
        labels: Collection[str] = (),
        among: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> list[Document]:
        """Executions that wait, whose time has come and that a node with `labels` may take, those of the lowest rank first; `among` are the
        executions to choose from, None for all of them; `without` are jobs to leave out. A damaged one ends here, so that it holds up no
        other.

        Where executions wait that need labels, the index leads past those that wait for other nodes.
        """
        where: Document = {"queue_rank": {"$exists": True}, "available_at": {"$lte": now}, **suits(labels)}
        if without:
            where["job_id"] = {"$nin": list(without)}
        if among is not None:
            order = {execution_id: at for at, execution_id in enumerate(among)}
            found = self._executions.find({"_id": {"$in": list(among)}, **where}, dict.fromkeys((*CLAIM_FIELDS, "queue_rank"), 1))
            return self._without_damaged(sorted(found, key=lambda row: (row["queue_rank"], order[row["_id"]]))[:limit], now)
        keys = self._waiting_needs.read(now)
        if keys:
            where["needs_key"] = {"$in": suitable_keys(keys, labels)}
        options: Document = {"hint": BY_NEEDS} if keys else {}
        rows = self._executions.find(where, CLAIM_FIELDS, **options).sort("queue_rank", 1).limit(limit)
        return self._without_damaged(list(rows), now)

    def holders(self, rows: Sequence[Document], bounds: RunBounds) -> list[Document]:
        """{slots, triggered_by, job_id} of the executions that hold a slot which one of the rows could want."""
        who_holds = slots_query(rows, bounds)
        return list(self._executions.find(who_holds, {"slots": 1, "triggered_by": 1, "job_id": 1})) if who_holds else []

    def take(
        self,
        rows: Sequence[Document],
        slots: Mapping[str, list[str]],
        lease: Document,
        *,
        host: str,
        now: datetime,
        until: datetime | None = None,
    ) -> bool:
        """Set waiting executions running (app.queue.updates.takes); True where each was won, False where another worker was quicker with
        some."""
        operations = updates.takes(rows, slots, lease, host, now, until=until, owed=self._owing.of_attempt)
        try:
            return self._executions.bulk_write(operations, ordered=False).matched_count == len(rows)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise
            return False

    def won(self, claim: str, ids: Sequence[str], now: datetime) -> list[str]:
        """Which of these executions a claim has got, and still holds."""
        mine = {"_id": {"$in": list(ids)}, "lease.claim": claim, "lease.expires_at": {"$gt": now}}
        return [row["_id"] for row in self._executions.find(mine, {"_id": 1})]

    def step_aside(self, waits_for: Mapping[str, str], skipped: Sequence[str], now: datetime, held_up: Sequence[str] = ()) -> None:
        """Executions that found no slot: those of `waits_for` (id → prefix of the full bound) wait for one, and the `skipped` end, as their
        job runs and their policy says so. Those that are `held_up` are looked at again a little later."""
        by_bound: dict[str, list[str]] = {}
        for execution_id, prefix in waits_for.items():
            by_bound.setdefault(prefix, []).append(execution_id)
        operations = [
            UpdateMany(
                {"_id": {"$in": ids}, "queue_rank": {"$exists": True}},
                {"$set": {"available_at": now + BLOCKED_RECHECK, "waits_for": prefix}, "$unset": {"released": ""}},
            )
            for prefix, ids in by_bound.items()
        ]
        if held_up:
            later = {"$set": {"available_at": now + BLOCKED_RECHECK}, "$unset": {"released": ""}}
            operations.append(UpdateMany({"_id": {"$in": list(held_up)}, "queue_rank": {"$exists": True}}, later))
        if skipped:
            end = ending(Status.SKIPPED, now, reason=Reason.OVERLAP, owed=self._owing.of_status(Status.SKIPPED))
            operations.append(UpdateMany({"_id": {"$in": list(skipped)}, "status": Status.QUEUED.value}, end.update()))
        if operations:
            self._executions.bulk_write(operations, ordered=False)

    def wake_waiting(self, prefix: str, now: datetime) -> bool:
        """A slot of a bound is free: the oldest execution that waits for one is available now. False where none waits."""
        waiting = {"waits_for": prefix, "queue_rank": {"$exists": True}}
        woken = {"$set": {"available_at": now}, "$unset": {"waits_for": ""}}
        return self._executions.find_one_and_update(waiting, woken, {"_id": 1}, sort=[("queue_rank", 1)]) is not None

    def end_asked_to_stop(self, ids: Sequence[str], now: datetime) -> None:
        """Cancel what was put back into the queue although someone had asked it to stop."""
        end = ending(Status.CANCELLED, now, owed=self._owing.of_status(Status.CANCELLED))
        self._executions.update_many({"_id": {"$in": list(ids)}, "queue_rank": {"$exists": True}}, end.update())

    # -- while running --------------------------------------------------------------------------------------------

    def heartbeat(self, *, owner: str, held: Mapping[str, int], expires_at: datetime) -> set[str]:
        """Renew the leases of `held` (execution id → token) to `expires_at`; returns the ids whose lease is no longer ours."""
        if not held:
            return set()
        mine = {"_id": {"$in": list(held)}, "lease.owner": owner, "status": Status.RUNNING.value}
        matched = self._executions.update_many(mine, {"$set": {"lease.expires_at": expires_at}}).matched_count
        if matched == len(held):
            return set()
        still = {row["_id"]: row["lease"]["token"] for row in self._executions.find(mine, {"lease.token": 1})}
        return {execution_id for execution_id, token in held.items() if still.get(execution_id) != token}

    def cancels_wanted(self, ids: Iterable[str]) -> dict[str, CancelRequest]:
        """Which of the running executions `ids` someone asked to stop, with who and why."""
        rows = self._executions.find({"_id": {"$in": list(ids)}, "cancel": {"$exists": True}}, {"cancel": 1})
        return {row["_id"]: cancel_from(row["cancel"]) for row in rows}

    def note_resolved(self, attempt: Attempt, resolved: Mapping[str, Any]) -> None:
        """Record what the dynamic values of an execution became (JSON Pointer → value), for its page and its later attempts."""
        rows = [{"pointer": pointer, "value": value} for pointer, value in resolved.items()]
        self._executions.update_one({"_id": attempt.execution_id, "lease.token": attempt.token}, {"$set": {"resolved": rows}})

    def write_progress(self, rows: Sequence[tuple[Attempt, Document]]) -> None:
        """Progress of running attempts; a stale one matches nothing."""
        self._executions.bulk_write(
            [UpdateOne(updates.held(attempt), {"$set": {"progress": progress}}) for attempt, progress in rows], ordered=False
        )

    # -- ending ---------------------------------------------------------------------------------------------------

    def finish(self, ends: Sequence[AttemptEnd], *, now: datetime) -> set[str]:
        """Write the ends of attempts. Returns the ids that were refused: their claims had gone to another worker."""
        plain: list[AttemptEnd] = []
        others: list[AttemptEnd] = []
        for end in ends:
            (plain if updates.is_plain(end) else others).append(end)
        operations = updates.plain_ends(plain, now)
        for end in others:
            held = updates.held(end.attempt)
            if not end.ends_execution:
                held["cancel"] = {"$exists": False}
            operations.append(UpdateOne(held, updates.end_of_attempt(end, now)))
        if self._executions.bulk_write(operations, ordered=False).matched_count == len(ends):
            return set()
        return {end.attempt.execution_id for end in ends if not self._was_written(end, now)}

    def _was_written(self, end: AttemptEnd, now: datetime) -> bool:
        """Whether an end is in the database, after a write that matched too few. One that is has its token in `last_token` and no lease."""
        attempt = end.attempt
        if not end.ends_execution and self._end_crossed(updates.held(attempt), end, now):
            return True
        written = {"_id": attempt.execution_id, "last_token": attempt.token, "lease": {"$exists": False}}
        return self._executions.find_one(written, {"_id": 1}) is not None

    def finish_lost(self, end: AttemptEnd, *, now: datetime) -> bool:
        """Write the end of an attempt whose worker is lost; False where its lease was renewed, or another sweeper was quicker."""
        lost = {**updates.held(end.attempt), "lease.expires_at": {"$lt": now}}
        if not end.ends_execution:
            if self._end_crossed(lost, end, now):
                return True
            lost["cancel"] = {"$exists": False}
        return self._executions.update_one(lost, updates.end_of_attempt(end, now)).matched_count == 1

    def _end_crossed(self, held: Document, end: AttemptEnd, now: datetime) -> bool:
        """The attempt would be tried again, and meanwhile someone asked the execution to stop: it stops."""
        stopped = updates.end_of_attempt(end.cancelled(self._owing.of_status(Status.CANCELLED)), now)
        return self._executions.update_one({**held, "cancel": {"$exists": True}}, stopped).matched_count == 1

    def hand_back(self, attempt: Attempt, *, now: datetime) -> bool:
        """Put an unfinished run back into the queue, without counting the attempt as a failure; False where it was not ours. Its next
        attempt begins after LEAST_DELAY_SECONDS, as any other does."""
        again_at = now + timedelta(seconds=LEAST_DELAY_SECONDS)
        return self._executions.update_one(updates.held(attempt), updates.handed_back(attempt, now, again_at)).matched_count == 1

    def put_back(self, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Runs that were claimed and have not begun wait again, as if they had not been claimed; one that is no longer ours is left
        alone."""
        changes = [UpdateOne(updates.held(attempt), updates.unclaimed(attempt, now)) for attempt in attempts]
        self._executions.bulk_write(changes, ordered=False)

    def postpone(self, attempt: Attempt, reason: Reason, until: datetime, *, now: datetime) -> None:
        """A run that was claimed and that its service cannot take waits until then, as if it had not been claimed. So do the queued runs of
        the same job: each would find the same."""
        self._executions.update_one(updates.held(attempt), updates.postponed(attempt, reason, until, now))
        if reason is not Reason.SERVICE_BUSY:  # such a service has room again at any moment
            waiting = {"job_id": attempt.job_id, "live": True, "status": Status.QUEUED.value, "queue_rank": {"$exists": True}}
            sooner = {"available_at": {"$lt": until}, "waits_for": {"$exists": False}}
            put_off = {"$set": {"available_at": until, "reason": reason.value}}
            self._executions.update_many({**waiting, **sooner}, put_off, hint="live")  # without a hint, all runs that the job ever had

    def defer(self, attempt: Attempt, deferral: Deferral, began_at: datetime, *, now: datetime) -> bool:
        """Another program goes on with an attempt: the execution runs on, in its slots, under a lease that the reports of that program
        renew. False where the attempt is not held any more, as it was reported ended before its process was, or its claim has gone; and
        where this is written already, so that a second try takes back no extension."""
        update = updates.deferred(attempt, deferral, began_at, now)
        not_yet = {**updates.held(attempt), "callback.token": {"$ne": attempt.token}}
        return self._executions.update_one(not_yet, update).matched_count == 1

    def drop_claimed(self, attempts: Sequence[Attempt], *, now: datetime) -> None:
        """Claimed runs of jobs that were deleted before the claim are skipped, as if they had not been claimed."""
        owed = self._owing.of_status(Status.SKIPPED)
        end = ending(Status.SKIPPED, now, reason=Reason.JOB_GONE, owed=owed, fields={"execution_host": None})
        gone = updates.ended_unclaimed(end)
        self._executions.bulk_write([UpdateOne(updates.held(attempt), gone) for attempt in attempts], ordered=False)

    # -- lost workers ---------------------------------------------------------------------------------------------

    def find_lost(self, now: datetime, limit: int) -> list[Attempt]:
        """The attempts of running executions whose lease has run out."""
        where = {"slots": {"$exists": True}, "lease.expires_at": {"$lt": now}, "status": Status.RUNNING.value}
        rows = self._without_damaged(list(self._executions.find(where).sort("lease.expires_at", 1).limit(limit)), now)

        def attempt(row: Document) -> Attempt:
            number, began = len(row["attempts"]), row["attempts"][-1]["started_at"]
            return updates.attempt_from(row, number=number, token=row["lease"]["token"], started_at=began)

        return list(each("sweep", rows, attempt, give_up=partial(self._set_aside, now)))

    def end_damaged(self, execution_id: str, error: Exception, *, now: datetime) -> None:
        """End an execution whose record cannot be read any more, with the reason."""
        reason = whole_text(f"{type(error).__name__}: {str(error)[:LONGEST_REASON]}")
        broken = AttemptError(type="DamagedRecord", message=say("The record cannot be read: {reason}", reason=reason)).as_stored()
        waits_or_runs = [{"status": {"$in": LIVE_VALUES}}, {"queue_rank": {"$exists": True}}, {"slots": {"$exists": True}}]
        end = ending(Status.FAILED, now, owed=self._owing.of_status(Status.FAILED), fields={"error": broken})
        self._executions.update_one({"_id": execution_id, "$or": waits_or_runs}, end.update())

    def _without_damaged(self, rows: list[Document], now: datetime) -> list[Document]:
        """The rows that are executions; one that somebody or something has damaged ends, so that it holds up no other."""
        for row in rows:
            if DAMAGED in row:
                self.end_damaged(row["_id"], ValueError(row[DAMAGED]), now=now)
        readable = [row for row in rows if DAMAGED not in row]
        return list(each("claim", readable, lambda row: updates.checked(row, now), give_up=partial(self._set_aside, now)))

    def _set_aside(self, now: datetime, row: Document, error: Exception) -> None:
        self.end_damaged(row["_id"], error, now=now)
