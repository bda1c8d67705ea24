"""Health pages say whether the message broker answers, within their time and without its password."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from app import health
from app.accounts.tokens import Tokens
from app.audit.model import SYSTEM, Actor
from app.broker.inspection import BrokerFacts, BrokerLooks
from app.config import Settings
from app.executors.inline import InlineExecutor
from app.factory import Store, build_node, create_probes, with_engine
from app.services import Services
from tests.builders.brokers import Broker, Redis
from tests.builders.lines import need_celery
from tests.support import eventually


def shown(services: Services, token: str = "") -> dict[str, Any]:
    answer = create_probes(services).test_client().get("/health/detailed", headers={"Authorization": f"Bearer {token}"} if token else {})
    assert answer.status_code == 200, "what runs goes on, and due times are planned, without a broker"
    broker: dict[str, Any] = answer.get_json()["dependencies"]["broker"]
    return broker


def token_of(tokens: Tokens, actor: Actor) -> str:
    return tokens.create(SYSTEM, email=actor.email, name="t")


def test_a_process_without_celery_has_no_broker(services: Services, settings: Settings, store: Store) -> None:
    assert shown(services) == {"status": "not here"}
    node = build_node(settings, store, services, InlineExecutor(settings))
    assert shown(with_engine(services, node)) == {"status": "not here"}


def test_health_says_whether_the_broker_answers(broker: Broker, services: Services, super_admin: Actor) -> None:
    need_celery()
    told = replace(services, broker=BrokerLooks(broker.url).begin)
    eventually(lambda: shown(told) == {"status": "healthy"})  # Celery is imported with the first look, which may take long
    address = shown(told, token_of(services.tokens, super_admin))["address"]
    assert f"127.0.0.1:{broker.port}" in address
    assert "guest:guest" not in address


def test_a_redis_that_deletes_messages_is_told(redis: Redis, services: Services, super_admin: Actor) -> None:
    need_celery()
    told = replace(services, broker=BrokerLooks(redis.url).begin)
    eventually(lambda: shown(told) == {"status": "healthy"})  # Celery is imported with the first look, which may take long
    redis.set("maxmemory-policy", "volatile-ttl")
    told = replace(services, broker=BrokerLooks(redis.url).begin)
    assert shown(told) == {"status": "unhealthy"}
    assert "volatile-ttl" in shown(told, token_of(services.tokens, super_admin))["problem"]


def test_a_broker_that_is_away_is_told_without_its_password(redis: Redis, services: Services, super_admin: Actor) -> None:
    need_celery()
    redis.stop()
    told = replace(services, broker=BrokerLooks(f"redis://:hidden@127.0.0.1:{redis.port}/0").begin)
    assert shown(told) == {"status": "unhealthy"}
    trusted = shown(told, token_of(services.tokens, super_admin))
    assert (trusted["status"], trusted["address"]) == ("unhealthy", f"redis://:***@127.0.0.1:{redis.port}/0")
    assert str(redis.port) in trusted["problem"]
    assert "hidden" not in str(trusted)


def test_a_broker_that_says_nothing_keeps_nobody_waiting(services: Services, super_admin: Actor) -> None:
    """It takes connections and never answers. Everybody who asks meanwhile waits for the same look."""
    need_celery()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        told = replace(services, broker=BrokerLooks(f"redis://127.0.0.1:{silent.getsockname()[1]}/0").begin)
        token = token_of(services.tokens, super_admin)
        began = time.monotonic()
        assert shown(told, token)["problem"] == "No answer within 2 s"
        assert time.monotonic() - began < health.PROBE_SECONDS + 1.5


def test_one_look_at_a_time_serves_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, looked = threading.Event(), []

    def inspect(url: str) -> BrokerFacts:
        looked.append(url)
        go_on.wait(30)
        return BrokerFacts("it answers")

    looks = BrokerLooks("redis://u:hidden@h/0", inspect)
    begun = {looks.begin() for _ in range(100)}
    assert len(begun) == 1
    assert looks.begin().state(0.0).problem == "No answer within 0 s"
    go_on.set()
    assert looks.begin().state(30.0).problem == ""
    assert looks.begin().state(0.0).address == "redis://u:***@h/0"
    monkeypatch.setattr("app.broker.inspection.FRESH_SECONDS", -1.0)
    looks.begin().state(30.0)
    assert len(looked) == 2
