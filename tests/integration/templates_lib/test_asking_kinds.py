"""Kinds that ask others: aggregations on the real mongod, SQL on a real SQLite, a service that works in batches."""

from __future__ import annotations

import csv
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.migrations import MARKER
from templates_lib import pipelines, statements
from templates_lib.base import Cancelled, ConnectionGrant, TemplateError
from templates_lib.connections.sql import KIND, open_settings
from templates_lib.mongodb_aggregation.template import MongodbAggregation
from templates_lib.own import Own
from templates_lib.service_call.template import ServiceCall
from templates_lib.sql_query.template import SqlQuery
from tests.running import NOW, Ctx, Data

# -- aggregations -----------------------------------------------------------------------------------------------------

BY_COUNTRY = [{"$match": {"at": {"$gte": "1 month ago"}}}, {"$group": {"_id": "$country", "orders": {"$sum": 1}}}, {"$sort": {"_id": 1}}]


def aggregation(**changes: Any) -> dict[str, Any]:
    return {"connection": "db", "collection": "orders", "pipeline": BY_COUNTRY, **changes}


@pytest.fixture
def orders(data: Data) -> Data:
    rows = [("de", 1), ("de", 2), ("fr", 3), ("fr", 400), ("this job", 400)]
    data["orders"].insert_many([{"_id": n, "country": country, "at": NOW - timedelta(days=days)} for n, (country, days) in enumerate(rows)])
    return data


def test_rows_go_into_a_collection_and_again_into_the_same_places(orders: Data, ctx: Ctx) -> None:
    params = aggregation(into="by_country")
    shown = MongodbAggregation().preview(params, ctx())
    assert (shown.message, len(shown.data["samples"])) == ("Would write 2 rows into by_country", 2)
    assert orders.list_collection_names() == ["orders"]
    for _ in range(2):
        assert MongodbAggregation().run(params, ctx()).data == {"into": "by_country", "documents": 2, "errors": 0}
        assert list(orders["by_country"].find().sort("_id", 1)) == [{"_id": "de", "orders": 2}, {"_id": "fr", "orders": 1}]


@pytest.mark.parametrize(
    ("when_there", "row"),
    [
        ("replace", {"_id": "de", "orders": 2}),
        ("merge", {"_id": "de", "note": "x", "orders": 2}),
        ("keepExisting", {"_id": "de", "note": "x"}),
    ],
)
def test_what_becomes_of_a_row_that_is_there(when_there: str, row: dict[str, Any], orders: Data, ctx: Ctx) -> None:
    orders["by_country"].insert_one({"_id": "de", "note": "x"})
    MongodbAggregation().run(aggregation(into="by_country", when_there=when_there), ctx())
    assert orders["by_country"].find_one({"_id": "de"}) == row
    with pytest.raises(TemplateError, match="refused the pipeline"):
        MongodbAggregation().run(aggregation(into="by_country", when_there="fail"), ctx())


def test_rows_in_the_result(orders: Data, ctx: Ctx) -> None:
    result = MongodbAggregation().run(aggregation(most_rows=1), ctx())
    assert [json.loads(row) for row in result.data["rows"]] == [{"_id": "de", "orders": 2}]


