"""Derived templates: the schema of another template (the base) with narrower limits, fixed values, hidden parameters or other defaults.

A derived template has no code. Its definition is {name, description, category, icon, help, parameters}. `parameters` maps names of the
base's parameters to one of these treatments:

- `{"title", "description", "default", "narrow"}`, each optional: the form asks for it; `narrow` is a schema that its values must fit too;
- `{"value", "shown"}`: it always has this value; the form shows it if `shown` is true;
- `{"hidden": true}`: the form does not ask for it, and it has the default of the base.

A job of a derived template holds all parameters of the base, and its runs are runs of the base. All functions are pure.
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
from app.validation.older import converted
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
        "minimum": {"type": "number", "title": "Minimum", "x-width": "half"},
        "maximum": {"type": "number", "title": "Maximum", "x-width": "half"},
    },
    "string": {
        "enum": {
            "type": "array",
            "title": "Allowed values",
            "items": {"type": "string", "title": "Text"},
            "minItems": 1,
            "maxItems": 200,
            "uniqueItems": True,
        },
        "pattern": {"type": "string", "title": "Pattern", "format": "regex", "maxLength": 500, "x-width": "half"},
        "maxLength": {"type": "integer", "title": "Maximum length", "minimum": 0, "x-width": "half"},
    },
    "array": {
        "minItems": {"type": "integer", "title": "Minimum number of entries", "minimum": 0, "x-width": "half"},
        "maxItems": {"type": "integer", "title": "Maximum number of entries", "minimum": 0, "x-width": "half"},
    },
}
_BOUNDS = {  # limits of the base that a narrower limit must keep to, and the function that picks the stricter of two
    "minimum": max,
    "maximum": min,
    "maxLength": min,
    "minItems": max,
    "maxItems": min,
}
_SAMPLE = Known(now=datetime(2026, 1, 1, tzinfo=UTC), sample=True)  # any instant will do: a definition is valid or not on every day
_SIBLING_HINTS = ("x-section", "x-order", "x-visible-if", "x-width")  # hints that depend on the siblings in the form of the base


# -- from a definition to what a job is asked --------------------------------------------------------------------------


def compose(base: Mapping[str, Any], definition: Definition) -> dict[str, Any]:
    """Returns the schema of the derived template's parameters. It allows nothing that `base` does not allow. The definition must have no
    problems (`problems`)."""
    schema: dict[str, Any] = copy.deepcopy(dict(base))
    schema["title"] = definition["name"]
    schema.pop("examples", None)
    for name, treatment in definition.get("parameters", {}).items():
        schema["properties"][name] = _apply(treatment, schema["properties"][name])
    return schema


def _apply(treatment: Mapping[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    if treatment.get("hidden"):
        return {**member, "readOnly": True, "x-hidden": True}
    if "value" in treatment:
        value = treatment["value"]
        only = None if has_any(value) else {"const": value}  # an expression gives another value at each run
        fixed = {**_restrict(member, only), "default": value, "readOnly": True}
        return fixed if treatment.get("shown") else {**fixed, "x-hidden": True}
    texts = {word: treatment[word] for word in ("title", "description", "default") if word in treatment}
    if "description" in texts:
        member.pop("x-help", None)
    return {**_restrict(member, treatment.get("narrow")), **texts}


def _restrict(member: dict[str, Any], narrower: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**member, "allOf": [*member.get("allOf", ()), dict(narrower)]} if narrower else member


def fixed_values(definition: Definition) -> dict[str, Any]:
    """Returns the parameters that have one value only."""
    return {name: treatment["value"] for name, treatment in definition.get("parameters", {}).items() if "value" in treatment}


def read_definition(definition: Any) -> tuple[Any, list[FieldError]]:
    """Returns a definition with its names in their normal spelling, and the errors of those names. Limits that are schemas of an older
    draft are converted."""
    return read_names(_with_converted_limits(definition), "name", "category")


def _with_converted_limits(definition: Any) -> Any:
    treatments = definition.get("parameters") if isinstance(definition, Mapping) else None
    if not isinstance(treatments, Mapping):
        return definition
    return {**definition, "parameters": {name: _with_converted_limit(treatment) for name, treatment in treatments.items()}}


def _with_converted_limit(treatment: Any) -> Any:
    narrow = treatment.get("narrow") if isinstance(treatment, Mapping) else None
    try:
        conversion = converted(narrow)
    except SchemaRefused:  # `problems` says what is wrong with it
        return treatment
    return {**treatment, "narrow": conversion.schema} if conversion.changes else treatment


def problems(template: JobTemplate, definition: Any) -> list[FieldError]:
    """Returns the errors of a definition that is to be derived from `template`, each at its pointer; empty if it can be published."""
    schema = editor_schema(template)
    resolved = resolve(schema, definition, _SAMPLE)
    by_schema = SchemaValidator(_without_secrets(schema)).errors(resolved.value)
    errors = beside(resolved.errors, [error for error in by_schema if error.pointer not in resolved.open])
    treatments = sound(definition, [error for error in errors if error.pointer == "/parameters"]).get("parameters")
    if not isinstance(treatments, Mapping):
        return errors
    known = {name: treatment for name, treatment in treatments.items() if name in template.parameters_schema.get("properties", {})}
    valid = sound(known, [error.within("/parameters") for error in errors])
    return beside(errors, _deeper_problems(template.parameters_schema, {"parameters": valid}))


def _without_secrets(schema: Any) -> Any:
    """Returns a schema that takes anything where `schema` has a secret. A separate check finds secrets in the clear."""
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
            yield FieldError(pointer(at), "is required and has no default. Fix its value instead of hiding it")
        for word in ("value", "default"):
            if word in treatment and _holds_secret(Place([member], base), treatment[word]):
                yield FieldError(pointer((*at, word)), "is a secret. Save it under Connections and choose it here by name")
        try:
            narrowed = SchemaValidator(_without_secrets(_in_place(base, _restrict(dict(member), treatment.get("narrow")))))
        except SchemaRefused as refused:
            yield FieldError(
                pointer((*at, "narrow")) + refused.pointer, say("is not a schema that can be used here: {reason}", reason=refused.reason)
            )
            continue
        yield from _wider(member, treatment.get("narrow", {}), at)
        if treatment.get("narrow") and "default" not in treatment and "default" in member and narrowed.errors(member["default"]):
            yield FieldError(
                pointer((*at, "default")),
                say("is required, because the template's default, {default!r}, is outside these limits", default=member["default"]),
            )
        for word in ("value", "default"):
            if word in treatment:
                resolved = resolve(member, treatment[word], _SAMPLE)
                yield from () if resolved.open else narrowed.errors(resolved.value, prefix=pointer((*at, word)))


def _wider(member: Mapping[str, Any], narrow: Mapping[str, Any], at: tuple[str, str]) -> Iterator[FieldError]:
    """Yields an error for each limit that is wider than that of the base, because it would have no effect."""
    for word, stricter in _BOUNDS.items():
        if word in narrow and word in member and stricter(narrow[word], member[word]) != narrow[word]:
            yield FieldError(pointer((*at, "narrow", word)), say("is outside the template's own limit of {limit}", limit=member[word]))


def _in_place(base: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of one parameter alone, with the definitions that it may refer to."""
    return {**member, **({"$defs": base["$defs"]} if "$defs" in base else {})}


