"""Between a source of work and the executor: takes claimed executions, hands them over as runs, keeps leases, carries out cancels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from app.clock import Clock
from app.events import get_logger
from app.executors.base import Executor, Run, Sink
from app.mongo import is_permanent
from app.node.preparation import Preparation, Refused
from app.node.routing import Postponed
from app.node.work_source import WorkSource
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, AttemptError, Outcome, Reason, Status
from app.sandbox.protocol import StopReason
from app.scheduling.permit import Grant, StartPermit
from templates_lib.messages import say

log = get_logger(__name__)

AHEAD_LIMIT_SECONDS = 1.0
# An attempt whose lease could not be renewed is killed when this share of the lease has gone, so that it is down before another
# worker may take the execution (the kill grace fits into the rest).
GIVE_UP_SHARE = 0.6


class Runner:
    """One node's work. Its methods are called by the node's ticks; each is safe to call again after any error.

    `owner` is the name under which the work source claims, and `retired` says which of some jobs have been deleted.
    """

    def __init__(
        self,
        *,
        source: WorkSource,
        store: ClaimStore,
        preparation: Preparation,
        executor: Executor,
        sink: Sink,
        retired: Callable[[Collection[str]], Collection[str]],
        clock: Clock,
        owner: str,
        lease_seconds: float,
    ) -> None:
        self._source, self._store, self._preparation, self._executor, self._sink = source, store, preparation, executor, sink
        self._retired, self._clock, self._owner, self._lease_seconds = retired, clock, owner, lease_seconds
        self._renewed_at = clock.monotonic()
        self._not_begun: list[Attempt] = []
        self.permit = StartPermit()
        self.draining = self.asked_to_drain = False

    def claim(self) -> int:
        """Fill the executor's free capacity from the source of work; returns how many executions were claimed."""
        started = 0
        while self._claims_work and self.permit.holds and (free := self._executor.capacity()) > 0:
            with self.permit.claiming() as grant:
                claimed = 0 if grant is None or not self._claims_work else self._claim(free, grant)
            started += claimed
            if claimed < free:
                break
        return started

    @property
    def _claims_work(self) -> bool:
        return not (self.draining or self.asked_to_drain)

    def drain(self) -> None:
        """A person asked this node to drain: it claims nothing more, and what has not begun is put back soon. What runs goes on."""
        self.asked_to_drain = True

    def resume(self) -> None:
        """It may claim again."""
        self.asked_to_drain = False

    def running(self) -> int:
        """Returns how many attempts run."""
        return self._executor.running()

    def is_drained(self) -> bool:
        """Returns whether it was asked to drain, no claim is on its way, and the end of everything that it ran is written."""
        return self.asked_to_drain and not self.permit.is_claiming() and not self.held()

    def _claim(self, free: int, grant: Grant) -> int:
        attempts = self._source.take(free, until=grant.claim_until)
        if not self._executor.held():
            self._renewed_at = self._clock.monotonic()
        runs = self._prepared(self._of_jobs_there(attempts))
        if runs:
            self._executor.submit(runs)
        return len(attempts)

    def warm_up(self, templates: Iterable[str]) -> None:
        """Have the executor ready for runs of these templates, so that the first does not wait for its imports."""
        self._executor.warm_up(self._preparation.classes_of(templates))

    def put_back_all(self) -> bool:
        """Put back what has not begun, now; True where all that this worker holds then has begun."""
        self.put_back(0.0)
        return not self._executor.has_waiting()

    def put_back(self, after_seconds: float = AHEAD_LIMIT_SECONDS) -> int:
        """What was taken ahead of a free process and found none for so long goes back to where others may take it; returns how many."""
        self._not_begun += self._executor.release_waiting(0.0 if self.asked_to_drain else after_seconds)
        if not self._not_begun:
            return 0
        self._store.put_back(self._not_begun, now=self._clock.now())
        done, self._not_begun = len(self._not_begun), []
        return done

    def keep_leases(self) -> None:
        """Renew the leases of what runs; kill what is no longer ours, or what could not be renewed for too long."""
        held = self.held()
        if not held:
            self._renewed_at = self._clock.monotonic()
            return
        try:
            lost = self._store.heartbeat(
                owner=self._owner,
                held={execution_id: attempt.token for execution_id, attempt in held.items()},
                expires_at=self._clock.now() + timedelta(seconds=self._lease_seconds),
            )
        except Exception:
            if self._clock.monotonic() - self._renewed_at > self._lease_seconds * GIVE_UP_SHARE:
                for execution_id, attempt in held.items():
                    log.warning("attempt.lease_lost", **attempt.log_fields)
                    self._executor.stop(execution_id, StopReason.LEASE_LOST, grace_seconds=0.0)
            raise
        self._renewed_at = self._clock.monotonic()
        for execution_id in lost & self._executor.held().keys():
            log.error("attempt.lease_lost", **held[execution_id].log_fields)
            self._executor.stop(execution_id, StopReason.LEASE_LOST, grace_seconds=0.0)

    def held(self) -> dict[str, Attempt]:
        """All that this worker has claimed and not handed over to the database."""
        return {**self._sink.unwritten(), **self._executor.held(), **{attempt.execution_id: attempt for attempt in self._not_begun}}

    def carry_out_cancels(self) -> None:
        """Stop what people asked to stop."""
        held = self._executor.held()
        if held:
            for execution_id, cancel in self._store.cancels_wanted(held).items():
                replaced = cancel.reason == Reason.REPLACED
                self._executor.stop(execution_id, StopReason.REPLACED if replaced else StopReason.CANCEL)

    def give_up(self) -> int:
        """After the grace of a drain: end what still runs; once its tree is gone each goes back into the queue. Returns how many."""
        held = self._executor.held()
        for execution_id in held:
            self._executor.stop(execution_id, StopReason.DRAIN, grace_seconds=0.0)
        return len(held)

    def _of_jobs_there(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """The attempts of jobs that were not deleted before they were claimed; the others are skipped. What was planned or asked for before
        a deletion may be written into the queue after it."""
        try:
            gone = self._retired({attempt.job_id for attempt in attempts}) if attempts else ()
            late = [attempt for attempt in attempts if attempt.job_id in gone]
            if late:
                self._store.drop_claimed(late, now=self._clock.now())
        except Exception:
            self._not_begun += attempts  # they go back into the queue
            raise
        return [attempt for attempt in attempts if attempt.job_id not in gone]

    def _prepared(self, attempts: Sequence[Attempt]) -> list[Run]:
        """The runs of claimed attempts. One that cannot be made ends with the reason and holds up none of the others; those that the
        database was away for go back into the queue."""
        runs = []
        self._preparation.begin_batch(self._executor.held().keys())
        for attempt in attempts:
            try:
                runs.append(self._preparation.run_of(attempt))
            except Postponed as postponed:
                self._postpone(attempt, postponed)
            except Refused as refused:
                self._refuse(attempt, refused.error)
            except Exception as error:
                if is_permanent(error):
                    log.exception("attempt.unprepared", **attempt.log_fields)
                    message = say("The run could not be prepared: {error}", error=error)
                    self._refuse(attempt, AttemptError(type=type(error).__name__, message=message, permanent=True))
                else:
                    log.warning("attempt.unprepared", **attempt.log_fields, reason=str(error)[:200])
                    self._not_begun.append(attempt)
        return runs

    def _postpone(self, attempt: Attempt, postponed: Postponed) -> None:
        """Put back a run that its service cannot take now."""
        now = self._clock.now()
        seconds = round((postponed.until - now).total_seconds(), 1)
        log.info("attempt.postponed", **attempt.log_fields, reason=postponed.reason.value, seconds=seconds)
        try:
            self._store.postpone(attempt, postponed.reason, postponed.until, now=now)
        except Exception as error:
            log.warning("attempt.unprepared", **attempt.log_fields, reason=str(error)[:200])
            self._not_begun.append(attempt)

    def _refuse(self, attempt: Attempt, error: AttemptError) -> None:
        """End an attempt that cannot be run."""
        self._sink.ended(attempt, Outcome(status=Status.FAILED, error=error))
