"""How requests leave: through urllib, without redirects. Tests put another transport in its place."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MOST_ANSWER_BYTES = 1_000_000
USER_AGENT = "jobwright-client"


class NoAnswer(Exception):
    """The other side could not be reached, or did not answer in time."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request: its status, its headers by lower-case names, and its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Returns the body as an object; an empty one if it is not a JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def problem(self) -> str:
        """Returns what the answer says about a refusal, for the log: the problem and its errors with their places."""
        body = self.json()
        text = str(body.get("detail") or body.get("title") or body.get("error") or self.body[:300].decode(errors="replace"))
        errors = body.get("errors")
        parts = [f"{part.get('pointer')}: {part.get('detail') or part.get('message')}" for part in _objects(errors)[:10]]
        return f"{self.status} {text}" + (f" ({'; '.join(parts)})" if parts else "")

    def retry_after_seconds(self, now: float) -> float | None:
        """Returns the seconds that Retry-After asks to wait, at most an hour; None without a valid one."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), 3600.0)
        import email.utils

        moment = email.utils.parsedate_tz(text) if text else None
        return min(max(0.0, email.utils.mktime_tz(moment) - now), 3600.0) if moment else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


class Transport(Protocol):
    """Sends a request and returns its answer, whatever its status. Raises NoAnswer."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer: ...


class UrllibTransport:
    """The transport of the standard library. It follows no redirect, because a redirected request would take the token elsewhere."""

    def __init__(self) -> None:
        self._opener: Any = None

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer:
        # urllib.request brings http.client and ssl, which take longer to import than this whole package.
        import http.client
        import urllib.error
        import urllib.request

        if self._opener is None:
            self._opener = _opener()
        request = urllib.request.Request(url, data=body, method=method, headers={"User-Agent": USER_AGENT, **headers})  # noqa: S310 - http and https
        try:
            try:
                with self._opener.open(request, timeout=timeout_seconds) as answer:
                    return _answer(answer.status, answer.headers, answer.read(MOST_ANSWER_BYTES))
            except urllib.error.HTTPError as error:
                with error:
                    return _answer(error.code, error.headers, error.read(MOST_ANSWER_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{_origin(url)} does not answer: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What an error of urllib says in words: `Connection refused`, `timed out`."""
    cause = getattr(error, "reason", None) or error
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__


def _opener() -> Any:
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
            return None

    return urllib.request.build_opener(NoRedirect)


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)


def _origin(url: str) -> str:
    """The address without its path, which may hold a callback token."""
    return "/".join(url.split("/", 3)[:3])


def jittered(tries: int, *, base_seconds: float = 1.0, most_seconds: float = 60.0) -> float:
    """Returns how long to wait after `tries` failures: doubling from the base, with jitter, so that replicas do not return at once.

    After 1 failure 0.5 to 1 s, after 4 failures 4 to 8 s, never more than `most_seconds`.
    """
    span = min(most_seconds, base_seconds * 2.0 ** min(tries - 1, 30))
    return span / 2 + random.uniform(0, span / 2)


def encoded(body: object) -> bytes:
    """Returns a body as JSON bytes."""
    return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def unix_now() -> float:
    """Returns the seconds since 1970."""
    return time.time()
