"""The `services` collection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.integrations.services.model import Applying, Instance, InstanceState, Manifest, OnStale, Service
from app.mongo import Document, Records
from app.shapes import DAMAGED, Flag, Instant, Listed, Number, Object, Text, instants, one_of, texts

MOST_INSTANCES = 200  # of one service; the ones that were seen least recently are forgotten first
FORGOTTEN_AFTER = timedelta(hours=1)  # since the last heartbeat of an instance, when another one appears

INSTANCE = Object(
    closed=True,
    members={
        **texts("id", "version", "address"),
        "state": one_of([item.value for item in InstanceState], InstanceState.READY.value),
        "jobs": Listed(of=Text()),
        "running": Number(),
        "ttl_seconds": Number(least=1, default=1),
        "seen_at": Instant(),
    },
)
SERVICE = Object(
    members={
        "display_name": Text(),
        "manifest": Object(nullable=True, closed=True, members={**texts("version", "digest", "etag"), "at": Instant()}),
        "applying": Object(nullable=True, closed=True, members={"digest": Text(), "at": Instant()}),
        "ttl_seconds": Number(nullable=True, least=1),
        "on_stale": one_of([item.value for item in OnStale], OnStale.CONTINUE.value),
        "instances": Listed(of=INSTANCE),
        "stale_since": Instant(nullable=True),
        "resting": Flag(),
        "seen_at": Instant(),
        **texts("created_by", "updated_by"),
        **instants("created_at", "updated_at"),
    }
)


class ServiceStore:
    """Reads and writes services. Every change is one update of one document, so that instances may write at the same time."""

    def __init__(self, database: Database[Document]) -> None:
        self._services = Records(database, "services", SERVICE)

    def get(self, name: str) -> Service | None:
        row = self._services.find_one({"_id": name})
        return _service(row) if row else None

    def of(self, names: Iterable[str]) -> dict[str, Service]:
        """Returns the services with these names that exist, by name."""
        wanted = sorted(set(names))
        rows = self._services.find({"_id": {"$in": wanted}}) if wanted else ()
        return {row["_id"]: _service(row) for row in rows}

    def all(self) -> list[Service]:
        """Returns all services, by name."""
        return [_service(row) for row in self._services.find().sort("_id", 1)]

    def with_time_to_live(self) -> list[Service]:
        """Returns the services that can be silent for too long."""
        return [_service(row) for row in self._services.find({"ttl_seconds": {"$type": "number"}})]

    def add(self, service: Service) -> bool:
        """Adds a service. Returns False if there is one of this name already."""
        try:
            self._services.insert_one(_document(service))
        except DuplicateKeyError:
            return False
        return True

    def remove(self, name: str) -> bool:
        return self._services.delete_one({"_id": name}).deleted_count == 1

    def note_change(self, name: str, *, by: str, at: datetime, display_name: str | None = None) -> None:
        """Notes that a service has changed its jobs."""
        changes = {"updated_by": by, "updated_at": at, "seen_at": at, "stale_since": None}
        self._services.update_one({"_id": name}, {"$set": changes if display_name is None else {**changes, "display_name": display_name}})

    def begin_manifest(self, name: str, applying: Applying, *, given_up: datetime) -> bool:
        """Notes that a manifest is being written. Returns False if another one is, and has been since after `given_up`."""
        free = [
            {"applying": None},
            {"applying.digest": applying.digest},  # another instance sends the same
            {"applying.at": {"$lt": given_up}},
        ]
        change = {"$set": {"applying": _plain_applying(applying)}}
        return self._services.update_one({"_id": name, "$or": free}, change).matched_count == 1

    def note_manifest(self, name: str, manifest: Manifest, *, ttl_seconds: int | None, on_stale: OnStale, by: str) -> bool:
        """Puts a manifest in place whose jobs have been written. Returns False if another one has begun meanwhile, or if another instance
        has noted the same one already."""
        where = {"_id": name, "applying.digest": manifest.digest}
        changes = {
            "manifest": _plain_manifest(manifest),
            "applying": None,
            "ttl_seconds": ttl_seconds,
            "on_stale": on_stale.value,
            "updated_by": by,
            "updated_at": manifest.at,
            "seen_at": manifest.at,
            "stale_since": None,
        }
        return self._services.update_one(where, {"$set": changes}).matched_count == 1

    def doubt_manifest(self, name: str, applying: Applying) -> None:
        """Notes that the jobs may be those of two manifests, so that the next one is written as a whole."""
        where = {"_id": name, "applying": None}
        self._services.update_one(where, {"$set": {"applying": _plain_applying(applying)}})

    def note_life(self, name: str, at: datetime) -> None:
        """Notes that a service was heard of, though it changed nothing."""
        self._services.update_one({"_id": name, "seen_at": {"$lt": at}}, {"$set": {"seen_at": at, "stale_since": None}})

    def note_stale(self, service: Service, at: datetime) -> bool:
        """Notes that a service is silent. Returns False if it was heard of meanwhile, or if that is noted already."""
        where = {"_id": service.name, "seen_at": service.seen_at, "stale_since": None}
        return self._services.update_one(where, {"$set": {"stale_since": at}}).matched_count == 1

    def set_resting(self, name: str, *, resting: bool) -> None:
        """Notes whether the jobs of a service are paused because it is silent."""
        self._services.update_one({"_id": name}, {"$set": {"resting": resting}})

    def hand_over(self, name: str, *, owner: str, by: str, at: datetime) -> bool:
        """Gives a service to another account. Returns False if there is no such service."""
        changes = {"created_by": owner, "updated_by": by, "updated_at": at}
        return self._services.update_one({"_id": name}, {"$set": changes}).matched_count == 1

    def beat(self, name: str, instance: Instance) -> bool:
        """Writes the heartbeat of an instance. Returns False if there is no such service."""
        row, life = _plain_instance(instance), {"seen_at": instance.seen_at, "stale_since": None}
        known = {"_id": name, "instances.id": instance.id}
        if self._services.update_one(known, {"$set": {**life, "instances.$": row}}).matched_count:
            return True
        outdated = {"instances": {"seen_at": {"$lt": instance.seen_at - FORGOTTEN_AFTER}}}
        self._services.update_one({"_id": name}, {"$pull": outdated})
        added = {"$push": {"instances": {"$each": [row], "$sort": {"seen_at": 1}, "$slice": -MOST_INSTANCES}}, "$set": life}
        if self._services.update_one({"_id": name, "instances.id": {"$ne": instance.id}}, added).matched_count:
            return True
        # Another heartbeat of this instance was a moment quicker, unless there is no such service.
        return self._services.update_one(known, {"$set": {**life, "instances.$": row}}).matched_count == 1

    def leave(self, name: str, instance_id: str) -> None:
        """Forgets an instance that has ended."""
        self._services.update_one({"_id": name}, {"$pull": {"instances": {"id": instance_id}}})


def _service(row: Document) -> Service:
    fields: dict[str, Any] = {key: row[key] for key in SERVICE.members}
    return Service(
        **{
            **fields,
            "name": row["_id"],
            "manifest": Manifest(**row["manifest"]) if row["manifest"] else None,
            "applying": Applying(**row["applying"]) if row["applying"] else None,
            "on_stale": OnStale(row["on_stale"]),
            "instances": tuple(
                Instance(**{**item, "jobs": tuple(item["jobs"]), "state": InstanceState(item["state"])})
                for item in sorted(row["instances"], key=lambda item: str(item["id"]))
            ),
            "damaged": row.get(DAMAGED, ""),
        }
    )


def _document(service: Service) -> Document:
    return {
        "_id": service.name,
        **{key: getattr(service, key) for key in SERVICE.members},
        "manifest": _plain_manifest(service.manifest),
        "applying": _plain_applying(service.applying),
        "on_stale": service.on_stale.value,
        "instances": [_plain_instance(instance) for instance in service.instances],
    }


def _plain_manifest(manifest: Manifest | None) -> Document | None:
    return {key: getattr(manifest, key) for key in Manifest.__slots__} if manifest is not None else None


def _plain_applying(applying: Applying | None) -> Document | None:
    return {"digest": applying.digest, "at": applying.at} if applying is not None else None


def _plain_instance(instance: Instance) -> Document:
    plain = {key: getattr(instance, key) for key in Instance.__slots__}
    return {**plain, "jobs": list(instance.jobs), "state": instance.state.value}
