"""File stores: a folder of this machine, or one elsewhere that fsspec reaches. The names of files are plain paths below that folder."""

from __future__ import annotations

import os
import posixpath
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from templates_lib import private
from templates_lib.base import TemplateError
from templates_lib.own import Own

FRESH_SECONDS = 60  # an empty folder that changed within this time stays, because somebody may be about to put files into it


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file in a store: its name there, its size in bytes, and the time of its last change (seconds since 1970)."""

    name: str
    size: int
    changed: float


class FileStore(ABC):
    """A folder, and nothing outside it. The methods raise TemplateError; it is permanent for a name that leads outside or does not exist.

    `mark` becomes part of the names of incomplete files. If it belongs to an execution, its next attempt replaces the incomplete file of an
    attempt that was killed.
    """

    def __init__(self, mark: str = "") -> None:
        self._mark = mark

    def _part(self, path: str) -> str:
        """Returns the name of a file while it is written."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/.{name}.{self._mark or secrets.token_hex(6)}.part"

    @abstractmethod
    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        """Yields a file for writing, which appears under `name` only when it is complete."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Returns whether there is a file of that name."""

    @abstractmethod
    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Yields a file for reading."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Returns the size of an existing file in bytes."""

    @abstractmethod
    def files(self, folder: str = "", *, recursive: bool = False) -> Iterator[FileEntry]:
        """Yields the plain files of a folder; links are not followed. Raises TemplateError (permanent) if there is no such folder."""

    @abstractmethod
    def remove(self, entry: FileEntry) -> bool:
        """Deletes a file that has not changed since it was listed. Returns False if it is gone or has changed. Raises OSError if it cannot
        be deleted."""

    @abstractmethod
    def remove_empty_folders(self, folder: str = "") -> None:
        """Removes the empty folders below `folder`."""

    def read(self, name: str, *, limit_bytes: int) -> bytes:
        """Returns the content of a small file. Raises TemplateError (permanent) if it is missing or larger than `limit_bytes`."""
        with self.open(name) as stream:
            if self.size(name) > limit_bytes:
                raise TemplateError(f"{name!r} is larger than {limit_bytes:,} bytes", permanent=True)
            return stream.read()


def plain_name(name: str) -> str:
    """Returns `name` if it is a plain path below a store. Raises TemplateError (permanent) if not."""
    if not name or name.startswith("/") or "\\" in name or "\0" in name or {".", "..", ""} & set(name.split("/")):
        raise TemplateError(f"{name!r} is not a plain path inside the file store", permanent=True)
    return name


class LocalStore(FileStore):
    """A folder of this machine. Symbolic links that lead out of it are refused. Files that belong to Jobwright itself (`own`) are never
    listed, and the methods raise TemplateError (permanent) for their names."""

    def __init__(self, root: str, own: Own, *, mark: str = "") -> None:
        """Raises TemplateError (permanent) if the whole folder belongs to Jobwright itself."""
        super().__init__(mark)
        self._root, self._own = os.path.realpath(root), own
        reason = own.refuses(self._root)
        if reason is not None:
            raise TemplateError(reason, permanent=True)

    def _path(self, name: str) -> str:
        full = os.path.realpath(posixpath.join(self._root, plain_name(name)))
        if full == self._root or os.path.commonpath([self._root, full]) != self._root:
            raise TemplateError(f"{name!r} leads out of the file store", permanent=True)
        reason = self._own.keeps(Path(full))
        if reason is not None:
            raise TemplateError(reason, permanent=True)
        return full

    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        """Writes to a file beside the target, syncs it, and renames it."""
        target = Path(self._path(name))
        part = Path(self._part(str(target)))
        try:
            private.make_folders(target.parent)
            with private.create(part) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(target)
        except OSError as error:
            raise TemplateError(f"Writing {name!r} failed: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        return Path(self._path(name)).is_file()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        path = Path(self._path(name))
        if not path.is_file():
            raise TemplateError(f"There is no file {name!r} in the store", permanent=True)
        with path.open("rb") as stream:
            yield stream

    def size(self, name: str) -> int:
        return Path(self._path(name)).stat().st_size

    def _folder(self, folder: str) -> Path:
        path = Path(self._path(folder) if folder else self._root)
        if not path.is_dir():
            raise TemplateError(f"There is no folder {folder!r} in the store", permanent=True)
        return path

    def files(self, folder: str = "", *, recursive: bool = False) -> Iterator[FileEntry]:
        waiting = [self._folder(folder)]
        while waiting:
            folder_path = waiting.pop()
            if self._own.keeps(folder_path) is not None:
                continue
            beside_own = self._own.is_folder(folder_path)
            with os.scandir(folder_path) as entries:
                for entry in entries:
                    if beside_own and self._own.keeps(Path(entry.path)) is not None:
                        continue
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield FileEntry(str(Path(entry.path).relative_to(self._root)), status.st_size, status.st_mtime)
                    elif recursive and entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))

    def remove(self, entry: FileEntry) -> bool:
        path = Path(self._root) / entry.name
        if self._path(entry.name) != str(path):  # a folder in the path has become a link in the meantime
            return False
        try:
            if path.stat(follow_symlinks=False).st_mtime != entry.changed:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def remove_empty_folders(self, folder: str = "") -> None:
        root = self._folder(folder)
        for below, _, _ in os.walk(root, topdown=False):
            path = Path(below)
            if path == root or self._own.keeps(path) is not None:
                continue
            if not any(path.iterdir()) and path.stat().st_ctime < time.time() - FRESH_SECONDS:
                path.rmdir()


