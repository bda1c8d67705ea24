"""Templates that are switched off, whose jobs wait until they are on again."""

from __future__ import annotations

from app.clock import Clock
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause
from app.jobtemplates.catalogue import Catalogue


class RestingTemplates:
    """While one rests, due times of its jobs are let go by, in one `skipped` record a job at the end. What waits in the queue runs."""

    def __init__(self, catalogue: Catalogue, jobs: DispatchStore, clock: Clock) -> None:
        self._catalogue, self._jobs, self._clock = catalogue, jobs, clock

    def rests(self, kind: str) -> bool:
        """True while jobs of `kind` wait: it, or what it is made from, is off and has its jobs wait."""
        entry = self._catalogue.find(kind)
        return any(self._catalogue.standing(one).pauses for one in (entry.families if entry else (kind,)))

    def settle(self) -> int:
        """Have jobs look again whose template rests no more; returns how many."""
        done = [kind for kind in self._jobs.templates_that_pause() if not self.rests(kind)]
        return sum(self._jobs.look_again(Cause.TEMPLATE, kind, self._clock.now()) for kind in done)
