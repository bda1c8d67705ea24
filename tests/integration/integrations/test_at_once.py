"""Registrations and manifests at the same time, interrupted ones, and the proof that an unchanged one writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.integrations.services.model import Applying
from app.integrations.services.registration import GIVEN_UP_AFTER
from app.integrations.services.store import ServiceStore
from app.jobs.registration import Registrations
from app.services import Services
from tests.conftest import TOUCHED, Api
from tests.integration.integrations.test_manifest import MANIFEST, job, jobs_of, manifest
from tests.integration.integrations.test_registration import BY_URL, REGISTER

JOBS = "/api/admin/scheduler-jobs"


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Makes calls at the same moment, and returns their answers in the order of the calls."""
    answers: list[Any] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def make(place: int, call: Callable[[], Any]) -> None:
        barrier.wait()
        answers[place] = call()

    threads = [threading.Thread(target=make, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def stored(store: Store) -> dict[str, Any]:
    row = store.database["services"].find_one({"_id": "email-service"})
    assert row is not None
    return row


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process ends after it has written the jobs of a manifest, before it retires others."""

    def end(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registrations, "retire", end)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_what_is_registered_as_before_sends_no_write_to_the_server(bot_api: Api, store: Store) -> None:
    bodies = [{**BY_URL, "name": f"job-{number}"} for number in range(30)]
    assert len(bot_api("POST", REGISTER, bodies).json["created"]) == 30
    whole = manifest(*(job(f"job-{number}") for number in range(30)))
    TOUCHED.names.pop(store.database.name, None)
    assert len(bot_api("POST", REGISTER, bodies).json["unchanged"]) == 30
    assert TOUCHED.names.get(store.database.name, set()) <= {"rate_counters"}  # of requests to the API
    bot_api("PUT", MANIFEST, whole)
    assert "dynamic_jobs" in TOUCHED.names.pop(store.database.name)
    assert len(bot_api("PUT", MANIFEST, whole).json["unchanged"]) == 30
    assert TOUCHED.names.get(store.database.name, set()) <= {"rate_counters"}  # of requests to the API


def test_ten_instances_that_register_at_once_have_one_effect(bot_api: Api, services: Services, store: Store) -> None:
    bodies = [{**BY_URL, "name": f"job-{number}"} for number in range(5)]
    answers = together(*[lambda: bot_api("POST", REGISTER, bodies)] * 10)
    assert [answer.status_code for answer in answers] == [200] * 10, [answer.json for answer in answers]
    assert sum(len(answer.json["created"]) for answer in answers) == 5
    assert sum(len(answer.json["updated"]) for answer in answers) == 0
    assert sum("signingKey" in answer.json for answer in answers) == 1
    assert {item.version for item in jobs_of(services).values()} == {1}
    events = list(store.database["audit_log"].find({"action": "job.create"}))
    failed = {event["of"] for event in events if event["outcome"] == "failed"}
    assert len([event for event in events if event["outcome"] == "done" and event["_id"] not in failed]) == 5
    assert services.audit.verify().breaks == ()


def test_of_two_manifests_at_once_one_is_whole_and_the_other_is_sent_again(bot_api: Api, services: Services, store: Store) -> None:
    for number in range(3):
        one = manifest(job("a"), job("shared", description=f"one {number}"), version=f"1.{number}")
        other = manifest(job("b"), job("shared", description=f"other {number}"), version=f"2.{number}")
        answers = together(lambda body=one: bot_api("PUT", MANIFEST, body), lambda body=other: bot_api("PUT", MANIFEST, body))  # type: ignore[misc]
        statuses = [answer.status_code for answer in answers]
        assert 200 in statuses, [answer.json for answer in answers]
        assert set(statuses) <= {200, 409, 425}
        last = stored(store)["manifest"]["version"]
        names = {"a", "shared"} if last.startswith("1") else {"b", "shared"}
        if stored(store)["applying"] is None:
            assert set(jobs_of(services)) == names
        for body, expected in ((one, {"a", "shared"}), (other, {"b", "shared"})):
            assert bot_api("PUT", MANIFEST, body).status_code == 200
            assert set(jobs_of(services)) == expected
            assert stored(store)["applying"] is None


def test_a_manifest_waits_while_another_one_is_applied(bot_api: Api, services: Services, store: Store, clock: ManualClock) -> None:
    assert bot_api("PUT", MANIFEST, manifest(job("a"))).status_code == 200
    services_store = ServiceStore(store.database)
    assert services_store.begin_manifest("email-service", Applying(digest="x", at=clock.now()), given_up=clock.now())
    refused = bot_api("PUT", MANIFEST, manifest(job("b")))
    assert refused.status_code == 425
    assert "Send this one again" in refused.json["detail"]
    assert set(jobs_of(services)) == {"a"}
    clock.advance(GIVEN_UP_AFTER.total_seconds() + 1)
    assert bot_api("PUT", MANIFEST, manifest(job("b"))).json["retired"] == ["a"]


@pytest.mark.parametrize("again", ["the same", "the one before"])
def test_the_next_manifest_completes_what_an_interrupted_one_has_begun(
    bot_api: Api, services: Services, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    before, after = manifest(job("a"), version="1"), manifest(job("b"), version="2")
    assert bot_api("PUT", MANIFEST, before).status_code == 200
    with interrupted(monkeypatch):
        bot_api("PUT", MANIFEST, after)
    assert set(jobs_of(services)) == {"a", "b"}, "half of it is done"
    assert stored(store)["manifest"]["version"] == "1"
    clock.advance(GIVEN_UP_AFTER.total_seconds() + 1)
    answer = bot_api("PUT", MANIFEST, after if again == "the same" else before)
    assert answer.status_code == 200
    assert set(jobs_of(services)) == ({"b"} if again == "the same" else {"a"})
    assert stored(store)["applying"] is None


def test_a_run_that_is_going_on_ends_though_its_job_is_retired(
    bot_api: Api, api: Api, services: Services, store: Store, super_admin: Actor
) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), job("b")))
    a = jobs_of(services)["a"]
    execution = api("POST", f"{JOBS}/{a.id}/run", {}).json["execution"]
    store.database["job_executions"].update_one({"_id": execution["id"]}, {"$set": {"status": "running"}})
    assert bot_api("PUT", MANIFEST, manifest(job("b"))).json["retired"] == ["a"]
    row = store.database["job_executions"].find_one({"_id": execution["id"]})
    assert row is not None
    assert row["status"] == "running", "its service still does the work, and reports"
