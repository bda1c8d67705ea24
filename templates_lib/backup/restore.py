"""Restores the collections of a backup: `python -m templates_lib.backup.restore FILE --uri URI --database NAME`."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from templates_lib.backup import archive
from templates_lib.messages import amount

BATCH = 1000
_NOT_OPTIONS = {"v", "key", "ns"}


def restore(path: Path, database: Database[dict[str, Any]], *, only: Collection[str] = (), drop: bool = False) -> dict[str, int]:
    """Restores the collections of the archive at `path` into `database`: all of them, or those named in `only`. Returns the number of
    documents of each.

    The whole file is verified first. With `drop`, a collection that holds documents is emptied before. Raises ArchiveBroken. Without
    `drop`, raises FileExistsError with the names of collections that hold documents, before anything is changed.
    """
    with path.open("rb") as stream:
        parts = archive.verify(stream)
    chosen = [part for part in parts if not only or part.name in only]
    missing = sorted(set(only) - {part.name for part in parts})
    if missing:
        raise archive.ArchiveBroken(f"It holds no collection {missing[0]!r}; there are {', '.join(part.name for part in parts)}")
    full = [part.name for part in chosen if database[part.name].find_one({}, {"_id": 1}) is not None]
    if full and not drop:
        raise FileExistsError(f"{', '.join(full)} hold documents already; --drop empties them first")
    done: dict[str, int] = {}
    with zipfile.ZipFile(path) as opened:
        for part in chosen:
            done[part.name] = _restore_collection(opened, database, part.name, drop=part.name in full)
    return done


def _restore_collection(opened: zipfile.ZipFile, database: Database[dict[str, Any]], name: str, *, drop: bool) -> int:
    if drop:
        database[name].drop()
    collection: Any = database[name]
    count, batch = 0, []
    for document in archive.documents_of(opened, name):
        batch.append(RawBSONDocument(document))
        if len(batch) == BATCH:
            collection.insert_many(batch, ordered=False)
            count, batch = count + len(batch), []
    if batch:
        collection.insert_many(batch, ordered=False)
    for index in archive.indexes_of(opened, name):
        options = {key: value for key, value in index.items() if key not in _NOT_OPTIONS}
        collection.create_index(list(index["key"].items()), **options)
    return count + len(batch)


def main() -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m templates_lib.backup.restore", description="Put the collections of a backup back.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--uri", required=True, help="mongodb:// or mongodb+srv://")
    parser.add_argument("--database", required=True)
    parser.add_argument("--collection", action="append", default=[], help="Only this one; may be given more than once.")
    parser.add_argument("--drop", action="store_true", help="Empty collections that hold something first.")
    chosen = parser.parse_args()
    try:
        with MongoClient[dict[str, Any]](chosen.uri) as client:
            for name, count in restore(chosen.file, client[chosen.database], only=chosen.collection, drop=chosen.drop).items():
                print(f"{name}: {amount(count, 'document')}")
    except (archive.ArchiveBroken, FileExistsError, FileNotFoundError) as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
