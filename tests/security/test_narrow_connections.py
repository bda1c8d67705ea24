"""A connection may be kept to templates and collections; whoever made the job, and whenever."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from app.audit.model import Actor
from app.errors import ValidationFailed
from app.services import Services
from templates_lib.base import ConnectionGrant, RunContext, TemplateError
from templates_lib.connections.mongodb import KIND, may_use, open_mongodb
from templates_lib.own import Own
from tests.conftest import Api
from tests.support import Service, eventually

CLEANUP: dict[str, Any] = {"connection": "db", "collection": "sessions_old", "condition": {"a": 1}}


def connection(services: Services, actor: Actor, **narrow: Any) -> str:
    settings = {"uri": "mongodb://127.0.0.1:1", "database": "x", **narrow}
    made: str = services.connections.create(actor, name="db", kind="mongodb", settings=settings)["_id"]
    return made


@pytest.mark.parametrize(
    ("allowed", "collection", "may"),
    [
        (None, "a", True),
        ([], "a", True),
        (["a"], "a", True),
        (["a"], "ab", False),
        (["a*"], "ab", True),
        (["a*"], "a", True),
        (["a*"], "b", False),
        (["*"], "x", True),
        (["a", "b*"], "bc", True),
        (["a"], "A", False),
        (["a."], "a.b", False),
        (["a.*"], "a.b", True),
        (["[a]"], "a", False),
        (["?"], "a", False),
    ],
)
def test_names_and_beginnings(allowed: list[str] | None, collection: str, may: bool) -> None:
    assert may_use({} if allowed is None else {"collections": allowed}, collection) is may


@pytest.mark.parametrize("bad", ["", "a*b", "**", "$cmd", "a\x00", "*a", 7, "x" * 300])
def test_a_pattern_that_is_none(api: Api, bad: Any) -> None:
    settings = {"uri": "mongodb://127.0.0.1:1", "database": "x", "collections": [bad]}
    answer = api("POST", "/api/admin/connections", {"name": "db", "kind": "mongodb", "settings": settings})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/settings/collections/0"


def test_a_job_of_another_template_or_collection_is_refused_at_its_field(services: Services, super_admin: Actor) -> None:
    connection(services, super_admin, templates=["database_cleanup"], collections=["sessions_*"])
    job = services.jobs.create(super_admin, {"name": "j", "template_type": "database_cleanup", "parameters": CLEANUP})[0]
    for parameters, pointer in (
        ({**CLEANUP, "collection": "users"}, "/parameters/collection"),
        ({**CLEANUP, "collection": "sessions"}, "/parameters/collection"),
    ):
        for call in (
            lambda parameters=parameters: services.jobs.create(
                super_admin, {"name": "k", "template_type": "database_cleanup", "parameters": parameters}
            ),
            lambda parameters=parameters: services.jobs.update(super_admin, job.id, {"parameters": parameters}),
            lambda parameters=parameters: services.runs.run_now(super_admin, job.id, overrides=parameters),
        ):
            with pytest.raises(ValidationFailed) as refused:
                call()
            assert [error.pointer for error in refused.value.errors] == [pointer]
    export = {"connection": "db", "collection": "sessions_1", "destination": {"connection": "f", "path": "x"}}
    services.connections.create(super_admin, name="f", kind="file_store", settings={"path": "/nowhere"})
    with pytest.raises(ValidationFailed, match="does not allow jobs of data_export"):
        services.jobs.create(super_admin, {"name": "k", "template_type": "data_export", "parameters": export})


def test_what_is_narrowed_later_holds_for_runs_that_wait(mongod: str, database_name: str, tmp_path: Path) -> None:
    """Runs are queued where nothing starts them, the connections are narrowed, and then a scheduler comes: it judges again."""
    shop = f"{database_name}_shop"
    web = Service("web", uri=mongod, database=database_name, data_dir=tmp_path).wait_ready()
    services = [web]
    try:
        with MongoClient(mongod) as mongo, web.client(web.token()) as client:
            mongo[shop]["users"].insert_many([{"a": 1} for _ in range(3)])
            settings, runs = {"uri": mongod, "database": shop}, []
            for name, narrow, where in (
                ("c", {"collections": ["sessions_*"]}, "/collection"),
                ("t", {"templates": ["data_export"]}, "/connection"),
            ):
                made = client.post("/api/admin/connections", json={"name": name, "kind": "mongodb", "settings": settings}).json()[
                    "connection"
                ]
                parameters = {**CLEANUP, "connection": name, "collection": "users", "dryRun": False}
                retries = {"max_retries": 3, "retry_delay_seconds": 1}
                body = {"name": name, "template_type": "database_cleanup", "parameters": parameters, "retry_policy": retries}
                job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
                runs.append((client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"], where))
                kept = {"uri": {"$secret": "set"}, "database": shop, **narrow}
                client.put(f"/api/admin/connections/{made['_id']}", json={"name": name, "settings": kept}).raise_for_status()
            services.append(Service("scheduler", uri=mongod, database=database_name, data_dir=tmp_path).wait_ready())
            assert [_failed(client, run, where) for run, where in runs] == [True, True]
            assert mongo[shop]["users"].count_documents({}) == 3
    finally:
        for service in services:
            service.stop()
    with MongoClient(mongod) as mongo:
        mongo.drop_database(database_name)
        mongo.drop_database(shop)


def _failed(client: Any, run: str, where: str) -> bool:
    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/api/admin/job-executions/{run}").json()["execution"]
        return found if found["completed_at"] else None

    execution = eventually(ended)
    return execution["status"] == "failed" and where in execution["error"]["message"] and len(execution["attempts"]) == 1


def test_a_template_that_asks_for_another_collection_gets_none(mongod: str, tmp_path: Path) -> None:
    grant = ConnectionGrant("db", "mongodb", {"uri": mongod, "database": "narrowed", "collections": ["a*"]})
    ctx = RunContext(log=logging.getLogger("t"), execution_id="e", attempt=1, now=datetime.now(UTC), files=tmp_path, grants={"db": grant})
    with open_mongodb(ctx, "db") as database:
        assert database["apples"].count_documents({}) == 0
        assert database.apples.count_documents({}) == 0
        for reach in (lambda: database["users"], lambda: database.users, lambda: database.get_collection("users")):
            with pytest.raises(TemplateError, match="does not reach"):
                reach()
    with MongoClient(mongod) as mongo:
        mongo["narrowed"]["apples"].insert_one({})
        mongo["narrowed"]["users"].insert_one({})
        assert KIND.explore is not None
        assert KIND.explore(grant.settings, "collections", "", Own()) == ["apples"]
        mongo.drop_database("narrowed")
