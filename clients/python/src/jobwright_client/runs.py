"""Runs of jobs in this process: each call's work is done once, in a thread of its own, within a bound."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jobwright_client.calls import Refused, Response
from jobwright_client.context import JobContext
from jobwright_client.errors import Cancelled, InvalidConfig
from jobwright_client.jobs import Job
from jobwright_client.reports import Callback, SentReports
from jobwright_client.results import JobResult, Outcome
from jobwright_client.sender import Sender, log
from jobwright_client.state import Seen, State, Verdict

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

BUSY_SECONDS = 5  # Retry-After of a call that this process cannot take now
RENEW_SECONDS = 5.0
STOP_SECONDS = 2.0  # what a run gets to reach a safe point before it is handed back

HANDED_BACK = Outcome({"success": False, "error": "Handed back: the instance stops"}, retry_after_seconds=0)


class Run:
    """The work of one attempt. `done` is set when its outcome is known."""

    def __init__(self, job: Job, call: Mapping[str, Any], *, sender: Sender, after: Run | None = None) -> None:
        config, self._keywords = job.read_config(call["config"])
        callback = Callback(call["callback"]) if call.get("callback") else None
        self.job = job
        self.attempt: int = call["attempt"]
        self.reports = SentReports(callback, sender, self._stop_because) if callback else None
        self.context: JobContext[Any] = JobContext(job.name, config, call, self.reports)
        self.after = after
        self.outcome: Outcome | None = None
        self.done = threading.Event()
        self.superseded = False
        self._accepted = False
        self._handing_back = False
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    # -- its end -----------------------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """Makes the run one that reports its end. Returns False if it has ended already, or cannot report."""
        with self._lock:
            if self.outcome is not None or self.reports is None:
                return False
            if not self._accepted:
                self._accepted = True
                self.reports.start()
            return True

    def finish(self, outcome: Outcome) -> Outcome | None:
        """Sets the outcome, once. Returns it, or None if there is one already."""
        with self._lock:
            if self.outcome is not None:
                return None
            self.outcome = outcome
            return outcome

    def publish(self) -> None:
        """Reports the outcome if the run was accepted, and wakes those who wait for it."""
        if self._accepted and self.reports is not None and self.outcome is not None and not self.superseded:
            self.reports.end(self.outcome)
        with self._lock:
            self.done.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def when_done(self, listener: Callable[[], None]) -> None:
        """Calls `listener` when the run has ended; at once if it has."""
        with self._lock:
            if not self.done.is_set():
                self._listeners.append(listener)
                return
        listener()

    def wait_seconds(self) -> float | None:
        """Returns how long a call waits for the end: forever without a callback, and not at all once a call was answered with 202."""
        if self.reports is None:
            return None
        return 0.0 if self._accepted else max(0.0, self.job.options.answer_within_seconds)

    def answer(self) -> Response:
        """Returns the answer to a call: 202 for a run that reports its end, and the outcome otherwise."""
        if self._accepted or self.outcome is None:
            return Response(202, {"accepted": True})
        return answer_of(self.outcome, self.reports.waiting_lines() if self.reports is not None else [])

    # -- stopping ----------------------------------------------------------------------------------------------------

    def _stop_because(self, reason: str) -> None:
        if not self.context.stop_requested.is_set():
            log.info("Run %s of %s is asked to stop: %s", self.context.execution_id, self.job.name, reason)
            self.context.stop_requested.set()
        if self.after is not None:
            self.after._stop_because(reason)  # it does the work for this one

    def hand_back_soon(self) -> None:
        """Asks the run to stop at a safe point; then it is handed back, and not counted as failed."""
        self._handing_back = True
        if self.after is not None:
            self.after._handing_back = True
        self._stop_because("the instance stops")

    # -- its work ----------------------------------------------------------------------------------------------------

    def work(self, loop: AbstractEventLoop | None) -> Outcome:
        """Does the work and returns how it ended."""
        if self.after is not None:
            self.after.done.wait()
            if self.after.outcome is not None and (self.after.outcome.succeeded or self.context.cancelled()):
                return self.after.outcome
        try:
            returned = self.job.function(self.context, **self._keywords)
            if inspect.isawaitable(returned):
                returned = _awaited(returned, loop)
            return Outcome.of(self._result(returned))
        except Cancelled as error:
            return HANDED_BACK if self._handing_back else Outcome.of_error(error, self.context.counted())
        except BaseException as error:
            # Whatever job code raises ends its run, and never the thread without a word.
            outcome = Outcome.of_error(error, self.context.counted())
            self.context.log.log(40, "%s", outcome.result["error"], exc_info=not _expected(error))
            return outcome

    def _result(self, returned: Any) -> JobResult:
        if isinstance(returned, JobResult):
            return returned
        counted = self.context.counted()
        if returned is None:
            return counted
        if isinstance(returned, Mapping):
            fields = {**counted.__dict__, "metadata": dict(returned)}
            return JobResult(**fields)
        raise TypeError(f"the job returned {type(returned).__name__}; return a JobResult, a dict or None")


def _expected(error: BaseException) -> bool:
    from jobwright_client.errors import JobFailed

    return isinstance(error, JobFailed)


def _awaited(returned: Any, loop: AbstractEventLoop | None) -> Any:
    """The result of a coroutine: from the event loop of the program where it has one, else from a loop of its own."""
    import asyncio

    async def result() -> Any:
        return await returned

    if loop is not None and loop.is_running():
        return asyncio.run_coroutine_threadsafe(result(), loop).result()
    return asyncio.run(result())


def answer_of(outcome: Outcome, lines: list[dict[str, Any]]) -> Response:
    """Returns the answer that tells an outcome, with the lines of its log that were not reported."""
    status, headers, body = outcome.as_answer()
    return Response(status, {**body, "logs": lines} if lines and status == 200 else body, headers)


class Runs:
    """All runs of this process."""

    def __init__(self, state: State, sender: Sender, *, most_running: int) -> None:
        self._state = state
        self._sender = sender
        self._most = most_running
        self._lock = threading.Lock()
        self._live: dict[str, Run] = {}
        self._renewing = False
        self.draining = False
        self.loop: AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._live)

    def begin(self, job: Job, call: Mapping[str, Any]) -> Run | Response:
        """Begins the work of a call, or returns what is known of it: its run, or its answer. Raises Refused."""
        execution_id, attempt = call["executionId"], call["attempt"]
        with self._lock:
            older = self._live.get(execution_id)
            if older is not None and older.attempt == attempt and older.outcome is None:
                return older
            self._check_room(older)
            verdict = self._state.begin(execution_id, attempt)
            if verdict.seen is Seen.STALE:
                raise Refused(409, f"A newer attempt of execution {execution_id} has begun")
            if verdict.seen is Seen.DONE and verdict.outcome is not None:
                self._state.adopt(execution_id, attempt)
                return answer_of(verdict.outcome, [])
            if verdict.seen is not Seen.NEW and older is None:
                return self._elsewhere(verdict, call)
            return self._start(job, call, older)

    def _check_room(self, older: Run | None) -> None:
        """Refuses a call while the process stops, or while all places are taken. A further attempt takes the place of the older one."""
        if self.draining:
            raise Refused(503, "This instance stops", retry_after_seconds=BUSY_SECONDS)
        if older is None and len(self._live) >= self._most:
            raise Refused(429, f"All {self._most} places for runs are taken", retry_after_seconds=BUSY_SECONDS)

    def _elsewhere(self, verdict: Verdict, call: Mapping[str, Any]) -> Response:
        """The answer where another process of this machine does the work: it reports itself what it was called for.

        If that process has died, one retry after its lease takes the work over.
        """
        if verdict.seen is Seen.RUNNING and call.get("callback"):
            return Response(202, {"accepted": True})
        wait = max(BUSY_SECONDS, math.ceil(verdict.lease_seconds) + 1)
        raise Refused(409, "Another process works on this execution", retry_after_seconds=wait)

    def _start(self, job: Job, call: Mapping[str, Any], older: Run | None) -> Run:
        execution_id = call["executionId"]
        try:
            run = Run(job, call, sender=self._sender, after=older)
        except BaseException as error:
            if older is None:
                self._state.end(execution_id, None)
            if isinstance(error, InvalidConfig):
                raise Refused(422, f"/config{error}") from error
            raise
        if older is not None:
            older.superseded = True
            if older.reports is not None:
                older.reports.detach()
            self._state.adopt(execution_id, call["attempt"])
        self._live[execution_id] = run
        threading.Thread(target=self._work, args=(run,), name=f"jobwright-{job.name}", daemon=True).start()
        self._renew_leases()
        return run

    def _work(self, run: Run) -> None:
        self._end(run, run.work(self.loop))

    def _end(self, run: Run, outcome: Outcome) -> None:
        """Keeps the outcome before anybody hears of it, so that a duplicate that comes now does not begin the work anew."""
        if run.finish(outcome) is None:
            return
        execution_id = run.context.execution_id
        try:
            if not run.superseded:
                self._state.end(execution_id, None if outcome is HANDED_BACK else outcome)
        except Exception:
            log.exception("The outcome of run %s could not be kept, so a duplicate may do its work again", execution_id)
        try:
            run.publish()
        except Exception:
            log.exception("The outcome of run %s could not be reported", execution_id)
        finally:
            with self._lock:
                if self._live.get(execution_id) is run:
                    del self._live[execution_id]

    # -- leases and draining -----------------------------------------------------------------------------------------

    def _renew_leases(self) -> None:
        """Starts the thread that renews the leases of runs, for as long as there are any."""
        if not self._renewing:
            self._renewing = True
            threading.Thread(target=self._renew, name="jobwright-leases", daemon=True).start()

    def _renew(self) -> None:
        while True:
            time.sleep(RENEW_SECONDS)
            with self._lock:
                live = list(self._live)
                if not live:
                    self._renewing = False
                    return
            for execution_id in live:
                try:
                    self._state.renew(execution_id)
                except Exception:
                    log.exception("The lease of run %s could not be renewed", execution_id)

    def drain(self, grace_seconds: float) -> None:
        """Takes no new work, lets runs finish for the grace, and hands back the others."""
        self.draining = True
        end = time.monotonic() + grace_seconds
        if self._wait_until(end):
            return
        for run in list(self._live.values()):
            run.hand_back_soon()
        self._wait_until(time.monotonic() + min(STOP_SECONDS, grace_seconds + 0.1))
        for run in list(self._live.values()):
            self._end(run, HANDED_BACK)

    def _wait_until(self, end: float) -> bool:
        """Waits for the end of all runs. Returns whether all have ended."""
        for run in list(self._live.values()):
            run.done.wait(max(0.0, end - time.monotonic()))
        return not self._live or all(run.done.is_set() for run in list(self._live.values()))
