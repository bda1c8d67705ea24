"""Applies rules to events: finds the incident, decides, writes it, and has people told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from app.events import get_logger
from app.notification.announcing import Announcer, Subject
from app.notification.incidents.deciding import AlertEvent, close, decide_alerts, pass_time
from app.notification.incidents.incident import Incident, Mark
from app.notification.incidents.store import IncidentStore
from app.notification.incidents.telling import Wording
from app.notification.rules.rule import AlertRule
from app.outbox.handler import Later

log = get_logger(__name__)

TRIES = 20  # of a change that somebody else has overtaken
AGAIN_AFTER = timedelta(seconds=1)


class Incidence:
    """The one place that changes incidents by rules. Everything that it does may be done again: an incident keeps what it still has to say
    until that was announced, and announcements with the same key are told once."""

    def __init__(self, *, incidents: IncidentStore, announcer: Announcer, wording: Wording) -> None:
        self._incidents, self._announcer, self._wording = incidents, announcer, wording

    def apply(self, rule: AlertRule, subject: Subject, event: AlertEvent) -> Incident | None:
        """Applies one event, and returns the newest incident of the rule and the subject. Raises Later if others are always quicker."""
        for _ in range(TRIES):
            before = self._incidents.latest(rule.id, subject.key)
            after = decide_alerts(before, event, rule, subject)
            if after is before or after is None:
                stored = before
            else:
                stored = self._incidents.save(before, after)
                if stored is None:
                    continue
                _note(before, stored)
            if stored is not None:
                self.say(stored, rule)
            return stored
        raise Later(AGAIN_AFTER)

    def knows(self, rule: AlertRule, subject: Subject, mark: Mark) -> bool:
        """Returns whether the newest incident of a rule and a subject has seen an event that is as late as this one."""
        incident = self._incidents.latest(rule.id, subject.key)
        return incident is not None and mark <= incident.last

    def pass_time(self, incident: Incident, rule: AlertRule, now: datetime) -> None:
        """Does what is due by time alone. Whoever changes the incident meanwhile has done it."""
        stored = self._incidents.save(incident, pass_time(incident, rule, now))
        if stored is not None:
            _note(incident, stored)
            self.say(stored, rule)

    def close(self, incident: Incident, at: datetime, why: str) -> None:
        """Closes an incident without a message."""
        stored = self._incidents.save(incident, replace(close(incident, at, why), unsaid=()))
        if stored is not None:
            _note(incident, stored)

    def say(self, incident: Incident, rule: AlertRule) -> None:
        """Announces what is still to be told of an incident."""
        if incident.unsaid:
            self._announcer.announce(list(self._wording.announcements(incident, rule)))
            # Whoever has changed the incident meanwhile announces the same, and clears it.
            self._incidents.save(incident, replace(incident, unsaid=()))


def _note(before: Incident | None, after: Incident) -> None:
    if before is None or before.id != after.id or before.state is not after.state:
        log.info("incident.changed", id=after.id, rule=after.rule, subject=after.subject.key, state=after.state.value, count=after.count)
