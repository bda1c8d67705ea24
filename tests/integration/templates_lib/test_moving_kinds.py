"""Kinds that take data away: archives, tickets, files. On the real mongod and the real disk."""

from __future__ import annotations

import gzip
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId, Regex, json_util
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from app.migrations import MARKER
from templates_lib import moving
from templates_lib.base import Cancelled, TemplateError
from templates_lib.data_archive.template import DataArchive
from templates_lib.file_cleanup.template import FileCleanup
from templates_lib.ticket_cleanup.template import TicketCleanup
from tests.running import NOW, Ctx, Data

ODD: list[Any] = [
    Int64(5),
    5,
    5.0,
    float("nan"),
    float("inf"),
    Decimal128("1.10"),
    ObjectId(),
    None,
    True,
    "ä\0b",
    b"\x00\xff",
    Regex("^a", "i"),
    NOW,
    {"b": 1, "a": {"$x": 1, "c.d": [None]}},
    [],
    {},
    bson.MinKey(),
    bson.Timestamp(1, 2),
    bson.Binary(b"u" * 16, 4),
    bson.Code("x", {"y": 1}),
]


def orders(data: Data, count: int = 250) -> None:
    data["orders"].insert_many([{"n": n, "at": NOW - timedelta(days=400 if n % 2 else 1), "odd": ODD[n % len(ODD)]} for n in range(count)])


def archive(**changes: Any) -> dict[str, Any]:
    return {
        "connection": "db",
        "collection": "orders",
        "condition": {"at": {"$lt": "1 year ago"}},
        "to": "collection",
        "target_collection": "old",
        "dryRun": False,
        **changes,
    }


FILES = {"to": "files", "destination": {"connection": "files", "path": "a/orders-{date}"}}


def raw(collection: Collection[Any]) -> dict[Any, bytes]:
    """Each document by its id, byte for byte."""
    options = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    return {bson.decode(one.raw)["_id"]: one.raw for one in collection.with_options(codec_options=options).find()}


