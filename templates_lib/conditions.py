"""Checks and resolves conditions, which are MongoDB queries: operators of an allow-list, relative dates, Extended JSON. Also finds
conditions that match every document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import json_util

from templates_lib import ages
from templates_lib.base import Problem
from templates_lib.messages import say

COMPARISONS = frozenset({"$gt", "$gte", "$lt", "$lte"})
# Members of expressions and stages whose lists hold the values for a comparison.
COMPARING_LISTS = COMPARISONS | {"boundaries", "bounds"}
LEAVES = COMPARISONS | {
    "$eq",
    "$ne",
    "$exists",
    "$type",
    "$size",
    "$mod",
    "$regex",
    "$options",
    "$bitsAllSet",
    "$bitsAnySet",
    "$bitsAllClear",
    "$bitsAnyClear",
}
LISTS = frozenset({"$in", "$nin", "$all"})
LOGICAL = frozenset({"$and", "$or", "$nor"})
# Extended JSON v2 wrappers (MongoDB specifications, extended-json): values, not operators.
EXTENDED_JSON = frozenset(
    {
        "$oid",
        "$date",
        "$numberInt",
        "$numberLong",
        "$numberDouble",
        "$numberDecimal",
        "$uuid",
        "$binary",
        "$minKey",
        "$maxKey",
        "$timestamp",
        "$regularExpression",
        "$symbol",
        "$undefined",
    }
)
_AWARE = json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)
MAX_DEPTH = 20
LONGEST_REGEX = 500

# {"$literal": "6 months"} is always this text, even if it looks like an age. MongoDB has the same operator for expressions.
LITERAL = "$literal"
ADVICE = '{"$literal": "…"}'


@dataclass(frozen=True, slots=True)
class ReadDate:
    """A text of a condition that was read as a date: its JSON Pointer, the text, and the instant."""

    pointer: str
    text: str
    instant: datetime

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "text": self.text, "means": self.instant.isoformat(timespec="seconds").replace("+00:00", "Z")}


def relative_date(text: str, now: datetime) -> datetime | None:
    """Returns the instant that "6 months ago", "in 2 hours", "now" or "today" means at `now`. Returns None for any other text, and also for
    a text that only looks like an age (`problems` refuses those)."""
    try:
        return ages.parse(text, now)
    except ages.NotAnAge:
        return None


def age_problems(text: str, pointer: str) -> Iterator[Problem]:
    """Yields a problem if a text in a comparison looks like an age but is not one."""
    try:
        ages.parse(text, datetime.now(UTC))
    except ages.NotAnAge as wrong:
        yield Problem(pointer, say("{reason}, or {literal} for the text itself", reason=wrong.reason, literal=ADVICE))


def equal_problems(text: str, pointer: str) -> Iterator[Problem]:
    """Yields a problem if a text for equality is an age, because "6 months ago" is not read as an instant there."""
    if ages.is_written_out(text):
        words = say(
            "{text} is an age, which works only under $lt, $lte, $gt and $gte. Write {literal} for the text itself",
            text=f'"{text[:60]}"',
            literal=ADVICE,
        )
        yield Problem(pointer, words)


def problems(condition: Any, pointer: str = "") -> Iterator[Problem]:
    """Yields what is not allowed in `condition`, each problem at its JSON Pointer. If nothing is yielded, `resolve` takes the condition."""
    yield from _check_query(condition, pointer, 0)


def _check_query(query: Any, pointer: str, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(pointer, say("is nested more than {most} levels deep", most=MAX_DEPTH))
        return
    if not isinstance(query, Mapping):
        yield Problem(pointer, 'must be an object such as {"lastActive": {"$lt": "6 months ago"}}')
        return
    for key, value in query.items():
        here = f"{pointer}/{_escape(key)}"
        if key in LOGICAL:
            if not isinstance(value, list) or not value:
                yield Problem(here, "must be a list with at least one condition")
                continue
            for index, item in enumerate(value):
                yield from _check_query(item, f"{here}/{index}", depth + 1)
        elif key.startswith("$"):
            yield Problem(here, say("{key} is an operator that is not allowed here", key=key))
        elif key == "" or "\0" in key:
            yield Problem(here, "is not a field name")
        elif _is_operators(value):
            yield from _check_operators(value, here, depth + 1)
        else:
            yield from _check_value(value, here, depth + 1)


def _is_operators(value: Any) -> bool:
    return isinstance(value, Mapping) and any(k.startswith("$") for k in value) and not _is_extended_json(value) and not _is_literal(value)


def _is_literal(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {LITERAL}


def _is_extended_json(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(key in EXTENDED_JSON for key in value)


def _check_operators(operators: Mapping[str, Any], pointer: str, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(pointer, say("is nested more than {most} levels deep", most=MAX_DEPTH))
        return
    for key, value in operators.items():
        here = f"{pointer}/{_escape(key)}"
        if key == "$not":
            if not _is_operators(value):
                yield Problem(here, 'must contain operators such as {"$in": [1, 2]}')
            else:
                yield from _check_operators(value, here, depth + 1)
        elif key == "$elemMatch":
            check = _check_operators if _is_operators(value) and not set(value) & LOGICAL else _check_query
            yield from check(value, here, depth + 1)
        elif key in LISTS:
            if not isinstance(value, list):
                yield Problem(here, "must be a list")
            else:
                for index, item in enumerate(value):
                    yield from _check_value(item, f"{here}/{index}", depth + 1)
        elif key not in LEAVES:
            yield Problem(here, say("{key} is an operator that is not allowed here", key=key))
        elif key == "$regex":
            yield from _check_regex(value, here)
        elif key in COMPARISONS and isinstance(value, str):
            yield from age_problems(value, here)
        else:
            yield from _check_value(value, here, depth + 1)


def _check_regex(value: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(pointer, "must be text")
    elif len(value) > LONGEST_REGEX:
        yield Problem(pointer, say("must be at most {most} characters", most=LONGEST_REGEX))


def _check_value(value: Any, pointer: str, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH:
        yield Problem(pointer, say("is nested more than {most} levels deep", most=MAX_DEPTH))
    elif isinstance(value, str):
        yield from equal_problems(value, pointer)
    elif _is_literal(value):
        if not isinstance(value[LITERAL], str):
            yield Problem(f"{pointer}/{LITERAL}", "must be text")
    elif isinstance(value, Mapping):
        if _is_extended_json(value):
            try:
                json_util.object_hook(dict(value))
            except Exception as error:
                yield Problem(pointer, say("is not Extended JSON: {error}", error=error))
            return
        for key, item in value.items():
            here = f"{pointer}/{_escape(key)}"
            if key.startswith("$"):
                yield Problem(here, say("{key} is an operator that is not allowed here", key=key))
            else:
                yield from _check_value(item, here, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_value(item, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        yield Problem(pointer, "is larger than MongoDB can hold (64 bits)")


def resolve(condition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns the query to send: Extended JSON is decoded, and relative dates under $gt, $gte, $lt and $lte become instants.

    A text under any other operator stays a text, and so does {"$literal": text}. `condition` must have passed `problems`.
    """
    resolved = _resolve(condition, now, comparing=False)
    return dict(resolved)


