"""The store of endpoints does the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pymongo.database import Database

from app.integrations.callbacks.breaker import Breaker, Circuit
from app.integrations.callbacks.endpoint import MOST_CALLS, Endpoint, LastCall
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.mongo import Document
from templates_lib.messages import said, say

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ORIGIN = "http://10.0.0.7:7006"
Data = Database[Document]


def test_an_endpoint_of_which_nothing_is_known_is_closed(database: Data) -> None:
    assert EndpointStore(database).get("email", ORIGIN) == Endpoint(service="email", origin=ORIGIN)


def test_an_endpoint_comes_back_as_it_was_put(database: Data) -> None:
    endpoints = EndpointStore(database)
    new = endpoints.get("email", ORIGIN)
    error = "The service answered 503"
    calls = tuple(
        LastCall(at=NOW, succeeded=False, seconds=1.5, error=error, execution_id=f"e{n}", job_name="digest") for n in range(MOST_CALLS)
    )
    state = Breaker().after([False] * 5, NOW)
    assert endpoints.put(new, replace(new, breaker=state, last_calls=calls * 2, changed_at=NOW))
    stored = endpoints.get("email", ORIGIN)
    assert stored == Endpoint(service="email", origin=ORIGIN, breaker=state, last_calls=calls, changed_at=NOW, version=1)
    assert (stored.breaker.circuit, stored.breaker.pause) == (Circuit.OPEN, timedelta(seconds=10))


def test_the_error_of_a_call_can_still_be_translated(database: Data) -> None:
    endpoints = EndpointStore(database)
    new = endpoints.get("email", ORIGIN)
    errors = (say("The service answered {status}", status=503), "a text of a service", None)
    endpoints.put(new, replace(new, last_calls=tuple(LastCall(at=NOW, succeeded=False, seconds=1.5, error=error) for error in errors)))
    stored = [call.error for call in endpoints.get("email", ORIGIN).last_calls]
    assert stored == list(errors)
    assert [said(error).pattern for error in stored if error] == ["The service answered {status}", "a text of a service"]


def test_of_two_changes_one_wins(database: Data) -> None:
    endpoints = EndpointStore(database)
    new = endpoints.get("email", ORIGIN)
    assert [endpoints.put(new, new) for _ in range(2)] == [True, False]
    read = endpoints.get("email", ORIGIN)
    assert [endpoints.put(read, replace(read, changed_at=NOW)) for _ in range(2)] == [True, False]
    assert endpoints.get("email", ORIGIN).version == 2


def test_the_endpoints_of_services(database: Data) -> None:
    endpoints = EndpointStore(database)
    for service, origin in (("b", "http://2"), ("a", "http://1"), ("b", "http://1"), ("c", "http://1")):
        new = endpoints.get(service, origin)
        endpoints.put(new, new)
    assert [endpoint.id for endpoint in endpoints.of_services(["b", "a"])] == ["a http://1", "b http://1", "b http://2"]
    endpoints.forget("b")
    assert [endpoint.id for endpoint in endpoints.of_services(["b", "a"])] == ["a http://1"]


def test_a_damaged_endpoint_lets_calls_through(database: Data) -> None:
    database["endpoints"].insert_one({"_id": f"email {ORIGIN}", "service": "email", "origin": ORIGIN, "circuit": 5, "retry_at": "soon"})
    damaged = EndpointStore(database).get("email", ORIGIN)
    assert damaged.breaker == Breaker()