def in_files(store: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(store.rglob("*.jsonl.gz")):
        found += [
            json_util.loads(line, json_options=json_util.CANONICAL_JSON_OPTIONS) for line in gzip.decompress(path.read_bytes()).splitlines()
        ]
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_archive_holds_what_left_byte_for_byte(data: Data, ctx: Ctx, size: int) -> None:
    orders(data)
    before = raw(data["orders"])
    result = DataArchive().run(archive(batch_size=size), ctx())
    assert result.data == {"records_processed": 125, "records_moved": 125, "errors": 0, "dry_run": False}
    left, moved = raw(data["orders"]), raw(data["old"])
    assert {**left, **moved} == before
    assert (len(left), len(moved)) == (125, 125)
    assert ctx.steps[-1] == (125, 125)


def test_files_hold_it_too_and_every_type(data: Data, ctx: Ctx, tmp_path: Path) -> None:
    orders(data)
    before = raw(data["orders"])
    result = DataArchive().run(archive(**FILES), ctx())
    found = in_files(tmp_path / "store")
    assert {one["_id"]: bson.encode(one) for one in found} | raw(data["orders"]) == before
    (file,) = result.data["files"]
    assert (file["path"], file["documents"]) == ("a/orders-2026-08-31.exec-1.00001.jsonl.gz", 125)


def test_a_dry_run_and_a_preview_move_nothing(data: Data, ctx: Ctx, tmp_path: Path) -> None:
    orders(data)
    before = raw(data["orders"])
    for changes in ({}, FILES):
        params = archive(**changes)
        del params["dryRun"]
        assert DataArchive().run(params, ctx()).message == "Would move 125 documents (dry run)"
        shown = DataArchive().preview(archive(**changes, max_documents=9), ctx())
        assert (shown.message, shown.data["matching"], len(shown.data["samples"])) == ("Would move 9 of 250 documents", 125, 5)
    assert raw(data["orders"]) == before
    assert not (tmp_path / "store").exists()


def test_it_stops_where_it_is_told_to(data: Data, ctx: Ctx) -> None:
    orders(data)
    assert DataArchive().run(archive(max_documents=10, batch_size=3), ctx()).data["records_moved"] == 10
    assert data["old"].count_documents({}) == 10
    ctx.stop.set()
    with pytest.raises(Cancelled):
        DataArchive().run(archive(), ctx())
    assert data["old"].count_documents({}) == 10


@pytest.mark.parametrize("changes", [{}, FILES], ids=["collection", "files"])
def test_large_documents_are_moved_a_few_at_a_time(
    data: Data, ctx: Ctx, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    orders(data, 20)
    data["orders"].update_many({}, {"$set": {"pad": "x" * 1000}})
    before, batches, delete = raw(data["orders"]), [], moving._delete

    def counted(collection: Any, batch: Any, ctx: Any) -> int:
        batches.append(len(batch))
        return delete(collection, batch, ctx)

    monkeypatch.setattr(moving, "IN_MEMORY", 3000)
    monkeypatch.setattr(moving, "_delete", counted)
    assert DataArchive().run(archive(max_documents=8, **changes), ctx()).data["records_moved"] == 8
    assert batches == [3, 3, 2]
    there = {one["_id"]: bson.encode(one) for one in in_files(tmp_path / "store")} if changes else raw(data["old"])
    assert len(there) == 8
    assert {**raw(data["orders"]), **there} == before


@pytest.mark.parametrize("changes", [{}, FILES], ids=["collection", "files"])
def test_what_changes_between_copy_and_deletion_stays_and_is_copied_anew(
    data: Data, ctx: Ctx, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    orders(data, 20)
    delete, changed = moving._delete, []

    def meanwhile(*args: Any) -> int:
        if not changed:
            changed.append(data["orders"].find_one_and_update({"n": 3}, {"$set": {"paid": True}}))
        return delete(*args)

    monkeypatch.setattr(moving, "_delete", meanwhile)
    assert DataArchive().run(archive(**changes), ctx()).data["records_moved"] == 10
    assert data["orders"].count_documents({"n": 3}) == 0
    found = in_files(tmp_path / "store") if changes else list(data["old"].find())
    assert [one.get("paid") for one in found if one["n"] == 3][-1] is True, "the change is in the archive, not lost"


def test_documents_that_change_all_the_time_end_it_rather_than_turn_it_for_ever(
    data: Data, ctx: Ctx, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders(data, 4)
    delete = moving._delete_unchanged

    def always(*args: Any) -> int:
        data["orders"].update_many({}, {"$inc": {"v": 1}})
        return delete(*args)

    monkeypatch.setattr(moving, "_delete_unchanged", always)
    with pytest.raises(TemplateError, match="Not one of 2"):
        DataArchive().run(archive(), ctx())
    assert data["orders"].count_documents({}) == 4


@pytest.mark.parametrize("again", [1, 2], ids=["handed back", "retried"])
@pytest.mark.parametrize(("changes", "at"), [*(({"batch_size": 20}, at) for at in range(1, 11)), *((FILES, at) for at in range(1, 6))])
def test_killed_anywhere_it_goes_on_and_each_document_is_there_once(
    data: Data, ctx: Ctx, changes: dict[str, Any], at: int, again: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each write may be the last one that happens; the next attempt of the same execution is another process."""
    monkeypatch.setattr(moving, "A_PART", 20)
    orders(data, 200)
    before = raw(data["orders"])
    written = [0]

    def dying(real: Any) -> Any:
        def dies(self: Any, *args: Any, **options: Any) -> Any:
            written[0] += 1
            if written[0] == at:
                if at % 2:
                    real(self, *args, **options)  # done, and nobody was told
                raise AutoReconnect("the process is gone")
            return real(self, *args, **options)

        return dies

    with monkeypatch.context() as dangerous:
        for name in ("bulk_write", "insert_many", "delete_many"):
            dangerous.setattr(Collection, name, dying(getattr(Collection, name)))
        with pytest.raises(TemplateError):
            DataArchive().run(archive(**changes), ctx(attempt=1))
    DataArchive().run(archive(**changes), ctx(attempt=again))
    left = raw(data["orders"])
    if changes == FILES:
        found = in_files(tmp_path / "store")
        assert len(found) == len({one["_id"] for one in found}) == 100
        moved = {one["_id"]: bson.encode(one) for one in found}
    else:
        moved = raw(data["old"])
    assert {**left, **moved} == before
    assert (len(left), len(moved)) == (100, 100)


def test_two_archives_at_once_lose_nothing(data: Data, ctx: Ctx) -> None:
    orders(data, 400)
    before, errors = raw(data["orders"]), []

    def run(name: str) -> None:
        try:
            DataArchive().run(archive(batch_size=10), ctx(execution_id=name))
        except TemplateError as error:  # it found its batch gone each time
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f"e{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    DataArchive().run(archive(), ctx())
    assert {**raw(data["orders"]), **raw(data["old"])} == before
    assert data["old"].count_documents({}) == 200


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"target_collection": "orders"}, "/target_collection"),
        ({"collection": "system.users"}, "/collection"),
        ({"target_collection": "system.x"}, "/target_collection"),
        ({"condition": {"$where": "1"}}, "/condition/$where"),
        ({**FILES, "destination": {"connection": "files", "path": "../x"}}, "/destination/path"),
    ],
)
def test_what_an_archive_refuses(changes: dict[str, Any], pointer: str) -> None:
    assert [one.pointer for one in DataArchive().check(archive(**changes))] == [pointer]


def test_the_registry_is_left_alone(data: Data, ctx: Ctx) -> None:
    orders(data, 4)
    data["migrations"].insert_one(MARKER)
    for run in (
        lambda: DataArchive().run(archive(), ctx()),
        lambda: DataArchive().preview(archive(), ctx()),
        lambda: TicketCleanup().run({"connection": "db", "collection": "orders", "older_than_days": 1, "statuses": ["x"]}, ctx()),
    ):
        with pytest.raises(TemplateError, match="Jobwright's own") as refused:
            run()
        assert refused.value.permanent


# -- tickets ----------------------------------------------------------------------------------------------------------


def tickets(data: Data) -> None:
    rows = [("resolved", 100), ("closed", 91), ("resolved", 89), ("open", 400), ("resolved", None), ("Resolved", 100)]
    data["tickets"].insert_many(
        [{"_id": n, "status": s, "resolvedAt": NOW - timedelta(days=d) if d else "yesterday"} for n, (s, d) in enumerate(rows)]
    )


TICKETS: dict[str, Any] = {
    "connection": "db",
    "collection": "tickets",
    "older_than_days": 90,
    "statuses": ["resolved", "closed"],
    "dryRun": False,
}


def test_old_resolved_tickets_move_or_go(data: Data, ctx: Ctx) -> None:
    tickets(data)
    shown = TicketCleanup().preview({**TICKETS, "archive": "old"}, ctx())
    assert (shown.message, shown.data["would_take"]) == ("Would archive 2 of 6 tickets", 2)
    assert "2026-05-23" in shown.data["oldest"]
    assert TicketCleanup().run({**TICKETS, "dryRun": True}, ctx()).message == "Would delete 2 tickets (dry run)"
    assert data["tickets"].count_documents({}) == 6
    assert TicketCleanup().run({**TICKETS, "archive": "old", "max_tickets": 1}, ctx()).data["tickets_archived"] == 1
    assert TicketCleanup().run({**TICKETS, "archive": "old"}, ctx()).data["tickets_archived"] == 1
    assert sorted(row["_id"] for row in data["old"].find()) == [0, 1]
    data["tickets"].insert_one({"_id": 9, "status": "closed", "resolvedAt": NOW - timedelta(days=200)})
    assert TicketCleanup().run(TICKETS, ctx()).data["tickets_deleted"] == 1
    assert sorted(row["_id"] for row in data["tickets"].find()) == [2, 3, 4, 5]
    assert [one.pointer for one in TicketCleanup().check({**TICKETS, "archive": "tickets"})] == ["/archive"]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, ctx: Ctx) -> Path:
    root = tmp_path / "store"
    for name, days in {
        "a.csv": 40,
        "b.csv": 31,
        "c.csv": 1,
        "d.txt": 90,
        "in/e.csv": 50,
        "in/deep/f.csv": 50,
        "in/empty/g.txt": 99,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
        stamp = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (stamp, stamp))
    (tmp_path / "outside.csv").write_text("mine")
    os.utime(tmp_path / "outside.csv", (0, 0))
    (root / "link.csv").symlink_to(tmp_path / "outside.csv")
    (root / "linked").symlink_to(tmp_path)
    return root


def names(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink() and "linked" not in path.parts
    }


OLD: dict[str, Any] = {"store": "files", "older_than_days": 30, "dryRun": False}


@pytest.mark.parametrize(
    ("params", "gone"),
    [
        ({}, {"a.csv", "b.csv", "d.txt"}),
        ({"pattern": "*.csv"}, {"a.csv", "b.csv"}),
        ({"pattern": "?.txt"}, {"d.txt"}),
        ({"pattern": "[ab].csv"}, {"a.csv", "b.csv"}),
        ({"recursive": True, "pattern": "*.csv"}, {"a.csv", "b.csv", "in/e.csv", "in/deep/f.csv"}),
        ({"folder": "in"}, {"in/e.csv"}),
        ({"keep_newest": 2, "pattern": "*.csv"}, {"a.csv"}),
        ({"keep_newest": 9}, set()),
        ({"max_deletes": 1}, {"d.txt"}),
        ({"older_than_days": 1000}, set()),
        ({"older_than_days": 0}, {"a.csv", "b.csv", "c.csv", "d.txt"}),
    ],
)
def test_old_files_go_and_no_others(shelf: Path, ctx: Ctx, params: dict[str, Any], gone: set[str]) -> None:
    before = names(shelf)
    shown = FileCleanup().preview({**OLD, **params}, ctx())
    assert (shown.data["would_delete"], shown.data["bytes"]) == (len(gone), 10 * len(gone))
    assert FileCleanup().run({**OLD, **params, "dryRun": True}, ctx()).data["files_deleted"] == 0
    assert names(shelf) == before
    result = FileCleanup().run({**OLD, **params}, ctx())
    assert (result.data["files_deleted"], result.data["bytes_freed"], result.data["errors"]) == (len(gone), 10 * len(gone), 0)
    assert names(shelf) == before - gone
    assert (shelf.parent / "outside.csv").read_text() == "mine"
    assert (shelf / "link.csv").is_symlink()


def test_a_file_that_is_written_to_meanwhile_stays(shelf: Path, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    old = FileCleanup._old

    def then(self: Any, *args: Any) -> Any:
        found = old(self, *args)
        (shelf / "a.csv").write_text("new")
        (shelf / "b.csv").unlink()
        return found

    monkeypatch.setattr(FileCleanup, "_old", then)
    assert FileCleanup().run(OLD, ctx()).data["files_deleted"] == 1
    assert (shelf / "a.csv").read_text() == "new"


@pytest.mark.parametrize("folder", ["..", "in/../..", "linked", "linked/store", "/etc", "none"])
def test_a_folder_elsewhere_is_refused(shelf: Path, ctx: Ctx, folder: str) -> None:
    with pytest.raises(TemplateError) as refused:
        FileCleanup().run({**OLD, "folder": folder}, ctx())
    assert refused.value.permanent
    assert (shelf.parent / "outside.csv").exists()


def test_cancelled_it_stops(shelf: Path, ctx: Ctx) -> None:
    ctx.stop.set()
    with pytest.raises(Cancelled):
        FileCleanup().run(OLD, ctx())
    assert (shelf / "a.csv").exists()
