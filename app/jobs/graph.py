"""Changes of the dependencies between jobs. Two changes that would make a circle together are written one after the other."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from app.errors import Conflict, FieldError, ValidationFailed
from app.jobs.dependency_store import DependencyStore
from app.jobs.records import Reservation
from templates_lib.messages import say

MOST_LOOKED_AT = 10_000  # jobs, in the search for a circle
# A rival that is still there after so many seconds belongs to a process that was killed or stopped; its change is refused.
PATIENCE_SECONDS = 2.0
WAIT_SECONDS = (0.005, 0.03)  # between two reads of the rivals, drawn evenly


@dataclass(frozen=True, slots=True)
class Way:
    """A way from a job back to itself. `index` is that of the dependency it begins with, `jobs` are the ids on it, and `rivals` the
    reservations on it as (job id, token). Without rivals, the way consists of stored dependencies alone."""

    index: int
    jobs: list[str]
    rivals: list[tuple[str, str]]


class DependencyGraph:
    """Each change of the graph is announced before it is checked, and written only while its announcement stands:

    1. The reservation {token, depends_on or leaves} is put into the document of the job that changes.
    2. The graph is read, with the reservations of others. A circle of stored dependencies is an error.
    3. A reservation of another change that could make a circle with this one is a rival. The lower token gives way: the change with the
       higher token removes the rival's reservation, and the rival announces itself again. A rival that stays for PATIENCE_SECONDS is
       removed too.
    4. The change is written in one compare-and-set that asks for its own reservation, and removes it.

    Of two changes that make a circle together, one announces itself after the other has, and so sees it. A process that is killed leaves
    a reservation that blocks nobody for longer than PATIENCE_SECONDS; a process that was stopped and goes on finds its reservation gone.
    """

    def __init__(self, store: DependencyStore) -> None:
        self._store = store

    @contextmanager
    def reserved(self, job_id: str, version: int, depends_on: Sequence[str], *, at: datetime) -> Iterator[str | None]:
        """Yields the token with which the job, at `version`, may be written to run after `depends_on`; None if it has changed meanwhile.

        Raises ValidationFailed if that makes a circle, or names a job that is gone.
        """
        with self._announced(Reservation(new_token(), job_id, tuple(depends_on)), version, at) as token:
            yield token

    @contextmanager
    def leaving(self, job_id: str, version: int, *, at: datetime) -> Iterator[str | None]:
        """Yields the token with which the job, at `version`, may be retired, as above. Raises Conflict while others run after it."""
        with self._announced(Reservation(new_token(), job_id, leaves=True), version, at) as token:
            yield token

    def way_back(self, job_id: str, depends_on: Sequence[str], *, reservations: bool = False) -> Way | None:
        """Returns a way that leads from one of `depends_on` back to the job, over stored dependencies, or over `reservations` as well."""
        ways = {upstream: Way(index, [upstream], []) for index, upstream in enumerate(depends_on)}
        edge: Collection[str] = list(ways)
        while edge and len(ways) < MOST_LOOKED_AT:
            beyond = []
            for current, links in self._store.upstream_of(edge).items():
                way = ways[current]
                for upstream, token in links.items():
                    if token is not None and not reservations:
                        continue
                    rivals = [*way.rivals, (current, token)] if token is not None else way.rivals
                    if upstream == job_id:
                        return Way(way.index, way.jobs, rivals)
                    if upstream not in ways:
                        ways[upstream] = Way(way.index, [*way.jobs, upstream], rivals)
                        beyond.append(upstream)
            edge = beyond
        return None

    def templates_downstream_of(self, job_id: str) -> set[tuple[str, int]]:
        """Returns the templates and versions of all jobs that a run of this one may start, over any number of steps."""
        seen, edge, templates = {job_id}, {job_id}, set[tuple[str, int]]()
        while edge and len(seen) < MOST_LOOKED_AT:
            downstream = self._store.templates_downstream_of(edge)
            templates |= set(downstream.values())
            edge = downstream.keys() - seen
            seen |= edge
        return templates

    # -- steps ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _announced(self, wanted: Reservation, version: int, at: datetime) -> Iterator[str | None]:
        try:
            yield wanted.token if self._win(wanted, version, at) else None
        finally:
            self._store.release(wanted.job_id, wanted.token)

    def _win(self, wanted: Reservation, version: int, at: datetime) -> bool:
        """Announces a change and waits until it has no rival. Returns False if the job has changed meanwhile."""
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
        """Returns reservations beside which a change cannot be written. Raises Conflict or ValidationFailed if it cannot be written at
        all."""
        if wanted.leaves:
            dependants, rivals = self._store.downstream_of(wanted.job_id)
            if dependants:
                raise Conflict(say("Another job has just been made dependent on this one. Reload the page and check."))
            return rivals
        present = self._store.in_registry(wanted.depends_on)
        for index, upstream in enumerate(wanted.depends_on):
            if upstream not in present:
                raise ValidationFailed([FieldError(f"/depends_on/{index}/job", "has been deleted")])
        leaving = [(job_id, token) for job_id, token in present.items() if token is not None]
        way = self.way_back(wanted.job_id, wanted.depends_on, reservations=True)
        if way is not None and not way.rivals:
            raise ValidationFailed(
                [FieldError(f"/depends_on/{way.index}/job", "already depends on this job, so the two would wait for each other forever")]
            )
        return leaving + (way.rivals if way else [])


def new_token() -> str:
    """Returns the token of a change. Of two changes that are rivals, the one with the lower token waits."""
    return secrets.token_hex(8)
