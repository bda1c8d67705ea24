"""Between the queue and the executor: claims, judges and hands over, keeps leases, carries out cancels, sweeps up lost runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from app.clock import Clock
from app.config import Settings
from app.errors import FieldError, JobwrightError, NotFound
from app.events import get_logger
from app.execution.store import ExecutionStore
from app.executors.base import Executor, Run, Sink
from app.jobs.model import RetryOn
from app.jobs.records import RunEnd
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import Entry
from app.jobtemplates.parameters import ParameterPipeline, Parameters
from app.mongo import is_permanent
from app.queue.model import Attempt, AttemptError, Outcome, Reason, Status
from app.queue.retry import decide_retry
from app.queue.slots import RunBounds
from app.sandbox.protocol import StopReason
from app.scheduling.permit import Grant, StartPermit
from app.ticks import each
from app.validation.dynamic import Known, Resolved, has_any, put_back

log = get_logger(__name__)

SWEEP_LIMIT = 500
MOST_REMEMBERED = 1000
AHEAD_LIMIT_SECONDS = 1.0
# An attempt whose lease could not be renewed is killed when this share of the lease has gone, so that it is down before another
# worker may take the execution (the kill grace fits into the rest).
GIVE_UP_SHARE = 0.6


class Runner:
    """One node's work on the queue. Its methods are called by the node's ticks; each is safe to call again after any error."""

    def __init__(
        self,
        *,
        store: ExecutionStore,
        executor: Executor,
        sink: Sink,
        catalogue: Catalogue,
        pipeline: ParameterPipeline,
        clock: Clock,
        settings: Settings,
        owner: str,
        note_runs: Callable[[Iterable[RunEnd]], None],
        followed: Callable[[Collection[str]], Collection[str]],
        retired: Callable[[Collection[str]], Collection[str]],
    ) -> None:
        self._store, self._executor, self._sink, self._catalogue = store, executor, sink, catalogue
        self._note_runs, self._followed, self._retired = note_runs, followed, retired
        self._pipeline, self._clock, self._settings, self._owner = pipeline, clock, settings, owner
        self._host = socket.gethostname()
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._renewed_at = clock.monotonic()
        self._bounds = RunBounds.from_settings(settings)
        self._not_begun: list[Attempt] = []
        self._right: set[tuple[str, str]] = set()
        self.permit = StartPermit()
        self.draining = False

    def claim(self) -> int:
        """Fill the executor's free places from the queue; returns how many attempts were started."""
        started = 0
        while not self.draining and self.permit.holds and (free := self._executor.capacity()) > 0:
            with self.permit.claiming() as grant:
                claimed = 0 if grant is None else self._claim(free, grant)
            started += claimed
            if claimed < free:
                break
        return started

    def _claim(self, free: int, grant: Grant) -> int:
        attempts = self._store.claim_due(
            owner=self._owner,
            host=self._host,
            now=self._clock.now(),
            lease=self._lease,
            limit=free,
            bounds=self._bounds,
            until=grant.claim_until,
        )
        if not self._executor.held():
            self._renewed_at = self._clock.monotonic()
        runs = self._prepared(self._of_jobs_there(attempts))
        if runs:
            self._executor.submit(runs)
        return len(attempts)

    def warm_up(self, types: Iterable[str]) -> None:
        """Have the executor ready for runs of these templates, so that the first does not wait for its imports."""
        entries = [entry for kind in types if (entry := self._catalogue.find(kind)) is not None]
        self._executor.warm_up(list(dict.fromkeys(entry.load for entry in entries)))

    def put_back_all(self) -> bool:
        """Put back what has not begun, now; True where all that this worker holds then has begun."""
        self.put_back(0.0)
        return not self._executor.has_waiting()

    def put_back(self, after_seconds: float = AHEAD_LIMIT_SECONDS) -> int:
        """What was taken ahead of a free place and found none for so long goes back to where others may take it; returns how many."""
        self._not_begun += self._executor.release_waiting(after_seconds)
        if not self._not_begun:
            return 0
        self._store.put_back(self._not_begun, now=self._clock.now())
        done, self._not_begun = len(self._not_begun), []
        return done

    def keep_leases(self) -> None:
        """Renew the leases of what runs; kill what is no longer ours, or what could not be renewed for too long."""
        held = self._held()
        if not held:
            self._renewed_at = self._clock.monotonic()
            return
        try:
            lost = self._store.heartbeat(
                owner=self._owner,
                held={key: attempt.token for key, attempt in held.items()},
                expires_at=self._clock.now() + self._lease,
            )
        except Exception:
            if self._clock.monotonic() - self._renewed_at > self._settings.lease_seconds * GIVE_UP_SHARE:
                for execution_id in held:
                    log.warning("attempt.lease_lost", execution=execution_id)
                    self._executor.stop(execution_id, StopReason.LEASE_LOST, grace_seconds=0.0)
            raise
        self._renewed_at = self._clock.monotonic()
        for execution_id in lost & self._executor.held().keys():
            log.error("attempt.lease_lost", execution=execution_id)
            self._executor.stop(execution_id, StopReason.LEASE_LOST, grace_seconds=0.0)

    def _held(self) -> dict[str, Attempt]:
        """All that this worker has claimed and not handed over to the database."""
        return {**self._sink.unwritten(), **self._executor.held(), **{one.execution_id: one for one in self._not_begun}}

    def carry_out_cancels(self) -> None:
        """Stop what people asked to stop."""
        held = self._executor.held()
        if held:
            for execution_id, cancel in self._store.cancels_wanted(held).items():
                replaced = cancel.get("reason") == Reason.REPLACED
                self._executor.stop(execution_id, StopReason.REPLACED if replaced else StopReason.CANCEL)

    def sweep(self) -> int:
        """End the attempts of workers that fell silent, by their retry policies; returns how many. What runs here is not lost, whatever a
        clock says that has just been set."""
        now = self._clock.now()
        ours = {key: attempt.token for key, attempt in self._held().items()}
        lost = [one for one in self._store.find_lost(now, SWEEP_LIMIT) if ours.get(one.execution_id) != one.token]

        def give_up(attempt: Attempt, error: Exception) -> None:
            self._store.end_damaged(attempt.execution_id, error, now=now)

        return sum(each("sweep", lost, lambda attempt: self._end_lost(attempt, now), give_up=give_up))

    def _end_lost(self, attempt: Attempt, now: datetime) -> bool:
        error = AttemptError(
            type="LostWorker", message=f"Its worker was silent for {self._settings.lease_seconds:g} s", kind=RetryOn.LOST_WORKER
        )
        outcome = Outcome(status=Status.FAILED, error=error, reason=Reason.LOST_WORKER, seconds=(now - attempt.started_at).total_seconds())
        delay = decide_retry(attempt.retry_policy, attempt.failed_attempts, error).delay_seconds
        followed = self._followed({attempt.job_id}) if delay is None else ()
        if not self._store.end_lost(attempt, outcome, delay, now=now, followed=followed):
            return False
        self._note_runs([RunEnd(attempt.job_id, attempt.began_at, Status.FAILED.value if delay is None else None)])
        log.warning("attempt.lost", execution=attempt.execution_id, attempt=attempt.number, retry_in=delay)
        return True

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
        for attempt in attempts:
            try:
                run = self._prepare(attempt)
            except Exception as error:
                if is_permanent(error):
                    log.exception("attempt.unprepared", execution=attempt.execution_id)
                    run = self._refuse(attempt, type(error).__name__, f"The run could not be prepared: {error}")
                else:
                    log.warning("attempt.unprepared", execution=attempt.execution_id, reason=str(error)[:200])
                    self._not_begun.append(attempt)
                    continue
            if run is not None:
                runs.append(run)
        return runs

    def _prepare(self, attempt: Attempt) -> Run | None:
        """The run with secrets opened and connections granted, judged once more; a run that cannot be made ends here."""
        try:
            entry = self._catalogue.get(attempt.template_type, attempt.template_version)
            # A job that has not been moved to the newest version of its template is upgraded by the migrations of the template's code.
            parameters = self._pipeline.open_stored(entry, entry.upgrade_parameters(attempt.parameters, attempt.code_version))
            errors = parameters.reference_errors()
            if has_any(parameters.value):
                resolved = self._resolved(attempt, parameters)
                parameters = self._pipeline.with_resolved(parameters, resolved.value)
                errors = errors or resolved.errors or parameters.reference_errors()
            errors = errors or self._judge(attempt, entry, parameters.value)
            if errors:
                return self._refuse(attempt, "InvalidParameters", "; ".join(f"{one.pointer}: {one.message}" for one in errors[:5]))
            grants = parameters.grants()
        except NotFound:
            why = self._catalogue.why_not(attempt.template_type, attempt.template_version)
            return self._refuse(attempt, "TemplateMissing", f"There is no template {attempt.template_type!r} on this node: {why}")
        except JobwrightError as error:
            return self._refuse(attempt, type(error).__name__, error.detail)
        isolation = entry.template.isolation if self._settings.isolation == "template" else self._settings.isolation
        return Run(
            attempt,
            parameters.value,
            {name: (grant.kind, grant.settings) for name, grant in grants.items()},
            entry.load,
            reused=isolation == "reused" and not attempt.dry,
            stores=entry.stores,
        )

    def _resolved(self, attempt: Attempt, parameters: Parameters) -> Resolved:
        """Returns what the dynamic values of the parameters become: the same in each attempt of an execution, and recorded with it."""
        if attempt.resolved is not None:
            with suppress(LookupError, ValueError):
                return Resolved(put_back(parameters.value, attempt.resolved))
        known = Known(
            now=attempt.stands_for or attempt.began_at,
            execution_id=attempt.execution_id,
            scheduled_for=attempt.scheduled_for or attempt.stands_for,
            job_id=attempt.job_id,
            job_name=attempt.job_name,
            previous=self._store.last_success(attempt.job_id),
        )
        found = parameters.resolve(known)
        if found.became:
            self._store.note_resolved(attempt, found.became)
        return found

    def _judge(self, attempt: Attempt, entry: Entry, parameters: Mapping[str, Any]) -> list[FieldError]:
        """What is wrong with the parameters. Those that were found right are not judged again: a version of a template stays as
        it is for as long as this process, and its judgement is of nothing but them."""
        key = (
            f"{entry.type} {entry.version}",
            json.dumps([attempt.code_version, attempt.parameters, attempt.resolved], sort_keys=True, default=str),
        )
        if key in self._right:
            return []
        errors = entry.check(parameters, prefix="/parameters")
        if not errors:
            if len(self._right) >= MOST_REMEMBERED:
                self._right.clear()
            self._right.add(key)
        return errors

    def _refuse(self, attempt: Attempt, kind: str, message: str) -> Run | None:
        """End an attempt that cannot be made; there is no run."""
        error = AttemptError(type=kind, message=message, permanent=True)
        self._sink.ended(attempt, Outcome(status=Status.FAILED, error=error))
        return None
