"""Changes of who runs after whom that are made at the same moment: no circle is closed, and nobody is kept out for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from app.audit.model import Actor
from app.errors import Conflict, JobwrightError
from app.factory import Store, build_services
from app.jobs import graph
from app.jobs.dependency_store import DependencyStore
from app.jobs.model import Dependency, Job, job_document
from app.jobs.records import Reservation
from app.jobs.registry_store import RegistryStore
from app.services import Services

Change = Callable[[], object]
REFUSED = "/depends_on/0/job: already depends on this job, so the two would wait for each other forever"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no killed one."""
    monkeypatch.setattr(graph, "PATIENCE_SECONDS", 60.0)


class Jobs:
    """Jobs by name, and the ways in which one comes to run after another."""

    def __init__(self, store: Store, services: Services, actor: Actor) -> None:
        self.database, self.services, self.actor = store.database, services, actor
        self.ids: dict[str, str] = {}

    def make(self, name: str, *after: str) -> Job:
        body = {"name": name, "template_type": "noop", "depends_on": [{"job": one} for one in after]}
        job, _ = self.services.jobs.create(self.actor, body)
        self.ids[name] = job.id
        return job

    def get(self, name: str) -> Job:
        return self.services.jobs.get(self.actor, self.ids[name])

    def update(self, name: str, *after: str) -> Job:
        return self.services.jobs.update(self.actor, self.ids[name], {"depends_on": [{"job": one} for one in after]})

    def prepared(self, way: str, name: str, after: str) -> Change:
        """What has `name` run after `after`, by one of the ways to change the graph."""
        jobs, job_id = self.services.jobs, self.ids[name]
        match way:
            case "update":
                return lambda: self.update(name, after)
            case "restore":
                version = self.update(name, after).version
                self.update(name)
                return lambda: jobs.restore(self.actor, job_id, version)
            case "approval":
                asked = job_document(self.update(name, after))
                version = self.update(name).version
                return lambda: jobs.update_approved(self.actor, job_id, asked, version=version)
            case "file":
                text = f'jobwright: 1\njobs: [{{"name": "{name}", "template_type": "noop", "depends_on": [{{"job": "{after}"}}]}}]'
                plan = self.services.exchange.plan(self.actor, text)
                return lambda: self._carried_out(plan)
            case _:
                raise AssertionError(way)

    def _carried_out(self, plan: Any) -> None:
        (step,) = self.services.exchange.carry_out(self.actor, plan).steps
        if step.result != "done":
            raise JobwrightError(step.detail)

    def links(self) -> dict[str, list[str]]:
        rows = self.database["dynamic_jobs"].find({"retired": False})
        return {row["_id"]: [one["job"] for one in row["depends_on"]] for row in rows}

    def check_no_circle(self) -> None:
        TopologicalSorter(self.links()).prepare()  # raises CycleError
        assert self.database["dynamic_jobs"].count_documents({"reserved": {"$exists": True}}) == 0


@pytest.fixture
def jobs(store: Store, services: Services, super_admin: Actor) -> Jobs:
    return Jobs(store, services, super_admin)


class Held:
    """Holds the first change that reaches one of the writes until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        for name in ("update", "bring_back", "retire"):
            monkeypatch.setattr(RegistryStore, name, self._holding(getattr(RegistryStore, name)))

    def _holding(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any, **options: Any) -> Any:
            if options.get("reserved") and not self.reached.is_set():
                self.reached.set()
                assert self.go_on.wait(60)
            return write(*args, **options)

        return held


def outcome(change: Change) -> str:
    try:
        change()
    except JobwrightError as error:
        return str(error.detail)
    return "done"


def both(held: Held, first: Change, second: Change, *, second_waits: bool) -> tuple[str, str]:
    """What becomes of `first`, which is held between its check and its write, and of `second`, which comes in between."""
    found: dict[str, str] = {}
    threads = [threading.Thread(target=lambda: found.update(first=outcome(first)))]
    threads[0].start()
    assert held.reached.wait(60)
    threads.append(threading.Thread(target=lambda: found.update(second=outcome(second))))
    threads[1].start()
    if second_waits:
        threads[1].join(0.2)
        assert threads[1].is_alive(), "the other change is about to be written"
    else:
        threads[1].join(60)
    held.go_on.set()
    for thread in threads:
        thread.join(60)
    return found["first"], found["second"]


@pytest.fixture(params=["the first goes on", "the second goes on"])
def who(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of two changes at once has the higher token."""
    number = count(1) if request.param == "the second goes on" else count(10**9, -1)
    monkeypatch.setattr(graph, "new_token", lambda: f"{next(number):016x}")
    return str(request.param)


WAYS = ("update", "restore", "approval", "file")


@pytest.mark.parametrize("other", WAYS)
@pytest.mark.parametrize("way", WAYS)
def test_of_two_changes_that_close_a_circle_together_one_is_refused(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, way: str, other: str, who: str
) -> None:
    for name in ("a", "b", "c"):
        jobs.make(name)
    jobs.update("c", "b")  # a → (c → b) → a
    first, second = jobs.prepared(way, "a", "c"), jobs.prepared(other, "b", "a")
    found = both(Held(monkeypatch), first, second, second_waits=who == "the first goes on")
    assert found == (("done", REFUSED) if who == "the first goes on" else (REFUSED, "done"))
    jobs.check_no_circle()


