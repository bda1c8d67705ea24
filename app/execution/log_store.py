"""The `execution_logs` collection."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import DeleteMany
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.mongo import Document, Records, is_only_duplicates, literal, read_first
from app.queue.shape import CHUNK
from app.validation.terminal import plain

QUERY_TIME_MS = 5_000
SEEN = "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWindow:
    """Some lines of a log, {timestamp, level, message, attempt, number}: `first` is the number of the first one, from 1, `total` how many
    the log has, `cursor` what reading goes on with after its end."""

    lines: list[Document]
    first: int
    total: int
    cursor: str

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


def chunk_id(execution_id: str, attempt: int, number: int) -> str:
    """The `_id` of a chunk: chunks of an execution stand together in the order in which they are read."""
    return f"{execution_id}/{attempt:05d}.{number:08d}"


def execution_of(chunk_id: str) -> str:
    """The execution that a chunk is of."""
    return chunk_id.rpartition("/")[0]


def chunk(execution_id: str, attempt: int, number: int, lines: Sequence[Document]) -> Document:
    """A chunk as it is stored. How many lines it has and of which levels stands before them, so that who asks for that reads no lines;
    chunks of old have neither."""
    return {
        "_id": chunk_id(execution_id, attempt, number),
        "attempt": attempt,
        "count": len(lines),
        "levels": sorted({line["level"] for line in lines}),
        "lines": [_with_seen(line) for line in lines],
    }


def _with_seen(line: Document) -> Document:
    """A line as it is stored: `seen` is what a search looks in, where that is not the message itself (colours, progress bars)."""
    seen = searched(line["message"])
    return line if seen == line["message"] else {**line, SEEN: seen}


def searched(text: str) -> str:
    """A text as searches compare it: as it is seen, its letters composed."""
    return unicodedata.normalize("NFC", plain(text))


def _line(line: Document, **more: Any) -> Document:
    """A line as readers get it."""
    return {**{name: value for name, value in line.items() if name != SEEN}, **more}


class LogStore:
    """Log lines in chunks {_id, attempt, count, levels, lines}; a line is {timestamp, level, message} and, where a search looks in another
    text, `seen`. Its number is its place in the execution."""

    def __init__(self, database: Database[Document]) -> None:
        self._logs = Records(database, "execution_logs", CHUNK)

    def append(self, chunks: Sequence[Document]) -> None:
        """Write chunks; one that is there already is left as it is."""
        try:
            self._logs.insert_many(list(chunks), ordered=False)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise

    def put(self, chunk: Document) -> None:
        """Write a chunk in place of the one that has its number, if there is one."""
        self._logs.replace_one({"_id": chunk["_id"]}, chunk, upsert=True)

    def remove(self, execution_ids: Sequence[str]) -> None:
        """Forget all lines of these executions."""
        self._logs.bulk_write([DeleteMany({"_id": _after(execution_id, "")}) for execution_id in execution_ids], ordered=False)

    def read(self, execution_id: str, *, after: str = "", limit: int = 1000) -> tuple[list[Document], str]:
        """Lines after the cursor `after` (empty: from the start), and the cursor to go on with; about `limit` lines at most."""
        lines: list[Document] = []
        for row in self._logs.find({"_id": _after(execution_id, after)}).sort("_id", 1):
            lines += [_line(line, attempt=row["attempt"]) for line in row["lines"]]
            after = row["_id"].rpartition("/")[2]
            if len(lines) >= limit:
                break
        return lines, after

    def window(self, execution_id: str, first: int, limit: int) -> LogWindow:
        """Lines number `first` (from 1) and after, `limit` at most; a negative `first` counts from the end: -1 is the last line."""
        sizes = self._sizes(execution_id)
        total = sum(size for _, size in sizes)
        begin = max(0, min(first - 1, total) if first > 0 else total + first)
        shown: list[Document] = []
        offset = 0
        wanted = []
        for key, size in sizes:
            if offset < begin + limit and offset + size > begin:
                wanted.append((key, offset))
            offset += size
        chunks = {row["_id"]: row for row in self._logs.find({"_id": {"$in": [key for key, _ in wanted]}})}
        for key, start in wanted:
            lines = chunks[key]["lines"] if key in chunks else []
            shown += [
                _line(line, attempt=chunks[key]["attempt"], number=start + place)
                for place, line in enumerate(lines, 1)
                if begin < start + place <= begin + limit
            ]
        cursor = sizes[-1][0].rpartition("/")[2] if sizes else ""
        return LogWindow(lines=shown, first=begin + 1, total=total, cursor=cursor)

    def search(self, execution_id: str, *, text: str = "", levels: Sequence[str] = (), limit: int = 1000) -> tuple[list[Document], bool]:
        """The first lines in which people see `text` (case aside) and that are of one of the levels (empty: of any), with their
        numbers; and whether there are more."""
        where: Document = {}
        if text:
            like = {"$regex": literal(searched(text)), "$options": "i"}
            where["$or"] = [{f"lines.{SEEN}": like}, {f"lines.{SEEN}": {"$exists": False}, "lines.message": like}]
        if levels:
            where["lines.level"] = {"$in": list(levels)}
        stages: list[Document] = [
            {"$match": {"_id": _after(execution_id, "")}},
            {"$sort": {"_id": 1}},
            {"$unwind": {"path": "$lines", "includeArrayIndex": "place"}},
            {"$match": where},
            {"$limit": limit + 1},
        ]
        starts, offset = {}, 0
        for key, size in self._sizes(execution_id):
            starts[key] = offset
            offset += size
        rows = list(self._logs.aggregate(stages, maxTimeMS=QUERY_TIME_MS))
        matching = [_line(row["lines"], attempt=row["attempt"], number=starts.get(row["_id"], 0) + row["place"] + 1) for row in rows]
        return matching[:limit], len(matching) > limit

    def last_of(self, execution_id: str, levels: Sequence[str]) -> Document | None:
        """The last line of one of the levels, with its number."""
        wanted = {"$in": list(levels)}
        of_old = {"levels": {"$exists": False}, "lines.level": wanted}
        chunk = self._logs.find_one({"_id": _after(execution_id, ""), "$or": [{"levels": wanted}, of_old]}, sort=[("_id", -1)])
        if chunk is None:
            return None
        place = max(n for n, line in enumerate(chunk["lines"], 1) if line["level"] in levels)
        before = sum(size for key, size in self._sizes(execution_id) if key < chunk["_id"])
        return _line(chunk["lines"][place - 1], attempt=chunk["attempt"], number=before + place)

    def all(self, execution_id: str) -> Iterator[Document]:
        """Every line, a chunk at a time; the first has been read when this returns."""
        return read_first(self._lines(execution_id))

    def _lines(self, execution_id: str) -> Iterator[Document]:
        for row in self._logs.find({"_id": _after(execution_id, "")}).sort("_id", 1):
            for line in row["lines"]:
                yield _line(line, attempt=row["attempt"])

    def _sizes(self, execution_id: str) -> list[tuple[str, int]]:
        """The chunks of an execution in their order, with how many lines each has."""
        stages: list[Document] = [
            {"$match": {"_id": _after(execution_id, "")}},
            {"$sort": {"_id": 1}},
            {"$project": {"size": {"$cond": [{"$isArray": "$lines"}, {"$size": "$lines"}, 0]}}},
        ]
        return [(row["_id"], row["size"]) for row in self._logs.aggregate(stages, maxTimeMS=QUERY_TIME_MS)]


def _after(execution_id: str, place: str) -> Document:
    """The ids of an execution's chunks after `place`."""
    return {"$gt": f"{execution_id}/{place}", "$lt": f"{execution_id}0"}  # "0" follows "/"
