"""Sentences that records hold: English in the database, in REST and in mails; on a page in the language of the viewer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.connections.health_store import HealthStore
from app.connections.probes import Probes
from app.errors import ApprovalNeeded
from app.executors.outcomes import reported_error, storable_outcome
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import RetryOn
from app.jobs.records import RunEnd
from app.queue.model import AttemptError, Outcome, Status
from app.services import Services
from templates_lib.messages import say
from tests.builders.queue import Queue
from tests.conftest import Api

GERMAN = {"Accept-Language": "de"}
GONE = "/dev/null/nowhere"
ENGLISH_WORDS, GERMAN_WORDS = "did not respond for 60 s", "Der Worker hat 60 s lang nicht geantwortet"


def seen(client: FlaskClient, address: str, **headers: str) -> str:
    answer = client.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200
    page = LexborHTMLParser(answer.get_data(as_text=True)).css_first("main")
    assert page is not None
    return " ".join(page.text().split())


@pytest.fixture
def probes(services: Services, store: Store, clock: ManualClock) -> Probes:
    return Probes(services.connections, HealthStore(store.database), clock, services.events, every=timedelta(minutes=5))


def test_why_a_connection_does_not_answer(
    services: Services, super_admin: Actor, probes: Probes, store: Store, mongod: str, browser_client: FlaskClient, api: Api
) -> None:
    services.connections.create(super_admin, name="files", kind="file_store", settings={"path": GONE})
    services.connections.create(super_admin, name="shop", kind="mongodb", settings={"uri": mongod, "database": "elsewhere"})
    assert probes.tick() == 2
    german = seen(browser_client, "/connections", Accept_Language="de")
    assert f"{GONE} lässt sich nicht verwenden" in german
    assert "antwortet. Die Datenbank „elsewhere“ hat 0 Collections." in german
    english = seen(browser_client, "/connections")
    assert f"{GONE} cannot be used" in english
    assert "answers. The database 'elsewhere' has 0 collections." in english
    told = {row["name"]: row["health"] for row in api("GET", "/api/admin/connections", Accept_Language="de").json["connections"]}
    assert f"{GONE} cannot be used" in told["files"]["message"]
    assert told["files"].keys() == {"works", "since", "probed_at", "message"}
    assert f"{GONE} cannot be used" in next(row["message"] for row in store.database["connection_health"].find({"works": False}))


@pytest.mark.parametrize("change", [{"$unset": {"said": 1}}, {"$set": {"message": "Closed by hand"}}, {"$set": {"said": 5}}], ids=str)
def test_a_health_without_the_parts_of_its_own_message_is_shown_as_it_is(
    services: Services, super_admin: Actor, probes: Probes, store: Store, browser_client: FlaskClient, change: Any
) -> None:
    services.connections.create(super_admin, name="files", kind="file_store", settings={"path": GONE})
    probes.tick()
    store.database["connection_health"].update_many({}, change)
    (health,) = HealthStore(store.database).all().values()
    assert health.message in seen(browser_client, "/connections", Accept_Language="de")


def end(services: Services, actor: Actor, store: Store, clock: ManualClock, error: AttemptError) -> str:
    """The id of a run that ended with an error, as a worker records it."""
    job, _ = services.jobs.create(actor, {"name": "Night", "template_type": "test_scheduler"})
    executions, run = Queue(store.database), services.runs.run_now(actor, job.id).id
    (attempt,) = executions.claim_due(owner="w", now=clock.now(), lease=timedelta(seconds=30), limit=5)
    outcome, _ = storable_outcome(Outcome(status=Status.FAILED, error=error))
    executions.finish([(attempt, outcome, None)], now=clock.now())
    DispatchStore(store.database).note_runs([RunEnd(job.id, clock.now(), "failed")])
    return run


def test_why_a_run_failed(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, browser_client: FlaskClient, api: Api
) -> None:
    words = say("The worker did not respond for {seconds:g} s", seconds=60.0)
    run = end(services, super_admin, store, clock, AttemptError(type="LostWorker", message=words, kind=RetryOn.LOST_WORKER))
    job = store.database["job_executions"].find_one({"_id": run})["job_id"]  # type: ignore[index]  # it exists
    for address in (f"/executions/{run}", "/executions", "/executions?q=respond", f"/jobs/{job}", "/", "/jobs"):
        assert GERMAN_WORDS in seen(browser_client, address, Accept_Language="de"), address
        assert ENGLISH_WORDS in seen(browser_client, address), address
    told = api("GET", f"/api/admin/job-executions/{run}", Accept_Language="de").json["execution"]
    assert ENGLISH_WORDS in told["error"]["message"]
    assert "said" not in told["error"]
    store.database["job_executions"].update_many({}, {"$unset": {"error.said": 1, "attempts.0.error.said": 1}})
    assert ENGLISH_WORDS in seen(browser_client, f"/executions/{run}", Accept_Language="de"), "a record of an older release"


def test_what_a_template_raised_comes_with_its_parts_and_a_process_cannot_make_them_up(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, browser_client: FlaskClient
) -> None:
    words = say("Nothing listens at {place} (connection refused). Check the host and port.", place="127.0.0.1:1")
    raised = say("Connection {name!r}: {words}", name="shop", words=words)
    parts = {
        "pattern": raised.pattern,
        "values": {"name": "shop", "words": {"text": words, "parts": {"pattern": words.pattern, "values": words.values}}},
    }
    error = reported_error({"type": "TemplateError", "message": raised, "said": parts})
    run = end(services, super_admin, store, clock, error)
    assert "Verbindung „shop“: Unter 127.0.0.1:1 lauscht kein Dienst" in seen(browser_client, f"/executions/{run}", Accept_Language="de")
    for said in (5, {"pattern": "{a}", "values": {"a": "x"}}, {"pattern": "{a:>999999999}", "values": {"a": "it broke"}}):
        told = reported_error({"type": "E", "message": "it broke", "said": said})
        assert (told.message, told.as_stored()["said"]) == ("it broke", None)


def test_why_an_approved_change_was_not_carried_out(
    services: Services, super_admin: Actor, admin: Actor, browser_client: FlaskClient, api: Api
) -> None:
    body = {
        "name": "clean",
        "template_type": "database_cleanup",
        "parameters": {"connection": "db", "collection": "c", "condition": {"a": 1}},
    }
    services.connections.create(super_admin, name="db", kind="mongodb", settings={"uri": "mongodb://localhost", "database": "d"})
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, body)
    asked = services.approvals.ask(admin, needed.value.ask)
    services.jobs.create(super_admin, {**body, "name": "clean"})
    with pytest.raises(Exception, match="already used"):
        services.approvals.approve(super_admin, asked["_id"])
    german = seen(browser_client, f"/approvals/{asked['_id']}", Accept_Language="de")
    assert "Der Name „clean“ ist schon vergeben." in german
    assert "is already used" in seen(browser_client, f"/approvals/{asked['_id']}")
    told = api("GET", f"/api/admin/approvals/{asked['_id']}").json["approval"]
    assert "is already used" in told["result"]["error"]
    assert "said" not in told["result"]
