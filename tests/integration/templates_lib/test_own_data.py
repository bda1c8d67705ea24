"""No job reads or changes what belongs to Jobwright itself, whatever connection leads to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from pymongo import MongoClient

from app.audit.model import Actor
from app.config import Settings
from app.errors import ValidationFailed
from app.factory import Store
from app.local_mongod import find_mongod
from app.services import Services
from templates_lib import pipelines
from templates_lib.backup.template import Backup
from templates_lib.base import ConnectionGrant, JobTemplate, TemplateError
from templates_lib.connections import KINDS
from templates_lib.connections.file_store import open_store
from templates_lib.connections.mongodb import OWN_MARKER, open_mongodb
from templates_lib.connections.sql import open_sql
from templates_lib.data_archive.template import DataArchive
from templates_lib.data_export.template import DataExport
from templates_lib.database_cleanup.template import DatabaseCleanup
from templates_lib.file_cleanup.template import FileCleanup
from templates_lib.mongodb_aggregation.template import MongodbAggregation
from templates_lib.own import Own
from templates_lib.report_generation.template import ReportGeneration
from templates_lib.ticket_cleanup.template import TicketCleanup
from tests.conftest import Api
from tests.running import Ctx, Data

DEST = {"connection": "files", "path": "x"}
PIPELINE = [{"$match": {}}]
QUESTION = {"title": "t", "question": {"connection": "db", "collection": "users", "pipeline": PIPELINE}}
# Each kind that opens a MongoDB connection, with parameters that lead to the collection `users`.
KINDS_OF_JOBS: list[tuple[JobTemplate, dict[str, Any]]] = [
    (DatabaseCleanup(), {"connection": "db", "collection": "users", "condition": {"a": 1}}),
    (DataExport(), {"connection": "db", "collection": "users", "format": "jsonl", "destination": DEST}),
    (DataArchive(), {"connection": "db", "collection": "users", "condition": {"a": 1}, "to": "files", "destination": DEST}),
    (
        DataArchive(),
        {
            "connection": "other",
            "collection": "users",
            "condition": {"a": 1},
            "to": "collection",
            "target_connection": "db",
            "target_collection": "x",
            "dryRun": False,
        },
    ),
    (MongodbAggregation(), {"connection": "db", "collection": "users", "pipeline": PIPELINE}),
    (MongodbAggregation(), {"connection": "db", "collection": "users", "pipeline": PIPELINE, "into": "x"}),
    (TicketCleanup(), {"connection": "db", "collection": "users", "older_than_days": 1, "statuses": ["x"]}),
    (Backup(), {"connection": "db", "store": "files", "name": "x"}),
    (ReportGeneration(), {"title": "t", "sections": [QUESTION], "formats": ["csv"], "destination": DEST}),
]
NAMES = [f"{type(kind).__name__}-{place}" for place, (kind, _) in enumerate(KINDS_OF_JOBS)]


def reached(ctx: Ctx, **settings: Any) -> None:
    ctx.grants["other"] = ctx.grants["db"]
    ctx.grants["db"] = ConnectionGrant("db", "mongodb", {**ctx.grants["db"].settings, **settings})


# -- the registry's database ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "params"), KINDS_OF_JOBS, ids=NAMES)
def test_no_kind_reads_or_changes_the_registry(kind: JobTemplate, params: dict[str, Any], ctx: Ctx, store: Store) -> None:
    reached(ctx, database=store.database.name)
    for work in (kind.run, kind.preview) if params.get("target_connection") is None else (kind.run,):
        if work is not None:
            with pytest.raises(TemplateError, match="Jobwright's own") as refused:
                work(params, ctx())
            assert refused.value.permanent
    assert not (ctx.files.parent / "store").exists() or not any((ctx.files.parent / "store").iterdir())


@pytest.mark.parametrize(("kind", "params"), KINDS_OF_JOBS, ids=NAMES)
def test_no_kind_reaches_what_is_mongodbs_own(kind: JobTemplate, params: dict[str, Any], ctx: Ctx) -> None:
    for name in ("admin", "local", "config", "Local"):
        reached(ctx, database=name)
        with pytest.raises(TemplateError, match="MongoDB's own"):
            kind.run(params, ctx())


def test_other_ways_to_the_same_server_lead_to_the_same_answer(ctx: Ctx, store: Store, mongod: str) -> None:
    socket_path = urlsplit(mongod).netloc
    ways = [
        mongod,
        f"mongodb://{socket_path}/?directConnection=true",
        f"mongodb://{socket_path}/some_other_database?directConnection=true&readPreference=secondary",
        f"mongodb://{socket_path}/?replicaSet=local&appname=x&retryReads=false&readPreference=nearest&readConcernLevel=majority",
        f"mongodb://{socket_path},{socket_path}/?replicaSet=local",
        f"{mongod}&authSource=admin" if "?" in mongod else mongod,
    ]
    for uri in ways:
        reached(ctx, uri=uri, database=store.database.name)
        with pytest.raises(TemplateError, match="Jobwright's own"), open_mongodb(ctx(), "db"):
            pass


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A mongod that obeys rights, with a registry's mark in its database `registry`: makes a user who may read collections of one
    database, and returns their connection string."""
    program = find_mongod()
    if program is None:
        pytest.skip("no mongod")
    (tmp_path / "db").mkdir()
    where = tmp_path / "m.sock"
    address = quote(str(where), safe="")
    process = subprocess.Popen(
        [program, "--auth", "--dbpath", str(tmp_path / "db"), "--bind_ip", str(where), "--logpath", str(tmp_path / "log")],
        stdout=subprocess.DEVNULL,
    )
    with MongoClient[dict[str, Any]](f"mongodb://{address}/", serverSelectionTimeoutMS=30_000) as client:
        client.admin.command("createUser", "root", pwd="root", roles=["root"])
    with MongoClient[dict[str, Any]](f"mongodb://root:root@{address}/") as root:
        root["registry"]["migrations"].insert_one(dict(OWN_MARKER))

        def user(database: str, *collections: str) -> str:
            privileges = [{"resource": {"db": database, "collection": one}, "actions": ["find"]} for one in collections]
            root.admin.command("createRole", f"role {database}", privileges=privileges, roles=[])
            root.admin.command("createUser", database, pwd="u", roles=[f"role {database}"])
            return f"mongodb://{database}:u@{address}/?authSource=admin"

        yield user
    process.terminate()
    process.wait(30)


