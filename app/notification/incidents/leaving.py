"""Closes the incidents about jobs that are deleted, or that their rule does not apply to any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.clock import Clock
from app.notification.incidents.applying import Incidence
from app.notification.incidents.store import IncidentStore
from app.notification.rules.rule import AlertRule, JobFacts
from templates_lib.messages import say

PAUSE_SECONDS = 10.0  # between two looks
MOST_AT_ONCE = 200


class JobsThatLeft:
    """Looks at the open incidents about jobs, some at a time and all in turn. `facts_of` returns what rules know of a job; None if it is
    deleted. Nobody is told: nothing has recovered."""

    def __init__(self, *, incidents: IncidentStore, incidence: Incidence, facts_of: Callable[[str], JobFacts | None], clock: Clock) -> None:
        self._incidents, self._incidence, self._facts_of, self._clock = incidents, incidence, facts_of, clock
        self._next_look, self._after = float("-inf"), ""

    def tick(self, rules: Mapping[str, AlertRule]) -> None:
        """Looks at the next ones, unless it has just looked."""
        if self._clock.monotonic() < self._next_look:
            return
        self._next_look = self._clock.monotonic() + PAUSE_SECONDS
        found = self._incidents.open_about_jobs(self._after, MOST_AT_ONCE)
        self._after = found[-1].id if len(found) == MOST_AT_ONCE else ""
        for incident in found:
            rule, job = rules.get(incident.rule_id), self._facts_of(incident.subject.id)
            if job is None:
                self._incidence.close(incident, self._clock.now(), say("The job was deleted."))
            elif rule is not None and not rule.scope.covers(job):
                self._incidence.close(incident, self._clock.now(), say("The rule does not apply to the job any more."))
