"""Reads the body of a request into a definition as far as it can be read, and reports all its errors at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, ValidationError

from app.config import Settings
from app.errors import FieldError, ValidationFailed
from app.jobs.lists import repeated
from app.jobs.model import JobDefinition, definition_from
from app.jobs.schema import JobDefinitionSchema, PauseSchema, ShadowSchema, flatten_messages
from app.jobs.spellings import as_written, usual
from app.triggers import ManualTrigger
from app.validation import SchemaValidator
from app.validation.names import read_names
from app.validation.pointer import keys_of
from app.validation.together import beside, sound
from templates_lib.messages import say

DEFAULT_TIMEOUT_SECONDS = JobDefinition(name="", template_type="").timeout_seconds
# Objects of which one member can be wrong while the others are still checked.
_PARTS = frozenset({"schedule", "retry_policy", "misfire", "concurrency", "run_limit", "notifications"})
_LEFT_TO_FIELDS = frozenset({"format", "pattern"})  # the fields of marshmallow check these, with their own messages


@dataclass(frozen=True, slots=True)
class Reading:
    """A definition and its errors. A field that could not be read has its default in the definition, and an error names it.

    `original_indexes` belongs to lists that lost entries: it holds, by the pointer of the list, the index in the body of each entry that
    is left. `body` is what was sent.
    """

    definition: JobDefinition
    errors: tuple[FieldError, ...] = ()
    original_indexes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    def and_also(self, more: Iterable[FieldError]) -> list[FieldError]:
        """Returns the errors and those of `more` that do not follow from one of them. An error follows from another if their places are
        the same, or one lies inside the other."""
        told = beside(self.errors, [FieldError(self._in_body(error.pointer), error.message) for error in more])
        return as_written(self.body, told)

    def has(self, name: str) -> bool:
        """Returns whether the field `name` of the body could be read, as a whole or in part."""
        return all(error.pointer not in {"", f"/{name}"} for error in self.errors)

    def _in_body(self, pointer: str) -> str:
        for at, indexes in self.original_indexes.items():
            index, slash, rest = pointer.removeprefix(f"{at}/").partition("/")
            if pointer.startswith(f"{at}/") and index.isdigit() and int(index) < len(indexes):
                return f"{at}/{indexes[int(index)]}{slash}{rest}"
        return pointer


def read_definition(body: Any, settings: Settings) -> Reading:
    """Returns what `body` (JSON values) describes, with the defaults of the settings. Raises ValidationFailed if it is not an object."""
    if not isinstance(body, Mapping):
        raise ValidationFailed([FieldError("", "must be an object")])
    sent, body = body, usual(body)
    normalised, _ = read_names(body, "name", "tags")  # limits of length apply to names as they are stored
    errors, duplicates = _definition_validator().errors(normalised), list(repeated(normalised))
    readable, indexes = _without(body, [*_pointers(errors), *duplicates])
    schema = JobDefinitionSchema(partial=("name", "template_type"))
    try:
        loaded = schema.load(readable)
    except ValidationError as error:
        errors = Reading(JobDefinition(name="", template_type=""), tuple(errors), indexes).and_also(flatten_messages(error.messages))
        readable, indexes = _without(body, [*_pointers(errors), *duplicates])
        loaded = schema.load(readable)
    definition = definition_from(_with_defaults(loaded, settings))
    reading = Reading(definition, tuple(errors), indexes)
    return replace(reading, errors=tuple(reading.and_also(_errors_by_settings(definition, settings))), body=sent)


def complete_definition(values: Mapping[str, Any], settings: Settings) -> Reading:
    """Returns the definition of values that another schema has read, with the defaults of the settings, and what the settings forbid."""
    definition = definition_from(_with_defaults(dict(values), settings))
    return Reading(definition, tuple(_errors_by_settings(definition, settings)))


def load_definition(body: Any, settings: Settings) -> JobDefinition:
    """Returns the definition that `body` describes. Raises ValidationFailed with a JSON Pointer for each wrong field."""
    reading = read_definition(body, settings)
    errors = reading.and_also(())
    if errors:
        raise ValidationFailed(errors)
    return reading.definition


def load_pause(body: Any, now: datetime) -> tuple[str, datetime | None]:
    """Returns the reason and the end of the pause that `body` (JSON values) describes, as of `now`. Raises ValidationFailed."""
    errors, schema = _pause_validator().errors(body), PauseSchema(partial=True)
    try:
        loaded = schema.load(sound(body, errors))
    except ValidationError as error:
        errors = beside(errors, flatten_messages(error.messages))
        loaded = schema.load(sound(body, errors))
    reason, until = loaded.get("reason", "").strip(), loaded.get("until")
    more = []
    if until is not None and until <= now:
        more.append(FieldError("/until", say("must be in the future; it is now {now:%Y-%m-%d %H:%M:%S} UTC", now=now)))
    if errors or more:
        raise ValidationFailed([*errors, *more])
    return reason, until


def load_shadow(body: Any) -> str:
    """Returns the reason in the body of a request for shadow mode. Raises ValidationFailed."""
    errors, schema = _shadow_validator().errors(body), ShadowSchema(partial=True)
    try:
        loaded = schema.load(sound(body, errors))
    except ValidationError as error:
        errors = beside(errors, flatten_messages(error.messages))
    if errors:
        raise ValidationFailed(errors)
    return str(loaded.get("reason", "")).strip()


def json_schema(schema: Schema) -> dict[str, Any]:
    """Returns a marshmallow schema as JSON Schema. Bodies are validated by that, so that forms and REST report errors in the same
    words."""
    spec = APISpec(title="", version="", openapi_version="3.1.0")
    converter = OpenAPIConverter(openapi_version="3.1.0", schema_name_resolver=lambda schema: None, spec=spec)
    converted: dict[str, Any] = converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has few types
    return converted


def body_validator(schema: Schema) -> SchemaValidator:
    """Returns a validator of bodies for a marshmallow schema. It leaves formats and patterns to the fields of the schema."""
    return SchemaValidator(_without_formats(json_schema(schema)))


@cache
def _definition_validator() -> SchemaValidator:
    return body_validator(JobDefinitionSchema())


@cache
def _pause_validator() -> SchemaValidator:
    return body_validator(PauseSchema())


@cache
def _shadow_validator() -> SchemaValidator:
    return body_validator(ShadowSchema())


def _without_formats(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {key: _without_formats(inner) for key, inner in schema.items() if key not in _LEFT_TO_FIELDS}
    return [_without_formats(inner) for inner in schema] if isinstance(schema, list) else schema


def _with_defaults(loaded: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the loaded body with the defaults of the settings for what it leaves out."""
    return {
        "template_type": "",
        "timeout_seconds": min(DEFAULT_TIMEOUT_SECONDS, settings.max_timeout_seconds),
        **loaded,
        "name": loaded.get("name", ""),
        "schedule": {"timezone": settings.timezone, **loaded.get("schedule", {"type": ManualTrigger.type})},
        "retry_policy": {
            "max_retries": settings.default_max_retries,
            "retry_delay_seconds": settings.default_retry_delay_seconds,
            **loaded.get("retry_policy", {}),
        },
        "misfire": {"grace_seconds": settings.misfire_grace_seconds, **loaded.get("misfire", {})},
    }


