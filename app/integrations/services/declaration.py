"""Reads what a service sends about its jobs. `docs/reference/service-protocol.md` describes it. All functions are pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from app.errors import FieldError
from app.labels import LABEL_PATTERN, LONGEST_LABEL, MOST_NEEDS
from app.validation import SchemaRefused, SchemaValidator
from app.validation.names import read_name, read_names
from app.validation.together import beside
from templates_lib import calls
from templates_lib.messages import say

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
NAME_WORDS = "1 to 100 letters, digits and . _ -, beginning with a letter or digit"
MOST_JOBS = 1000  # of one registration
LONGEST_ADDRESS = 500
PATH = "/api/jobs/{name}/execute"  # of a job whose declaration names no endpoint
MINUTE, DAY = 60, 86_400

_NAME: dict[str, Any] = {"type": "string", "pattern": NAME, "x-pattern-words": NAME_WORDS}
_ADDRESS: dict[str, Any] = {
    "type": "string",
    "maxLength": LONGEST_ADDRESS,
    "pattern": r"^https?://[^\s]+$",
    "x-pattern-words": "an address that begins with http:// or https://",
}
_LABEL: dict[str, Any] = {
    "type": "string",
    "maxLength": LONGEST_LABEL,
    "pattern": f"^{LABEL_PATTERN}$",
    "x-pattern-words": "a label of nodes, such as gpu or site=berlin",
}
_TEXT: dict[str, Any] = {"type": "string", "maxLength": 2000}
_LINE: dict[str, Any] = {"type": "string", "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f]*$", "x-pattern-words": "text of one line"}

JOB_MEMBERS: dict[str, Any] = {
    "name": _NAME,
    "displayName": _LINE,
    "description": _TEXT,
    "jobType": _LINE,
    "cronExpression": {"type": "string", "minLength": 1, "maxLength": 200},
    "intervalSeconds": {"type": "integer", "minimum": 1},
    "timezone": {"type": "string", "minLength": 1, "maxLength": 64},
    "enabled": {"type": "boolean"},
    "config": {"type": "object"},
    "configSchema": {"type": "object"},
    "timeoutSeconds": {"type": "integer", "minimum": 1},
    "heartbeatSeconds": {"type": "integer", "minimum": 5, "maximum": DAY},
    "onFailedItems": {"enum": ["fail", "warn", "succeed"]},
    "maxRetries": {"type": "integer", "minimum": 0, "maximum": 100},
    "retryDelaySeconds": {"type": "integer", "minimum": 0, "maximum": DAY},
    "tags": {"type": "array", "maxItems": 20, "items": {**_LINE, "minLength": 1, "maxLength": 50}},
    "priority": {"type": "integer", "minimum": 1, "maximum": 10},
    "group": {**_LINE, "maxLength": 100},
    "needs": {"type": "array", "maxItems": MOST_NEEDS, "uniqueItems": True, "items": _LABEL},
    "endpoint": {"type": "string", "minLength": 1, "maxLength": 2000},
}
SERVICE_NAME: dict[str, Any] = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
    "x-pattern-words": "1 to 80 letters, digits and . _ -, beginning with a letter or digit",
}
ADDRESS_MEMBERS: dict[str, Any] = {"serviceName": SERVICE_NAME, "serviceUrl": _ADDRESS, "service": SERVICE_NAME}
_MANIFEST_JOB: dict[str, Any] = {"type": "object", "properties": JOB_MEMBERS, "required": ["name"]}
REGISTRATION: dict[str, Any] = {
    "type": "object",
    "properties": {**JOB_MEMBERS, **ADDRESS_MEMBERS},
    "required": ["name"],
}
MANIFEST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "version": {**_LINE, "minLength": 1, "maxLength": 100},
        "displayName": _LINE,
        "address": _ADDRESS,
        "ttlSeconds": {"type": "integer", "minimum": 10, "maximum": DAY},
        "onStale": {"enum": ["continue", "pause"]},
        "jobs": {"type": "array", "maxItems": MOST_JOBS, "items": _MANIFEST_JOB},
    },
    "required": ["version", "jobs"],
}
HEARTBEAT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "instance": {**_LINE, "minLength": 1, "maxLength": 100},
        "version": {**_LINE, "maxLength": 100},
        "address": _ADDRESS,
        "state": {"enum": ["ready", "draining", "stopped"]},
        "jobs": {"type": "array", "maxItems": MOST_JOBS, "items": _NAME},
        "running": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
    },
    "required": ["instance"],
}
_JOBS, _REGISTRATIONS, HEARTBEATS = SchemaValidator(_MANIFEST_JOB), SchemaValidator(REGISTRATION), SchemaValidator(HEARTBEAT)
# Of a manifest without its jobs, which `read_manifest_job` reads one by one.
MANIFESTS = SchemaValidator({**MANIFEST, "properties": {**MANIFEST["properties"], "jobs": {"type": "array", "maxItems": MOST_JOBS}}})
SERVICE_NAMES = SchemaValidator(SERVICE_NAME)


# Where the errors of a job's definition belong in a declaration.
_POINTERS = {
    "/name": "/name",
    "/description": "/description",
    "/schedule/expression": "/cronExpression",
    "/schedule/interval_seconds": "/intervalSeconds",
    "/schedule/timezone": "/timezone",
    "/schedule": "/cronExpression",
    "/timeout_seconds": "/timeoutSeconds",
    "/retry_policy/max_retries": "/maxRetries",
    "/retry_policy/retry_delay_seconds": "/retryDelaySeconds",
    "/tags": "/tags",
    "/priority": "/priority",
    "/group": "/group",
    "/needs": "/needs",
    "/parameters/config_schema": "/configSchema",
    "/parameters/config": "/config",
    "/parameters/path": "/endpoint",
    "/parameters/on_failed_items": "/onFailedItems",
    "/parameters/heartbeat_seconds": "/heartbeatSeconds",
    "/parameters/job_name": "/name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One job as a service declares it. `address` is None where the declaration names none. `enabled` is None where it says nothing.
    `unknown` are the members that no release knows, for a warning."""

    service: str
    address: str | None
    address_at: str
    path: str
    name: str
    body: Mapping[str, Any]
    unknown: tuple[str, ...] = field(default=())

    @property
    def wants(self) -> bool:
        """Whether the declaration asks for the job to be enabled."""
        return self.body.get("enabled") is True


