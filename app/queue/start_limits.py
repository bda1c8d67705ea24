"""The limits that jobs set themselves: at most so many runs in a period, whatever triggers them and whichever worker starts them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from app.jobs.model import Excess, RunLimit, run_limit_from
from app.mongo import Document
from app.queue.model import Trigger
from app.queue.start_store import StartStore
from app.queue.starts import Refusal, Starts, Wanted, admit
from app.queue.store import QueueStore

TRIES = 20  # others write the starts of the same job
LONGEST_PAUSE_SECONDS = 0.02
BUSY_RECHECK = timedelta(seconds=1)  # a run whose job is too busy to be counted is looked at again after this time


class StartLimits:
    """Counts the starts of jobs that limit themselves. A run is counted once, before its first attempt; retries are no runs.

    Each job has one document. It is read, decided about and replaced if nobody else has replaced it meanwhile, so the limit holds for all
    workers together. If the document is missing, or reaches back less far than a limit needs, it is made anew from the executions
    themselves.
    """

    def __init__(self, store: StartStore, queue: QueueStore) -> None:
        self._store, self._queue = store, queue

    def admitted(self, rows: Sequence[Document], now: datetime) -> list[Document]:
        """Counts the starts of waiting executions, in their order, and returns those that may start now. The others are held back: each
        waits, or ends as skipped, as its job says.

        A run of a backfill always waits. If runs of a backfill have used up the limit, other runs wait too, and are not skipped because
        of them.
        """
        by_job: dict[str, list[Document]] = {}
        for row in rows:
            if row["started_at"] is None and limit_of(row).is_set:
                by_job.setdefault(row["job_id"], []).append(row)
        if not by_job:
            return list(rows)
        known = self._store.read(by_job)
        refusals: dict[str, Refusal] = {}
        for job_id, waiting in by_job.items():
            refusals |= self._refusals(job_id, waiting, known.get(job_id), now)
        if refusals:
            self._queue.hold_back(refusals, now)
        return [row for row in rows if row["_id"] not in refusals]

    def free_at(self, job_id: str, limit: RunLimit, now: datetime) -> datetime | None:
        """Returns None if one more run of the job may start now, else when it may. Nothing is counted."""
        return self._free_at(job_id, limit, self._store.read([job_id]).get(job_id), now) if limit.is_set else None

    def used_up(self, limits: Mapping[str, RunLimit], now: datetime) -> set[str]:
        """Returns those of some jobs that must not start one more run now. `limits` are by job; nothing is counted."""
        set_limits = {job_id: limit for job_id, limit in limits.items() if limit.is_set}
        known = self._store.read(set_limits) if set_limits else {}
        return {job_id for job_id, limit in set_limits.items() if self._free_at(job_id, limit, known.get(job_id), now) is not None}

    def _free_at(self, job_id: str, limit: RunLimit, known: Starts | None, now: datetime) -> datetime | None:
        return self._covering(job_id, [limit], known, now).not_after(now).free_at(limit, now)

    def _refusals(self, job_id: str, rows: Sequence[Document], known: Starts | None, now: datetime) -> dict[str, Refusal]:
        wanted = [
            Wanted(execution_id=row["_id"], limit=limit_of(row), in_backfill=row["triggered_by"] == Trigger.BACKFILL.value) for row in rows
        ]
        for _ in range(TRIES):
            covering = self._covering(job_id, [run.limit for run in wanted], known, now)
            before = covering.not_after(now)
            after, refused = admit(before, wanted, now)
            if (len(refused) == len(wanted) and before is covering) or self._store.write(after):
                held_back = (run for run in wanted if run.execution_id in refused)
                return {run.execution_id: _refusal(run, refused[run.execution_id], after, now) for run in held_back}
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
            known = self._store.read([job_id]).get(job_id)
        return {run.execution_id: Refusal(now + BUSY_RECHECK, skipped=False) for run in wanted}

    def _covering(self, job_id: str, limits: Sequence[RunLimit], known: Starts | None, now: datetime) -> Starts:
        """Returns the starts of a job as far as these limits need them."""
        if known is not None and all(known.covers(limit) for limit in limits):
            return known
        runs = max([*(limit.runs for limit in limits), known.runs if known else 0])
        seconds = max([*(limit.seconds for limit in limits), known.seconds if known else 0])
        found = {start.execution_id: start for start in self._queue.recent_starts(job_id, now - timedelta(seconds=seconds), runs)}
        found |= {start.execution_id: start for start in (known.starts if known else ())}
        kept = sorted(found.values(), key=lambda start: start.at)[-runs:]
        return Starts(job_id=job_id, runs=runs, seconds=seconds, starts=tuple(kept), revision=known.revision if known else 0)


def limit_of(row: Document) -> RunLimit:
    """Returns the limit of runs that a stored execution carries."""
    return run_limit_from(row.get("run_limit") or {})


def _refusal(run: Wanted, free_at: datetime, starts: Starts, now: datetime) -> Refusal:
    waits = run.in_backfill or run.limit.excess is Excess.QUEUE or starts.in_backfill(run.limit, now)
    return Refusal(free_at, skipped=not waits)
