"""One report, one run or one job that cannot be dealt with holds up no other: in the recorder and in each tick of a node."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.execution.log_store import LogStore
from app.execution.self_pause import SelfPause
from app.executors.base import LogLine
from app.factory import Store, build_node, launch_executor
from app.jobs.dependency_store import DependencyStore
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Job
from app.jobs.shadow_store import ShadowStore
from app.node import recorder as recording
from app.node.recorder import Recorder
from app.notification.channels.mail.channel import compose
from app.notification.outcomes import TellOutcome
from app.notification.texts import about_end, in_english
from app.outbox.carrier import Carrier
from app.queue.execution import Execution
from app.queue.model import Attempt, AttemptError, Outcome, Status, Trigger
from app.queue.store import execution_outbox
from app.scheduling.followers import Followers
from app.scheduling.gathering_store import GatheringStore
from app.services import Services
from app.signals import Signal
from app.validation.terminal import one_line
from tests.builders.attempts import Bench
from tests.builders.engine import make_recorder
from tests.builders.queue import LEASE, Queue, failure, new_execution, success
from tests.builders.scheduling import dispatcher
from tests.integration.executors.test_attempts import bench
from tests.lengths import examples
from tests.support import KINDS, eventually
from tests.unit.executors.test_reports import MESSAGES, TEXTS, VALUES

__all__ = ["bench"]  # the fixture of executors in both isolations

NOW = datetime.now(UTC).timestamp()


class House:
    """A job, runs of it that are claimed, and a recorder over the real database."""

    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.store, self.database, self.services, self.actor, self.clock = store, store.database, services, actor, clock
        self.executions, self.logs, self.jobs = Queue(store.database), LogStore(store.database), DispatchStore(store.database)
        self.job = self.make("j")

    def make(self, name: str, **fields: Any) -> Job:
        body = {"name": name, "template_type": "noop", "overlap": "allow", "concurrency": {"max_instances": 3}, **fields}
        return self.services.jobs.create(self.actor, body)[0]

    def claimed(self, count: int, job: Job | None = None) -> list[Attempt]:
        rows = [new_execution(job or self.job, now=self.clock.now(), triggered_by=Trigger.API) for _ in range(count)]
        self.executions.queue.add([replace(row, max_instances=1_000) for row in rows])
        return self.executions.claim_due(owner="w", now=self.clock.now(), lease=LEASE, limit=count)

    def found(self, attempt: Attempt) -> dict[str, Any]:
        return self.executions.document(attempt.execution_id) or {}

    def log(self, attempt: Attempt) -> list[str]:
        return [line["message"] for line in self.logs.read(attempt.execution_id)[0]]

    @contextmanager
    def recorder(self) -> Iterator[Recorder]:
        made = make_recorder(self.executions, self.clock)
        made.start()
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def refusing(self, collection: str, rule: Mapping[str, Any]) -> Iterator[None]:
        """The database refuses documents of a collection that break a rule."""
        self.database.command("collMod", collection, validator=dict(rule))
        try:
            yield
        finally:
            self.database.command("collMod", collection, validator={})


@pytest.fixture
def house(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, super_admin, clock)


# -- what runs report -------------------------------------------------------------------------------------------------


ERRORS = st.builds(AttemptError, type=TEXTS, message=TEXTS, traceback=TEXTS, permanent=st.just(True))
RESULTS = st.dictionaries(TEXTS, VALUES, max_size=5)
FIGURES = st.dictionaries(TEXTS, st.floats(), max_size=2)
OUTCOMES = st.builds(Outcome, status=st.just(Status.SUCCESS), result=RESULTS, seconds=st.floats(), usage=FIGURES) | st.builds(
    Outcome, status=st.just(Status.FAILED), result=st.none() | RESULTS, error=ERRORS, seconds=st.floats(), usage=FIGURES
)


@effort(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(reports=st.lists(st.tuples(TEXTS, OUTCOMES), min_size=1, max_size=4))
def test_whatever_runs_report_is_written_and_each_of_them_ends(house: House, reports: list[tuple[str, Outcome]]) -> None:
    attempts = house.claimed(len(reports))
    with house.recorder() as recorder:
        for attempt, (text, outcome) in zip(attempts, reports, strict=True):
            recorder.lines(attempt, [LogLine(NOW, "INFO", text)])
            recorder.ended(attempt, outcome)
        assert recorder.flush(60)
    assert {house.found(attempt)["status"] for attempt in attempts} <= {"success", "failed"}
    assert not any((house.found(attempt)["error"] or {}).get("type") == "UnwritableReport" for attempt in attempts)
    for attempt in attempts:
        json.dumps(house.found(attempt)["result"], allow_nan=False)


def test_the_end_says_in_the_log_what_was_replaced(house: House) -> None:
    (attempt,) = house.claimed(1)
    with house.recorder() as recorder:
        recorder.ended(attempt, replace(success(), result={"message": "done", "x": 2**200, "a\0b": 1}))
        assert recorder.flush(60)
    assert house.found(attempt)["result"] == {"message": "done", "x": str(2**200), "a\u2400b": 1}
    (line,) = house.log(attempt)
    assert line.startswith(
        "Values of the result that cannot be stored were replaced: /x is a whole number of more than 64 bits; /a\u2400b had a name"
    )


def test_a_report_that_the_database_refuses_ends_its_own_run_and_no_other(house: House) -> None:
    attempts = house.claimed(4)
    poisoned = attempts[1]
    with house.refusing("job_executions", {"result.message": {"$ne": "poison"}}), house.recorder() as recorder:
        for attempt in attempts:
            recorder.lines(attempt, [LogLine(NOW, "INFO", "a line")])
            message = "poison" if attempt is poisoned else "fine"
            recorder.ended(attempt, replace(success(), result={"message": message, "rows": ["x" * 5_000]}))
        assert recorder.flush(60)
    assert [house.found(one)["status"] for one in attempts] == ["success", "failed", "success", "success"]
    error = house.found(poisoned)["error"]
    assert error["type"] == "UnwritableReport"
    assert "The run ended as success, but its report could not be stored: " in error["message"]
    assert all(house.log(one) == ["a line"] for one in attempts)
    assert all("lease" not in house.found(one) and "slots" not in house.found(one) for one in attempts)


def test_lines_that_the_database_refuses_are_told_and_the_run_ends_as_it_did(house: House) -> None:
    good, bad = house.claimed(2)
    with house.refusing("execution_logs", {"lines.message": {"$ne": "poison"}}), house.recorder() as recorder:
        for attempt, text in ((good, "fine"), (bad, "poison")):
            recorder.lines(attempt, [LogLine(NOW, "INFO", text)])
            recorder.ended(attempt, success())
        assert recorder.flush(60)
    assert [house.found(one)["status"] for one in (good, bad)] == ["success", "success"]
    assert house.log(good) == ["fine"]
    (line,) = house.log(bad)
    assert line.startswith("Some log lines (1) could not be stored: ")


def test_a_run_whose_record_is_damaged_holds_up_no_other(house: House) -> None:
    good, bad = house.claimed(2)
    with house.recorder() as recorder:
        recorder.ended(replace(bad, retry_policy={}, notifications={"on_failure": 5}), failure())
        recorder.ended(good, success())
        assert recorder.flush(60)
    assert house.found(good)["status"] == "success"


def test_a_stop_ends_the_recorder_where_the_database_refuses_everything(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CLOSE_SECONDS", 0.2)
    attempts = house.claimed(3)
    made = make_recorder(house.executions, house.clock)
    made.start()
    monkeypatch.setattr(recording, "is_permanent", lambda error: False)  # as where there is no room left, for ever
    with house.refusing("job_executions", {"never": {"$exists": True}}):
        for attempt in attempts:
            made.ended(attempt, success())
        assert not made.flush(0.2)
        assert made.close(0.2) is False
        assert not made._thread.is_alive()
        made.ended(attempts[0], success())  # blocks nobody
    assert {house.found(one)["status"] for one in attempts} == {"running"}


def test_a_long_log_of_long_lines_has_room_in_its_chunks(house: House) -> None:
    (attempt,) = house.claimed(1)
    with house.recorder() as recorder:
        recorder.lines(attempt, [LogLine(NOW, "INFO", "😀" * 8_000)] * 1_000)
        recorder.ended(attempt, success())
        assert recorder.flush(60)
    assert house.found(attempt)["status"] == "success"
    assert len(house.log(attempt)) == 1_000 or house.logs.window(attempt.execution_id, 1, 1).total == 1_000


# -- what processes send ----------------------------------------------------------------------------------------------


def line(name: str, **fields: Any) -> bytes:
    """A message with any values, as a process could write it."""
    return json.dumps({"message": name, **fields}).encode() + b"\n"


GARBAGE = [
    b"",
    b"\n\n",
    b'[]\n1\nnull\n"log"\n',
    b"[" * 100_000 + b"\n",
    line("Log", text=5) + b'{"message": "Log", "text": "x", "at": 1e400, "level": {}}\n',
    b'{"message": "Log", "text": "\\ud800", "level": null, "at": null}\n',
    line("Log", text="x", level="INFO", at=-1e300),
    line("Progress", done=[1]),
    b'{"message": "Progress", "done": -1e400, "total": "x", "note": {}}\n',
    b'{"message": "Progress", "done": 1' + b"0" * 4000 + b', "total": null, "note": ""}\n',
    line("End", execution_id="x", reusable=1) + line("Begun", execution_id=1) + line("Dropped", execution_id={}) + line("What", x=1),
    b"\xff\xfe\x00\n",
    line("End", seconds=-5, usage=7),
    line("Ended", process_id="p1", status=0, reason=None, usage={}) + line("Ready") + line("StopRun", execution_id="x"),
    line("Log") + line("Begun") + line("TooLate", execution_id=[]) + line("Log", text="x", level="INFO", at=1, more=2),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_a_process_that_sends_garbage_ends_as_it_says_in_the_end(bench: Bench, tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(garbage)
    outcome = bench.outcome(bench.start("misbehave", {"how": "garbage", "file": str(path)}))
    assert (outcome.status, dict(outcome.result or {})) == (Status.SUCCESS, {"message": "sent"})
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


LAST_WORDS: list[dict[str, Any]] = [
    {"result": 5},
    {"result": None},
    {"error": "x"},
    {"error": {"type": 1, "message": [], "extra": 2, "permanent": "yes"}},
    {"error": {"traceback": {"a": 1}}},
    {"cancelled": 1},
    {"result": {"message": {"a": 1}}, "usage": {"cpu_seconds": "x"}},
    {"error": {}, "result": [1]},
    {"result": {"x": math.inf}, "seconds": math.inf, "usage": [1]},
]


@pytest.mark.parametrize("word", LAST_WORDS, ids=range(len(LAST_WORDS)))
def test_a_forged_last_word_is_judged_and_written(bench: Bench, house: House, tmp_path: Path, word: dict[str, Any]) -> None:
    run = f"e{bench._count + 1}"
    path = tmp_path / "garbage"
    path.write_bytes(line("End", execution_id=run, reusable=bench.reused, **word))
    assert bench.start("misbehave", {"how": "garbage", "file": str(path)}) == run
    outcome = bench.outcome(run)
    assert outcome.status in {Status.SUCCESS, Status.FAILED, Status.CANCELLED}
    (attempt,) = house.claimed(1)
    with house.recorder() as recorder:
        recorder.ended(attempt, outcome)
        assert recorder.flush(60)
    found = house.found(attempt)
    assert found["status"] != "running"
    assert (found["error"] or {}).get("type") != "UnwritableReport"
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


@effort(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(messages=st.lists(MESSAGES, max_size=8))
def test_whatever_a_process_sends_the_executor_goes_on(bench: Bench, tmp_path: Path, messages: list[dict[str, Any]]) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in messages))
    assert bench.outcome(bench.start("misbehave", {"how": "garbage", "file": str(path)})).status in set(Status)
    assert bench.outcome(bench.start("noop", {})).status is Status.SUCCESS


@pytest.mark.parametrize("how", ["odd_result", "odd_error", "odd_progress"])
def test_odd_reports_of_a_template_are_kept_and_others_go_on(
    live_services: Services, store: Store, settings: Settings, super_admin: Actor, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KINDS))
    node = build_node(settings, store, live_services, launch_executor(settings))
    node.start()
    try:
        odd, _ = live_services.jobs.create(super_admin, {"name": "odd", "template_type": "misbehave", "parameters": {"how": how}})
        fine, _ = live_services.jobs.create(super_admin, {"name": "fine", "template_type": "noop"})
        runs = [live_services.runs.run_now(super_admin, job.id).id for job in (odd, fine)]
        eventually(lambda: store.database["job_executions"].count_documents({"live": True}) == 0)
        found = [live_services.history.get(super_admin, run) for run in runs]
        assert [one.status for one in found] == ["failed" if how == "odd_error" else "success", "success"]
        lines = [line["message"] for line in live_services.logs.read(super_admin, runs[0])[0]]
        if how == "odd_result":
            assert (found[0].result or {})["x"] == str(2**200)
        if how != "odd_progress":
            assert any(line.startswith("Values of the result that cannot be stored were replaced: ") for line in lines)
    finally:
        node.drain(1)


# -- the ticks of a node ----------------------------------------------------------------------------------------------


class Refusing:
    """Tells everybody but the watchers of one job, where it says something that no store can hold."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, execution: Execution) -> None:
        if execution.job_name == "poison":
            raise ValueError("half \ud800 of a pair, and NUL \0" * 100)
        self.told.append(execution.job_name)


