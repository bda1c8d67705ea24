"""Services that register jobs: where a service is called, and the keys that calls to it and its reports are signed with."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import httpx

from templates_lib import calls
from templates_lib.base import Problem, RunContext, TemplateError
from templates_lib.call_notes import CallNotes
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.hosts import DEFAULT_PORTS, HOST, any_fits
from templates_lib.messages import say
from templates_lib.net import open_http
from templates_lib.own import Own

KEY_PREFIX = "whsec_"  # of a signing key as text (Standard Webhooks, "Signature scheme")
KEY_BYTES = 32  # Standard Webhooks asks for 24 to 64 bytes
MOST_KEYS = 2  # the current key, and the one before it while a service changes over

# No member is a destination of the secrets: the keys sign calls and are never sent.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "address": {
            "type": "string",
            "title": "Base address",
            "description": "Jobwright calls the addresses of the service's jobs below this address.",
            "format": "uri",
            "pattern": r"^https?://[^\s]+$",
            "maxLength": 500,
            "x-pattern-words": "an address that begins with http:// or https://",
            "x-placeholder": "https://email-service.example.com",
            "x-destination": False,
        },
        "hosts": {
            "type": "array",
            "title": "Hosts",
            "maxItems": 50,
            "uniqueItems": True,
            "description": "`host`, `host:port`, or `*.example.com`. Jobs can call only these hosts, and instances of the service on hosts in "
            "JOBWRIGHT_ALLOWED_HOSTS. Private addresses are allowed here. Leave empty to allow every public host and those in "
            "JOBWRIGHT_ALLOWED_HOSTS.",
            "items": HOST,
            "x-destination": False,
        },
        "plain": {
            "type": "boolean",
            "title": "Allow http:// too",
            "default": False,
            "description": "Without TLS, others on the network can read what is sent.",
            "x-destination": False,
        },
        "keys": {
            "type": "array",
            "title": "Signing keys",
            "maxItems": MOST_KEYS,
            "description": "Jobwright signs its calls with all keys and accepts reports that are signed with any of them. Rotate keys on the "
            "page of the service.",
            "x-destination": False,
            "items": {
                "type": "object",
                "title": "Signing key",
                "properties": {
                    "id": {"type": "string", "title": "Id", "pattern": r"^[A-Za-z0-9_-]{1,64}$"},
                    "secret": {"type": "string", "title": "Key", "minLength": 1, "maxLength": 200, "writeOnly": True},
                    "created_at": {"type": "string", "title": "Created", "format": "date-time"},
                },
                "required": ["id", "secret", "created_at"],
                "additionalProperties": False,
            },
        },
        "verify_certificate": {"type": "boolean", "title": "Check the server's certificate", "default": True, "x-destination": False},
        "templates": TEMPLATES,
    },
    "required": ["address"],
    "additionalProperties": False,
}


def new_key() -> str:
    """Returns a random signing key in the form of Standard Webhooks: `whsec_` and 32 bytes in base64."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def signing_keys(settings: Mapping[str, Any]) -> list[str]:
    """Returns the active signing keys in the clear, the newest first. The list is empty for a service that has none."""
    keys = sorted(settings.get("keys", ()), key=lambda key: str(key["created_at"]), reverse=True)
    return [str(key["secret"]) for key in keys]


def may_call(settings: Mapping[str, Any], address: str) -> bool:
    """Returns whether a run with this connection may call an address. Whether a private address is allowed is checked at the call."""
    try:
        url = httpx.URL(address)
        return _may_call(settings, url)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _may_call(settings: Mapping[str, Any], url: httpx.URL) -> bool:
    if url.scheme not in ({"http", "https"} if settings.get("plain") else {"https"}) or not url.host:
        return False
    hosts = settings.get("hosts") or ()
    return not hosts or any_fits(hosts, url.host, url.port or DEFAULT_PORTS[url.scheme])