def unseen_in(body: Any, *members: str) -> list[FieldError]:
    """Returns an error for each of these members that has a character that is invisible or changes the direction of text."""
    return read_names(body, *members)[1]


def service_named_in(body: Any) -> str | None:
    """Returns the name of the service in one registration that nobody has checked yet; None if there is none."""
    if not isinstance(body, Mapping):
        return None
    name = body.get("serviceName", body.get("service"))
    return name if isinstance(name, str) else None


def read_registration(body: Any) -> tuple[Declaration | None, list[FieldError]]:
    """Returns what one registration declares, and its errors at pointers from its root. The first is None if there are errors."""
    errors = _REGISTRATIONS.errors(body)
    more = [] if not isinstance(body, Mapping) else [*_address_errors(body), *_job_errors(body)]
    errors = beside(errors, more)
    if errors:
        return None, errors
    address, path, at = body.get("serviceUrl"), _path(body), "/serviceUrl"
    absolute = _split(body.get("endpoint"))
    if address is None and absolute is not None:
        address, path, at = *absolute, "/endpoint"
    service = str(service_named_in(body))
    unknown = tuple(sorted(name for name in body if name not in JOB_MEMBERS and name not in ADDRESS_MEMBERS))
    return Declaration(
        service=service,
        address=address.rstrip("/") if address else None,
        address_at=at,
        path=path,
        name=body["name"],
        body=body,
        unknown=unknown,
    ), []


def read_manifest_job(service: str, body: Any) -> tuple[Declaration | None, list[FieldError]]:
    """Returns what one job of a manifest declares, and its errors as `read_registration` does."""
    errors = beside(_JOBS.errors(body), _job_errors(body) if isinstance(body, Mapping) else [])
    if not errors and _split(body.get("endpoint")) is not None:
        errors = [FieldError("/endpoint", "must be a path that begins with /")]
    if errors:
        return None, errors
    unknown = tuple(sorted(name for name in body if name not in JOB_MEMBERS and name not in ADDRESS_MEMBERS))
    return Declaration(service=service, address=None, address_at="", path=_path(body), name=body["name"], body=body, unknown=unknown), []


