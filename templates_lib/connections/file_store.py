"""A place for files, opened through fsspec."""

from __future__ import annotations

import os
import posixpath
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.kind import TEMPLATES, ConnectionKind

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {
            "type": "string",
            "title": "Folder",
            "description": "Absolute path on the machine where jobs run. Jobs reach what is below it and nothing else.",
            "pattern": r"^/.+",
            "x-pattern-words": "an absolute path, such as /srv/exports",
            "maxLength": 1000,
        },
        "templates": TEMPLATES,
    },
    "required": ["path"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class FileStore:
    """A folder, and nothing above it."""

    root: str

    def resolve(self, name: str) -> str:
        """The full path of `name` in this store.

        Raises TemplateError (permanent) for a name that leaves the folder, by `..`, as an absolute path or by a symbolic link.
        """
        parts = name.split("/")
        if not name or name.startswith("/") or "\\" in name or "\0" in name or {".", "..", ""} & set(parts):
            raise TemplateError(f"{name!r} is not a plain path inside the file store", permanent=True)
        root = os.path.realpath(self.root)
        full = os.path.realpath(posixpath.join(root, name))
        if full == root or os.path.commonpath([root, full]) != root:
            raise TemplateError(f"{name!r} leads out of the file store", permanent=True)
        return full

    @contextmanager
    def write_atomically(self, name: str) -> Iterator[IO[bytes]]:
        """A file that appears under `name` complete or not at all: written beside it, synced, then renamed."""
        target = self.resolve(name)
        filesystem = fsspec.filesystem("file")
        filesystem.makedirs(posixpath.dirname(target), exist_ok=True)
        part = posixpath.join(posixpath.dirname(target), f".{posixpath.basename(target)}.{secrets.token_hex(6)}.part")
        try:
            with filesystem.open(part, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            filesystem.mv(part, target)
        except OSError as error:
            raise TemplateError(f"Writing {name!r} failed: {error.strerror or error}") from error
        finally:
            if filesystem.exists(part):
                filesystem.rm(part)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return Path(self.resolve(name)).is_file()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to read. Raises TemplateError (permanent) where there is none."""
        path = self.resolve(name)
        if not Path(path).is_file():
            raise TemplateError(f"There is no file {name!r} in the store", permanent=True)
        with fsspec.filesystem("file").open(path, "rb") as stream:
            yield stream

    def size(self, name: str) -> int:
        """Bytes of a file that exists."""
        return int(fsspec.filesystem("file").size(self.resolve(name)))

    def read(self, name: str, *, limit_bytes: int) -> bytes:
        """The whole of a small file.

        Raises TemplateError (permanent) where it is missing or larger than `limit_bytes`.
        """
        path = self.resolve(name)
        if not Path(path).is_file():
            raise TemplateError(f"There is no file {name!r} in the store", permanent=True)
        if self.size(name) > limit_bytes:
            raise TemplateError(f"{name!r} is larger than {limit_bytes:,} bytes", permanent=True)
        with fsspec.filesystem("file").open(path, "rb") as stream:
            return bytes(stream.read())


def open_file_store(ctx: RunContext, name: str) -> FileStore:
    """The store behind connection `name` of this run."""
    return FileStore(str(ctx.connection(name, "file_store").settings["path"]))


def _probe(settings: Mapping[str, Any]) -> str:
    root = Path(settings["path"])
    root.mkdir(parents=True, exist_ok=True)
    if not os.access(root, os.W_OK):
        raise PermissionError(f"{root} cannot be written")
    return f"{root} can be written; {len(list(root.iterdir()))} entries"


KIND = ConnectionKind(
    type="file_store",
    name="File store",
    icon="folder",
    description="A folder that jobs write to and read from",
    settings_schema=SCHEMA,
    probe=_probe,
    folders=lambda settings: (str(settings["path"]),),
)
