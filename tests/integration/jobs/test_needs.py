"""What jobs and templates need of nodes: over REST, in files, on pages, in executions of every kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.clock import ManualClock
from app.doctor.jobs import check_executions
from app.factory import Store
from app.factory.stores import Stores
from app.queue.execution import Execution
from app.scheduling.node_store import Heartbeat, NodeStore
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import LEASE, Queue, make_job
from tests.builders.scheduling import dispatcher
from tests.conftest import Api
from tests.posting import text

JOBS = "/api/admin/scheduler-jobs"


def needs_of(store: Store, **where: Any) -> list[list[str]]:
    return [row.get("needs", []) for row in store.database["job_executions"].find(where)]


def beat(store: Store, clock: ManualClock, *labels: str) -> None:
    NodeStore(store.database).beat("n", Heartbeat(host="h", clock=clock.now(), tick_age_seconds=0.1, labels=labels, slots=4))
    store.database["nodes"].update_one({"_id": "n"}, {"$set": {"seen_at": clock.now()}})


def test_needs_are_a_list_of_labels(api: Api) -> None:
    made = api("POST", JOBS, {"name": "a", "template_type": "noop", "needs": ["site=berlin", "gpu"]})
    assert made.json["job"]["needs"] == ["gpu", "site=berlin"], "they are sorted"
    job = made.json["job"]["id"]
    for wrong, pointer in (
        ("gpu", "/needs"),
        ({"needs": "gpu"}, "/needs"),
        (["GPU"], "/needs/0"),
        (["a", "site="], "/needs/1"),
        ([7], "/needs/0"),
        ([f"l{n}" for n in range(17)], "/needs"),
    ):
        refused = api("PUT", f"{JOBS}/{job}", {"needs": wrong})
        assert (refused.status_code, refused.json.get("errors", [{}])[0].get("pointer")) == (422, pointer), (wrong, refused.json)
    assert api("PUT", f"{JOBS}/{job}", {"needs": ["gpu", "b", "gpu"]}).json["job"]["needs"] == ["b", "gpu"], "each once, as with tags"
    assert api("PUT", f"{JOBS}/{job}", {"needs": []}).json["job"]["needs"] == []
    assert api("PUT", f"{JOBS}/{job}", {"priority": 3}).json["job"]["needs"] == []
    rows = api("GET", f"{JOBS}/{job}/revisions").json["revisions"]
    assert {"field": "/needs", "before": ["b", "gpu"], "after": []} in [row for one in rows for row in one["diff"]]


def test_a_file_of_jobs_has_them(services: Services, super_admin: Actor, api: Api) -> None:
    make_job(services, super_admin, name="a", needs=["gpu"])
    make_job(services, super_admin, name="b")
    file = text(api("GET", f"{JOBS}/export?format=yaml"))
    assert file.count("needs:") == 1, "a default is left out"
    plan = services.exchange.plan(super_admin, file.replace("- gpu", "- tpu"))
    assert "/needs" in str(plan)


def test_every_execution_carries_the_needs_of_its_job_and_its_template(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, api: Api
) -> None:
    services.templates.set_standing(super_admin, "noop", {"needs": ["tpu"]})
    schedule = {"type": "interval", "interval_seconds": 3600, "start_at": clock.now().isoformat()}
    job = make_job(services, super_admin, name="a", needs=["gpu"], schedule=schedule, overlap="queue")
    after = make_job(services, super_admin, name="b", depends_on=[{"job": "a"}])
    clock.advance(3600)
    assert dispatcher(store, services, clock).tick() >= 1
    run = services.runs.run_now(super_admin, job.id)
    services.backfill_runs.start(super_admin, job.id, [clock.now() - timedelta(days=2)])
    services.previews.start(super_admin, job, of="x")
    assert needs_of(store) == [["gpu", "tpu"]] * store.database["job_executions"].count_documents({})
    assert api("GET", f"/api/admin/job-executions/{run.id}").json["execution"]["needs"] == ["gpu", "tpu"]
    followers = Execution.following(after, clock.now(), caused_by=(run.id,), line=(job.id,), execution_id="f")
    Stores.over(store.database, OWING).queue.add_one(followers)
    assert needs_of(store, _id="f") == [["tpu"]]
    services.runs.cancel(super_admin, run.id)
    services.templates.set_standing(super_admin, "noop", {"needs": []})
    services.jobs.update(super_admin, job.id, {"needs": ["other"]})
    again = services.runs.retry(super_admin, run.id)
    assert needs_of(store, _id=again.id) == [["other"]], "a run that is asked for now has what is needed now"
    assert ["gpu", "tpu"] in needs_of(store, status="queued"), "what waits keeps what was needed when it was queued"


def test_a_derived_template_needs_what_its_base_needs(services: Services, super_admin: Actor, store: Store) -> None:
    services.templates.derive(super_admin, {"type": "mine", "base": "noop"})
    services.templates.publish(super_admin, "mine")
    services.templates.set_standing(super_admin, "noop", {"needs": ["gpu"]})
    services.templates.set_standing(super_admin, "mine", {"needs": ["site=berlin"]})
    job = make_job(services, super_admin, name="d", template_type="mine")
    run = services.runs.run_now(super_admin, job.id)
    assert needs_of(store, _id=run.id) == [["gpu", "site=berlin"]]
    assert services.catalogue.needs("mine") == ("gpu", "site=berlin")


@pytest.mark.parametrize("wrong", ["gpu", ["GPU"], ["a", "a"], [1]])
def test_wrong_needs_of_a_template_are_refused(api: Api, wrong: Any) -> None:
    refused = api("PUT", "/api/admin/job-templates/noop/standing", {"needs": wrong})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"].startswith("/needs")


def test_what_no_node_can_take_is_told_everywhere(
    services: Services, super_admin: Actor, store: Store, clock: ManualClock, api: Api, browser_client: FlaskClient
) -> None:
    beat(store, clock, "gpu")
    made = api("POST", JOBS, {"name": "a", "template_type": "noop", "needs": ["gpu", "site=berlin"], "misfire": {"grace_seconds": 600}})
    (warning,) = made.json["warnings"]
    assert warning["pointer"] == "/needs"
    assert warning["detail"] == "No running node has the labels gpu, site=berlin. Runs wait until a node has all of them."
    job = made.json["job"]["id"]
    run = services.runs.run_now(super_admin, job)
    words = "Waits for a node with the labels gpu, site=berlin; no running node has them."
    assert words in text(browser_client.get(f"/executions/{run.id}"))
    assert "No running node has all of these labels." in text(browser_client.get(f"/jobs/{job}"))
    assert services.unplaced.overdue() == [], "it is within its grace"
    clock.advance(3601)
    beat(store, clock, "gpu")
    (row,) = services.unplaced.overdue()
    assert (row.job_id, row.needs, row.count, row.execution_id) == (job, ("gpu", "site=berlin"), 1, run.id)
    assert f'<a href="/executions/{run.id}" dir="auto">a</a>' in text(browser_client.get("/"))
    assert services.unplaced.seen_by(replace(super_admin, role="admin", groups=frozenset({"g"}))) == []
    told = [finding.text for finding in check_executions(services, store)]
    assert not any("waiting for a free slot" in text for text in told), "more slots would not help it"
    assert any("gpu, site=berlin, which no running node has: 1" in text for text in told), told
    beat(store, clock, "gpu", "site=berlin")
    assert services.unplaced.overdue() == []
    assert words not in text(browser_client.get(f"/executions/{run.id}"))
    assert api("PUT", f"{JOBS}/{job}", {"priority": 4}).json["warnings"] == []
    assert "site=berlin" in text(browser_client.get(f"/jobs/{job}/edit")), "the form suggests what nodes have"


def test_a_node_that_drains_counts_as_absent(services: Services, super_admin: Actor, store: Store, clock: ManualClock) -> None:
    beat(store, clock, "gpu")
    assert services.node_control.takes(["gpu"])
    services.node_control.drain(super_admin, "n")
    assert not services.node_control.takes(["gpu"])
    assert services.node_control.takes([]), "what needs nothing is no question of labels"


def test_bulk_changes_leave_them_alone(services: Services, super_admin: Actor, store: Store, clock: ManualClock, api: Api) -> None:
    job = make_job(services, super_admin, name="a", needs=["gpu"])
    api("POST", f"{JOBS}/bulk", {"action": "tag", "tag": "t", "job_ids": [job.id]})
    assert services.jobs.get(super_admin, job.id).definition.needs == ("gpu",)
    executions = Queue(store.database)
    services.runs.run_now(super_admin, job.id)
    assert executions.claim_due(owner="w", now=clock.now(), lease=LEASE) == []
