"""Jobs that run after others: what may be named, what an end begins, and that it begins it exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from pymongo.database import Database
from selectolax.lexbor import LexborHTMLParser

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.errors import Conflict, JobwrightError, ValidationFailed
from app.exchange.service import StepAction
from app.factory import Store
from app.jobs.dependency_store import DependencyStore
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import DependsOn, Job
from app.jobs.shadow_store import ShadowStore
from app.mongo import Document
from app.outbox.carrier import Carrier
from app.queue.execution import Execution
from app.queue.model import Outcome, Trigger
from app.queue.store import QueueStore, execution_outbox
from app.scheduling.followers import DEEPEST, MOST_SEEN, Followers, arrive
from app.scheduling.gathering_store import Gathering, GatheringStore
from app.services import Services
from app.signals import Signal
from tests.builders.owing import OWING
from tests.builders.queue import LEASE, Queue, cancelled, failure, new_execution, success, timeout
from tests.conftest import Api

JOBS = "/api/admin/scheduler-jobs"


class Following:
    """Carries out what ends owe to the jobs that follow."""

    def __init__(self, database: Database[Document], handler: Followers, carrier: Carrier[Execution]) -> None:
        self._database, self.handler, self._carrier = database, handler, carrier

    def tick(self) -> int:
        """How many runs were written."""
        before = self._count()
        self._carrier.tick()
        return self._count() - before

    def _count(self) -> int:
        return self._database["job_executions"].count_documents({"triggered_by": "dependency"})


class Chain:
    """Jobs by name, their runs, and the tick that begins what runs after them."""

    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.database, self.services, self.actor, self.clock = store.database, services, actor, clock
        self.executions, self.jobs = Queue(store.database), DispatchStore(store.database)
        self.rests: Callable[[str], bool] = lambda kind: False
        self.ids: dict[str, str] = {}

    def followers(self, database: Database[Document] | None = None) -> Following:
        database = self.database if database is None else database
        followers = Followers(
            jobs=DependencyStore(database),
            queue=QueueStore(database, OWING),
            shadows=ShadowStore(database),
            gatherings=GatheringStore(database),
            triggers=self.services.triggers,
            starts=Queue(database).limits,
            clock=self.clock,
            queued=Signal(),
            rests=lambda template: self.rests(template),
        )
        return Following(self.database, followers, Carrier(execution_outbox(database), followers, self.clock))

    def job(self, name: str, *after: str, when: str = "success", **fields: Any) -> Job:
        body = {"name": name, "template_type": "noop", "depends_on": [{"job": one, "when": when} for one in after], **fields}
        job = self.services.jobs.create(self.actor, body)[0]
        self.ids[name] = job.id
        return job

    def get(self, name: str) -> Job:
        return self.services.jobs.get(self.actor, self.ids[name])

    def end(self, name: str, outcome: Outcome | None = None, *, delay: float | None = None, **fields: Any) -> str:
        """A run of a job from the queue to its end; returns its id."""
        self.clock.advance(1)
        row = new_execution(self.get(name), now=self.clock.now(), triggered_by=Trigger.SCHEDULE, **fields)
        self.executions.queue.add([row])
        self.finish(row.id, outcome, delay=delay)
        return row.id

    def finish(self, execution_id: str, outcome: Outcome | None = None, *, delay: float | None = None) -> None:
        claimed = self.executions.claim_due(owner="w", now=self.clock.now(), lease=LEASE, limit=10)
        mine = next(one for one in claimed if one.execution_id == execution_id)
        ends = [(mine, outcome or success(), delay)]
        assert self.executions.finish(ends, now=self.clock.now(), followed=self.jobs.followed({mine.job_id})) == set()
        others = [one for one in claimed if one is not mine]
        if others:
            self.executions.claims.put_back(others, now=self.clock.now())

    def runs(self, name: str) -> list[Document]:
        where = {"job_id": self.ids[name], "triggered_by": "dependency"}
        return list(self.database["job_executions"].find(where).sort([("queued_at", 1), ("_id", 1)]))

    def causes(self, name: str) -> list[set[str]]:
        return [set(row["caused_by"]) for row in self.runs(name)]


@pytest.fixture
def chain(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> Chain:
    return Chain(store, services, super_admin, clock)


# -- what an end begins -----------------------------------------------------------------------------------------------

ENDS: dict[str, Callable[[], Outcome]] = {"success": success, "failed": failure, "timeout": timeout, "cancelled": cancelled}


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("when", DependsOn)
def test_an_end_begins_what_waits_for_ends_of_its_kind(chain: Chain, when: str, ending: str) -> None:
    chain.job("first")
    chain.job("then", "first", when=when)
    ended = chain.end("first", ENDS[ending]())
    wanted = {"success": {"success"}, "failure": {"failed", "timeout"}, "end": {"success", "failed", "timeout"}}[when]
    assert chain.followers().tick() == (ending in wanted)
    assert chain.causes("then") == ([{ended}] if ending in wanted else [])
    for row in chain.runs("then"):
        assert (row["status"], row["triggered_by"], row["depth"], row["live"]) == ("queued", "dependency", 1, True)
    assert chain.followers().tick() == 0
    assert chain.database["job_executions"].count_documents({"owed": {"$exists": True}}) == 0


def test_what_is_to_be_tried_again_has_not_ended_yet(chain: Chain) -> None:
    chain.job("first")
    chain.job("then", "first", when="failure")
    chain.end("first", failure(), delay=60.0)
    assert chain.followers().tick() == 0
    assert chain.runs("then") == []


def test_previews_and_backfills_begin_nothing(chain: Chain) -> None:
    chain.job("first")
    chain.job("then", "first")
    chain.end("first", dry=True)
    chain.end("first", stands_for=chain.clock.now() - timedelta(days=3))
    assert chain.followers().tick() == 0
    assert chain.runs("then") == []


def test_a_lost_worker_that_is_not_tried_again_is_a_failure_that_others_wait_for(chain: Chain) -> None:
    job = chain.job("first", retry_policy={"max_retries": 0})
    chain.job("then", "first", when="failure")
    row = new_execution(job, now=chain.clock.now(), triggered_by=Trigger.SCHEDULE)
    chain.executions.queue.add([row])
    (attempt,) = chain.executions.claim_due(owner="w", now=chain.clock.now(), lease=LEASE, limit=1)
    chain.clock.advance(LEASE.total_seconds() + 1)
    assert chain.executions.end_lost(attempt, failure(), None, now=chain.clock.now(), followed=chain.jobs.followed({job.id}))
    assert chain.followers().tick() == 1
    assert chain.causes("then") == [{row.id}]


def test_a_chain_goes_on_to_its_end(chain: Chain) -> None:
    chain.job("a")
    for before, name in (("a", "b"), ("b", "c"), ("c", "d")):
        chain.job(name, before)
    ended = chain.end("a")
    for depth, name in enumerate("bcd", 1):
        assert chain.followers().tick() == 1
        (row,) = chain.runs(name)
        assert (row["caused_by"], row["depth"]) == ([ended], depth)
        ended = row["_id"]
        chain.finish(ended)
    assert chain.followers().tick() == 0


def test_one_end_begins_all_that_wait_for_it(chain: Chain) -> None:
    chain.job("first")
    names = [f"then {n}" for n in range(30)]
    for name in names:
        chain.job(name, "first")
    ended = chain.end("first")
    assert chain.followers().tick() == 30
    assert all(chain.causes(name) == [{ended}] for name in names)


def test_several_are_waited_for_and_count_once(chain: Chain) -> None:
    for name in ("a", "b", "c"):
        chain.job(name)
    chain.job("then", "a", "b", "c")
    chain.end("a")
    newest, b = chain.end("a"), chain.end("b")
    assert chain.followers().tick() == 0
    assert chain.services.gathered(chain.ids["then"]) == {chain.ids["a"]: newest, chain.ids["b"]: b}
    c = chain.end("c")
    assert chain.followers().tick() == 1
    assert chain.causes("then") == [{newest, b, c}], "of two ends of the same job the newest counts"
    chain.end("a")
    chain.end("b", failure())
    assert chain.followers().tick() == 0, "what has been used does not count again"
    chain.end("b")
    chain.end("c")
    assert chain.followers().tick() == 1


def test_a_job_that_is_waited_for_no_more_does_not_hold_the_others_up(chain: Chain) -> None:
    for name in ("a", "b", "c"):
        chain.job(name)
    job = chain.job("then", "a", "b", "c")
    chain.end("a")
    chain.end("c")
    chain.followers().tick()
    chain.services.jobs.update(chain.actor, job.id, {"depends_on": [{"job": "a"}, {"job": "b"}]})
    b = chain.end("b")
    assert chain.followers().tick() == 1
    assert b in chain.causes("then")[0]
    assert len(chain.causes("then")[0]) == 2


def test_what_a_job_ran_for_alone_does_not_count_again_once_it_waits_for_two(chain: Chain) -> None:
    for name in ("a", "b"):
        chain.job(name)
    job = chain.job("then", "a", "b")
    both = {"depends_on": [{"job": "a"}, {"job": "b"}]}
    chain.end("a")
    chain.followers().tick()
    chain.services.jobs.update(chain.actor, job.id, {"depends_on": [{"job": "a"}]})
    chain.end("a")
    assert chain.followers().tick() == 1
    chain.services.jobs.update(chain.actor, job.id, both)
    chain.end("b")
    assert chain.followers().tick() == 0
    chain.end("a")
    assert chain.followers().tick() == 1


# -- what keeps it from running ---------------------------------------------------------------------------------------


def test_a_job_that_is_off_is_left_alone(chain: Chain) -> None:
    chain.job("first")
    chain.job("then", "first", enabled=False)
    chain.end("first")
    assert chain.followers().tick() == 0
    assert chain.runs("then") == []


def test_a_paused_job_says_what_it_let_go_by_and_runs_after_the_pause(chain: Chain) -> None:
    chain.job("first")
    job = chain.job("then", "first")
    until = chain.clock.now() + timedelta(hours=1)
    chain.services.pausing.pause(chain.actor, job.id, {"reason": "holidays", "until": until.isoformat()})
    chain.end("first")
    assert chain.followers().tick() == 1
    assert [(row["status"], row["reason"]) for row in chain.runs("then")] == [("skipped", "paused")]
    chain.clock.advance(3600)
    chain.end("first")
    chain.followers().tick()
    assert [row["status"] for row in chain.runs("then")] == ["skipped", "queued"]
    paused_again = chain.services.pausing.pause(chain.actor, job.id, {"reason": "for good"})
    assert paused_again.paused is not None
    moved = chain.services.jobs.update(chain.actor, job.id, {"schedule": {"type": "manual", "jitter_seconds": 5}})
    assert moved.paused is not None, "another schedule does not end the pause of a job that others start"
    assert chain.services.pausing.resume(chain.actor, job.id).paused is None


def test_the_dispatcher_ends_the_pause_of_a_job_that_is_never_due(chain: Chain) -> None:
    from app.scheduling.dispatcher import Dispatcher

    chain.job("first")
    job = chain.job("then", "first")
    until = chain.clock.now() + timedelta(minutes=1)
    chain.services.pausing.pause(chain.actor, job.id, {"reason": "x", "until": until.isoformat()})
    chain.clock.advance(61)
    dispatcher = Dispatcher(
        jobs=chain.jobs,
        queue=chain.executions.queue,
        shadows=ShadowStore(chain.database),
        triggers=chain.services.triggers,
        clock=chain.clock,
        events=chain.services.events,
        starts=chain.executions.limits,
    )
    dispatcher.tick()
    found = chain.get("then")
    assert (found.paused, found.next_run_at, found.schedule_error) == (None, None, None)
    assert chain.database["job_executions"].count_documents({}) == 0


def test_blackouts_and_switched_off_templates_are_kept_to(chain: Chain) -> None:
    chain.services.calendars.create(
        chain.actor, "closed", {"timezone": "UTC", "weekly": [{"days": ["mon"], "from": "11:00", "to": "13:00"}]}
    )
    chain.job("first")
    chain.job("in blackout", "first", schedule={"type": "manual", "calendars": ["closed"]})
    chain.job("free", "first")
    chain.end("first")
    chain.followers().tick()
    assert [(row["status"], row["reason"]) for row in chain.runs("in blackout")] == [("skipped", "blackout")]
    assert [row["status"] for row in chain.runs("free")] == ["queued"]
    chain.rests = lambda kind: kind == "noop"
    chain.end("first")
    chain.followers().tick()
    assert chain.runs("free")[-1]["reason"] == "template_off"


def test_a_job_that_replaces_its_runs_stops_the_old_one_and_not_the_new(chain: Chain) -> None:
    chain.job("first")
    chain.job("then", "first", overlap="replace")
    chain.end("first")
    chain.followers().tick()
    chain.end("first")
    chain.followers().tick()
    assert [(row["status"], row["reason"]) for row in chain.runs("then")] == [("cancelled", "replaced"), ("queued", None)]


def test_a_job_that_skips_overlaps_is_skipped_at_its_claim(chain: Chain) -> None:
    chain.job("first")
    job = chain.job("then", "first", overlap="skip")
    chain.executions.queue.add([new_execution(job, now=chain.clock.now(), triggered_by=Trigger.MANUAL)])
    assert len(chain.executions.claim_due(owner="w", now=chain.clock.now(), lease=LEASE, limit=1)) == 1
    chain.end("first")
    chain.followers().tick()
    assert chain.executions.claim_due(owner="w", now=chain.clock.now(), lease=LEASE, limit=5) == []
    assert [(row["status"], row["reason"]) for row in chain.runs("then")] == [("skipped", "overlap")]


@pytest.mark.parametrize("between", [1, 2, 3])
def test_a_circle_that_the_database_holds_comes_to_an_end_at_once(chain: Chain, between: int) -> None:
    chain.job("a", overlap="allow", concurrency={"max_instances": 3})
    links = [{"job": chain.job(f"b{n}", "a", overlap="allow").id, "when": "success"} for n in range(between)]
    chain.database["dynamic_jobs"].update_one({"_id": chain.ids["a"]}, {"$set": {"depends_on": links[:1]}})
    chain.end("a")
    for _ in range(5):
        chain.followers().tick()
        for live in list(chain.database["job_executions"].find({"live": True})):
            chain.clock.advance(1)
            chain.finish(live["_id"])
    assert [row["status"] for n in range(between) for row in chain.runs(f"b{n}")] == ["success"] * between
    (last,) = chain.database["job_executions"].find({"reason": "circle"})
    assert (last["job_name"], last["status"], last["depth"]) == ("a", "skipped", 2)
    assert chain.followers().tick() == 0


def test_a_job_that_depends_on_itself_in_the_database_runs_once(chain: Chain) -> None:
    chain.job("a")
    chain.database["dynamic_jobs"].update_one({"_id": chain.ids["a"]}, {"$set": {"depends_on": [{"job": chain.ids["a"], "when": "end"}]}})
    chain.end("a")
    assert chain.followers().tick() == 1
    assert [(row["status"], row["reason"]) for row in chain.runs("a")] == [("skipped", "circle")]


def test_more_than_a_hundred_runs_do_not_begin_one_another(chain: Chain) -> None:
    chain.job("first")
    chain.job("then", "first")
    row = new_execution(chain.get("first"), now=chain.clock.now(), triggered_by=Trigger.SCHEDULE)
    chain.executions.queue.add([replace(row, caused_by=("x",), line=tuple(str(n) for n in range(DEEPEST)))])
    chain.finish(row.id)
    chain.followers().tick()
    assert [one["reason"] for one in chain.runs("then")] == ["circle"]


# -- exactly once -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: no `except Exception` sees it."""