def _holds_secret(place: Place | None, value: Any) -> bool:
    """Returns whether `value` holds a secret in the clear at a place that the schema marks as secret."""
    if place is None or secret_name(value) is not None:
        return False
    if place.secret:
        return True
    if isinstance(value, Mapping):
        return any(_holds_secret(place.member(key), item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_secret(place.entry(index), item) for index, item in enumerate(value))


# -- the form in which a definition is written -------------------------------------------------------------------------


def editor_schema(template: JobTemplate) -> dict[str, Any]:
    """Returns the schema of a definition, made from the schema of the base. The form asks for each value with the control that the base
    has for it."""
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
            "parameters": {
                "type": "object",
                "title": "Parameters",
                "x-add-text": "Change parameters",
                "properties": parameters,
                "additionalProperties": False,
                "description": "Set only the parameters that should differ. All others stay as in the original template.",
            },
            "icon": {
                "enum": sorted({*ICONS, template.icon}),
                "title": "Icon",
                "default": template.icon,
                "x-widget": "icons",
                "x-section": "Icon and help page",
            },
            "help": {
                "type": "string",
                "title": "Help page",
                "maxLength": 20_000,
                "x-widget": "textarea",
                "x-section": "Icon and help page",
                "description": "Markdown. Shown above the help of the original template.",
            },
        },
    }


def _choices(name: str, member: Any, base: Mapping[str, Any]) -> dict[str, Any]:
    plain = member if isinstance(member, Mapping) else {}
    title = str(plain.get("title") or name.replace("_", " ").capitalize())
    alone = {word: value for word, value in plain.items() if word not in _SIBLING_HINTS}
    options = alone.get("x-options")
    if isinstance(options, Mapping) and "depends" in options:
        alone.pop("x-options")
    without_default = {word: value for word, value in alone.items() if word not in {"default", "title", "description"}}
    asked: dict[str, Any] = {
        "title": "Jobs may change it",
        "description": "Each job has its own value, within the limits that you set here.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "title": "Label", "minLength": 1, "maxLength": 120, "x-placeholder": title, "x-width": "half"},
            "description": {"type": "string", "title": "Help text", "minLength": 1, "maxLength": 500, "x-width": "half"},
            "default": {**without_default, "title": "Default value"},
            "narrow": _limits(plain),
        },
    }
    fixed = {
        "title": "Fixed value",
        "description": "All jobs use this value.",
        "type": "object",
        "required": ["value"],
        "additionalProperties": False,
        "properties": {
            "value": {**alone, "title": "Value"},
            "shown": {"type": "boolean", "title": "Show in the form", "default": False, "x-widget": "switch"},
        },
    }
    hidden = {
        "title": "Hidden",
        "description": "The form does not ask for it. All jobs use the original default.",
        "type": "object",
        "required": ["hidden"],
        "additionalProperties": False,
        "properties": {"hidden": {"oneOf": [{"const": True, "title": "Always use the default"}], "title": "Hidden parameter"}},
    }
    may_hide = name not in base.get("required", ()) or "default" in plain
    return {
        "title": title,
        "x-add-text": "Change this parameter",
        "x-choice-title": "How jobs use it",
        "oneOf": [asked, fixed, *([hidden] if may_hide else [])],
    }


def _limits(member: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of the limits that a parameter can get. For an object, that is any schema."""
    listed = member.get("enum") or [item["const"] for item in member.get("oneOf", ()) if isinstance(item, Mapping) and "const" in item]
    kind = member.get("type")
    if listed:
        chosen = {"type": "array", "title": "Allowed values", "items": {"enum": listed}, "uniqueItems": True, "minItems": 1}
        limits: dict[str, Any] = {"enum": chosen}
    elif kind in {"integer", "number"}:
        limits = _LIMITS["number"]
    elif kind in {"string", "array"}:
        limits = _LIMITS[kind]
    else:
        return {"type": "object", "title": "Limits", "x-widget": "json", "description": "A JSON Schema that the values must also match."}
    return {"type": "object", "title": "Limits", "additionalProperties": False, "properties": limits}
