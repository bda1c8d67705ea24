"""The questions of a report: queries of a MongoDB or an SQL database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from bson import Decimal128

from templates_lib import fields, pipelines
from templates_lib.base import RunContext
from templates_lib.cells import cell_value, plain
from templates_lib.connections.mongodb import open_mongodb
from templates_lib.connections.sql import open_sql

TIME_MS = 600_000
QUESTION: dict[str, Any] = {
    "oneOf": [
        {
            "title": "MongoDB",
            "type": "object",
            "required": ["connection", "collection", "pipeline"],
            "additionalProperties": False,
            "properties": {
                "connection": fields.connection("mongodb", "Connection"),
                "collection": {"type": "string", "title": "Collection", "minLength": 1, "maxLength": 200},
                "pipeline": pipelines.SCHEMA,
            },
        },
        {
            "title": "SQL",
            "type": "object",
            "required": ["database", "statement"],
            "additionalProperties": False,
            "properties": {
                "database": fields.connection("sql", "SQL database"),
                "statement": {
                    "type": "string",
                    "title": "Statement",
                    "minLength": 1,
                    "maxLength": 50_000,
                    "x-widget": "textarea",
                    "x-rows": 5,
                    "x-placeholder": "SELECT country, count(*) AS orders FROM orders WHERE at >= :since GROUP BY country",
                },
                "values": {
                    "type": "object",
                    "title": "Values",
                    "x-dynamic": True,
                    "maxProperties": 100,
                    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"},
                    "additionalProperties": {"type": ["string", "number", "boolean", "null"], "title": "Value"},
                },
            },
        },
    ],
    "title": "Query",
    "x-choice-title": "Type of database",
}


def ask(question: Mapping[str, Any], wanted: Sequence[str], most: int, ctx: RunContext) -> tuple[list[str], list[list[Any]]]:
    """Returns the names of the columns, those in `wanted` or all if it is empty, and at most `most` rows of the answer."""
    return (_ask_mongodb if "pipeline" in question else _ask_sql)(question, wanted, most, ctx)


def _ask_mongodb(question: Mapping[str, Any], wanted: Sequence[str], most: int, ctx: RunContext) -> tuple[list[str], list[list[Any]]]:
    with open_mongodb(ctx, question["connection"]) as database:
        stages = pipelines.resolve(question["pipeline"], ctx.now)
        rows = list(islice(_with_safe_points(pipelines.run(database, question["collection"], stages, time_ms=TIME_MS), ctx), most))
    names = list(wanted) or list(dict.fromkeys(name for row in rows for name in row))
    return names, [[_amount(cell_value(row, name)) for name in names] for row in rows]


def _ask_sql(question: Mapping[str, Any], wanted: Sequence[str], most: int, ctx: RunContext) -> tuple[list[str], list[list[Any]]]:
    from sqlalchemy import text  # noqa: PLC0415 - the service that lists this kind does without it

    with open_sql(ctx, question["database"]) as connection:
        result = connection.execution_options(stream_results=True).execute(text(question["statement"]), dict(question.get("values", {})))
        if not result.returns_rows:
            return list(wanted), []
        columns = list(result.keys())
        rows = [[plain(_amount(value)) for value in row] for row in islice(_with_safe_points(result, ctx), most)]
    names = list(wanted) or columns
    places = [columns.index(name) if name in columns else None for name in names]
    return names, [[None if place is None else row[place] for place in places] for row in rows]


def _with_safe_points(rows: Iterable[Any], ctx: RunContext) -> Iterator[Any]:
    """Yields the rows, with a safe point before every thousand."""
    for place, row in enumerate(rows):
        if place % 1000 == 0:
            ctx.check_cancelled()
        yield row


def _amount(value: Any) -> Any:
    """Returns an exact decimal as a float, so that it is shown as a number; any other value as it is."""
    exact = value.to_decimal() if isinstance(value, Decimal128) else value
    return float(exact) if isinstance(exact, Decimal) else value