def test_a_notification_whose_error_no_store_can_hold_is_given_up_in_the_end(house: House) -> None:
    told = {"on_success": ["a@example.com"]}
    for name in ("poison", "fine"):
        (attempt,) = house.claimed(1, house.make(name, notifications=told))
        house.executions.finish([(attempt, success(), None)], now=house.clock.now())
    notifier = Refusing()
    deliveries = Carrier(execution_outbox(house.database), TellOutcome(notifier), house.clock)
    for _ in range(TellOutcome.most_tries + 1):
        deliveries.tick()
        house.clock.advance(3601)
    assert notifier.told == ["fine"]
    owed = {row["job_name"]: row.get("owed", []) for row in house.database["job_executions"].find()}
    assert owed["fine"] == []
    assert [(item["what"], item["given_up_at"] is not None) for item in owed["poison"]] == [("notify", True)]


@pytest.mark.parametrize("name", ["a\nBcc: x@example.com", "a\r\n\r\nbody", "half \ud800", "NUL \0", "\u2028", "😀" * 200, ""])
def test_a_mail_can_be_made_of_any_name_and_text(house: House, name: str) -> None:
    error = AttemptError(type=name, message=name)
    execution = new_execution(house.job, now=house.clock.now(), status=Status.FAILED, job_name=name, result={"message": name}, error=error)
    told = about_end(execution, key="k", language="en", public_url="", in_words=in_english, at=house.clock.now())
    assert b"\nBcc:" not in compose(told, ["a@example.com"], {"sender": "j@example.com"}).as_bytes().partition(b"\n\n")[0]
    assert "\n" not in one_line(name)


