"""Backups of the real mongod: what is saved, what is found broken, what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import IndexModel

from templates_lib.backup import archive
from templates_lib.backup.restore import restore
from templates_lib.backup.template import Backup
from templates_lib.base import Cancelled, ConnectionGrant, TemplateError
from tests.integration.templates_lib.test_moving_kinds import ODD, raw
from tests.running import NOW, Ctx, Data

PARAMS: dict[str, Any] = {"connection": "db", "store": "files", "name": "night/shop"}


@pytest.fixture
def full(data: Data) -> Data:
    data["orders"].insert_many([{"n": n, "odd": ODD[n % len(ODD)], "text": "x" * (n % 500)} for n in range(2500)])
    data["orders"].create_indexes(
        [IndexModel([("n", 1)], name="n", unique=True), IndexModel([("text", 1), ("n", -1)], name="two", sparse=True)]
    )
    data["empty"].insert_one({})
    data["empty"].delete_many({})
    data["a.dotted"].insert_one({"_id": 1})
    data.command("create", "view", viewOn="orders", pipeline=[])
    return data


def test_what_is_saved_comes_back_byte_for_byte_with_its_indexes(full: Data, ctx: Ctx, tmp_path: Path) -> None:
    before = {name: raw(full[name]) for name in ("orders", "empty", "a.dotted")}
    shown = Backup().preview(PARAMS, ctx())
    assert (shown.data["collections"], shown.data["documents"]) == (["a.dotted", "empty", "orders"], 2501)
    result = Backup().run(PARAMS, ctx())
    assert result.data["path"] == "night/shop-2026-08-31-120000.backup.zip"
    assert [(one["name"], one["documents"]) for one in result.data["collections"]] == [("a.dotted", 1), ("empty", 0), ("orders", 2500)]
    assert ctx.steps[-1] == (2501, 2501)
    file = tmp_path / "store" / result.data["path"]
    for name in before:
        full[name].drop()
    assert restore(file, full) == {"a.dotted": 1, "empty": 0, "orders": 2500}
    assert {name: raw(full[name]) for name in before} == before
    indexes = {one["name"]: dict(one) for one in full["orders"].list_indexes()}
    assert (indexes["n"]["unique"], indexes["two"]["sparse"], list(indexes["two"]["key"].items())) == (True, True, [("text", 1), ("n", -1)])


def test_the_command_restores_and_spares_what_is_there(full: Data, ctx: Ctx, tmp_path: Path, mongod: str) -> None:
    file = tmp_path / "store" / Backup().run(PARAMS, ctx()).data["path"]

    def command(*more: str, code: int = 0) -> str:
        made = subprocess.run(
            [sys.executable, "-m", "templates_lib.backup.restore", str(file), "--uri", mongod, "--database", full.name, *more],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ},
        )
        assert made.returncode == code, made.stdout + made.stderr
        return made.stdout + made.stderr

    full["orders"].delete_many({"n": {"$gt": 10}})
    assert "hold documents already" in command(code=1)
    assert full["orders"].count_documents({}) == 11
    assert command("--drop", "--collection", "orders") == "orders: 2,500 documents\n"
    assert full["orders"].count_documents({}) == 2500
    assert "no collection 'nothing'" in command("--collection", "nothing", code=1)
    file.write_bytes(file.read_bytes()[:-2000])
    assert "restore: " in command("--drop", code=1)
    assert full["orders"].count_documents({}) == 2500, "a broken file changes nothing"


def test_only_some_and_only_what_is_reached(full: Data, ctx: Ctx) -> None:
    assert [one["name"] for one in Backup().run({**PARAMS, "collections": ["orders"]}, ctx()).data["collections"]] == ["orders"]
    with pytest.raises(TemplateError, match="no collection 'nothing'") as refused:
        Backup().run({**PARAMS, "collections": ["nothing"]}, ctx())
    assert refused.value.permanent
    ctx.grants["db"] = ConnectionGrant("db", "mongodb", {**ctx.grants["db"].settings, "collections": ["a*"]})
    assert [one["name"] for one in Backup().run(PARAMS, ctx()).data["collections"]] == ["a.dotted"]
    with pytest.raises(TemplateError, match="does not reach"):
        Backup().run({**PARAMS, "collections": ["orders"]}, ctx())


def test_so_many_are_kept_and_no_other_file_goes(full: Data, ctx: Ctx, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "night"
    folder.mkdir(parents=True)
    others = [
        "shop-2.backup.zip",
        "shop-old-2020-01-01-000000.backup.zip",
        "shop-2020-01-01-000000.zip",
        "shopping-2020-01-01-000000.backup.zip",
        "notes.txt",
    ]
    for name in others:
        (folder / name).write_text("mine")
    for day in range(4):
        result = Backup().run({**PARAMS, "keep": 2}, ctx(now=NOW + timedelta(days=day)))
    assert result.data["removed"] == ["night/shop-2026-09-01-120000.backup.zip"]
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([*others, "shop-2026-09-02-120000.backup.zip", "shop-2026-09-03-120000.backup.zip"])
    assert Backup().preview({**PARAMS, "keep": 2}, ctx()).data["would_delete"] == ["night/shop-2026-09-02-120000.backup.zip"]


def test_a_name_with_what_a_pattern_would_read(full: Data, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "abc-2020-01-01-000000.backup.zip").write_text("mine")
    Backup().run({**PARAMS, "name": "a*c", "keep": 1}, ctx())
    Backup().run({**PARAMS, "name": "a*c", "keep": 1}, ctx(now=NOW + timedelta(days=1)))
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == [
        "a*c-2026-09-01-120000.backup.zip",
        "abc-2020-01-01-000000.backup.zip",
    ]


def test_stopped_it_leaves_nothing(full: Data, ctx: Ctx, tmp_path: Path) -> None:
    ctx.stop.set()
    with pytest.raises(Cancelled):
        Backup().run(PARAMS, ctx())
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//b"])
def test_a_name_that_leads_elsewhere(name: str, full: Data, ctx: Ctx) -> None:
    with pytest.raises(TemplateError):
        Backup().run({**PARAMS, "name": name}, ctx())


def test_a_file_that_is_not_what_was_written_is_found(full: Data, ctx: Ctx, tmp_path: Path) -> None:
    file = tmp_path / "store" / Backup().run(PARAMS, ctx()).data["path"]
    good = file.read_bytes()

    def verdict(data: bytes) -> str:
        file.write_bytes(data)
        with file.open("rb") as stream, pytest.raises(archive.ArchiveBroken) as broken:
            archive.verify(stream)
        return str(broken.value)

    assert verdict(b"")
    assert verdict(good[: len(good) // 2])
    middle = len(good) // 3
    assert verdict(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])

    def rewritten(**changes: bytes) -> bytes:
        with zipfile.ZipFile(tmp_path / "new.zip", "w") as new, zipfile.ZipFile(tmp_path / "good.zip") as old:
            for name in old.namelist():
                new.writestr(name, changes.get(name, old.read(name)))
        return (tmp_path / "new.zip").read_bytes()

    (tmp_path / "good.zip").write_bytes(good)
    with zipfile.ZipFile(tmp_path / "good.zip") as opened:
        orders, manifest = opened.read("collections/orders.bson"), json.loads(opened.read("manifest.json"))
    first = int.from_bytes(orders[:4], "little")
    assert "does not match the manifest" in verdict(rewritten(**{"collections/orders.bson": orders[first:]}))
    assert "ends inside a document" in verdict(rewritten(**{"collections/orders.bson": orders[:-1]}))
    assert "bytes long" in verdict(rewritten(**{"collections/orders.bson": b"\xff\xff\xff\x7f" + orders}))
    assert "does not use format" in verdict(rewritten(**{"manifest.json": json.dumps({**manifest, "jobwright_backup": 2}).encode()}))
    assert "no readable manifest" in verdict(rewritten(**{"manifest.json": b"{"}))
    assert verdict(
        rewritten(**{"manifest.json": json.dumps({**manifest, "collections": [{"name": "x", "documents": 1, "sha256": "y"}]}).encode()})
    )
