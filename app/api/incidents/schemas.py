"""Requests and answers of incidents."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut, RequestSchema
from app.api.present import jsonable
from app.notification.announcing import AlertSeverity, SubjectKind
from app.notification.incidents.incident import Incident, IncidentState
from app.notification.incidents.service import LONGEST_NOTE
from app.validation.fields import Instant

SAME = (
    "rule_id",
    "rule",
    "opened_at",
    "fired_at",
    "resolved_at",
    "resolved_by",
    "count",
    "flapping",
    "reminders",
    "escalated_at",
    "version",
)
NOTE_FIELD = {"type": "string", "maxLength": LONGEST_NOTE}
NOTED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"note": {**NOTE_FIELD, "description": "Stored as a note of the incident"}},
    "additionalProperties": False,
}
NOTE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"note": {**NOTE_FIELD, "minLength": 1}},
    "required": ["note"],
    "additionalProperties": False,
}


class IncidentQuery(RequestSchema):
    state = ma.String(load_default="", validate=OneOf(["", *(state.value for state in IncidentState)]))
    open = ma.Boolean(load_default=None, metadata={"description": "true: not resolved; false: resolved"})
    severity = ma.String(load_default="", validate=OneOf(["", *(severity.value for severity in AlertSeverity)]))
    rule_id = ma.String(load_default="", validate=Length(max=200))
    subject_kind = ma.String(load_default="", validate=OneOf(["", *(kind.value for kind in SubjectKind)]))
    subject_id = ma.String(load_default="", validate=Length(max=200), metadata={"description": "Such as the id of a job"})
    search = ma.String(load_default="", validate=Length(max=200), metadata={"description": "A part of the name of the subject"})
    begin = Instant(load_default=None, metadata={"description": "Opened at this time or later"})
    end = Instant(load_default=None, metadata={"description": "Opened before this time"})
    after = ma.String(load_default="", validate=Length(max=200), metadata={"description": "The text in `next` of the page before"})
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=100))


class SubjectOut(AnswerSchema):
    kind = ma.String(required=True, metadata={"description": ", ".join(kind.value for kind in SubjectKind)})
    id = ma.String(required=True)
    name = ma.String(required=True)
    group = ma.String(required=True, metadata={"description": "Of a job; empty for none"})


class AcknowledgedOut(AnswerSchema):
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    via = ma.String(required=True, metadata={"description": "web, api or link"})


class IncidentNoteOut(AnswerSchema):
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    text = ma.String(required=True)


class IncidentOut(RecordOut):
    rule_id = ma.String(required=True)
    rule = ma.String(required=True, metadata={"description": "The name of the rule"})
    subject = ma.Nested(SubjectOut, required=True)
    severity = ma.String(required=True, metadata={"description": "info, warning or critical"})
    state = ma.String(required=True, metadata={"description": ", ".join(state.value for state in IncidentState)})
    why = ma.String(required=True, metadata={"description": "What was found last"})
    opened_at = ma.String(required=True, metadata=INSTANT)
    fired_at = ma.String(required=True, allow_none=True, metadata={**INSTANT, "description": "When people were first told"})
    resolved_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    resolved_by = ma.String(required=True, metadata={"description": "Who closed it by hand; empty if it ended by itself"})
    count = ma.Integer(required=True, metadata={"description": "How often the condition was found to hold"})
    flapping = ma.Boolean(required=True, metadata={"description": "It changes back and forth, which is not announced each time"})
    reminders = ma.Integer(required=True, metadata={"description": "How many were sent"})
    escalated_at = ma.String(required=True, allow_none=True, metadata=INSTANT)
    version = ma.Integer(required=True)
    executions = ma.List(ma.String(), required=True, metadata={"description": "The ids of the last 20 executions, newest last"})
    acknowledged = ma.Nested(AcknowledgedOut, required=True, allow_none=True)
    notes = ma.List(ma.Nested(IncidentNoteOut), required=True)


class IncidentEnvelope(AnswerSchema):
    incident = ma.Nested(IncidentOut, required=True)
    message = ma.String()


class IncidentList(AnswerSchema):
    incidents = ma.List(ma.Nested(IncidentOut), required=True)
    next = ma.String(allow_none=True, metadata={"description": "Send it as `after` to go on; null at the end"})


def incident_json(incident: Incident) -> dict[str, Any]:
    """Returns an incident with its notes."""
    subject, acknowledged = incident.subject, incident.acknowledged
    answer: dict[str, Any] = jsonable(
        {
            "id": incident.id,
            "_id": incident.id,
            **{name: getattr(incident, name) for name in SAME},
            "subject": {"kind": subject.kind.value, "id": subject.id, "name": subject.name, "group": subject.group},
            "severity": incident.severity.value,
            "state": incident.state.value,
            "why": incident.why[:],
            "executions": incident.executions,
            "acknowledged": acknowledged and {"by": acknowledged.by, "at": acknowledged.at, "via": acknowledged.via},
            "notes": [{"by": note.by, "at": note.at, "text": note.text} for note in incident.notes],
        }
    )
    return answer
