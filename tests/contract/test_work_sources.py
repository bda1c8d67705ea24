"""What every source of work promises (app.node.work_source): each execution that waits goes to one worker, and none is lost."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.node.work_source import PollSource, PushedSource, WorkSource
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, Status
from app.queue.slots import RunBounds
from app.services import Services
from tests.builders.lines import OVER_CELERY, Line, LineMaker, Lines, forget_hints
from tests.builders.queue import LEASE, Queue, enqueue, failure, make_job, success

HOUR = timedelta(hours=1)


class Worker:
    """One worker with a source of its own. `announce` is what makes executions known to it beside the queue itself."""

    def __init__(self, house: House, owner: str, bounds: RunBounds | None, line: Line | None) -> None:
        claims = house.queue.worker(owner, bounds=bounds)
        self.source = house.kind(claims, house.clock)  # type: ignore[call-arg]  # each is made of these two
        self._queue, self._clock, self._owner, self._line, self._lines = house.queue, house.clock, owner, line, house.lines
        if line is not None:
            assert isinstance(self.source, PushedSource)
            line.lead_to(self.source)

    def announce(self, execution_ids: Iterable[str]) -> None:
        if self._lines is not None and self._line is not None:
            self._lines.announce(self._line, execution_ids)
        elif isinstance(self.source, PushedSource):
            for execution_id in execution_ids:
                self.source.push(execution_id)

    def take(self, limit: int = 10, *, until: datetime | None = None) -> list[str]:
        """The executions that it is given."""
        return [attempt.execution_id for attempt in self.attempts(limit, until=until)]

    def attempts(self, limit: int = 10, *, until: datetime | None = None) -> list[Attempt]:
        return self.source.take(limit, until=until)

    def finish(self, attempts: Sequence[Attempt]) -> None:
        """All of them succeed."""
        now = self._clock.now()
        assert self._queue.finish([(attempt, success(), None) for attempt in attempts], now=now, owner=self._owner) == set()


class House:
    """A registry with jobs, whose executions are put into the queue and announced to workers. With `lines` a broker carries that."""

    def __init__(
        self, kind: type[WorkSource], store: Store, services: Services, actor: Actor, clock: ManualClock, lines: Lines | None = None
    ) -> None:
        self.kind, self.queue, self.clock, self.lines = kind, Queue(store.database), clock, lines
        self._services, self._actor = services, actor
        self._workers: list[Worker] = []

    def worker(self, owner: str = "w1", *, bounds: RunBounds | None = None) -> Worker:
        worker = Worker(self, owner, bounds, self.lines.line(len(self._workers)) if self.lines is not None else None)
        self._workers.append(worker)
        return worker

    def put(self, count: int = 1, *, of: str = "job", each: bool = False, **fields: Any) -> list[str]:
        """Executions of one new job, or `each` of a new job of its own, known to all workers."""
        names = [f"{of} {number}" for number in range(count)] if each else [of]
        ids: list[str] = []
        for name in names:
            job = make_job(self._services, self._actor, name=name, **{"overlap": "queue", **fields})
            ids += enqueue(self.queue, job, self.clock, 1 if each else count)
            self.clock.advance(1)
        for worker in self._workers:
            worker.announce(ids)
        return ids

    def statuses(self, ids: Sequence[str]) -> list[str]:
        return [(self.queue.document(execution_id) or {})["status"] for execution_id in ids]


SOURCES: dict[str, type[WorkSource]] = {"poll": PollSource, "pushed": PushedSource}
PUSHED = ["pushed", *OVER_CELERY]


@pytest.fixture
def make_house(store: Store, services: Services, super_admin: Actor, clock: ManualClock, line_maker: LineMaker) -> Callable[[str], House]:
    """Makes a house whose workers have sources of this kind."""

    def make(kind: str) -> House:
        return House(SOURCES.get(kind, PushedSource), store, services, super_admin, clock, line_maker(kind))

    return make


@pytest.fixture(params=["poll", *PUSHED])
def house(request: pytest.FixtureRequest, make_house: Callable[[str], House]) -> House:
    return make_house(request.param)


def test_every_source_is_tested_here() -> None:
    assert {kind for kind in WorkSource.__subclasses__() if not inspect.isabstract(kind)} == set(SOURCES.values())


def test_what_waits_is_given_claimed_and_no_more_than_was_asked_for(house: House) -> None:
    worker = house.worker()
    ids = house.put(5, each=True)
    attempts = worker.attempts(3)
    assert [attempt.execution_id for attempt in attempts] == ids[:3], "those that have waited longest come first"
    assert [(attempt.number, attempt.token) for attempt in attempts] == [(1, 1)] * 3
    assert house.statuses(ids) == ["running"] * 3 + ["queued"] * 2
    assert worker.take() == ids[3:]
    assert worker.take() == []
    worker.finish(attempts)
    assert worker.take() == []


def test_what_does_not_wait_is_not_given(house: House) -> None:
    """It has ended, was cancelled, or its time has not come."""
    worker, other = house.worker(), house.worker("w2")
    cancelled, ended, later = house.put(3, each=True)
    house.queue.queue.ask_cancel(cancelled, by="ada", now=house.clock.now())
    house.queue.database["job_executions"].update_one({"_id": later}, {"$set": {"available_at": house.clock.now() + HOUR}})
    other.finish(other.attempts())
    assert house.statuses([cancelled, ended, later]) == ["cancelled", "success", "queued"]
    assert worker.take() == []
    house.clock.advance(HOUR.total_seconds())
    worker.announce([later])
    assert worker.take() == [later]


def test_an_attempt_that_is_tried_again_is_given_with_its_next_number(house: House) -> None:
    worker = house.worker()
    (execution_id,) = house.put()
    (attempt,) = worker.attempts()
    house.queue.finish([(attempt, failure(), 60.0)], now=house.clock.now())
    worker.announce([execution_id])
    assert worker.take() == []
    house.clock.advance(60)
    worker.announce([execution_id])
    (attempt,) = worker.attempts()
    assert (attempt.number, attempt.token, attempt.failed_attempts) == (2, 2, 2)


def test_no_execution_is_given_to_two_workers(house: House) -> None:
    workers = [house.worker(f"w{number}") for number in range(4)]
    ids = house.put(60, each=True)
    given: list[list[str]] = [[] for _ in workers]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            empty = 0
            while empty < 3:
                got = workers[number].take(3)
                given[number] += got
                empty = 0 if got else empty + 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(execution_id for got in given for execution_id in got) == sorted(ids)


def test_none_is_given_from_the_end_of_the_permit_on(house: House) -> None:
    """`until` is by the clock of the database, whatever the worker's own says."""
    worker = house.worker()
    ids = house.put(2, each=True)
    assert worker.take(until=datetime.now(UTC) - timedelta(seconds=5)) == []
    assert house.statuses(ids) == ["queued", "queued"]
    worker.announce(ids)
    assert worker.take(until=datetime.now(UTC) + HOUR) == ids


