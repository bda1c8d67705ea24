"""HTTP servers that jobs call: the allowed hosts, and the credential that proves the caller's identity."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

import httpx

from templates_lib import headers
from templates_lib.base import Problem, RunContext, TemplateError
from templates_lib.call_notes import CallNotes
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.hosts import DEFAULT_PORTS, HOST, any_fits, fits
from templates_lib.messages import say
from templates_lib.net import open_http
from templates_lib.own import Own

_ONE_LINE = r"^[\x20-\x7e]*$"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "hosts": {
            "type": "array",
            "title": "Hosts",
            "minItems": 1,
            "maxItems": 50,
            "uniqueItems": True,
            "description": "`host`, `host:port`, or `*.example.com`. Jobs can call these hosts and no others; private addresses are allowed here.",
            "items": HOST,
        },
        "plain": {
            "type": "boolean",
            "title": "Allow http:// too",
            "default": False,
            "description": "Without TLS, others on the network can read what is sent.",
        },
        "proof": {
            "title": "Authentication",
            "default": "none",
            "oneOf": [
                {"const": "none", "title": "None"},
                {"const": "bearer", "title": "A token (Authorization: Bearer)"},
                {"const": "basic", "title": "User name and password (Authorization: Basic)"},
                {"const": "header", "title": "Custom header"},
            ],
        },
        "username": {
            "x-destination": False,
            "type": "string",
            "title": "User name",
            "maxLength": 320,
            "pattern": r"^[^:\x00-\x1f]*$",
            "x-visible-if": {"proof": ["basic"]},
        },
        "header": {
            "type": "string",
            "title": "Header",
            "maxLength": 100,
            "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            "x-placeholder": "X-Api-Key",
            "x-visible-if": {"proof": ["header"]},
        },
        "secret": {
            "type": "string",
            "title": "Token, password or header value",
            "maxLength": 4000,
            "pattern": _ONE_LINE,
            "writeOnly": True,
            "x-pattern-words": "text of one line",
            "x-visible-if": {"proof": ["bearer", "basic", "header"]},
        },
        "verify_certificate": {"type": "boolean", "title": "Check the server's certificate", "default": True},
        "templates": TEMPLATES,
    },
    "required": ["hosts", "proof"],
    "allOf": [
        {"if": {"properties": {"proof": {"const": "bearer"}}}, "then": {"required": ["secret"]}},
        {"if": {"properties": {"proof": {"const": "basic"}}}, "then": {"required": ["username", "secret"]}},
        {"if": {"properties": {"proof": {"const": "header"}}}, "then": {"required": ["header", "secret"]}},
    ],
    "additionalProperties": False,
}


def may_call(settings: Mapping[str, Any], address: str) -> bool:
    """Returns whether jobs with this connection may call an address."""
    try:
        return _reaches(settings, httpx.URL(address))
    except (httpx.InvalidURL, UnicodeError):
        return False


def _reaches(settings: Mapping[str, Any], url: httpx.URL) -> bool:
    if url.scheme not in ({"http", "https"} if settings.get("plain") else {"https"}):
        return False
    default = DEFAULT_PORTS[url.scheme]
    return any(fits(allowed, url.host, url.port or default, default) for allowed in settings["hosts"])


class Proof(httpx.Auth):
    """Adds the credential to requests to the connection's hosts. Refuses all other requests, including redirected ones."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._name, self._settings = name, settings

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not _reaches(self._settings, request.url):
            raise TemplateError(
                f"Connection {self._name!r} does not reach {request.url.scheme}://{request.url.netloc.decode()}", permanent=True
            )
        secret = self._settings.get("secret", "")
        match self._settings["proof"]:
            case "bearer":
                request.headers["Authorization"] = f"Bearer {secret}"
            case "basic":
                yield from httpx.BasicAuth(self._settings["username"], secret).auth_flow(request)
                return
            case "header":
                request.headers[self._settings["header"]] = secret
        yield request


def open_connection(ctx: RunContext, name: str | None, *, timeout_seconds: float, verify: bool = True) -> httpx.Client:
    """Returns a client for calls with the connection `name` of this run. If `name` is None, the client may call any public host and the
    hosts in `ctx.allowed_hosts`.

    The client follows no redirects. Raises TemplateError (permanent) if the connection was not granted. A call raises it if the connection
    does not allow the address.
    """
    if name is None:
        return open_http(allowed_hosts=ctx.allowed_hosts, timeout_seconds=timeout_seconds, verify=verify, redirects=0, notes=ctx.calls)
    return _client(name, ctx.connection(name, "http").settings, timeout_seconds, ctx.calls)


def _client(name: str, settings: Mapping[str, Any], timeout_seconds: float, notes: CallNotes | None = None) -> httpx.Client:
    client = open_http(
        allowed_hosts=(),
        allows=lambda host, port: any_fits(settings["hosts"], host, port),  # a named host may have a private address
        timeout_seconds=timeout_seconds,
        verify=settings.get("verify_certificate", True),
        redirects=0,
        notes=notes,
    )
    client.auth = Proof(name, settings)
    return client


def _problems(settings: Mapping[str, Any], own: Own) -> Iterable[Problem]:  # noqa: ARG001 - the kind's signature
    words = headers.name_problem(settings.get("header", "")) if settings["proof"] == "header" else None
    if words is not None:
        yield Problem("/header", words)


def _place(settings: Mapping[str, Any]) -> str:
    return next((str(host) for host in settings["hosts"] if not host.startswith("*.")), str(settings["hosts"][0]))


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:  # noqa: ARG001 - the kind's signature
    host = _place(settings)
    if host.startswith("*."):
        return say("All hosts are patterns, so there is no address to test.")
    scheme = "http" if settings.get("plain") else "https"
    with _client("", settings, seconds) as client:
        answer = client.head(f"{scheme}://{host}/")
    if answer.status_code in {401, 403}:
        words = say(
            "{host} refused the credential (HTTP {status}). Check the token, password or header.", host=host, status=answer.status_code
        )
        raise TemplateError(words, permanent=True)
    return say("{host} answers with HTTP {status}.", host=host, status=answer.status_code)


def _explore(settings: Mapping[str, Any], what: str, inside: str, own: Own) -> list[str]:  # noqa: ARG001 - the kind's signature
    scheme = "http" if settings.get("plain") else "https"
    return [f"{scheme}://{host}/" for host in settings["hosts"] if not host.startswith("*.")]


KIND = ConnectionKind(
    type="http",
    name="HTTP service",
    icon="globe",
    description="Hosts that jobs call, with their credentials",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
    problems=_problems,
    explore=_explore,
    reaches=may_call,
)
