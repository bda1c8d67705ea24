"""Checks aggregation pipelines: only stages of an allow-list, and nothing that runs code, writes, or reads other collections without being
noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from templates_lib import conditions, documents
from templates_lib.base import Problem, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.mongodb import is_system
from templates_lib.documents import MAX_TIME_EXPIRED, Documents
from templates_lib.messages import say

STAGES = frozenset(
    {
        "$match",
        "$project",
        "$set",
        "$addFields",
        "$unset",
        "$group",
        "$sort",
        "$limit",
        "$skip",
        "$unwind",
        "$count",
        "$sortByCount",
        "$bucket",
        "$bucketAuto",
        "$replaceRoot",
        "$replaceWith",
        "$sample",
        "$lookup",
        "$graphLookup",
        "$unionWith",
        "$facet",
        "$setWindowFields",
        "$densify",
        "$fill",
    }
)
# Operators and stages that run code, write, or reveal the server's internals. They are refused at any depth.
FORBIDDEN = frozenset({"$function", "$accumulator", "$where", "$eval", "$out", "$merge", "$toHashedIndexKey"})
# Stages that read another collection: the member that names the collection, and all members of the stage.
_NAMES_COLLECTION = {
    "$lookup": ("from", frozenset({"from", "localField", "foreignField", "let", "pipeline", "as"})),
    "$graphLookup": (
        "from",
        frozenset({"from", "startWith", "connectFromField", "connectToField", "as", "maxDepth", "depthField", "restrictSearchWithMatch"}),
    ),
    "$unionWith": ("coll", frozenset({"coll", "pipeline"})),
}
RESTRICT = "restrictSearchWithMatch"
MOST_STAGES = 50
DEEPEST = 30
SCHEMA: dict[str, Any] = {
    "type": "array",
    "title": "Pipeline",
    "minItems": 1,
    "maxItems": MOST_STAGES,
    "x-widget": "json",
    "items": {"type": "object", "minProperties": 1, "maxProperties": 1},
    "description": 'Stages of a MongoDB aggregation. Dates in `$match` may be relative: `"1 month ago"`.',
    "x-placeholder": '[{"$match": {"at": {"$gte": "1 month ago"}}}, {"$group": {"_id": "$country", "orders": {"$sum": 1}}}]',
}


def problems(pipeline: Sequence[Any], pointer: str, *, depth: int = 0) -> Iterator[Problem]:
    """Yields what is not allowed in a pipeline, each problem at its JSON Pointer."""
    if depth > 3:
        yield Problem(pointer, "nests pipelines too deeply")
        return
    for place, stage in enumerate(pipeline):
        here = f"{pointer}/{place}"
        if not isinstance(stage, Mapping) or len(stage) != 1:
            yield Problem(here, 'must be one stage, such as {"$match": {"status": "open"}}')
            continue
        (name, value) = next(iter(stage.items()))
        if name not in STAGES:
            yield Problem(f"{here}/{name}", say("{name} is a stage that is not allowed here", name=name))
        elif name == "$match":
            yield from conditions.problems(value, f"{here}/$match")
        else:
            yield from _other_collection(name, value, f"{here}/{name}")
            yield from _forbidden(value, f"{here}/{name}", 0)
            if name == "$graphLookup" and isinstance(value, Mapping) and RESTRICT in value:
                yield from conditions.problems(value[RESTRICT], f"{here}/{name}/{RESTRICT}")
            for at, inner in _inner_pipelines(name, value):
                yield from problems(inner, f"{here}/{name}{at}", depth=depth + 1)


def _inner_pipelines(name: str, value: Any) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yields the pipelines inside a stage, each with its JSON Pointer from the stage."""
    if name == "$facet" and isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, list):
                yield f"/{key}", inner
    elif name in {"$lookup", "$unionWith"} and isinstance(value, Mapping) and isinstance(value.get("pipeline"), list):
        yield "/pipeline", value["pipeline"]


