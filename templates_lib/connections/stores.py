"""Where files are: a folder of this machine, or one that fsspec reaches elsewhere. Names are plain paths below it."""

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

FRESH_SECONDS = 60  # a folder that was touched so lately may be about to be filled


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file in a store: its name there, its size in bytes, when it was last changed (seconds since 1970)."""

    name: str
    size: int
    changed: float


class FileStore(ABC):
    """A folder, and nothing above it. Its methods raise TemplateError: permanent for a name that leaves it or is not there.

    `mark` is in the names of files that are not complete yet: with that of an execution its next attempt takes up what a killed one left.
    """

    def __init__(self, mark: str = "") -> None:
        self._mark = mark

    def _part(self, path: str) -> str:
        """What a file is called while it is written."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/.{name}.{self._mark or secrets.token_hex(6)}.part"

    @abstractmethod
    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        """A file that appears under `name` complete or not at all."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to read."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file that exists."""

    @abstractmethod
    def files(self, folder: str = "", *, recursive: bool = False) -> Iterator[FileEntry]:
        """The plain files of a folder; links are not followed. Raises TemplateError (permanent) where there is no such folder."""

    @abstractmethod
    def remove(self, entry: FileEntry) -> bool:
        """Delete a file that is as it was listed; False where it is gone, or was written to since. Raises OSError where it stays."""

    @abstractmethod
    def remove_empty_folders(self, folder: str = "") -> None:
        """Remove the folders below `folder` that hold nothing."""

    def read(self, name: str, *, limit_bytes: int) -> bytes:
        """The whole of a small file. Raises TemplateError (permanent) where it is missing or larger than `limit_bytes`."""
        with self.open(name) as stream:
            if self.size(name) > limit_bytes:
                raise TemplateError(f"{name!r} is larger than {limit_bytes:,} bytes", permanent=True)
            return stream.read()


def plain_name(name: str) -> str:
    """`name`, where it is a plain path below a store. Raises TemplateError (permanent)."""
    if not name or name.startswith("/") or "\\" in name or "\0" in name or {".", "..", ""} & set(name.split("/")):
        raise TemplateError(f"{name!r} is not a plain path inside the file store", permanent=True)
    return name


class LocalStore(FileStore):
    """A folder of this machine; symbolic links that lead out of it are refused. What belongs to Jobwright itself (`own`) is not in it: its
    methods raise TemplateError (permanent) for such a name, and do not list it."""

    def __init__(self, root: str, own: Own, *, mark: str = "") -> None:
        """Raises TemplateError (permanent) where all of the folder belongs to Jobwright itself."""
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
        """Written beside it, synced, then renamed."""
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
        if self._path(entry.name) != str(path):  # a folder on the way has become a link since
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
    """A folder that an fsspec file system reaches. `objects`: a file appears when it is closed, as in object stores; elsewhere it is
    written beside its name and renamed."""

    def __init__(self, filesystem: Any, root: str, *, objects: bool, mark: str = "") -> None:
        super().__init__(mark)
        self._filesystem, self._root, self._objects = filesystem, root.rstrip("/"), objects

    def _path(self, name: str) -> str:
        return f"{self._root}/{plain_name(name)}"

    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        target = self._path(name)
        part = target if self._objects else self._part(target)
        with told(f"Writing {name!r}"):
            if not self._objects:
                self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True, mode=private.FOLDER_MODE)
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(part)  # what a killed attempt left may be readable by others
            stream = self._filesystem.open(part, "wb")
            try:
                yield stream
                stream.close()
                if not self._objects:
                    self._filesystem.mv(part, target)
            except BaseException:
                _give_up(stream)
                if not self._objects:
                    with suppress(OSError):
                        self._filesystem.rm_file(part)
                raise

    def exists(self, name: str) -> bool:
        with told(f"Looking for {name!r}"):
            return bool(self._filesystem.isfile(self._path(name)))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if not self.exists(name):
            raise TemplateError(f"There is no file {name!r} in the store", permanent=True)
        with told(f"Reading {name!r}"), self._filesystem.open(self._path(name), "rb") as stream:
            yield stream

    def size(self, name: str) -> int:
        with told(f"Looking for {name!r}"):
            return int(self._filesystem.size(self._path(name)))

    def files(self, folder: str = "", *, recursive: bool = False) -> Iterator[FileEntry]:
        root = self._path(folder) if folder else self._root
        with told(f"Listing {folder or 'the store'!r}"):
            try:
                found = self._filesystem.find(root, maxdepth=None if recursive else 1, detail=True)
            except FileNotFoundError:
                found = {}
            if not found and folder and not self._filesystem.isdir(root):
                raise TemplateError(f"There is no folder {folder!r} in the store", permanent=True)
        for path, info in found.items():
            if info.get("type") == "file" and info.get("size") is not None:
                yield FileEntry(path.removeprefix(self._root).strip("/"), int(info["size"]), changed_at(info))

    def remove(self, entry: FileEntry) -> bool:
        path = f"{self._root}/{entry.name}"
        with told(f"Deleting {entry.name!r}"):
            try:
                if changed_at(self._filesystem.info(path)) != entry.changed:
                    return False
                self._filesystem.rm_file(path)
            except FileNotFoundError:
                return False
        return True

    def remove_empty_folders(self, folder: str = "") -> None:
        if self._objects:
            return  # there are none: a folder is what its files are called
        root = self._path(folder) if folder else self._root
        with told(f"Tidying {folder or 'the store'!r}"):
            for path, folders, files in reversed(list(self._filesystem.walk(root))):
                if path.rstrip("/") != root and not folders and not files:
                    self._filesystem.rmdir(path)


def changed_at(info: dict[str, Any]) -> float:
    """When a file was last changed, as fsspec's file systems tell it, each by another name."""
    for name in ("mtime", "LastModified", "updated", "modified"):
        value = info.get(name)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            found = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return 0.0


def _give_up(stream: Any) -> None:
    """Close a half-written file without making it one."""
    with suppress(Exception):
        if hasattr(stream, "discard"):
            stream.discard()
            stream.closed = True
        else:
            stream.close()


@contextmanager
def told(what: str) -> Iterator[None]:
    """What a file system raises, as a TemplateError: permanent where it refuses or there is no such thing."""
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
