"""The stores of announcements, their messages and mutes do the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from app.mongo import Document
from app.notification.message import Fact, Link, MessageKind
from app.notification.quiet.batch_store import Batch, BatchState, BatchStore
from app.notification.quiet.entry import EntryFilter, EntryStatus, Hold, Why
from app.notification.quiet.entry_store import EntryStore
from app.notification.quiet.mute_store import MuteStore
from app.notification.quiet.muting import Matcher, Mute
from app.notification.turn_store import Turns
from templates_lib.messages import say
from tests.builders.announcements import NOW, announcement, entry, later

Data = Database[Document]
SOON = later(60)


def hold(why: Why = Why.MUTE, **fields: Any) -> Hold:
    return Hold(why=why, at=NOW, **{"by": "m", "name": "Move", "until": later(600), **fields})


def test_an_announcement_is_written_once_and_comes_back_with_its_sentences(database: Data) -> None:
    entries = EntryStore(database)
    facts = (Fact(label=say("Attempts"), value="3"),)
    item = announcement("a", text=(say("{count} runs", count=3), "plain"), facts=facts, links=(Link(words=say("Show"), url="https://x"),))
    first, second = entry(item), entry(announcement("b"))
    entries.add([first, second])
    entries.add([replace(first, created_at=later(9))])
    entries.add([])
    assert entries.of([first.id]) == [first]
    assert [row.announcement.title for row in entries.of([first.id, second.id, "none"])] == ["a failed", "b failed"]


def test_a_batch_takes_what_waits_and_gives_back_what_came_late(database: Data) -> None:
    entries = EntryStore(database)
    rows = [entry(announcement(name)) for name in "abcd"]
    entries.add(rows)
    ids = [row.id for row in rows]
    entries.hold([(rows[2], hold())], recheck_at=SOON)
    assert sorted(entries.bind(ids[:3], "one")) == sorted(ids[:2])
    assert entries.bind(ids[:3], "two") == []
    assert entries.hold([(rows[0], hold())], recheck_at=SOON) == 0, "what a batch has is not held"
    entries.bind([ids[3]], "one")
    entries.note_sent(ids[:2], "one", at=SOON)
    by_id = {row.id: row for row in entries.of(ids)}
    assert [(by_id[one].status.value, by_id[one].batch) for one in ids] == [
        ("sent", "one"),
        ("sent", "one"),
        ("held", None),
        ("waiting", None),
    ]
    assert (by_id[ids[0]].due_at, by_id[ids[0]].settled_at) == (None, SOON)
    assert set(entries.told([rows[0].announcement.incident_id, rows[2].announcement.incident_id])) == {rows[0].incident}


def test_what_is_due_is_found(database: Data) -> None:
    entries = EntryStore(database)
    rows = [entry(announcement("a")), entry(announcement("b", at=100)), entry(announcement("c"))]
    entries.add(rows)
    assert [entries.is_due(later(seconds)) for seconds in (29, 30)] == [False, True]
    assert {row.announcement.subject.name for row in entries.waiting(later(30))} == {"a", "b", "c"}, "all of a channel, if one is due"
    assert entries.waiting(later(29)) == []
    assert entries.wait([(rows[0], later(500)), (rows[2], later(500))]) == 2
    assert not entries.is_due(later(120))
    entries.hold([(rows[1], hold())], recheck_at=later(200))
    assert [row.id for row in entries.held_due(later(200))] == [rows[1].id]
    assert entries.recheck("m", now=later(140)) == 1
    (held,) = entries.held_due(later(140))
    assert (held.hold, held.announcement.title) == (hold(), ""), "texts are not read to decide"
    entries.hold([(held, hold(final=True))], recheck_at=later(900))
    assert entries.held_due(later(9000)) == []
    assert entries.hold([(held, hold())], recheck_at=later(900)) == 0, "a final hold is final"


def test_what_was_held_is_listed_counted_and_forgotten(database: Data) -> None:
    entries = EntryStore(database)
    rows = [entry(announcement(name, at=second)) for second, name in enumerate("abc")]
    entries.add(rows)
    entries.hold([(rows[0], hold(final=True)), (rows[1], hold(Why.QUIET_HOURS, by="ops"))], recheck_at=SOON)
    assert [row.id for row in entries.page(EntryFilter(), limit=2)] == [rows[2].id, rows[1].id]
    assert [row.id for row in entries.page(EntryFilter(before=(later(1), rows[1].id)), limit=5)] == [rows[0].id]
    for wanted in (EntryFilter(why="mute"), EntryFilter(by="m"), EntryFilter(status="held", end=later(1))):
        assert [row.id for row in entries.page(wanted, limit=5)] == [rows[0].id]
    assert entries.page(EntryFilter(channel_id="other"), limit=5) == []
    assert entries.counts_held(NOW) == {Why.MUTE: 1, Why.QUIET_HOURS: 1}
    assert entries.counts_held(later(1)) == {Why.QUIET_HOURS: 1}
    assert entries.counts_held(NOW, groups=["office"]) == {}
    assert [row.id for row in entries.alarms_since(later(1), limit=5)] == [rows[2].id, rows[1].id]
    assert [row.id for row in entries.page(EntryFilter(incident_id=rows[0].announcement.incident_id), limit=5)] == [rows[0].id]
    assert entries.forget(later(100)) == 1
    assert {row.status for row in entries.page(EntryFilter(), limit=5)} == {EntryStatus.HELD, EntryStatus.WAITING}


def test_a_batch_goes_through_its_states_once(database: Data) -> None:
    batches = BatchStore(database)
    made = Batch(id="x", group="g", target_key="t", kind=MessageKind.FIRING, at=NOW, ids=("a", "b"), root="a")
    assert [batches.begin(made), batches.begin(made)] == [True, False]
    assert (batches.get("x"), batches.open()) == (made, ["x"])
    assert [batches.set_ready("x", ["a"]), batches.set_ready("x", ["b"])] == [True, False]
    batches.begin(replace(made, id="empty", at=later(5)))
    batches.set_ready("empty", [])
    last = batches.last_of(["g", "other"], since=NOW)
    assert [(name, one.batch, one.count) for name, one in last.items()] == [("g", "x", 1)], "an empty one was no message"
    assert (batches.last_of(["g"], since=later(1)), batches.lately(["t"], since=NOW - timedelta(seconds=1))) == ({}, {"t": 1})
    assert batches.lately(["t"], since=NOW) == {}
    batches.set_done("x")
    found = batches.get("x")
    assert found is not None
    assert (found.state, batches.open(), batches.forget(later(100)), batches.get("x")) == (BatchState.DONE, ["empty"], 1, None)


def test_mutes_are_found_until_they_end_and_replaced_by_version(database: Data) -> None:
    mutes = MuteStore(database)
    first = Mute(id="a", matcher=Matcher(jobs=("Night",)), reason="r", author="ada", created_at=NOW, ends_at=later(60))
    second = replace(first, id="b", ends_at=later(30))
    for mute in (first, second):
        mutes.add(mute)
    assert mutes.active(NOW) == [second, first]
    assert (mutes.active(later(30)), mutes.ended(later(60), limit=5)) == ([first], [first, second])
    longer = replace(second, ends_at=later(90), version=2)
    assert [mutes.replace_version(longer, version=1), mutes.replace_version(longer, version=1)] == [True, False]
    assert mutes.get("b") == longer
    assert (mutes.forget(later(61)), mutes.get("a")) == (1, None)


def test_one_node_has_a_turn(database: Data) -> None:
    turns = Turns(database)
    minute = timedelta(minutes=1)
    assert turns.take("quiet", "one", now=NOW, lasts=minute)
    assert turns.take("quiet", "one", now=later(30), lasts=minute), "it may go on"
    assert not turns.take("quiet", "other", now=later(89), lasts=minute)
    assert turns.take("else", "other", now=NOW, lasts=minute)
    assert turns.take("quiet", "other", now=later(90), lasts=minute)
