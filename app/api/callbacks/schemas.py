"""Bodies of reports, and the answer to them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema
from app.api.present import jsonable
from app.integrations.callbacks.reports import Standing
from templates_lib.service_protocol import LEVELS, LONGEST_LINE, MOST_LINES

_TEXT = {"type": "string", "pattern": "^[^\\u0000]*$"}
_COUNT = {"type": ["number", "null"], "minimum": 0, "description": "A whole number"}
_COUNTS = dict.fromkeys(("itemsProcessed", "itemsSucceeded", "itemsFailed"), _COUNT)
_METADATA = {"type": ["object", "null"], "description": "Kept in the result of the execution"}

HEARTBEAT: dict[str, Any] = {"type": "object"}
PROGRESS: dict[str, Any] = {
    "type": "object",
    "required": ["done"],
    "properties": {
        "done": {"type": "number", "minimum": 0},
        "total": {"type": ["number", "null"], "minimum": 0},
        "note": {**_TEXT, "maxLength": 200},
    },
}
LOGS: dict[str, Any] = {
    "type": "object",
    "required": ["first", "lines"],
    "properties": {
        "first": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10_000_000,
            "description": "The number of the first line within the attempt. Lines that were reported before are left out",
        },
        "lines": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_LINES,
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "level": {
                        "anyOf": [{"enum": list(LEVELS)}, {"enum": [level.lower() for level in LEVELS], "description": "The same"}],
                        "default": "INFO",
                    },
                    "message": {**_TEXT, "maxLength": LONGEST_LINE},
                    "time": {"type": "string", "format": "date-time"},
                },
            },
        },
    },
}
COMPLETE: dict[str, Any] = {
    "type": "object",
    "required": ["success"],
    "properties": {"success": {"type": "boolean"}, **_COUNTS, "error": {"type": ["string", "null"]}, "metadata": _METADATA},
}
FAIL: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {**_TEXT, "minLength": 1},
        "permanent": {"type": "boolean", "default": False, "description": "A retry cannot help"},
        "retryAfterSeconds": {"type": ["number", "null"], "minimum": 0, "maximum": 86_400},
        **_COUNTS,
        "metadata": _METADATA,
    },
}
EXTEND: dict[str, Any] = {
    "type": "object",
    "required": ["seconds"],
    "properties": {"seconds": {"type": "number", "minimum": 1, "maximum": 86_400, "description": "The deadline is so long from now"}},
}


class ReportOut(AnswerSchema):
    status = ma.String(
        required=True,
        metadata={"description": "Of the execution; `cancelling` asks the service to stop the work and to report what it did"},
    )
    deadline = ma.String(metadata={**INSTANT, "description": "When the attempt ends as timed out"})
    heartbeatSeconds = ma.Float(metadata={"description": "The attempt is lost after this time without a report"})  # noqa: N815 - the protocol's name


def standing_json(standing: Standing) -> dict[str, Any]:
    """Returns the answer to a report."""
    answer: dict[str, Any] = {"status": standing.status}
    if standing.deadline is not None:
        answer["deadline"] = jsonable(standing.deadline)
    if standing.heartbeat_seconds is not None:
        answer["heartbeatSeconds"] = standing.heartbeat_seconds
    return answer
