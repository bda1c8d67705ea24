"""A definition as the body of a request: the body that would create it, partial updates, and the fields that are not defaults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.audit.model import field_diff
from app.connections.vault import mask
from app.errors import FieldError, ValidationFailed
from app.jobs.model import JobDefinition, to_plain
from app.validation.secret import MASK

# Objects that a partial update changes member by member; the others are replaced whole.
MERGED = ("retry_policy", "misfire", "concurrency", "run_limit")


def as_request(definition: JobDefinition) -> dict[str, Any]:
    """Returns the body that would create the definition: instants as text, secrets masked, absent instants left out."""
    plain: dict[str, Any] = mask(to_plain(definition))
    plain["schedule"] = {
        key: value.isoformat() if isinstance(value, datetime) else value for key, value in plain["schedule"].items() if value is not None
    }
    return plain


def merged(before: JobDefinition, body: Any) -> dict[str, Any]:
    """Returns the body that would create what the partial update `body` makes of `before`. If it names another template, the parameters
    begin empty.

    Raises ValidationFailed if `body` is no object.
    """
    if not isinstance(body, Mapping):
        raise ValidationFailed([FieldError("", "must be an object")])
    current = as_request(before)
    whole = {**current, **body}
    for name in MERGED:
        if isinstance(body.get(name), Mapping):
            whole[name] = {**current[name], **body[name]}
    if body.get("template_type", current["template_type"]) != current["template_type"] and "parameters" not in body:
        whole["parameters"] = {}
    return whole


def non_defaults(definition: JobDefinition) -> list[dict[str, Any]]:
    """Returns the fields of a new definition that are not defaults, a row a field, secrets masked: for approval pages and previews."""
    rows = field_diff(to_plain(JobDefinition(name="", template_type="")), mask(to_plain(definition)))
    return [{name: value for name, value in row.items() if name != "before"} for row in rows]


def without_secrets(value: Any) -> Any:
    """Returns a value without its masked secrets: a secret stays with the job that it was entered for."""
    if isinstance(value, Mapping):
        return {key: without_secrets(inner) for key, inner in value.items() if inner != MASK}
    return [without_secrets(inner) for inner in value if inner != MASK] if isinstance(value, list) else value
