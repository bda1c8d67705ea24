"""The steps of a cut-over and of a roll-back. Any process may take the next one: each is a compare-and-set, and an older decision loses.

A cut-over, with the old scheduler and Jobwright in two databases:

1. The migration says that the job moves (app.handover.service).
2. Jobwright holds the shadow mode of the job under the number of this decision.
3. The ledger keeps the old scheduler from beginning a run, for 30 seconds.
4. When no run of it goes on, the ledger hands the job to Jobwright. This write decides: before it the old scheduler goes on, after it
   Jobwright does.
5. The shadow mode ends, with the next due time of the ledger as the next run.

Killed between 4 and 5, any node takes step 5 within seconds; a due time that has passed meanwhile runs then. A roll-back takes the job from
Jobwright first: shadow mode begins and notes the first due time that has not become a run, and the ledger gives that to the old scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.audit.model import SYSTEM
from app.clock import Clock
from app.errors import NotFound, StaleVersion
from app.handover.model import HandOver, Stage
from app.handover.old_world import OldWorld
from app.handover.store import HandOverStore
from app.instants import INSTANT
from app.jobs.model import Job
from app.jobs.service import JobRegistry
from app.jobs.shadowing import Shadowing
from migrations_scripts.unified_scheduler.ledger import JOBWRIGHT, Ledger, is_busy

REASON = "beside the old scheduler"  # of the shadow mode of a job
TRIES = 10  # of a step that another process takes at the same time


class Moves:
    """Takes the next steps of migrations that are under way."""

    def __init__(self, *, store: HandOverStore, old: OldWorld, registry: JobRegistry, shadowing: Shadowing, clock: Clock) -> None:
        self._store, self._old, self._registry, self._shadowing, self._clock = store, old, registry, shadowing, clock

    def step(self, name: str) -> None:
        """Goes as far as is possible now. Does nothing for a migration that is not under way. Where another process takes the same step at
        the same time, this one looks again. Raises StaleVersion if that happens TRIES times."""
        for left in reversed(range(TRIES)):
            try:
                return self._step(name)
            except StaleVersion:
                if not left:
                    raise
        return None

    def _step(self, name: str) -> None:
        hand_over = self._store.get(name)
        if hand_over is None or hand_over.stage not in {Stage.MOVING, Stage.RETURNING}:
            return
        with self._old.ledger(hand_over.connection) as ledger:
            if hand_over.stage == Stage.RETURNING or self.job_of(hand_over) is None:
                self._give_back(hand_over, ledger)
            else:
                self._take(hand_over, ledger)

    def job_of(self, hand_over: HandOver) -> Job | None:
        """Returns the job of a migration; None if it was deleted."""
        try:
            return self._registry.visible(SYSTEM, hand_over.job_id)
        except NotFound:
            return None

    # -- steps ----------------------------------------------------------------------------------------------------

    def _take(self, hand_over: HandOver, ledger: Ledger) -> None:
        row = ledger.get(hand_over.id)
        if row is None or row["epoch"] > hand_over.epoch:
            return
        if row["owner"] != JOBWRIGHT:
            self._hold(hand_over)
            ledger.propose(hand_over.id, hand_over.epoch)
            row = ledger.get(hand_over.id)
            if row is None or (is_busy(row) and ledger.is_alive()) or not ledger.commit(row, hand_over.epoch):
                return
        job = self.job_of(hand_over)
        if job is not None:
            self._shadowing.end(SYSTEM, job.id, held_by=hand_over.holder, next_run_at=_first_run(job, row, self._clock.now()))
        self._store.move(hand_over, Stage.MOVED, epoch=hand_over.epoch, at=self._clock.now())

    def _give_back(self, hand_over: HandOver, ledger: Ledger) -> None:
        job = self.job_of(hand_over)
        after = self._hold(hand_over) if job is not None else None
        due = after.shadow.since_due if after is not None and after.shadow is not None else None
        ledger.give_back(hand_over.id, hand_over.epoch + (0 if hand_over.stage == Stage.RETURNING else 1), due)
        if job is None:
            self._store.remove(hand_over)
        else:
            self._store.move(hand_over, Stage.SHADOW, epoch=hand_over.epoch, at=self._clock.now())

    def _hold(self, hand_over: HandOver) -> Job:
        return self._shadowing.begin(SYSTEM, hand_over.job_id, {"reason": REASON}, held_by=hand_over.holder)


def _first_run(job: Job, row: Mapping[str, Any], now: datetime) -> datetime | None:
    """Returns the first due time of Jobwright: that of the old scheduler for an interval, which goes on in its rhythm; for another
    schedule its first one from now on, or from the due time of the old scheduler on if that has passed."""
    trigger, due = job.definition.schedule.trigger, row["next_due_at"]
    return due if trigger.counts_from_first_due else trigger.next_after(min(now, due) - INSTANT)
