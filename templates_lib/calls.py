"""Helpers for templates that call HTTP addresses. The guarded client itself is in templates_lib.net."""

from __future__ import annotations

from typing import Any

import httpx

from templates_lib.bodies import body_text
from templates_lib.messages import say

# RFC 9110, 15: timeouts, "too early", "too many requests" and server errors may pass; any other answer will be the same again.
TRANSIENT_STATUS = frozenset({408, 425, 429})
MOST_PORT = 65_535
# What a service that does the work of a job learns about it, as parameters of a template.
JOB_NAME: dict[str, Any] = {
    "type": "string",
    "title": "Job name",
    "minLength": 1,
    "maxLength": 200,
    "description": "Sent to the service as `jobName`.",
}
CONFIG: dict[str, Any] = {
    "type": "object",
    "title": "Settings",
    "description": "Sent to the service as `config`.",
    "x-dynamic": True,
    "x-widget": "json",
    "x-placeholder": '{"batchSize": 100}',
}


def address(placeholder: str, *, offers: bool = False) -> dict[str, Any]:
    """Returns the schema of an address to call. With `offers`, the form suggests the addresses of the HTTP connection that the member
    `connection` names."""
    options = {"x-options": {"from": "addresses", "free": True, "depends": {"connection": "/connection"}}} if offers else {}
    return {
        "type": "string",
        "title": "Address",
        "format": "uri",
        "pattern": r"^https?://[^\s]+$",
        "maxLength": 2000,
        "x-pattern-words": "an address that begins with http:// or https://",
        "x-placeholder": placeholder,
        **options,
    }


def address_problem(text: str) -> str | None:
    """Returns a sentence if an address cannot be called for a reason that the pattern of `address` does not find; else None."""
    try:
        url = httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, UnicodeError) as error:  # UnicodeError: a host that begins with xn-- but is not Punycode
        return say("is not an address: {error}", error=error)
    if not host or url.userinfo:
        return say("must contain a host, and no user name or password")
    if url.port is not None and not 0 < url.port <= MOST_PORT:
        return say("has port {port}, but a port must be from 1 to {most}", port=str(url.port), most=str(MOST_PORT))
    return None


def will_stay(status: int) -> bool:
    """Returns whether a status other than success would probably be the same at another try."""
    return status < 500 and status not in TRANSIENT_STATUS


def answer_text(answer: httpx.Response, read: bytes, *, most: int, whole_below: int) -> str:
    """Returns an answer as people read it: at most the characters of its first `most` bytes, or its size and media type if it is not text.
    `read` holds the whole answer if it has fewer than `whole_below` bytes."""
    return body_text(read, answer.headers.get("content-type", ""), most=most, whole=len(read) < whole_below)


def first_bytes(answer: httpx.Response, most: int) -> bytes:
    """Returns the first `most` bytes of an answer. Reading stops there, so that a server cannot send without end."""
    read = bytearray()
    for chunk in answer.iter_bytes():
        read += chunk
        if len(read) >= most:
            break
    return bytes(read[:most])
