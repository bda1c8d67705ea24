"""Changes of who runs after whom, one after the other where they would close a circle together."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from app.errors import Conflict, FieldError, ValidationFailed
from app.jobs.store import JobStore, Reservation
from templates_lib.messages import say

MOST_LOOKED_AT = 10_000  # jobs, in search of a circle
# A rival that is still there after so many seconds belongs to a process that was killed or stopped; its change is refused.
PATIENCE_SECONDS = 2.0
WAIT_SECONDS = (0.005, 0.03)  # between two looks at rivals, drawn evenly


@dataclass(frozen=True, slots=True)
class Way:
    """A way from a job back to itself. `place` is the dependency that it begins with, `jobs` the ids on it, `rivals` the reservations on
    it as (job id, token): without them it is there for certain."""

    place: int
    jobs: list[str]
    rivals: list[tuple[str, str]]


class DependencyGraph:
    """Each change of the graph is announced before it is judged, and written only while its announcement stands:

    1. The reservation {token, depends_on or leaves} is put into the document of the job that changes.
    2. The graph is read, reservations of others included. A circle of stored dependencies is an error.
    3. A reservation of another change that stands in the way is a rival. The lower token gives way: the other change removes its
       reservation, and it announces itself again. One that stays for PATIENCE_SECONDS is removed as well.
    4. The change is written in one compare-and-set that asks for its own reservation, and removes it.

    Of two changes that close a circle together, one announces itself after the other has, and so sees it. A process that is killed leaves
    a reservation that keeps nobody out for longer than PATIENCE_SECONDS; one that was stopped and goes on finds its reservation gone.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store

    @contextmanager
    def reserved(self, job_id: str, version: int, depends_on: Sequence[str], *, at: datetime) -> Iterator[str | None]:
        """The token with which the job, at `version`, may be written to run after `depends_on`; None where it has changed meanwhile.

        Raises ValidationFailed where that makes a circle, or names a job that is gone.
        """
        with self._announced(Reservation(new_token(), job_id, tuple(depends_on)), version, at) as token:
            yield token

    @contextmanager
    def leaving(self, job_id: str, version: int, *, at: datetime) -> Iterator[str | None]:
        """The token with which the job, at `version`, may be retired, as above. Raises Conflict while others run after it."""
        with self._announced(Reservation(new_token(), job_id, leaves=True), version, at) as token:
            yield token

    def way_back(self, job_id: str, depends_on: Sequence[str], *, reservations: bool = False) -> Way | None:
        """A way that leads from one of `depends_on` back to the job, over stored dependencies or over `reservations` as well."""
        ways = {one: Way(place, [one], []) for place, one in enumerate(depends_on)}
        edge: Collection[str] = list(ways)
        while edge and len(ways) < MOST_LOOKED_AT:
            beyond = []
            for one, links in self._store.upstream_of(edge).items():
                way = ways[one]
                for other, token in links.items():
                    if token is not None and not reservations:
                        continue
                    rivals = [*way.rivals, (one, token)] if token is not None else way.rivals
                    if other == job_id:
                        return Way(way.place, way.jobs, rivals)
                    if other not in ways:
                        ways[other] = Way(way.place, [*way.jobs, other], rivals)
                        beyond.append(other)
            edge = beyond
        return None

    def kinds_beyond(self, job_id: str) -> set[tuple[str, int]]:
        """Templates and versions of all jobs that a run of this one may begin, over any number of steps."""
        seen, edge, kinds = {job_id}, {job_id}, set[tuple[str, int]]()
        while edge and len(seen) < MOST_LOOKED_AT:
            found = self._store.kinds_after(edge)
            kinds |= set(found.values())
            edge = found.keys() - seen
            seen |= edge
        return kinds

    # -- steps ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _announced(self, wanted: Reservation, version: int, at: datetime) -> Iterator[str | None]:
        try:
            yield wanted.token if self._settled(wanted, version, at) else None
        finally:
            self._store.release(wanted.job_id, wanted.token)

    def _settled(self, wanted: Reservation, version: int, at: datetime) -> bool:
        """Announce a change and wait until no rival stands in its way; False where the job has changed meanwhile."""
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while self._store.reserve(wanted, version=version, at=at):
            rivals = self._rivals(wanted)
            if not rivals:
                return True
            patient = time.monotonic() < patient_until
            waits = False
            for job_id, token in rivals:
                if token < wanted.token or not patient:
                    self._store.release(job_id, token)
                else:
                    waits = True
            if waits:
                time.sleep(random.uniform(*WAIT_SECONDS))
        return False

    def _rivals(self, wanted: Reservation) -> list[tuple[str, str]]:
        """Reservations that a change cannot be written beside. Raises what keeps it from being written at all."""
        if wanted.leaves:
            after, rivals = self._store.after(wanted.job_id)
            if after:
                raise Conflict(say("Another job has come to depend on this one meanwhile"))
            return rivals
        there = self._store.standing(wanted.depends_on)
        for place, one in enumerate(wanted.depends_on):
            if one not in there:
                raise ValidationFailed([FieldError(f"/depends_on/{place}/job", "is not in the registry any more")])
        leaving = [(one, token) for one, token in there.items() if token is not None]
        way = self.way_back(wanted.job_id, wanted.depends_on, reservations=True)
        if way is not None and not way.rivals:
            raise ValidationFailed([FieldError(f"/depends_on/{way.place}/job", "runs after this job, which would make a circle")])
        return leaving + (way.rivals if way else [])


def new_token() -> str:
    """What a change is known by; of two that stand in each other's way, the one with the lower token waits."""
    return secrets.token_hex(8)