def digest_of(body: Any, *, may_enable: bool) -> str:
    """Returns a digest of a body: of JSON with sorted names, and of whether its `enabled` counts."""
    text = json.dumps([body, may_enable], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def schedule_of(body: Mapping[str, Any], timezone: str) -> dict[str, Any]:
    """Returns the schedule of a declaration, as the body of a job has it."""
    if "cronExpression" in body:
        return {"type": "cron", "expression": body["cronExpression"], "timezone": body.get("timezone", timezone)}
    if "intervalSeconds" in body:
        return {"type": "interval", "interval_seconds": body["intervalSeconds"], "timezone": body.get("timezone", timezone)}
    return {"type": "manual", "timezone": body.get("timezone", timezone)}


def parameters_of(item: Declaration) -> dict[str, Any]:
    """Returns the parameters of a declared job, as far as its declaration gives them."""
    return {
        "service": item.service,
        "path": item.path,
        "job_name": item.name,
        "config": item.body.get("config", {}),
        **{
            name: item.body[sent]
            for sent, name in (
                ("configSchema", "config_schema"),
                ("onFailedItems", "on_failed_items"),
                ("heartbeatSeconds", "heartbeat_seconds"),
            )
            if sent in item.body
        },
    }


def tags_of(body: Mapping[str, Any]) -> tuple[list[str], list[FieldError]]:
    """Returns the tags of a declaration in their normal spelling, and what is wrong with them and with its group."""
    tags, errors = list[str](), list[FieldError]()
    for index, sent in enumerate(body.get("tags", ())):
        text, problem = read_name(sent)
        tags.append(text)
        if problem or not text:
            errors.append(FieldError(f"/tags/{index}", problem or "must not be empty"))
    group, problem = read_name(body.get("group", ""))
    if problem or group != body.get("group", ""):
        errors.append(FieldError("/group", problem or "must not begin or end with a space"))
    return tags, errors


def repeated(bodies: Sequence[Any], prefixes: Sequence[str]) -> list[FieldError]:
    """Returns an error for each name that stands in a list twice."""
    seen, errors = set[str](), list[FieldError]()
    for prefix, body in zip(prefixes, bodies, strict=True):
        name = body.get("name") if isinstance(body, Mapping) else None
        if isinstance(name, str) and name in seen:
            errors.append(FieldError(f"{prefix}/name", "is listed twice"))
        elif isinstance(name, str):
            seen.add(name)
    return errors


def in_declaration(pointer: str) -> str:
    """Returns the place in a declaration that an error of the definition belongs to."""
    for own, sent in _POINTERS.items():
        if pointer == own or pointer.startswith(f"{own}/"):
            return sent + pointer.removeprefix(own) if own != "/schedule" else sent
    return "/name" if pointer.startswith("/parameters") else pointer


def _path(body: Mapping[str, Any]) -> str:
    endpoint = body.get("endpoint")
    if endpoint is None:
        return PATH.format(name=body["name"])
    absolute = _split(endpoint)
    return absolute[1] if absolute is not None else str(endpoint)


def _split(endpoint: Any) -> tuple[str, str] | None:
    """Returns the base address and the path of an endpoint that is a whole address; None for a path."""
    if not isinstance(endpoint, str) or not endpoint.startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{query}"


def _address_errors(body: Mapping[str, Any]) -> Iterator[FieldError]:
    with_url, with_endpoint = body.get("serviceName"), body.get("service")  # the names of both address forms
    if with_url is None and with_endpoint is None:
        yield FieldError("/serviceName", "is required")
    if isinstance(with_url, str) and isinstance(with_endpoint, str) and with_url != with_endpoint:
        yield FieldError("/service", say("must be the same as serviceName, which is {name!r}", name=with_url))
    address = body.get("serviceUrl")
    words = calls.address_problem(address) if isinstance(address, str) and address.startswith(("http://", "https://")) else None
    if words is not None:
        yield FieldError("/serviceUrl", words)


def _job_errors(body: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yields the errors of one job that its schema does not find."""
    yield from unseen_in(body, "displayName", "jobType")
    if "cronExpression" in body and "intervalSeconds" in body:
        yield FieldError("/intervalSeconds", "must not stand beside cronExpression: a job has one schedule")
    endpoint = body.get("endpoint")
    if isinstance(endpoint, str) and not endpoint.startswith(("/", "http://", "https://")):
        yield FieldError("/endpoint", "must be a path that begins with /")
    elif isinstance(endpoint, str) and (
        any(char.isspace() for char in endpoint) or not endpoint.isprintable() or endpoint.startswith("//")
    ):
        yield FieldError("/endpoint", "must be a path without spaces that begins with one /")
    elif isinstance(endpoint, str) and endpoint.startswith("http"):
        words = calls.address_problem(endpoint)
        if words is not None:
            yield FieldError("/endpoint", words)
    yield from _config_errors(body)


def _config_errors(body: Mapping[str, Any]) -> Iterator[FieldError]:
    if "configSchema" not in body:
        return
    try:
        validator = SchemaValidator(body["configSchema"])
    except SchemaRefused as refused:
        yield FieldError("/configSchema", str(refused))
        return
    yield from validator.errors(body.get("config", {}), prefix="/config")
