"""Versions of records in HTTP: `ETag`, `If-Match` and `If-None-Match` (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Request, Response, jsonify, request

from app.api.operation import describe
from app.errors import FieldError, ValidationFailed

View = Callable[..., Any]

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag that the change is for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """An answer that shows one version of a record: its number, or the digest of its content. `location` is the address of a record that
    was created."""

    body: Mapping[str, Any]
    version: int | str
    status: int = 200
    location: str | None = None


class EtagMixin:
    """The decorator of a blueprint for views of records that have versions."""

    def etag(self, *, if_match: bool = False) -> Callable[[View], View]:
        """Decorates a view that shows or changes a record with a version number, which is its ETag.

        - A view that returns `Versioned` answers with the header `ETag`; a GET whose `If-None-Match` names that version, with 304.
        - With `if_match`, the OpenAPI document shows `If-Match`, and the view gets the version that the header names as the keyword
          argument `version` (None without the header or for `*`). The view hands it to the service, which compares and writes in one
          step and raises StaleVersion (412). A header that is not an ETag of this API is answered with 422.

        This takes the place of flask-smorest's decorator of the same name, which cannot serve here for four reasons. Its ETag is a hash
        of the answer, while ours is the version that the database compares. It compares before the write, so that two changes at once
        could both pass. It demands `If-Match` of each PUT, PATCH and DELETE (428), where here the header is optional. It checks no POST,
        while enabling or publishing something is a change, too.
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def with_etag(*args: Any, **kwargs: Any) -> Any:
                if if_match:
                    kwargs["version"] = version_in_if_match(request)
                answer = view(*args, **kwargs)
                return _response(answer, request) if isinstance(answer, Versioned) else answer

            if if_match:
                describe(with_etag, header=IF_MATCH)
            return with_etag

        return decorate

    def content_etag(self) -> Callable[[View], View]:
        """Decorates a view that changes a record whose ETag is a digest of its content. The view gets the one that `If-Match` names as the
        keyword argument `etag` (None without the header or for `*`), and returns `Versioned`."""

        def decorate(view: View) -> View:
            @wraps(view)
            def with_etag(*args: Any, **kwargs: Any) -> Any:
                answer = view(*args, **kwargs, etag=etag_in_if_match(request))
                return _response(answer, request) if isinstance(answer, Versioned) else answer

            describe(with_etag, header=IF_MATCH)
            return with_etag

        return decorate


def etag_in_if_match(request: Request) -> str | None:
    """Returns the ETag that `If-Match` names, without quotes; None without the header or for `*`."""
    header = request.headers.get("If-Match", "").strip()
    return None if header in {"", "*"} else header.removeprefix("W/").strip('"')


def version_in_if_match(request: Request) -> int | None:
    """Returns the version that `If-Match` names; None without the header or for `*`. Raises ValidationFailed for anything else."""
    header = request.headers.get("If-Match", "").strip()
    if header in {"", "*"}:
        return None
    match = _ETAG.fullmatch(header)
    if match is None:
        raise ValidationFailed([FieldError("", 'If-Match must be an ETag as this API gave it, such as "3"')])
    return int(match[1])


def _response(answer: Versioned, request: Request) -> Response:
    etag = str(answer.version)
    if request.method in {"GET", "HEAD"} and request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = jsonify(answer.body)
        response.status_code = answer.status
    response.set_etag(etag)
    if answer.location is not None:
        response.headers["Location"] = answer.location
    return response
