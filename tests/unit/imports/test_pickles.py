"""Pickles are read as data: hostile ones run nothing, take neither memory nor time, and say what is wrong with them."""

from __future__ import annotations

import pickle
import socket
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.imports.entries import Entry, EntryKind
from app.imports.sources import SOURCES, SourceOptions
from app.imports.stores.pickles import Instance, Name, PickleRefused, read_pickle
from app.imports.stores.plain import MOST_VALUES, Plain, read_moment, zone_name
from tests.builders import aps_jobs, hostile

OPTIONS = SourceOptions(machine="web1", timezone="Europe/Berlin")
LONGEST_SECONDS = 30.0  # of processor time, for all of them


@dataclass
class Trap:
    """A file and a port that nothing must touch, and a module that nothing must import."""

    canary: Path
    server: socket.socket

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def check(self) -> None:
        assert not self.canary.exists()
        assert "jobwright_canary" not in sys.modules
        with pytest.raises(BlockingIOError):
            self.server.accept()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    canary = tmp_path / "canary"
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "jobwright_canary.py").write_text(f"open({str(canary)!r}, 'w')\nvalue = 1\n")
    monkeypatch.syspath_prepend(str(modules))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield Trap(canary, server)


def read_store(folder: Path, states: dict[str, bytes]) -> list[Entry]:
    """The entries of a job store that has these rows."""
    path = folder / "jobs.sqlite"
    aps_jobs.write_states(path, states)
    return list(SOURCES["apscheduler"].read(str(path), OPTIONS).entries)


def test_hostile_pickles_run_nothing_and_each_of_their_entries_says_what_is_wrong(tmp_path: Path, trap: Trap) -> None:
    """One store has them all, and a job between them. They are read together, so none disturbs another."""
    states = {**hostile.pickles(trap.canary, trap.port), "good": pickle.dumps(hostile.state())}
    begin = time.process_time()
    entries = {entry.where.removeprefix("apscheduler_jobs "): entry for entry in read_store(tmp_path, states)}
    assert time.process_time() - begin < LONGEST_SECONDS
    trap.check()
    assert entries.keys() == states.keys()
    assert len(states) > 50
    good = entries.pop("good")
    assert (good.kind, good.call and good.call.name) == (EntryKind.JOB, "os:getcwd")
    for name, entry in entries.items():
        reason = entry.reason or (entry.call.unreadable if entry.call else "")
        assert entry.kind is EntryKind.INVALID or (entry.call and entry.call.unreadable), name
        assert len(reason) > 20, name
        assert reason.isprintable(), name


def test_the_pickles_are_hostile(trap: Trap) -> None:
    """Loaded by `pickle`, they do what they say: otherwise the tests above show nothing."""
    made = hostile.pickles(trap.canary, trap.port)
    for name in (
        "os.system, protocol 0",
        "os.system, protocol 5",
        "exec",
        "INST",
        "OBJ",
        "STACK_GLOBAL",
        "among the arguments",
        "as the function",
    ):
        trap.canary.unlink(missing_ok=True)
        pickle.loads(made[name])  # noqa: S301 - its effect is the point
        assert trap.canary.exists(), name
    trap.canary.unlink()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os.system, protocol 5", "it is a call of posix.system and not the state of a job"),
        ("as the trigger", "its trigger is a call of posix.system, which Jobwright does not know"),
        ("a persistent id", "it contains a persistent id"),
        ("a code of copyreg", "it contains a code of copyreg"),
        ("too many bytes", "it has 2,000,0"),
        ("a deep tuple as a key", "it has a tuple as a key"),
        ("no pickle", "it is damaged, or not a pickle"),
    ],
)
def test_the_reason_names_what_was_found(tmp_path: Path, trap: Trap, name: str, words: str) -> None:
    (entry,) = read_store(tmp_path, {"a": hostile.pickles(trap.canary, trap.port)[name]})
    assert words in entry.reason


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_common_values_are_read_from_all_protocols(protocol: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=berlin)
    value: dict[str, Any] = {
        "plain": [None, True, 1, -1.5, "ä", 2**40, (1, 2)],
        "bytes": b"\x00\xff",
        "moment": moment,
        "day": date(2026, 3, 4),
        "span": timedelta(days=1, seconds=2),
        "set": {1},
        "ordered": OrderedDict(a=1),
        "decimal": Decimal("1.50"),
        "uuid": uuid.UUID(int=5),
        "path": Path("/a/b"),
        "zones": [berlin, UTC, timezone(timedelta(hours=2))],
    }
    read = read_pickle(pickle.dumps(value, protocol))
    plain = Plain()
    assert plain.value(read) == {
        "plain": [None, True, 1, -1.5, "ä", 2**40, [1, 2]],
        "bytes": "AP8=",
        "moment": "2026-03-04T05:06:07.891011+01:00",
        "day": "2026-03-04",
        "span": 86402.0,
        "set": [1],
        "ordered": {"a": 1},
        "decimal": "1.50",
        "uuid": "00000000-0000-0000-0000-000000000005",
        "path": "/a/b",
        "zones": ["Europe/Berlin", "UTC", "Etc/GMT-2"],
    }
    assert plain.unknown == []
    assert read_moment(read["moment"]) == moment
    assert [zone_name(zone) for zone in read["zones"]] == ["Europe/Berlin", "UTC", "Etc/GMT-2"]


def test_what_is_not_known_is_named() -> None:
    read = read_pickle(pickle.dumps([EntryKind.JOB, Path, slice(1, 2)]))
    assert isinstance(read[0], Instance)
    assert read[1] == Name("pathlib.Path")
    plain = Plain()
    assert plain.value(read) == [None, None, None]
    assert plain.unknown == ["app.imports.entries.EntryKind", "pathlib.Path", "builtins.slice"]


def test_a_text_that_is_no_unicode_becomes_one_and_numbers_of_more_than_64_bits_become_small() -> None:
    plain = Plain()
    assert plain.value(read_pickle(pickle.dumps(["\ud800", float("nan"), 2**100]))) == ["?", "nan", 101]


def test_too_many_values_are_refused() -> None:
    with pytest.raises(PickleRefused, match="values"):
        Plain().value([0] * (MOST_VALUES + 1))
