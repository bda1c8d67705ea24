"""One worker's claims on the queue, with what it remembers from one claim to the next."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.jobs.model import Overlap
from app.mongo import Document
from app.queue import updates
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, Trigger
from app.queue.slots import RunBounds, assign, prefix_of
from app.queue.start_limits import StartLimits
from app.queue.updates import AttemptEnd

CLAIM_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimer:
    """Who claims: the unique name of the worker, its machine, how long its leases last, the bounds that it keeps, and the labels of its
    node."""

    owner: str
    host: str
    lease: timedelta
    bounds: RunBounds = field(default_factory=RunBounds)
    labels: tuple[str, ...] = ()


class Claims:
    """Takes executions out of the queue for one worker."""

    def __init__(self, store: ClaimStore, limits: StartLimits, claimer: Claimer) -> None:
        self._store, self._limits, self._claimer = store, limits, claimer
        self._full: set[str] = set()  # bounds that had no slot left, for which some may wait
        self._unanswered: dict[str, dict[str, Attempt]] = {}  # claims whose answer did not come, with what they wanted

    def claim_due(self, *, now: datetime, limit: int, until: datetime | None = None, without: Collection[str] = ()) -> list[Attempt]:
        """Take up to `limit` executions whose time has come, by their rank; none of the jobs `without`. Three round trips, and two more
        where jobs limit themselves:

        1. Candidates are read: they wait, are available, and nobody asked them to stop.
        2. The executions that hold the slots that they could have are read (app.queue.slots).
        3. Where jobs limit how many of their runs start in a period, the starts are counted (app.queue.start_limits).
        4. Each is set running by compare-and-set on its token, with a lease and its slots; none from `until` on, by the database's clock.

        Where another worker was quicker with some, what was won is read back. One that found no slot is skipped, or looked at again a
        little later, as its overlap policy says.
        """
        return self.recover(now) or self._claim(now, limit, until, without=without)

    def claim_these(
        self, execution_ids: Collection[str], *, now: datetime, until: datetime | None = None, without: Collection[str] = ()
    ) -> list[Attempt]:
        """Take those of these executions that wait, whose time has come and that find their slots, in as many round trips as `claim_due`.
        Those of the jobs `without` are looked at again a little later."""
        for _ in range(CLAIM_TRIES):
            waiting = self._store.candidates(now, len(execution_ids), labels=self._claimer.labels, among=execution_ids)
            held_up = [row["_id"] for row in waiting if row["job_id"] in without]
            if held_up:
                self._store.step_aside({}, (), now, held_up)
            attempts, again = self._claim_of([row for row in waiting if row["job_id"] not in without], now, until)
            if attempts or not again:
                return attempts
        return []

    def recover(self, now: datetime) -> list[Attempt]:
        """What earlier claims have won whose answers were lost (a driver does not repeat an update of many), each once. Leases that have
        run out are the sweeper's. Raises where the database is away; then the next call tells of the same."""
        recovered = [attempt for claim, wanted in self._unanswered.items() for attempt in self._won(claim, wanted, now)]
        self._unanswered.clear()
        return recovered

    def free_slots_of(self, ends: Iterable[AttemptEnd], now: datetime) -> None:
        """These attempts have ended, so slots are free: the oldest execution that waits for each may have it now. (Ends on other nodes are
        found by looking again.)"""
        freed = {
            prefix_of(key) for end in ends for key in (end.attempt.slots if end.ends_execution else end.attempt.slots[1:])
        } & self._full
        for prefix in freed:
            if not self._store.wake_waiting(prefix, now):
                self._full.discard(prefix)

    def _claim(self, now: datetime, limit: int, until: datetime | None, without: Collection[str] = ()) -> list[Attempt]:
        for _ in range(CLAIM_TRIES):
            waiting = self._store.candidates(now, limit, labels=self._claimer.labels, without=without)
            attempts, again = self._claim_of(waiting, now, until)
            if attempts or not again:
                return attempts
        return []

    def _claim_of(self, waiting: list[Document], now: datetime, until: datetime | None) -> tuple[list[Attempt], bool]:
        """What was won, and whether it is worth trying again at once: another worker was quicker, or limits of jobs held runs back."""
        candidates = [row for row in waiting if "cancel" not in row]
        if len(candidates) < len(waiting):
            self._store.end_asked_to_stop([row["_id"] for row in waiting if "cancel" in row], now)
        if not candidates:
            return [], False
        slots = self._assigned(candidates, now)
        having_slots = [row for row in candidates if row["_id"] in slots]
        rows = self._limits.admitted(having_slots, now)
        if not rows:
            return [], bool(having_slots)  # others may stand behind those that were held back
        claim = secrets.token_hex(12)
        lease = {"owner": self._claimer.owner, "claim": claim, "expires_at": now + self._claimer.lease}
        wanted = {row["_id"]: _attempt(row, slots[row["_id"]], now) for row in rows}
        try:
            complete = self._store.take(rows, slots, lease, host=self._claimer.host, now=now, until=until)
        except Exception:
            self._unanswered[claim] = wanted
            raise
        return (list(wanted.values()), False) if complete else (self._won(claim, wanted, now), True)

    def _assigned(self, candidates: list[Document], now: datetime) -> dict[str, list[str]]:
        """The slots of each candidate that finds all it needs, by its id; the others step aside."""
        held = self._store.holders(candidates, self._claimer.bounds)
        slots, full = assign(candidates, {key for row in held for key in row["slots"]}, self._claimer.bounds)
        # A backfill has time: what is due now waits for its present run and is not skipped because of it.
        taking = [*held, *(row for row in candidates if row["_id"] in slots)]
        in_backfill = {row["job_id"] for row in taking if row["triggered_by"] == Trigger.BACKFILL}
        skipped = [
            row["_id"]
            for row in candidates
            if full.get(row["_id"]) == f"{row['job_id']}#" and row["overlap"] == Overlap.SKIP and row["job_id"] not in in_backfill
        ]
        waits_for = {execution_id: prefix for execution_id, prefix in full.items() if execution_id not in skipped}
        self._store.step_aside(waits_for, skipped, now)
        self._full |= set(waits_for.values())
        return slots

    def _won(self, claim: str, wanted: Mapping[str, Attempt], now: datetime) -> list[Attempt]:
        return [wanted[execution_id] for execution_id in self._store.won(claim, list(wanted), now)]


def _attempt(row: Document, slots: list[str], now: datetime) -> Attempt:
    number, token = len(row["attempts"]) + 1, updates.token_of(row) + 1
    return updates.attempt_from({**row, "slots": slots}, number=number, token=token, started_at=now)
