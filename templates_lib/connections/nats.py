"""A NATS server that jobs send commands through. The connection lists the subjects that jobs may send to.

The NATS client takes long to import: functions import it when they need it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.messages import say
from templates_lib.own import Own
from templates_lib.subjects import PATTERN, allows, fits

if TYPE_CHECKING:
    from nats.aio.client import Client as Client
    from nats.aio.msg import Msg
    from nats.js.api import PubAck

CONNECT_SECONDS = 10.0
_PORTS = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}

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
            "description": "Subjects that jobs may send to, such as `orders.*.cancel` or `reports.>`.",
            "items": {
                "type": "string",
                "title": "NATS subject",
                "maxLength": 250,
                "pattern": PATTERN,
                "x-pattern-words": "a subject, where * stands for one part and > for all that follow",
            },
        },
        "schemas": {
            "x-destination": False,
            "type": "array",
            "title": "Schemas of payloads",
            "maxItems": 200,
            "x-add-text": "Add schema",
            "description": "What the payload of a message must be. The first entry that fits the subject counts. A subject without an entry takes any payload.",
            "items": {
                "type": "object",
                "title": "Schema",
                "required": ["subject", "schema"],
                "additionalProperties": False,
                "properties": {
                    "subject": {
                        "type": "string",
                        "title": "NATS subject",
                        "maxLength": 250,
                        "pattern": PATTERN,
                        "x-pattern-words": "a subject, where * stands for one part and > for all that follow",
                        "x-placeholder": "orders.*.cancel",
                    },
                    "schema": {
                        "type": "object",
                        "title": "JSON Schema",
                        "x-widget": "json",
                        "x-placeholder": '{"type": "object", "required": ["orderId"]}',
                    },
                },
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


def warm() -> None:
    """Imports the client. The parent of the job processes calls this once, so that its children do not import it again."""
    for module in ("nats", "nats.js", "templates_lib.connections.nats_client"):
        importlib.import_module(module)


def may_send(settings: Mapping[str, Any], subject: str) -> bool:
    """Returns whether jobs with this connection may send to the subject."""
    return allows(settings["subjects"], subject)


def schema_for(settings: Mapping[str, Any], subject: str) -> Any:
    """Returns the JSON Schema of the payload of a message to the subject; None if any payload will do."""
    return next((rule["schema"] for rule in settings.get("schemas", ()) if fits(rule["subject"], subject)), None)


def _schemas(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f"/schemas/{number}/schema", rule["schema"]) for number, rule in enumerate(settings.get("schemas", ()))]


@asynccontextmanager
async def open_settings(settings: Mapping[str, Any], *, connect_seconds: float = CONNECT_SECONDS) -> AsyncIterator[Client]:
    """Yields a connected client, which is closed at the end. Raises the error of a server that refuses the user or the subject."""
    from templates_lib.connections.nats_client import NatsClient  # noqa: PLC0415 - the service lists this kind without the client

    options = {
        name: settings[given] for given, name in (("username", "user"), ("password", "password"), ("token", "token")) if settings.get(given)
    }
    reported: list[Exception] = []

    async def note(error: Exception) -> None:
        reported.append(error)

    client = NatsClient()
    try:
        connecting = client.connect(
            servers=list(settings["servers"]),
            allow_reconnect=False,
            connect_timeout=connect_seconds,  # type: ignore[arg-type]  # it also takes a fraction
            max_reconnect_attempts=1,
            error_cb=note,
            name="jobwright-job",
            **options,
        )
        try:
            await asyncio.wait_for(connecting, connect_seconds * 2)
        except Exception as error:
            if reported:
                raise error from reported[-1]  # the library only says that no server is left
            raise
        try:
            yield client
        except Exception as error:
            refusal = next((failure for failure in reported if _is_refusal(failure)), None)
            if refusal is not None:
                raise refusal from error  # the reason why nobody answers
            raise
        # The client writes a ping at once but a message a moment later, so the first answer may come before the message was sent.
        for _ in range(2):
            await client.flush(round(connect_seconds))
        if reported:
            raise reported[0]  # the server reports a refused message separately
    finally:
        await client.close()


@asynccontextmanager
async def open_nats(ctx: RunContext, name: str) -> AsyncIterator[Client]:
    """Yields the client of the connection `name` of this run.

    Raises TemplateError; it is permanent if the server refuses the user or the subject.
    """
    from nats import errors  # noqa: PLC0415 - see the head of this module

    settings = ctx.connection(name, "nats").settings
    try:
        async with open_settings(settings) as client:
            yield client
    except (errors.Error, OSError, TimeoutError) as error:
        words = failures.sentence(error, _place(settings), CONNECT_SECONDS)
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=words), permanent=_is_refusal(error)) from error


async def store(client: Client, subject: str, data: bytes, headers: dict[str, str], *, message_id: str) -> PubAck:
    """Publishes a message to the JetStream stream of the subject, and returns the stream's confirmation.

    The server drops a second message with the same id within its window, so a retry stores nothing twice. Raises TemplateError, permanent,
    if no stream takes the subject.
    """
    from nats.js import errors  # noqa: PLC0415 - see the head of this module

    try:
        return await client.jetstream().publish(subject, data, headers={**headers, "Nats-Msg-Id": message_id})
    except errors.NoStreamResponseError as error:
        raise TemplateError(say("No stream takes {subject!r}", subject=subject), permanent=True) from error


async def request(client: Client, subject: str, data: bytes, headers: dict[str, str], *, timeout_seconds: float) -> Msg:
    """Sends a request and returns its answer. Raises TemplateError if nobody answers, or not in time."""
    from nats import errors  # noqa: PLC0415 - see the head of this module

    try:
        return await client.request(subject, data, timeout=timeout_seconds, headers=headers)
    except errors.NoRespondersError as error:
        raise TemplateError(say("Nobody answers on {subject!r}", subject=subject)) from error
    except errors.TimeoutError as error:
        raise TemplateError(say("No answer within {seconds:g} s", seconds=timeout_seconds)) from error


def _is_refusal(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("authorization", "permissions", "authentication"))


def _addresses(settings: Mapping[str, Any]) -> list[tuple[str, int]]:
    parts = [urlsplit(server) for server in settings["servers"]]
    return [(part.hostname or "", part.port or _PORTS[part.scheme]) for part in parts]


def _place(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{host}:{port}" for host, port in _addresses(settings))


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:  # noqa: ARG001 - the kind's signature
    failures.check_listening(_addresses(settings), seconds)

    async def connect() -> str:
        async with open_settings(settings, connect_seconds=seconds) as client:
            version = client.connected_server_version
            return say("NATS {version} answers.", version=f"{version.major}.{version.minor}.{version.patch}")

    return asyncio.run(connect())


def _explore(settings: Mapping[str, Any], what: str, inside: str, own: Own) -> list[str]:  # noqa: ARG001 - the kind's signature
    return [subject for subject in settings["subjects"] if "*" not in subject and ">" not in subject]


KIND = ConnectionKind(
    type="nats",
    name="NATS",
    icon="send",
    description="A message bus that jobs send commands through",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
    explore=_explore,
    reaches=may_send,
    schemas=_schemas,
    schema_for=schema_for,
)
