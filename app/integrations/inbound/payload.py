"""The payload of a delivery: read, mapped into parameters, and shortened for people. All functions are pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from app.connections.inventory import Inventory
from app.errors import FieldError, ValidationFailed
from app.jobtemplates.entry import TemplateVersion
from app.validation import strict_json
from app.validation.dynamic import Known, Resolved, as_data, resolve
from app.validation.pointer import pointer
from app.validation.strict_json import JsonRefused
from templates_lib.messages import say

DEEPEST = 32  # levels of JSON
MOST_FIELDS = 1000  # of a form
LONGEST_EXCERPT = 1_000  # characters
LEAST_SECRET = 4  # characters of a secret that is looked for in a text
HIDDEN = "•••"
GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
FORM = "application/x-www-form-urlencoded"
_ANYWHERE = {"x-dynamic": True}  # expressions may stand anywhere in a mapping
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|(?:api|access|private|signing)[_-]?key|(?:^|[_-])(?:key|pin|pwd)$|authoriz|credential|signature|cookie",
    re.IGNORECASE,
)
_HIDDEN_HEADERS = re.compile(r"authorization|cookie|signature|forwarded|secret|token|key")
_PATH = re.compile(r"\bpayload((?:\.[\w$-]+)*)")

Path = tuple[str | int, ...]


def read_payload(body: bytes, content_type: str) -> Any:
    """Returns the value of a body: JSON, or the fields of a form. The field `payload` of a form may hold JSON, as GitHub sends it. An empty
    body is an empty object. Raises ValidationFailed."""
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        reason = say("is compressed; send it without Content-Encoding") if body.startswith(GZIP) else say("must be UTF-8 text")
        raise ValidationFailed([FieldError("", reason)]) from error
    if content_type == FORM and not text.lstrip().startswith(("{", "[")):
        try:
            fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError as error:
            raise ValidationFailed([FieldError("", say("must have at most {most:,} fields", most=MOST_FIELDS))]) from error
        return _parse(fields["payload"]) if set(fields) == {"payload"} else fields
    return _parse(text)


def _parse(text: str) -> Any:
    try:
        return strict_json.parse(text, deepest=DEEPEST)
    except json.JSONDecodeError as error:
        reason = say("is not valid JSON: {reason} at line {line}, column {column}", reason=error.msg, line=error.lineno, column=error.colno)
        raise ValidationFailed([FieldError("", reason)]) from error
    except JsonRefused as error:
        raise ValidationFailed([FieldError("", say("is not valid JSON: {reason}", reason=error))]) from error


def names_of(payload: Any, headers: Mapping[str, str], delivery_id: str) -> dict[str, Any]:
    """Returns what expressions of a mapping may name: the payload, the headers without those that prove something, the delivery."""
    shown = {name: value for name, value in headers.items() if not _HIDDEN_HEADERS.search(name)}
    return {"payload": payload, "headers": shown, "delivery": {"id": delivery_id}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What a mapping makes of a payload. `errors` are at pointers below `/parameters`; without any, `parameters` are whole. `secrets` are
    the texts and numbers of the payload that secret parameters hold, whether there are errors or not."""

    parameters: Mapping[str, Any]
    errors: tuple[FieldError, ...]
    secrets: frozenset[str]


def map_payload(
    mapping: Mapping[str, Any], names: Mapping[str, Any], entry: TemplateVersion, *, now: datetime, job_id: str, job_name: str
) -> Mapped:
    """Maps a payload to parameters. Values from the payload stay data: they are not read as expressions, references to secrets or
    operators."""
    known = Known(now=now, job_id=job_id, job_name=job_name, more=names)
    resolved = resolve(_ANYWHERE, dict(mapping), known, prefix="/parameters")
    schema = entry.parameters_schema
    return Mapped(
        parameters=as_data(schema, resolved.value),
        errors=(*resolved.errors, *_active_values(resolved)),
        secrets=frozenset(_secrets(schema, mapping, resolved.value, names["payload"])),
    )


def _secrets(schema: Any, mapping: Mapping[str, Any], resolved: Any, payload: Any) -> Iterator[str]:
    """Yields the values at secret places, and those that filters have made them from."""
    for site in Inventory.of(schema, resolved).secrets():
        yield from _leaves(site.value)
    for site in Inventory.of(schema, mapping).secrets():
        for match in _PATH.finditer(json.dumps(site.value, ensure_ascii=False)):
            yield from _leaves(_at(payload, match[1].split(".")[1:]))


def _at(value: Any, path: Iterable[str]) -> Any:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _leaves(value: Any) -> Iterator[str]:
    """Yields the texts and numbers in a value, numbers as JSON has them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield json.dumps(value, default=str)


def _active_values(resolved: Resolved) -> Iterator[FieldError]:
    """Yields an error for each value of the payload that holds a name which begins with a dollar sign."""
    for place, value in resolved.became.items():
        for path, name in _names(value, ()):
            if name.startswith("$"):
                yield FieldError(
                    place + pointer(path), say("must not hold the name {name!r}, because it comes from the payload", name=name)
                )
                break


def _names(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield (*path, name), str(name)
            yield from _names(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _names(item, (*path, index))


def mapping_errors(mapping: Any, entry: TemplateVersion, *, now: datetime) -> list[FieldError]:
    """Returns what is wrong with a mapping before any payload is known, at pointers below `/parameters`."""
    if not isinstance(mapping, Mapping):
        return []  # the schema says so
    known = Known(now=now, job_id="job", job_name="job", more={"payload": None, "headers": None, "delivery": None}, sample=True)
    errors = list(resolve(_ANYWHERE, dict(mapping), known, prefix="/parameters").errors)
    schema = entry.parameters_schema
    if schema.get("additionalProperties") is False:
        unknown = sorted(set(mapping) - set(schema.get("properties", {})))
        template = entry.name
        errors += [
            FieldError("/parameters" + pointer((name,)), say("is not a parameter of the template {template}", template=template))
            for name in unknown
        ]
    return errors


def excerpt(payload: Any, secrets: Iterable[str] = ()) -> str:
    """Returns the beginning of a payload as JSON. Values whose names sound like secrets are hidden, and so are `secrets` wherever they
    stand."""
    text = json.dumps(_without_secrets(payload), ensure_ascii=False, default=str)
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
    return text if len(text) <= LONGEST_EXCERPT else text[: LONGEST_EXCERPT - 1] + "…"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: HIDDEN if _SECRET_NAME.search(str(name)) else _without_secrets(item) for name, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def example_payload(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a payload with the values that a mapping reads."""
    example: dict[str, Any] = {}
    for match in _PATH.finditer(json.dumps(mapping, ensure_ascii=False)):
        if not match[1]:
            continue
        *groups, last = match[1].removeprefix(".").split(".")
        at = example
        for name in groups:
            inner = at.setdefault(name, {})
            at = inner if isinstance(inner, dict) else {}
        at.setdefault(last, "…")
    return example or {"hello": "world"}
