"""The stores of inbound webhooks do the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from app.integrations.inbound.address_store import AddressStore
from app.integrations.inbound.delivery_store import KEPT, DeliveryStore
from app.integrations.inbound.model import Address, Delivery, Outcome, Proof
from app.integrations.inbound.seen_store import Seen, SeenStore
from app.mongo import Document

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Data = Database[Document]


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def address(address_id: str = "a", job_id: str = "job", **fields: Any) -> Address:
    made: dict[str, Any] = {
        "name": address_id,
        "digest": f"digest of {address_id}",
        "owner_id": "ada",
        "owner": "ada@example.com",
        "created_by": "ada@example.com",
        "proof": Proof.GITHUB,
        "events": ("push",),
        "parameters": {"seconds": {"$payload": "/n"}},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Address(id=address_id, job_id=job_id, **{**made, **fields})


def delivery(number: int, address_id: str = "a", **fields: Any) -> Delivery:
    made: dict[str, Any] = {
        "job_id": "job",
        "at": later(number),
        "outcome": Outcome.REFUSED,
        "status": 422,
        "sender": "198.51.100.7",
        "reason": "is not valid",
    }
    return Delivery(id=f"{address_id}-{number}", address_id=address_id, **{**made, **fields})


def test_an_address_is_found_by_its_digest_and_under_its_job_only(database: Data) -> None:
    addresses = AddressStore(database)
    for made in (address("b"), address("a"), address("c", job_id="other")):
        addresses.add(made)
    assert addresses.by_digest("digest of a") == address("a")
    assert addresses.by_digest("digest") is None
    assert (addresses.get("job", "c"), addresses.get("other", "c")) == (None, address("c", job_id="other"))
    assert [item.id for item in addresses.of("job")] == ["a", "b"]
    assert addresses.count("job") == 2
    assert [addresses.remove("b") for _ in range(2)] == [True, False]
    assert addresses.count("job") == 1


def test_of_two_changes_to_the_same_version_one_counts(database: Data) -> None:
    addresses = AddressStore(database)
    addresses.add(address())
    changed = addresses.change("a", 1, {"enabled": False, "updated_at": later(1)})
    assert changed == replace(address(), enabled=False, updated_at=later(1), version=2)
    assert addresses.change("a", 1, {"enabled": True}) is None
    assert addresses.get("job", "a") == changed


@pytest.mark.differs("largest of null")
def test_deliveries_are_counted_and_the_latest_time_stays(database: Data) -> None:
    addresses = AddressStore(database)
    addresses.add(address())
    for minutes, accepted in ((2, True), (1, False), (3, False)):
        addresses.note("a", later(minutes), accepted=accepted)
    counted = addresses.get("job", "a")
    assert counted is not None
    assert (counted.accepted, counted.refused, counted.last_at) == (1, 2, later(3))


def test_the_last_deliveries_of_an_address_stay(database: Data) -> None:
    deliveries = DeliveryStore(database)
    deliveries.add(delivery(0, "other"))
    for number in range(KEPT + 3):
        deliveries.add(delivery(number))
    kept = deliveries.of("job", address_id="a")
    assert [item.id for item in kept] == [f"a-{number}" for number in range(KEPT + 2, 2, -1)]
    assert kept[0] == delivery(KEPT + 2)
    assert [item.address_id for item in deliveries.of("job", address_id="other")] == ["other"]
    assert len(deliveries.of("job", limit=3)) == 3
    deliveries.remove_of("a")
    assert [item.address_id for item in deliveries.of("job")] == ["other"]


def test_deliveries_alike_are_one_with_a_count(database: Data) -> None:
    deliveries = DeliveryStore(database)
    for minutes in (0, 1, 2):
        deliveries.add_alike(delivery(7, at=later(minutes)))
    (alike,) = deliveries.of("job")
    assert alike == delivery(7, at=NOW, count=3)


def test_a_delivery_is_begun_once_taken_over_once_and_finished(database: Data) -> None:
    seen = SeenStore(database)
    begin = lambda: seen.begin("k", stamp="s", at=NOW, expires_at=later(10))
    assert [begin(), begin()] == [True, False]
    assert seen.get("k") == Seen("s", NOW, done=False, execution_id=None, approval_id=None)
    assert [seen.take_over("k", since=NOW, at=later(1)) for _ in range(2)] == [True, False]
    seen.finish("k", execution_id="run", approval_id=None)
    assert seen.get("k") == Seen("s", later(1), done=True, execution_id="run", approval_id=None)
    assert not seen.take_over("k", since=later(1), at=later(2))
    seen.forget("k")
    assert seen.get("k") is not None, "what was accepted is not forgotten"


def test_a_refused_delivery_may_come_again(database: Data) -> None:
    seen = SeenStore(database)
    assert seen.begin("k", stamp="s", at=NOW, expires_at=later(10))
    seen.forget("k")
    assert seen.get("k") is None
    assert seen.begin("k", stamp="s", at=NOW, expires_at=later(10))
