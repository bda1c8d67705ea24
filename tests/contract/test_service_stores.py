"""The store of services does the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from app.integrations.services.model import Applying, Instance, Manifest, OnStale, Service, distinct_versions
from app.integrations.services.store import MOST_INSTANCES, ServiceStore
from app.mongo import Document

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
Data = Database[Document]
MANIFEST = Manifest(version="1.4.0", digest="d1", etag="e1", at=LATER)


def service(name: str = "email-service", **fields: Any) -> Service:
    made = {"seen_at": NOW, "created_by": "bot@example.com", "created_at": NOW, "updated_by": "bot@example.com", "updated_at": NOW}
    return Service(name=name, **{**made, **fields})


def instance(name: str = "pod-1", **fields: Any) -> Instance:
    return Instance(**{"id": name, "version": "1.4.0", "jobs": ("digest",), "seen_at": NOW, **fields})


def stored(services: ServiceStore, name: str = "email-service") -> Service:
    found = services.get(name)
    assert found is not None
    return found


def test_a_service_comes_back_as_it_was_added_and_its_name_is_taken(database: Data) -> None:
    services = ServiceStore(database)
    whole = service(display_name="E-mail", manifest=MANIFEST, ttl_seconds=60, on_stale=OnStale.PAUSE, instances=(instance(),))
    assert services.add(whole)
    assert not services.add(service())
    assert services.add(service("crawler"))
    assert stored(services) == whole
    assert services.get("nobody") is None
    assert [item.name for item in services.all()] == ["crawler", "email-service"]
    assert set(services.of(["crawler", "nobody"])) == {"crawler"}
    assert [services.remove("crawler") for _ in range(2)] == [True, False]


def test_a_manifest_is_noted_when_its_jobs_are_written_and_no_other_one_has_begun(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service(stale_since=NOW))
    newer = Manifest(version="1.5.0", digest="d2", etag="e2", at=LATER)

    def begin(manifest: Manifest, at: datetime, given_up: datetime = NOW) -> bool:
        return services.begin_manifest("email-service", Applying(digest=manifest.digest, at=at), given_up=given_up)

    def note(manifest: Manifest) -> bool:
        return services.note_manifest("email-service", manifest, ttl_seconds=300, on_stale=OnStale.PAUSE, by="bot")

    assert not note(newer), "it has not begun"
    assert [begin(MANIFEST, NOW), begin(MANIFEST, NOW), begin(newer, LATER)] == [True, True, False]
    assert begin(newer, LATER, given_up=LATER), "the first one was interrupted"
    assert not note(MANIFEST)
    assert note(newer)
    assert not note(newer)
    after = stored(services)
    assert (after.manifest, after.ttl_seconds, after.on_stale, after.seen_at, after.stale_since) == (newer, 300, OnStale.PAUSE, LATER, None)
    assert after.applying is None
    services.doubt_manifest("email-service", Applying(digest=MANIFEST.digest, at=NOW))
    assert stored(services).applying == Applying(digest=MANIFEST.digest, at=NOW)


def test_heartbeats_add_renew_and_remove_instances(database: Data) -> None:
    services = ServiceStore(database)
    assert not services.beat("email-service", instance())
    services.add(service())
    assert services.beat("email-service", instance())
    assert services.beat("email-service", instance("pod-2", address="http://10.0.0.2:7006", version="1.5.0"))
    assert services.beat("email-service", instance(seen_at=LATER, jobs=("digest", "recap")))
    after = stored(services)
    assert [(item.id, item.seen_at, item.jobs) for item in after.instances] == [
        ("pod-1", LATER, ("digest", "recap")),
        ("pod-2", NOW, ("digest",)),
    ]
    assert (after.seen_at, distinct_versions(after.instances)) == (LATER, ["1.4.0", "1.5.0"])
    assert [item.id for item in after.able("recap", LATER)] == ["pod-1"]
    services.leave("email-service", "pod-1")
    assert [item.id for item in stored(services).instances] == ["pod-2"]


def test_instances_that_ended_long_ago_are_forgotten(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service(instances=(instance("old"), instance("older", seen_at=NOW - timedelta(days=1)))))
    assert services.beat("email-service", instance("new", seen_at=NOW + timedelta(minutes=30)))
    assert [item.id for item in stored(services).instances] == ["new", "old"]


def test_the_number_of_instances_is_bounded(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service(instances=tuple(instance(f"pod-{number:03}") for number in range(MOST_INSTANCES))))
    assert services.beat("email-service", instance("newest", seen_at=LATER))
    kept = [item.id for item in stored(services).instances]
    assert (len(kept), "newest" in kept) == (MOST_INSTANCES, True)


def test_a_silent_service_is_noted_once_and_heard_of_again(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service(ttl_seconds=60))
    silent = stored(services)
    assert [silent.is_stale(NOW + timedelta(seconds=after)) for after in (0, 59, 60)] == [False, False, True]
    assert [services.note_stale(silent, LATER) for _ in range(2)] == [True, False]
    assert stored(services).stale_since == LATER
    services.note_life("email-service", LATER)
    assert (stored(services).stale_since, stored(services).seen_at) == (None, LATER)
    assert not services.note_stale(silent, LATER), "it was heard of since it was read"
    services.note_life("email-service", NOW)
    assert stored(services).seen_at == LATER
    assert not service().is_stale(NOW + timedelta(days=999))


def test_a_change_is_noted_with_who_made_it(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service())
    services.note_change("email-service", by="ada@example.com", at=LATER, display_name="E-mail")
    after = stored(services)
    assert (after.display_name, after.updated_by, after.updated_at, after.seen_at) == ("E-mail", "ada@example.com", LATER, LATER)


def test_an_instance_is_online_for_its_own_time(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service(instances=(instance(ttl_seconds=10), instance("pod-2"))))
    assert [item.id for item in stored(services).online(NOW + timedelta(seconds=10))] == ["pod-2"]


def test_a_damaged_service_can_be_read(database: Data) -> None:
    services = ServiceStore(database)
    services.add(service())
    database["services"].update_one({"_id": "email-service"}, {"$set": {"instances": [{"id": 7}], "on_stale": "x", "ttl_seconds": "y"}})
    after = stored(services)
    assert after.damaged
    assert (after.on_stale, after.ttl_seconds) == (OnStale.CONTINUE, None)