def test_a_user_who_may_not_ask_is_judged_by_the_name(ctx: Ctx, strict: Callable[..., str]) -> None:
    own = Own("Registry")
    for database, collections, refused in (("registry", ["users"], True), ("shop", ["users"], False)):
        reached(ctx, uri=strict(database, *collections), database=database)
        if refused:
            with pytest.raises(TemplateError, match="Jobwright's own"), open_mongodb(ctx(own=own), "db"):
                pass
        else:
            with open_mongodb(ctx(own=own), "db") as database_of_shop:
                assert list(database_of_shop["users"].find()) == []


def test_suggestions_and_probes_do_not_look_into_the_registry(services: Services, super_admin: Actor, store: Store, mongod: str) -> None:
    own = Own(store.database.name)
    settings = {"uri": mongod, "database": store.database.name}
    explore = KINDS["mongodb"].explore
    assert explore is not None
    for what in ("collections", "fields"):
        with pytest.raises(TemplateError, match="Jobwright's own"):
            explore(settings, what, "users", own)
    with pytest.raises(TemplateError, match="Jobwright's own"):
        KINDS["mongodb"].probe(settings, Own())


def test_a_connection_to_the_registry_is_refused_when_it_is_saved(api: Api, store: Store, mongod: str) -> None:
    for name, words in (
        (store.database.name, "Jobwright's own"),
        ("local", "MongoDB's own"),
        ("Admin", "MongoDB's own"),
        ("config", "MongoDB's own"),
    ):
        answer = api("POST", "/api/admin/connections", {"name": "c", "kind": "mongodb", "settings": {"uri": mongod, "database": name}})
        assert answer.status_code == 422, name
        [error] = answer.json["errors"]
        assert error["pointer"] == "/settings/database"
        assert words in error["detail"]
    body = {"name": "c", "kind": "mongodb", "settings": {"uri": mongod, "database": "shop"}}
    made = api("POST", "/api/admin/connections", body).json["connection"]
    changed = api(
        "PUT", f"/api/admin/connections/{made['_id']}", {"name": "c", "settings": {**body["settings"], "database": store.database.name}}
    )  # type: ignore[dict-item]
    assert changed.status_code == 422


