"""Templates that are switched off and whose jobs wait until they are switched on again."""

from __future__ import annotations

from app.clock import Clock
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Cause
from app.jobtemplates.catalogue import Catalogue


class RestingTemplates:
    """While a template rests, no due time of its jobs is started. When that ends, each job gets one `skipped` record for all of them.
    Executions that are in the queue already run."""

    def __init__(self, catalogue: Catalogue, jobs: DispatchStore, clock: Clock) -> None:
        self._catalogue, self._jobs, self._clock = catalogue, jobs, clock

    def rests(self, template_type: str) -> bool:
        """True while the jobs of a template wait, because it or a template from which it is derived is switched off in that way."""
        entry = self._catalogue.find(template_type)
        types = entry.families if entry else (template_type,)
        return any(self._catalogue.standing(each).pauses for each in types)

    def settle(self) -> int:
        """Lets the dispatcher plan the jobs anew whose template no longer rests. Returns how many jobs that were."""
        awake = [each for each in self._jobs.templates_that_pause() if not self.rests(each)]
        return sum(self._jobs.look_again(Cause.TEMPLATE, each, self._clock.now()) for each in awake)