@pytest.mark.parametrize("first", ["delete", "update"])
def test_a_job_is_not_deleted_while_another_comes_to_run_after_it(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, first: str, who: str
) -> None:
    jobs.make("a")
    jobs.make("b")
    changes = {
        "delete": lambda: jobs.services.runs.delete_job(jobs.actor, jobs.ids["a"]),
        "update": lambda: jobs.update("b", "a"),
    }
    second = next(name for name in changes if name != first)
    found = both(Held(monkeypatch), changes[first], changes[second], second_waits=who == "the first goes on")
    done = first if who == "the first goes on" else second
    assert found.count("done") == 1
    assert found[done == second] == "done"
    assert jobs.links() == ({jobs.ids["b"]: []} if done == "delete" else {jobs.ids["a"]: [], jobs.ids["b"]: [jobs.ids["a"]]})
    jobs.check_no_circle()


def test_a_new_job_that_runs_after_one_that_is_deleted_meanwhile_is_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.make("a")
    add = RegistryStore.add

    def added_late(*args: Any, **options: Any) -> None:
        jobs.services.runs.delete_job(jobs.actor, jobs.ids["a"])
        add(*args, **options)

    monkeypatch.setattr(RegistryStore, "add", added_late)
    assert outcome(lambda: jobs.make("b", "a")) == "/depends_on/0/job: has been deleted"
    assert jobs.links() == {}


def test_of_a_deletion_and_a_new_job_that_would_run_after_it_one_is_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    a, held, deleted = jobs.make("a"), Held(monkeypatch), who == "the first goes on"
    found = both(held, lambda: jobs.services.runs.delete_job(jobs.actor, a.id), lambda: jobs.make("b", "a"), second_waits=deleted)
    if deleted:
        assert found == ("done", "/depends_on/0/job: has been deleted")
        assert jobs.links() == {}
    else:
        assert found == ("Another job has just been made dependent on this one. Reload the page and check.", "done")
        assert jobs.links() == {a.id: [], jobs.ids["b"]: [a.id]}


@pytest.mark.parametrize("way", WAYS)
def test_a_change_that_stands_in_nobodys_way_waits_for_nobody(jobs: Jobs, monkeypatch: pytest.MonkeyPatch, way: str, who: str) -> None:
    for name in ("a", "b", "c"):
        jobs.make(name)
    first, second = jobs.prepared(way, "a", "c"), jobs.prepared("update", "b", "c")
    assert both(Held(monkeypatch), first, second, second_waits=False) == ("done", "done")
    assert jobs.links() == {jobs.ids["a"]: [jobs.ids["c"]], jobs.ids["b"]: [jobs.ids["c"]], jobs.ids["c"]: []}


def test_who_was_killed_in_the_middle_keeps_nobody_out_and_writes_nothing_later(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "PATIENCE_SECONDS", 0.2)
    jobs.make("a")
    jobs.make("b")
    store, graph_store = RegistryStore(jobs.database), DependencyStore(jobs.database)
    now, before = jobs.services.clock.now(), jobs.get("a")
    highest = Reservation("f" * 16, before.id, (jobs.ids["b"],))
    assert graph_store.reserve(highest, version=before.version, at=now)
    jobs.update("b", "a")
    after = replace(before, version=before.version + 1)
    assert not store.update(before, after, reschedule=False, reserved=highest.token), "one that was only stopped writes nothing either"
    jobs.check_no_circle()
    leaving = Reservation("f" * 16, jobs.make("c").id, leaves=True)
    assert graph_store.reserve(leaving, version=1, at=now)
    jobs.update("a", "c")
    assert not store.retire(jobs.get("c"), by="x", at=now, reserved=leaving.token)


def test_a_dependency_that_is_written_between_two_reads_is_seen(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream, before = jobs.make("a"), jobs.make("b")
    store, now = DependencyStore(jobs.database), jobs.services.clock.now()
    wanted = Reservation("f" * 16, before.id, (upstream.id,))
    assert store.reserve(wanted, version=before.version, at=now)
    definition = replace(before.definition, depends_on=(Dependency(job=upstream.id),))
    after = replace(before, definition=definition, version=before.version + 1)
    find, reads = store._jobs.find, count(1)

    def find_and_write(*args: Any, **options: Any) -> Any:
        if next(reads) == 2:
            assert RegistryStore(jobs.database).update(before, after, reschedule=False, reserved=wanted.token)
        return find(*args, **options)

    monkeypatch.setattr(store, "_jobs", SimpleNamespace(find=find_and_write))
    assert any(store.downstream_of(upstream.id))


@pytest.mark.parametrize("size", [2, 3, 8])
def test_many_processes_at_once_close_no_circle(jobs: Jobs, store: Store, size: int) -> None:
    """Each of `size` services has its job run after the next one's, all at once: at least one of them is refused, and not all."""
    names = [f"j{n}" for n in range(size)]
    for name in names:
        jobs.make(name)
    houses = [Jobs(store, build_services(jobs.services.settings, store, clock=jobs.services.clock), jobs.actor) for _ in names]
    for house in houses:
        house.ids = jobs.ids
    for _ in range(10):
        barrier, found = threading.Barrier(size), list[str]()

        def change(place: int, barrier: threading.Barrier = barrier, found: list[str] = found) -> None:
            barrier.wait()
            found.append(outcome(lambda: houses[place].update(names[place], names[(place + 1) % size])))

        threads = [threading.Thread(target=change, args=(place,)) for place in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jobs.check_no_circle()
        assert found.count("done") == size - 1, found
        for name in names:
            jobs.update(name)


def test_a_deleted_job_that_would_close_a_circle_does_not_come_back(jobs: Jobs) -> None:
    jobs.make("a")
    b = jobs.make("b", "a")
    jobs.services.runs.delete_job(jobs.actor, b.id)
    link = {"depends_on": [{"job": b.id, "when": "success"}]}
    jobs.database["dynamic_jobs"].update_one({"_id": jobs.ids["a"]}, {"$set": link})
    with pytest.raises(Conflict, match="would create a circle"):
        jobs.services.jobs.undelete(jobs.actor, b.id)
