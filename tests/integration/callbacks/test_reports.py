"""Reports of services over REST, on the real MongoDB: who may report, what each report does, and which come too late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.integrations.callbacks.tokens import CallbackTokens
from app.keys import KeyRing
from app.queue.deferral_store import DeferralStore
from app.queue.model import Attempt, Deferral
from app.services import Services
from templates_lib.connections.service import new_key
from tests.builders.queue import Queue, claim, enqueue
from tests.builders.service import NAME, Receiver, Reports, connect_service, make_service_job, receiver
from tests.conftest import app_of

RESULT = {"success": True, "itemsProcessed": 1200, "itemsSucceeded": 1198, "itemsFailed": 2, "metadata": {"campaign": "49"}}
RETRIES = {"retry_policy": {"max_retries": 3, "retry_delay_seconds": 10, "backoff": "fixed"}}


class House:
    """A service with a job, and attempts of it that the service has accepted."""

    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock, service: Receiver) -> None:
        self.queue, self.clock, self.services, self.actor, self.service = Queue(store.database), clock, services, actor, service
        self.tokens = CallbackTokens(services.keys)
        connect_service(services, actor, service)
        self.report = Reports(app_of(services), service.key)

    def attempt(self, **fields: Any) -> Attempt:
        job = make_service_job(self.services, self.actor, **{"overlap": "allow", "concurrency": {"max_instances": 3}, **fields})
        enqueue(self.queue, job, self.clock)
        return claim(self.queue, self.clock)[0]

    def accepted(self, **fields: Any) -> tuple[Attempt, str]:
        attempt = self.attempt(**fields)
        self.defer(attempt)
        return attempt, self.tokens.make(attempt)

    def defer(self, attempt: Attempt) -> None:
        assert self.queue.claims.defer(attempt, Deferral(heartbeat_seconds=60), attempt.started_at, now=self.clock.now())

    def row(self, attempt: Attempt) -> dict[str, Any]:
        row = self.queue.document(attempt.execution_id)
        assert row is not None
        return row

    def lines(self, attempt: Attempt) -> list[str]:
        return [line["message"] for line in self.services.logs.read(self.actor, attempt.execution_id)[0]]


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def house(store: Store, services: Services, super_admin: Actor, clock: ManualClock, service: Receiver) -> House:
    return House(store, services, super_admin, clock, service)


# -- what each report does ---------------------------------------------------------------------------------------------


def test_a_heartbeat_renews_the_lease_and_says_how_the_run_stands(house: House) -> None:
    attempt, token = house.accepted(timeout_seconds=600)
    house.clock.advance(40)
    answer = house.report(token, "heartbeat")
    assert (answer.status_code, answer.json["status"], answer.json["heartbeatSeconds"]) == (200, "running", 60)
    assert datetime.fromisoformat(answer.json["deadline"]) == attempt.started_at + timedelta(seconds=600)
    assert house.row(attempt)["lease"]["expires_at"] == house.clock.now() + timedelta(seconds=60)


def test_progress_and_lines_are_shown_and_lines_are_kept_once(house: House) -> None:
    attempt, token = house.accepted()
    assert house.report(token, "progress", {"done": 300, "total": 1200, "note": "halfway"}).status_code == 200
    assert house.row(attempt)["progress"] == {"done": 300, "total": 1200, "note": "halfway"}
    lines = [{"level": "info", "message": "one", "time": "2026-03-02T12:00:01Z"}, {"message": "two"}]
    for _ in range(3):
        assert house.report(token, "logs", {"first": 1, "lines": lines}).status_code == 200
    more = {"first": 2, "lines": [{"message": "two"}, {"level": "ERROR", "message": "three"}]}
    assert house.report(token, "logs", more).status_code == 200
    assert house.lines(attempt) == ["one", "two", "three"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-12-31T23:59:60Z", "2026-01-01T00:00:00"])
def test_a_line_whose_time_cannot_be_kept_is_named(house: House, time: str) -> None:
    attempt, token = house.accepted()
    answer = house.report(token, "logs", {"first": 1, "lines": [{"message": "one"}, {"message": "two", "time": time}]})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/lines/1/time"]
    assert house.lines(attempt) == []


def test_small_letters_in_a_time_and_a_fraction_of_zero_in_a_number_are_taken(house: House) -> None:
    attempt, token = house.accepted()
    line = {"message": "one", "time": "2026-03-02t12:00:01.5z"}
    assert house.report(token, "logs", {"first": 1.0, "lines": [line]}).status_code == 200
    assert house.lines(attempt) == ["one"]


def test_a_log_that_is_full_says_so_and_takes_no_more(house: House, services: Services, store: Store) -> None:
    attempt, token = house.accepted()
    callbacks = services.callbacks
    callbacks._settings = replace(callbacks._settings, job_log_bytes=1_000)
    for first in range(1, 40):
        house.report(token, "logs", {"first": first, "lines": [{"message": "x" * 100}]})
    lines = house.lines(attempt)
    assert len(lines) == 9
    assert lines[-1] == "The log is full (1,000 bytes, JOBWRIGHT_JOB_LOG_BYTES); the rest is dropped"


def test_a_completion_ends_the_run_with_its_counts(house: House) -> None:
    attempt, token = house.accepted()
    house.clock.advance(75)
    answer = house.report(token, "complete", RESULT)
    assert (answer.status_code, answer.json) == (200, {"status": "success"})
    row = house.row(attempt)
    assert row["result"] == {
        "message": "1,198 of 1,200 items",
        "itemsProcessed": 1200,
        "itemsSucceeded": 1198,
        "itemsFailed": 2,
        "metadata": {"campaign": "49"},
    }
    assert (row["status"], row["duration_seconds"], row["attempts"][0]["duration_seconds"]) == ("success", 75, 75)
    assert not {"callback", "lease", "slots", "live"} & row.keys()
    assert house.lines(attempt) == ["2 of 1,200 items failed"]  # the policy is to warn


def test_a_result_that_says_no_is_a_failure_that_is_retried(house: House) -> None:
    attempt, token = house.accepted(**RETRIES)
    answer = house.report(token, "complete", {"success": False, "error": "no mail server", "itemsProcessed": 5, "itemsFailed": 5})
    assert answer.json == {"status": "retrying"}
    row = house.row(attempt)
    assert (row["error"]["message"], row["error"]["type"]) == ("The service says: no mail server", "ServiceFailure")
    assert row["error"]["said"]["pattern"] == "The service says: {error}", "pages can translate it"
    assert row["result"]["itemsFailed"] == 5


def test_a_failure_says_whether_and_when_to_try_again(house: House) -> None:
    attempt, token = house.accepted(**RETRIES)
    assert house.report(token, "fail", {"error": "busy", "retryAfterSeconds": 120}).json == {"status": "retrying"}
    assert house.row(attempt)["available_at"] == house.clock.now() + timedelta(seconds=120)
    other, token = house.accepted(name="other", **RETRIES)
    assert house.report(token, "fail", {"error": "no such campaign", "permanent": True, "itemsProcessed": 2}).json == {"status": "failed"}
    row = house.row(other)
    assert (row["error"]["message"], row["error"]["permanent"]) == ("The service says: no such campaign", True)
    assert row["error"]["said"]["pattern"] == "The service says: {error}"
    assert row["result"]["itemsProcessed"] == 2


def test_more_time_is_given_within_the_longest_time_of_jobs(house: House) -> None:
    attempt, token = house.accepted(timeout_seconds=60)
    answer = house.report(token, "extend", {"seconds": 600})
    assert datetime.fromisoformat(answer.json["deadline"]) == house.clock.now() + timedelta(seconds=600)
    most = house.services.settings.max_timeout_seconds
    house.report(token, "extend", {"seconds": 86_400})
    assert house.row(attempt)["callback"]["deadline"] == attempt.started_at + timedelta(seconds=min(most, 86_400))


def test_the_service_learns_of_a_cancel_by_its_next_report(house: House) -> None:
    attempt, token = house.accepted(**RETRIES)
    house.services.runs.cancel(house.actor, attempt.execution_id)
    assert house.report(token, "heartbeat").json["status"] == "cancelling"
    assert house.report(token, "fail", {"error": "stopped", "itemsProcessed": 7}).json == {"status": "cancelled"}
    assert house.row(attempt)["result"]["itemsProcessed"] == 7


def test_the_policy_for_failed_items_may_fail_the_run(house: House) -> None:
    _, token = house.accepted(parameters={"on_failed_items": "fail"}, retry_policy={"max_retries": 0})
    assert house.report(token, "complete", RESULT).json == {"status": "failed"}


# -- late, older, doubled ----------------------------------------------------------------------------------------------


def test_the_same_completion_again_is_answered_as_the_first_and_another_is_refused(house: House) -> None:
    attempt, token = house.accepted()
    first = house.report(token, "complete", RESULT)
    row = house.row(attempt)
    for _ in range(3):
        again = house.report(token, "complete", dict(reversed(RESULT.items())))  # the order of members means nothing
        assert (again.status_code, again.json) == (200, first.json)
    for report, body in (
        ("complete", {**RESULT, "itemsFailed": 3}),
        ("fail", {"error": "x"}),
        ("heartbeat", None),
        ("progress", {"done": 1}),
        ("logs", {"first": 1, "lines": [{"message": "late"}]}),
        ("extend", {"seconds": 5}),
    ):
        answer = house.report(token, report, body)
        assert (answer.status_code, answer.json["detail"]) == (
            409,
            "Attempt 1 of this run has ended. Nothing was changed; stop its work",
        )
    assert house.row(attempt) == row
    assert house.lines(attempt) == ["2 of 1,200 items failed"]


def test_a_storm_of_completions_has_one_effect(house: House) -> None:
    attempt, token = house.accepted()
    bodies = [RESULT if n % 2 else {**RESULT, "itemsProcessed": 1300 + n} for n in range(20)]
    barrier = threading.Barrier(20)
    app = app_of(house.services)

    def send(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        report = Reports(app, house.service.key)
        barrier.wait()
        return report(token, "complete", body).status_code, body

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, bodies))
    taken = [body for status, body in answers if status == 200]
    result = house.row(attempt)["result"]
    assert {status for status, _ in answers} == {200, 409}
    assert taken
    assert all(body["itemsProcessed"] == result["itemsProcessed"] for body in taken)
    assert len(house.row(attempt)["attempts"]) == 1


def test_a_report_of_an_older_attempt_changes_nothing(house: House) -> None:
    first, old = house.accepted(**RETRIES)
    assert house.report(old, "fail", {"error": "x"}).json == {"status": "retrying"}
    house.clock.advance(11)
    second = claim(house.queue, house.clock)[0]
    house.defer(second)
    row = house.row(first)
    for report, body in (("complete", RESULT), ("heartbeat", None), ("progress", {"done": 1}), ("fail", {"error": "y"})):
        assert house.report(old, report, body).status_code == 409
    assert house.row(first) == row
    assert house.report(house.tokens.make(second), "complete", RESULT).json == {"status": "success"}
    assert house.report(old, "fail", {"error": "x"}).status_code == 200  # the same as the first time


def test_a_lost_attempt_cannot_come_back(house: House, store: Store) -> None:
    attempt, token = house.accepted(**RETRIES)
    house.clock.advance(61)
    lost = house.queue.claims.find_lost(house.clock.now(), 10)
    assert [one.execution_id for one in lost] == [attempt.execution_id]
    from tests.builders.queue import failure

    assert house.queue.end_lost(lost[0], failure(), 10.0, now=house.clock.now())
    assert house.report(token, "complete", RESULT).status_code == 409
    assert house.row(attempt)["status"] == "retrying"


def test_a_report_may_overtake_the_answer_to_the_call(house: House) -> None:
    attempt = house.attempt()  # its process still reads the answer
    token = house.tokens.make(attempt)
    assert house.report(token, "heartbeat").json == {"status": "running"}
    early = house.report(token, "extend", {"seconds": 5})
    assert (early.status_code, early.headers["Retry-After"]) == (425, "1")
    assert house.report(token, "complete", RESULT).json == {"status": "success"}
    assert not house.queue.claims.defer(attempt, Deferral(heartbeat_seconds=60), attempt.started_at, now=house.clock.now())
    assert house.row(attempt)["status"] == "success"


# -- who may report ----------------------------------------------------------------------------------------------------


def test_an_unknown_token_is_not_found(house: House, services: Services) -> None:
    attempt, token = house.accepted()
    name, _, mac = token.rpartition(".")
    elsewhere = CallbackTokens(KeyRing("another key of another installation, long enough", ())).make(attempt)
    for wrong in ("x", f"{name}.", f"{name}.{mac[:-2]}", token.replace(".1.", ".2.", 1), elsewhere, f"{token}x", "é"):
        answer = house.report(wrong, "complete", RESULT)
        assert answer.status_code == 404, wrong
        assert token not in answer.json["detail"]
    gone = replace(attempt, execution_id="00000000-0000-0000-0000-000000000000")
    assert house.report(house.tokens.make(gone), "complete", RESULT).status_code == 404
    assert house.row(attempt)["status"] == "running"


def test_a_token_survives_a_change_of_the_key_of_the_installation(house: House) -> None:
    attempt, token = house.accepted()
    old = house.services.settings.secret_key
    assert CallbackTokens(KeyRing("a new key of the installation 8dc0b1f2", (old,))).read(token) == house.tokens.read(token)
    assert CallbackTokens(KeyRing("a new key of the installation 8dc0b1f2", ())).read(token) is None
    assert house.tokens.read(token) is not None
    assert house.tokens.make(replace(attempt, token=attempt.token + 1)) != token


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"seconds": -301.5}, "more than 300 s from the time of Jobwright"),
        ({"seconds": 302}, "more than 300 s from the time of Jobwright"),
        ({"key": new_key()}, "does not match"),
        ({"webhook_signature": "v1,AAAA"}, "does not match"),
        ({"webhook_signature": ""}, "not signed"),
        ({"webhook_timestamp": "1"}, "more than 300 s"),
        ({"webhook_id": "another"}, "does not match"),
    ],
)
def test_a_report_without_a_valid_signature_is_refused(house: House, how: dict[str, Any], words: str) -> None:
    attempt, token = house.accepted()
    answer = house.report(token, "complete", RESULT, **how)
    assert (answer.status_code, answer.json["type"]) == (401, "/api/problems/signature-refused")
    assert words in answer.json["detail"]
    assert house.row(attempt)["status"] == "running"


@pytest.mark.parametrize("seconds", [-299, 299])
def test_a_clock_that_is_a_little_off_is_no_hindrance(house: House, seconds: float) -> None:
    _, token = house.accepted()
    assert house.report(token, "heartbeat", seconds=seconds).status_code == 200


def test_while_a_key_is_rotated_both_sign(house: House) -> None:
    _, token = house.accepted()
    fresh = new_key()
    row = next(row for row in house.services.connections.all(house.actor) if row["name"] == NAME)
    keys = [
        {"id": "k1", "secret": house.service.key, "created_at": "2026-03-01T00:00:00Z"},
        {"id": "k2", "secret": fresh, "created_at": "2026-03-02T00:00:00Z"},
    ]
    settings = {**house.service.settings, "keys": keys}
    house.services.connections.update(house.actor, row["_id"], name=NAME, settings=settings)
    for key in (house.service.key, fresh):
        assert house.report(token, "heartbeat", key=key).status_code == 200
    row = next(row for row in house.services.connections.all(house.actor) if row["name"] == NAME)
    house.services.connections.update(house.actor, row["_id"], name=NAME, settings={**settings, "keys": keys[1:]})
    assert house.report(token, "heartbeat").status_code == 401
    assert house.report(token, "heartbeat", key=fresh).status_code == 200


def test_a_service_without_keys_proves_itself_by_the_token(house: House) -> None:
    _, token = house.accepted()
    row = next(row for row in house.services.connections.all(house.actor) if row["name"] == NAME)
    house.services.connections.update(house.actor, row["_id"], name=NAME, settings={**house.service.settings, "keys": []})
    assert Reports(app_of(house.services), None)(token, "complete", RESULT).status_code == 200


@pytest.mark.parametrize(
    ("report", "body", "pointer"),
    [
        ("complete", {}, "/success"),
        ("complete", {"success": "yes"}, "/success"),
        ("complete", {"success": True, "itemsProcessed": 1.5}, "/itemsProcessed"),
        ("complete", {"success": True, "itemsFailed": -1}, "/itemsFailed"),
        ("complete", {"success": True, "metadata": []}, "/metadata"),
        ("complete", {"success": True, "metadata": {"x": "y" * 1_500_000}}, "/metadata"),
        ("complete", [], ""),
        ("fail", {}, "/error"),
        ("fail", {"error": ""}, "/error"),
        ("progress", {"done": "3"}, "/done"),
        ("logs", {"first": 0, "lines": [{"message": "x"}]}, "/first"),
        ("logs", {"first": 1, "lines": []}, "/lines"),
        ("logs", {"first": 1, "lines": [{"message": "x", "time": "yesterday"}]}, "/lines/0/time"),
        ("extend", {"seconds": 0}, "/seconds"),
    ],
)
def test_a_body_that_is_not_valid_changes_nothing(house: House, report: str, body: Any, pointer: str) -> None:
    attempt, token = house.accepted()
    row = house.row(attempt)
    answer = house.report(token, report, body)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json["errors"]]
    assert house.row(attempt) == row


def test_the_token_is_in_no_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    _, token = house.accepted()
    caplog.set_level(logging.DEBUG)
    assert house.report(token, "heartbeat").status_code == 200
    assert house.report(token, "nothing").status_code == 404
    assert token not in caplog.text
    assert "/heartbeat" in caplog.text


def test_lines_that_are_reported_at_once_are_all_kept(house: House, store: Store) -> None:
    attempt, token = house.accepted()
    app = app_of(house.services)
    for first in (1, 11, 21):
        with ThreadPoolExecutor(4) as pool:
            bodies = [{"first": first, "lines": [{"message": f"line {first + n}"} for n in range(10)]}] * 4
            answers = list(pool.map(lambda body: Reports(app, house.service.key)(token, "logs", body).status_code, bodies))
        assert answers == [200] * 4
    assert house.lines(attempt) == [f"line {n}" for n in range(1, 31)]
    assert DeferralStore(store.database).logged(attempt) is not None
