"""Turns an error of the JSON Schema validator into a sentence for people, at the field that they have to change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import ValidationError

from app.errors import FieldError
from app.validation.keywords import UnionFailed
from app.validation.pointer import pointer
from app.validation.terminal import escaped
from app.validation.unions import contradicted_tag, wrong_types
from app.validation.words import Words

# (pointer of the value, list of branches) → the index of the branch that the person chose, or None if nobody chose.
Chosen = Callable[[str, Any], int | None]
LONGEST_VALUE = 60
MOST_LISTED = 12

_COUNTED = frozenset({"minLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"})
_MEASURED = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
UNKNOWN = "unknown"  # the key of the sentence for a member that no schema knows
_UNKNOWN = frozenset({"additionalProperties", "unevaluatedProperties", "propertyNames"})
_NAMED_FORMATS = frozenset(
    {
        "email",
        "idn-email",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "date",
        "date-time",
        "time",
        "uuid",
        "ipv4",
        "ipv6",
        "hostname",
        "idn-hostname",
        "regex",
        "duration",
        "json-pointer",
        "relative-json-pointer",
        "uri-template",
        "color",
        "cron",
        "timezone",
        "json",
    }
)


# Unions that were reported already, by the id of their branches and the pointer of the value. allOf may lead to one a million times.
Reported = set[tuple[int, str]]


def readable(error: ValidationError, words: Words, chosen: Chosen, prefix: str, reported: Reported) -> Iterator[FieldError]:
    """Yields one or more sentences for one error. A missing field gets the error at its own place. For a union, the errors are those of
    the branch that was meant.

    `reported` is shared by all errors of one validation, and grows.
    """
    here, keyword = pointer(error.absolute_path, prefix), str(error.validator)
    rule: Any = error.validator_value
    value: Any = error.instance
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if keyword == "required":
        for name in rule:
            if name not in value:
                yield FieldError(pointer([name], here), words("required"))
    elif keyword == "dependentRequired":
        for cause, names in rule.items():
            for name in names if cause in value else ():
                if name not in value:
                    yield FieldError(pointer([name], here), words("dependentRequired", cause=cause))
    elif keyword == "propertyNames" and error.context:
        for inner in error.context:
            for reason in readable(inner, words, chosen, "", reported):
                yield FieldError(here, words("propertyNames", reason=reason.message))
    elif keyword in {"oneOf", "anyOf"}:
        yield from _union(error, words, chosen, prefix, here, reported)
    elif keyword == "pattern" and schema.get("x-pattern-words"):
        yield FieldError(here, words("patternWords", rule=schema["x-pattern-words"]))
    else:
        yield FieldError(here, _sentence(keyword, rule, value, words))


def _union(error: ValidationError, words: Words, chosen: Chosen, prefix: str, here: str, reported: Reported) -> Iterator[FieldError]:
    """Yields the errors of a value that fits no branch: those of the branch that a person chose, else of the branch that it is meant
    for."""
    rule: Any = error.validator_value
    if all(isinstance(branch, Mapping) and "const" in branch for branch in rule):
        yield FieldError(here, words("enum", rule=listing([branch["const"] for branch in rule], words)))
        return
    if not isinstance(error, UnionFailed):  # a oneOf with more than one right branch
        yield FieldError(here, words("oneOf"))
        return
    if (id(rule), here) in reported:
        return
    reported.add((id(rule), here))
    place = chosen(here, rule)
    if place is None or not 0 <= place < len(rule):
        common = _error_of_all_branches(error, words, here)
        if common is not None:
            yield common
            return
        place = error.meant()
    for inner in error.errors_of(place):
        yield from readable(inner, words, chosen, prefix, reported)


def _error_of_all_branches(error: UnionFailed, words: Words, here: str) -> FieldError | None:
    """Returns one error that holds for all branches: a wrong type, or a wrong value of the member that tells the branches apart. None if
    there is no such error."""
    branches = error.known_branches()
    kinds = wrong_types(branches, error.value)
    if len(kinds) > 1:
        return FieldError(here, _sentence("type", kinds, error.value, words))
    tag = contradicted_tag(branches, error.value)
    return FieldError(pointer([tag[0]], here), _sentence("enum", tag[1], error.value, words)) if tag else None


def _sentence(keyword: str, rule: Any, value: Any, words: Words) -> str:
    if keyword == "type":
        kinds = [rule] if isinstance(rule, str) else rule
        return words("type", kinds=words("or").join(words(f"type.{kind}") for kind in kinds))
    if keyword == "enum":
        return words("enum", rule=listing(rule, words))
    if keyword == "const":
        return words("const", rule=shown(rule))
    if keyword in {"minLength", "minProperties"} and rule == 1:
        return words("empty")
    if keyword == "maxLength":
        return words("maxLength", count=int(rule), length=len(value))
    if keyword == "contains":
        return words("contains")
    if keyword in _COUNTED:
        return words(keyword, count=int(rule))
    if keyword in _MEASURED:
        return words(keyword, rule=rule)
    if keyword == "format":
        return words(f"format.{rule}") if rule in _NAMED_FORMATS else words("format", rule=shown(rule))
    if keyword in {"pattern", "patternTooSlow", "uniqueItems", "items", "unevaluatedItems"}:
        return words(keyword, rule=shown(rule))
    if keyword in _UNKNOWN:
        return words(UNKNOWN)
    return words("notAllowed", keyword=keyword)


def listing(values: Iterable[Any], words: Words) -> str:
    """Returns the first MOST_LISTED of some values as text, and how many more there are."""
    items = list(values)
    text = ", ".join(shown(value) for value in items[:MOST_LISTED])
    return words("more", listed=text, count=len(items) - MOST_LISTED) if len(items) > MOST_LISTED else text


def as_words(value: Any) -> str:
    """Returns a value as a person reads it: text as it is, everything else as JSON."""
    return value if isinstance(value, str) and value.strip() and value.isprintable() else escaped(json.dumps(value, ensure_ascii=False))


def shown(value: Any) -> str:
    """Returns a value for a sentence: text as it is, everything else as JSON, cut after LONGEST_VALUE characters."""
    text = as_words(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
