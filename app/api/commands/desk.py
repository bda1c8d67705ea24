"""Answers commands from the bus. Each becomes a request to REST in this process, so that rights, limits, audit trail and problem documents
are the same."""

from __future__ import annotations

import functools
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from flask import Flask, Response
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from app.api.auth import coming_by
from app.api.body import MAX_BODY_BYTES, MAX_DEPTH
from app.api.commands.catalogue import COMMANDS, JOBS, Command
from app.api.problems import problem_of
from app.correlation import HEADER as REQUEST_ID
from app.errors import NotFound as NoSuchRecord
from app.errors import ValidationFailed
from app.events import get_logger
from app.integrations.nats.messages import STATUS, Reply, failure
from app.traceparent import HEADER as TRACEPARENT
from app.validation import SchemaValidator, strict_json

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = get_logger(__name__)

PASSED_ON = ("Content-Type", "ETag", "Location", "Retry-After", REQUEST_ID)  # headers of the answer of REST
TAKEN_OVER = ("Authorization", "Idempotency-Key", REQUEST_ID, TRACEPARENT)  # headers of the command
SECONDS = 60.0
LONGEST_NAME = 100  # characters of the name of a command, which may be anything


class CommandDesk:
    """`make_app` makes the application of REST; it is called at the first command."""

    def __init__(self, make_app: Callable[[], Flask]) -> None:
        self._make_app, self._making = make_app, threading.Lock()
        self._validators = {name: SchemaValidator(command.schema(), stored=False) for name, command in COMMANDS.items()}

    def answer(self, name: str, data: bytes, headers: Mapping[str, str]) -> Reply:
        """Carries out the command `name` and returns the answer of REST, or a problem document. Never raises."""
        try:
            return self._answer(name, data, headers)
        except Exception as error:
            if not isinstance(error, BadRequest | NotFound | RequestEntityTooLarge | ValidationFailed | NoSuchRecord):
                log.exception("bus.command_failed", command=name[:LONGEST_NAME])
            with self._app.test_request_context(f"/{quote(name[:LONGEST_NAME], safe='')}"):
                return _reply_of(problem_of(error))

    def _answer(self, name: str, data: bytes, headers: Mapping[str, str]) -> Reply:
        command = COMMANDS.get(name)
        if command is None:
            raise NotFound(f"No command has this name. The commands are {', '.join(COMMANDS)}.")
        message = self._message(command, data)
        given = _request_headers(message, headers)
        with httpx.Client(transport=httpx.WSGITransport(self._rest, remote_addr=""), base_url="http://localhost", timeout=SECONDS) as rest:
            path = command.path
            if command.names == "execution":
                path = path.format(execution=quote(message["execution"], safe=""))
            elif command.names == "job":
                job_id, refusal = _job_id(rest, message["job"], given)
                if refusal is not None:
                    return _reply(refusal.status_code, refusal.headers, refusal.content)
                path = path.format(job=job_id)
            body = {"json": message["body"]} if "body" in message else {}
            answer = rest.request(command.method, path, params=_query(message), headers=given, **body)
        return _reply(answer.status_code, answer.headers, answer.content)

    def _message(self, command: Command, data: bytes) -> dict[str, Any]:
        if len(data) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge(f"The message has {len(data):,} bytes. It may have {MAX_BODY_BYTES:,} at most.")
        try:
            message = strict_json.parse(data.decode("utf-8") or "{}", deepest=MAX_DEPTH)
        except UnicodeDecodeError as error:
            raise BadRequest("The message is not valid JSON: it is not text in UTF-8") from error
        except ValueError as error:
            raise BadRequest(f"The message is not valid JSON: {error}") from error
        errors = self._validators[command.name].errors(message)
        if errors:
            raise ValidationFailed(errors)
        return dict(message)

    @property
    def _app(self) -> Flask:
        with self._making:  # several commands may come first at once
            return self._made

    @functools.cached_property
    def _made(self) -> Flask:
        return self._make_app()

    @property
    def _rest(self) -> WSGIApplication:
        return coming_by("nats", self._app)


def _job_id(rest: httpx.Client, named: str, headers: Mapping[str, str]) -> tuple[str, httpx.Response | None]:
    """Returns the id of the job that a command names by id or name, and the answer of REST if it refuses to tell. Raises NoSuchRecord."""
    try:
        return str(uuid.UUID(named)), None
    except ValueError:
        answer = rest.get(JOBS, params={"name": named, "limit": 1}, headers=dict(headers))
    if not answer.is_success:
        return "", answer
    jobs = answer.json()["jobs"]
    if not jobs:
        raise NoSuchRecord("job", named)
    return str(jobs[0]["id"]), None


def _request_headers(message: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of the request: what the message says comes before what its headers say. Raises BadRequest for what no header can
    have."""
    given = {name: value for wanted in TAKEN_OVER for name, value in headers.items() if name.lower() == wanted.lower()}
    if "token" in message:
        given = {name: value for name, value in given.items() if name.lower() != "authorization"}
        given["Authorization"] = f"Bearer {message['token']}"
    if "idempotency_key" in message:
        given = {name: value for name, value in given.items() if name.lower() != "idempotency-key"}
        given["Idempotency-Key"] = message["idempotency_key"]
    if "version" in message:
        given["If-Match"] = f'"{message["version"]}"'
    for name, value in given.items():
        if not (value.isascii() and value.isprintable()):
            raise BadRequest(f"{name} may have printable ASCII characters only")
    return given


def _query(message: Mapping[str, Any]) -> dict[str, str]:
    query: Mapping[str, Any] = message.get("query", {})
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()}


def _reply_of(response: Response) -> Reply:
    return _reply(response.status_code, dict(response.headers), response.get_data())


def _reply(status: int, headers: Mapping[str, str], data: bytes) -> Reply:
    """The answer for the bus."""
    passed = {name: headers[name] for name in PASSED_ON if name in headers}
    if status >= 400:
        return failure(status, _title(data), data, passed)
    return Reply(data=data, headers={STATUS: str(status), **passed})


def _title(data: bytes) -> str:
    try:
        problem = json.loads(data)
    except ValueError:
        return ""
    return str(problem.get("title", "")) if isinstance(problem, dict) else ""