@pytest.mark.parametrize(
    ("stage", "pointer"),
    [
        ({"$out": "x"}, "/$out"),
        ({"$merge": {"into": "x"}}, "/$merge"),
        ({"$currentOp": {}}, "/$currentOp"),
        ({"$listSessions": {}}, "/$listSessions"),
        ({"$indexStats": {}}, "/$indexStats"),
        ({"$match": {"$where": "1"}}, "/$match/$where"),
        ({"$match": {"$expr": {"$function": {}}}}, "/$match/$expr"),
        ({"$project": {"x": {"$function": {"body": "f", "args": [], "lang": "js"}}}}, "/$project/x/$function"),
        ({"$group": {"_id": 1, "x": {"$accumulator": {}}}}, "/$group/x/$accumulator"),
        ({"$lookup": {"from": "a", "as": "x", "pipeline": [{"$out": "y"}]}}, "/$lookup/pipeline/0/$out"),
        ({"$facet": {"a": [{"$merge": "x"}]}}, "/$facet/a/0/$merge"),
        ({"$unionWith": {"coll": "a", "pipeline": [{"$match": {"$where": "1"}}]}}, "/$unionWith/pipeline/0/$match/$where"),
        ({"$lookup": {"from": "a", "as": "x", "let": {"y": {"$function": {}}}}}, "/$lookup/let/y/$function"),
        ({"$match": {}, "$sort": {}}, ""),
        ({}, ""),
        ("x", ""),
    ],
)
def test_a_pipeline_that_writes_runs_code_or_looks_around_is_refused(stage: Any, pointer: str) -> None:
    assert f"/p/0{pointer}" in [one.pointer for one in pipelines.problems([stage], "/p")]


def test_a_narrowed_connection_holds_in_every_corner_of_a_pipeline(orders: Data, ctx: Ctx) -> None:
    grant = ctx.grants["db"]
    ctx.grants["db"] = ConnectionGrant("db", "mongodb", {**grant.settings, "collections": ["orders", "by_*"]})
    secret = "people"
    for stage in (
        {"$lookup": {"from": secret, "as": "x", "localField": "a", "foreignField": "b"}},
        {"$unionWith": secret},
        {"$unionWith": {"coll": secret}},
        {"$graphLookup": {"from": secret, "startWith": "$a", "connectFromField": "a", "connectToField": "b", "as": "x"}},
        {"$facet": {"a": [{"$lookup": {"from": secret, "as": "x", "pipeline": []}}]}},
        {"$lookup": {"from": "orders", "as": "x", "pipeline": [{"$unionWith": secret}]}},
    ):
        with pytest.raises(TemplateError, match="does not reach"):
            MongodbAggregation().run(aggregation(pipeline=[stage]), ctx())
    with pytest.raises(TemplateError, match="does not reach"):
        MongodbAggregation().run(aggregation(into=secret), ctx())
    assert MongodbAggregation().run(aggregation(into="by_country"), ctx()).data["into"] == "by_country"
    orders["migrations"].insert_one(MARKER)
    ctx.grants["db"] = grant
    with pytest.raises(TemplateError, match="Jobwright's own"):
        MongodbAggregation().run(aggregation(into="by_country"), ctx())


# -- SQL --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, ctx: Ctx) -> Path:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, cents NUMERIC, data BLOB)")
        database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(n, "=cmd()" if n == 3 else f"n{n}", n * 1.5, b"\x01" if n else None) for n in range(2500)],
        )
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": f"sqlite:///{file}"})
    return file


def query(statement: str, **more: Any) -> dict[str, Any]:
    return {"connection": "sql", "statement": statement, **more}


