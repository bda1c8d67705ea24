"""Applies the numbered migrations at start, under a lock, each once; and takes them back."""

from __future__ import annotations

import importlib
import pkgutil
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

import migrations_scripts
from app.clock import Clock
from app.errors import StartError
from app.events import get_logger
from app.mongo import EXACT, Document

log = get_logger(__name__)

LOCK_SECONDS = 600  # a migration of a large database; a starter that died is not waited for longer
WAIT_SECONDS = 30.0
# Jobs that delete refuse a database with this document (templates_lib/database_cleanup).
MARKER: Document = {"_id": "jobwright"}


def find_migrations() -> list[tuple[str, ModuleType]]:
    """All migrations in order, as (id, module); the id is the module's name without its leading `m`."""
    names = sorted(info.name for info in pkgutil.iter_modules(migrations_scripts.__path__) if info.name.startswith("m"))
    return [(name[1:], importlib.import_module(f"migrations_scripts.{name}")) for name in names]


class Migrator:
    """The `migrations` collection: which ran, and the lock of the one that runs them."""

    def __init__(self, database: Database[Document], clock: Clock) -> None:
        self._clock = clock
        # Migrations find documents by what they have read, so the driver's own types stay: an id as a text would match nothing.
        self._database: Database[Document] = database.with_options(codec_options=EXACT)
        self._collection = database["migrations"]

    def applied(self) -> list[str]:
        """Ids of the migrations that ran, in order."""
        return sorted(row["_id"] for row in self._collection.find({"applied_at": {"$exists": True}}))

    def upgrade(self) -> list[str]:
        """Run what has not run yet; returns the ids. Raises StartError where another holds the lock for too long."""
        if not self._pending():
            return []
        with self._lock():
            self._collection.replace_one(MARKER, MARKER, upsert=True)
            done = []
            for name, module in self._pending():
                module.up(self._database)
                self._collection.insert_one({"_id": name, "applied_at": self._clock.now()})
                log.info("migration.applied", migration=name)
                done.append(name)
            return done

    def downgrade(self, to: str) -> list[str]:
        """Take back, newest first, each migration after `to` (an id, or `zero`); returns the ids."""
        known = dict(find_migrations())
        if to != "zero" and to not in known:
            raise StartError(f"There is no migration {to!r}. The migrations are {', '.join(known)}; zero reverts all.")
        with self._lock():
            back = [name for name in reversed(self.applied()) if to == "zero" or name > to]
            for name in back:
                known[name].down(self._database)
                self._collection.delete_one({"_id": name})
                log.info("migration.reverted", migration=name)
            return back

    def pending(self) -> list[str]:
        """Ids of the migrations that have not run, in order."""
        return [name for name, _ in self._pending()]

    def _pending(self) -> list[tuple[str, ModuleType]]:
        applied = set(self.applied())
        return [(name, module) for name, module in find_migrations() if name not in applied]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        owner, deadline = secrets.token_hex(8), time.monotonic() + WAIT_SECONDS
        while not self._take(owner):
            if time.monotonic() > deadline:
                raise StartError("Another process has been migrating the database for too long. Look at its log.")
            time.sleep(0.1)
        try:
            yield
        finally:
            self._collection.delete_one({"_id": "lock", "owner": owner})

    def _take(self, owner: str) -> bool:
        now = self._clock.now()
        try:
            self._collection.update_one(
                {"_id": "lock", "expires_at": {"$lt": now}},
                {"$set": {"owner": owner, "expires_at": now + timedelta(seconds=LOCK_SECONDS)}},
                upsert=True,
            )
        except DuplicateKeyError:
            return False
        return True
