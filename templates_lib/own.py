"""Files and databases that belong to Jobwright itself. No job may read or change them, through any connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from templates_lib.messages import say

# What the service stores in its data folder: names of folders, and beginnings of names of files.
_FOLDERS = frozenset({"mongo", "work"})
_FILES = ("secret.", "mongod.")
# Every mongod with the WiredTiger engine has both files in its folder, and no other folder has both.
_MONGOD_FILES = ("WiredTiger", "mongod.lock")


@dataclass(frozen=True, slots=True)
class Own:
    """`database` is the name of the registry's database, `folder` the absolute path of the data folder. Each is empty if there is none."""

    database: str = ""
    folder: str = ""

    def refuses(self, path: str) -> str | None:
        """Returns a sentence why no connection may lead to the file or folder `path`; None if one may. Links are followed."""
        full = Path(os.path.realpath(path))
        if self.is_folder(full):
            return say("{path} is Jobwright's data folder. Choose a folder inside it, or another one", path=path)
        return self.keeps(full)

    def is_folder(self, full: Path) -> bool:
        """Returns whether a resolved path is the data folder, by its name or by another mount of it."""
        return bool(self.folder) and _same(full, Path(self.folder))

    def keeps(self, full: Path) -> str | None:
        """Returns why jobs must not touch the resolved path `full`; None if they may. They must not touch what the service stores in its
        data folder, nor the data of a MongoDB server, nor anything inside."""
        for below, folder in _with_parents(full):
            if _is_service_data(below.name) and self.is_folder(folder):
                return say("{path} belongs to Jobwright itself", path=str(full))
            if holds_mongod(below):
                return say("{path} holds the data of a MongoDB server", path=str(below))
        return None


def holds_mongod(folder: Path) -> bool:
    """Returns whether a folder holds the data of a mongod."""
    return all(os.path.exists(folder / name) for name in _MONGOD_FILES)  # noqa: PTH110 - Path.exists raises in a folder without access


def _is_service_data(name: str) -> bool:
    return name in _FOLDERS or name.startswith(_FILES)


def _with_parents(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yields `path` and each folder around it, each with its parent folder."""
    while path != path.parent:
        yield path, path.parent
        path = path.parent


def _same(path: Path, other: Path) -> bool:
    """Returns whether both are the same folder, by name or because one is another mount of it."""
    if path == other:
        return True
    try:
        return os.path.samestat(path.stat(), other.stat())
    except OSError:
        return False
