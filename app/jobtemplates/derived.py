"""Derived templates: another template's schema, narrowed, with some parameters fixed, hidden or given another default. No code.

A definition is {name, description, category, icon, help, parameters}, where `parameters` says of each parameter of the base, by name:

- `{"title", "description", "default", "narrow"}`, each optional: it is asked; `narrow` is a schema that its values must fit too;
- `{"value", "shown"}`: it always has this value, which the form shows, or not;
- `{"hidden": true}`: it is not asked and has the base's default.

A job of a derived template holds all parameters of the base: its runs are the base's runs. All functions are pure.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from app.errors import FieldError
from app.validation import SchemaRefused, SchemaValidator, pointer
from app.validation.dynamic import Known, has_any, resolve
from app.validation.names import read_names
from app.validation.places import Place
from app.validation.secret import is_secret, secret_name
from app.validation.together import beside, sound
from templates_lib.base import JobTemplate
from templates_lib.messages import say

Definition = Mapping[str, Any]

TYPE = "^[a-z][a-z0-9_]{1,62}$"
ICONS = (
    "activity",
    "archive",
    "brush-cleaning",
    "calendar",
    "chart-column",
    "clock",
    "database",
    "file-down",
    "file-text",
    "folder",
    "globe",
    "hard-drive",
    "heart-pulse",
    "history",
    "key-round",
    "layers",
    "mail",
    "refresh-cw",
    "send",
    "server",
    "shield",
    "sigma",
    "star",
    "table-2",
    "terminal",
    "ticket",
    "trash-2",
    "webhook",
    "zap",
)
_LIMITS: dict[str, dict[str, Any]] = {
    "number": {
        "minimum": {"type": "number", "title": "At least", "x-width": "half"},
        "maximum": {"type": "number", "title": "At most", "x-width": "half"},
    },
    "string": {
        "enum": {
            "type": "array",
            "title": "Only these",
            "items": {"type": "string", "title": "Text"},
            "minItems": 1,
            "maxItems": 200,
            "uniqueItems": True,
        },
        "pattern": {"type": "string", "title": "Pattern", "format": "regex", "maxLength": 500, "x-width": "half"},
        "maxLength": {"type": "integer", "title": "Longest", "minimum": 0, "x-width": "half"},
    },
    "array": {
        "minItems": {"type": "integer", "title": "Fewest entries", "minimum": 0, "x-width": "half"},
        "maxItems": {"type": "integer", "title": "Most entries", "minimum": 0, "x-width": "half"},
    },
}
_BOUNDS = {  # a limit of the base that a narrower one may not leave, and on which side
    "minimum": max,
    "maximum": min,
    "maxLength": min,
    "minItems": max,
    "maxItems": min,
}
_AHEAD = Known(now=datetime(2026, 1, 1, tzinfo=UTC), sample=True)  # any instant: whether a definition holds does not hang on the day
_LOST_ALONE = ("x-section", "x-order", "x-visible-if", "x-width")  # hints that speak of the siblings in the base's own form


# -- from a definition to what a job is asked --------------------------------------------------------------------------


def compose(base: Mapping[str, Any], definition: Definition) -> dict[str, Any]:
    """The schema of the derived template's parameters: never wider than `base`. `definition` has no problems."""
    schema: dict[str, Any] = copy.deepcopy(dict(base))
    schema["title"] = definition["name"]
    schema.pop("examples", None)
    for name, treatment in definition.get("parameters", {}).items():
        schema["properties"][name] = _treated(schema["properties"][name], treatment)
    return schema


def _treated(member: dict[str, Any], treatment: Mapping[str, Any]) -> dict[str, Any]:
    if treatment.get("hidden"):
        return {**member, "readOnly": True, "x-hidden": True}
    if "value" in treatment:
        value = treatment["value"]
        one = None if has_any(value) else {"const": value}  # what an expression becomes is another thing at each run
        fixed = {**_also(member, one), "default": value, "readOnly": True}
        return fixed if treatment.get("shown") else {**fixed, "x-hidden": True}
    told = {word: treatment[word] for word in ("title", "description", "default") if word in treatment}
    if "description" in told:
        member.pop("x-help", None)
    return {**_also(member, treatment.get("narrow")), **told}