def test_bounds_hold_and_what_found_no_slot_is_given_later(house: House) -> None:
    worker, other = (house.worker(owner, bounds=RunBounds(overall=3)) for owner in ("w1", "w2"))
    of_one_job, others = house.put(2, of="one"), house.put(3, of="other", each=True)
    attempts = worker.attempts() + other.attempts()
    assert {attempt.execution_id for attempt in attempts} == {of_one_job[0], *others[:2]}
    assert all(len(attempt.slots) == 2 for attempt in attempts)
    worker.finish(attempts)
    house.clock.advance(2)
    worker.announce([of_one_job[1], others[2]])
    assert set(worker.take()) == {of_one_job[1], others[2]}


def test_a_run_whose_job_runs_is_skipped_where_its_policy_says_so(house: House) -> None:
    worker = house.worker()
    first, second = house.put(2, overlap="skip")
    assert worker.take() == [first]
    worker.announce([second])
    assert worker.take() == []
    assert house.statuses([first, second]) == ["running", "skipped"]


@contextmanager
def answers_lost(after: int = 0) -> Iterator[None]:
    """The database takes each claim, after `after` more of them, and its answer does not come."""
    take, left = ClaimStore.take, after

    def silent(self: ClaimStore, *args: Any, **options: Any) -> bool:
        nonlocal left
        answer = take(self, *args, **options)
        left -= 1
        if left < 0:
            raise AutoReconnect("the reply is lost")
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClaimStore, "take", silent)
        yield


