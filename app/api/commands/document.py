"""The AsyncAPI 3.0 document: what the bus takes and sends. It is made of the catalogues of commands and events, and shares the schemas of
the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.api.commands.catalogue import COMMANDS, Command
from app.integrations.nats.catalogue import KINDS, EventKind
from app.integrations.nats.cloud_events import TYPE_PREFIX
from app.integrations.nats.messages import COMMANDS as COMMAND_PART
from app.integrations.nats.messages import STATUS, events_subject, stream_name

VERSION = "1"  # of the interface, as that of REST
SCHEMAS = "#/components/schemas/"
DESCRIPTION = (
    "Jobwright takes commands as requests over NATS and answers each as REST does: with the same bodies, rights, limits and problem "
    "documents. It publishes events of executions and jobs as CloudEvents to a JetStream stream: at least once, each with its id as "
    "`Nats-Msg-Id`, and those of one execution in their order."
)
_REPLIES = "replies"
_STATUS = {"type": "string", "description": "The status code of HTTP, such as 201"}


def asyncapi_document(openapi: Mapping[str, Any], *, prefix: str) -> dict[str, Any]:
    """Returns the document. `openapi` is that of REST; `prefix` is the beginning of all subjects."""
    used = (
        {command.answer for command in COMMANDS.values()} | {command.body for command in COMMANDS.values() if command.body} | {"ProblemOut"}
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Jobwright on the bus",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            **{f"{COMMAND_PART}.{name}": _command_channel(command, prefix) for name, command in COMMANDS.items()},
            _REPLIES: _replies_channel(used),
            **{kind.name: _event_channel(kind, prefix) for kind in KINDS},
        },
        "operations": {
            **{f"{name}Command": _command_operation(command) for name, command in COMMANDS.items()},
            **{_camel(f"send.{kind.name}"): _event_operation(kind) for kind in KINDS},
        },
        "components": {
            "messages": {
                **{f"{name}Command": _command_message(command, openapi) for name, command in COMMANDS.items()},
                **{name: _answer_message(name) for name in sorted(used - {command.body for command in COMMANDS.values()})},
                **{_camel(kind.name): _event_message(kind) for kind in KINDS},
            },
            "schemas": _closure(openapi["components"]["schemas"], used),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "The token of an account"}},
        },
    }


def _command_channel(command: Command, prefix: str) -> dict[str, Any]:
    name = f"{command.name}Command"
    return {
        "address": f"{prefix}.{COMMAND_PART}.{command.name}",
        "title": command.words,
        "description": f"{command.words}. It does what `{command.method} {command.path}` of REST does.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _command_operation(command: Command) -> dict[str, Any]:
    channel = f"#/channels/{COMMAND_PART}.{command.name}"
    name = f"{command.name}Command"
    answers = [command.answer, "ProblemOut"]
    return {
        "action": "receive",
        "title": command.words,
        "summary": command.words,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"}],
        "security": [{"$ref": "#/components/securitySchemes/token"}],
        "reply": {
            "address": {"location": "$message.header#/reply", "description": "The reply subject of the request"},
            "channel": {"$ref": f"#/channels/{_REPLIES}"},
            "messages": [{"$ref": f"#/channels/{_REPLIES}/messages/{answer}"} for answer in answers],
        },
    }


def _command_message(command: Command, openapi: Mapping[str, Any]) -> dict[str, Any]:
    schema = command.schema()
    members = dict(schema["properties"])
    if command.body:
        members["body"] = {"$ref": f"{SCHEMAS}{command.body}"}
    if command.query:
        members["query"] = _query_schema(openapi["paths"][command.path][command.method.lower()]["parameters"])
    return {
        "name": command.name,
        "title": command.words,
        "summary": command.words,
        "headers": {
            "type": "object",
            "properties": {
                "Authorization": {"type": "string", "description": "`Bearer` and the token, if the message has none"},
                "X-Request-Id": {"type": "string", "description": "An id that the log, the audit trail and the answer have, too"},
            },
        },
        "payload": {**schema, "properties": members},
    }


def _query_schema(parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    members = {
        parameter["name"]: {**parameter["schema"], **({"description": parameter["description"]} if "description" in parameter else {})}
        for parameter in parameters
        if parameter.get("in") == "query"
    }
    return {"type": "object", "properties": members, "additionalProperties": False}


def _replies_channel(used: Iterable[str]) -> dict[str, Any]:
    answers = sorted({command.answer for command in COMMANDS.values()} | {"ProblemOut"} & set(used))
    return {
        "title": "Answers",
        "description": "The subject to which the request wants its answer",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in answers},
    }


def _answer_message(name: str) -> dict[str, Any]:
    is_problem = name == "ProblemOut"
    headers: dict[str, Any] = {STATUS: _STATUS}
    if is_problem:
        headers |= {
            "Nats-Service-Error-Code": {"type": "string", "description": "The same as Jobwright-Status"},
            "Nats-Service-Error": {"type": "string", "description": "The title of the problem"},
        }
    return {
        "name": name,
        "title": "A problem" if is_problem else f"The answer {name}",
        "contentType": "application/problem+json" if is_problem else "application/json",
        "headers": {"type": "object", "properties": headers, "required": [STATUS]},
        "payload": {"$ref": f"{SCHEMAS}{name}"},
    }


def _event_channel(kind: EventKind, prefix: str) -> dict[str, Any]:
    name = _camel(kind.name)
    return {
        "address": events_subject(prefix, kind.name),
        "title": kind.words,
        "description": f"{kind.words} Stored in the stream {stream_name(prefix)}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _event_operation(kind: EventKind) -> dict[str, Any]:
    return {
        "action": "send",
        "title": kind.words,
        "summary": kind.words,
        "channel": {"$ref": f"#/channels/{kind.name}"},
        "messages": [{"$ref": f"#/channels/{kind.name}/messages/{_camel(kind.name)}"}],
        "security": [],
    }


def _event_message(kind: EventKind) -> dict[str, Any]:
    members = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "The same however often the event is sent"},
        "source": {"type": "string", "format": "uri-reference", "description": "JOBWRIGHT_PUBLIC_URL, if it is set"},
        "type": {"const": f"{TYPE_PREFIX}{kind.name}"},
        "subject": {"type": "string", "description": "The id of the execution or of the job"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": dict(kind.data),
    }
    return {
        "name": kind.name,
        "title": kind.words,
        "summary": kind.words,
        "contentType": "application/cloudevents+json",
        "headers": {
            "type": "object",
            "required": ["Nats-Msg-Id"],
            "properties": {"Nats-Msg-Id": {"type": "string", "description": "The id of the event"}},
        },
        "payload": {"type": "object", "required": list(members), "properties": members},
    }


def _camel(name: str) -> str:
    """`execution.failed` as `executionFailed`."""
    first, *others = name.replace("_", ".").split(".")
    return first + "".join(part.capitalize() for part in others)


def _closure(schemas: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The schemas with these names, and all that they refer to."""
    wanted: dict[str, Any] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted[name] = _plain(schemas[name])
            waiting += _references(schemas[name])
    return dict(sorted(wanted.items()))


def _plain(schema: Any) -> Any:
    """A schema without what stands beside its references: AsyncAPI knows nothing there."""
    if isinstance(schema, Mapping):
        return {"$ref": schema["$ref"]} if "$ref" in schema else {name: _plain(value) for name, value in schema.items()}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith(SCHEMAS):
            yield reference.removeprefix(SCHEMAS)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