def _also(member: dict[str, Any], narrower: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**member, "allOf": [*member.get("allOf", ()), dict(narrower)]} if narrower else member


def fixed_values(definition: Definition) -> dict[str, Any]:
    """The parameters that have one value only."""
    return {name: one["value"] for name, one in definition.get("parameters", {}).items() if "value" in one}


def read_definition(definition: Any) -> tuple[Any, list[FieldError]]:
    """A definition as it is sent, its names in their one spelling, and what is wrong with those."""
    return read_names(definition, "name", "category")


def problems(template: JobTemplate, definition: Any) -> list[FieldError]:
    """What is wrong with a definition that is to be derived from `template`, each at its pointer; empty where it can be published."""
    schema = editor_schema(template)
    ahead = resolve(schema, definition, _AHEAD)
    judged = SchemaValidator(_without_secrets(schema)).errors(ahead.value)
    errors = beside(ahead.errors, [one for one in judged if one.pointer not in ahead.open])
    treatments = sound(definition, [one for one in errors if one.pointer == "/parameters"]).get("parameters")
    if not isinstance(treatments, Mapping):
        return errors
    named = {name: one for name, one in treatments.items() if name in template.parameters_schema.get("properties", {})}
    right = sound(named, [one.within("/parameters") for one in errors])
    return beside(errors, _deeper_problems(template.parameters_schema, {"parameters": right}))


def _without_secrets(schema: Any) -> Any:
    """A schema that takes anything where `schema` has a secret: whether that is there in the clear is judged by itself."""
    if is_secret(schema):
        return True
    if isinstance(schema, Mapping):
        return {word: _without_secrets(value) for word, value in schema.items()}
    return [_without_secrets(value) for value in schema] if isinstance(schema, list) else schema


def _deeper_problems(base: Mapping[str, Any], definition: Definition) -> Iterator[FieldError]:
    properties, required = base.get("properties", {}), base.get("required", ())
    for name, treatment in definition.get("parameters", {}).items():
        at = ("parameters", name)
        member = properties[name]
        if treatment.get("hidden") and name in required and "default" not in member:
            yield FieldError(pointer(at), "is required and has no default: fix its value instead of hiding it")
        for word in ("value", "default"):
            if word in treatment and _holds_secret(Place([member], base), treatment[word]):
                yield FieldError(pointer((*at, word)), "is secret: keep it among the connections and name it here")
        try:
            narrowed = SchemaValidator(_without_secrets(_in_place(base, _also(dict(member), treatment.get("narrow")))))
        except SchemaRefused as refused:
            yield FieldError(
                pointer((*at, "narrow")) + refused.pointer, say("is no schema that is taken here: {reason}", reason=refused.reason)
            )
            continue
        yield from _wider(member, treatment.get("narrow", {}), at)
        if treatment.get("narrow") and "default" not in treatment and "default" in member and narrowed.errors(member["default"]):
            yield FieldError(
                pointer((*at, "default")),
                say("is needed: the template's own, {default!r}, lies outside these limits", default=member["default"]),
            )
        for word in ("value", "default"):
            if word in treatment:
                found = resolve(member, treatment[word], _AHEAD)
                yield from () if found.open else narrowed.errors(found.value, prefix=pointer((*at, word)))


def _wider(member: Mapping[str, Any], narrow: Mapping[str, Any], at: tuple[str, str]) -> Iterator[FieldError]:
    """Limits beyond those of the base: they would hold nobody to anything."""
    for word, stricter in _BOUNDS.items():
        if word in narrow and word in member and stricter(narrow[word], member[word]) != narrow[word]:
            yield FieldError(pointer((*at, "narrow", word)), say("lies outside the template's own limit: {limit}", limit=member[word]))


