"""Heads of requests and answers: what is refused by its head alone, and the head of an answer."""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus

import h11

from app.webserver.answer import Head
from app.webserver.limits import Limits
from app.webserver.wsgi import split_target

BLANK_LINE = re.compile(rb"\n\r?\n")


class HeadLines:
    """Counts the lines of a head that arrives in pieces."""

    def __init__(self) -> None:
        self._count, self._tail, self._whole = 0, b"", False

    def add(self, data: bytes) -> int:
        """Returns the number of lines with the next piece. Bytes after the head are not counted."""
        if not self._whole:
            text = self._tail + data
            end = BLANK_LINE.search(text)
            self._whole = end is not None
            self._count += text.count(b"\n", len(self._tail), end.start() if end else len(text))
            self._tail = text[-2:]
        return self._count


def coming_chunk(http: h11.Connection) -> int:
    """Returns how many bytes of the current chunk are missing; 0 outside of a chunk. h11 has no public way, so this reads its reader."""
    return int(getattr(getattr(http, "_reader", None), "_bytes_in_chunk", 0))


def declared_size(request: h11.Request) -> int:
    """Returns the length of the body in bytes, as the head announces it; 0 if it does not. h11 has checked that it is a number."""
    return next((int(value) for name, value in request.headers if name == b"content-length"), 0)


def refusal(request: h11.Request, limits: Limits) -> tuple[HTTPStatus, str] | None:
    """Returns the reason to refuse a head before anything else is checked; None if there is none."""
    names = [name for name, _ in request.headers]
    if not request.http_version.startswith(b"1."):
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This server speaks HTTP/1.0 and HTTP/1.1."
    if sum(len(name) + len(value) + 4 for name, value in request.headers) + len(request.target) > limits.head_bytes:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"A request's head may have {limits.head_bytes} bytes."
    if b"content-length" in names and b"transfer-encoding" in names:  # RFC 9112, 6.1: a sign of request smuggling
        return HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding contradict each other."
    if b"transfer-encoding" in names and request.http_version < b"1.1":
        return HTTPStatus.BAD_REQUEST, "Transfer-Encoding is not a part of HTTP/1.0."
    if split_target(request.target) is None:
        return HTTPStatus.BAD_REQUEST, "The request's target is neither a path nor an http address."
    return None


def response(head: Head, *, last: bool) -> h11.Response:
    """Returns the head of an answer, with the date (RFC 9110, 6.6.1) and without the name or version of the server."""
    headers = [*head.headers, (b"Date", formatdate(usegmt=True).encode())]
    if last:
        headers.append((b"Connection", b"close"))
    return h11.Response(status_code=head.status, reason=head.reason, headers=headers)
