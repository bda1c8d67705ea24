"""The one JSON Schema validator: form, API, import and the moment before a run are all judged here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from app.errors import FieldError

MAX_ERRORS = 100  # one hopeless value does not become a megabyte of sentences

_formats = FormatChecker()


@_formats.checks("email")
def _is_email(value: object) -> bool:
    """The shape of RFC 5321's Mailbox without quoted local parts; jsonschema's own check wants only an "@"."""
    if not isinstance(value, str):
        return True
    return re.fullmatch(r"[^\s@\"(),:;<>\[\\\]\x00-\x1f\x7f]{1,64}@[^\s@\"(),:;<>\[\\\]\x00-\x1f\x7f]{1,255}", value) is not None and (
        ".." not in value and not value.startswith(".")
    )


def _multiple_of(_v: Any, factor: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """Exact: 4.02 is a multiple of 0.01, which binary floating point denies."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value) or Decimal(str(value)) % Decimal(str(factor)) != 0:
        yield ValidationError("not a multiple")


def _pattern(_v: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """ECMA-262 has no "$ before a final newline": `$` ends the text."""
    if isinstance(value, str) and re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), value) is None:
        yield ValidationError("does not match")


_Validator: Any = extend(Draft202012Validator, {"multipleOf": _multiple_of, "pattern": _pattern})  # type: ignore[no-untyped-call]

_TYPE_WORDS = {
    "string": "text", "number": "a number", "integer": "a whole number", "boolean": "yes or no", "object": "an object",
    "array": "a list", "null": "null",
}  # fmt: skip
_FORMAT_WORDS = {
    "email": "an e-mail address", "uri": "an address such as https://example.com/", "date": "a date such as 2026-03-29",
    "date-time": "a date and time with its zone, such as 2026-03-29T02:30:00Z", "time": "a time such as 02:30:00Z",
    "uuid": "a UUID", "ipv4": "an IPv4 address", "ipv6": "an IPv6 address", "hostname": "a host name",
    "regex": "a regular expression", "duration": "a duration such as PT1H30M", "json-pointer": "a JSON Pointer",
}  # fmt: skip


class SchemaValidator:
    """Judges values by one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = _Validator(schema, format_checker=_formats)

    def errors(self, value: Any, *, prefix: str = "") -> list[FieldError]:
        """What is wrong with `value`, each at its JSON Pointer below `prefix`; at most MAX_ERRORS, none where it is valid."""
        found: dict[tuple[str, str], FieldError] = {}
        for error in self._validator.iter_errors(value):
            for one in _readable(error, prefix):
                found.setdefault((one.pointer, one.message), one)
            if len(found) >= MAX_ERRORS:
                break
        return sorted(found.values(), key=lambda one: one.pointer)


def pointer(path: Any, prefix: str = "") -> str:
    """A JSON Pointer (RFC 6901) from the parts of a path."""
    return prefix + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _readable(error: ValidationError, prefix: str) -> Iterator[FieldError]:
    """The error in words, at the field that a person has to change: the missing one, the unknown one."""
    here = pointer(error.absolute_path, prefix)
    keyword = str(error.validator)
    rule: Any = error.validator_value
    value: Any = error.instance
    if keyword == "required":
        for name in rule:
            if name not in value:
                yield FieldError(pointer([name], here), "is required")
    elif keyword == "dependentRequired":
        for cause, names in rule.items():
            if cause in value:
                for name in names:
                    if name not in value:
                        yield FieldError(pointer([name], here), f"is required with {cause}")
    elif keyword in {"additionalProperties", "unevaluatedProperties"} and rule is False:
        known = set(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else set()
        for name in value:
            if name not in known:
                yield FieldError(pointer([name], here), "is not a known field")
    elif keyword in {"oneOf", "anyOf"} and all(isinstance(b, Mapping) and "const" in b for b in rule):
        yield FieldError(here, f"must be one of {_listing([branch['const'] for branch in rule])}")
    elif keyword in {"oneOf", "anyOf"} and error.context:
        best = min(
            {e.schema_path[0] for e in error.context},
            key=lambda branch: sum(e.schema_path[0] == branch for e in error.context),
        )
        for inner in error.context:
            if inner.schema_path[0] == best:
                yield from _readable(inner, prefix)
    else:
        words = error.schema.get("x-pattern-words") if keyword == "pattern" and isinstance(error.schema, Mapping) else None
        yield FieldError(here, f"must be {words}" if words else _sentence(keyword, rule, value))


def _sentence(keyword: str, rule: Any, value: Any) -> str:
    match keyword:
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            return f"must be {' or '.join(_TYPE_WORDS.get(kind, kind) for kind in kinds)}"
        case "enum":
            return f"must be one of {_listing(rule)}"
        case "const":
            return f"must be {rule!r}"
        case "minLength":
            return "must not be empty" if rule == 1 else f"must have at least {rule} characters"
        case "maxLength":
            return f"must have at most {rule} characters; it has {len(value)}"
        case "minimum":
            return f"must be at least {rule}"
        case "maximum":
            return f"must be at most {rule}"
        case "exclusiveMinimum":
            return f"must be more than {rule}"
        case "exclusiveMaximum":
            return f"must be less than {rule}"
        case "multipleOf":
            return f"must be a multiple of {rule}"
        case "pattern":
            return f"does not have the form {rule}"
        case "format":
            return f"must be {_FORMAT_WORDS.get(rule, f'a {rule}')}"
        case "minItems":
            return f"needs at least {rule} {'entry' if rule == 1 else 'entries'}"
        case "maxItems":
            return f"may have at most {rule} {'entry' if rule == 1 else 'entries'}"
        case "uniqueItems":
            return "has the same entry twice"
        case "minProperties":
            return "must not be empty" if rule == 1 else f"needs at least {rule} members"
        case "maxProperties":
            return f"may have at most {rule} members"
        case _:
            return f"is not allowed here ({keyword})"


def _listing(values: list[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:12])
    return f"{shown} and {len(values) - 12} more" if len(values) > 12 else shown