def _errors_by_settings(definition: JobDefinition, settings: Settings) -> list[FieldError]:
    """Returns errors for values that the settings do not allow, and for an empty name."""
    errors = [] if definition.name else [FieldError("/name", "must not be empty")]
    if definition.timeout_seconds > settings.max_timeout_seconds:
        errors.append(FieldError("/timeout_seconds", say("must be at most {most}", most=settings.max_timeout_seconds)))
    if definition.concurrency.max_instances > settings.max_instances:
        errors.append(FieldError("/concurrency/max_instances", say("must be at most {most}", most=settings.max_instances)))
    return errors


def _pointers(errors: Iterable[FieldError]) -> list[str]:
    return [error.pointer for error in errors]


def _without(body: Mapping[str, Any], pointers: Iterable[str]) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Returns the body without the values at `pointers`: a member of a part, an entry of a list, or else the whole field.

    The second value holds, by the pointer of each list that lost entries, the indexes of the entries that are left.
    """
    left: dict[str, Any] = {key: dict(value) if key in _PARTS and isinstance(value, Mapping) else value for key, value in body.items()}
    lost: dict[tuple[str, ...], set[int]] = {}
    for keys in filter(None, map(keys_of, pointers)):
        if keys[0] == "parameters" and len(keys) > 1:
            continue  # parameters stay whole: the schema of their template checks them, and a missing one would cause a second error
        path = _path_to_remove(left, keys)
        holder, rest = _holder(left, path), keys[len(path) :]
        if rest and rest[0].isdigit() and isinstance(holder.get(path[-1]), list):
            lost.setdefault(path, set()).add(int(rest[0]))
        elif path == ("schedule", "type"):
            holder["type"] = ManualTrigger.type  # this type requires no other member, so the members that are there are still checked
        else:
            holder.pop(path[-1], None)
    remaining = {}
    for path, removed in lost.items():
        holder = _holder(left, path)
        if isinstance(entries := holder.get(path[-1]), list):
            indexes = tuple(index for index in range(len(entries)) if index not in removed)
            holder[path[-1]], remaining["".join(f"/{key}" for key in path)] = [entries[index] for index in indexes], indexes
    return left, remaining


def _path_to_remove(body: Mapping[str, Any], keys: list[str]) -> tuple[str, ...]:
    """Returns the keys of the value to remove for an error at `keys`: two for a member of a part, else one."""
    whole = keys[0] not in _PARTS or not isinstance(body.get(keys[0]), dict)
    return tuple(keys[:1] if whole else keys[:2])


def _holder(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Returns the object that holds the last key of `path`; an empty one if that object was removed."""
    holder: Any = body.get(path[0], {}) if len(path) > 1 else body
    return holder if isinstance(holder, dict) else {}
