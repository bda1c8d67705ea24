"""Reads the body of a request into a definition, as far as it can be read, and tells everything that is wrong with it at once."""

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
from app.jobs.schema import JobDefinitionSchema, PauseSchema, flatten_messages
from app.triggers import ManualTrigger
from app.validation import SchemaValidator
from app.validation.names import read_names
from app.validation.pointer import keys_of
from app.validation.together import beside, sound
from templates_lib.messages import say

DEFAULT_TIMEOUT_SECONDS = JobDefinition(name="", template_type="").timeout_seconds
_PARTS = frozenset({"schedule", "retry_policy", "misfire", "concurrency", "notifications"})  # objects whose other members can be judged
_NOT_JUDGED = frozenset({"format", "pattern"})  # marshmallow's fields know these in their own words


@dataclass(frozen=True, slots=True)
class Reading:
    """A definition in which each field that could not be read has its default, and the errors that say which those are.

    `places` has, for each list that lost entries, by its pointer, the indexes that its entries have in the body.
    """

    definition: JobDefinition
    errors: tuple[FieldError, ...] = ()
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def and_also(self, found: Iterable[FieldError]) -> list[FieldError]:
        """The errors, and those of `found` that do not follow from one of them: another one stands at their place, around or inside."""
        return beside(self.errors, [FieldError(self._in_body(one.pointer), one.message) for one in found])

    def has(self, name: str) -> bool:
        """Whether the body's field `name` could be read, as a whole or in part."""
        return all(one.pointer not in {"", f"/{name}"} for one in self.errors)

    def _in_body(self, pointer: str) -> str:
        for at, indexes in self.places.items():
            index, slash, rest = pointer.removeprefix(f"{at}/").partition("/")
            if pointer.startswith(f"{at}/") and index.isdigit() and int(index) < len(indexes):
                return f"{at}/{indexes[int(index)]}{slash}{rest}"
        return pointer


def read_definition(body: Any, settings: Settings) -> Reading:
    """What `body` (JSON values) describes, with the defaults of the settings. Raises ValidationFailed where it is no object."""
    if not isinstance(body, Mapping):
        raise ValidationFailed([FieldError("", "must be an object")])
    spelled, _ = read_names(body, "name", "tags")  # their lengths count as they are kept
    errors, twice = _judge().errors(spelled), list(repeated(spelled))
    taken, places = _without(body, [*_pointers(errors), *twice])
    schema = JobDefinitionSchema(partial=("name", "template_type"))
    try:
        loaded = schema.load(taken)
    except ValidationError as error:
        errors = Reading(JobDefinition(name="", template_type=""), tuple(errors), places).and_also(flatten_messages(error.messages))
        taken, places = _without(body, [*_pointers(errors), *twice])
        loaded = schema.load(taken)
    definition = definition_from(_with_defaults(loaded, settings))
    reading = Reading(definition, tuple(errors), places)
    return replace(reading, errors=tuple(reading.and_also(_beyond_settings(definition, settings))))


def load_definition(body: Any, settings: Settings) -> JobDefinition:
    """The definition that `body` describes. Raises ValidationFailed with a JSON Pointer for each field that is wrong."""
    reading = read_definition(body, settings)
    if reading.errors:
        raise ValidationFailed(reading.errors)
    return reading.definition


def load_pause(body: Any, now: datetime) -> tuple[str, datetime | None]:
    """Reason and end of the pause that `body` (JSON values) describes, at `now`. Raises ValidationFailed."""
    errors, schema = _pause_judge().errors(body), PauseSchema(partial=True)
    try:
        loaded = schema.load(sound(body, errors))
    except ValidationError as error:
        errors = beside(errors, flatten_messages(error.messages))
        loaded = schema.load(sound(body, errors))
    reason, until = loaded.get("reason", "").strip(), loaded.get("until")
    more = [] if reason or "reason" not in loaded else [FieldError("/reason", "must not be empty")]
    if until is not None and until <= now:
        more.append(FieldError("/until", say("lies in the past; it is {now:%Y-%m-%d %H:%M:%S} UTC", now=now)))
    if errors or more:
        raise ValidationFailed([*errors, *more])
    return reason, until