def test_a_job_that_cannot_be_judged_or_followed_holds_up_no_other(house: House) -> None:
    first = house.make("first", pause_after_failures=1, schedule={"type": "interval", "interval_seconds": 60})
    second = house.make("second", pause_after_failures=1, schedule={"type": "interval", "interval_seconds": 60})
    for job in (first, second):
        house.make(f"after {job.definition.name}", depends_on=[{"job": job.id, "when": "end"}])
        house.clock.advance(1)
        (attempt,) = house.claimed(1, job)
        house.executions.finish([(attempt, failure(), None)], now=house.clock.now(), followed={job.id})
    house.database["dynamic_jobs"].update_one({"_id": first.id}, {"$set": {"schedule": 5}})
    house.database["dynamic_jobs"].update_one({"name": "after first"}, {"$set": {"concurrency": "x"}})
    outbox = execution_outbox(house.database)
    Carrier(outbox, SelfPause(house.executions.history, house.services.jobs, house.services.pausing), house.clock).tick()
    paused = {row["name"] for row in house.database["dynamic_jobs"].find({"paused": {"$ne": None}})}
    assert paused == {"second"}
    followers = Followers(
        jobs=DependencyStore(house.database),
        queue=house.executions.queue,
        shadows=ShadowStore(house.database),
        gatherings=GatheringStore(house.database),
        triggers=house.services.triggers,
        starts=house.executions.limits,
        clock=house.clock,
        queued=Signal(),
        rests=lambda template: False,
    )
    Carrier(outbox, followers, house.clock).tick()
    assert {row["job_name"] for row in house.database["job_executions"].find({"triggered_by": "dependency"})} == {"after second"}


