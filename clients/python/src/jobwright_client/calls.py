"""Calls of Jobwright: what a request says, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobwright_client.errors import SignatureRefused
from jobwright_client.signatures import Keys
from jobwright_client.transport import encoded

PREFIX, SUFFIX = "/api/jobs/", "/execute"
MOST_BODY_BYTES = 2_000_000


@dataclass(frozen=True)
class Request:
    """An HTTP request, from any framework."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """An HTTP answer with a JSON body."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Returns the body as bytes."""
        return encoded(self.body)

    def all_headers(self) -> list[tuple[str, str]]:
        """Returns all headers, with type and length of the body."""
        size = len(self.content())
        return [("Content-Type", "application/json"), ("Content-Length", str(size)), ("Cache-Control", "no-store"), *self.headers.items()]


class Refused(Exception):
    """A call that is refused: the status and the reason of the answer."""

    def __init__(self, status: int, reason: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason)
        headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
        self.response = Response(status, {"error": reason}, headers)


def job_of(path: str) -> str | None:
    """Returns the name of the job that a decoded path calls; None for a path that calls none."""
    if not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    name = path[len(PREFIX) : -len(SUFFIX)]
    return name if name and "/" not in name else None


def read_call(request: Request, name: str, keys: Keys | None, now: float) -> dict[str, Any]:
    """Returns the body of a call of job `name`, checked. Without `keys`, signatures are not looked at. Raises Refused."""
    if request.method != "POST":
        raise Refused(405, "Use POST")
    if len(request.body) > MOST_BODY_BYTES:
        raise Refused(413, f"The body has more than {MOST_BODY_BYTES:,} bytes")
    if keys is not None:
        try:
            keys.verify(request.headers, request.body, now=now)
        except SignatureRefused as error:
            raise Refused(401, str(error)) from error
    try:
        call = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The body is not valid JSON") from error
    problem = _problem(call, name)
    if problem is not None:
        raise Refused(422, problem)
    return {**call, "attempt": call.get("attempt") or 1, "config": call.get("config") or {}}


def _problem(call: Any, name: str) -> str | None:
    """What is wrong with a call, or None."""
    if not isinstance(call, dict):
        return "The body must be an object"
    if call.get("jobName", name) != name:
        return f"/jobName: the address calls {name}, the body {call['jobName']!r}"
    execution = call.get("executionId")
    if not isinstance(execution, str) or not 0 < len(execution) <= 200:
        return "/executionId: is required and must be text of 1 to 200 characters"
    attempt = call.get("attempt")
    if attempt is not None and (not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1):
        return "/attempt: must be a whole number from 1"
    if not isinstance(call.get("config") or {}, dict):
        return "/config: must be an object"
    callback = call.get("callback")
    if callback is not None:
        url = callback.get("url") if isinstance(callback, dict) else None
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            return "/callback/url: must begin with http:// or https://"
    return None
