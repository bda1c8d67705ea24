"""Writes the ends of attempts, with all that belongs to an end: for the recorder and the sweeper alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from app.clock import Clock
from app.events import get_logger
from app.jobs.records import RunEnd
from app.mongo import is_permanent
from app.queue.claim_store import ClaimStore
from app.queue.claims import Claims
from app.queue.model import FAILURES, Attempt, Outcome, Reason
from app.queue.owing import End, Owing
from app.queue.retry import LAST, RetryDecision, decide_retry
from app.queue.updates import AttemptEnd
from app.signals import Signal

log = get_logger(__name__)


class JobNotes(Protocol):
    """What an end needs of the jobs."""

    def followed(self, ids: Collection[str]) -> set[str]:
        """Which of these jobs others run after."""
        ...

    def note_runs(self, runs: Collection[RunEnd]) -> None:
        """What the jobs show of their last runs."""
        ...


class Finisher:
    """One step for the ends of any number of attempts:

    1. What follows each is decided: another attempt, or the end of its execution.
    2. It is worked out what they owe: ends of executions, and failures that are tried again.
    3. All are written, each with what it owes. One whose claim has gone to another worker is refused.
    4. The slots that they held are given to those that wait, and the jobs note their last runs.

    `written` is sent after the write, as slots and retries have changed; `owed` where an end owes something.
    """

    def __init__(
        self, *, store: ClaimStore, claims: Claims, owing: Owing, jobs: JobNotes, clock: Clock, written: Signal, owed: Signal
    ) -> None:
        self._store, self._claims, self._owing, self._jobs, self._clock = store, claims, owing, jobs, clock
        self._written, self._owed = written, owed

    def finish(self, ended: Sequence[tuple[Attempt, Outcome]]) -> set[str]:
        """Write the ends of attempts of this worker; returns the ids of the executions that were refused. May be repeated after an error:
        what was written is recognised by its token."""
        for attempt, _ in (pair for pair in ended if pair[1].reason is Reason.HANDED_BACK):
            if self._store.hand_back(attempt, now=self._clock.now()):
                log.warning("attempt.handed_back", **attempt.log_fields)
        ends = self._with_owed([_decided(*pair) for pair in ended if pair[1].reason is not Reason.HANDED_BACK])
        if not ends:
            return set()
        refused = self._store.finish(ends, now=self._clock.now())
        self._after([end for end in ends if end.attempt.execution_id not in refused])
        for end in ends:
            _log(end, refused=end.attempt.execution_id in refused)
        return refused

    def finish_lost(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Write the end of an attempt whose worker is lost; False where its lease was renewed, or another sweeper was quicker."""
        end = self._with_owed([_decided(attempt, outcome)])[0]
        if not self._store.finish_lost(end, now=self._clock.now()):
            return False
        self._after([end])
        log.warning("attempt.lost", **attempt.log_fields, retry_in=end.decision.delay_seconds)
        return True

    def _with_owed(self, ends: Sequence[AttemptEnd]) -> list[AttemptEnd]:
        final = {end.attempt.job_id for end in ends if end.ends_execution}
        followed = self._jobs.followed(final) if final else set()
        return [replace(end, owed=self._owed_by(end, followed)) for end in ends]

    def _owed_by(self, end: AttemptEnd, followed: Collection[str]) -> tuple[str, ...]:
        attempt = end.attempt
        if not end.ends_execution:
            return () if attempt.dry else self._owing.of_attempt
        return self._owing.of(End.of_attempt(attempt, end.outcome.status, followed=attempt.job_id in followed))

    def _after(self, ends: Sequence[AttemptEnd]) -> None:
        self._claims.free_slots_of(ends, self._clock.now())
        self._note_runs([_noted(end) for end in ends if not end.attempt.dry])
        self._written.send()
        if any(end.owed for end in ends):
            self._owed.send()

    def _note_runs(self, runs: Collection[RunEnd]) -> None:
        """The ends are written already, so a note that the database refuses for good does not write them again."""
        try:
            self._jobs.note_runs(runs)
        except Exception as error:
            if not is_permanent(error):
                raise
            log.exception("recorder.not_noted")


def _decided(attempt: Attempt, outcome: Outcome) -> AttemptEnd:
    return AttemptEnd(attempt, outcome, _decision(attempt, outcome))


def _decision(attempt: Attempt, outcome: Outcome) -> RetryDecision:
    """What follows an attempt. One that did not fail is the last."""
    if outcome.status not in FAILURES or outcome.error is None:
        return LAST
    return decide_retry(attempt.retry_policy, attempt.failed_attempts, outcome.error)


def _noted(end: AttemptEnd) -> RunEnd:
    return RunEnd(end.attempt.job_id, end.attempt.began_at, end.outcome.status.value if end.ends_execution else None)


def _log(end: AttemptEnd, *, refused: bool) -> None:
    attempt, outcome = end.attempt, end.outcome
    if refused:
        log.warning("attempt.stale", **attempt.log_fields, token=attempt.token)
        return
    log.info(
        "attempt.ended",
        **attempt.log_fields,
        status=outcome.status.value,
        seconds=outcome.seconds,
        error=outcome.error.type if outcome.error else None,
        retry_in=end.decision.delay_seconds,
    )
