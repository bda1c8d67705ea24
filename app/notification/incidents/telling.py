"""What people are told of an incident: its announcements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.instants import as_text
from app.notification.announcing import Announcement, SubjectKind
from app.notification.incidents.incident import Incident, Telling
from app.notification.incidents.links import AcknowledgeLinks
from app.notification.message import Fact, Link, MessageKind
from app.notification.rules.rule import AlertRule
from app.queue.execution import Execution
from app.queue.model import Reason
from app.validation.terminal import one_line, plain
from templates_lib.messages import Said, say

LONGEST_ERROR = 1_000  # characters of the error of an execution


class Facts(Protocol):
    """What announcements need to know of executions and jobs."""

    def execution(self, execution_id: str) -> Execution | None:
        """Returns an execution; None if it is not kept any more."""

    def labels(self, job_id: str) -> Mapping[str, str]:
        """Returns what announcements about a job can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where messages lead to. `public_url` is that of this installation; empty if it is not known: then messages have no links."""

    public_url: str
    links: AcknowledgeLinks

    def of_execution(self, execution_id: str) -> str:
        """Returns the address of the page of an execution."""
        return f"{self.public_url.rstrip('/')}/executions/{execution_id}"

    def to_acknowledge(self, incident_id: str, now: datetime) -> str:
        """Returns an address at which anybody who has it may acknowledge an incident for a while."""
        return f"{self.public_url.rstrip('/')}/incidents/acknowledge/{self.links.make(incident_id, now)}"


class Wording:
    """Puts tellings into words."""

    def __init__(self, facts: Facts, addresses: Addresses) -> None:
        self._facts, self._addresses = facts, addresses

    def announcements(self, incident: Incident, rule: AlertRule) -> Iterator[Announcement]:
        """Returns what is still to be told of an incident."""
        for telling in incident.unsaid:
            to = rule.escalate.to if telling.escalated and rule.escalate is not None else rule.to
            yield self.announcement(incident, rule, telling, to)

    def announcement(self, incident: Incident, rule: AlertRule, telling: Telling, to: tuple[str, ...]) -> Announcement:
        """Returns what people are told of an incident by one telling."""
        subject = incident.subject
        execution = self._facts.execution(telling.execution_id) if telling.execution_id else None
        labels = dict(self._facts.labels(subject.id)) if subject.kind is SubjectKind.JOB else {subject.kind.value: subject.name}
        if execution is not None and execution.error is not None:
            labels["error"] = execution.error.type
        if execution is not None and execution.execution_host and execution.reason == Reason.LOST_WORKER:
            labels["node"] = execution.execution_host  # it was lost with its node
        return Announcement(
            key=f"{incident.id}:{telling.number}",
            incident_id=incident.id,
            rule_id=rule.id,
            rule=rule.name,
            subject=subject,
            kind=telling.kind,
            severity=rule.severity,
            title=title_of(telling, one_line(subject.name), rule.name),
            at=telling.at,
            to=to,
            text=tuple(_parts(telling, execution)),
            facts=tuple(_facts_of(incident, rule, execution)),
            links=tuple(self._links(incident, telling)),
            labels=labels,
            event={
                "type": f"incident.{telling.kind}",
                "incident_id": incident.id,
                "rule": rule.name,
                "severity": rule.severity.value,
                "subject_kind": subject.kind.value,
                "subject_id": subject.id,
                "subject_name": subject.name,
                "execution_id": telling.execution_id,
                "count": incident.count,
                "since": as_text(incident.opened_at),
                "escalated": telling.escalated,
                "flapping": telling.flapping,
            },
            execution_id=telling.execution_id,
        )

    def _links(self, incident: Incident, telling: Telling) -> Iterator[Link]:
        if not self._addresses.public_url:
            return
        if telling.execution_id:
            yield Link(words=say("Show the execution"), url=self._addresses.of_execution(telling.execution_id))
        if telling.kind in {MessageKind.FIRING, MessageKind.REMINDER} and incident.is_open:
            yield Link(words=say("Acknowledge"), url=self._addresses.to_acknowledge(incident.id, telling.at))


def title_of(telling: Telling, subject: str, rule: str) -> Said:
    """Returns the title of a message about an incident."""
    if telling.escalated:
        return say("Nobody has acknowledged: {subject} ({rule})", subject=subject, rule=rule)
    if telling.flapping:
        return say("Changes back and forth: {subject} ({rule})", subject=subject, rule=rule)
    match telling.kind:
        case MessageKind.REMINDER:
            return say("Reminder: {subject} ({rule})", subject=subject, rule=rule)
        case MessageKind.RECOVERY:
            return say("Over: {subject} ({rule})", subject=subject, rule=rule)
    return say("{subject} ({rule})", subject=subject, rule=rule)


def _parts(telling: Telling, execution: Execution | None) -> Iterator[str]:
    yield telling.why
    if telling.flapping:
        yield say("It changes back and forth. Further changes are not announced until it stays the same for a while.")
    if execution is not None and execution.error is not None and telling.kind is not MessageKind.RECOVERY:
        yield f"{one_line(execution.error.type)}: {plain(execution.error.message)}"[:LONGEST_ERROR]


def _facts_of(incident: Incident, rule: AlertRule, execution: Execution | None) -> Iterator[Fact]:
    yield Fact(label=say("Rule"), value=rule.name)
    yield Fact(label=say("Since"), value=f"{incident.opened_at:%Y-%m-%d %H:%M:%S} UTC")
    if incident.count > 1:
        yield Fact(label=say("Times"), value=str(incident.count))
    if incident.subject.group:
        yield Fact(label=say("Group"), value=one_line(incident.subject.group))
    if execution is not None and execution.execution_host:
        yield Fact(label=say("Node"), value=one_line(execution.execution_host))