def _other_collection(name: str, value: Any, pointer: str) -> Iterator[Problem]:
    """Checks that a stage names another collection as a text, so that it is in the same database. MongoDB also takes {db, coll} in some
    places, and that could lead to its log of all writes."""
    if name not in _NAMES_COLLECTION:
        return
    if name == "$unionWith" and isinstance(value, str):
        yield from _plain_collection(value, pointer)
    elif not isinstance(value, Mapping):
        yield Problem(pointer, "must be an object")
    else:
        member, known = _NAMES_COLLECTION[name]
        for key in value:
            if key not in known:
                yield Problem(f"{pointer}/{key}", say("is not known. Known values: {known}", known=", ".join(sorted(known))))
        if member in value:
            yield from _plain_collection(value[member], f"{pointer}/{member}")


def _plain_collection(value: Any, pointer: str) -> Iterator[Problem]:
    if not isinstance(value, str) or not value or "$" in value or "\0" in value:
        yield Problem(pointer, "must be the name of a collection of the same database")
    elif is_system(value):
        yield Problem(pointer, "system.* collections belong to MongoDB")


def _forbidden(value: Any, pointer: str, depth: int) -> Iterator[Problem]:
    if depth > DEEPEST:
        yield Problem(pointer, say("is nested more than {most} levels deep", most=DEEPEST))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key in FORBIDDEN:
                yield Problem(f"{pointer}/{key}", say("{key} is an operator that is not allowed here", key=key))
            elif key != conditions.LITERAL:
                yield from conditions.expression_problems(key, item, f"{pointer}/{key}")
                yield from _forbidden(item, f"{pointer}/{key}", depth + 1)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _forbidden(item, f"{pointer}/{place}", depth + 1)


def collections(pipeline: Sequence[Mapping[str, Any]]) -> set[str]:
    """Returns the other collections that a pipeline reads."""
    names: set[str] = set()
    for stage in pipeline:
        for name, value in stage.items():
            if name in {"$lookup", "$graphLookup"} and isinstance(value, Mapping) and isinstance(value.get("from"), str):
                names.add(value["from"])
            if name == "$unionWith":
                names.add(str(value.get("coll", "")) if isinstance(value, Mapping) else str(value))
            for _, inner in _inner_pipelines(name, value):
                names |= collections(inner)
    return names


def resolve(pipeline: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Returns the pipeline to send, with instants in place of the relative dates in conditions and comparisons. The pipeline must have
    passed `problems`."""
    return [_resolve_stage(next(iter(stage.items())), now) for stage in pipeline]


def _resolve_stage(stage: tuple[str, Any], now: datetime) -> dict[str, Any]:
    name, value = stage
    if name == "$match":
        return {name: conditions.resolve(value, now)}
    if name == "$facet":
        return {name: {key: resolve(inner, now) for key, inner in value.items()}}
    resolved = conditions.resolve_expression(value, now)
    if name == "$graphLookup" and RESTRICT in value:
        resolved[RESTRICT] = conditions.resolve(value[RESTRICT], now)
    if name in {"$lookup", "$unionWith"} and isinstance(value, Mapping) and isinstance(value.get("pipeline"), list):
        resolved["pipeline"] = resolve(value["pipeline"], now)
    return {name: resolved}


def reading(
    collection: Documents, pipeline: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Returns how a pipeline was read, in the form of `documents.reading`. `stages` is the resolved pipeline. Types are checked only for
    conditions at its beginning, because only these see the documents as they are stored."""
    first: list[Mapping[str, Any]] = []
    for stage in stages:
        if "$match" not in stage:
            break
        first.append(stage["$match"])
    return documents.reading(collection, pipeline, {"$and": first} if first else {}, now)


def run(
    database: Database[dict[str, Any]], collection: str, stages: Sequence[Mapping[str, Any]], *, time_ms: int
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a resolved pipeline. Raises TemplateError if the connection does not allow a collection, or the server refuses
    the pipeline."""
    for other in collections(stages):
        database[other]  # raises if the connection does not allow this collection
    try:
        with database[collection].aggregate(list(stages), allowDiskUse=True, maxTimeMS=time_ms) as cursor:
            yield from cursor
    except OperationFailure as error:
        raise TemplateError(
            say("The database refused the pipeline: {reason}", reason=failures.server_words(error)),
            permanent=error.code != MAX_TIME_EXPIRED,
        ) from error