def json_schema(schema: Schema) -> dict[str, Any]:
    """A marshmallow schema as JSON Schema, which is what bodies are judged by: forms and REST then say the same in the same words."""
    spec = APISpec(title="", version="", openapi_version="3.1.0")
    converter = OpenAPIConverter(openapi_version="3.1.0", schema_name_resolver=lambda schema: None, spec=spec)
    found: dict[str, Any] = converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has few types
    return found


def judge_of(schema: Schema) -> SchemaValidator:
    """What judges a body by a marshmallow schema, but for formats and patterns, which its fields judge."""
    return SchemaValidator(_bare(json_schema(schema)))


@cache
def _judge() -> SchemaValidator:
    return judge_of(JobDefinitionSchema())


@cache
def _pause_judge() -> SchemaValidator:
    return judge_of(PauseSchema())


def _bare(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {key: _bare(inner) for key, inner in schema.items() if key not in _NOT_JUDGED}
    return [_bare(one) for one in schema] if isinstance(schema, list) else schema


def _with_defaults(loaded: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The loaded body with what the settings say of what it leaves out."""
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


def _beyond_settings(definition: JobDefinition, settings: Settings) -> list[FieldError]:
    errors = [] if definition.name else [FieldError("/name", "must not be empty")]
    if definition.timeout_seconds > settings.max_timeout_seconds:
        errors.append(FieldError("/timeout_seconds", say("must be at most {most}", most=settings.max_timeout_seconds)))
    if definition.concurrency.max_instances > settings.max_instances:
        errors.append(FieldError("/concurrency/max_instances", say("must be at most {most}", most=settings.max_instances)))
    return errors


def _pointers(errors: Iterable[FieldError]) -> list[str]:
    return [one.pointer for one in errors]


def _without(body: Mapping[str, Any], pointers: Iterable[str]) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The body without what `pointers` lead to: a member of a part, an entry of a list, else the whole field; and, by the pointers of
    lists that lost entries, which entries are left."""
    left: dict[str, Any] = {key: dict(value) if key in _PARTS and isinstance(value, Mapping) else value for key, value in body.items()}
    lost: dict[tuple[str, ...], set[int]] = {}
    for keys in filter(None, map(keys_of, pointers)):
        if keys[0] == "parameters" and len(keys) > 1:
            continue  # they stay whole: their template's schema judges them, and what is missing would be an error that only follows
        way = _way(left, keys)
        holder, rest = _holder(left, way), keys[len(way) :]
        if rest and rest[0].isdigit() and isinstance(holder.get(way[-1]), list):
            lost.setdefault(way, set()).add(int(rest[0]))
        elif way == ("schedule", "type"):
            holder["type"] = ManualTrigger.type  # the type that asks for no member: the members that are there are judged by themselves
        else:
            holder.pop(way[-1], None)
    places = {}
    for way, gone in lost.items():
        holder = _holder(left, way)
        if isinstance(entries := holder.get(way[-1]), list):
            kept = tuple(index for index in range(len(entries)) if index not in gone)
            holder[way[-1]], places["".join(f"/{key}" for key in way)] = [entries[index] for index in kept], kept
    return left, places


def _way(body: Mapping[str, Any], keys: list[str]) -> tuple[str, ...]:
    """The keys that lead to what is taken out for an error at `keys`: one, or two where it is a member of a part."""
    whole = keys[0] not in _PARTS or not isinstance(body.get(keys[0]), dict)
    return tuple(keys[:1] if whole else keys[:2])


def _holder(body: dict[str, Any], way: tuple[str, ...]) -> dict[str, Any]:
    """What holds the last key of a way; empty where that has been taken out."""
    found: Any = body.get(way[0], {}) if len(way) > 1 else body
    return found if isinstance(found, dict) else {}