def test_rows_come_with_bound_values(shop: Path, ctx: Ctx) -> None:
    result = SqlQuery().run(
        query("SELECT id, name FROM orders WHERE id < :most AND name != :name ORDER BY id", values={"most": 3, "name": "n1"}), ctx()
    )
    assert result.data["rows"] == [{"id": 0, "name": "n0"}, {"id": 2, "name": "n2"}]
    injected = SqlQuery().run(query("SELECT count(*) AS n FROM orders WHERE name = :name", values={"name": "' OR 1=1 --"}), ctx())
    assert injected.data["rows"] == [{"n": 0}]
    assert len(SqlQuery().run(query("SELECT * FROM orders", most_rows=7), ctx()).data["rows"]) == 7


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "UPDATE orders SET name = 'x'",
        "INSERT INTO orders VALUES (9999, 'x', 1, NULL)",
        "DROP TABLE orders",
        "CREATE TABLE x (y)",
        "PRAGMA user_version = 7",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "REPLACE INTO orders VALUES (1, 'x', 1, NULL)",
    ],
)
def test_what_changes_anything_is_refused_by_the_database(statement: str, shop: Path, ctx: Ctx) -> None:
    before = shop.read_bytes()
    with pytest.raises(TemplateError) as refused:
        SqlQuery().run(query(statement), ctx())
    assert refused.value.permanent
    assert shop.read_bytes() == before


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A SQLite file that no connection names."""
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE secrets (a)")
    return file


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM INTO '{new}'",
        "vacuum main into '{new}'",
        "/* SELECT */ VACUUM INTO '{new}'",
        "ATTACH '{new}' AS x",
        "ATTACH '{other}' AS x",
        "ATTACH 'file:{other}?mode=ro&immutable=1' AS x",
        "attach ('{other}' || '') as x",
        "ATTACH DATABASE (SELECT '{other}') AS x",
        "PRAGMA writable_schema = ON",
        "PRAGMA main.writable_schema(1)",
        "PRAGMA temp_store_directory = '{folder}'",
        "PRAGMA data_store_directory = '{folder}'",
        "PRAGMA query_only = OFF",
        "PRAGMA trusted_schema = ON",
        "SELECT load_extension('{other}')",
        "SELECT LOAD_EXTENSION('{other}', 'x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT readfile('{other}')",
        "SELECT writefile('{new}', 'x')",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_writable_schema",
        "PRAGMA journal_mode = '{new}'",
        "PRAGMA key = 'x'",
        "PRAGMA mmap_size = 1",
    ],
)
def test_a_statement_reaches_no_other_file_and_no_code(
    statement: str, read_only: bool, shop: Path, other: Path, ctx: Ctx, tmp_path: Path
) -> None:
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": f"sqlite:///{shop}", "read_only": read_only})
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    text = statement.format(new=tmp_path / "new", other=other, folder=tmp_path)
    if text.startswith("PRAGMA journal_mode") and not read_only:
        return  # one that may write chooses among SQLite's own modes, and a path is none
    with pytest.raises(TemplateError) as refused:
        SqlQuery().run(query(text), ctx())
    assert refused.value.permanent
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE x (a)",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "SAVEPOINT x",
        "REINDEX",
        "ANALYZE",
        "ALTER TABLE orders RENAME TO x",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "DETACH main",
        "EXPLAIN QUERY PLAN DELETE FROM orders",
        "WITH x AS (SELECT 1) INSERT INTO orders SELECT 7, 'x', 1, NULL",
        "-- SELECT\nDELETE FROM orders",
        "((DELETE FROM orders))",
    ],
)
def test_a_read_only_file_stays_as_it_is(statement: str, shop: Path, ctx: Ctx, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with suppress(TemplateError):  # what would change nothing may pass
        SqlQuery().run(query(statement), ctx())
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_what_reads_is_asked_as_before(shop: Path, ctx: Ctx) -> None:
    with sqlite3.connect(shop) as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts5(a)")
        database.execute("INSERT INTO words VALUES ('apples and pears')")
        database.execute("CREATE VIEW cheap AS SELECT id FROM orders WHERE cents < 3")
    for statement, rows in (
        ("SELECT a FROM words WHERE words MATCH 'pears'", 1),
        ("SELECT * FROM cheap", 2),
        ("VALUES (1), (2)", 2),
        ("PRAGMA table_info(orders)", 4),
        ("SELECT * FROM pragma_table_info('orders')", 4),
        ("  -- a note\n/* and */ SELECT 1", 1),
        ("EXPLAIN QUERY PLAN SELECT * FROM orders", 1),
        ("PRAGMA user_version", 1),
        ("SELECT * FROM json_each('[1, 2]')", 2),
        ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3) SELECT x FROM n", 3),
        ("SELECT count(*) FROM orders a, orders b WHERE a.id = b.id ORDER BY random()", 1),
    ):
        assert len(SqlQuery().run(query(statement), ctx()).data["rows"]) == rows, statement


def test_a_file_in_the_write_ahead_mode_is_read(shop: Path, ctx: Ctx) -> None:
    with sqlite3.connect(shop) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("DELETE FROM orders WHERE id > 1")
        database.commit()
        assert SqlQuery().run(query("SELECT count(*) AS n FROM orders"), ctx()).data["rows"] == [{"n": 2}]


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:///file:{other}?uri=true",
        "sqlite:///file:{other}?mode=rwc&uri=true",
        "sqlite:///{other}?immutable=1",
        "sqlite:///{other}?vfs=unix-none",
        "sqlite+aiosqlite:///{other}",
        "sqlite+pysqlcipher://:x@/{other}",
    ],
)
def test_a_sqlite_file_is_named_by_its_path_alone(address: str, other: Path, ctx: Ctx) -> None:
    settings = {"url": address.format(other=other)}
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", settings)
    with pytest.raises(TemplateError, match="contains only the path|cannot restrict"):
        SqlQuery().run(query("SELECT 1"), ctx())
    assert [one.pointer for one in KIND.problems(settings, Own())] == ["/url"]


@pytest.mark.parametrize(
    ("statement", "engine"),
    [
        ("COPY orders TO '/tmp/x'", "postgresql"),
        ("COPY (SELECT 1) TO PROGRAM 'id'", "postgresql"),
        ("DO $$ BEGIN END $$", "postgresql"),
        ("SET TRANSACTION READ WRITE", "postgresql"),
        ("COMMIT", "postgresql"),
        ("CALL p()", "postgresql"),
        ("LOAD 'x'", "postgresql"),
        ("LOCK TABLE x", "postgresql"),
        ("SELECT lo_export(1, '/tmp/x')", "postgresql"),
        ("SELECT LO_Export (1, '/tmp/x')", "postgresql"),
        ("SELECT U&\"lo\\005fexport\"(1, 'x')", "postgresql"),
        ("SELECT pg_read_file('/etc/passwd')", "postgresql"),
        ("SELECT * FROM dblink('x', 'DELETE FROM y') AS t(a int)", "postgresql"),
        ("SELECT set_config('transaction_read_only', 'off', false)", "postgresql"),
        ("SELECT * FROM ts_stat('SELECT to_tsvector(lo_ex'||'port(1,''/tmp/x'')::text)')", "postgresql"),
        ("SELECT ts_rewrite('a'::tsquery, 'SELECT pg_re'||'ad_file(''x'')::tsquery, ''a''::tsquery')", "postgresql"),
        ("SELECT * FROM crosstab('SELECT ' || 'x') AS t(a int)", "postgresql"),
        ("SELECT pg_try_advisory_lock(1)", "postgresql"),
        ("SELECT pg_backup_start('x')", "postgresql"),
        ("SELECT pg_stat_reset()", "postgresql"),
        ("SELECT pg_terminate_backend(1)", "postgresql"),
        ("SELECT query_to_xml('x', true, true, '')", "postgresql"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", "mysql"),
        ("SELECT 1 INTO/**/DUMPFILE '/tmp/x'", "mysql"),
        ("SELECT LOAD_FILE('/etc/passwd')", "mariadb"),
        ("/*!50000 DELETE FROM x */", "mysql"),
        ("SELECT 1 /*!INTO OUTFILE*/ 'x'", "mysql"),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE y", "mysql"),
        ("# SELECT\nDROP TABLE x", "mysql"),
        ("EXEC xp_cmdshell 'id'", "mssql"),
        ("BEGIN DELETE FROM x; END", "oracle"),
        ("", "sqlite"),
        ("1", "sqlite"),
    ],
)
def test_what_no_read_only_transaction_refuses_is_refused_by_its_words(statement: str, engine: str) -> None:
    assert statements.writes(statement, engine) is not None


@pytest.mark.parametrize("statement", ["SELECT ts_status, advisory_board FROM x", "SELECT flowrite FROM x", "(SELECT 1)", "TABLE x"])
def test_names_that_only_resemble_such_words_are_read(statement: str) -> None:
    assert statements.writes(statement, "postgresql") is None


def test_a_connection_that_may_write_does(shop: Path, ctx: Ctx) -> None:
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": f"sqlite:///{shop}", "read_only": False})
    assert SqlQuery().run(query("DELETE FROM orders WHERE id >= 2490;"), ctx()).data["records_processed"] == 10
    with pytest.raises(TemplateError):
        SqlQuery().run(query("UPDATE orders SET id = 1 WHERE id = 2"), ctx())
    with sqlite3.connect(shop) as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone() == (2490,)


def test_a_file_of_rows(shop: Path, ctx: Ctx, tmp_path: Path) -> None:
    for kind in ("csv", "jsonl"):
        result = SqlQuery().run(
            query("SELECT * FROM orders ORDER BY id", destination={"connection": "files", "path": f"orders-{{date}}.{kind}"}, format=kind),
            ctx(),
        )
        assert (result.data["records_processed"], result.data["path"]) == (2500, f"orders-2026-08-31.{kind}")
    rows = list(csv.DictReader((tmp_path / "store" / "orders-2026-08-31.csv").read_text().splitlines()))
    assert (len(rows), rows[3]["name"], rows[1]["data"], rows[0]["data"], rows[1]["cents"]) == (2500, "'=cmd()", "01", "", "1.5")
    lines = [json.loads(line) for line in (tmp_path / "store" / "orders-2026-08-31.jsonl").read_text().splitlines()]
    assert lines[3] == {"id": 3, "name": "=cmd()", "cents": 4.5, "data": "01"}
    assert ctx.steps[-1] == (2500, None)


def test_what_is_wrong_with_a_query_is_said(shop: Path, ctx: Ctx) -> None:
    for statement in ("SELECT", "SELECT * FROM nothing", "SELECT :missing"):
        with pytest.raises(TemplateError) as refused:
            SqlQuery().run(query(statement), ctx())
        assert refused.value.permanent, statement
    assert [one.pointer for one in SqlQuery().check(query("SELECT 1; DROP TABLE orders"))] == ["/statement"]
    assert list(SqlQuery().check(query("SELECT 1 ; \n"))) == []
    ctx.stop.set()
    with pytest.raises(Cancelled):
        SqlQuery().run(query("SELECT * FROM orders"), ctx())


def test_a_database_that_is_not_there(tmp_path: Path, ctx: Ctx, shop: Path) -> None:
    assert KIND.probe(ctx.grants["sql"].settings, Own()) == "sqlite answers. It has 1 table."
    assert KIND.folders(ctx.grants["sql"].settings) == (str(tmp_path),)
    assert KIND.folders({"url": "postgresql://h/d"}) == ()
    for url in ("nothing://x", "sqlite:////no/such/folder/x.db"):
        ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": url})
        with pytest.raises(TemplateError):
            SqlQuery().run(query("SELECT 1"), ctx())
    with pytest.raises(Exception, match="nothing"), open_settings({"url": "nothing://x"}, Own()):
        pass


# -- services ---------------------------------------------------------------------------------------------------------


class Worker:
    """A service that answers with what `answers` says of each body."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], Any]] = []
        self.answer: Callable[[Any], tuple[int, Any]] = lambda body: (200, {})
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                worker.calls.append(({key.lower(): value for key, value in self.headers.items()}, body))
                status, answer = worker.answer(body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def worker(ctx: Ctx) -> Iterator[Worker]:
    made = Worker()
    ctx.grants["api"] = ConnectionGrant("api", "http", {"hosts": [made.host], "plain": True, "proof": "bearer", "secret": "s3cret"})
    yield made
    made.server.shutdown()
    made.server.server_close()


def call(worker: Worker, **changes: Any) -> dict[str, Any]:
    return {
        "connection": "api",
        "url": f"http://{worker.host}/api/jobs/crawl/execute",
        "job_name": "crawl",
        "config": {"batchSize": 2},
        **changes,
    }


def test_batches_until_there_is_nothing_left(worker: Worker, ctx: Ctx) -> None:
    def answer(body: Any) -> tuple[int, Any]:
        at = body.get("cursor", 0)
        return 200, {
            "success": True,
            "itemsProcessed": 2,
            "itemsSucceeded": 1,
            "itemsFailed": 1,
            "errors": [f"item {at}"],
            "more": at < 4,
            "cursor": at + 2,
        }

    worker.answer = answer
    result = ServiceCall().run(call(worker), ctx())
    assert result.data == {
        "records_processed": 6,
        "itemsProcessed": 6,
        "itemsSucceeded": 3,
        "itemsFailed": 3,
        "errors": 3,
        "error_messages": ["item 0", "item 2", "item 4"],
        "batches": 3,
    }
    assert [body.get("cursor") for _, body in worker.calls] == [None, 2, 4]
    headers, body = worker.calls[1]
    assert (headers["authorization"], headers["idempotency-key"]) == ("Bearer s3cret", "exec-1.2")
    assert body == {"jobName": "crawl", "config": {"batchSize": 2}, "executionId": "exec-1", "attempt": 1, "batch": 2, "cursor": 2}
    assert ctx.steps[-1] == (6, None)
    with pytest.raises(TemplateError, match="3 of 6 items failed"):
        ServiceCall().run(call(worker, fail_on_items=True), ctx())


def test_a_service_that_never_ends_is_ended(worker: Worker, ctx: Ctx) -> None:
    worker.answer = lambda body: (200, {"more": True, "itemsProcessed": 1})
    assert ServiceCall().run(call(worker, most_batches=5), ctx()).data["batches"] == 5


@pytest.mark.parametrize(
    ("status", "answer", "words", "permanent"),
    [
        (200, {"success": False, "error": "no index"}, "The service says: no index", False),
        (500, {"x": 1}, "answered 500", False),
        (429, {}, "answered 429", False),
        (400, {"detail": "bad"}, "answered 400", True),
        (404, {}, "answered 404", True),
        (302, {}, "answered 302", True),
        (200, b"<html>", "not valid JSON", True),
        (200, b"[1]", "must be a JSON object", True),
        (200, b'"' + b"x" * 1_100_000 + b'"', "longer than", True),
    ],
)
def test_what_a_service_may_answer(status: int, answer: Any, words: str, permanent: bool, worker: Worker, ctx: Ctx) -> None:
    worker.answer = lambda body: (status, answer)
    with pytest.raises(TemplateError, match=words) as failed:
        ServiceCall().run(call(worker), ctx())
    assert failed.value.permanent is permanent


def test_odd_answers_count_for_nothing(worker: Worker, ctx: Ctx) -> None:
    worker.answer = lambda body: (200, {"itemsProcessed": "many", "itemsSucceeded": -1, "itemsFailed": True, "errors": "x", "more": "yes"})
    assert ServiceCall().run(call(worker), ctx()).data == {
        "records_processed": 0,
        "itemsProcessed": 0,
        "itemsSucceeded": 0,
        "itemsFailed": 0,
        "errors": 0,
        "error_messages": [],
        "batches": 1,
    }
    worker.answer = lambda body: (204, b"")
    assert ServiceCall().run(call(worker), ctx()).data["batches"] == 1


def test_elsewhere_is_not_called_and_a_stop_is_heard(worker: Worker, ctx: Ctx) -> None:
    with pytest.raises(TemplateError, match="does not reach"):
        ServiceCall().run(call(worker, url="http://127.0.0.1:1/"), ctx())
    assert [one.pointer for one in ServiceCall().check(call(worker, url="https://u:p@h/"))] == ["/url"]
    ctx.stop.set()
    with pytest.raises(Cancelled):
        ServiceCall().run(call(worker), ctx())
    assert worker.calls == []


def test_a_read_only_connection_to_a_missing_file_says_so_and_makes_none(tmp_path: Path, ctx: Ctx) -> None:
    missing = tmp_path / "missing.db"
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": f"sqlite:///{missing}"})
    with pytest.raises(TemplateError, match="There is no SQLite file") as wrong:
        SqlQuery().run(query("SELECT 1"), ctx())
    assert wrong.value.permanent
    assert not missing.exists()
