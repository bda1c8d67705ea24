"""Moves documents so that none is lost and none is there twice, even if the move is killed any number of times.

A batch is first copied, durably. Then each of its documents is deleted if it is still byte for byte what was copied, which the server
compares. A document that changed in between stays and is copied again; files then also hold its earlier state.
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
from templates_lib.messages import amount

Raw = Collection[RawBSONDocument]
_RAW = CodecOptions(document_class=RawBSONDocument, tz_aware=True)
DURABLE = WriteConcern("majority", j=True)
A_PART = 10_000  # documents of one file of an archive
IN_MEMORY = 64_000_000  # bytes of the documents of a part or a batch; the last document may exceed it
DELETED_AT_ONCE = 1_000
DELETED_BYTES = 8_000_000  # of the documents in one command; a command may have 16 MB
DUPLICATE_KEY = 11000


@dataclass(slots=True)
class Moved:
    """The result of a move: the number of documents, and the files that hold them, each {path, documents, sha256}."""

    documents: int = 0
    files: list[dict[str, Any]] | None = None


def to_collection(
    source: Documents, target: Documents, query: Mapping[str, Any], *, size: int, most: int, total: int, ctx: RunContext
) -> Moved:
    """Moves up to `most` matching documents, `size` at a time. Each keeps its `_id`; a document that is in the target already is
    replaced."""
    raw, copy, moved = _raw(source), _raw(target), Moved()
    while moved.documents < most and (batch := _read_batch(raw, query, min(size, most - moved.documents))):
        ctx.check_cancelled()
        _copy(copy, batch)
        moved.documents += _delete(raw, batch, ctx)
        ctx.progress(moved.documents, max(total, moved.documents), f"{moved.documents:,} moved")
    return moved


def to_files(source: Documents, store: FileStore, path: str, query: Mapping[str, Any], *, most: int, total: int, ctx: RunContext) -> Moved:
    """Moves up to `most` matching documents into files `PATH.EXECUTION.00001.jsonl.gz` and so on, in canonical Extended JSON, one document
    in each line.

    A part is complete or does not exist. A run that starts again first deletes the documents that its earlier parts hold, and continues
    with the next part.
    """
    raw, moved = _raw(source), Moved(files=[])
    number = _resume(raw, store, path, moved, ctx)
    while moved.documents < most and (batch := _read_batch(raw, query, min(A_PART, most - moved.documents))):
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
        ctx.progress(moved.documents, max(total, moved.documents), f"{moved.documents:,} moved into {amount(number, 'file')}")
    return moved


def _read_batch(raw: Raw, query: Mapping[str, Any], most: int) -> list[RawBSONDocument]:
    """Returns up to `most` matching documents; fewer if they are large."""
    batch: list[RawBSONDocument] = []
    size = 0
    with raw.find(query, limit=most, max_time_ms=documents.FIND_TIME_MS) as cursor:
        for document in cursor:
            batch.append(document)
            size += len(document.raw)
            if size >= IN_MEMORY:
                break
    return batch


def _copy(target: Raw, batch: Sequence[RawBSONDocument]) -> None:
    """Writes the documents to the target and replaces those that are there already. Inserts come first, because they take a tenth of the
    time of upserts."""
    try:
        target.insert_many(batch, ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if any(failure["code"] != DUPLICATE_KEY for failure in failures):
            raise
        existing = [batch[failure["index"]] for failure in failures]
        target.bulk_write([ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in existing], ordered=False)


def _delete(raw: Raw, batch: Sequence[RawBSONDocument], ctx: RunContext) -> int:
    """Deletes the documents that did not change since they were copied, and returns their number. Raises TemplateError if all changed."""
    deleted = _delete_unchanged(raw, batch)
    if deleted < len(batch):
        ctx.log.warning("%s changed during the copy; what changed stays, and is copied anew", amount(len(batch) - deleted, "document"))
    if not deleted and batch:
        raise TemplateError(f"Not one of {amount(len(batch), 'document')} stayed as it was for as long as it takes to copy them")
    return deleted


def _delete_unchanged(raw: Raw, batch: Sequence[RawBSONDocument]) -> int:
    return sum(
        raw.delete_many(
            {"_id": {"$in": [document["_id"] for document in portion]}, "$expr": {"$in": ["$$ROOT", {"$literal": portion}]}}
        ).deleted_count
        for portion in _portions(batch)
    )


def _portions(batch: Sequence[RawBSONDocument]) -> Iterator[list[RawBSONDocument]]:
    """Yields the documents in portions that each fit into one command."""
    portion: list[RawBSONDocument] = []
    size = 0
    for document in batch:
        if portion and (len(portion) == DELETED_AT_ONCE or size + len(document.raw) > DELETED_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(document)
        size += len(document.raw)
    if portion:
        yield portion


def _resume(raw: Raw, store: FileStore, path: str, moved: Moved, ctx: RunContext) -> int:
    """Deletes the documents that the parts of an earlier start of this run hold, and returns the number of the last part. There are such
    parts in a retry, and in a run that a drain handed back, which has the same number of its attempt."""
    number = 0
    while store.exists(_part(path, number + 1, ctx)):
        number += 1
        name, digest, batch, count = _part(path, number, ctx), hashlib.sha256(), [], 0
        with store.open(name) as stream:
            for line in _lines(stream):
                digest.update(line)
                batch.append(RawBSONDocument(bson.encode(json_util.loads(line, json_options=json_util.CANONICAL_JSON_OPTIONS))))
                count += 1
        ctx.log.info("%s holds %s of an earlier start of this run", name, amount(count, "document"))
        _delete_unchanged(raw, batch)
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