class Deadly:
    """Counts the operations on a database and ends the process before or after one of them."""

    def __init__(self, database: Database[Document], at: int, *, before: bool) -> None:
        self._database, self._left, self._before = database, at, before
        self.struck = False

    def __getitem__(self, name: str) -> Any:
        return DeadlyCollection(self, self._database[name])

    def step(self, work: Callable[[], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and self._before:
            self.struck = True
            raise Killed
        found = work()
        if self._left == 0:
            self.struck = True
            raise Killed
        return found


class DeadlyCollection:
    """Every method that talks to the server is a step."""

    def __init__(self, deadly: Deadly, collection: Any) -> None:
        self._deadly, self._collection = deadly, collection

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._collection, name)
        if name in {"insert_one", "update_one", "update_many", "replace_one", "find_one", "find_one_and_update", "delete_one"}:
            return lambda *args, **options: self._deadly.step(lambda: found(*args, **options))
        return found


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("after", [("a",), ("a", "b")], ids=["of one", "of two"])
def test_killed_at_any_operation_an_end_still_begins_exactly_one_run(chain: Chain, after: tuple[str, ...], before: bool) -> None:
    for name in after:
        chain.job(name)
    chain.job("then", *after)
    steps = 0
    while True:
        steps += 1
        ended = {chain.end(name) for name in after}
        deadly = Deadly(chain.database, steps, before=before)
        try:
            chain.followers(deadly).tick()  # type: ignore[arg-type]  # it stands for a database
        except Killed:
            chain.followers().tick()
            chain.clock.advance(Followers.claim_for.total_seconds() + 1)  # what the dead node had claimed is due again
        chain.followers().tick()
        assert chain.causes("then").count(ended) == 1, f"killed at operation {steps}"
        assert len(chain.runs("then")) == steps
        if not deadly.struck:
            break
        chain.database["job_executions"].update_many(
            {"live": True}, {"$set": {"status": "success"}, "$unset": {"live": "", "queue_rank": ""}}
        )
    assert steps > 2


def test_many_nodes_at_once_begin_each_run_once(chain: Chain) -> None:
    for name in ("a", "b"):
        chain.job(name)
    chain.job("one", "a", overlap="allow")
    chain.job("both", "a", "b", overlap="allow")
    ended = []
    for _ in range(40):
        ended.append((chain.end("a"), chain.end("b")))
    barrier = threading.Barrier(8)

    def node() -> None:
        ticker = chain.followers()
        barrier.wait()
        while chain.database["job_executions"].count_documents({"owed": {"$exists": True}}):
            ticker.tick()

    threads = [threading.Thread(target=node) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(next(iter(one)) for one in chain.causes("one")) == Counter(a for a, _ in ended)
    used = Counter(one for pair in chain.causes("both") for one in pair)
    assert set(used.values()) == {1}, "an end counts for one run"
    assert 1 <= len(chain.causes("both")) <= 40


def test_an_end_is_taken_in_once_however_often_it_is_told() -> None:
    once = arrive(Gathering(), {"a", "b"}, "a", "1")
    assert arrive(once, {"a", "b"}, "a", "1") is once
    both = arrive(once, {"a", "b"}, "b", "2")
    assert (both.arrived, both.owed) == ({}, (("1", "2"),))
    assert arrive(both, {"a", "b"}, "a", "1") is both
    for number in range(MOST_SEEN):
        both = arrive(both, {"a", "b"}, "a", f"later {number}")
    assert len(both.seen) == MOST_SEEN


# -- what may be named ------------------------------------------------------------------------------------------------


def errors_of(call: Callable[[], Any]) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        call()
    return {one.pointer: str(one.message) for one in caught.value.errors}


def test_a_job_is_named_by_name_or_id_and_stored_by_id(chain: Chain) -> None:
    first, second = chain.job("first"), chain.job("second")
    job = chain.job("then", "first", second.id)
    assert [one.job for one in job.definition.depends_on] == [first.id, second.id]
    chain.services.jobs.update(chain.actor, first.id, {"name": "renamed"})
    assert [one.name for one in chain.services.dependencies.upstream(chain.actor, job)] == ["renamed", "second"]
    assert [one.name for one in chain.services.dependencies.dependants(chain.actor, first.id)] == ["then"]


def test_what_cannot_be_depended_on_is_told_with_all_else_that_is_wrong(chain: Chain) -> None:
    chain.job("first")
    body = {"name": "x", "template_type": "noop", "parameters": {"seconds": "no"}, "depends_on": [{"job": "nobody"}, {"job": "x"}]}
    found = errors_of(lambda: chain.services.jobs.create(chain.actor, body))
    assert found["/depends_on/0/job"] == "is not the name of a job: 'nobody'"
    assert "/parameters/seconds" in found
    twice = {"name": "x", "template_type": "noop", "depends_on": [{"job": "first"}, {"job": chain.ids["first"], "when": "end"}]}
    assert errors_of(lambda: chain.services.jobs.create(chain.actor, twice)) == {"/depends_on/1/job": "is listed twice"}
    for rows, where in (
        ([{"job": "first", "when": "never"}], "/depends_on/0/when"),
        ([{"when": "end"}], "/depends_on/0/job"),
        ("first", "/depends_on"),
    ):
        body = {"name": "x", "template_type": "noop", "depends_on": rows}
        assert list(errors_of(lambda body=body: chain.services.jobs.create(chain.actor, body))) == [where]  # type: ignore[misc]
    many = [{"job": f"j{n}"} for n in range(21)]
    assert "/depends_on" in errors_of(
        lambda: chain.services.jobs.create(chain.actor, {"name": "x", "template_type": "noop", "depends_on": many})
    )


def test_circles_are_refused_and_named(chain: Chain) -> None:
    chain.job("a")
    chain.job("b", "a")
    chain.job("c", "b")
    itself = errors_of(lambda: chain.services.jobs.update(chain.actor, chain.ids["a"], {"depends_on": [{"job": "a"}]}))
    assert itself == {"/depends_on/0/job": "must not be the job itself"}
    found = errors_of(lambda: chain.services.jobs.update(chain.actor, chain.ids["a"], {"depends_on": [{"job": "c"}]}))
    assert found == {"/depends_on/0/job": "creates a circle of dependencies: a → c → b → a"}


def test_a_version_whose_dependencies_are_wrong_by_now_is_not_restored(chain: Chain) -> None:
    chain.job("a")
    b = chain.job("b", "a")
    chain.services.jobs.update(chain.actor, b.id, {"depends_on": []})
    chain.services.jobs.update(chain.actor, chain.ids["a"], {"depends_on": [{"job": "b"}]})
    found = errors_of(lambda: chain.services.jobs.restore(chain.actor, b.id, 1))
    assert found == {"/depends_on/0/job": "already depends on this job, so the two would wait for each other forever"}
    chain.services.runs.delete_job(chain.actor, chain.ids["a"])
    assert errors_of(lambda: chain.services.jobs.restore(chain.actor, b.id, 1)) == {"/depends_on/0/job": "has been deleted"}


def test_a_job_that_others_depend_on_is_not_deleted(chain: Chain) -> None:
    chain.job("first")
    then = chain.job("then", "first")
    with pytest.raises(Conflict, match="1 job depends on this job and would never start again: 'then'"):
        chain.services.runs.delete_job(chain.actor, chain.ids["first"])
    chain.services.runs.delete_job(chain.actor, then.id)
    chain.services.runs.delete_job(chain.actor, chain.ids["first"])
    back = chain.services.jobs.undelete(chain.actor, then.id)
    (link,) = chain.services.dependencies.upstream(chain.actor, back)
    assert (link.gone, link.name) == (True, None)


def test_whoever_is_kept_to_groups_names_jobs_of_theirs_alone(chain: Chain, services: Services) -> None:
    user = services.accounts.create_user(SYSTEM, email="north@example.com", password="a long one for the north", role=Role.ADMIN)
    kept = Actor(id=user.id, email=user.email, role="admin", via="api", groups=frozenset({"north"}))
    chain.job("south", group="south")
    chain.job("north", group="north")
    mixed = chain.job("mixed", "south", "north", group="north")
    foreign = errors_of(
        lambda: services.jobs.create(kept, {"name": "x", "template_type": "noop", "group": "north", "depends_on": [{"job": "south"}]})
    )
    assert foreign == {"/depends_on/0/job": "is not the name of a job: 'south'"}
    by_id = {"name": "x", "template_type": "noop", "group": "north", "depends_on": [{"job": chain.ids["south"]}]}
    assert errors_of(lambda: services.jobs.create(kept, by_id)) == {
        "/depends_on/0/job": f"is not the name of a job: {chain.ids['south']!r}"
    }
    assert [one.name for one in services.dependencies.upstream(kept, mixed)] == [None, "north"]
    changed = services.jobs.update(kept, mixed.id, {"description": "what it named before stays"})
    assert len(changed.definition.depends_on) == 2
    shown = services.dependencies.with_names(kept, [{"job": chain.ids["south"]}, {"job": chain.ids["north"]}])
    assert shown == [{"job": chain.ids["south"]}, {"job": "north"}]


# -- other faces ------------------------------------------------------------------------------------------------------


def test_rest_takes_names_and_gives_ids_and_both_sides(api: Api, chain: Chain) -> None:
    first = api("POST", JOBS, {"name": "first", "template_type": "noop"}).json["job"]
    made = api("POST", JOBS, {"name": "then", "template_type": "noop", "depends_on": [{"job": "first"}]})
    assert made.status_code == 201
    job = made.json["job"]
    assert job["depends_on"] == [{"job": first["_id"], "when": "success"}]
    again = api("PUT", f"{JOBS}/{job['_id']}", {"depends_on": job["depends_on"]})
    assert again.status_code == 200
    sides = api("GET", f"{JOBS}/{job['_id']}/dependencies").json
    assert sides == {
        "depends_on": [{"job": first["_id"], "when": "success", "name": "first", "last_status": None, "execution": None}],
        "dependants": [],
    }
    sides = api("GET", f"{JOBS}/{first['_id']}/dependencies").json
    assert [one["name"] for one in sides["dependants"]] == ["then"]
    refused = api("DELETE", f"{JOBS}/{first['_id']}")
    assert (refused.status_code, "'then'" in refused.json["detail"]) == (409, True)
    assert api("GET", f"{JOBS}/nobody/dependencies").status_code == 404


def test_pages_show_both_sides_and_the_form_takes_names(browser_client: FlaskClient, chain: Chain) -> None:
    for name in ("a", "b"):
        chain.job(name)
    then = chain.job("then", "a", "b")
    ended = chain.end("a")
    chain.followers().tick()

    def page(address: str) -> LexborHTMLParser:
        answer = browser_client.get(address)
        assert answer.status_code == 200
        return LexborHTMLParser(answer.get_data(as_text=True))

    def words(found: LexborHTMLParser, selector: str) -> str:
        node = found.css_first(selector)
        assert node is not None, selector
        return " ".join(node.text().split())

    said = words(page(f"/jobs/{then.id}"), "#dependencies")
    assert "a once it has succeeded" in said
    assert "Finished; waiting for the other jobs" in said
    assert "Runs afterwards then once it has succeeded" in words(page(f"/jobs/{chain.ids['a']}"), "#dependencies")
    assert "after a, b" in words(page("/jobs"), f"#job-{then.id}")
    chain.end("b")
    chain.followers().tick()
    (run,) = chain.runs("then")
    assert "then" in words(page(f"/executions/{ended}"), "#effects")
    assert "a" in words(page(f"/executions/{run['_id']}"), "#causes")

    edit = page(f"/jobs/{then.id}/edit")
    form = edit.css_first("#job-form")
    assert form is not None
    fields = [
        (node.attributes["name"], node.attributes.get("value") or "")
        for node in form.css("input[name]")
        if node.attributes.get("type") not in {"checkbox", "radio"} or "checked" in node.attributes
    ]
    assert {"a", "b"} <= {value for _, value in fields}


def test_a_file_names_jobs_and_makes_them_in_the_order_that_they_need(chain: Chain, services: Services, super_admin: Actor) -> None:
    text = """
jobwright: 1
jobs:
- name: last
  template_type: noop
  depends_on: [{job: middle, when: end}]
- name: middle
  template_type: noop
  depends_on: [{job: first}]
- name: first
  template_type: noop
"""
    plan = services.exchange.plan(super_admin, text)
    assert plan.valid, [step.errors for step in plan.steps]
    assert [step.result for step in services.exchange.carry_out(super_admin, plan).steps] == ["done"] * 3
    again = services.exchange.plan(super_admin, text)
    assert [step.action for step in again.steps] == ["unchanged"] * 3
    out = services.exchange.export(super_admin, "yaml")
    assert "job: middle" in out
    assert services.exchange.plan(super_admin, out).count(StepAction.KEEP) == 3
    gone = services.exchange.apply(super_admin, "jobwright: 1\njobs: []\n", prune=True)
    assert [(step.name, step.result) for step in sorted(gone.steps, key=lambda one: one.name)] == [
        ("first", "done"),
        ("last", "done"),
        ("middle", "done"),
    ]


def test_a_file_of_a_circle_is_refused_whole(services: Services, super_admin: Actor) -> None:
    text = """
jobwright: 1
jobs:
- {name: a, template_type: noop, depends_on: [{job: b}]}
- {name: b, template_type: noop, depends_on: [{job: a}]}
- {name: c, template_type: noop}
"""
    plan = services.exchange.plan(super_admin, text)
    assert [step.action for step in plan.steps] == ["invalid", "invalid", "create"]
    assert "creates a circle of dependencies" in str(plan.steps[0].errors[0].message)
    with pytest.raises(JobwrightError):
        services.exchange.carry_out(super_admin, plan)


def test_a_file_may_turn_an_order_round_but_take_nothing_away_that_others_wait_for(services: Services, super_admin: Actor) -> None:
    first = "jobwright: 1\njobs:\n- {name: a, template_type: noop}\n- {name: b, template_type: noop, depends_on: [{job: a}]}\n"
    services.exchange.apply(super_admin, first)
    turned = "jobwright: 1\njobs:\n- {name: a, template_type: noop, depends_on: [{job: b}]}\n- {name: b, template_type: noop}\n"
    done = services.exchange.apply(super_admin, turned)
    assert [(step.name, step.result) for step in done.steps] == [("a", "done"), ("b", "done")]
    services.jobs.create(super_admin, {"name": "by hand", "template_type": "noop", "depends_on": [{"job": "a"}]})
    plan = services.exchange.plan(super_admin, "jobwright: 1\njobs: []\n", prune=True)
    assert [(step.name, step.action) for step in plan.steps] == [("a", "invalid"), ("b", "delete")]
    assert str(plan.steps[0].errors[0].message) == "cannot be deleted while other jobs depend on it: by hand"
    found = errors_of(lambda: services.exchange.carry_out(super_admin, plan))
    assert found == {"/jobs": "a cannot be deleted while other jobs depend on it: by hand"}
    round_about = "jobwright: 1\njobs:\n- {name: b, template_type: noop, depends_on: [{job: by hand}]}\n"
    plan = services.exchange.plan(super_admin, round_about)
    assert "creates a circle of dependencies" in str(plan.steps[0].errors[0].message)
