"""Secrets at rest: another key, and a canary that is nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyotp
import pytest
from pymongo.database import Database

from app.accounts.signin import Visitor
from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.connections.resealing import Resealing
from app.connections.vault import Vault
from app.doctor import Doctor
from app.errors import ApprovalNeeded, StartError
from app.factory import Store, build_services
from app.findings import Level
from app.jobtemplates.catalogue import Catalogue
from app.mongo import Document
from app.queue.shape import SEALED_FIELDS
from app.sandbox import kernel
from app.services import Services
from app.validation.secret import MASK
from tests.support import PASSWORD, Service, eventually

CANARY = "canary-8c1f-do-not-sing"


def house(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, *keys: str) -> Services:
    from dataclasses import replace

    return build_services(replace(settings, secret_key=keys[0], old_secret_keys=keys[1:]), store, clock=clock, catalogue=catalogue)


def filled(services: Services, admin: Actor, super_admin: Actor) -> None:
    """A secret in each place that can hold one."""
    uri = f"mongodb://user:{CANARY}@127.0.0.1:1"
    services.connections.create(super_admin, name="c", kind="mongodb", settings={"uri": uri, "database": "x"})
    job = services.jobs.create(super_admin, {"name": "j", "template_type": "noop", "parameters": {"secret": CANARY}})[0]
    services.jobs.update(super_admin, job.id, {"description": "changed", "parameters": {"secret": dict(MASK)}})
    services.runs.run_now(super_admin, job.id)
    services.inbound.create(super_admin, job.id, {"name": "a", "proof": "github", "key": CANARY})
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise", "secret": CANARY}})
    services.approvals.ask(admin, needed.value.ask)


def everything(database: Database[Document]) -> str:
    return str([list(database[name].find()) for name in database.list_collection_names()])


def test_another_key_opens_all_and_then_seals_all(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, admin: Actor, super_admin: Actor
) -> None:
    before = house(store, settings, clock, catalogue, "first key")
    filled(before, admin, super_admin)
    offer = before.accounts.offer_second_factor(admin)
    before.accounts.confirm_second_factor(admin, password=PASSWORD, secret=offer.secret, code=pyotp.TOTP(offer.secret).at(clock.now()))
    clock.advance(60)
    assert CANARY not in everything(store.database)

    both = house(store, settings, clock, catalogue, "second key", "first key")
    assert both.connections.grant(["c"])["c"].settings["uri"].endswith("@127.0.0.1:1")
    warned = next(one for one in Doctor(both, store).examine() if one.subject == "Key")
    assert (warned.level, "reseal" in warned.advice) == (Level.WARNING, True)
    assert "1 in users" in warned.text
    assert dict(both.resealing.run(super_admin)) == {
        "connections": 1,
        "dynamic_jobs": 1,
        "job_revisions": 1,
        "job_executions": 1,
        "approvals": 2,
        "users": 1,
        "inbound_addresses": 1,
        "channels": 0,
    }
    assert set(dict(both.resealing.run(super_admin)).values()) == {0}
    assert both.resealing.outdated() == {}

    after = house(store, settings, clock, catalogue, "second key")
    assert CANARY in after.connections.grant(["c"])["c"].settings["uri"]
    half = after.signin.with_password(admin.email, PASSWORD, Visitor("192.0.2.1"))
    assert after.signin.with_code(half.secret, pyotp.TOTP(offer.secret).at(clock.now()), Visitor("192.0.2.1")).secret
    with pytest.raises(StartError, match="JOBWRIGHT_OLD_SECRET_KEYS"):
        before.connections.grant(["c"])


def test_what_was_copied_while_all_is_sealed_again_is_sealed_again_too(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, admin: Actor, super_admin: Actor
) -> None:
    """A run that starts meanwhile may hold what its job held before."""
    filled(house(store, settings, clock, catalogue, "first key"), admin, super_admin)
    executions, both = store.database["job_executions"], house(store, settings, clock, catalogue, "second key", "first key")
    early: Any = executions.find_one()
    copies, vault = iter(({**early, "_id": "late", "number": 2}, {**early, "_id": "later", "number": 3})), Vault(both.keys)

    def copy_once(_: float) -> None:
        if (copied := next(copies, None)) is not None:
            executions.insert_one(copied)

    resealing = Resealing(store.database, both.audit, [(SEALED_FIELDS[0], vault)], sleep=copy_once)
    assert list(resealing.run(super_admin)) == [("job_executions", 1), ("job_executions", 1), ("job_executions", 1)]
    assert resealing.outdated() == {}


def test_a_key_that_is_lost_is_said_and_nothing_is_overwritten(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, admin: Actor, super_admin: Actor
) -> None:
    filled(house(store, settings, clock, catalogue, "first key"), admin, super_admin)
    sealed = [store.database[name].find_one() for name in ("connections", "dynamic_jobs")]
    with pytest.raises(StartError):
        list(house(store, settings, clock, catalogue, "a guess").resealing.run(super_admin))
    assert [store.database[name].find_one() for name in ("connections", "dynamic_jobs")] == sealed


def test_the_canary_is_in_no_answer_no_record_and_no_log(mongod: str, database_name: str, tmp_path: Path) -> None:
    """Through a whole life: made, shown, changed, run, failed, exported, looked at by every page and resource."""
    from pymongo import MongoClient

    keys = {"JOBWRIGHT_OLD_SECRET_KEYS": f"{CANARY}-key"}
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path, **keys).wait_ready()
    try:
        # A core would hold every secret in the clear: nothing of the service leaves one.
        limits = [Path(f"/proc/{pid}/limits").read_text() for pid in (service.process.pid, *kernel.descendants(service.process.pid))]
        assert len(limits) > 1
        assert all(re.search(r"Max core file size +0 +0 ", text) for text in limits)
        with service.client(service.token()) as client:
            uri = f"mongodb://user:{CANARY}@127.0.0.1:9/?serverSelectionTimeoutMS=200"
            made = client.post(
                "/api/admin/connections", json={"name": "c", "kind": "mongodb", "settings": {"uri": uri, "database": "x"}}
            ).json()
            connection = made["connection"]["_id"]
            client.post(f"/api/admin/connections/{connection}/test")
            body = {"name": "j", "template_type": "noop", "parameters": {"secret": CANARY}}
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            bad = {**body, "name": "k", "parameters": {"secret": CANARY, "unknown": 1}}
            answers = [
                client.post("/api/admin/scheduler-jobs", json=bad).text,
                client.post("/api/admin/scheduler-jobs/validate", json=body).text,
            ]
            cleanup = {"connection": "c", "collection": "x", "condition": {"a": 1}}
            failing = client.post(
                "/api/admin/scheduler-jobs",
                json={"name": "f", "template_type": "database_cleanup", "parameters": cleanup, "retry_policy": {"max_retries": 0}},
            ).json()
            runs = [client.post(f"/api/admin/scheduler-jobs/{one}/run").json()["execution_id"] for one in (job, failing["job"]["_id"])]
            for run in runs:
                eventually(lambda run=run: client.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
            paths = [
                "connections",
                f"connections/{connection}",
                "scheduler-jobs",
                f"scheduler-jobs/{job}",
                f"scheduler-jobs/{job}/executions",
                "job-executions",
                *(f"job-executions/{run}{more}" for run in runs for more in ("", "/logs")),
                "audit-events?limit=500",
                "audit-events/export",
                "audit-events/export?format=csv",
            ]
            answers += [client.get(f"/api/admin/{path}").text for path in paths]
            from tests.support import ADMIN

            with client.__class__(base_url=service.address) as web:
                token = web.get("/sign-in").text.partition('name="csrf_token" value="')[2].partition('"')[0]
                web.post("/sign-in", data={"csrf_token": token, "email": ADMIN, "password": PASSWORD})
                pages = [
                    "/jobs",
                    f"/jobs/{job}",
                    f"/jobs/{job}/edit",
                    f"/jobs/{job}/run-with",
                    f"/jobs/new?template=noop&like={job}",
                    f"/connections/{connection}",
                    "/audit",
                    *(f"/executions/{run}" for run in runs),
                ]
                answers += [web.get(path).text for path in pages]
            assert [n for n, text in enumerate(answers) if CANARY in text] == []
        with MongoClient(mongod) as mongo:
            assert CANARY not in everything(mongo[database_name])
    finally:
        service.stop()
    assert CANARY not in service.log.read_text()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert kept == []
    with MongoClient(mongod) as mongo:
        mongo.drop_database(database_name)