def _in_place(base: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of one parameter by itself, with the definitions that it may refer to."""
    return {**member, **({"$defs": base["$defs"]} if "$defs" in base else {})}


def _holds_secret(place: Place | None, value: Any) -> bool:
    """True where `value` has a secret in the clear at a place that the schema keeps for one."""
    if place is None or secret_name(value) is not None:
        return False
    if place.secret:
        return True
    if isinstance(value, Mapping):
        return any(_holds_secret(place.member(key), item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_secret(place.entry(index), item) for index, item in enumerate(value))


# -- the form in which a definition is written -------------------------------------------------------------------------


def editor_schema(template: JobTemplate) -> dict[str, Any]:
    """The schema of a definition, made from the base's own: each value is asked by the control that the base has for it."""
    base = template.parameters_schema
    parameters = {name: _choices(name, member, base) for name, member in base.get("properties", {}).items()}
    return {
        **({"$defs": base["$defs"]} if "$defs" in base else {}),
        "type": "object",
        "required": ["name", "description", "category"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 80},
            "description": {
                "type": "string",
                "title": "What it does",
                "minLength": 1,
                "maxLength": 300,
                "x-width": "full",
                "format": "multiline",
            },
            "category": {
                "type": "string",
                "title": "Category",
                "minLength": 1,
                "maxLength": 60,
                "default": template.category,
                "x-width": "half",
            },
            "icon": {"enum": sorted({*ICONS, template.icon}), "title": "Icon", "default": template.icon, "x-width": "half"},
            "help": {
                "type": "string",
                "title": "Help page",
                "maxLength": 20_000,
                "x-widget": "textarea",
                "description": "Markdown; stands before the help of the template that it is made from.",
            },
            "parameters": {
                "type": "object",
                "title": "Parameters",
                "properties": parameters,
                "additionalProperties": False,
                "description": "What is not set is asked as the template asks it.",
            },
        },
    }


def _choices(name: str, member: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    plain = member if isinstance(member, Mapping) else {}
    title = str(plain.get("title") or name.replace("_", " ").capitalize())
    alone = {word: value for word, value in plain.items() if word not in _LOST_ALONE}
    options = alone.get("x-options")
    if isinstance(options, Mapping) and "depends" in options:
        alone.pop("x-options")
    without_default = {word: value for word, value in alone.items() if word not in {"default", "title", "description"}}
    asked: dict[str, Any] = {
        "title": "Asked",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "title": "Called", "minLength": 1, "maxLength": 120, "x-placeholder": title, "x-width": "half"},
            "description": {"type": "string", "title": "Explained", "minLength": 1, "maxLength": 500, "x-width": "half"},
            "default": {**without_default, "title": "Default"},
            "narrow": _limits(plain),
        },
    }
    fixed = {
        "title": "Fixed",
        "type": "object",
        "required": ["value"],
        "additionalProperties": False,
        "properties": {
            "value": {**alone, "title": "Value"},
            "shown": {"type": "boolean", "title": "Shown in the form", "default": False, "x-widget": "switch"},
        },
    }
    hidden = {
        "title": "Hidden",
        "type": "object",
        "required": ["hidden"],
        "additionalProperties": False,
        "properties": {"hidden": {"oneOf": [{"const": True, "title": "It keeps the default"}], "title": "Not asked"}},
    }
    may_hide = name not in base.get("required", ()) or "default" in plain
    return {"title": title, "oneOf": [asked, fixed, *([hidden] if may_hide else [])]}


def _limits(member: Mapping[str, Any]) -> dict[str, Any]:
    """What a parameter's values may be narrowed by; of an object, any schema."""
    listed = member.get("enum") or [one["const"] for one in member.get("oneOf", ()) if isinstance(one, Mapping) and "const" in one]
    kind = member.get("type")
    if listed:
        chosen = {"type": "array", "title": "Only these", "items": {"enum": listed}, "uniqueItems": True, "minItems": 1}
        limits: dict[str, Any] = {"enum": chosen}
    elif kind in {"integer", "number"}:
        limits = _LIMITS["number"]
    elif kind in {"string", "array"}:
        limits = _LIMITS[kind]
    else:
        return {"type": "object", "title": "Limits", "x-widget": "json", "description": "A JSON Schema that its values must fit too."}
    return {"type": "object", "title": "Limits", "additionalProperties": False, "properties": limits}
