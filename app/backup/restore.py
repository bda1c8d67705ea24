"""Restores a backup: beside what is there, and then in its place.

1. The file is read completely and compared with its manifest; versions, keys and the target are checked. Nothing has changed yet.
2. A mark is written (app.restore_marker). From here on no process of Jobwright starts on this database.
3. New collections are filled, counted and indexed. The old ones are unchanged.
4. The switch: each old collection is put aside, and the new one takes its name.
5. Migrations that the backup lacks are applied, runs and jobs are settled (app.backup.settle), and the audit trail gets its event.
6. The old collections are deleted, and then the mark.

A process that is killed before 4 leaves the old state, which `roll_back` cleans up. After that, `finish` completes the restore without the
file and, until 6, `roll_back` reverts it. Each step can be done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.read_concern import ReadConcern

from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.audit.store import AuditStore
from app.backup.archive import Manifest, Part, Reader
from app.backup.content import MARKS, NEW, OLD
from app.backup.settle import Settled, settle
from app.clock import Clock
from app.connected import Connected, connected_processes
from app.errors import BackupRefused
from app.factory import Store
from app.instants import parse
from app.keys import KeyRing
from app.migrations import Migrator, find_migrations
from app.mongo import EXACT, Document, portions
from app.restore_marker import Mark, RestoreMarks, Stage
from app.scheduling.node_store import NodeStore
from templates_lib.messages import amount

GONE_SECONDS = 2.0  # within which the server notices that a process has ended
MOST_BYTES, MOST_DOCUMENTS = 8 << 20, 1000  # of one insert
_INDEX_OPTIONS = ("unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "collation")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person who restores wants. `replace`: a registry that is there is replaced. `force`: nodes that are online, and too little
    disk space, do not matter."""

    replace: bool = False
    pause_all: bool = False
    force: bool = False