class RemoteStore(FileStore):
    """A folder that an fsspec file system reaches. `objects` is true for object stores, where a file appears when it is closed. Elsewhere, a
    file is written under another name and renamed."""

    def __init__(self, filesystem: Any, root: str, *, objects: bool, mark: str = "") -> None:
        super().__init__(mark)
        self._filesystem, self._root, self._objects = filesystem, root.rstrip("/"), objects

    def _path(self, name: str) -> str:
        return f"{self._root}/{plain_name(name)}"

    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        target = self._path(name)
        part = target if self._objects else self._part(target)
        with template_errors(f"Writing {name!r}"):
            if not self._objects:
                self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True, mode=private.FOLDER_MODE)
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(part)  # others may be able to read the file that a killed attempt left
            stream = self._filesystem.open(part, "wb")
            try:
                yield stream
                stream.close()
                if not self._objects:
                    self._filesystem.mv(part, target)
            except BaseException:
                _discard(stream)
                if not self._objects:
                    with suppress(OSError):
                        self._filesystem.rm_file(part)
                raise

    def exists(self, name: str) -> bool:
        with template_errors(f"Looking for {name!r}"):
            return bool(self._filesystem.isfile(self._path(name)))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if not self.exists(name):
            raise TemplateError(f"There is no file {name!r} in the store", permanent=True)
        with template_errors(f"Reading {name!r}"), self._filesystem.open(self._path(name), "rb") as stream:
            yield stream

    def size(self, name: str) -> int:
        with template_errors(f"Looking for {name!r}"):
            return int(self._filesystem.size(self._path(name)))

    def files(self, folder: str = "", *, recursive: bool = False) -> Iterator[FileEntry]:
        root = self._path(folder) if folder else self._root
        with template_errors(f"Listing {folder or 'the store'!r}"):
            try:
                listing = self._filesystem.find(root, maxdepth=None if recursive else 1, detail=True)
            except FileNotFoundError:
                listing = {}
            if not listing and folder and not self._filesystem.isdir(root):
                raise TemplateError(f"There is no folder {folder!r} in the store", permanent=True)
        for path, info in listing.items():
            if info.get("type") == "file" and info.get("size") is not None:
                yield FileEntry(path.removeprefix(self._root).strip("/"), int(info["size"]), changed_at(info))

    def remove(self, entry: FileEntry) -> bool:
        path = f"{self._root}/{entry.name}"
        with template_errors(f"Deleting {entry.name!r}"):
            try:
                if changed_at(self._filesystem.info(path)) != entry.changed:
                    return False
                self._filesystem.rm_file(path)
            except FileNotFoundError:
                return False
        return True

    def remove_empty_folders(self, folder: str = "") -> None:
        if self._objects:
            return  # object stores have no folders, only names of files with slashes
        root = self._path(folder) if folder else self._root
        with template_errors(f"Tidying {folder or 'the store'!r}"):
            for path, folders, files in reversed(list(self._filesystem.walk(root))):
                if path.rstrip("/") != root and not folders and not files:
                    self._filesystem.rmdir(path)


def changed_at(info: dict[str, Any]) -> float:
    """Returns when a file was last changed. The file systems of fsspec use different names for that."""
    for name in ("mtime", "LastModified", "updated", "modified"):
        value = info.get(name)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    return 0.0


def _discard(stream: Any) -> None:
    """Closes a half-written file so that it does not appear, if the file system allows that."""
    with suppress(Exception):
        if hasattr(stream, "discard"):
            stream.discard()
            stream.closed = True
        else:
            stream.close()


@contextmanager
def template_errors(what: str) -> Iterator[None]:
    """Turns the errors of a file system into TemplateErrors. They are permanent if the file system refuses access, or if there is no such
    file. `what` begins the message."""
    try:
        yield
    except TemplateError:
        raise
    except (PermissionError, FileNotFoundError) as error:
        raise TemplateError(f"{what} failed: {str(error)[:300] or type(error).__name__}", permanent=True) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in {"botocore", "aiohttp", "gcsfs", "paramiko", "aiobotocore"} or isinstance(
            error, OSError
        ):
            raise TemplateError(f"{what} failed: {str(error)[:300] or type(error).__name__}") from error
        raise
