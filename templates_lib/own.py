"""What belongs to Jobwright itself: no job reads or changes it, whatever connection leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from templates_lib.messages import say

# What the service keeps in its data folder: names of folders, and beginnings of names of files.
_FOLDERS = frozenset({"mongo", "work"})
_FILES = ("secret.", "mongod.")
# Both are in the folder of every mongod that uses the WiredTiger engine, and next to each other nowhere else.
_MONGOD_FILES = ("WiredTiger", "mongod.lock")


@dataclass(frozen=True, slots=True)
class Own:
    """`database` is the name of the registry's database, `folder` the absolute path of the data folder; empty where there is none."""

    database: str = ""
    folder: str = ""

    def refuses(self, path: str) -> str | None:
        """Why no connection may lead to the file or folder `path`: a sentence for people, None where it may. Links are followed."""
        full = Path(os.path.realpath(path))
        if self.is_folder(full):
            return say("{path} is Jobwright's data folder; name a folder below it, or another one", path=path)
        return self.keeps(full)

    def is_folder(self, full: Path) -> bool:
        """Whether a resolved path is that of the data folder, by name or by another mount of it."""
        return bool(self.folder) and _same(full, Path(self.folder))

    def keeps(self, full: Path) -> str | None:
        """Why jobs leave the resolved path `full` alone, None where they need not: it is, or lies in, what the service keeps in its data
        folder or the data of a MongoDB server."""
        for below, folder in _with_parents(full):
            if _is_kept(below.name) and self.is_folder(folder):
                return say("{path} belongs to Jobwright itself", path=str(full))
            if holds_mongod(below):
                return say("{path} holds the data of a MongoDB server", path=str(below))
        return None


def holds_mongod(folder: Path) -> bool:
    """Whether a folder is one that a mongod keeps its data in."""
    return all(os.path.exists(folder / name) for name in _MONGOD_FILES)  # noqa: PTH110 - Path.exists raises where it may not look


def _is_kept(name: str) -> bool:
    return name in _FOLDERS or name.startswith(_FILES)


def _with_parents(path: Path) -> Iterator[tuple[Path, Path]]:
    """`path` and each folder around it, with the folder that it lies in."""
    while path != path.parent:
        yield path, path.parent
        path = path.parent


def _same(one: Path, other: Path) -> bool:
    """Whether both are the same folder, by name or because one is another mount of it."""
    if one == other:
        return True
    try:
        return os.path.samestat(one.stat(), other.stat())
    except OSError:
        return False
