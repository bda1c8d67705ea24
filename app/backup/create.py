"""Writes a backup of the installation: complete under its name, or not there at all."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, cast

from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.backup.archive import Manifest, Reader, Writer
from app.backup.content import left_out
from app.backup.encryption import DecryptingReader, EncryptingWriter
from app.backup.snapshot import CatalogueChanged, Snapshot, take_snapshot
from app.clock import Clock
from app.errors import BackupRefused
from app.factory import Store
from app.keys import KeyRing
from templates_lib.private import FILE_MODE

MOST_TRIES = 5  # if collections are made, renamed or removed meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """Makes backups of one installation. `name` is JOBWRIGHT_NAME."""

    store: Store
    keys: KeyRing
    audit: AuditTrail
    clock: Clock
    name: str

    def create(
        self, actor: Actor, target: Path, *, history: bool = True, with_key: bool = False, passphrase: bytes | None = None
    ) -> tuple[Path, Manifest]:
        """Writes a backup to the file `target`, or to a new file in the folder `target`. Returns its path and its manifest.

        The documents are those of one instant, whatever is written meanwhile. The file is read again and verified before it gets its name.
        An existing file is replaced. Raises BackupRefused, also if the backup takes longer than the server keeps a snapshot; OSError.
        """
        path = target / self._file_name(encrypted=passphrase is not None) if target.is_dir() else target
        with self.audit.action(actor, "backup.create", kind="installation", target_id="backup", name=path.name), _partial(path) as stream:
            manifest = self._write(stream, history=history, with_key=with_key, passphrase=passphrase)
            source = DecryptingReader(stream, passphrase) if passphrase is not None else stream
            Reader(cast("IO[bytes]", source)).verify()
        return path, manifest

    def _file_name(self, *, encrypted: bool) -> str:
        return f"{self.store.database.name}-{self.clock.now():%Y%m%dT%H%M%SZ}.{'backup' if encrypted else 'zip'}"

    def _write(self, stream: IO[bytes], *, history: bool, with_key: bool, passphrase: bytes | None) -> Manifest:
        for _ in range(MOST_TRIES):
            stream.seek(0)
            stream.truncate()
            try:
                with _valve(stream) as valve, take_snapshot(self.store.client, self.store.database) as snapshot:
                    target = cast("IO[bytes]", EncryptingWriter(valve, passphrase) if passphrase is not None else valve)
                    manifest = self._write_snapshot(snapshot, target, history=history, with_key=with_key)
                    target.close()
            except CatalogueChanged:
                continue
            stream.flush()
            return manifest
        raise BackupRefused("Collections or indexes of the database changed during the backup, several times. Run the command once more.")

    def _write_snapshot(self, snapshot: Snapshot, target: IO[bytes], *, history: bool, with_key: bool) -> Manifest:
        writer = Writer(target)
        parts = [writer.add(name, snapshot.batches(name, history=history), snapshot.indexes(name)) for name in snapshot.names]
        manifest = Manifest(
            installation=self.name,
            version=version("jobwright"),
            mongodb=str(self.store.client.server_info()["version"]),
            database=self.store.database.name,
            at=snapshot.at.isoformat(),
            migrations=tuple(snapshot.migrations()),
            keys=tuple(self.keys.fingerprints()),
            left_out=tuple(left_out(history=history, key=with_key)),
            parts=tuple(parts),
        )
        writer.finish(manifest, self.keys if with_key else None)
        return manifest


class _Valve(io.RawIOBase):
    """Passes bytes on until it is shut. A zip file that is left unfinished writes its end when its memory is freed, whenever that is."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target: IO[bytes] | None = target

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer of bytes, as typeshed has it
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def shut(self) -> None:
        self._target = None


@contextmanager
def _valve(target: IO[bytes]) -> Iterator[IO[bytes]]:
    valve = _Valve(target)
    try:
        yield cast("IO[bytes]", valve)
    finally:
        valve.shut()


@contextmanager
def _partial(path: Path) -> Iterator[IO[bytes]]:
    """Yields a stream whose content becomes the file `path` when the block ends, and is deleted if the block raises.

    A process that is killed leaves `.NAME.partial` behind, which the next backup to the same path writes anew. Only the owner may read
    either. Raises BackupRefused if another process writes there at the moment.
    """
    partial = path.with_name(f".{path.name}.partial")
    number = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(number, "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRefused(f"Another process is writing a backup to {path}.") from error
        if not partial.exists() or not os.path.samestat(partial.stat(), os.fstat(number)):  # another process has finished it just now
            raise BackupRefused(f"Another process has written a backup to {path}.")
        os.fchmod(number, FILE_MODE)
        try:
            yield stream
            os.fsync(number)
            partial.replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                partial.unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the new name outlives a power failure, too
    finally:
        os.close(folder)
