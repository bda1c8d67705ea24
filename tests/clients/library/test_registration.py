"""A service registers when it starts, with patience, and keeps Jobwright informed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from jobwright_client import JobContext, Keys, Service, Settings, new_key
from jobwright_client.state import MemoryState
from jobwright_client.transport import Answer, NoAnswer

from tests.support import eventually

SETTINGS = Settings(url="https://jobwright.test", token="jw_t", address="http://email:7006")
REGISTERED = Answer(200, {}, b'{"created": ["digest"], "updated": [], "unchanged": [], "retired": []}')


class Wire:
    """A transport that answers by the end of the address, one answer after the other."""

    def __init__(self, **answers: list[Answer | None]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str, Mapping[str, str], Any]] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer:
        name = url.rpartition("/")[2]
        self.sent.append((method, url, headers, json.loads(body)))
        answers = self.answers.get(name, [Answer(200, {}, b"{}")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise NoAnswer("Jobwright does not answer")
        return answer

    def bodies(self, name: str) -> list[Any]:
        return [body for _, url, _, body in self.sent if url.endswith(name)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are a thousandth of what they are."""
    monkeypatch.setattr("jobwright_client.service.LINGER_SECONDS", 0.003)
    monkeypatch.setattr("jobwright_client.registration.jittered", lambda tries, base_seconds=1.0: base_seconds / 1000)


@pytest.fixture
def services() -> Iterator[list[Service]]:
    made: list[Service] = []
    yield made
    for service in made:
        service.drain()


def started(services: list[Service], wire: Wire, settings: Settings = SETTINGS, **options: Any) -> Service:
    service = Service("email-service", version="1.4.2", settings=settings, transport=wire, **options)

    @service.job("digest", cron="0 9 * * MON")
    def digest(context: JobContext[Any]) -> None: ...

    services.append(service)
    service.start(wait_seconds=30)
    return service


def test_the_manifest_is_sent_with_the_token_and_then_heartbeats(services: list[Service]) -> None:
    wire = Wire(manifest=[REGISTERED])
    service = started(services, wire)
    assert service.registration.outcome == "registered"
    assert service.registration.changes == {"created": ["digest"], "updated": [], "unchanged": [], "retired": []}
    method, url, headers, body = wire.sent[0]
    assert (method, url) == ("PUT", "https://jobwright.test/api/services/email-service/manifest")
    assert headers["Authorization"] == "Bearer jw_t"
    assert body == {
        "version": "1.4.2",
        "ttlSeconds": 90,
        "onStale": "continue",
        "address": "http://email:7006",
        "jobs": [{"name": "digest", "enabled": False, "displayName": "Digest", "cronExpression": "0 9 * * MON", "config": {}}],
    }
    eventually(lambda: wire.bodies("heartbeat"))
    beat = wire.bodies("heartbeat")[0]
    assert beat == {"instance": service.registration.instance, "version": "1.4.2", "state": "ready", "jobs": ["digest"], "running": 0}
    assert 0 < len(beat["instance"]) <= 100


def test_a_jobwright_that_is_away_is_tried_until_it_is_back(services: list[Service]) -> None:
    wire = Wire(manifest=[None, None, Answer(503, {"retry-after": "0"}), Answer(500, {}), Answer(429, {}), REGISTERED])
    started(services, wire)
    assert len(wire.bodies("manifest")) == 6


def test_a_refusal_is_said_once_with_its_places_and_tried_again(services: list[Service], caplog: pytest.LogCaptureFixture) -> None:
    problem = Answer(
        422, {}, b'{"detail": "The manifest is not valid", "errors": [{"pointer": "/jobs/0/cronExpression", "detail": "has 4 fields"}]}'
    )
    wire = Wire(manifest=[problem, Answer(403, {}, b'{"title": "Forbidden"}'), REGISTERED])
    caplog.set_level(logging.ERROR, "jobwright_client")
    service = started(services, wire)
    assert "422 The manifest is not valid (/jobs/0/cronExpression: has 4 fields)" in caplog.text
    eventually(lambda: service.registration.outcome == "registered")
    assert "403 Forbidden; the token needs the role admin and the scope services" in caplog.text