def test_a_connection_of_before_is_told_by_its_test(services: Services, super_admin: Actor, store: Store, mongod: str) -> None:
    made = services.connections.create(super_admin, name="c", kind="mongodb", settings={"uri": mongod, "database": "shop"})["_id"]
    store.database["connections"].update_one({"_id": made}, {"$set": {"settings.database": store.database.name}})
    works, message = services.connections.probe(super_admin, made)
    assert not works
    assert "Jobwright's own" in message
    assert services.connections.explore(super_admin, "collections", "c") == []


# -- collections of MongoDB, and pipelines that look elsewhere ------------------------------------------------------------


@pytest.mark.parametrize(("kind", "params"), [one for one in KINDS_OF_JOBS if "collection" in one[1]], ids=lambda one: "")
def test_no_kind_reaches_system_collections(kind: JobTemplate, params: dict[str, Any], ctx: Ctx) -> None:
    reached(ctx)
    for name in ("system.views", "system.profile", "system.buckets.x"):
        with pytest.raises(TemplateError, match=r"system\.\* collections|does not reach"):
            kind.run({**params, "collection": name}, ctx())


def test_the_database_that_kinds_get_has_no_door_to_the_server(ctx: Ctx) -> None:
    with open_mongodb(ctx(), "db") as database:
        for reach in (
            lambda: database["system.views"],
            lambda: database.get_collection("system.profile"),
            lambda: database.aggregate([{"$currentOp": {}}]),
            lambda: database.watch(),
        ):
            with pytest.raises(TemplateError, match="does not reach|needs a collection"):
                reach()


@pytest.mark.parametrize(
    "stage",
    [
        {"$lookup": {"from": {"db": "local", "coll": "oplog.rs"}, "as": "x", "pipeline": []}},
        {"$lookup": {"from": {"db": "config", "coll": "cache.chunks.a.b"}, "as": "x", "pipeline": []}},
        {
            "$graphLookup": {
                "from": {"db": "local", "coll": "oplog.rs"},
                "startWith": 1,
                "connectFromField": "a",
                "connectToField": "b",
                "as": "x",
            }
        },
        {"$unionWith": {"db": "x", "coll": "y"}},
        {"$unionWith": {"coll": {"db": "local", "coll": "oplog.rs"}}},
        {"$unionWith": "system.views"},
        {"$unionWith": ["a"]},
        {"$unionWith": "$cmd.aggregate"},
        {"$lookup": {"from": "system.profile", "as": "x", "pipeline": []}},
        {"$lookup": {"from": "a", "_internalUnwind": {}, "as": "x", "pipeline": []}},
        {"$lookup": ["a"]},
        {"$lookup": {"from": None, "as": "x"}},
        {"$facet": {"a": [{"$lookup": {"from": {"db": "local", "coll": "oplog.rs"}, "as": "x", "pipeline": []}}]}},
        {"$unionWith": {"coll": "a", "pipeline": [{"$unionWith": {"db": "local", "coll": "oplog.rs"}}]}},
        {
            "$graphLookup": {
                "from": "a",
                "startWith": 1,
                "connectFromField": "a",
                "connectToField": "b",
                "as": "x",
                "restrictSearchWithMatch": {"$where": "1"},
            }
        },
        {"$changeStream": {}},
        {"$currentOp": {}},
        {"$listLocalSessions": {}},
        {"$collStats": {}},
        {"$planCacheStats": {}},
        {"$documents": []},
        {"$out": {"db": "x", "coll": "y"}},
        {"$merge": {"into": {"db": "x", "coll": "y"}}},
    ],
)
def test_a_pipeline_stays_in_its_database(stage: dict[str, Any]) -> None:
    assert list(pipelines.problems([stage], "/p"))


def test_the_log_of_all_writes_would_be_there_to_be_read(store: Store, data: Data) -> None:
    """What the refusal above is measured against: MongoDB itself answers."""
    data["a"].insert_one({})
    stage = {"$lookup": {"from": {"db": "local", "coll": "oplog.rs"}, "as": "x", "pipeline": [{"$limit": 1}]}}
    assert data["a"].aggregate([stage]).next()["x"]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """A data folder with what the service keeps in it, and a folder of a mongod elsewhere."""
    folder = tmp_path / "srv" / "data"
    for name in ("mongo", "work/17/p1", "exports"):
        (folder / name).mkdir(parents=True)
    for name in ("secret.key", "mongod.pid", "mongo/WiredTiger", "mongo/mongod.lock", "mongo/a.wt", "work/17/p1/x", "exports/old.csv"):
        (folder / name).write_text("x")
    elsewhere = tmp_path / "srv" / "db"
    elsewhere.mkdir()
    for name in ("WiredTiger", "mongod.lock", "a.wt"):
        (elsewhere / name).write_text("x")
    return Own("jobwright", str(folder))