def read_dates(condition: Any, now: datetime, pointer: str = "") -> Iterator[ReadDate]:
    """Yields the texts of a condition or a pipeline that `resolve` turns into instants, in their order."""
    if isinstance(condition, Mapping) and not _is_literal(condition):
        for key, item in condition.items():
            here = f"{pointer}/{_escape(str(key))}"
            for at, text in _compared_texts(key, item, here):
                instant = relative_date(text, now)
                if instant is not None:
                    yield ReadDate(at, text, instant)
            yield from read_dates(item, now, here)
    elif isinstance(condition, list):
        for place, item in enumerate(condition):
            yield from read_dates(item, now, f"{pointer}/{place}")


def compared_fields(query: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each field of a resolved query that is compared by $gt, $gte, $lt or $lte, as a dotted path, with the other value of the
    comparison."""
    if not isinstance(query, Mapping):
        return
    for key, value in query.items():
        if key in LOGICAL:
            for item in value:
                yield from compared_fields(item, before)
        elif key in COMPARISONS:
            yield before, value
        elif key in {"$not", "$elemMatch"}:
            yield from compared_fields(value, before)
        elif not key.startswith("$"):
            yield from compared_fields(value, f"{before}.{key}" if before else key)


def _compared_texts(key: str, value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yields the texts in a comparison, with their pointers: the value of a condition's operator, or the texts in an expression's list."""
    if key in COMPARISONS and isinstance(value, str):
        yield pointer, value
    elif key in COMPARING_LISTS and isinstance(value, list):
        for place, item in enumerate(value):
            if isinstance(item, str) and not item.startswith("$"):
                yield f"{pointer}/{place}", item


def expression_problems(key: str, value: Any, pointer: str) -> Iterator[Problem]:
    """Yields the problems of the texts in the comparisons of a pipeline's expression."""
    for at, text in _compared_texts(key, value, pointer):
        yield from age_problems(text, at)


def resolve_expression(value: Any, now: datetime) -> Any:
    """Returns an expression of a pipeline in which the ages of comparisons are instants."""
    if _is_literal(value):
        return value
    if isinstance(value, Mapping):
        members = {}
        for key, item in value.items():
            resolved = resolve_expression(item, now)
            if key in COMPARING_LISTS and isinstance(resolved, list):
                resolved = [
                    part if not isinstance(part, str) or part.startswith("$") else relative_date(part, now) or part for part in resolved
                ]
            members[key] = resolved
        return members
    return [resolve_expression(item, now) for item in value] if isinstance(value, list) else value


def _resolve(value: Any, now: datetime, *, comparing: bool) -> Any:
    if isinstance(value, Mapping):
        if _is_literal(value):
            return value[LITERAL]
        if _is_extended_json(value):
            return json_util.object_hook(dict(value), _AWARE)
        return {key: _resolve(item, now, comparing=key in COMPARISONS) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, now, comparing=False) for item in value]
    if comparing and isinstance(value, str):
        return relative_date(value, now) or value
    return value


