"""/api/admin/calendars"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.accounts.permissions import May, require
from app.api.base_schemas import Message
from app.api.blueprint import ApiBlueprint
from app.api.calendars.schemas import NEW_SCHEMA, CalendarEnvelope, CalendarList, blackout_json, calendar_json
from app.api.current import actor, services
from app.api.etag import Versioned
from app.errors import FieldError
from app.mongo import Document
from app.scheduling.calendars import SCHEMA

blueprint = ApiBlueprint("Blackout calendars", __name__, url_prefix="/api/admin/calendars", description="Times at which jobs do not start")


def _answer(row: Document, message: str | None = None, *, status: int = 200) -> Versioned:
    body = {"calendar": calendar_json(row), "upcoming": [blackout_json(blackout) for blackout in services().calendars.upcoming(row)]}
    return Versioned(body={**body, **({"message": message} if message else {})}, version=row["version"], status=status)


@blueprint.get("")
@blueprint.response(200, CalendarList)
def list_calendars() -> dict[str, Any]:
    """List calendars"""
    return {"calendars": [calendar_json(row) for row in services().calendars.all(actor())]}


def _rules(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the body of a new calendar without its name."""
    return {key: value for key, value in body.items() if key != "name"}


def _errors_of_new(body: Any, errors: Sequence[FieldError]) -> Sequence[FieldError]:
    """Returns what else is wrong with an invalid body. Raises Forbidden first: without the right, nothing is said of the body."""
    if not errors:
        return ()
    require(actor(), May.CHANGE_CALENDARS)
    if not isinstance(body, dict):
        return ()
    return services().calendars.problems(_rules(body), body["name"] if isinstance(body.get("name"), str) else None)


@blueprint.post("")
@blueprint.body(NEW_SCHEMA, further_errors=_errors_of_new)
@blueprint.response(201, CalendarEnvelope)
@blueprint.etag()
def create_calendar(body: dict[str, Any]) -> Versioned:
    """Create a calendar; its name cannot be changed later"""
    return _answer(services().calendars.create(actor(), body["name"], _rules(body)), "Calendar created", status=201)


@blueprint.get("/<name>")
@blueprint.response(200, CalendarEnvelope)
@blueprint.etag()
def get_calendar(name: str) -> Versioned:
    """Read a calendar and its next blackouts"""
    return _answer(services().calendars.get(actor(), name))


@blueprint.put("/<name>")
@blueprint.body(SCHEMA, validate=False)
@blueprint.response(200, CalendarEnvelope)
@blueprint.etag(if_match=True)
def update_calendar(name: str, body: Any, version: int | None) -> Versioned:
    """Replace the rules of a calendar; jobs that wait in one of its blackouts are planned again at once"""
    return _answer(services().calendars.update(actor(), name, body, version=version), "Calendar updated")


@blueprint.delete("/<name>")
@blueprint.response(200, Message)
def delete_calendar(name: str) -> dict[str, str]:
    """Delete a calendar that no job uses"""
    services().calendars.delete(actor(), name)
    return {"message": "Calendar deleted"}
