"""Puts a schema and the local files that it refers to into one document: `jobwright template bundle`.

Each file becomes a definition with an `$id`, so that references stay as they are (JSON Schema 2020-12, core, 9.3: compound documents).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from app.validation.older import Converted, Draft, converted, draft_of, join, schemas_inside, split_fragment
from app.validation.schema import MAX_BYTES, MAX_DEPTH, SchemaRefused, prepare
from app.validation.strict_json import parse

MOST_FILES = 200


class BundleRefused(Exception):
    """The files cannot be put into one document. The text says which file, which reference and why."""


@dataclass(slots=True)
class _File:
    path: Path
    address: str
    schema: dict[str, Any]
    name: str = ""


@dataclass(slots=True)
class _Bundle:
    folder: Path
    draft: Draft
    files: dict[Path, _File] = field(default_factory=dict)
    size: int = 0

    @property
    def id_word(self) -> str:
        return "id" if self.draft is Draft.DRAFT_04 else "$id"

    @property
    def defs_word(self) -> str:
        return "definitions" if self.draft < Draft.DRAFT_2019_09 else "$defs"


def bundle(path: Path, folder: Path | None = None) -> Converted:
    """Returns the schema in `path` with all local files that it refers to, as one schema of draft 2020-12.

    Files must be inside `folder`, by default the folder of `path`. Nothing is fetched from a network. Files may refer to each other.
    Raises BundleRefused.
    """
    start = _resolved(path, str(path))
    root = _read(start, 0)
    draft = draft_of(root)
    if draft is None:
        raise BundleRefused(f"{path}: `$schema` names a dialect that Jobwright does not know: {root.get('$schema')}")
    whole = _Bundle((folder or start.parent).resolve(), draft)
    _require_inside(whole, start, str(path))
    first = _add(whole, start, "", root)
    waiting = [first]
    while waiting:
        file = waiting.pop()
        for schema, base in _with_bases(file, whole.id_word):
            reference = schema.get("$ref")
            if isinstance(reference, str):
                added = _follow(whole, file, schema, base, reference)
                if added is not None:
                    waiting.append(added)
    embedded = {file.name: _embedded(whole, file) for file in whole.files.values() if file is not first}
    if embedded:
        first.schema[whole.defs_word] = {**_definitions(whole, first), **embedded}
    try:
        result = converted(first.schema)
        prepare(result.schema)
    except SchemaRefused as refused:
        raise BundleRefused(f"{path}, with its files: {refused.pointer or '/'} {refused.reason}") from refused
    return result


def _resolved(path: Path, where: str) -> Path:
    """Returns a path without symbolic links."""
    try:
        resolved = path.resolve()
        resolved.is_file()  # raises for a name that is too long
    except (OSError, ValueError, RuntimeError) as error:  # ValueError for a null character, RuntimeError for links that go in a circle
        reason = getattr(error, "strerror", None) or error
        raise BundleRefused(f"{where}: this path cannot be used: {reason}") from error
    return resolved


def _definitions(whole: _Bundle, file: _File) -> dict[str, Any]:
    """Returns the definitions of a file by name."""
    definitions = file.schema.get(whole.defs_word, {})
    if not isinstance(definitions, dict):
        raise BundleRefused(f"{file.path}: `{whole.defs_word}` is not an object")
    return definitions


def _read(path: Path, so_far: int) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if so_far + size > MAX_BYTES:
            raise BundleRefused(f"{path}: the files are larger than {MAX_BYTES:,} bytes together")
        schema = parse(path.read_text("utf-8"), deepest=MAX_DEPTH)
    except OSError as error:
        raise BundleRefused(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BundleRefused(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(schema, dict):
        raise BundleRefused(f"{path}: is not a schema, because it is not a JSON object")
    return schema


def _require_inside(whole: _Bundle, path: Path, where: str) -> None:
    if not path.is_relative_to(whole.folder):
        raise BundleRefused(f"{where}: {path} is outside of {whole.folder}. Name a folder that contains both with --root")


def _add(whole: _Bundle, path: Path, address: str, schema: dict[str, Any]) -> _File:
    own = schema.get(whole.id_word)
    file = _File(path, split_fragment(join(address, own))[0] if isinstance(own, str) else address, schema)
    first = next(iter(whole.files.values()), file)
    taken = {other.name for other in whole.files.values()} | set(_definitions(whole, first))
    names = (path.stem if number == 1 else f"{path.stem}-{number}" for number in range(1, MOST_FILES + len(taken) + 2))
    file.name = next(name for name in names if name not in taken)
    whole.files[path] = file
    whole.size += path.stat().st_size
    return file


def _with_bases(file: _File, id_word: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields each subschema of a file with the address that its references are relative to: that of the file, or of its own `$id`."""
    waiting = [(file.schema, file.address)]
    while waiting:
        schema, base = waiting.pop()
        own = schema.get(id_word)
        if schema is not file.schema and isinstance(own, str):
            base = split_fragment(join(base, own))[0] or base
        yield schema, base
        waiting += [(inner, base) for _, inner in schemas_inside(schema) if isinstance(inner, dict)]


def _follow(whole: _Bundle, file: _File, schema: dict[str, Any], base: str, reference: str) -> _File | None:
    """Points a reference to its file. Returns the file if it is new."""
    written, fragment = split_fragment(reference)
    address = split_fragment(join(base, written))[0]
    if not written or address == file.address or any(address == other.address for other in whole.files.values()):
        return None
    if any(address == at for _, at in _with_bases(file, whole.id_word)):
        return None  # a schema inside this file has that address
    where = f"{file.path}: $ref {reference!r}"
    path = _resolved(file.path.parent / _local(file, written, address, where), where)
    _require_inside(whole, path, where)
    known = whole.files.get(path)
    target = known or _add(whole, path, address, _read_for(whole, path, where))
    if target.address != address:
        schema["$ref"] = target.address + (f"#{fragment}" if "#" in reference else "")
    return None if known else target


def _read_for(whole: _Bundle, path: Path, where: str) -> dict[str, Any]:
    """Returns the schema in a file that a reference leads to."""
    if len(whole.files) >= MOST_FILES:
        raise BundleRefused(f"{where}: there are more than {MOST_FILES} files")
    if not path.is_file():
        raise BundleRefused(f"{where}: there is no file {path}")
    schema = _read(path, whole.size)
    if "$schema" in schema and draft_of(schema) is not whole.draft:
        raise BundleRefused(f"{where}: the file is written in another draft of JSON Schema, {schema['$schema']}")
    return schema


def _local(file: _File, written: str, address: str, where: str) -> str:
    """Returns the path of a reference, relative to the folder of the file that has it."""
    if not _split(written).scheme and not written.startswith("/"):
        return unquote(_split(written).path)
    folder = file.address.rpartition("/")[0] + "/"
    if _split(folder).scheme in {"http", "https"} and address.startswith(folder):
        return unquote(address.removeprefix(folder))
    if _split(written).scheme in {"http", "https"}:
        raise BundleRefused(f"{where}: nothing is fetched from the network. Save that schema as a file and refer to the file")
    raise BundleRefused(f"{where}: only relative paths are followed")


def _embedded(whole: _Bundle, file: _File) -> dict[str, Any]:
    own = {word: value for word, value in file.schema.items() if word not in {whole.id_word, "$schema"}}
    return {whole.id_word: file.address, **own}


def _split(address: str) -> SplitResult:
    """Returns the parts of an address; a text that is not one is all path."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", address, "", "")