def test_a_job_whose_runs_have_no_room_holds_up_no_other(house: House) -> None:
    every = {
        "schedule": {"type": "interval", "interval_seconds": 60},
        "misfire": {"policy": "all", "grace_seconds": 86_400, "max_catch_up": 10},
    }
    large, fine = house.make("large", **every), house.make("fine", **every)
    house.database["dynamic_jobs"].update_one({"_id": large.id}, {"$set": {"parameters": {"file": "x" * 3_000_000}}})
    house.clock.advance(600)
    engine = dispatcher(house.store, house.services, house.clock)
    engine.tick()
    assert house.database["job_executions"].count_documents({"job_id": fine.id}) == 10
    assert "cannot be stored" in (house.services.jobs.get(house.actor, large.id).schedule_error or "")
    house.clock.advance(60)
    engine.tick()
    assert house.database["job_executions"].count_documents({"job_id": fine.id}) == 11


def test_nobody_waits_for_the_recorder_that_gave_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PENDING_LIMIT", 2)
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.01)
    made = make_recorder(house.executions, house.clock)  # not started: nothing is ever written
    (attempt,) = house.claimed(1)
    done = threading.Event()

    def report() -> None:
        for _ in range(5):
            made.lines(attempt, [LogLine(NOW, "INFO", "x")])
        done.set()

    thread = threading.Thread(target=report)
    thread.start()
    assert not done.wait(0.1)
    made.give_up()
    assert done.wait(60)
    thread.join()


