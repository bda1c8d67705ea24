"""A NATS server that jobs send commands through; subjects by allow-list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.kind import TEMPLATES, ConnectionKind
from templates_lib.own import Own

if TYPE_CHECKING:
    from nats.aio.client import Client

CONNECT_SECONDS = 10

# What is published to has no wildcard; what is allowed may: `*` is one token, `>` all that follow (docs.nats.io, subjects).
SUBJECT = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
_ALLOWED = r"^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>)$"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "servers": {
            "type": "array",
            "title": "Servers",
            "minItems": 1,
            "maxItems": 20,
            "uniqueItems": True,
            "items": {
                "type": "string",
                "title": "Server",
                "maxLength": 300,
                "pattern": r"^(nats|tls|ws|wss)://[^\s@/]+(:[0-9]+)?$",
                "x-pattern-words": "an address such as nats://host:4222, without a user",
                "x-placeholder": "nats://nats.example.com:4222",
            },
        },
        "subjects": {
            "x-destination": False,
            "type": "array",
            "title": "Subjects",
            "minItems": 1,
            "maxItems": 200,
            "uniqueItems": True,
            "description": "What jobs may send to: `orders.*.cancel`, `reports.>`.",
            "items": {
                "type": "string",
                "title": "Subject",
                "maxLength": 250,
                "pattern": _ALLOWED,
                "x-pattern-words": "a subject, where * stands for one part and > for all that follow",
            },
        },
        "username": {"x-destination": False, "type": "string", "title": "User name", "maxLength": 320},
        "password": {"type": "string", "title": "Password", "maxLength": 1000, "writeOnly": True},
        "token": {"type": "string", "title": "Token", "maxLength": 4000, "writeOnly": True},
        "templates": TEMPLATES,
    },
    "required": ["servers", "subjects"],
    "dependentRequired": {"password": ["username"], "username": ["password"]},
    "additionalProperties": False,
}


def may_send(settings: Mapping[str, Any], subject: str) -> bool:
    """Whether jobs with this connection may send to a subject."""
    return any(_fits(pattern.split("."), subject.split(".")) for pattern in settings["subjects"])


def _fits(pattern: list[str], subject: list[str]) -> bool:
    if pattern[-1] == ">":
        return len(subject) >= len(pattern) and all(one in {"*", other} for one, other in zip(pattern[:-1], subject, strict=False))
    return len(subject) == len(pattern) and all(one in {"*", other} for one, other in zip(pattern, subject, strict=True))


@asynccontextmanager
async def open_settings(settings: Mapping[str, Any]) -> AsyncIterator[Client]:
    """A connected client, drained at the end."""
    from nats.aio.client import Client as Made  # noqa: PLC0415 - the service that lists this kind does without it

    options = {
        name: settings[given] for given, name in (("username", "user"), ("password", "password"), ("token", "token")) if settings.get(given)
    }
    failures: list[Exception] = []

    async def note(error: Exception) -> None:
        failures.append(error)

    client = Made()
    try:
        connecting = client.connect(
            servers=list(settings["servers"]),
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=1,
            error_cb=note,
            name="jobwright-job",
            **options,
        )
        await asyncio.wait_for(connecting, CONNECT_SECONDS * 2)
        try:
            yield client
        except Exception as error:
            refused = next((one for one in failures if _is_refusal(one)), None)
            if refused is not None:
                raise refused from error  # why nobody answers
            raise
        # The client writes a ping at once and a message a moment later, so that the first answer may come before what it is to answer.
        for _ in range(2):
            await client.flush(CONNECT_SECONDS)
        if failures:
            raise failures[0]  # what the server refused: it says so beside what was sent
    finally:
        await client.close()


@asynccontextmanager
async def open_nats(ctx: RunContext, name: str) -> AsyncIterator[Client]:
    """The client behind connection `name` of this run. Raises TemplateError, permanent where the server refuses who calls or the subject."""
    from nats import errors  # noqa: PLC0415 - as above

    try:
        async with open_settings(ctx.connection(name, "nats").settings) as client:
            yield client
    except errors.NoServersError as error:
        raise TemplateError(f"Connection {name!r}: no server answers") from error
    except (errors.Error, OSError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        raise TemplateError(f"Connection {name!r}: {words[:300]}", permanent=_is_refusal(error)) from error


def _is_refusal(error: Exception) -> bool:
    return any(one in str(error).lower() for one in ("authorization", "permissions", "authentication"))


def _probe(settings: Mapping[str, Any], own: Own) -> str:  # noqa: ARG001 - the kind's signature
    async def look() -> str:
        async with open_settings(settings) as client:
            version = client.connected_server_version
            return f"NATS {version.major}.{version.minor}.{version.patch} answers"

    return asyncio.run(look())


def _explore(settings: Mapping[str, Any], what: str, inside: str, own: Own) -> list[str]:  # noqa: ARG001 - the kind's signature
    return [one for one in settings["subjects"] if "*" not in one and ">" not in one]


KIND = ConnectionKind(
    type="nats",
    name="NATS",
    icon="send",
    description="A message bus that jobs send commands through",
    settings_schema=SCHEMA,
    probe=_probe,
    explore=_explore,
    reaches=may_send,
)
