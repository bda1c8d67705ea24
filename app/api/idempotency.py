"""Repeated requests: the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Request, request

from app.api.operation import describe
from app.errors import FieldError, ValidationFailed

View = Callable[..., Any]

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A second request with the same key answers as the first and does nothing",
}


class IdempotencyMixin:
    """The decorator of a blueprint for views that a client may safely call again."""

    def idempotent(self, view: View) -> View:
        """Decorates a view that gets the key as the keyword argument `idempotency_key`, None without the header; documents the header.

        A key that is not 1 to 255 printable ASCII characters is answered with 422.
        """

        @wraps(view)
        def with_key(*args: Any, **kwargs: Any) -> Any:
            return view(*args, idempotency_key=_key(request), **kwargs)

        describe(with_key, header=IDEMPOTENCY_KEY)
        return with_key


def _key(request: Request) -> str | None:
    header = request.headers.get("Idempotency-Key")
    if header is not None and _KEY.fullmatch(header) is None:
        raise ValidationFailed([FieldError("", "Idempotency-Key must be 1 to 255 printable ASCII characters")])
    return header
