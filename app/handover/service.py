"""Migrates the jobs of the old scheduler one by one: parallel operation, cut-over, roll-back. Each call can be interrupted and repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import SYSTEM, Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, NotFound
from app.events import get_logger
from app.execution.filters import ExecutionFilter
from app.execution.history import History
from app.execution.runs import Runs
from app.handover.comparison import Ours, Row, compare, tolerance_of
from app.handover.model import HandOver, Stage
from app.handover.moves import REASON, Moves
from app.handover.old_jobs import OLD_JOBS, Options, body_of, differences
from app.handover.old_world import OldWorld
from app.handover.store import HandOverStore
from app.instants import to_milliseconds
from app.jobs.model import Shadow
from app.jobs.records import WOULD_RUN
from app.jobs.service import JobRegistry
from app.jobs.shadowing import MOST_LISTED, Shadowing
from templates_lib.messages import say

ORIGIN = "migration"
MOST_RUNS = 500  # executions that a comparison looks at

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """What becomes of a job of the old scheduler. `body` is None if Jobwright does not know it; `hand_over` is how far its migration is.

    `owner` says who runs it now, as the ledger has it, under the decision `epoch`, and `next_due_at` when the old scheduler would run it
    next.
    """

    name: str
    owner: str
    epoch: int
    interval_seconds: int
    next_due_at: datetime
    body: dict[str, Any] | None
    differences: list[str]
    hand_over: HandOver | None
    old_is_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The due times of both sides from `since` to `until`."""

    name: str
    since: datetime
    until: datetime
    rows: list[Row]