class _Kept(httpx.Auth):
    """Refuses requests to hosts that the connection does not allow."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._name, self._settings = name, settings

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if not _may_call(self._settings, request.url):
            where = f"{request.url.scheme}://{request.url.netloc.decode()}"
            raise TemplateError(
                say("Connection {name!r} does not allow calls to {address}", name=self._name, address=where), permanent=True
            )
        yield request


def open_service(ctx: RunContext, name: str, *, timeout_seconds: float) -> tuple[httpx.Client, Mapping[str, Any]]:
    """Returns a client for calls to the service `name` of this run, and the settings of its connection in the clear.

    The client follows no redirects. It reaches private addresses only of hosts in the settings and in `ctx.allowed_hosts`. Where the
    connection lists hosts, it reaches no others but the instance that the run goes to, if that is in `ctx.allowed_hosts`. Raises
    TemplateError (permanent) if the connection was not granted; a call raises it for a host that the connection does not allow.
    """
    settings = ctx.connection(name, "service").settings
    return _client(name, _with_instance(settings, ctx), timeout_seconds, ctx.allowed_hosts, ctx.calls), settings


def _with_instance(settings: Mapping[str, Any], ctx: RunContext) -> Mapping[str, Any]:
    """Returns the settings with the host of the instance that the run goes to, if the operator allows it."""
    if ctx.route is None or not settings.get("hosts"):
        return settings
    url = httpx.URL(ctx.route.address)
    place = url.netloc.decode().lower()
    names = {url.host.lower(), f"{url.host.lower()}:{url.port or DEFAULT_PORTS[url.scheme]}"}
    return {**settings, "hosts": [*settings["hosts"], place]} if names & {host.lower() for host in ctx.allowed_hosts} else settings


def _client(
    name: str, settings: Mapping[str, Any], timeout_seconds: float, allowed_hosts: Iterable[str] = (), notes: CallNotes | None = None
) -> httpx.Client:
    client = open_http(
        allowed_hosts=allowed_hosts,
        allows=lambda host, port: any_fits(settings.get("hosts") or (), host, port),
        timeout_seconds=timeout_seconds,
        verify=settings.get("verify_certificate", True),
        redirects=0,
        notes=notes,
    )
    client.auth = _Kept(name, settings)
    return client


def key_problem(key: str) -> str | None:
    """Returns what is wrong with the text of a signing key; None if it can be used."""
    text = key.removeprefix(KEY_PREFIX)
    try:
        size = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        return say("must be text in base64, with or without {prefix} before it", prefix=KEY_PREFIX)
    return None if 24 <= size <= 64 else say("must have 24 to 64 bytes; it has {size}", size=size)


def problems_of(settings: Mapping[str, Any]) -> Iterable[Problem]:
    """Yields the problems that the schema does not find, in settings that satisfy it."""
    words = calls.address_problem(settings["address"])
    if words is None and not settings.get("plain") and settings["address"].startswith("http://"):
        words = say("begins with http://, which this connection does not allow. Allow http:// below, or enter an address with https://")
    if words is None and not may_call(settings, settings["address"]):
        words = say("must have one of the hosts of this connection")
    if words is not None:
        yield Problem("/address", words)
    for index, key in enumerate(settings.get("keys", ())):
        wrong = key_problem(key["secret"])
        if wrong is not None:
            yield Problem(f"/keys/{index}/secret", wrong)


def _place(settings: Mapping[str, Any]) -> str:
    return str(settings["address"])


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:  # noqa: ARG001 - the kind's signature
    with _client("", settings, seconds) as client:
        answer = client.head(settings["address"])
    return say("{host} answers with HTTP {status}.", host=httpx.URL(settings["address"]).host, status=answer.status_code)


KIND = ConnectionKind(
    type="service",
    name="Service with jobs",
    icon="server",
    description="A service that registers jobs, with the keys that sign the calls to it",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
    problems=lambda settings, own: problems_of(settings),
    reaches=may_call,
)
