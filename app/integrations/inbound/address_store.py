"""The `inbound_addresses` collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database

from app.integrations.inbound.model import Address, Proof
from app.mongo import Document, Records
from app.sealing import SealedFields
from app.shapes import DAMAGED, Anything, Flag, Instant, Json, Listed, Number, Object, Text, instants, one_of, texts, wholes

ADDRESS = Object(
    members={
        **texts("job_id", "name", "digest", "owner_id", "owner", "created_by"),
        "proof": one_of([item.value for item in Proof], Proof.STANDARD.value),
        "keys": Listed(of=Anything()),
        "events": Listed(of=Text()),
        "parameters": Json(),
        "enabled": Flag(),
        "rate_per_minute": Number(least=1, default=1),
        "max_bytes": Number(least=1, default=1),
        "version": Number(least=1, default=1),
        **wholes("accepted", "refused"),
        **instants("created_at", "updated_at"),
        **{name: Instant(nullable=True) for name in ("earlier_until", "rotated_at", "last_at")},
    }
)
SEALED_FIELDS = (SealedFields("inbound_addresses", ("keys",)),)
_SAME = tuple(item.name for item in fields(Address) if item.name not in {"id", "proof", "keys", "events", "damaged"})


class AddressStore:
    """One document an address. Its secret is stored as a digest, its signing keys are sealed."""

    def __init__(self, database: Database[Document]) -> None:
        self._addresses = Records(database, "inbound_addresses", ADDRESS)

    def add(self, address: Address) -> None:
        self._addresses.insert_one(_document(address))

    def by_digest(self, digest: str) -> Address | None:
        row = self._addresses.find_one({"digest": digest})
        return _from_row(row) if row else None

    def get(self, job_id: str, address_id: str) -> Address | None:
        row = self._addresses.find_one({"_id": address_id, "job_id": job_id})
        return _from_row(row) if row else None

    def of(self, job_id: str) -> list[Address]:
        """Returns the addresses of a job, by name."""
        return [_from_row(row) for row in self._addresses.find({"job_id": job_id}).sort([("name", 1), ("_id", 1)])]

    def count(self, job_id: str) -> int:
        return self._addresses.count_documents({"job_id": job_id})

    def change(self, address_id: str, version: int, changes: Mapping[str, Any]) -> Address | None:
        """Changes fields of an address that still has `version`. Returns the address after that; None if somebody else was quicker."""
        row = self._addresses.find_one_and_update(
            {"_id": address_id, "version": version},
            {"$set": dict(changes), "$inc": {"version": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return _from_row(row) if row else None

    def note(self, address_id: str, at: datetime, *, accepted: bool) -> None:
        """Counts a delivery."""
        counted = "accepted" if accepted else "refused"
        self._addresses.update_one({"_id": address_id}, {"$inc": {counted: 1}, "$max": {"last_at": at}})

    def remove(self, address_id: str) -> bool:
        return self._addresses.delete_one({"_id": address_id}).deleted_count == 1


def _document(address: Address) -> Document:
    return {
        "_id": address.id,
        **{name: getattr(address, name) for name in _SAME},
        "proof": address.proof.value,
        "keys": list(address.keys),
        "events": list(address.events),
    }


def _from_row(row: Document) -> Address:
    same = {name: row[name] for name in _SAME}
    return Address(
        id=row["_id"],
        proof=Proof(row["proof"]),
        keys=tuple(row["keys"]),
        events=tuple(row["events"]),
        damaged=row.get(DAMAGED, ""),
        **same,
    )
