"""The file of a backup: a zip file with one member of documents for each collection, and a manifest.

`collections/NAME.bson` holds the documents one after the other, as mongodump writes them (bsonspec.org). `manifest.json` says what was
backed up, when, by which version, what was left out, and of each collection the number of documents, the size in bytes, the SHA-256 and the
indexes. `key.json` holds the key of the installation, only if a person asked for that. Nothing is unpacked to a path that a file names.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Self

from bson import json_util

from app.backup.content import is_backed_up
from app.errors import BackupRefused
from app.instants import InstantRefused, parse
from app.keys import KeyRing
from templates_lib.backup.archive import ArchiveBroken, split_documents
from templates_lib.messages import amount

FORMAT = 1
MANIFEST, KEY = "manifest.json", "key.json"
MOST_MANIFEST_BYTES = 16 << 20
MOST_COLLECTIONS = 500
READ_BYTES = 1 << 20
_TEXTS, _LISTS = ("installation", "version", "mongodb", "database", "at"), ("migrations", "keys", "left_out")


@dataclass(frozen=True, slots=True)
class Part:
    """One collection of a backup. `indexes` are in the form of list_indexes, without that of the ids."""

    name: str
    documents: int
    size: int
    sha256: str
    indexes: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says about itself. `at` is the instant of the snapshot, as RFC 3339. `keys` are fingerprints, that of the current key
    first."""

    installation: str
    version: str
    mongodb: str
    database: str
    at: str
    migrations: tuple[str, ...]
    keys: tuple[str, ...]
    left_out: tuple[str, ...]
    parts: tuple[Part, ...] = field(default=())

    @property
    def documents(self) -> int:
        """The number of documents of all collections."""
        return sum(part.documents for part in self.parts)

    @property
    def size(self) -> int:
        """The size of all documents, uncompressed."""
        return sum(part.size for part in self.parts)

    def as_text(self) -> str:
        """As it stands in the file."""
        return json_util.dumps(
            {"jobwright_installation": FORMAT, **asdict(self)},
            indent=1,
            ensure_ascii=False,
            json_options=json_util.CANONICAL_JSON_OPTIONS.with_options(tz_aware=True),
        )

    @classmethod
    def from_text(cls, text: bytes) -> Self:
        """Reads a manifest. Raises BackupRefused for one that Jobwright has not written."""
        try:
            values = json_util.loads(text, json_options=json_util.CANONICAL_JSON_OPTIONS)
            if values["jobwright_installation"] != FORMAT:
                raise BackupRefused(f"The backup uses format {values['jobwright_installation']!r}; this version reads format {FORMAT}.")
            parts = tuple(_part(entry) for entry in values["parts"])
            texts: dict[str, Any] = {name: str(values[name]) for name in _TEXTS}
            lists: dict[str, Any] = {name: tuple(map(str, values[name])) for name in _LISTS}
            manifest = cls(**texts, **lists, parts=parts)
            parse(manifest.at)
        except (InstantRefused, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise BackupRefused("The file is not a backup of Jobwright: its manifest cannot be read.") from error
        names = [part.name for part in parts]
        if len(names) > MOST_COLLECTIONS or len(set(names)) != len(names) or not all(map(is_backed_up, names)):
            raise BackupRefused("The file is not a backup of Jobwright: it names collections that no installation has.")
        return manifest


def _part(entry: Mapping[str, Any]) -> Part:
    indexes = tuple(_index(index) for index in entry["indexes"])
    part = Part(str(entry["name"]), int(entry["documents"]), int(entry["size"]), str(entry["sha256"]), indexes)
    if part.documents < 0 or part.size < 0:
        raise ValueError(part.name)
    return part


def _index(index: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(index["name"], str) or not isinstance(index["key"], Mapping) or not index["key"]:
        raise ValueError(index["name"])
    return dict(index)


class Writer:
    """Writes a backup into a stream, which need not be able to seek."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def add(self, name: str, batches: Iterable[bytes], indexes: Iterable[Mapping[str, Any]]) -> Part:
        """Writes a collection. `batches` are whole documents, one after the other."""
        digest, documents, size = hashlib.sha256(), 0, 0
        with self._zip.open(f"collections/{name}.bson", "w", force_zip64=True) as member:
            for batch in batches:
                member.write(batch)
                digest.update(batch)
                documents += sum(1 for _ in split_documents([batch]))
                size += len(batch)
        return Part(name, documents, size, digest.hexdigest(), tuple(dict(index) for index in indexes))

    def finish(self, manifest: Manifest, key: KeyRing | None) -> None:
        """Writes the manifest and, if one is given, the key. The file is complete then."""
        if key is not None:
            self._zip.writestr(KEY, json.dumps({"current": key.current, "earlier": list(key.earlier)}, indent=1))
        self._zip.writestr(MANIFEST, manifest.as_text())
        self._zip.close()


class Reader:
    """Reads a backup. Nothing that a file says is trusted: each method raises BackupRefused where the file is not what it must be."""

    def __init__(self, stream: IO[bytes]) -> None:
        with _readable():
            self._zip = zipfile.ZipFile(stream)
            info = self._zip.getinfo(MANIFEST)
            with self._zip.open(info) as member:
                text = member.read(MOST_MANIFEST_BYTES + 1)
        if len(text) > MOST_MANIFEST_BYTES:
            raise BackupRefused("The file is not a backup of Jobwright: its manifest is too large.")
        self.manifest = Manifest.from_text(text)

    def key(self) -> KeyRing | None:
        """Returns the key that the backup holds, if it holds one."""
        if KEY not in self._zip.namelist():
            return None
        with _readable(), self._zip.open(KEY) as member:
            values = json.loads(member.read(1 << 20))
            return KeyRing(str(values["current"]), tuple(map(str, values["earlier"])))

    def verify(self, step: Callable[[Part], None] = lambda part: None) -> None:
        """Reads all documents and compares them with the manifest. `step` is called after each collection."""
        for part in self.manifest.parts:
            for _ in self.documents(part):
                pass
            step(part)

    def documents(self, part: Part) -> Iterator[bytes]:
        """Yields the documents of a collection, each as BSON, and reads no more bytes than the manifest states.

        Raises BackupRefused, after the last document at the latest, if they are not those of the manifest.
        """
        digest, documents = hashlib.sha256(), 0
        with _readable():
            for document in split_documents(self._chunks(part, digest.update)):
                documents += 1
                yield document
        if (documents, digest.hexdigest()) != (part.documents, part.sha256):
            raise BackupRefused(
                f"The backup is damaged: {part.name} has {amount(documents, 'document')}, SHA-256 {digest.hexdigest()[:12]}…; "
                f"its manifest says {amount(part.documents, 'document')}, {part.sha256[:12]}…. Use another backup."
            )

    def _chunks(self, part: Part, seen: Callable[[bytes], object]) -> Iterator[bytes]:
        left = part.size
        with self._zip.open(f"collections/{part.name}.bson") as member:
            while chunk := member.read(READ_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise ArchiveBroken(f"{part.name} is larger than the manifest states")
                seen(chunk)
                yield chunk


class _readable:  # noqa: N801 - used like a function
    """Turns errors of a file that cannot be read into BackupRefused."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BackupRefused | OSError) and not isinstance(error, EOFError):
            return
        unreadable = zipfile.BadZipFile, zlib.error, ArchiveBroken, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError
        if isinstance(error, unreadable):
            raise BackupRefused(f"The backup cannot be read: {error}. It is incomplete, damaged, or not a backup of Jobwright.") from error
