"""/api/admin/incidents"""

from __future__ import annotations

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.incidents.schemas import NOTE_SCHEMA, NOTED_SCHEMA, IncidentEnvelope, IncidentList, IncidentQuery, incident_json
from app.instants import as_text
from app.notification.delivery import place_from
from app.notification.incidents.incident import Incident, IncidentFilter

blueprint = ApiBlueprint("Incidents", __name__, url_prefix="/api/admin/incidents", description="What alert rules have found")

FILTERS = ("state", "open", "severity", "rule_id", "subject_kind", "subject_id", "search", "begin", "end")


def _answer(incident: Incident, message: str) -> dict[str, Any]:
    return {"incident": incident_json(incident), "message": message}


@blueprint.get("")
@blueprint.arguments(IncidentQuery, location="query")
@blueprint.response(200, IncidentList)
def list_incidents(query: dict[str, Any]) -> dict[str, Any]:
    """List the incidents that you see, newest first; go on with `after`, the text in `next`"""
    wanted = IncidentFilter(before=place_from(query["after"]), **{name: query[name] for name in FILTERS})
    rows, more = services().incidents.page(actor(), wanted, limit=query["limit"])
    after = f"{as_text(rows[-1].opened_at)}~{rows[-1].id}" if more else None
    return {"incidents": [incident_json(row) for row in rows], "next": after}


@blueprint.get("/<incident_id>")
@blueprint.response(200, IncidentEnvelope)
def get_incident(incident_id: str) -> dict[str, Any]:
    """Read an incident with its notes"""
    return {"incident": incident_json(services().incidents.get(actor(), incident_id))}


@blueprint.post("/<incident_id>/acknowledge")
@blueprint.body(NOTED_SCHEMA, required=False)
@blueprint.response(200, IncidentEnvelope)
def acknowledge_incident(incident_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Say that you deal with an incident: no reminder and no escalation follows"""
    return _answer(services().incidents.acknowledge(actor(), incident_id, note=body.get("note", "")), "Incident acknowledged")


@blueprint.post("/<incident_id>/notes")
@blueprint.body(NOTE_SCHEMA)
@blueprint.response(201, IncidentEnvelope)
def add_incident_note(incident_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Add a note to an incident"""
    return _answer(services().incidents.note(actor(), incident_id, body["note"]), "Note added")


@blueprint.post("/<incident_id>/close")
@blueprint.body(NOTED_SCHEMA, required=False)
@blueprint.response(200, IncidentEnvelope)
def close_incident(incident_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Close an incident by hand, without a message"""
    return _answer(services().incidents.resolve(actor(), incident_id, note=body.get("note", "")), "Incident closed")
