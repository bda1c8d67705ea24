"""An incident: one open matter of a rule and its subject, from when its condition held first until it holds no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.mongo import Document
from app.notification.announcing import AlertSeverity, Subject, SubjectKind
from app.notification.message import MessageKind
from app.shapes import DAMAGED
from templates_lib.messages import parts_of, restored

MOST_EXECUTIONS = 20  # that an incident names: the last ones
MOST_FLIPS = 20
MOST_NOTES = 100


class IncidentState(StrEnum):
    """How far an incident is."""

    PENDING = "pending"  # its condition holds, and the wait of its rule is not over
    FIRING = "firing"  # people were told
    ACKNOWLEDGED = "acknowledged"  # somebody deals with it: no reminder and no escalation follows
    RESOLVED = "resolved"  # it is over


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Which event an incident has seen last: events are ordered by their instants, then by their ids."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Something that people are to be told of an incident. `number` is its place among all tellings of the incident."""

    number: int
    kind: MessageKind
    at: datetime
    why: str
    execution_id: str | None = None
    escalated: bool = False
    flapping: bool = False

    def as_document(self) -> Document:
        """Returns the stored form."""
        return {
            "number": self.number,
            "kind": self.kind.value,
            "at": self.at,
            "why": self.why[:],
            "said": parts_of(self.why),
            "execution_id": self.execution_id,
            "escalated": self.escalated,
            "flapping": self.flapping,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFilter:
    """Which incidents a list shows; empty means any. `open` is True for those that are not resolved, False for resolved ones. `before` is
    an instant and an id: the last incident of the page before."""

    state: str = ""
    open: bool | None = None
    severity: str = ""
    rule_id: str = ""
    subject_kind: str = ""
    subject_id: str = ""
    search: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Who deals with an incident; `via` is `web`, `api` or `link`."""

    by: str
    at: datetime
    via: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a person wrote to an incident."""

    by: str
    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident.

    `count` is how often its condition was found to hold, and `why` says what was found last. `holds` is False while a flapping incident is
    open although its condition does not hold. `flips` are the instants at which the condition began or ceased to hold, across the incidents
    of the rule and the subject. `unsaid` is what is still to be told, and `told` whether people know of it. `resolved_by` is the person who
    has closed it by hand; empty if it ended by itself.
    """

    id: str
    rule_id: str
    rule: str
    subject: Subject
    severity: AlertSeverity
    state: IncidentState
    opened_at: datetime
    last: Mark
    why: str
    fires_at: datetime | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str = ""
    count: int = 1
    holds: bool = True
    executions: tuple[str, ...] = ()
    acknowledged: Acknowledged | None = None
    notes: tuple[Note, ...] = ()
    reminders: int = 0
    remind_at: datetime | None = None
    escalate_at: datetime | None = None
    escalated_at: datetime | None = None
    flips: tuple[datetime, ...] = ()
    flapping: bool = False
    told: bool = False
    tellings: int = 0
    unsaid: tuple[Telling, ...] = ()
    version: int = 0
    damaged: str = ""

    @property
    def is_open(self) -> bool:
        """Returns whether it is not over."""
        return self.state is not IncidentState.RESOLVED

    @property
    def due_at(self) -> datetime | None:
        """Returns when something follows by time alone: the end of a wait, a reminder, an escalation; None if nothing does."""
        if self.state is IncidentState.PENDING:
            return self.fires_at
        if self.state is not IncidentState.FIRING or self.flapping:
            return None
        return min((at for at in (self.remind_at, self.escalate_at) if at is not None), default=None)


_INSTANTS = ("opened_at", "fires_at", "fired_at", "resolved_at", "remind_at", "escalate_at", "escalated_at")
_SAME = ("rule_id", "rule", "resolved_by", "count", "holds", "reminders", "flapping", "told", "tellings", "version", *_INSTANTS)


def as_document(incident: Incident) -> Document:
    """Returns the stored form. `open` and `due_at` are what indexes go by."""
    subject, acknowledged = incident.subject, incident.acknowledged
    return {
        "_id": incident.id,
        "open": incident.is_open,
        "due_at": incident.due_at,
        "subject": {"kind": subject.kind.value, "id": subject.id, "name": subject.name, "group": subject.group, "key": subject.key},
        "severity": incident.severity.value,
        "state": incident.state.value,
        "last": {"at": incident.last.at, "id": incident.last.id},
        "why": incident.why[:],
        "said": parts_of(incident.why),
        "executions": list(incident.executions),
        "acknowledged": None if acknowledged is None else {"by": acknowledged.by, "at": acknowledged.at, "via": acknowledged.via},
        "notes": [{"by": note.by, "at": note.at, "text": note.text} for note in incident.notes],
        "flips": list(incident.flips),
        "unsaid": [telling.as_document() for telling in incident.unsaid],
        **{name: getattr(incident, name) for name in _SAME},
    }


def incident_from(row: Mapping[str, Any]) -> Incident:
    """Returns the incident in a stored document."""
    subject, acknowledged = row["subject"], row["acknowledged"]
    return Incident(
        id=row["_id"],
        subject=Subject(kind=SubjectKind(subject["kind"]), id=subject["id"], name=subject["name"], group=subject["group"]),
        severity=AlertSeverity(row["severity"]),
        state=IncidentState(row["state"]),
        last=Mark(row["last"]["at"], row["last"]["id"]),
        why=restored(row["why"], row.get("said")),
        executions=tuple(row["executions"]),
        acknowledged=None if not acknowledged else Acknowledged(**{name: acknowledged[name] for name in ("by", "at", "via")}),
        notes=tuple(Note(by=note["by"], at=note["at"], text=note["text"]) for note in row["notes"]),
        flips=tuple(row["flips"]),
        unsaid=tuple(_telling_from(item) for item in row["unsaid"]),
        damaged=row.get(DAMAGED, ""),
        **{name: row[name] for name in _SAME},
    )


def _telling_from(row: Mapping[str, Any]) -> Telling:
    same = ("number", "at", "execution_id", "escalated", "flapping")
    why = restored(row["why"], row.get("said"))
    return Telling(kind=MessageKind(row["kind"]), why=why, **{name: row[name] for name in same})
