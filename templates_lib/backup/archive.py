"""An archive of collections: a zip file with members as mongodump writes them, and a manifest of its content.

`collections/NAME.bson` holds the documents one after the other (BSON), `indexes/NAME.json` the indexes of the collection, and
`manifest.json` the number of documents and the SHA-256 of each collection.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast

from bson import json_util
from pymongo.database import Database

from templates_lib.messages import amount

FORMAT = 1
BATCH = 1000
READ_BYTES = 1 << 20
LONGEST_DOCUMENT = 17 << 20  # MongoDB's own limit is 16 MiB
MANIFEST = "manifest.json"


class ArchiveBroken(Exception):
    """The file is not an archive, or has changed since it was written."""


@dataclass(frozen=True, slots=True)
class Part:
    """One collection of an archive."""

    name: str
    documents: int
    sha256: str


def write(stream: IO[bytes], database: Database[dict[str, Any]], names: list[str], at: str, step: Callable[[int], None]) -> list[Part]:
    """Writes the collections `names`. `step` is called with the number of documents of each batch, and may raise."""
    parts = []
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            parts.append(_write_collection(archive, database, name, step))
        manifest = {
            "jobwright_backup": FORMAT,
            "database": database.name,
            "at": at,
            "collections": [{"name": part.name, "documents": part.documents, "sha256": part.sha256} for part in parts],
        }
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False))
    return parts


def _write_collection(archive: zipfile.ZipFile, database: Database[dict[str, Any]], name: str, step: Callable[[int], None]) -> Part:
    digest, documents = hashlib.sha256(), 0
    with archive.open(f"collections/{name}.bson", "w", force_zip64=True) as member:
        for batch in cast("Iterator[bytes]", database[name].find_raw_batches(batch_size=BATCH)):
            member.write(batch)
            digest.update(batch)
            count = sum(1 for _ in split_documents([batch]))
            documents += count
            step(count)
    indexes = [dict(index) for index in database[name].list_indexes() if index["name"] != "_id_"]
    archive.writestr(f"indexes/{name}.json", json_util.dumps(indexes, json_options=json_util.CANONICAL_JSON_OPTIONS))
    return Part(name, documents, digest.hexdigest())


def read_manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Returns the manifest of an archive. Raises ArchiveBroken."""
    try:
        manifest = json.loads(archive.read(MANIFEST))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ArchiveBroken("The archive has no readable manifest") from error
    if not isinstance(manifest, Mapping) or manifest.get("jobwright_backup") != FORMAT:
        raise ArchiveBroken(f"The archive does not use format {FORMAT}")
    return dict(manifest)


def verify(stream: IO[bytes]) -> list[Part]:
    """Reads the whole archive and checks it. Raises ArchiveBroken if a document or a byte is missing or different."""
    try:
        with zipfile.ZipFile(stream) as archive:
            parts = [Part(**entry) for entry in read_manifest(archive)["collections"]]
            for part in parts:
                digest = hashlib.sha256()
                documents = sum(1 for _ in split_documents(_chunks(archive, part.name, digest.update)))
                if (documents, digest.hexdigest()) != (part.documents, part.sha256):
                    raise ArchiveBroken(
                        f"{part.name} does not match the manifest: "
                        f"it has {amount(documents, 'document')}, the manifest lists {part.documents:,}"
                    )
            return parts
    except (zipfile.BadZipFile, KeyError, EOFError, TypeError) as error:
        raise ArchiveBroken(f"The archive cannot be read: {error}") from error


def documents_of(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yields the documents of one collection, each as BSON."""
    yield from split_documents(_chunks(archive, name, lambda data: None))


def indexes_of(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    """Returns the indexes of one collection, in the form of list_indexes."""
    indexes: list[dict[str, Any]] = json_util.loads(archive.read(f"indexes/{name}.json"), json_options=json_util.CANONICAL_JSON_OPTIONS)
    return indexes


def _chunks(archive: zipfile.ZipFile, name: str, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    with archive.open(f"collections/{name}.bson") as member:
        while chunk := member.read(READ_BYTES):
            seen(chunk)
            yield chunk


def split_documents(chunks: Any) -> Iterator[bytes]:
    """Splits bytes into documents. Each document begins with its length (bsonspec.org). Raises ArchiveBroken."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        place = 0
        while len(rest) - place >= 4:
            length = int.from_bytes(rest[place : place + 4], "little", signed=True)
            if not 5 <= length <= LONGEST_DOCUMENT:
                raise ArchiveBroken(f"A document says that it is {length:,} bytes long")
            if len(rest) - place < length:
                break
            yield rest[place : place + length]
            place += length
        rest = rest[place:]
    if rest:
        raise ArchiveBroken("A collection ends inside a document")
