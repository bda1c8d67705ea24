"""Applies the numbered migrations at start, under a lock, each once; and takes them back.

There are two kinds. A migration is `pre` unless its module says `KIND = "post"`.

- pre: it only adds, so that processes of the version before continue beside it. It runs before the first process of the new version.
- post: it removes or rewrites what only the version before needs. It runs when no process of that version is left, which somebody has to
  say (`jobwright migrate --post`), because a process may be about to start.
"""

from __future__ import annotations

import importlib
import pkgutil
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

import migrations_scripts
from app.clock import Clock
from app.errors import StartError
from app.events import get_logger
from app.mongo import EXACT, Document

log = get_logger(__name__)

LOCK_SECONDS = 60  # the lease of the lock: after a process that died, the next one goes on within it
RENEW_SECONDS = 10.0  # between two renewals of the lease
WAIT_SECONDS = 600.0  # for another process that migrates: a large database takes minutes
POLL_SECONDS = 0.1
POST = "post"
# Jobs that delete refuse a database with this document (templates_lib/database_cleanup).
MARKER: Document = {"_id": "jobwright"}


def find_migrations() -> list[tuple[str, ModuleType]]:
    """All migrations in order, as (id, module); the id is the module's name without its leading `m`."""
    names = sorted(info.name for info in pkgutil.iter_modules(migrations_scripts.__path__) if info.name.startswith("m"))
    return [(name[1:], importlib.import_module(f"migrations_scripts.{name}")) for name in names]


def is_post(module: ModuleType) -> bool:
    """Returns whether a migration runs only when no process of the version before is left."""
    return getattr(module, "KIND", "pre") == POST


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

    def upgrade(self, *, post: bool = False, check: Callable[[], None] = lambda: None, wait_seconds: float | None = None) -> list[str]:
        """Applies the pending migrations and returns their ids: those of the kind pre, and with `post` all.

        Before any of the kind post, `check` raises an error if a process of the version before is left. Waits for at most `wait_seconds`
        (by default, WAIT_SECONDS) while another process migrates. Raises StartError if that takes longer, or if this process lost the lock.
        """
        if not self._pending(post=post):
            return []
        with self._lock(wait_seconds) as lease:
            self._collection.replace_one(MARKER, MARKER, upsert=True)
            steps, done = self._pending(post=post), []
            if any(is_post(module) for _, module in steps):
                check()
            for name, module in steps:
                module.up(self._database)
                lease.require()
                self._collection.insert_one({"_id": name, "applied_at": self._clock.now()})
                log.info("migration.applied", migration=name)
                done.append(name)
            return done

    def downgrade(self, to: str, *, wait_seconds: float | None = None) -> list[str]:
        """Reverts each migration after `to` (an id, or `zero`), the newest first, and returns their ids. Waits as `upgrade` does.

        Raises StartError before anything is reverted if a newer release has applied some of them.
        """
        known = dict(find_migrations())
        if to != "zero" and to not in known:
            raise StartError(f"There is no migration {to!r}. The migrations are {', '.join(known)}; zero reverts all.")
        with self._lock(wait_seconds) as lease:
            back = [name for name in reversed(self.applied()) if to == "zero" or name > to]
            if unknown := [name for name in back if name not in known]:
                raise StartError(f"Only the release that has applied {', '.join(sorted(unknown))} can revert these. Use that release.")
            for name in back:
                known[name].down(self._database)
                lease.require()
                self._collection.delete_one({"_id": name})
                log.info("migration.reverted", migration=name)
            return back

    def pending(self) -> list[str]:
        """Ids of the migrations that a process needs before it starts and that have not run, in order."""
        return [name for name, _ in self._pending(post=False)]

    def pending_post(self) -> list[str]:
        """Ids of the migrations that have not run and that wait until no process of the version before is left, in order."""
        return [name for name, module in self._pending(post=True) if is_post(module)]

    def wait_until_applied(self, wait_seconds: float, *, post: bool = False) -> list[str]:
        """Waits for at most `wait_seconds` until other processes have applied all migrations, those of the kind post only with `post`.
        Returns the ids that are pending then."""
        deadline = time.monotonic() + wait_seconds
        while (steps := self._pending(post=post)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return [name for name, _ in steps]

    def _pending(self, *, post: bool) -> list[tuple[str, ModuleType]]:
        applied = set(self.applied())
        return [(name, module) for name, module in find_migrations() if name not in applied and (post or not is_post(module))]

    @contextmanager
    def _lock(self, wait_seconds: float | None) -> Iterator[_Lease]:
        lease = _Lease(self._collection, self._clock)
        deadline = time.monotonic() + (WAIT_SECONDS if wait_seconds is None else wait_seconds)
        waiting = False
        while not lease.take():
            if not waiting:
                log.info("migration.waiting")
                waiting = True
            if time.monotonic() > deadline:
                raise StartError("Another process has been migrating the database for too long. Look at its log.")
            time.sleep(POLL_SECONDS)
        with lease:
            yield lease


class _Lease:
    """The lock of the process that migrates. It expires unless it is renewed, so that a killed process does not keep it."""

    def __init__(self, collection: Collection[Document], clock: Clock) -> None:
        self._collection, self._clock = collection, clock
        self._owner = secrets.token_hex(8)
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="migration lock", daemon=True)

    def take(self) -> bool:
        """Takes the lock if nobody holds it. Returns whether that worked."""
        now = self._clock.now()
        try:
            self._collection.update_one(
                {"_id": "lock", "expires_at": {"$lt": now}},
                {"$set": {"owner": self._owner, "expires_at": now + timedelta(seconds=LOCK_SECONDS)}},
                upsert=True,
            )
        except DuplicateKeyError:
            return False
        return True

    def require(self) -> None:
        """Renews the lock. Raises StartError if another process has taken it, because this one did not renew it in time."""
        expires_at = self._clock.now() + timedelta(seconds=LOCK_SECONDS)
        if not self._collection.update_one({"_id": "lock", "owner": self._owner}, {"$set": {"expires_at": expires_at}}).matched_count:
            raise StartError("This process lost the lock of the migrations to another one. Run `jobwright migrate` again.")

    def __enter__(self) -> None:
        self._renewing.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._renewing.join()
        self._collection.delete_one({"_id": "lock", "owner": self._owner})

    def _renew(self) -> None:
        """Renews the lock while the migrations run. An error is left to `require`, which the migrating thread calls after each of them."""
        while not self._ended.wait(RENEW_SECONDS):
            try:
                self.require()
            except (PyMongoError, StartError) as error:
                log.warning("migration.lock_not_renewed", reason=str(error)[:200])
