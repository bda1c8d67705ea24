"""A request to an inbound address, read as far as the reception asks for it."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from app.correlation import current_id, current_traceparent
from app.integrations.inbound.reception import Incoming


def incoming(secret: str) -> Incoming:
    """Returns the request at hand. Its body is not read yet."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Incoming(
        secret=secret,
        headers=headers,
        read=_read,
        sender=request.remote_addr or "",
        correlation_id=current_id(),
        traceparent=current_traceparent(),
    )


def _read(most: int) -> bytes | None:
    """Returns the body; None if it has more bytes than `most`. No more than that is read."""
    request.max_content_length = most
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge:
        return None
