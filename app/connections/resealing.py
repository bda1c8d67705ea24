"""Seals every secret in the database with the current key, after the key was changed (`jobwright secrets reseal`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymongo.database import Database

from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.mongo import Document
from app.sealing import Seal, SealedFields


class Resealing:
    """Works on every field that may hold sealed values. `sealed` names them, with the seal of each."""

    def __init__(self, database: Database[Document], audit: AuditTrail, sealed: Sequence[tuple[SealedFields, Seal]]) -> None:
        self._database, self._audit, self._sealed = database, audit, sealed

    def run(self, actor: Actor) -> Iterator[tuple[str, int]]:
        """Seals every outdated secret with the current key. Yields each collection when it is done, with the number of changed fields.

        Works beside a running service. Raises StartError if no known key opens a secret; the changes up to then stay.
        """
        with self._audit.action(actor, "secrets.reseal", kind="installation", target_id="secrets"):
            for fields, seal in self._sealed:
                yield fields.collection, fields.renew(self._database, seal)

    def outdated(self) -> dict[str, int]:
        """Returns the number of fields that are sealed with an earlier key, for each collection that has some."""
        counts = {fields.collection: fields.count_outdated(self._database, seal) for fields, seal in self._sealed}
        return {collection: count for collection, count in counts.items() if count}