DAMAGE: list[dict[str, Any]] = [
    {"attempts": 5},
    {"attempts": [{}]},
    {"retry_policy": {}},
    {"retry_policy": None},
    {"max_instances": "many"},
    {"overlap": "x"},
    {"timeout_seconds": {}},
    {"parameters": 3},
    {"notifications": {"on_success": 5}},
    {"job_name": 7},
    {"template_type": [1]},
    {"started_at": None, "attempts": None},
    {"rank": 3, "triggered_by": {}},
]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("running", [False, True], ids=["waits", "runs"])
def test_a_damaged_execution_ends_with_the_reason_and_holds_up_no_other(house: House, damage: dict[str, Any], running: bool) -> None:
    rows = [new_execution(house.job, now=house.clock.now(), triggered_by=Trigger.API) for _ in range(3)]
    house.executions.queue.add([replace(row, max_instances=10) for row in rows])
    bad = rows[0].id
    if running:
        house.executions.claim_due(owner="dead", now=house.clock.now(), lease=LEASE, limit=3)
        house.clock.advance(LEASE.total_seconds() + 1)
    house.database["job_executions"].update_one({"_id": bad}, {"$set": damage})
    if running:
        found = {one.execution_id for one in house.executions.claims.find_lost(house.clock.now(), 10)}
    else:
        found = {one.execution_id for one in house.executions.claim_due(owner="w", now=house.clock.now(), lease=LEASE, limit=3)}
    assert found == {row.id for row in rows[1:]}
    ended = house.database["job_executions"].find_one({"_id": bad})
    assert ended is not None
    assert (ended["status"], ended["error"]["type"]) == ("failed", "DamagedRecord")
    assert not {"live", "lease", "slots", "queue_rank"} & ended.keys()


def test_a_preview_that_has_no_room_in_its_request_says_so(house: House, admin: Actor, super_admin: Actor) -> None:
    house.database["approvals"].insert_one({"_id": "a", "filler": "x" * 12_000_000})
    large = {"state": "done", "status": "success", "result": {"message": "y" * 6_000_000}, "error": None}
    kept = house.services.approvals._store_preview("a", large)
    assert kept["error"]["message"] == "The result of the dry run is too large to store with the request"
    assert house.database["approvals"].find_one({"_id": "a"}, {"preview": 1}) == {"_id": "a", "preview": kept}
