"""Seals every secret in the database with the key that is used now, after it was changed (`jobwright secrets reseal`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.fernet import InvalidToken
from pymongo.database import Database

from app.accounts.store import UserStore
from app.connections.vault import Vault, is_sealed
from app.errors import StartError
from app.keys import KeyRing
from app.mongo import EXACT, Document

# Each field that may hold sealed values, by collection.
HOLDS = {
    "connections": ("settings",),
    "dynamic_jobs": ("parameters",),
    "job_revisions": ("definition",),
    "job_executions": ("parameters",),
    "approvals": ("payload", "subject"),
}
TRIES = 5


class Resealer:
    """Works beside everything else: a field is replaced only where it is still as it was read, and what opens it does not change."""

    def __init__(self, database: Database[Document], keys: KeyRing) -> None:
        # A value is compared with itself and an id looked for as it is stored, so the driver's own types stay.
        self._database: Database[Document] = database.with_options(codec_options=EXACT)
        self._vault, self._totp = Vault(keys), keys.fernet("totp")

    def run(self) -> Iterator[tuple[str, int]]:
        """(collection, how many documents were sealed anew). Raises StartError where no key opens a secret; what was done stays."""
        for collection, fields in HOLDS.items():
            yield collection, sum(self._field(collection, field) for field in fields)
        yield "users", self._factors()

    def old(self) -> dict[str, int]:
        """How many documents of each collection hold a secret of an earlier key."""
        found = {
            collection: sum(self._is_old(row.get(field)) for field in fields for row in self._rows(collection, field))
            for collection, fields in HOLDS.items()
        }
        return {collection: count for collection, count in found.items() if count}

    def _rows(self, collection: str, field: str) -> Iterator[Document]:
        yield from self._database[collection].find({field: {"$exists": True}}, {field: 1})

    def _field(self, collection: str, field: str) -> int:
        return sum(self._row(collection, field, row) for row in self._rows(collection, field))

    def _row(self, collection: str, field: str, row: Document) -> bool:
        for _ in range(TRIES):
            value = row.get(field)
            if not self._is_old(value):
                return False
            as_read = {"_id": row["_id"], field: {"$eq": value}}
            if self._database[collection].update_one(as_read, {"$set": {field: self._anew(value)}}).matched_count:
                return True
            fresh = self._database[collection].find_one({"_id": row["_id"]}, {field: 1})
            if fresh is None:
                return False
            row = fresh
        raise StartError(f"{collection} {row['_id']} is being changed all the time; run this again")

    def _factors(self) -> int:
        users, done = UserStore(self._database), 0
        for user_id, sealed in users.sealed_factors():
            try:
                fresh = self._totp.rotate(sealed.encode()).decode()
            except InvalidToken as error:
                raise StartError("A second factor was sealed with a key that is not known (JOBWRIGHT_OLD_SECRET_KEYS)") from error
            done += users.reseal_factor(user_id, sealed, fresh)
        return done

    def _is_old(self, value: Any) -> bool:
        if is_sealed(value):
            return not self._vault.is_current(value)
        if isinstance(value, Mapping):
            return any(self._is_old(item) for item in value.values())
        return isinstance(value, list) and any(self._is_old(item) for item in value)

    def _anew(self, value: Any) -> Any:
        if is_sealed(value):
            return value if self._vault.is_current(value) else self._vault.reseal(value)
        if isinstance(value, Mapping):
            return {key: self._anew(item) for key, item in value.items()}
        return [self._anew(item) for item in value] if isinstance(value, list) else value
