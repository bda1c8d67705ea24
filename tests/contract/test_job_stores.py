"""Each store of what belongs to jobs and to the engine does the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from app.errors import DuplicateName
from app.execution.acknowledgement_store import AcknowledgementStore
from app.execution.day_store import DayStore, Tally
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore, chunk
from app.imports.store import ImportRecord, ImportStore, import_id
from app.jobs.draft_store import DraftStore
from app.jobs.move_store import MoveStore
from app.jobs.note_store import NoteStore
from app.mongo import Document
from app.samples.store import Sample, SampleState, SampleStore
from app.scheduling.calendar_store import CalendarStore
from app.scheduling.gathering_store import Gathering, GatheringStore
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import Drain, Heartbeat, NodeRole, NodeStore

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Data = Database[Document]


def test_a_draft_is_of_one_person_and_one_template(database: Data) -> None:
    drafts = DraftStore(database)
    drafts.put("u", "noop", [["name", "a"]], NOW)
    drafts.put("u", "noop", [["name", "b"]], NOW)
    drafts.put("u", "backup", [["name", "c"]], NOW)
    assert (drafts.get("u", "noop") or {})["pairs"] == [["name", "b"]]
    drafts.remove("u", "noop")
    assert drafts.get("u", "noop") is None
    assert drafts.get("u", "backup") is not None


def test_moves_are_listed_newest_first(database: Data) -> None:
    moves = MoveStore(database)
    for number in range(3):
        row = {"_id": f"m{number}", "template_type": "beat", "to": 2, "by": "u", "jobs": [], "rolled_back": None}
        moves.add({**row, "at": NOW + timedelta(minutes=number)})
    moves.mark_rolled_back("m1", {"at": NOW, "by": "u"})
    assert [row["_id"] for row in moves.latest("beat", 2)] == ["m2", "m1"]
    assert (moves.get("m1") or {})["rolled_back"] == {"at": NOW, "by": "u"}


def test_notes_are_of_their_job(database: Data) -> None:
    notes = NoteStore(database)
    for number in range(3):
        notes.add({"_id": f"n{number}", "job_id": "j", "text": "x", "by": "a", "by_id": "u", "at": NOW + timedelta(minutes=number)})
    assert [row["_id"] for row in notes.of("j", 2)] == ["n2", "n1"]
    assert (notes.count("j"), notes.count("other")) == (3, 0)
    assert notes.get("other", "n1") is None
    notes.remove("n1")
    assert notes.get("j", "n1") is None


def test_calendars_are_replaced_at_their_version(database: Data) -> None:
    calendars = CalendarStore(database)
    row = {"_id": "holidays", "version": 1, "updated_by": "u", "updated_at": NOW, "timezone": "UTC", "dates": [{"from": "2026-12-24"}]}
    calendars.add(row)
    calendars.add({**row, "_id": "breaks"})
    with pytest.raises(DuplicateName):
        calendars.add(row)
    assert calendars.names() == [one["_id"] for one in calendars.all()] == ["breaks", "holidays"]
    assert [calendars.replace_version({**row, "version": 2}, version=1) for _ in range(2)] == [True, False]
    assert calendars.versions(["holidays", "none"]) == {"holidays": 2}
    assert [calendars.delete("holidays"), calendars.delete("holidays")] == [True, False]
    assert calendars.get("holidays") is None


def test_what_has_arrived_is_put_at_its_revision_and_paid(database: Data) -> None:
    gatherings = GatheringStore(database)
    assert gatherings.get("j") == Gathering()
    first = Gathering(arrived={"a": "e1"}, seen=("e1",), owed=(("e1", "e2"), ("e3",)))
    assert [gatherings.put("j", first, at=NOW) for _ in range(2)] == [True, False]
    gatherings.paid("j", ("e1", "e2"))
    stored = gatherings.get("j")
    assert (stored.revision, stored.owed, stored.arrived) == (2, (("e3",),), {"a": "e1"})
    assert gatherings.arrived("j") == {"a": "e1"}
    assert [gatherings.put("j", stored, at=NOW) for _ in range(2)] == [True, False]
    gatherings.drop("j")
    assert gatherings.get("j") == Gathering()


def test_maintenance_is_on_while_its_document_is_there(database: Data) -> None:
    switch = MaintenanceStore(database)
    assert (switch.get(), switch.token()) == (None, None)
    first = switch.put(reason="moving", by="u", at=NOW, until=None)
    assert switch.get() == first
    second = switch.put(reason="still moving", by="u", at=NOW, until=NOW + timedelta(hours=1))
    assert second["token"] != first["token"] != switch.token()
    assert not switch.remove(token=first["token"]), "whoever ends the first does not end the second"
    assert switch.get() == second
    assert [switch.remove(), switch.remove()] == [True, False]


def test_nodes_give_signs_of_life_by_the_clock_of_the_database(database: Data) -> None:
    nodes = NodeStore(database)
    nodes.beat("b", Heartbeat(host="h", clock=datetime.now(UTC), tick_age_seconds=0.12345))
    nodes.beat("a", Heartbeat(host="h", clock=datetime.now(UTC), tick_age_seconds=0.5))
    assert [(node.id, node.tick_age_seconds, abs(node.skew_seconds) < 60) for node in nodes.all()] == [("a", 0.5, True), ("b", 0.123, True)]
    (told,) = [node for node in nodes.all() if node.id == "a"]
    assert (told.role, told.labels, told.slots, told.drain, told.hears) == ("scheduler", (), 0, None, None)
    asked = nodes.write_permit_request("a")
    assert abs((asked - datetime.now(UTC)).total_seconds()) < 60
    assert nodes.names_that_may_start("token", timedelta(minutes=5)) == ["a"]
    nodes.write_rest("a", "token")
    assert nodes.names_that_may_start("token", timedelta(minutes=5)) == []
    assert nodes.names_that_may_start("another", timedelta(minutes=5)) == ["a"]
    nodes.leave("a")
    assert [node.id for node in nodes.all()] == ["b"]


def test_a_node_tells_of_itself_and_reads_its_drain(database: Data) -> None:
    nodes, told = NodeStore(database), Heartbeat(host="h", clock=NOW, tick_age_seconds=0.5, version="1.2", labels=("gpu", "site=berlin"))
    assert nodes.beat("a", replace(told, slots=4, running=3, role=NodeRole.WORKER, queues=("jobs.gpu",), hears=True)) is None
    (node,) = nodes.all()
    assert (node.version, node.labels, node.slots, node.running, node.role) == ("1.2", ("gpu", "site=berlin"), 4, 3, "worker")
    assert (node.queues, node.hears, node.drained) == (("jobs.gpu",), True, False)
    database["nodes"].update_one({"_id": "a"}, {"$set": {"drain": {"by": "u", "at": NOW}}})
    assert nodes.beat("a", replace(told, drained=True)) == Drain(by="u", at=NOW)
    (node,) = nodes.all()
    assert (node.drain, node.drained, node.hears) == (Drain(by="u", at=NOW), True, None)


def test_runs_by_hand_are_counted_in_a_sliding_window(database: Data) -> None:
    limits = RunLimits(database)
    hour = timedelta(hours=1)
    take = lambda minutes: limits.take("u", now=NOW + timedelta(minutes=minutes), limit=2, window=hour)
    assert [take(0), take(10), take(20)] == [None, None, 40 * 60]
    assert take(61) is None


@pytest.mark.differs("bulk update")
def test_days_are_counted_and_a_later_count_stays(database: Data) -> None:
    days, day = DayStore(database), datetime(2026, 3, 1, tzinfo=UTC)
    days.write([day], {day + timedelta(hours=3): Tally({"success": 2}, 1.5)}, at=NOW)
    days.write([day], {day + timedelta(hours=3): Tally({"success": 1}, 1.0)}, at=NOW - timedelta(minutes=1))
    hours, counted = days.read(day, day + timedelta(days=1))
    assert (hours, counted) == ({day + timedelta(hours=3): Tally({"success": 2}, 1.5)}, {day: NOW})


@pytest.mark.differs("bulk update")
def test_days_are_counted_again_from_a_day_on(database: Data) -> None:
    days, first = DayStore(database), datetime(2026, 2, 27, tzinfo=UTC)
    dates = [first + timedelta(days=n) for n in range(4)]
    days.write(dates, {day: Tally({"success": 1}, 1.0) for day in dates}, at=NOW)
    days.forget(dates[2] + timedelta(hours=5))
    assert list(days.read(first, NOW)[1]) == dates[:2]


def test_sample_data_has_one_record_and_one_who_changes_it(database: Data) -> None:
    samples = SampleStore(database)
    assert samples.get() is None
    assert not samples.take_turn("a", now=NOW, until=NOW + timedelta(minutes=1)), "there is nothing to change"
    sample = Sample(state=SampleState.MAKING, by="ada@example.com", at=NOW, database="shop", failing_hour=3)
    samples.begin(sample)
    samples.begin(replace(sample, database="another"))
    assert samples.get() == sample
    samples.note("jobs", "j")
    samples.note("jobs", "j")
    samples.note("connections", "c")
    samples.set_state(SampleState.READY)
    assert samples.get() == replace(sample, state="ready", jobs=("j",), connections=("c",))
    assert samples.take_turn("a", now=NOW, until=NOW + timedelta(minutes=1))
    assert samples.take_turn("a", now=NOW, until=NOW + timedelta(minutes=1)), "its own turn"
    assert not samples.take_turn("b", now=NOW, until=NOW + timedelta(minutes=2))
    samples.end_turn("b")
    assert not samples.take_turn("b", now=NOW, until=NOW + timedelta(minutes=2))
    samples.end_turn("a")
    assert samples.take_turn("b", now=NOW, until=NOW + timedelta(minutes=2))
    assert samples.take_turn("c", now=NOW + timedelta(minutes=2), until=NOW + timedelta(minutes=3)), (
        "whoever was killed is waited for no longer"
    )
    samples.remove()
    assert samples.get() is None


def test_an_acknowledgement_gives_way_to_a_later_failure_only(database: Data) -> None:
    store = AcknowledgementStore(database)
    fields: Document = {"execution_id": "e1", "failed_at": NOW, "by": "ada@example.com", "at": NOW, "note": "known", "dismissed": False}
    later = {**fields, "execution_id": "e2", "failed_at": NOW + timedelta(hours=1)}
    assert store.of_jobs([]) == {}
    assert store.put("a", fields)
    assert store.put("a", {**fields, "note": "changed"}), "the same failure is acknowledged anew"
    assert store.put("a", later)
    assert not store.put("a", fields), "the later one stays"
    assert store.put("b", fields)
    assert {job: row["execution_id"] for job, row in store.of_jobs(["a", "b", "c"]).items()} == {"a": "e2", "b": "e1"}
    assert not store.remove("a", "e1"), "it is about another failure"
    assert store.remove("a", "e2")
    assert set(store.of_jobs(["a", "b"])) == {"b"}


def line(text: str, level: str = "INFO") -> Document:
    return {"timestamp": NOW, "level": level, "message": text}


def test_logs_are_read_in_order_by_number_and_by_a_search(database: Data) -> None:
    logs = LogStore(database)
    chunks = [
        chunk("e", 1, 1, [line("one"), line("two", "ERROR")]),
        chunk("e", 1, 2, [line("three")]),
        chunk("e", 2, 1, [line("\x1b[31mFour\x1b[0m")]),
    ]
    logs.append(chunks[:2])
    logs.append(chunks)
    logs.append([chunk("other", 1, 1, [line("elsewhere")])])
    assert [row["message"] for row in logs.all("e")] == ["one", "two", "three", "\x1b[31mFour\x1b[0m"]
    lines, cursor = logs.read("e", limit=2)
    assert ([row["message"] for row in lines], [row["attempt"] for row in logs.read("e", after=cursor)[0]]) == (["one", "two"], [1, 2])
    window = logs.window("e", -2, 10)
    assert ([row["number"] for row in window.lines], window.first, window.last, window.total) == ([3, 4], 3, 4, 4)
    found, more = logs.search("e", text="FOUR")
    assert ([(row["number"], row["attempt"]) for row in found], more) == ([(4, 2)], False)
    assert [row["message"] for row in logs.search("e", levels=["ERROR"])[0]] == ["two"]
    last = logs.last_of("e", ["ERROR"])
    assert last is not None
    assert (last["message"], last["number"]) == ("two", 2)
    logs.remove(["e"])
    assert list(logs.all("e")) == []
    assert len(list(logs.all("other"))) == 1


def test_an_import_has_one_record_that_is_completed_once(database: Data) -> None:
    imports = ImportStore(database)
    record = ImportRecord(
        id=import_id("crontab:web1:/etc/crontab", "e"),
        source="crontab:web1:/etc/crontab",
        entry="e",
        plan="hash",
        state="making",
        job_id="j",
        name="nightly",
        digest="",
        by="Ada",
        by_id="ada",
        at=NOW,
    )
    assert imports.get(record.id) is None
    assert imports.begin(record)
    assert not imports.begin(replace(record, by="Bert"))
    assert imports.get(record.id) == record
    assert imports.take_over(record, by="Bert", by_id="bert", job_id="k", at=NOW + timedelta(minutes=1))
    assert not imports.take_over(record, by="Cleo", by_id="cleo", job_id="l", at=NOW + timedelta(minutes=1)), "it has changed"
    imports.complete(record.id, job_id="k", name="nightly (web1)", digest="d")
    (done,) = imports.of_source(record.source, 10)
    assert (done.state, done.job_id, done.name, done.digest, done.by) == ("made", "k", "nightly (web1)", "d", "Bert")
    assert imports.of_source("crontab:web2:/etc/crontab", 10) == []
    imports.remove(record.id)
    assert imports.get(record.id) is None