class Restores:
    """Restores the registry of one database, for an installation with these keys."""

    def __init__(self, store: Store, clock: Clock, keys: KeyRing) -> None:
        self._store, self._clock, self._keys = store, clock, keys
        self._database: Database[Document] = store.database.with_options(codec_options=EXACT, read_concern=ReadConcern("majority"))
        self._marks, self._migrator = RestoreMarks(self._database), Migrator(store.database, clock)

    def restore(self, actor: Actor, reader: Reader, wishes: Wishes, report: Progress = lambda text: None) -> Settled:
        """Restores the backup. Returns what became of its runs and jobs. `report` is called with what is being done.

        Raises BackupRefused before anything has changed if the file is damaged or comes from a newer version, if no configured key is that
        of the backup, if the database holds something and is not to be replaced, or if nodes are online or other processes connected.
        """
        manifest = reader.manifest
        check_version(manifest)
        check_keys(manifest, self._keys)
        old = self._check_target(wishes)
        self._check_disk(manifest, wishes)
        report(f"Verifying {amount(manifest.documents, 'document')} of {amount(len(manifest.parts), 'collection')}")
        reader.verify()
        said = {"at": parse(manifest.at), "version": manifest.version, "documents": manifest.documents, "pause_all": wishes.pause_all}
        new = tuple(part.name for part in manifest.parts)
        mark = Mark(Stage.LOADING, self._clock.now(), new, tuple(old), said)
        self._drop_leftovers()
        self._marks.begin(mark)
        try:
            for part in manifest.parts:
                report(f"Restoring {part.name}: {amount(part.documents, 'document')}")
                self._load(reader, part)
            self._compare_migrations(manifest)
        except BaseException:
            self.roll_back()
            raise
        self._marks.move(Stage.LOADING, replace(mark, stage=Stage.SWITCHING))
        return self.finish(actor)

    def finish(self, actor: Actor) -> Settled:
        """Completes a restore that was stopped after its switch began.

        Returns what became of its runs and jobs, as far as that was still to be done. Raises BackupRefused if there is no such restore, or
        if it needs its file again.
        """
        settled = Settled()
        mark = self._unfinished()
        if mark.stage in {Stage.LOADING, Stage.ROLLING_BACK}:
            raise BackupRefused("The restore was stopped before it was complete. Run `jobwright restore --roll-back`, then restore again.")
        if mark.stage is Stage.SWITCHING:
            self._switch(mark)
            mark = self._move(mark, Stage.MIGRATING)
        if mark.stage is Stage.MIGRATING:
            self._migrator.upgrade(post=True)  # no process starts on the database until the restore ends
            settled = settle(self._store.database, taken_at=mark.backup["at"], now=self._clock.now(), pause_all=mark.backup["pause_all"])
            audit = AuditTrail(AuditStore(self._store.database), self._clock, self._keys)
            with audit.action(actor, "backup.restore", kind="installation", target_id="backup", diff=_as_diff(mark.backup)):
                pass
            mark = self._move(mark, Stage.CLEANING)
        self._drop_leftovers()
        self._marks.remove()
        return settled

    def roll_back(self) -> None:
        """Reverts a restore that was stopped: the database is what it was when the restore began.

        Raises BackupRefused if there is none, or if the old collections are being deleted already.
        """
        mark = self._unfinished()
        if mark.stage is Stage.CLEANING:
            raise BackupRefused("The restore is complete but for the deletion of old collections. Run `jobwright restore --finish`.")
        if mark.stage is not Stage.ROLLING_BACK:
            self._move(mark, Stage.ROLLING_BACK)
        names = self._names()
        for name in mark.old:
            if OLD + name in names:
                self._database[OLD + name].rename(name, dropTarget=True)
        for name in self._names() - set(mark.old) - {MARKS}:
            self._database[name].drop()
        self._marks.remove()

    def _unfinished(self) -> Mark:
        mark = self._marks.get()
        if mark is None:
            raise BackupRefused("No restore of this database is unfinished.")
        return mark

    def _move(self, mark: Mark, stage: Stage) -> Mark:
        moved = replace(mark, stage=stage)
        self._marks.move(mark.stage, moved)
        return moved

    # -- checks -------------------------------------------------------------------------------------------------------

    def _check_target(self, wishes: Wishes) -> list[str]:
        """Returns the collections that are there. Raises BackupRefused if they may not be replaced."""
        old = sorted(name for name in self._names() - {MARKS} if not name.startswith((NEW, OLD)))
        name = self._database.name
        if old and "migrations" not in old:
            raise BackupRefused(
                f"The database {name} holds collections that are not those of Jobwright. Set JOBWRIGHT_DATABASE to another one."
            )
        if old and not wishes.replace:
            raise BackupRefused(
                f"The database {name} holds a registry already. Use --replace to replace it, or --into for another database."
            )
        if wishes.force:
            return old
        now = self._clock.now()
        live = [node.id for node in NodeStore(self._store.database).all() if node.lives(now)] if old else []
        if live:
            raise BackupRefused(
                f"Nodes are online: {', '.join(live)}. Stop all processes of Jobwright first. A node is offline after 30 s."
            )
        if old and (others := self._still_connected()):
            raise BackupRefused(f"Processes of Jobwright are connected to this database: {', '.join(map(str, others))}. Stop them first.")
        shared = self._store.mongod.shared_with if self._store.mongod else None
        if shared:
            raise BackupRefused(f"Process {shared} of Jobwright works on this database. Stop it first.")
        return old

    def _still_connected(self) -> list[Connected]:
        """Returns the processes that are connected, web servers too. One that has ended just now is waited for."""
        deadline = time.monotonic() + GONE_SECONDS
        while (others := connected_processes(self._store.client, self._store.database.name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return others

    def _check_disk(self, manifest: Manifest, wishes: Wishes) -> None:
        stats = self._store.database.command("dbStats")
        free = stats.get("fsTotalSize", 0) - stats.get("fsUsedSize", 0)
        if stats.get("fsTotalSize") and manifest.size > free and not wishes.force:
            raise BackupRefused(
                f"The backup has {manifest.size / 1e9:.1f} GB of documents, and the disk of the database has {free / 1e9:.1f} GB free. "
                "MongoDB compresses documents: if they should fit, use --force."
            )

    # -- steps --------------------------------------------------------------------------------------------------------

    def _names(self) -> set[str]:
        return {name for name in self._database.list_collection_names() if not name.startswith("system.")}

    def _load(self, reader: Reader, part: Part) -> None:
        """Fills a new collection, counts its documents and makes its indexes."""
        collection: Any = self._database.create_collection(NEW + part.name)
        try:
            for batch in portions(reader.documents(part), len, most_bytes=MOST_BYTES, most=MOST_DOCUMENTS):
                collection.insert_many([RawBSONDocument(document) for document in batch], ordered=False)
            stored = collection.count_documents({})
            if stored != part.documents:
                raise BackupRefused(f"{part.name} has {amount(stored, 'document')} after the restore, the backup has {part.documents:,}.")
            if part.indexes:
                collection.create_indexes([_index(index) for index in part.indexes])
        except (BulkWriteError, OperationFailure, TypeError, ValueError) as error:
            raise BackupRefused(f"MongoDB refuses the content of {part.name}: {str(error)[:300]}") from error

    def _compare_migrations(self, manifest: Manifest) -> None:
        applied = self._database[f"{NEW}migrations"].distinct("_id", {"applied_at": {"$exists": True}})
        if sorted(map(str, applied)) != sorted(manifest.migrations):
            raise BackupRefused("The backup is damaged: its migrations are not those of its manifest. Use another backup.")

    def _switch(self, mark: Mark) -> None:
        """Puts each old collection aside, and gives its name to the new one."""
        for name in sorted({*mark.old, *mark.new}):
            names = self._names()
            if name in mark.old and name in names and OLD + name not in names:
                self._database[name].rename(OLD + name)
            if NEW + name in names:
                self._database[NEW + name].rename(name, dropTarget=True)

    def _drop_leftovers(self) -> None:
        for name in self._names():
            if name.startswith((NEW, OLD)):
                self._database[name].drop()


def check_version(manifest: Manifest) -> None:
    """Raises BackupRefused if the backup was made by a newer version."""
    known = {name for name, _ in find_migrations()}
    unknown = [name for name in manifest.migrations if name not in known]
    if unknown or not manifest.migrations:
        raise BackupRefused(
            f"The backup comes from version {manifest.version}. Its migrations are unknown here: {', '.join(unknown) or '(none)'}. "
            "Restore it with that version or a newer one."
        )


def check_keys(manifest: Manifest, keys: KeyRing) -> None:
    """Raises BackupRefused if none of the keys is the one that encrypted the secrets of the backup."""
    if not manifest.keys or manifest.keys[0] not in keys.fingerprints():
        raise BackupRefused(
            f"The secrets in the backup were encrypted with another key (fingerprint {', '.join(manifest.keys[:1]) or 'unknown'}). Set "
            "JOBWRIGHT_SECRET_KEY to that key, or add it to JOBWRIGHT_OLD_SECRET_KEYS."
        )


def _index(index: Mapping[str, Any]) -> IndexModel:
    options = {name: index[name] for name in _INDEX_OPTIONS if name in index}
    return IndexModel(list(index["key"].items()), name=index["name"], **options)


def _as_diff(backup: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in backup.items()}
    return [{"field": f"/{name}", "before": None, "after": value} for name, value in values.items()]
