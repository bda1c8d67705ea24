"""Queries a relational database, and writes the rows to a file, or the first of them into the result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from templates_lib import fields, statements
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.cells import formula_safe, plain
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.sql import open_sql
from templates_lib.messages import amount

FETCHED = 1000


class SqlQuery(JobTemplate):
    """Runs one statement. Its values are bound and never inserted into the text. The statement may only read, unless the connection allows
    more."""

    type = "sql_query"
    name = "SQL query"
    description = "Query a relational database and put the rows into a file or the result"
    category = "Data"
    icon = "table-2"
    risk_level = "high"
    estimated_duration = "1–10 minutes"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("sql", "SQL database"),
            "statement": {
                "type": "string",
                "title": "Statement",
                "minLength": 1,
                "maxLength": 50_000,
                "x-widget": "textarea",
                "x-rows": 8,
                "x-placeholder": "SELECT country, count(*) AS orders FROM orders WHERE at >= :since GROUP BY country",
                "description": "One SQL statement. Refer to values by name, such as `:since`.",
            },
            "values": {
                "type": "object",
                "title": "Values",
                "x-dynamic": True,
                "maxProperties": 100,
                "description": "The values for the names in the statement.",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"], "title": "Value"},
            },
            "destination": fields.destination("reports/orders-{date}.csv", "File"),
            "format": {
                "title": "File format",
                "oneOf": [{"const": "csv", "title": "CSV"}, {"const": "jsonl", "title": "JSON lines"}],
                "default": "csv",
            },
            "most_rows": {
                "type": "integer",
                "title": "Rows shown in the result",
                "minimum": 1,
                "maximum": 1000,
                "default": 100,
                "description": "Used if no file is written.",
            },
        },
        "required": ["connection", "statement"],
        "examples": [
            {
                "connection": "ledger",
                "statement": "SELECT day, sum(cents) FROM bookings WHERE day >= :since GROUP BY day",
                "values": {"since": "2026-01-01"},
            }
        ],
        "additionalProperties": False,
    }

    def warm(self) -> None:
        import sqlalchemy  # noqa: F401, PLC0415 - imported once, in the parent of the job processes

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        words = statements.problem(params["statement"])
        if words is not None:
            yield Problem("/statement", words)
        if params.get("destination") and fields.leaves_store(params["destination"]["path"]):
            yield Problem("/destination/path", "must stay inside the file store")

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        from sqlalchemy import text  # noqa: PLC0415 - warm() has imported it

        self.insist(params)
        with open_sql(ctx, params["connection"]) as connection:
            result = connection.execution_options(stream_results=True).execute(text(params["statement"]), dict(params.get("values", {})))
            if not result.returns_rows:
                changed = max(0, result.rowcount)
                return JobResult(f"{amount(changed, 'row')} changed", {"records_processed": changed, "errors": 0})
            columns = list(result.keys())
            rows = self._rows(result, ctx)
            if params.get("destination"):
                return self._to_file(columns, rows, params, ctx)
            first_rows = [
                dict(zip(columns, map(plain, row), strict=True)) for row, _ in zip(rows, range(params.get("most_rows", 100)), strict=False)
            ]
            data = {"rows": first_rows, "columns": columns, "records_processed": len(first_rows), "errors": 0}
            return JobResult(amount(len(first_rows), "row"), data)

    @staticmethod
    def _rows(result: Any, ctx: RunContext) -> Iterator[Sequence[Any]]:
        done = 0
        for portion in result.partitions(FETCHED):
            ctx.check_cancelled()
            yield from portion
            done += len(portion)
            ctx.progress(done, None, amount(done, "row"))

    @staticmethod
    def _to_file(columns: list[str], rows: Iterator[Sequence[Any]], params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        store, path = open_file_store(ctx, params["destination"]["connection"]), fields.fill_path(params["destination"]["path"], ctx)
        done = 0
        with store.write_atomically(path) as raw:
            stream = io.TextIOWrapper(raw, encoding="utf-8", newline="", write_through=True)
            writer = csv.writer(stream)
            if params.get("format", "csv") == "csv":
                writer.writerow(columns)
            for row in rows:
                values = list(map(plain, row))
                if params.get("format", "csv") == "csv":
                    writer.writerow(["" if value is None else formula_safe(value) for value in values])
                else:
                    stream.write(json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n")
                done += 1
            stream.flush()
            stream.detach()
        return JobResult(f"{amount(done, 'row')} in {path}", {"records_processed": done, "errors": 0, "path": path, "columns": columns})