@contextmanager
def away(method: str) -> Iterator[None]:
    """The database does not answer this method of the store."""

    def unanswered(*args: Any, **options: Any) -> Any:
        raise AutoReconnect("away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClaimStore, method, unanswered)
        yield


def taken_in_spite_of_errors(worker: Worker, tries: int) -> list[str]:
    """What a worker is given while the database fails it."""
    given: list[str] = []
    for _ in range(tries):
        try:
            given += worker.take()
        except AutoReconnect:
            continue
    return given


@pytest.mark.parametrize("after", [0, 1])
def test_what_was_claimed_and_not_answered_is_given_by_the_next_take(house: House, after: int) -> None:
    worker = house.worker()
    ids = house.put(4, each=True)
    with answers_lost(after):
        given = taken_in_spite_of_errors(worker, 1)
    given += taken_in_spite_of_errors(worker, 2)
    assert sorted(given) == sorted(ids)
    assert house.statuses(ids) == ["running"] * 4
    assert worker.take() == []
    assert [len((house.queue.document(execution_id) or {})["attempts"]) for execution_id in ids] == [1] * 4


def test_what_could_not_be_recovered_yet_is_recovered_later(house: House) -> None:
    """The database is away again while it is asked what the claims have won."""
    worker = house.worker()
    ids = house.put(3, each=True)
    with answers_lost():
        taken_in_spite_of_errors(worker, 1)
    with away("won"):
        assert taken_in_spite_of_errors(worker, 2) == []
    assert sorted(taken_in_spite_of_errors(worker, 2)) == sorted(ids)


def test_a_claim_that_was_silent_past_its_lease_is_left_to_the_sweeper(house: House) -> None:
    worker = house.worker()
    (execution_id,) = house.put()
    with answers_lost():
        taken_in_spite_of_errors(worker, 1)
    house.clock.advance(LEASE.total_seconds() + 1)
    assert worker.take() == []
    assert [attempt.execution_id for attempt in house.queue.claims.find_lost(house.clock.now(), 10)] == [execution_id]


@pytest.mark.parametrize("method", ["candidates", "holders", "take"])
def test_a_database_that_is_away_loses_nothing(house: House, method: str) -> None:
    worker = house.worker()
    ids = house.put(3, each=True)
    with away(method), pytest.raises(AutoReconnect):
        worker.take()
    assert house.statuses(ids) == [Status.QUEUED] * 3
    assert worker.take() == ids


# -- ids that others send ---------------------------------------------------------------------------------------------


@pytest.fixture(params=PUSHED)
def pushed(request: pytest.FixtureRequest, make_house: Callable[[str], House]) -> House:
    return make_house(request.param)


IDS: dict[str, Callable[[str], list[str]]] = {
    "twice": lambda execution_id: [execution_id, execution_id],
    "beside an unknown one": lambda execution_id: ["nobody's", execution_id, ""],
    "after one that is too long": lambda execution_id: ["x" * 100_000, execution_id],
}


@pytest.mark.parametrize("ids", IDS)
def test_an_id_that_makes_no_sense_is_passed_over(pushed: House, ids: str) -> None:
    worker = pushed.worker()
    (execution_id,) = pushed.put()
    assert isinstance(worker.source, PushedSource)
    forget_hints(worker.source)
    worker.announce(IDS[ids](execution_id))
    assert worker.take() == [execution_id]
    assert worker.take() == []
    assert len((pushed.queue.document(execution_id) or {})["attempts"]) == 1


def test_an_id_that_comes_late_gives_nothing(pushed: House) -> None:
    worker, other = pushed.worker(), pushed.worker("w2")
    (execution_id,) = pushed.put()
    attempts = other.attempts()
    assert worker.take() == []
    other.finish(attempts)
    worker.announce([execution_id])
    assert worker.take() == []


def test_only_what_was_sent_is_given_and_each_id_once(pushed: House) -> None:
    pushed.put(3, of="not sent", each=True)
    worker = pushed.worker()
    (execution_id,) = pushed.put()
    assert worker.take() == [execution_id]
    assert worker.take() == []


def test_ids_may_be_sent_while_others_are_taken(pushed: House) -> None:
    worker = pushed.worker()
    ids = pushed.put(40, each=True)
    sender = threading.Thread(target=lambda: [worker.announce([execution_id]) for execution_id in ids])
    sender.start()
    given: list[str] = []
    while sender.is_alive() or len(given) < len(ids):
        given += worker.take(3)
    assert sorted(given) == sorted(ids)
