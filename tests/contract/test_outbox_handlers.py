"""What the outbox promises of each of its handlers: claimed by one node, carried out at least once, tried again, given up, asked for again."""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import create_autospec

import pytest
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import NotFound
from app.execution.traced import TraceExecution
from app.executors.base import Executor
from app.factory import Store, build_node, event_handlers
from app.integrations.nats.publishing import PublishEvent, PublishExecution
from app.outbox.event_store import UNCONFIRMED
from app.outbox.events import EventListener
from app.outbox.handler import LONGEST_DELAY, Handler, Later
from app.outbox.model import Owed
from app.queue.owing import EndHandler
from app.services import Services
from app.traces.base import Traces
from tests.builders.owing import OWING, OWING_WITH_ALL, OWING_WITH_BUS, WITH_ALL, WITH_BUS
from tests.contract.outbox_subjects import SUBJECTS, RecordingCollector, Regrouping, Subject, group_changed

LONG_AFTER = timedelta(days=5000).total_seconds()


@pytest.fixture(params=SUBJECTS)
def subject(
    request: pytest.FixtureRequest, store: Store, services: Services, super_admin: Actor, settings: Settings, clock: ManualClock
) -> Subject:
    made: Subject = SUBJECTS[request.param](store, services, super_admin, settings, clock)
    return made


def concrete(base: type) -> set[type]:
    """The classes below `base` that can be made, and that belong to the service."""
    below = {kind for child in base.__subclasses__() for kind in {child, *concrete(child)}}
    return {kind for kind in below if not inspect.isabstract(kind) and kind.__module__.startswith("app.")}


def test_every_handler_of_the_service_is_wired_and_is_tested_here(store: Store, services: Services, settings: Settings) -> None:
    listeners = event_handlers(WITH_ALL)
    with_all = replace(settings, nats_url=WITH_ALL.nats_url, traces=WITH_ALL.traces)
    traced = replace(services, traces=Traces(RecordingCollector()))
    node = build_node(with_all, store, traced, create_autospec(Executor, instance=True))
    assert concrete(Handler) == {kind.handler_class for kind in SUBJECTS.values()} == {*OWING_WITH_ALL._handlers, *listeners}
    assert sorted(carrier.name for carrier in node.planning.parts.carriers) == sorted(SUBJECTS)
    assert concrete(EndHandler) == set(OWING_WITH_ALL._handlers)
    assert concrete(EventListener) == set(listeners)


def test_nothing_is_owed_to_a_bus_or_to_traces_that_are_not_set(store: Store, services: Services, settings: Settings) -> None:
    node = build_node(settings, store, services, create_autospec(Executor, instance=True))
    of_bus = {kind.name for kind in (PublishExecution, PublishEvent)}
    assert {carrier.name for carrier in node.planning.parts.carriers} == SUBJECTS.keys() - of_bus - {TraceExecution.name}
    assert set(OWING_WITH_ALL._handlers) - set(OWING_WITH_BUS._handlers) == {TraceExecution}
    assert set(OWING_WITH_BUS._handlers) - set(OWING._handlers) == {PublishExecution}
    assert set(event_handlers(WITH_BUS)) - set(event_handlers(settings)) == {PublishEvent}
    assert (OWING.of_attempt, OWING_WITH_BUS.of_attempt) == ((), (PublishExecution.name,))