def test_a_warning_of_the_answer_stands_in_the_log(services: list[Service], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jobwright_client"):
        started(services, Wire(manifest=[Answer(200, {}, b'{"warnings": ["/jobs/0/cron is ignored"]}')]))
    assert "/jobs/0/cron is ignored" in caplog.text


def test_a_jobwright_that_does_not_know_the_service_gets_the_manifest_again(services: list[Service]) -> None:
    wire = Wire(manifest=[REGISTERED], heartbeat=[Answer(404, {}, b"{}"), Answer(200, {}, b"{}")])
    started(services, wire)
    eventually(lambda: len(wire.bodies("manifest")) == 2 and len(wire.bodies("heartbeat")) == 2)


def test_heartbeats_that_fail_do_not_register_again(services: list[Service], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobwright_client.registration.random.uniform", lambda low, high: 0.0001)
    wire = Wire(manifest=[REGISTERED], heartbeat=[None, Answer(500, {}, b"{}"), Answer(200, {}, b"{}")])
    started(services, wire)
    eventually(lambda: len(wire.bodies("heartbeat")) >= 4)
    assert len(wire.bodies("manifest")) == 1


def test_the_key_of_a_new_service_is_taken_and_kept(services: list[Service]) -> None:
    key, state = new_key(), MemoryState()
    created = Answer(200, {}, json.dumps({"created": [], "signingKey": {"id": "k_1", "secret": key}}).encode())
    service = started(services, Wire(manifest=[created]), state=state)
    headers = Keys([key]).sign("e:1", 1_796_000_000, b"{}")
    assert service._keys.verify(headers, b"{}", now=1_796_000_000) == "e:1"
    assert state.signing_key() == key
    again = Service("email-service", settings=SETTINGS, state=state)
    assert again._keys.verify(headers, b"{}", now=1_796_000_000) == "e:1"


def test_a_key_of_the_settings_counts_more_than_the_one_of_an_answer(services: list[Service]) -> None:
    mine, theirs = new_key(), new_key()
    created = Answer(200, {}, json.dumps({"signingKey": {"id": "k_1", "secret": theirs}}).encode())
    service = started(services, Wire(manifest=[created]), replace(SETTINGS, signing_keys=(mine,)))
    assert service._keys.verify(Keys([mine]).sign("e", 5, b""), b"", now=5) == "e"


def test_a_wrong_token_is_said_at_once(services: list[Service], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobwright_client.registration.jittered", lambda tries, base_seconds=1.0: 3600.0)
    service = Service("s", settings=SETTINGS, transport=Wire(manifest=[Answer(401, {}, b'{"title": "Unauthorized"}')]))
    services.append(service)
    with caplog.at_level(logging.ERROR, "jobwright_client"):
        assert service.start(wait_seconds=600) is False
    assert caplog.messages == ["Jobwright refuses to register s: 401 Unauthorized; check JOBWRIGHT_TOKEN"]
    assert service.registration.outcome == "refused: 401 Unauthorized"


def test_an_error_of_the_program_does_not_end_the_tries(services: list[Service], caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(manifest=[REGISTERED])
    broken = [RuntimeError("it broke")]

    class Breaks:
        def send(self, *arguments: Any) -> Answer:
            if broken:
                raise broken.pop()
            return wire.send(*arguments)

    service = Service("s", settings=SETTINGS, transport=Breaks())
    services.append(service)
    assert service.start(wait_seconds=30) is True
    assert "it broke" in caplog.text


def test_a_service_that_has_lost_its_key_says_what_to_do(services: list[Service], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "jobwright_client"):
        started(services, Wire(manifest=[REGISTERED]))
        assert "Rotate its signing key in Jobwright" in caplog.text
        caplog.clear()
        started(services, Wire(manifest=[REGISTERED]), replace(SETTINGS, signing_keys=(new_key(),)))
    assert not caplog.messages


def test_retired_jobs_stand_in_heartbeats_so_that_calls_of_them_arrive(services: list[Service]) -> None:
    wire = Wire(register=[REGISTERED])
    service = started(services, wire, complete=False)
    service.retire("old", "digest")
    assert service.registration.heartbeat()["jobs"] == ["digest", "old"]


def test_a_program_with_some_of_the_jobs_registers_a_list(services: list[Service]) -> None:
    wire = Wire(register=[REGISTERED])
    started(services, wire, complete=False)
    method, url, _, body = wire.sent[0]
    assert (method, url) == ("POST", "https://jobwright.test/api/jobs/register")
    assert body == [
        {
            "name": "digest",
            "serviceName": "email-service",
            "serviceUrl": "http://email:7006",
            "enabled": False,
            "displayName": "Digest",
            "cronExpression": "0 9 * * MON",
            "config": {},
        }
    ]


def test_an_instance_with_an_address_of_its_own_says_so(services: list[Service]) -> None:
    wire = Wire(manifest=[REGISTERED])
    started(services, wire, replace(SETTINGS, instance_address="http://10.0.3.7:7006"))
    eventually(lambda: wire.bodies("heartbeat"))
    assert wire.bodies("heartbeat")[0]["address"] == "http://10.0.3.7:7006"


def test_an_instance_that_stops_does_not_wait_for_jobwright(services: list[Service]) -> None:
    wire = Wire(manifest=[None])
    service = Service("s", settings=SETTINGS, transport=wire)
    service.start()
    eventually(lambda: wire.sent)
    service.drain()
    assert not wire.bodies("heartbeat")


def test_an_instance_says_goodbye_also_to_a_jobwright_that_is_away(services: list[Service]) -> None:
    wire = Wire(manifest=[REGISTERED], heartbeat=[Answer(200, {}, b"{}"), None])
    service = started(services, wire)
    eventually(lambda: wire.bodies("heartbeat"))
    service.drain()
    assert [beat["state"] for beat in wire.bodies("heartbeat")][-2:] == ["draining", "stopped"]


def test_a_service_without_an_address_of_jobwright_says_so_and_serves(caplog: pytest.LogCaptureFixture) -> None:
    service = Service("s", settings=Settings())
    with caplog.at_level(logging.WARNING, "jobwright_client"):
        service.start()
        service.start()
    assert caplog.text.count("JOBWRIGHT_URL is not set") == 1
    service.drain()


def test_a_process_that_was_forked_registers_as_an_instance_of_its_own(services: list[Service], monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(manifest=[REGISTERED])
    service = started(services, wire)
    eventually(lambda: wire.bodies("heartbeat"))
    before = service.registration
    monkeypatch.setattr("jobwright_client.service.os.getpid", lambda: 1)
    service.start(wait_seconds=30)
    eventually(lambda: len({beat["instance"] for beat in wire.bodies("heartbeat")}) == 2)
    before.stop()
