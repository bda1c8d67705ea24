"""Makes and removes sample data. Either can be interrupted at any point: the same call, made again, completes it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pymongo.errors import PyMongoError

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.connections.service import Connections
from app.errors import Conflict, JobwrightError
from app.events import get_logger
from app.execution.day_store import DayStore
from app.execution.filters import ExecutionFilter
from app.execution.history_store import HistoryStore
from app.execution.log_store import LogStore
from app.execution.runs import Runs
from app.jobs.dependencies import Dependencies
from app.jobs.directory import JobDirectory
from app.jobs.dispatch_store import DispatchStore
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.jobs.records import RunEnd
from app.jobs.service import JobRegistry
from app.queue.store import LIVE_VALUES
from app.samples import history, shop
from app.samples.jobs import FILES, JOBS, NAMES, SHOP, TAG, SampleJob
from app.samples.server import SampleServer
from app.samples.store import Sample, SampleState, SampleStore
from templates_lib.messages import Said, say, say_many

log = get_logger(__name__)

TURN = timedelta(seconds=60)  # how long others wait for somebody who makes or removes sample data and was killed
END_SECONDS = 15.0  # to wait for runs of sample jobs to end, before their history is removed
KEEP_SECONDS = 2.0  # between two looks whether the private server is needed
MOST_AT_ONCE = 1_000  # executions removed in one step, and jobs looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStanding:
    """What there is: the record of the sample data (None: there is none), the sample jobs, the jobs of people that use the sample shop, and
    why sample data cannot be made here (None: it can)."""

    sample: Sample | None
    jobs: Sequence[Job] = ()
    users: Sequence[Job] = ()
    unavailable: Said | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The stores of what sample jobs have done."""

    history: HistoryStore
    logs: LogStore
    days: DayStore
    dispatch: DispatchStore


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWork:
    """What sample data does with jobs."""

    registry: JobRegistry
    directory: JobDirectory
    dependencies: Dependencies
    runs: Runs


