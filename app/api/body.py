"""Request bodies: strict JSON (RFC 8259), no duplicate names, bounded depth; and the headers that go with them."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.errors import FieldError, ValidationFailed

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
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()  # an escape may name half of a surrogate pair, which is no text
    except UnicodeEncodeError as error:
        raise BadRequest("The body holds half of a surrogate pair, which is no text") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is no JSON: {error}") from error
    if _depth(value) > MAX_DEPTH:
        raise BadRequest(f"The body is nested more than {MAX_DEPTH} levels deep")
    return value


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


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the name {key!r} occurs twice in one object")
        found[key] = value
    return found


def _no_constants(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _depth(value: Any) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            stack += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list):
            stack += [(inner, depth + 1) for inner in item]
    return deepest
