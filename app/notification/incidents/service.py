"""Incidents, for people and programs: seen, acknowledged, commented and closed by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.accounts.permissions import May, require, sees_group
from app.audit.model import SYSTEM, Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, FieldError, NotFound, ValidationFailed
from app.notification.announcing import SubjectKind
from app.notification.incidents.deciding import close
from app.notification.incidents.incident import MOST_NOTES, Acknowledged, Incident, IncidentFilter, IncidentState, Note
from app.notification.incidents.links import AcknowledgeLinks
from app.notification.incidents.store import IncidentStore
from templates_lib.messages import say

TRIES = 20
MOST_COUNTED = 1_000  # incidents that fire
LONGEST_NOTE = 1_000  # characters
Change = Callable[[Incident], Incident]


class Incidents:
    """The incidents. Who is limited to groups sees those about jobs of these groups, and about these groups as a whole."""

    def __init__(self, *, store: IncidentStore, links: AcknowledgeLinks, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._links, self._audit, self._clock = store, links, audit, clock

    def page(self, actor: Actor, wanted: IncidentFilter, *, limit: int) -> tuple[list[Incident], bool]:
        """Returns up to `limit` incidents, newest first, and whether there are more."""
        require(actor, May.SEE_RULES)
        rows = self._store.page(wanted, groups=actor.groups, limit=limit + 1)
        return rows[:limit], len(rows) > limit

    def get(self, actor: Actor, incident_id: str) -> Incident:
        """Returns an incident. Raises NotFound."""
        require(actor, May.SEE_RULES)
        return self._existing(actor, incident_id)

    def of_job(self, actor: Actor, job_id: str, *, limit: int = 5) -> list[Incident]:
        """Returns the newest incidents about a job."""
        wanted = IncidentFilter(subject_kind=SubjectKind.JOB.value, subject_id=job_id)
        return self.page(actor, wanted, limit=limit)[0]

    def open_count(self, actor: Actor) -> dict[str, int]:
        """Returns how many incidents are open of which people were told, by severity; a severity without any is left out."""
        require(actor, May.SEE_RULES)
        return self._store.counts_open(groups=actor.groups)

    def firing_count(self, actor: Actor) -> int:
        """Returns how many incidents wait for somebody to acknowledge them, as far as MOST_COUNTED."""
        require(actor, May.SEE_RULES)
        return self._store.count_firing(groups=actor.groups, most=MOST_COUNTED)

    def acknowledge(self, actor: Actor, incident_id: str, *, note: str = "") -> Incident:
        """Notes that the actor deals with an incident: no reminder and no escalation follows, and no message at all if the wait of its rule
        is not over. Raises NotFound; Conflict if it is over, or if somebody else deals with it already."""
        require(actor, May.ACKNOWLEDGE)
        self._existing(actor, incident_id)
        return self._acknowledge(actor, incident_id, via="web" if actor.scopes is None else "api", by=actor.name, note=note)

    def note(self, actor: Actor, incident_id: str, text: str) -> Incident:
        """Adds a note to an incident. Raises NotFound, ValidationFailed; Conflict if it has too many."""
        require(actor, May.ACKNOWLEDGE)
        incident = self._existing(actor, incident_id)
        if not text.strip():
            raise ValidationFailed([FieldError("/note", say("is required"))])
        if len(incident.notes) >= MOST_NOTES:
            raise Conflict(say("An incident has at most {most} notes.", most=MOST_NOTES))
        with self._audit.action(actor, "incident.note", kind="incident", target_id=incident_id, name=incident.subject.name):
            return self._change(incident_id, lambda found: self._noted(found, actor.name, text))

    def resolve(self, actor: Actor, incident_id: str, *, note: str = "") -> Incident:
        """Closes an incident by hand, without a message. The next event for which its condition holds opens another one. Raises NotFound;
        Conflict if it is over."""
        require(actor, May.ACKNOWLEDGE)
        incident = self._existing(actor, incident_id)

        def resolved(found: Incident) -> Incident:
            if not found.is_open:
                raise Conflict(say("The incident is over already."))
            closed = close(found, self._clock.now(), say("{person} has closed the incident.", person=actor.name), by=actor.name)
            return self._noted(closed, actor.name, note) if note.strip() else closed

        with self._audit.action(actor, "incident.resolve", kind="incident", target_id=incident_id, name=incident.subject.name):
            return self._change(incident_id, resolved)

    # -- by the link of a message ---------------------------------------------------------------------------------

    def by_link(self, token: str) -> Incident:
        """Returns the incident that the link of a message is for. It changes nothing: mail servers follow links by themselves. Raises
        NotFound if the link has expired, or is none of this installation."""
        incident_id = self._links.read(token, self._clock.now())
        incident = self._store.get(incident_id) if incident_id is not None else None
        if incident is None:
            raise NotFound("incident", "")
        return incident

    def acknowledge_by_link(self, token: str, *, address: str = "") -> Incident:
        """As `acknowledge`, for anybody who has the link of a message; `address` is the network address of the request."""
        incident = self.by_link(token)
        words = say("the reader of a message")
        return self._acknowledge(replace(SYSTEM, address=address), incident.id, via="link", by=words, note="")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _acknowledge(self, actor: Actor, incident_id: str, *, via: str, by: str, note: str) -> Incident:
        def acknowledged(found: Incident) -> Incident:
            if found.state is IncidentState.ACKNOWLEDGED and found.acknowledged is not None:
                raise Conflict(say("The incident was acknowledged by {person} already.", person=found.acknowledged.by))
            if not found.is_open:
                raise Conflict(say("The incident is over already."))
            changed = replace(found, state=IncidentState.ACKNOWLEDGED, acknowledged=Acknowledged(by=by[:], at=self._clock.now(), via=via))
            return self._noted(changed, by, note) if note.strip() else changed

        found = self._store.get(incident_id)
        name = found.subject.name if found is not None else ""
        with self._audit.action(actor, "incident.acknowledge", kind="incident", target_id=incident_id, name=name):
            return self._change(incident_id, acknowledged)

    def _noted(self, incident: Incident, by: str, text: str) -> Incident:
        note = Note(by=by[:], at=self._clock.now(), text=text.strip()[:LONGEST_NOTE])
        return replace(incident, notes=(*incident.notes, note)[-MOST_NOTES:])

    def _change(self, incident_id: str, change: Change) -> Incident:
        for _ in range(TRIES):
            before = self._store.get(incident_id)
            if before is None:
                break
            stored = self._store.save(before, change(before))
            if stored is not None:
                return stored
        raise NotFound("incident", incident_id)

    def _existing(self, actor: Actor, incident_id: str) -> Incident:
        incident = self._store.get(incident_id)
        if incident is None or not sees_group(actor, incident.subject.group):
            raise NotFound("incident", incident_id)
        return incident
