"""The manifest of a service: the whole set of its jobs, its version and time to live, heartbeats of instances, silence."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask

from app.accounts.model import Scope
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.factory import Store
from app.jobs.model import Job
from app.services import Services
from tests.conftest import Api
from tests.integration.integrations.conftest import account
from tests.integration.integrations.test_registration import written

SERVICE = "/api/services/email-service"
MANIFEST = f"{SERVICE}/manifest"
HEARTBEAT = f"{SERVICE}/heartbeat"


def job(name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "cronExpression": "0 9 * * 1", **members}


def manifest(*jobs: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"version": "1.0.0", "address": "http://email-service:7006", "jobs": list(jobs), **members}


def jobs_of(services: Services) -> dict[str, Job]:
    return {item.definition.name: item for item in services.registrations.of_service("email-service")}


def test_a_manifest_creates_updates_keeps_and_retires(bot_api: Api, services: Services) -> None:
    first = bot_api("PUT", MANIFEST, manifest(job("a"), job("b"), job("c")))
    assert first.status_code == 200, first.json
    assert first.json["created"] == ["a", "b", "c"]
    assert first.json["signingKey"]["secret"]
    second = bot_api("PUT", MANIFEST, manifest(job("a"), job("b", description="new"), job("d"), version="1.1.0"))
    assert [second.json[name] for name in ("created", "updated", "unchanged", "retired")] == [["d"], ["b"], ["a"], ["c"]]
    assert second.json["version"] == "1.1.0"
    assert sorted(jobs_of(services)) == ["a", "b", "d"]
    assert jobs_of(services)["a"].definition.parameters["path"] == "/api/jobs/a/execute"


def test_an_identical_manifest_writes_nothing_and_keeps_its_etag(
    bot_api: Api, store: Store, services: Services, super_admin: Actor
) -> None:
    body = manifest(job("a"), job("b"))
    first = bot_api("PUT", MANIFEST, body)
    before = written(store)
    again = bot_api("PUT", MANIFEST, body)
    assert again.json["unchanged"] == ["a", "b"]
    assert (again.json["digest"], again.headers["ETag"]) == (first.json["digest"], first.headers["ETag"])
    assert written(store) == before
    assert len(services.jobs.revisions(super_admin, jobs_of(services)["a"].id)) == 1


def test_if_match_refuses_an_old_etag(bot_api: Api, api: Api) -> None:
    first = bot_api("PUT", MANIFEST, manifest(job("a")))
    second = bot_api("PUT", MANIFEST, manifest(job("a"), job("b")), If_Match=first.headers["ETag"])
    assert second.status_code == 200
    assert second.headers["ETag"] != first.headers["ETag"]
    late = bot_api("PUT", MANIFEST, manifest(), If_Match=first.headers["ETag"])
    assert late.status_code == 412
    assert "another manifest" in late.json["detail"]
    assert not {"expected_version", "actual_version"} & late.json.keys()
    present = api("GET", "/api/services/email-service").json["manifest"]["etag"]
    assert bot_api("PUT", MANIFEST, manifest(), If_Match=f'"{present}"').status_code == 200


def test_the_etag_of_a_service_is_told_to_its_owner_alone(bot_api: Api, app: Flask, services: Services) -> None:
    present = bot_api("PUT", MANIFEST, manifest(job("a"))).headers["ETag"]
    account(services, "other@example.com")
    other = Api(app, services.tokens.create(SYSTEM, email="other@example.com", name="o", scopes=[Scope.SERVICES]))
    answer = other("PUT", MANIFEST, manifest(), If_Match='"wrong"')
    assert answer.status_code == 403, answer.json
    assert present.strip('"') not in answer.get_data(as_text=True)


def test_a_retired_job_stops_at_once_and_returns_with_its_settings(
    bot_api: Api, api: Api, services: Services, store: Store, clock: ManualClock
) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), job("b")))
    kept = jobs_of(services)["a"]
    api("POST", f"/api/admin/scheduler-jobs/{kept.id}/enable")
    api("PUT", f"/api/admin/scheduler-jobs/{kept.id}", {"priority": 9, "schedule": {"type": "cron", "expression": "0 10 * * 1"}})
    api("POST", f"/api/admin/scheduler-jobs/{kept.id}/run", {})
    assert bot_api("PUT", MANIFEST, manifest(job("b"))).json["retired"] == ["a"]
    row = store.database["dynamic_jobs"].find_one({"_id": kept.id})
    assert row is not None
    assert (row["retired"], row["enabled"], row["next_run_at"]) == (True, False, None)
    waiting = store.database["job_executions"].count_documents({"job_id": kept.id, "status": "queued"})
    assert waiting == 0, "what waited for its turn does not run any more"
    assert store.database["job_executions"].count_documents({"job_id": kept.id}) == 1, "the history stays"
    back = bot_api("PUT", MANIFEST, manifest(job("a", description="again"), job("b")))
    assert back.json["updated"] == ["a"]
    after = jobs_of(services)["a"]
    assert (after.id, after.definition.priority, after.definition.enabled) == (kept.id, 9, True)
    assert after.definition.schedule.values()["expression"] == "0 10 * * 1"
    assert after.definition.description == "again"
    assert after.next_run_at is not None
    assert after.next_run_at > clock.now()


def test_a_retired_job_on_which_another_depends_stays_disabled(bot_api: Api, api: Api, services: Services) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), job("b")))
    first = jobs_of(services)["a"]
    api("POST", f"/api/admin/scheduler-jobs/{first.id}/enable")
    follower = {"name": "after", "template_type": "noop", "parameters": {}, "depends_on": [{"job": "a"}]}
    assert api("POST", "/api/admin/scheduler-jobs", follower).status_code == 201
    assert bot_api("PUT", MANIFEST, manifest(job("b"))).json["retired"] == ["a"]
    shown = api("GET", f"/api/admin/scheduler-jobs/{first.id}").json["job"]
    assert (shown["enabled"], bool(shown["registered"]["retired_at"])) == (False, True)
    refused = api("POST", f"/api/admin/scheduler-jobs/{first.id}/enable")
    assert refused.status_code == 422
    assert "no longer declares" in refused.json["detail"]
    assert bot_api("PUT", MANIFEST, manifest(job("b"))).json["retired"] == []
    assert bot_api("PUT", MANIFEST, manifest(job("a"), job("b"), version="2")).json["updated"] == ["a"]
    assert jobs_of(services)["a"].definition.enabled


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"jobs": []}, {"/version"}),
        (manifest(job("a b")), {"/jobs/0/name"}),
        (manifest(job("a"), job("a")), {"/jobs/1/name"}),
        (manifest(job("a", endpoint="http://elsewhere.example.com/x")), {"/jobs/0/endpoint"}),
        (manifest(job("a", cronExpression="x"), job("b", timezone="x")), {"/jobs/0/cronExpression", "/jobs/1/timezone"}),
        (manifest(ttlSeconds=1), {"/ttlSeconds"}),
        (manifest(onStale="stop"), {"/onStale"}),
        (manifest(address="email"), {"/address"}),
        ({"version": "1", "jobs": [job("a")]}, {"/address"}),
        (manifest(displayName="\u202e"), {"/displayName"}),
        ({**manifest(job("a", displayName="\u2028")), "version": "1\u200b"}, {"/version", "/jobs/0/displayName"}),
        ([], {""}),
        ({"version": "1", "address": "http://email-service:7006", "jobs": {}}, {"/jobs"}),
    ],
)
def test_a_wrong_manifest_is_refused_as_a_whole(bot_api: Api, store: Store, body: Any, pointers: set[str]) -> None:
    before = written(store)
    answer = bot_api("PUT", MANIFEST, body)
    assert answer.status_code == 422, answer.json
    assert pointers <= {error["pointer"] for error in answer.json["errors"]}
    assert written(store) == before


def test_replicas_that_declare_at_the_same_time_make_each_job_once(app: Flask, bot_api: Api, services: Services, store: Store) -> None:
    body, answers = manifest(*(job(f"job-{number}") for number in range(20))), list[Any]()
    barrier = threading.Barrier(4)

    def replica() -> None:
        barrier.wait()
        answers.append(bot_api("PUT", MANIFEST, body))

    threads = [threading.Thread(target=replica) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.json for answer in answers]
    assert len(jobs_of(services)) == 20
    assert sum(len(answer.json["created"]) for answer in answers) == 20
    assert all(item.version == 1 for item in jobs_of(services).values())
    assert sum("signingKey" in answer.json for answer in answers) == 1
    assert services.audit.verify().breaks == ()


# -- heartbeats -------------------------------------------------------------------------------------------------------


def test_an_unknown_service_is_told_to_register(bot_api: Api) -> None:
    assert bot_api("POST", HEARTBEAT, {"instance": "pod-1"}).status_code == 404


def test_instances_come_drain_and_go(bot_api: Api, api: Api, clock: ManualClock) -> None:
    first = bot_api("PUT", MANIFEST, manifest(job("a"), ttlSeconds=60)).json
    beat = {"instance": "pod-1", "version": "1.0.0", "state": "ready", "jobs": ["a"], "running": 2, "address": "http://email-service:7007"}
    assert bot_api("POST", HEARTBEAT, beat).json == {"ttlSeconds": 60, "digest": first["digest"]}
    bot_api("POST", HEARTBEAT, {"instance": "pod-2", "version": "1.1.0", "state": "draining"})
    shown = api("GET", SERVICE).json["instances"]
    assert [(item["id"], item["version"], item["state"], item["jobs"], item["running"]) for item in shown] == [
        ("pod-1", "1.0.0", "ready", ["a"], 2),
        ("pod-2", "1.1.0", "draining", ["a"], 0),
    ]
    bot_api("POST", HEARTBEAT, {"instance": "pod-2", "state": "stopped"})
    clock.advance(60)
    assert [(item["id"], item["state"]) for item in api("GET", SERVICE).json["instances"]] == [("pod-1", "offline")]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/instance"),
        ({"instance": ""}, "/instance"),
        ({"instance": "a", "state": "asleep"}, "/state"),
        ({"instance": "a", "jobs": ["a b"]}, "/jobs/0"),
        ({"instance": "a", "address": "http://evil.example.com"}, "/address"),
        ({"instance": "a", "running": -1}, "/running"),
        ({"instance": "a\u202e"}, "/instance"),
        ({"instance": "a", "version": "\u2028"}, "/version"),
    ],
)
def test_a_wrong_heartbeat_is_named(bot_api: Api, body: Any, pointer: str) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a")))
    answer = bot_api("POST", HEARTBEAT, body)
    assert answer.status_code == 422, answer.json
    assert pointer in [error["pointer"] for error in answer.json["errors"]]


# -- silence ----------------------------------------------------------------------------------------------------------


def test_a_silent_service_is_stale_and_its_jobs_go_on(bot_api: Api, api: Api, services: Services, clock: ManualClock) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), ttlSeconds=60))
    api("POST", f"/api/admin/scheduler-jobs/{jobs_of(services)['a'].id}/enable")
    clock.advance(59)
    assert services.registered.look_for_silence() == 0
    assert not api("GET", SERVICE).json["stale"]
    clock.advance(1)
    assert [services.registered.look_for_silence() for _ in range(2)] == [1, 0]
    shown = api("GET", SERVICE).json
    assert shown["stale"]
    assert shown["staleSince"]
    assert jobs_of(services)["a"].paused is None
    bot_api("POST", HEARTBEAT, {"instance": "pod-1"})
    assert not api("GET", SERVICE).json["stale"]


def test_a_service_may_ask_that_its_jobs_pause_while_it_is_silent(bot_api: Api, api: Api, services: Services, clock: ManualClock) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), job("b"), job("off"), ttlSeconds=60, onStale="pause"))
    ids = {name: item.id for name, item in jobs_of(services).items()}
    for name in ("a", "b"):
        api("POST", f"/api/admin/scheduler-jobs/{ids[name]}/enable")
    api("POST", f"/api/admin/scheduler-jobs/{ids['b']}/pause", {"reason": "by hand"})
    clock.advance(60)
    services.registered.look_for_silence()
    paused = {name: item.paused.reason if item.paused else None for name, item in jobs_of(services).items()}
    assert paused == {"a": "The service email-service is silent", "b": "by hand", "off": None}
    bot_api("POST", HEARTBEAT, {"instance": "pod-1"})
    services.registered.look_for_silence()
    paused = {name: item.paused.reason if item.paused else None for name, item in jobs_of(services).items()}
    assert paused == {"a": None, "b": "by hand", "off": None}
    assert jobs_of(services)["a"].next_run_at is not None
    assert services.registered.look_for_silence() == 0


def test_a_service_without_a_time_to_live_is_never_stale(bot_api: Api, api: Api, services: Services, clock: ManualClock) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a")))
    clock.advance(10 * 86_400)
    assert services.registered.look_for_silence() == 0
    assert not api("GET", SERVICE).json["stale"]


def test_a_handler_that_is_gone_is_retired(bot_api: Api, services: Services) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), job("b")))
    services.registered.handler_gone(jobs_of(services)["a"])
    assert sorted(jobs_of(services)) == ["b"]


@pytest.mark.parametrize("gone", ["answered 410", "deleted by a person"])
def test_the_same_manifest_brings_back_a_job_that_is_gone(bot_api: Api, api: Api, services: Services, gone: str) -> None:
    body = manifest(job("a"), job("b"))
    bot_api("PUT", MANIFEST, body)
    lost = jobs_of(services)["a"]
    if gone == "answered 410":
        services.registered.handler_gone(lost)
    else:
        assert api("DELETE", f"/api/admin/scheduler-jobs/{lost.id}").status_code == 200
    again = bot_api("PUT", MANIFEST, body).json
    assert [again["updated"], again["unchanged"]] == [["a"], ["b"]]
    assert jobs_of(services)["a"].id == lost.id


def test_the_same_manifest_enables_a_gone_job_again_on_which_another_depends(bot_api: Api, api: Api, services: Services) -> None:
    body = manifest(job("a"))
    bot_api("PUT", MANIFEST, body)
    needed = jobs_of(services)["a"]
    after = {"name": "after", "template_type": "noop", "depends_on": [{"job": "a"}]}
    assert api("POST", "/api/admin/scheduler-jobs", after).status_code == 201
    services.registered.handler_gone(needed)
    assert bot_api("PUT", MANIFEST, body).json["updated"] == ["a"]
    back = jobs_of(services)["a"].registered
    assert back is not None
    assert back.retired_at is None


WHOLE: list[dict[str, Any]] = [{"priority": 5.0}, {"maxRetries": 2.0}, {"heartbeatSeconds": 60.0}, {"config": {"share": 5.0}}]


@pytest.mark.parametrize("members", WHOLE)
def test_a_whole_number_with_a_fraction_of_zero_is_a_whole_number(bot_api: Api, services: Services, members: dict[str, Any]) -> None:
    assert bot_api("PUT", MANIFEST, manifest(job("a", **members), ttlSeconds=60.0)).status_code == 200
    assert bot_api("POST", HEARTBEAT, {"instance": "one", "running": 3.0}).status_code == 200
    assert not jobs_of(services)["a"].damaged
    service = services.registered.get(SYSTEM, "email-service").service
    assert (service.damaged, service.ttl_seconds, service.instances[0].running) == ("", 60, 3)