class HandOvers:
    """The migration of the jobs of the old scheduler."""

    def __init__(
        self,
        *,
        store: HandOverStore,
        old: OldWorld,
        registry: JobRegistry,
        shadowing: Shadowing,
        runs: Runs,
        history: History,
        audit: AuditTrail,
        clock: Clock,
        timezone: str,
    ) -> None:
        self._store, self._old, self._registry, self._shadowing, self._runs = store, old, registry, shadowing, runs
        self._history, self._audit, self._clock, self._timezone = history, audit, clock, timezone
        self._moves = Moves(store=store, old=old, registry=registry, shadowing=shadowing, clock=clock)

    def plan(self, actor: Actor, *, connection: str, tickets: str) -> list[PlannedJob]:
        """Returns what each job of the old scheduler becomes, and how far its migration is. Changes nothing."""
        require(actor, May.MIGRATE_JOBS)
        options = Options(connection=connection, timezone=self._timezone, tickets=tickets)
        present = {hand_over.id: hand_over for hand_over in self._store.all()}
        with self._old.ledger(connection) as ledger:
            jobs, alive = ledger.jobs(), ledger.is_alive()
        if not jobs:
            raise Conflict(say("The old scheduler has not written down any job in this database. Start it once, with the ledger."))
        return [
            PlannedJob(
                name=name,
                owner=row["owner"],
                epoch=row["epoch"],
                interval_seconds=row["interval_seconds"],
                next_due_at=row["next_due_at"],
                body=body_of(name, row["interval_seconds"], options) if name in OLD_JOBS else None,
                differences=differences(name, row["interval_seconds"], options) if name in OLD_JOBS else [],
                hand_over=present.get(name),
                old_is_alive=alive,
            )
            for name, row in jobs.items()
        ]

    def apply(self, actor: Actor, name: str, *, connection: str, tickets: str) -> HandOver:
        """Begins parallel operation: creates the job in shadow mode, in the rhythm of the old one. Does nothing if that was done before.

        Raises NotFound for a job that the old scheduler does not have; else as JobRegistry.create.
        """
        planned = next((job for job in self.plan(actor, connection=connection, tickets=tickets) if job.name == name), None)
        if planned is None or planned.body is None:
            raise NotFound("job of the old scheduler", name)
        with self._audit.action(actor, "migration.apply", kind="migration", target_id=name, name=name):
            now = self._now()
            epoch = planned.epoch + 1
            fresh = HandOver(id=name, job_id="", connection=connection, stage=Stage.MAKING, epoch=epoch, by=actor.name, since=now, at=now)
            self._store.begin(fresh)
            hand_over = self._get(name)
            if hand_over.stage != Stage.MAKING:
                return hand_over
            key = f"{hand_over.id}-{round(hand_over.since.timestamp() * 1000)}"
            maker = replace(actor, scopes=None)
            job, _ = self._registry.create(
                maker,
                planned.body,
                idempotency_key=key,
                origin=ORIGIN,
                shadow=Shadow(reason=REASON, by=actor.name, at=hand_over.since, held_by=hand_over.holder),
                first_due=planned.next_due_at if planned.body["schedule"]["type"] == "interval" else None,
            )
            self._store.made(hand_over, job_id=job.id)
        return self._get(name)

    def cut_over(self, actor: Actor, name: str) -> HandOver:
        """Begins to hand a job to Jobwright, and completes it if the old scheduler does not run it now. Repeat the call, or wait: nodes go
        on with it. Returns how far it is.

        Raises NotFound; Conflict if the job is disabled or paused.
        """
        require(actor, May.MIGRATE_JOBS)
        hand_over = self._get(name)
        if hand_over.stage == Stage.SHADOW:
            job = self._registry.visible(SYSTEM, hand_over.job_id)
            if not job.definition.enabled or job.paused is not None or job.schedule_error:
                raise Conflict(say("{name!r} is disabled, paused or broken, so it would not run after the cut-over.", name=name))
            with self._audit.action(actor, "migration.cut_over", kind="migration", target_id=name, name=name):
                self._store.move(hand_over, Stage.MOVING, epoch=hand_over.epoch + 1, at=self._now())
        elif hand_over.stage not in {Stage.MOVING, Stage.MOVED}:
            raise Conflict(say("{name!r} is in the stage {stage}. Repeat the step before.", name=name, stage=hand_over.stage))
        self._moves.step(name)
        return self._get(name)

    def roll_back(self, actor: Actor, name: str, *, remove: bool = False) -> HandOver | None:
        """Gives a job back to the old scheduler; it stays in shadow mode. With `remove`, also deletes it and forgets its migration: returns
        None then. Raises NotFound."""
        require(actor, May.MIGRATE_JOBS)
        hand_over = self._get(name)
        with self._audit.action(actor, "migration.roll_back", kind="migration", target_id=name, name=name):
            if hand_over.stage in {Stage.MOVING, Stage.MOVED}:
                self._store.move(hand_over, Stage.RETURNING, epoch=hand_over.epoch + 1, at=self._now())
            self._moves.step(name)
            hand_over = self._get(name)
            if remove and hand_over.stage in {Stage.SHADOW, Stage.MAKING}:
                if hand_over.job_id and self._moves.job_of(hand_over) is not None:
                    self._runs.delete_job(replace(actor, scopes=None), hand_over.job_id)
                self._store.remove(hand_over)
                return None
        return hand_over

    def compare(self, actor: Actor, name: str, *, since: datetime | None = None) -> Comparison:
        """Compares what the old scheduler ran with what Jobwright would have run and has run, since parallel operation began. Due times
        of the last moments are left out, as the other side may not have written them yet. Raises NotFound."""
        require(actor, May.MIGRATE_JOBS)
        hand_over, now = self._get(name), self._now()
        begin = max(hand_over.since, since) if since else hand_over.since
        with self._old.ledger(hand_over.connection) as ledger:
            row, runs = ledger.get(name), ledger.runs(name, begin, MOST_LISTED)
        if row is None:
            raise NotFound("job of the old scheduler", name)
        tolerance = tolerance_of(row["interval_seconds"])
        until = now - min(tolerance, timedelta(seconds=5))
        ours = [run for run in self._ours(hand_over.job_id) if begin <= run.due_at <= until]
        old = [run["due_at"] for run in runs if run["due_at"] <= until]
        return Comparison(name=name, since=begin, until=until, rows=compare(old, ours, tolerance))

    def settle(self) -> int:
        """Completes what a process that died has left. Returns how many steps were taken."""
        unfinished = self._store.unfinished()
        for hand_over in unfinished:
            try:
                self._moves.step(hand_over.id)
            except Exception:
                log.warning("migration.unfinished", job=hand_over.id, stage=hand_over.stage, exc_info=True)
        return len(unfinished)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _get(self, name: str) -> HandOver:
        hand_over = self._store.get(name)
        if hand_over is None:
            raise NotFound("migrated job", name)
        return hand_over

    def _ours(self, job_id: str) -> list[Ours]:
        """The due times of Jobwright in order: shadow runs and runs."""
        shadows = self._shadowing.runs(SYSTEM, job_id, limit=MOST_LISTED).runs
        rows = self._history.page(SYSTEM, ExecutionFilter(job_id=job_id), limit=MOST_RUNS).items
        ran = [Ours(due_at=row.scheduled_for, ran=True) for row in rows if row.scheduled_for is not None and row.due_times is None]
        real = {run.due_at for run in ran}
        would = [Ours(due_at=run.due_at, ran=False) for run in shadows if run.outcome == WOULD_RUN and run.due_at not in real]
        return sorted([*would, *ran], key=lambda run: run.due_at)

    def _now(self) -> datetime:
        """Returns the time, in whole milliseconds as the database keeps it."""
        return to_milliseconds(self._clock.now())
