"""Moves documents so that none is lost and none is there twice, however often it is killed.

A batch is copied first, durably; then each of its documents is deleted where it still is what was copied, byte for byte, which the server
compares. What changed in between stays where it is and is copied anew: files then hold it as it was, too.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import bson
from bson import CodecOptions, json_util
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from templates_lib import documents
from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.stores import FileStore
from templates_lib.documents import Documents

Raw = Collection[RawBSONDocument]
_RAW = CodecOptions(document_class=RawBSONDocument, tz_aware=True)
DURABLE = WriteConcern("majority", j=True)
A_PART = 10_000  # documents of one file of an archive
IN_MEMORY = 64_000_000  # bytes of the documents of a part, or a batch; one more may be there
DELETED_AT_ONCE = 1_000
DELETED_BYTES = 8_000_000  # of the documents that a command names, which may have 16 MB
DUPLICATE_KEY = 11000


@dataclass(slots=True)
class Moved:
    """What a move has achieved: documents, and the files that hold them as {path, documents, sha256}."""

    documents: int = 0
    files: list[dict[str, Any]] | None = None


def to_collection(
    source: Documents, target: Documents, query: Mapping[str, Any], *, size: int, most: int, total: int, ctx: RunContext
) -> Moved:
    """Move up to `most` matching documents, `size` at a time; each keeps its `_id`. One that is in the target already is replaced."""
    raw, copy, moved = _raw(source), _raw(target), Moved()
    while moved.documents < most and (batch := _some(raw, query, min(size, most - moved.documents))):
        ctx.check_cancelled()
        _copy(copy, batch)
        moved.documents += _delete(raw, batch, ctx)
        ctx.progress(moved.documents, max(total, moved.documents), f"{moved.documents:,} moved")
    return moved


def to_files(source: Documents, store: FileStore, path: str, query: Mapping[str, Any], *, most: int, total: int, ctx: RunContext) -> Moved:
    """Move up to `most` matching documents into files `PATH.EXECUTION.00001.jsonl.gz` and on: Extended JSON, canonical, one a line.

    A part is there whole or not at all. A run that starts again first deletes what its earlier parts hold, and goes on with the next.
    """
    raw, moved = _raw(source), Moved(files=[])
    number = _go_on(raw, store, path, moved, ctx)
    while moved.documents < most and (batch := _some(raw, query, min(A_PART, most - moved.documents))):
        ctx.check_cancelled()
        number += 1
        name, digest = _part(path, number, ctx), hashlib.sha256()
        with store.write_atomically(name) as stream, gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
            for document in batch:
                line = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS).encode() + b"\n"
                digest.update(line)
                packed.write(line)
        moved.files = [*(moved.files or []), {"path": name, "documents": len(batch), "sha256": digest.hexdigest()}]
        moved.documents += _delete(raw, batch, ctx)
        ctx.progress(moved.documents, max(total, moved.documents), f"{moved.documents:,} moved into {number} files")
    return moved


def _some(raw: Raw, query: Mapping[str, Any], most: int) -> list[RawBSONDocument]:
    """Up to `most` matching documents, fewer where they are large."""
    found: list[RawBSONDocument] = []
    size = 0
    with raw.find(query, limit=most, max_time_ms=documents.FIND_TIME_MS) as cursor:
        for one in cursor:
            found.append(one)
            size += len(one.raw)
            if size >= IN_MEMORY:
                break
    return found


def _copy(target: Raw, batch: Sequence[RawBSONDocument]) -> None:
    """Put the documents there; one that is there already is replaced. (Inserts first: they take a tenth of the time of upserts.)"""
    try:
        target.insert_many(batch, ordered=False)
    except BulkWriteError as error:
        wrong = error.details["writeErrors"]
        if any(one["code"] != DUPLICATE_KEY for one in wrong):
            raise
        there = [batch[one["index"]] for one in wrong]
        target.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in there], ordered=False)


def _delete(raw: Raw, batch: Sequence[RawBSONDocument], ctx: RunContext) -> int:
    """Delete those that are still what was copied; returns how many. Raises TemplateError where none of them is."""
    deleted = _delete_same(raw, batch)
    if deleted < len(batch):
        ctx.log.warning("%s documents changed while they were copied; they stay, and are copied anew", f"{len(batch) - deleted:,}")
    if not deleted and batch:
        raise TemplateError(f"Not one of {len(batch):,} documents stayed as it was for as long as it takes to copy them")
    return deleted


def _delete_same(raw: Raw, batch: Sequence[RawBSONDocument]) -> int:
    return sum(
        raw.delete_many({"_id": {"$in": [one["_id"] for one in some]}, "$expr": {"$in": ["$$ROOT", {"$literal": some}]}}).deleted_count
        for some in _portions(batch)
    )


def _portions(batch: Sequence[RawBSONDocument]) -> Iterator[list[RawBSONDocument]]:
    """The documents in as few portions as one command has room for."""
    portion: list[RawBSONDocument] = []
    size = 0
    for one in batch:
        if portion and (len(portion) == DELETED_AT_ONCE or size + len(one.raw) > DELETED_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += len(one.raw)
    if portion:
        yield portion


def _go_on(raw: Raw, store: FileStore, path: str, moved: Moved, ctx: RunContext) -> int:
    """Delete what the parts of an earlier start of this run hold (a retry, or a run that a drain handed back, which has the same attempt's
    number); returns the number of the last part."""
    number = 0
    while store.exists(_part(path, number + 1, ctx)):
        number += 1
        name, digest, batch, count = _part(path, number, ctx), hashlib.sha256(), [], 0
        with store.open(name) as stream:
            for line in _lines(stream):
                digest.update(line)
                batch.append(RawBSONDocument(bson.encode(json_util.loads(line, json_options=json_util.CANONICAL_JSON_OPTIONS))))
                count += 1
        ctx.log.info("%s holds %s documents of an earlier start of this run", name, f"{count:,}")
        _delete_same(raw, batch)
        moved.documents += count
        moved.files = [*(moved.files or []), {"path": name, "documents": count, "sha256": digest.hexdigest()}]
    return number


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=stream) as packed:
        yield from packed


def _part(path: str, number: int, ctx: RunContext) -> str:
    return f"{path}.{ctx.execution_id[:8]}.{number:05d}.jsonl.gz"


def _raw(collection: Documents) -> Raw:
    return cast("Raw", collection.with_options(codec_options=cast("Any", _RAW), write_concern=DURABLE))
