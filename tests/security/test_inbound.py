"""Attacks on inbound addresses: guessed, forged, replayed, flooded, huge, hostile and concurrent requests."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.integrations.inbound.model import Outcome
from app.jobs.model import Job
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.builders.watching import watched
from tests.builders.webhooks import Sender, hook_job
from tests.conftest import app_of


@pytest.fixture
def job(services: Services, super_admin: Actor) -> Job:
    return hook_job(services, super_admin)


def sender(app: Flask, services: Services, actor: Actor, job: Job, proof: str = "standard", **fields: Any) -> Sender:
    return Sender.to(app, services.inbound.create(actor, job.id, {"name": proof, "proof": proof, **fields}))


def runs(store: Store) -> int:
    return store.database["job_executions"].count_documents({})


def outcomes(services: Services, actor: Actor, job: Job) -> list[tuple[str, int, int]]:
    return [(one.outcome.value, one.status, one.count) for one in services.inbound.deliveries(actor, job.id)]


# -- guessed addresses ----------------------------------------------------------------------------------------------


def test_every_wrong_address_is_answered_alike(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    good = sender(app, services, super_admin, job, "secret")
    off = sender(app, services, super_admin, job, "secret", enabled=False)
    wrong = [
        "x",
        good.secret[:-1],
        good.secret + "x",
        good.secret.upper(),
        good.secret[:20] + "A" * 27,
        "jwi_" + "A" * 43,
        off.secret,
        "é",
        "%00",
    ]
    bodies = set()
    for secret in wrong:
        answer = Sender(app, secret)()
        body = answer.get_json()
        assert answer.status_code == 404
        bodies.add(json.dumps({key: body[key] for key in ("type", "title", "detail", "status")}))
    assert len(bodies) == 1
    assert runs(store) == 0


def test_a_nearly_right_address_costs_the_same_as_any_other(
    mongod: str,
    services: Services,
    super_admin: Actor,
    job: Job,
    settings: Settings,
    store: Store,
    catalogue: Catalogue,
    clock: ManualClock,
) -> None:
    """The secret is looked up by its digest: what the database is asked does not depend on how much of it is right."""
    good = services.inbound.create(super_admin, job.id, {"name": "a", "proof": "secret"})
    with watched(mongod, store) as (seen, commands):
        app = app_of(build_services(settings, seen, clock=clock, catalogue=catalogue))
        Sender(app, "warm-up")()
        asked = []
        for secret in (good.secret[:-1] + "_", "jwi_" + "A" * 43, "x", good.secret + "A" * 5000):
            commands.seen.clear()
            assert Sender(app, secret)().status_code == 404
            asked.append(list(commands.seen))
    app_of(services)
    assert all(sent == asked[0] for sent in asked)


def test_guessing_addresses_is_limited(app: Flask, services: Services) -> None:
    most = services.settings.stranger_rate
    answers = [Sender(app, f"guess{number}")().status_code for number in range(most + 5)]
    assert answers[0] == 404
    assert 429 in answers[most - 1 :]


def test_the_secret_is_in_no_log(app: Flask, services: Services, super_admin: Actor, job: Job, capsys: Any, caplog: Any) -> None:
    send = sender(app, services, super_admin, job)
    capsys.readouterr()
    send()
    send.raw(b"{}")
    text = "".join(capsys.readouterr()) + caplog.text
    assert "/api/inbound/<secret>" in text
    assert send.secret not in text
    assert send.key not in text


def test_the_secret_is_in_no_log_and_no_answer_of_a_request_that_fits_no_operation(
    app: Flask, services: Services, super_admin: Actor, job: Job, capsys: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = sender(app, services, super_admin, job, "secret")
    capsys.readouterr()
    with app.test_client() as client:
        answers = [client.get(f"/api/inbound/{send.secret}"), client.post(f"/api/inbound/{send.secret}/more")]
    answers += [send.raw(b"{"), Sender(app, send.secret[:-1])()]
    monkeypatch.setattr(services.reception, "receive", lambda _: 1 / 0)
    answers.append(send())
    assert [answer.status_code for answer in answers] == [405, 404, 422, 404, 500]
    assert {answer.get_json()["instance"] for answer in answers} == {"/api/inbound/<secret>"}
    text = "".join([*capsys.readouterr(), caplog.text, *(answer.get_data(as_text=True) for answer in answers)])
    assert send.secret[:-1] not in text


# -- forged and replayed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", ["standard", "github"])
def test_forged_requests_start_nothing(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store, proof: str) -> None:
    send = sender(app, services, super_admin, job, proof)
    other = sender(app, services, super_admin, job, proof, name="other")
    body = b'{"n": 1}'
    forged = [
        {},
        send.headers(body, key=other.key),
        send.headers(b'{"n": 2}'),
        {name: value[:-4] + "AAA=" for name, value in send.headers(body).items()},
        dict.fromkeys(send.headers(body), ""),
    ]
    for headers in forged:
        answer = send.raw(body, headers)
        assert (answer.status_code, answer.get_json()["type"]) == (401, "/api/problems/signature-refused")
    assert runs(store) == 0
    assert outcomes(services, super_admin, job) == [("refused", 401, len(forged))], "a flood of forgeries is one record a minute"
    assert send.raw(body, send.headers(body)).status_code == 202


def test_a_signature_of_one_address_is_none_of_another(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    first, second = (sender(app, services, super_admin, job, name=name) for name in ("a", "b"))
    body = b"{}"
    assert second.raw(body, first.headers(body)).status_code == 401
    assert runs(store) == 0


def test_a_duplicate_storm_has_one_effect(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    send = sender(app, services, super_admin, job)
    body = b'{"n": 1}'
    headers = send.headers(body, delivery="storm")
    statuses = [send.raw(body, headers).status_code for _ in range(10)]
    assert statuses == [202] + [409] * 9
    resent = send({"n": 1}, delivery="storm", at=datetime.now(UTC) + timedelta(seconds=5))
    assert (resent.status_code, resent.get_json()["outcome"]) == (200, "repeated")
    assert resent.get_json()["execution_id"] == store.database["job_executions"].find_one({})["_id"]  # type: ignore[index]
    assert runs(store) == 1


def test_duplicates_that_race_have_one_effect(app: Flask, services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    for proof in ("standard", "github", "secret"):
        send = sender(app, services, super_admin, job, proof)
        body = json.dumps({"of": proof}).encode()
        headers = send.headers(body, delivery="race")
        before = runs(store)
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda _: send.raw(body, headers).status_code, range(16)))  # noqa: B023 - it is used up at once
        assert statuses.count(202) == 1
        assert set(statuses) <= {202, 409, 200}
        assert runs(store) == before + 1


def test_a_copy_is_refused_for_longer_than_its_signature_is_valid(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store, clock: ManualClock
) -> None:
    github = sender(app, services, super_admin, job, "github")
    body = b'{"n": 1}'
    assert github.raw(body, github.headers(body, delivery="a")).status_code == 202
    clock.advance(7 * 86_400)
    copy = {**github.headers(body), "X-GitHub-Delivery": "another"}
    assert github.raw(body, copy).status_code == 409, "the id is not signed, so it does not count"
    assert runs(store) == 1
    kept = store.database["inbound_seen"].index_information()["expiry"]
    assert kept["expireAfterSeconds"] == 0
    (seen,) = store.database["inbound_seen"].find()
    assert seen["expires_at"] - seen["at"] == timedelta(days=30)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_clock_that_is_301_seconds_off_is_refused(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store, seconds: int
) -> None:
    send = sender(app, services, super_admin, job)
    assert send(at=datetime.now(UTC) + timedelta(seconds=seconds)).status_code == 401
    assert runs(store) == 0


# -- flooded and huge -----------------------------------------------------------------------------------------------


def test_a_flood_stops_at_the_rate_of_the_address_and_of_no_other(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store
) -> None:
    send = sender(app, services, super_admin, job, "secret", rate_per_minute=5)
    quiet = sender(app, services, super_admin, job, name="quiet")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: send().status_code, range(40)))
    assert statuses.count(202) in {5, 10}, "at most one minute may have ended in between"
    assert set(statuses) == {202, 429}
    assert runs(store) == statuses.count(202)
    refused = [one for one in services.inbound.deliveries(super_admin, job.id) if one.status == 429]
    assert len(refused) <= 2
    assert sum(one.count for one in refused) == statuses.count(429)
    assert send().headers.get("Retry-After", "60").isdigit()
    assert quiet().status_code == 202


def test_forgeries_do_not_use_up_the_rate_of_the_sender(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = sender(app, services, super_admin, job, rate_per_minute=3)
    for _ in range(20):
        assert send.raw(b"{}", {"webhook-id": "x"}).status_code == 401
    assert send().status_code == 202


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_not_read(
    app: Flask, services: Services, super_admin: Actor, job: Job, store: Store, declared: bool
) -> None:
    send = sender(app, services, super_admin, job, "secret", max_bytes=100)
    body = b'{"a": "' + b"x" * 92 + b'"}'
    assert len(body) == 101
    if declared:
        answer = send.raw(body)
    else:
        with app.test_client() as client:
            answer = client.post(
                f"/api/inbound/{send.secret}",
                input_stream=io.BytesIO(body),
                content_type="application/json",
                environ_overrides={"wsgi.input_terminated": True},
            )
    assert answer.status_code == 413
    assert answer.get_json()["detail"] == "The body may have 100 bytes"
    assert runs(store) == 0
    assert outcomes(services, super_admin, job) == [("refused", 413, 1)]
    assert send.raw(body.replace(b"xx", b"x", 1)).status_code == 202


HOSTILE = [
    b"\xff\xfe",
    b"{" * 5000,
    b"[" * 60_000,
    b'{"a": NaN}',
    b'{"a": 1, "a": 2}',
    b'"' + b"\\u0000" * 100 + b'"',
    b'{"\\ud800": 1}',
    b"9" * 5000,
    b"null",
    b"[]",
    b'{"n": {"$where": "sleep(1000)"}}',
    b'{"n": "{{ previous.result }}"}',
    b'{"n": "' + b"{{" * 10_000 + b'"}',
    b"a=1&" * 15_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_hostile_bodies_break_nothing(app: Flask, services: Services, super_admin: Actor, job: Job, body: bytes, content_type: str) -> None:
    mapping = {"file": '{{ payload.n | default: "x" | text }}', "seconds": "{{ payload.s | default: 0 }}"}
    send = sender(app, services, super_admin, job, "secret", parameters=mapping)
    answer = send.raw(body, content_type=content_type)
    assert answer.status_code in {202, 422}
    (delivery,) = services.inbound.deliveries(super_admin, job.id)
    assert delivery.outcome in {Outcome.ACCEPTED, Outcome.REFUSED}
    assert len(delivery.body) <= 1000


def test_odd_headers_break_nothing(app: Flask, services: Services, super_admin: Actor, job: Job) -> None:
    send = sender(app, services, super_admin, job, "secret")
    for headers in (
        {"Idempotency-Key": "k" * 5000},
        {"Idempotency-Key": "\x7f\xff"},
        {"Content-Type": "x" * 2000},
        {"Content-Encoding": "gzip"},
        {"X-Forwarded-For": "127.0.0.1, evil"},
        {"X-HTTP-Method-Override": "DELETE"},
    ):
        assert send.raw(b"{}", headers).status_code in {202, 200}
    with app.test_client() as client:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            assert client.open(f"/api/inbound/{send.secret}", method=method).status_code == 405


def test_an_expression_of_the_payload_never_reaches_the_run(app: Flask, services: Services, super_admin: Actor, store: Store) -> None:
    job = hook_job(
        services,
        super_admin,
        name="mail",
        template_type="webhook_trigger",
        parameters={"url": "https://example.com/x", "body": {"a": 1}},
    )
    send = sender(app, services, super_admin, job, "secret", parameters={"body": {"text": "{{ payload.t }}"}})
    run = send({"t": "{{ previous.result.token }}"}).get_json()["execution_id"]
    (row,) = store.database["job_executions"].find({"_id": run})
    assert row["parameters"]["body"]["text"] == '{{ "{{" }} previous.result.token }}'
    refused = send({"t": {"$secret": "named", "name": "smtp"}})
    assert refused.get_json()["errors"][0]["pointer"] == "/parameters/body/text/$secret"