class Samples:
    """The sample data of an installation."""

    def __init__(
        self,
        *,
        store: SampleStore,
        past: Past,
        jobs: JobWork,
        connections: Connections,
        audit: AuditTrail,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._past, self._work, self._connections = store, past, jobs, connections
        self._audit, self._clock, self._settings = audit, clock, settings
        self._server, self._closing = SampleServer(settings), threading.Event()

    # -- what there is --------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Returns whether there is sample data, or a part of it."""
        return self._store.get() is not None

    def unavailable(self) -> Said | None:
        """Returns why sample data cannot be made here; None if it can."""
        return self._server.unavailable()

    def standing(self, actor: Actor) -> SampleStanding:
        """Returns what there is."""
        actor = _unbound(actor)
        sample = self._store.get()
        if sample is None:
            return SampleStanding(sample=None, unavailable=self.unavailable())
        jobs = self._jobs_of(actor, sample)
        return SampleStanding(sample=sample, jobs=jobs, users=self._users_of(actor, sample, jobs), unavailable=self.unavailable())

    # -- making ---------------------------------------------------------------------------------------------------

    def create(self, actor: Actor) -> SampleStanding:
        """Makes the sample data, or what is missing of it, and returns what there is.

        1. A record says that it is being made.
        2. The database of the shop is filled.
        3. The connections, the jobs and a week of their history are made.

        Raises Conflict if somebody else is making or removing it, if a name is taken, or if there can be none here; StartError if its
        server does not start; LimitReached if there are too many jobs.
        """
        actor = _unbound(actor)
        if (reason := self.unavailable()) is not None:
            raise Conflict(reason)
        sample = self._store.get()
        if sample is not None and sample.is_ready:
            return self.standing(actor)
        if sample is not None and sample.state == SampleState.REMOVING:
            self.remove(actor)
            sample = None
        if sample is None:
            self._refuse_taken_names(actor)
        with self._audit.action(actor, "sample.create", kind="installation", target_id="sample"):
            if sample is None:
                self._begin(actor)
            with self._turn() as made:
                self._make(actor, made)
        return self.standing(actor)

    def _begin(self, actor: Actor) -> None:
        now = self._clock.now()
        # The last run of the report fails, so that pages have a failure to show.
        failing_hour = (now - history.UNTIL - timedelta(minutes=5)).hour
        name = f"jobwright_sample_{secrets.token_hex(4)}"
        self._store.begin(Sample(state=SampleState.MAKING, by=actor.email, at=now, database=name, failing_hour=failing_hour))

    def _make(self, actor: Actor, sample: Sample) -> None:
        now, uri = self._clock.now(), self._server.uri()
        with self._server_errors():
            shop.fill(uri, sample.database, now=now, failing_hour=sample.failing_hour)
        existing = {row["name"]: row["_id"] for row in self._connections_of(actor, sample)}
        for name, kind, settings in (
            (SHOP, "mongodb", {"uri": uri, "database": sample.database}),
            (FILES, "file_store", {"path": str(self._server.files)}),
        ):
            row_id = existing.get(name) or self._connections.create(actor, name=name, kind=kind, settings=settings)["_id"]
            self._store.note("connections", row_id)
        made = {job.definition.name: job for job in self._jobs_of(actor, sample)}
        for wanted in JOBS:
            job = made.get(wanted.name) or self._work.registry.create(actor, wanted.body(self._settings.timezone))[0]
            self._store.note("jobs", job.id)
            self._remember(job, wanted, sample)
        self._past.days.forget(now - history.HISTORY)
        self._store.set_state(SampleState.READY)

    def _remember(self, job: Job, wanted: SampleJob, sample: Sample) -> None:
        executions, logs = history.week(job, wanted, now=sample.at, failing_hour=sample.failing_hour)
        self._past.history.add_past(executions)
        self._past.logs.append(logs)  # after the executions: their ids are what removing finds them by
        if executions:
            last = executions[-1]
            self._past.dispatch.note_runs([RunEnd(job.id, last["started_at"], last["status"])])

    def _refuse_taken_names(self, actor: Actor) -> None:
        taken = [row["name"] for row in self._connections.all(actor) if row["name"] in {SHOP, FILES}]
        taken += [name for name in self._work.directory.names(actor, limit=MOST_AT_ONCE) if name in NAMES]
        if taken:
            raise Conflict(
                say("A job or a connection already has the name {name!r}. Rename it, then create the sample data.", name=taken[0])
            )

    # -- removing -------------------------------------------------------------------------------------------------

    def remove(self, actor: Actor) -> bool:
        """Removes the sample data, and the jobs of people that use the sample shop. Returns False if there is none.

        Raises Conflict if somebody else is making or removing it, if another job runs after one of these jobs, or if a run does not end
        soon: then the same call completes it later.
        """
        actor = _unbound(actor)
        sample = self._store.get()
        if sample is None:
            return False
        self._refuse_dependants(actor, sample)
        with self._audit.action(actor, "sample.remove", kind="installation", target_id="sample"), self._turn():
            self._store.set_state(SampleState.REMOVING)
            self._remove(actor, sample)
        return True

    def _remove(self, actor: Actor, sample: Sample) -> None:
        jobs = self._jobs_of(actor, sample)
        for job in jobs:
            self._store.note("jobs", job.id)  # a later try finds its history by the id, when the job is gone
        sample_jobs = {*sample.jobs, *(job.id for job in jobs)}
        self._delete_jobs(actor, [*jobs, *self._users_of(actor, sample, jobs)])
        self._forget_history(actor, sample_jobs)
        self._past.days.forget(sample.at - history.HISTORY)
        for row in self._connections_of(actor, sample):
            self._connections.delete(actor, row["_id"], used_by=self._work.directory.names_using(row["name"]))
        if not self._server.is_private:
            with self._server_errors():
                shop.drop(self._server.uri(), sample.database)
        self._server.discard()
        self._store.remove()

    def _delete_jobs(self, actor: Actor, jobs: Sequence[Job]) -> None:
        """Deletes jobs. One that others run after is deleted after them."""
        left = list(jobs)
        while left:
            blocked: list[Job] = []
            for job in left:
                try:
                    self._work.runs.delete_job(actor, job.id)
                except Conflict:
                    if len(blocked) == len(left) - 1:
                        raise
                    blocked.append(job)
            left = blocked

    def _forget_history(self, actor: Actor, job_ids: set[str]) -> None:
        """Cancels what these jobs still run, waits for its end, and removes all their executions and logs."""
        deadline = time.monotonic() + END_SECONDS
        tomorrow = self._clock.now() + timedelta(days=1)
        while True:
            live = self._live(job_ids)
            for execution_id in live:
                self._cancel(actor, execution_id)
            removed = 0
            for job_id in job_ids:
                if ids := self._past.history.forgettable(before=tomorrow, job_id=job_id, limit=MOST_AT_ONCE):
                    self._past.logs.remove(ids)
                    self._past.history.remove(ids)
                    removed += len(ids)
            if not removed and not live:
                return
            if not removed:
                if time.monotonic() > deadline:
                    raise Conflict(
                        say_many(
                            "{count} run of a sample job has not ended yet. Remove the sample data again in a minute.",
                            "{count} runs of sample jobs have not ended yet. Remove the sample data again in a minute.",
                            len(live),
                        )
                    )
                time.sleep(0.1)

    def _live(self, job_ids: set[str]) -> list[str]:
        filters = [ExecutionFilter(job_id=job_id, status=status) for job_id in job_ids for status in LIVE_VALUES]
        return [execution.id for wanted in filters for execution in self._past.history.page(wanted, limit=MOST_AT_ONCE)[0]]

    def _cancel(self, actor: Actor, execution_id: str) -> None:
        try:
            self._work.runs.cancel(actor, execution_id)
        except Conflict:
            log.debug("sample.run_has_ended", execution_id=execution_id)

    def _refuse_dependants(self, actor: Actor, sample: Sample) -> None:
        jobs = self._jobs_of(actor, sample)
        going = {job.id for job in (*jobs, *self._users_of(actor, sample, jobs))}
        for job in jobs:
            others = [link.name or link.job_id for link in self._work.dependencies.dependants(actor, job.id) if link.job_id not in going]
            if others:
                raise Conflict(
                    say(
                        "The job {other!r} runs after the sample job {name!r}. Change or delete it first.",
                        other=others[0],
                        name=job.definition.name,
                    )
                )

    # -- what is ours ---------------------------------------------------------------------------------------------

    def _connections_of(self, actor: Actor, sample: Sample) -> list[dict[str, Any]]:
        """Returns the connections that were made for the sample data, also those that were made just before somebody was killed."""
        rows = self._connections.all(actor)
        all_noted = len(sample.connections) >= len({SHOP, FILES})  # another one of such a name is somebody's own
        return [
            row
            for row in rows
            if row["_id"] in sample.connections or (not all_noted and row["name"] in {SHOP, FILES} and row["created_at"] >= sample.at)
        ]

    def _jobs_of(self, actor: Actor, sample: Sample) -> list[Job]:
        """Returns the sample jobs, also those that were made just before somebody was killed."""
        all_noted = len(sample.jobs) >= len(JOBS)
        tagged = () if all_noted else self._work.directory.page(actor, JobFilter(tag=TAG), limit=MOST_AT_ONCE).items
        known = self._work.directory.page(actor, JobFilter(ids=sample.jobs), limit=MOST_AT_ONCE).items if sample.jobs else ()
        just_made = [job for job in tagged if job.definition.name in NAMES and job.created_at >= sample.at]
        return list({job.id: job for job in (*known, *just_made)}.values())

    def _users_of(self, actor: Actor, sample: Sample, jobs: Sequence[Job]) -> list[Job]:
        """Returns the jobs of people that use a connection of the sample data."""
        names = {name for row in self._connections_of(actor, sample) for name in self._work.directory.names_using(row["name"])}
        ours = {job.id for job in jobs}
        everything = self._work.directory.page(actor, JobFilter(), limit=MOST_AT_ONCE).items if names else ()
        return [job for job in everything if job.definition.name in names and job.id not in ours]

    # -- one at a time --------------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[Sample]:
        """Keeps others from making or removing the sample data at the same time. Raises Conflict if somebody else does."""
        token, now = secrets.token_hex(8), self._clock.now()
        if not self._store.take_turn(token, now=now, until=now + TURN):
            raise Conflict(say("Somebody else is creating or removing the sample data. Try again in a minute."))
        try:
            sample = self._store.get()
            if sample is None:
                raise Conflict(say("Somebody else is creating or removing the sample data. Try again in a minute."))
            yield sample
        finally:
            self._store.end_turn(token)

    @contextmanager
    def _server_errors(self) -> Iterator[None]:
        """Turns errors of the server of the sample shop into Conflict."""
        try:
            yield
        except PyMongoError as error:
            reason = " ".join(str(error).split())[:200]
            raise Conflict(
                say("The server for the sample data (JOBWRIGHT_SAMPLE_URI) reports an error: {reason}", reason=reason)
            ) from error

    # -- the private server ---------------------------------------------------------------------------------------

    def keep_server(self) -> None:
        """From now on, runs the private server of the sample shop whenever there is sample data, whoever has made it."""
        if self._server.is_private and self._server.unavailable() is None:
            threading.Thread(target=self._keep_server, name="sample-server", daemon=True).start()

    def _keep_server(self) -> None:
        while not self._closing.is_set():
            try:
                if self.exists():
                    self._server.uri()
                else:
                    self._server.discard(unless=self.exists)
            except (PyMongoError, JobwrightError, OSError) as error:
                log.warning("sample.server_down", reason=str(error).splitlines()[0][:200])
            self._closing.wait(KEEP_SECONDS)

    def close(self) -> None:
        """Stops the private server if this process runs it."""
        self._closing.set()
        self._server.close()


def _unbound(actor: Actor) -> Actor:
    """Returns the actor without the bounds of a token: whoever may manage sample data may do all that it consists of. Raises Forbidden."""
    require(actor, May.MANAGE_SAMPLE)
    return replace(actor, scopes=None)
