"""An error of the judge in words that a person uses, at the field that they have to change."""

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

# (pointer of the value, the list of branches) → the branch that the person chose, or None where nobody chose.
Chosen = Callable[[str, Any], int | None]
LONGEST_VALUE = 60
MOST_LISTED = 12

_COUNTED = frozenset({"minLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"})
_MEASURED = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
UNKNOWN = "unknown"  # the sentence for a member that no schema speaks of
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


# Unions that were told already, each by its branches and where its value is: allOf may lead to the same one a million times.
Reported = set[tuple[int, str]]


def readable(error: ValidationError, words: Words, chosen: Chosen, prefix: str, told: Reported) -> Iterator[FieldError]:
    """One or more sentences for one error: a missing field is named itself, a union speaks of the branch that was meant.

    `told` is shared by all errors of one judgement, and grows.
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
            for one in readable(inner, words, chosen, "", told):
                yield FieldError(here, words("propertyNames", reason=one.message))
    elif keyword in {"oneOf", "anyOf"}:
        yield from _union(error, words, chosen, prefix, here, told)
    elif keyword == "pattern" and schema.get("x-pattern-words"):
        yield FieldError(here, words("patternWords", rule=schema["x-pattern-words"]))
    else:
        yield FieldError(here, _sentence(keyword, rule, value, words))


def _union(error: ValidationError, words: Words, chosen: Chosen, prefix: str, here: str, told: Reported) -> Iterator[FieldError]:
    """A value that fits no branch is told what is wrong by the branch that was chosen, else by the one that it is meant for."""
    rule: Any = error.validator_value
    if all(isinstance(branch, Mapping) and "const" in branch for branch in rule):
        yield FieldError(here, words("enum", rule=listing([branch["const"] for branch in rule], words)))
        return
    if not isinstance(error, UnionFailed):  # a oneOf with more than one right branch
        yield FieldError(here, words("oneOf"))
        return
    if (id(rule), here) in told:
        return
    told.add((id(rule), here))
    place = chosen(here, rule)
    if place is None or not 0 <= place < len(rule):
        whole = _of_all_branches(error, words, here)
        if whole is not None:
            yield whole
            return
        place = error.meant()
    for inner in error.errors_of(place):
        yield from readable(inner, words, chosen, prefix, told)


def _of_all_branches(error: UnionFailed, words: Words, here: str) -> FieldError | None:
    """One error for what no branch takes: a value of another type, or a member that tells the branches apart."""
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
    """The first MOST_LISTED of some values, and how many more there are."""
    every = list(values)
    text = ", ".join(shown(value) for value in every[:MOST_LISTED])
    return words("more", listed=text, count=len(every) - MOST_LISTED) if len(every) > MOST_LISTED else text


def as_words(value: Any) -> str:
    """A value as a person reads it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) and value.strip() and value.isprintable() else escaped(json.dumps(value, ensure_ascii=False))


def shown(value: Any) -> str:
    """A value inside a sentence: text as it is, the rest as JSON, neither of them long."""
    text = as_words(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