def always_true(query: Any) -> bool:
    """Returns whether a query obviously matches every possible document: `{}`, `{"_id": {"$exists": true}}`, an `$or` with such a branch
    or with both the presence and the absence of a field, and combinations of these. Only the query is checked: a condition that happens to
    match all current documents does not count.
    """
    if not isinstance(query, Mapping):
        return False
    return all(_member_always_true(key, value) for key, value in query.items())


def _member_always_true(key: str, value: Any) -> bool:
    if key == "$and":
        return all(always_true(item) for item in value)
    if key == "$or":
        return any(always_true(item) for item in value) or _covers_presence(value)
    if key == "$nor":
        return all(_never_true(item) for item in value)
    if key.startswith("$"):
        return False
    return _is_operators(value) and all(_operator_always_true(key, name, value) for name in value if name != "$options")


def _operator_always_true(field: str, operator: str, operators: Mapping[str, Any]) -> bool:
    operand = operators[operator]
    if operator == "$nin":
        return all(item is None and field == "_id" for item in operand)
    if operator == "$not":
        return any(name == "$in" and item == [] for name, item in operand.items()) or (
            field == "_id" and operand in ({"$exists": False}, {"$eq": None}, {"$in": [None]})
        )
    if field != "_id":  # every document has an _id, and it is never null
        return False
    return (
        (operator == "$exists" and bool(operand))
        or (operator == "$ne" and operand is None)
        or (operator in {"$gt", "$gte"} and _is_extended_json_of(operand, "$minKey"))
        or (operator in {"$lt", "$lte"} and _is_extended_json_of(operand, "$maxKey"))
    )


def _never_true(query: Any) -> bool:
    return isinstance(query, Mapping) and any(_member_never_true(key, value) for key, value in query.items())


def _member_never_true(key: str, value: Any) -> bool:
    if key == "$and":
        return any(_never_true(item) for item in value)
    if key == "$or":
        return all(_never_true(item) for item in value)
    if key == "$nor":
        return any(always_true(item) for item in value) or _covers_presence(value)
    return (isinstance(value, Mapping) and value.get("$in") == []) or (
        key == "_id" and (value is None or value in ({"$exists": False}, {"$eq": None}))
    )


def _covers_presence(branches: list[Any]) -> bool:
    """Returns whether one of the branches of an `$or` requires that a field exists, and another one that it does not."""
    seen = {
        (key, bool(value["$exists"]))
        for branch in branches
        if isinstance(branch, Mapping) and len(branch) == 1
        for key, value in branch.items()
        if isinstance(value, Mapping) and set(value) == {"$exists"}
    }
    return any((key, not present) in seen for key, present in seen)


def _is_extended_json_of(value: Any, wrapper: str) -> bool:
    return isinstance(value, Mapping) and set(value) == {wrapper}


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
