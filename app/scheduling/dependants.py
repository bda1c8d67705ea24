"""Jobs that run after others: the end of a run becomes runs of its dependants, each exactly one, whichever node is killed at whichever
line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from app.clock import Clock
from app.events import get_logger
from app.execution.store import ExecutionStore
from app.jobs.dependencies import counts
from app.jobs.dependency_store import DependencyStore
from app.jobs.model import Cause, Job, Overlap
from app.mongo import Document
from app.queue.model import Reason, Status, Trigger, new_execution
from app.scheduling.gathering_store import Gathering, GatheringStore
from app.scheduling.triggers import Triggers
from app.ticks import each

log = get_logger(__name__)

BATCH = 200
MOST_SEEN = 100  # executions that a gathering remembers: an end is taken in twice only where so many others came between
DEEPEST = 100  # runs that began one another
_RUN_SPACE = uuid.UUID("c9e2b1de-8a5f-4a3e-9b0c-2f6f5d1c4e11")


class Dependants:
    """One tick at a time:

    1. Ends that others wait for are read: the write that made each an end has marked it.
    2. A job that runs after this one alone gets its run, whose id is made of both: a second insert is refused.
    3. A job that runs after several takes the end in, by compare-and-set on its gathering; the end that completes it makes the run owed
       in the same write.
    4. The mark is removed. Killed before, it is all done once more, to the same effect.
    """

    def __init__(
        self,
        *,
        jobs: DependencyStore,
        executions: ExecutionStore,
        gatherings: GatheringStore,
        triggers: Triggers,
        clock: Clock,
        rests: Callable[[str], bool] = lambda kind: False,
    ) -> None:
        self._jobs, self._executions, self._gatherings = jobs, executions, gatherings
        self._triggers, self._clock, self._rests = triggers, clock, rests

    def tick(self) -> int:
        """Start what runs after the runs that have ended; returns how many executions were written."""
        return sum(each("dependants", self._executions.to_follow(BATCH), self._follow_all))

    def _follow_all(self, ended: Document) -> int:
        after = [
            job
            for job in self._jobs.dependants(ended["job_id"], enabled=True)
            if not job.damaged and any(one.job == ended["job_id"] and counts(one, ended["status"]) for one in job.definition.depends_on)
        ]
        written = sum(each("dependants", after, lambda job: self._follow(job, ended)))
        self._executions.was_followed(ended["_id"])
        return written

    def _follow(self, job: Job, ended: Document) -> int:
        line = [*ended.get("line", ()), ended["job_id"]]
        if len(job.definition.depends_on) == 1:
            self._gatherings.drop(job.id)  # of when it ran after several: what ends now is used up
            return self._write(job, (ended["_id"],), line)
        written = 0
        for together in self._gathered(job, ended):
            written += self._write(job, together, line)
            self._gatherings.paid(job.id, together)
        return written

    def _gathered(self, job: Job, ended: Document) -> Sequence[tuple[str, ...]]:
        """The ends that make a run each, by now."""
        wanted = {one.job for one in job.definition.depends_on}
        while True:
            before = self._gatherings.get(job.id)
            after = arrive(before, wanted, ended["job_id"], ended["_id"])
            if after is before or self._gatherings.put(job.id, after, at=self._clock.now()):
                return after.owed

    def _write(self, job: Job, caused_by: tuple[str, ...], line: Sequence[str]) -> int:
        """`line` are the jobs whose runs began one another. A job that is one of them depends on itself, which the registry refuses but a
        database may hold: its run is skipped, or runs without end would follow."""
        now = self._clock.now()
        reason = self._hindrance(job, now) if job.id not in line and len(line) <= DEEPEST else Reason.CIRCLE
        run_id = str(uuid.uuid5(_RUN_SPACE, "\0".join((job.id, *caused_by))))
        document = new_execution(
            job,
            now=now,
            triggered_by=Trigger.DEPENDENCY,
            status=Status.SKIPPED if reason else Status.QUEUED,
            reason=reason,
            execution_id=run_id,
            caused_by=caused_by,
            line=line,
        )
        if not self._executions.add_one(document):
            return 0
        if reason is None and job.definition.overlap is Overlap.REPLACE:
            self._executions.replace_running([job.id], now=now, spare=run_id)
        if reason is Reason.CIRCLE:
            log.warning("dependants.circle", job=job.id, depth=len(line))
        return 1

    def _hindrance(self, job: Job, now: datetime) -> Reason | None:
        """Why the job does not run now. Maintenance is none: it lets what is queued wait."""
        pause = job.paused
        if pause is not None and pause.cause is Cause.PERSON and (pause.until is None or pause.until > now):
            return Reason.PAUSED
        if self._triggers.blackouts(job.definition.schedule).at(now) is not None:
            return Reason.BLACKOUT
        return Reason.TEMPLATE_OFF if self._rests(job.definition.template_type) else None


def arrive(before: Gathering, wanted: Collection[str], job_id: str, execution_id: str) -> Gathering:
    """What a gathering becomes by the end of a run of `job_id`, one of the `wanted` jobs; the same object where it has that already."""
    if execution_id in before.seen:
        return before
    arrived = {one: ended for one, ended in before.arrived.items() if one in wanted} | {job_id: execution_id}
    seen = (*before.seen, execution_id)[-MOST_SEEN:]
    if set(wanted) - arrived.keys():
        return replace(before, arrived=arrived, seen=seen)
    return replace(before, arrived={}, seen=seen, owed=(*before.owed, tuple(sorted(arrived.values()))))