def failing(subject: Subject, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """Have each try raise `error` from now on; None: as it was."""
    if error is None:
        monkeypatch.undo()
        return

    def fail(record: Any) -> None:
        raise error

    subject.intercept(monkeypatch, fail)


# -- once -------------------------------------------------------------------------------------------------------------


def test_what_is_owed_is_carried_out_once_and_is_owed_no_more(subject: Subject) -> None:
    records = [subject.owe() for _ in range(3)]
    assert subject.effects() == 0
    assert subject.carrier.tick() == 3
    assert subject.effects() == 3
    assert [subject.owed(record) for record in records] == [None, None, None]
    assert subject.database[subject.collection].count_documents({"owed": {"$exists": True}}) == 0, "the indexes hold nothing of it"
    assert subject.carrier.tick() == 0
    assert subject.effects() == 3


def test_an_item_is_not_due_before_its_time(subject: Subject) -> None:
    record = subject.owe()
    later = subject.clock.now() + timedelta(seconds=60)
    subject.database[subject.collection].update_one({"_id": record}, {"$set": {"owed.$[].at": later}})
    assert subject.carrier.tick() == 0
    subject.clock.advance(60)
    assert subject.carrier.tick() == 1


def test_each_item_is_claimed_by_one_of_many_nodes(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [subject.owe() for _ in range(20)]
    carried_out: list[str] = []
    subject.intercept(monkeypatch, lambda record: carried_out.append(record.id))
    threads = [threading.Thread(target=subject.another_node().tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(carried_out) == Counter(records)
    assert subject.effects() == 20


def test_what_is_not_wanted_any_more_is_settled_without_doing(subject: Subject) -> None:
    record = subject.owe_unwanted()
    subject.carrier.tick()
    assert subject.owed(record) is None
    assert subject.effects() == 0


# -- again ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


CALLS = (
    "find",
    "find_one_and_update",
    "insert_one",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "bulk_write",
    "aggregate",
    "distinct",
)


@contextmanager
def killed_at_call(number: int, *, before: bool) -> Iterator[None]:
    """Kill this process before or after its database call of that number."""
    made = 0

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == number and before:
                raise Killed
            answer = call(*args, **options)
            if made == number:
                raise Killed
            return answer

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(Collection, name, dying(getattr(Collection, name)))
        yield


@pytest.mark.parametrize("before", [True, False])
def test_killed_at_any_call_it_is_carried_out_by_another_node(subject: Subject, before: bool) -> None:
    number, done, was_killed = 0, 0, True
    while was_killed:
        number += 1
        record, was_killed = subject.owe(), False
        try:
            with killed_at_call(number, before=before):
                subject.carrier.tick()
        except Killed:
            was_killed = True
        subject.clock.advance(subject.handler.claim_for.total_seconds())
        subject.another_node().tick()
        assert subject.owed(record) is None, number
        new = subject.effects() - done
        assert new == 1 or (new == 2 and subject.repeats), number
        done += new
    assert number > 2


def test_a_claim_that_was_over_records_nothing(subject: Subject) -> None:
    """A node was slower than its claim, and another one has claimed the item."""
    record, now = subject.owe(), subject.clock.now()
    slow = subject.outbox.claim(subject.name, now=now, until=now)
    assert slow is not None
    quick = subject.outbox.claim(subject.name, now=now, until=now + timedelta(seconds=60))
    assert quick is not None
    assert (slow[1].tries, quick[1].tries) == (1, 2)
    subject.outbox.settle(record, slow[1])
    subject.outbox.put_off(record, slow[1], at=now, error="too late")
    subject.outbox.give_up(record, slow[1], now=now, error="too late")
    assert subject.owed(record) == quick[1]
    subject.outbox.settle(record, quick[1])
    assert subject.owed(record) is None


def test_a_try_that_comes_too_early_does_not_count(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    record = subject.owe()
    failing(subject, monkeypatch, Later(timedelta(seconds=7)))
    for _ in range(subject.handler.most_tries + 3):
        subject.carrier.tick()
        assert subject.owed(record) == Owed(what=subject.name, at=subject.clock.now() + timedelta(seconds=7))
        assert subject.carrier.tick() == 0
        subject.clock.advance(7)
    failing(subject, monkeypatch, None)
    assert subject.carrier.tick() == 1
    assert subject.effects() == 1


def test_a_database_that_is_away_ends_the_tick_and_the_item_is_due_again(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    record = subject.owe()
    failing(subject, monkeypatch, AutoReconnect("away"))
    with pytest.raises(AutoReconnect):
        subject.carrier.tick()
    failing(subject, monkeypatch, None)
    assert subject.carrier.tick() == 0, "the claim holds"
    subject.clock.advance(subject.handler.claim_for.total_seconds())
    assert subject.carrier.tick() == 1
    assert (subject.effects(), subject.owed(record)) == (1, None)


def test_failures_back_off_and_are_given_up_until_a_person_asks_again(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    record, first = subject.owe(), subject.handler.first_delay
    failing(subject, monkeypatch, ValueError("no good"))
    for tries in range(1, subject.handler.most_tries):
        assert subject.carrier.tick() == 0
        due = subject.clock.now() + min(first * 2 ** (tries - 1), LONGEST_DELAY)
        assert subject.owed(record) == Owed(what=subject.name, at=due, tries=tries, error="no good")
        assert subject.services.given_up.count() == 0
        subject.clock.advance((due - subject.clock.now()).total_seconds() - 1)
        subject.carrier.tick()
        assert subject.owed(record) == Owed(what=subject.name, at=due, tries=tries, error="no good"), "its time has not come"
        subject.clock.advance(1)
    subject.carrier.tick()
    now = subject.clock.now()
    given_up = Owed(what=subject.name, at=None, tries=subject.handler.most_tries, error="no good", given_up_at=now)
    assert subject.owed(record) == given_up
    failing(subject, monkeypatch, None)
    subject.clock.advance(LONG_AFTER)
    assert subject.carrier.tick() == 0
    assert subject.owed(record) == given_up
    (item,) = subject.services.given_up.items(subject.actor)
    assert (item.what, item.tries, item.error, item.given_up_at) == (subject.name, subject.handler.most_tries, "no good", now)
    assert record in {item.execution_id, item.event_id}
    assert subject.services.given_up.count() == 1

    subject.ask_again(record)
    assert subject.owed(record) == Owed(what=subject.name, at=subject.clock.now(), error="no good")
    with pytest.raises(NotFound):
        subject.ask_again(record)
    assert subject.carrier.tick() == 1
    assert (subject.effects(), subject.owed(record), subject.services.given_up.count()) == (1, None, 0)
    with pytest.raises(NotFound):
        subject.ask_again(record)


def test_one_that_fails_holds_up_no_other(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = subject.owe(), subject.owe()

    def fail_some(record: Any) -> None:
        if record.id == bad:
            raise ValueError("no good")

    subject.intercept(monkeypatch, fail_some)
    assert subject.carrier.tick() == 1
    assert (subject.owed(good), subject.effects()) == (None, 1)
    item = subject.owed(bad)
    assert item is not None
    assert item.tries == 1


# -- retention --------------------------------------------------------------------------------------------------------


def test_what_is_owed_is_never_removed(subject: Subject) -> None:
    records = [subject.owe() for _ in range(3)]
    subject.clock.advance(LONG_AFTER)
    subject.forget_old()
    assert all(subject.exists(record) for record in records)
    claimed = subject.outbox.claim(subject.name, now=subject.clock.now(), until=subject.clock.now() + timedelta(seconds=60))
    assert claimed is not None
    subject.forget_old()
    assert all(subject.exists(record) for record in records), "one that is being carried out neither"
    subject.clock.advance(60)
    assert subject.carrier.tick() == 3
    assert subject.effects() == 3
    subject.clock.advance(LONG_AFTER)
    subject.forget_old()
    assert not any(subject.exists(record) for record in records)


# -- events around a change -------------------------------------------------------------------------------------------


def test_an_event_around_a_change_is_heard_of_after_the_change(
    store: Store, services: Services, super_admin: Actor, settings: Settings, clock: ManualClock
) -> None:
    regrouping = Regrouping(store, services, super_admin, settings, clock)
    executions, jobs = store.database["job_executions"], store.database["dynamic_jobs"]
    regrouping.owe()
    regrouping.carrier.tick()
    job_id = jobs.find_one({}, {"_id": 1})["_id"]
    for group, seconds in (("second", 0), ("third", UNCONFIRMED.total_seconds())):  # the second write is slower than any request may be
        with services.events.around(group_changed(job_id, clock)):
            assert regrouping.carrier.tick() == 0
            clock.advance(seconds)
            regrouping.carrier.tick()
            jobs.update_one({"_id": job_id}, {"$set": {"group": group}})
        assert regrouping.carrier.tick() == 1
        assert executions.distinct("group") == [group]


def test_an_event_whose_change_was_never_confirmed_is_heard_of_later(
    store: Store, services: Services, super_admin: Actor, settings: Settings, clock: ManualClock
) -> None:
    regrouping = Regrouping(store, services, super_admin, settings, clock)
    regrouping.owe()
    regrouping.carrier.tick()
    (job,) = store.database["dynamic_jobs"].find()

    def killed_after_the_change() -> None:
        with services.events.around(group_changed(job["_id"], clock)):
            store.database["dynamic_jobs"].update_one({"_id": job["_id"]}, {"$set": {"group": "second"}})
            raise Killed

    with pytest.raises(Killed):
        killed_after_the_change()
    assert regrouping.carrier.tick() == 0
    clock.advance(UNCONFIRMED.total_seconds())
    assert regrouping.carrier.tick() == 1
    assert store.database["job_executions"].distinct("group") == ["second"]