def test_a_store_in_jobwrights_own_files_is_none(own: Own, tmp_path: Path, api: Api, settings: Settings) -> None:
    srv = tmp_path / "srv"
    (tmp_path / "link").symlink_to(srv / "data" / "mongo")
    (tmp_path / "up").symlink_to(srv)
    bad = [
        "data",
        "data/",
        "data/mongo",
        "data/mongo/deeper",
        "data/work",
        "data/exports/../mongo",
        "db",
        "db/x",
        "../link",
        "../up/data/work/17",
        "data/secret.key",
    ]
    for path in [str(srv / one) for one in bad]:
        with pytest.raises(TemplateError, match="Jobwright|MongoDB server"):
            open_store({"path": path}, own)
        with pytest.raises(TemplateError):
            KINDS["file_store"].probe({"path": path}, own)
        assert list(KINDS["file_store"].problems({"path": path}, own)), path
        if path not in {f"{srv}/data", f"{srv}/data/"}:
            with pytest.raises(TemplateError):
                list(_rows(f"sqlite:///{path}/x.db", own))
    assert list(KINDS["file_store"].problems({"path": str(srv / "data" / "exports")}, own)) == []
    answer = api(
        "POST", "/api/admin/connections", {"name": "c", "kind": "file_store", "settings": {"path": str(settings.data_path / "mongo")}}
    )
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/settings/path")
    answer = api(
        "POST", "/api/admin/connections", {"name": "c", "kind": "sql", "settings": {"url": f"sqlite:///{settings.data_path}/work/x.db"}}
    )
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/settings/url")


def _rows(url: str, own: Own) -> Iterator[Any]:
    from templates_lib.connections.sql import open_settings

    with open_settings({"url": url}, own) as connection:
        yield from connection.exec_driver_sql("SELECT 1")


def test_a_store_around_them_leaves_them_alone(own: Own, tmp_path: Path, ctx: Ctx) -> None:
    srv = tmp_path / "srv"
    (srv / "plain.txt").write_text("x")
    (srv / "data" / "work" / "empty").mkdir()
    for path in srv.rglob("*"):
        os.utime(path, (1, 1))
    ctx.grants["files"] = ConnectionGrant("files", "file_store", {"path": str(srv)})
    before = {path for path in srv.rglob("*") if "exports" not in str(path)}
    params = {"store": "files", "older_than_days": 1, "recursive": True, "remove_empty_folders": True, "dryRun": False}
    assert FileCleanup().run(params, ctx(own=own)).data["files_deleted"] == 2
    assert before - set(srv.rglob("*")) == {srv / "plain.txt"}
    store = open_store({"path": str(srv)}, own)
    for name in ("data/secret.key", "data/mongo/x", "data/work/x", "db/a.wt", "data/mongod.pid"):
        for use in (lambda n: store.open(n).__enter__(), lambda n: store.write_atomically(n).__enter__(), store.exists, store.files):
            with pytest.raises(TemplateError, match="belongs to Jobwright|MongoDB server|no folder"):
                list(use(name) or ())
    with store.write_atomically("data/exports/new.csv") as stream:
        stream.write(b"x")


def test_a_sqlite_file_may_lie_below_the_data_folder(own: Own, ctx: Ctx) -> None:
    ctx.grants["sql"] = ConnectionGrant("sql", "sql", {"url": f"sqlite:///{own.folder}/shop.db", "read_only": False})
    with open_sql(ctx(own=own), "sql") as connection:
        connection.exec_driver_sql("CREATE TABLE t (a)")


def test_a_job_process_knows_what_is_jobwrights_own(
    services: Services, super_admin: Actor, settings: Settings, store: Store, mongod: str
) -> None:
    assert services.connections._own == Own(store.database.name, str(settings.data_path))
    with pytest.raises(ValidationFailed):
        services.connections.create(super_admin, name="f", kind="file_store", settings={"path": str(settings.data_path)})
