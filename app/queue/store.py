"""The queue for those who put executions into it and take them out again, in the `job_executions` collection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pymongo import InsertOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.mongo import Document, Records, is_only_duplicates
from app.outbox.model import Owed
from app.outbox.store import OutboxStore
from app.queue.endings import ending
from app.queue.execution import Execution
from app.queue.model import ENDED, LIVE, Reason, Status, Trigger
from app.queue.needs import with_needs
from app.queue.owing import End, Owing
from app.queue.shape import EXECUTION
from app.queue.slots import RunBounds, assign, slots_query
from app.queue.starts import Refusal, Start

COLLECTION = "job_executions"
STREAM_WAIT_MS = 2000  # how often a change stream without changes looks whether it is to stop
LIVE_VALUES = [status.value for status in Status if status in LIVE]
ENDED_VALUES = [status.value for status in Status if status in ENDED]
WAITING = {"$in": [Status.QUEUED.value, Status.RETRYING.value]}

TemplateNeeds = Callable[[Collection[str]], Mapping[str, Sequence[str]]]  # templates → the labels that they need, where they need any


def no_needs(_: Collection[str]) -> Mapping[str, Sequence[str]]:
    """No template needs a label."""
    return {}


class QueueStore:
    """New executions, and what people and the scheduler do to those that have not ended. `owing` says which ends owe something, and
    `template_needs` which labels templates need: each new execution gets those of its template besides those of its job."""

    def __init__(self, database: Database[Document], owing: Owing, template_needs: TemplateNeeds = no_needs) -> None:
        self._database, self._executions, self._owing = database, Records(database, COLLECTION, EXECUTION), owing
        self._template_needs = template_needs

    # -- into the queue -------------------------------------------------------------------------------------------

    def add(self, executions: Sequence[Execution]) -> int:
        """Write new executions; one whose due time (or id) is there already is left as it is. Returns how many are new."""
        return self._insert([self._document(new) for new in executions])

    def add_planned(self, documents: Sequence[Document]) -> int:
        """The same of executions that stand as documents in the outbox of a job. (Nearly all of them wait to run, and are written as they
        are: to make records of a thousand at once takes longer than to write them.)"""
        return self._insert([row if row["completed_at"] is None else self._document(Execution.from_row(row)) for row in documents])

    def _insert(self, documents: Sequence[Document]) -> int:
        if not documents:
            return 0
        needs = self._template_needs({document["template_type"] for document in documents})
        rows = [with_needs(document, needs.get(document["template_type"], ())) for document in documents] if needs else documents
        try:
            return self._executions.bulk_write([InsertOne(document) for document in rows], ordered=False).inserted_count
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise
            return int(error.details["nInserted"])

    def add_one(self, execution: Execution) -> bool:
        """Write one; False where its id is there already."""
        needs = self._template_needs({execution.template_type}).get(execution.template_type, ())
        try:
            self._executions.insert_one(with_needs(self._document(execution), needs))
        except DuplicateKeyError:
            return False
        return True

    def _document(self, execution: Execution) -> Document:
        """As it is stored: one that has ended already owes what its end owes."""
        if not execution.is_live:
            names = self._owing.of(End.of_execution(execution))
            execution = replace(execution, owed=tuple(Owed(what=name, at=execution.completed_at) for name in names))
        return execution.as_document()

    # -- looking --------------------------------------------------------------------------------------------------

    def get(self, execution_id: str) -> Execution | None:
        """One execution, or None."""
        row = self._executions.find_one({"_id": execution_id})
        return Execution.from_row(row) if row else None

    def live_counts(self, job_ids: Iterable[str]) -> dict[str, int]:
        """How many executions of each job are queued, running or retrying, without those of backfills."""
        rows = self._executions.aggregate(
            [
                {"$match": {"job_id": {"$in": list(job_ids)}, "live": True, "triggered_by": {"$ne": Trigger.BACKFILL.value}}},
                {"$group": {"_id": "$job_id", "count": {"$sum": 1}}},
            ]
        )
        return {row["_id"]: row["count"] for row in rows}

    def full_bound(self, execution_id: str, bounds: RunBounds) -> str | None:
        """The prefix of the first bound that has no slot left for a waiting execution; None where it finds all that it needs."""
        row = self._executions.find_one({"_id": execution_id})
        who_holds = slots_query([row], bounds) if row else None
        if row is None or who_holds is None:
            return None
        used = {key for holder in self._executions.find(who_holds, {"slots": 1}) for key in holder["slots"]}
        return assign([row], used, bounds)[1].get(execution_id)

    def recent_starts(self, job_id: str, since: datetime, most: int) -> list[Start]:
        """Returns the runs of a job that have started since an instant, the newest first, at most so many. Only runs that carry a limit of
        runs are looked at."""
        limited = {"job_id": job_id, "run_limit.runs": {"$gt": 0}, "started_at": {"$gt": since}}
        rows = self._executions.find(limited, {"started_at": 1, "triggered_by": 1}).sort("started_at", -1).limit(most)
        return [Start(row["_id"], row["started_at"], row["triggered_by"] == Trigger.BACKFILL.value) for row in rows]

    def waiting_of_backfill(self, job_id: str) -> int:
        """How many runs of backfills a job still has waiting or running."""
        return self._executions.count_documents({"job_id": job_id, "live": True, "triggered_by": Trigger.BACKFILL.value})

    def requested(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Ids of the runs that people and programs ask for, as they are written by whatever process, until `stopped` says so."""
        by_request = {"operationType": "insert", "fullDocument.triggered_by": {"$ne": Trigger.SCHEDULE.value}}
        with self._executions.watch([{"$match": by_request}, {"$project": {"documentKey": 1}}], max_await_time_ms=STREAM_WAIT_MS) as stream:
            while stream.alive and not stopped():
                change = stream.try_next()
                if change is not None:
                    yield change["documentKey"]["_id"]

    # -- out of the queue -----------------------------------------------------------------------------------------

    def ask_cancel(self, execution_id: str, *, by: str, now: datetime) -> Execution | None:
        """Stop an execution: at once where it waits, by its worker where it runs. The execution after; None where it has ended."""
        cancel = {"by": by, "at": now}
        end = ending(Status.CANCELLED, now, owed=self._owing.of_status(Status.CANCELLED), fields={"cancel": cancel})
        after = ReturnDocument.AFTER
        row = self._executions.find_one_and_update({"_id": execution_id, "status": WAITING}, end.update(), return_document=after)
        if row is None:
            running = {"_id": execution_id, "status": Status.RUNNING.value}
            row = self._executions.find_one_and_update(running, {"$set": {"cancel": cancel}}, return_document=after)
        return Execution.from_row(row) if row else None

    def replace_running(self, job_ids: Sequence[str], *, now: datetime, spare: str | None = None) -> None:
        """Stop what these jobs run or have waiting, but for `spare`: newer runs take their place."""
        cancel = {"by": "system", "at": now, "reason": Reason.REPLACED.value}
        live: Document = {"job_id": {"$in": list(job_ids)}, "live": True, "cancel": {"$exists": False}}
        if spare is not None:
            live["_id"] = {"$ne": spare}
        self._executions.update_many({**live, "status": Status.RUNNING.value}, {"$set": {"cancel": cancel}})
        owed = self._owing.of_status(Status.CANCELLED)
        end = ending(Status.CANCELLED, now, reason=Reason.REPLACED, owed=owed, fields={"cancel": cancel})
        self._executions.update_many({**live, "status": WAITING}, end.update())

    def hold_back(self, refusals: Mapping[str, Refusal], now: datetime) -> None:
        """Executions that the limit of their job's runs does not allow now: each waits until it does, or ends, as its job says."""
        skipped = [execution_id for execution_id, refusal in refusals.items() if refusal.skipped]
        operations: list[UpdateOne | UpdateMany] = [
            UpdateOne(
                {"_id": execution_id, "queue_rank": {"$exists": True}},
                {"$set": {"available_at": refusal.free_at}, "$unset": {"waits_for": "", "released": ""}},
            )
            for execution_id, refusal in refusals.items()
            if not refusal.skipped
        ]
        if skipped:
            end = ending(Status.SKIPPED, now, reason=Reason.RUN_LIMIT, owed=self._owing.of_status(Status.SKIPPED))
            operations.append(UpdateMany({"_id": {"$in": skipped}, "status": Status.QUEUED.value}, end.update()))
        if operations:
            self._executions.bulk_write(operations, ordered=False)

    def drop_queued(self, job_id: str, *, now: datetime) -> int:
        """Skip what a retired job still has waiting; returns how many."""
        end = ending(Status.SKIPPED, now, reason=Reason.JOB_GONE, owed=self._owing.of_status(Status.SKIPPED))
        return self._executions.update_many({"job_id": job_id, "live": True, "status": WAITING}, end.update()).modified_count

    def drop_backfill(self, job_id: str, *, by: str, now: datetime) -> int:
        """Cancel what a job still has waiting of backfills; returns how many."""
        waiting = {"job_id": job_id, "live": True, "triggered_by": Trigger.BACKFILL.value, "queue_rank": {"$exists": True}}
        owed = self._owing.of_status(Status.CANCELLED)
        end = ending(Status.CANCELLED, now, owed=owed, fields={"cancel": {"by": by, "at": now}})
        return self._executions.update_many(waiting, end.update()).modified_count

    def remove_dry(self, execution_id: str) -> bool:
        """Forget a preview that has ended."""
        ended = {"_id": execution_id, "dry": True, "status": {"$in": ENDED_VALUES}}
        return self._executions.delete_one(ended).deleted_count == 1

    def regroup(self, job_id: str, group: str) -> int:
        """Give the executions of a job the group that it has now; returns how many had another."""
        return self._executions.update_many({"job_id": job_id, "group": {"$ne": group}}, {"$set": {"group": group}}).modified_count


def execution_outbox(database: Database[Document]) -> OutboxStore[Execution]:
    """What the ends of executions owe."""
    return OutboxStore(database, COLLECTION, EXECUTION, Execution.from_row)
