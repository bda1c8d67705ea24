"""Seals every secret in the database with the current key, after the key was changed (`jobwright secrets reseal`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from pymongo.database import Database

from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.mongo import Document
from app.sealing import Seal, SealedFields

# A run copies the sealed parameters of its job. Such a copy is stored within this time after the original was read.
COPIED_SECONDS = 2.0
MOST_ROUNDS = 5


class Resealing:
    """Works on every field that may hold sealed values. `sealed` names them, with the seal of each. `sleep` waits for so many seconds."""

    def __init__(
        self,
        database: Database[Document],
        audit: AuditTrail,
        sealed: Sequence[tuple[SealedFields, Seal]],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database, self._audit, self._sealed, self._sleep = database, audit, sealed, sleep

    def run(self, actor: Actor) -> Iterator[tuple[str, int]]:
        """Seals every outdated secret with the current key. Yields each collection when it is done, with the number of changed fields.

        Works beside a running service: a further round seals what was copied meanwhile, and yields only collections that it changed. Raises
        StartError if no known key opens a secret; the changes up to then stay.
        """
        with self._audit.action(actor, "secrets.reseal", kind="installation", target_id="secrets"):
            for number in range(MOST_ROUNDS):
                changed = 0
                for fields, seal in self._sealed:
                    count = fields.renew(self._database, seal)
                    changed += count
                    if count or number == 0:
                        yield fields.collection, count
                if not changed:
                    return
                self._sleep(COPIED_SECONDS)

    def outdated(self) -> dict[str, int]:
        """Returns the number of fields that are sealed with an earlier key, for each collection that has some."""
        counts = {fields.collection: fields.count_outdated(self._database, seal) for fields, seal in self._sealed}
        return {collection: count for collection, count in counts.items() if count}
