"""Request bodies: strict JSON (RFC 8259), no duplicate names, bounded depth; and the headers that go with them."""

from __future__ import annotations

import re
from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.errors import FieldError, ValidationFailed
from app.validation import SchemaValidator, strict_json
from app.validation.together import beside

MAX_DEPTH = 64
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def json_body(request: Request, *, optional: bool = False) -> Any:
    """The JSON value of the body; `{}` for an empty one where it is `optional`.

    Raises BadRequest (400) for what is no JSON, UnsupportedMediaType (415) for another content type.
    """
    raw = request.get_data(cache=False)
    if not raw and optional:
        return {}
    if request.mimetype not in {"application/json", "application/merge-patch+json"}:
        raise UnsupportedMediaType("Send the body as application/json")
    try:
        return strict_json.parse(raw.decode("utf-8"), deepest=MAX_DEPTH)
    except strict_json.JsonRefused as error:
        raise BadRequest(f"The body is refused: {error}") from error
    except ValueError as error:
        raise BadRequest(f"The body is no JSON: {error}") from error


def judged(validator: SchemaValidator, body: Any, *more: FieldError) -> dict[str, Any]:
    """The body, which is valid. Raises ValidationFailed with all that is wrong with it, `more` among that."""
    errors = beside(validator.errors(body), more)
    if errors:
        raise ValidationFailed(errors)
    found: dict[str, Any] = body
    return found


def if_match(request: Request) -> int | None:
    """The version that `If-Match` names; None without the header or for `*`. Raises ValidationFailed for anything else."""
    header = request.headers.get("If-Match", "").strip()
    if header in {"", "*"}:
        return None
    match = _ETAG.fullmatch(header)
    if match is None:
        raise ValidationFailed([FieldError("", 'If-Match must be an ETag as this API gave it, such as "3"')])
    return int(match[1])


def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header). Raises ValidationFailed for an odd one."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    if _KEY.fullmatch(header) is None:
        raise ValidationFailed([FieldError("", "Idempotency-Key must be 1 to 255 printable ASCII characters")])
    return header
