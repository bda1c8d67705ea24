"""What records owe, on a real server: damaged items, stops in the middle, changes that take long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import SYSTEM
from app.clock import ManualClock
from app.factory import Store
from app.jobs.dependency_store import DependencyStore
from app.jobs.model import Job
from app.jobs.shadow_store import ShadowStore
from app.node.carrying import Carrying
from app.node.ticks import Ticks
from app.outbox.carrier import LOOK_SECONDS, Carrier
from app.outbox.event_store import UNCONFIRMED, Events, event_outbox
from app.outbox.events import DomainEvent, EventHandler, JobChanged, StoredEvent
from app.outbox.handler import LONGEST_DELAY
from app.queue.execution import Execution
from app.queue.model import Status
from app.queue.owing import EndHandler
from app.queue.store import QueueStore, execution_outbox
from app.scheduling.followers import Followers
from app.scheduling.gathering_store import GatheringStore
from app.services import Services
from app.signals import Signal
from tests.builders.owing import OWING
from tests.builders.queue import Queue, execution_document


class Noting(EndHandler):
    """Notes the executions whose ends it is told of; what is skipped is nothing to it."""

    name = "notify"

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.told: list[str] = []
        self._then = then

    def wants_still(self, record: Execution) -> bool:
        return record.status != Status.SKIPPED

    def carry_out(self, record: Execution) -> None:
        self.told.append(record.id)
        self._then()


class Hearing(EventHandler):
    """Notes the jobs that it hears of."""

    name = "hearing"
    kinds = (JobChanged,)

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, event: DomainEvent) -> None:
        assert isinstance(event, JobChanged)
        self.heard.append(event.job_id)


@pytest.fixture
def job(services: Services) -> Job:
    return services.jobs.create(SYSTEM, {"name": "j", "template_type": "noop"})[0]


def owing(store: Store, job: Job, clock: ManualClock, name: str, *, status: Status = Status.SUCCESS, **item: Any) -> None:
    """Store an ended execution that owes a mail; `item` are the fields of what it owes that are other than usual."""
    document = execution_document(job, now=clock.now(), execution_id=name, status=status)
    owed = {"what": "notify", "at": clock.now(), "tries": 0, "error": None, "given_up_at": None, **item}
    store.database["job_executions"].insert_one({**document, "owed": [owed]})


@pytest.mark.parametrize("tries", ["bogus", 1.5, -7, None, [], [1], {}, True, 1 << 60], ids=str)
def test_an_item_with_damaged_tries_is_left_alone_and_holds_up_no_other(store: Store, job: Job, clock: ManualClock, tries: object) -> None:
    owing(store, job, clock, "damaged", tries=tries)
    clock.advance(1)
    owing(store, job, clock, "whole")
    handler = Noting()
    carrier = Carrier(execution_outbox(store.database), handler, clock)
    for _ in range(3):
        carrier.tick()
        clock.advance(handler.claim_for.total_seconds() + 1)
    assert handler.told == ["whole"]


def test_one_tick_carries_out_all_that_is_owed_however_much_nobody_wants_any_more(store: Store, job: Job, clock: ManualClock) -> None:
    for number in range(300):
        owing(store, job, clock, f"skipped {number}", status=Status.SKIPPED)
    clock.advance(1)
    owing(store, job, clock, "last")
    handler = Noting()
    Carrying(Carrier(execution_outbox(store.database), handler, clock), Ticks(lambda: None)).tick()
    assert handler.told == ["last"]


def test_a_stop_waits_for_one_item_and_not_for_all(store: Store, job: Job, clock: ManualClock) -> None:
    for number in range(5):
        owing(store, job, clock, str(number))
    handler = Noting(lambda: carrying.stop())
    carrying = Carrying(Carrier(execution_outbox(store.database), handler, clock), Ticks(lambda: None))
    carrying.tick()
    assert len(handler.told) == 1
    carrying.now()
    carrying.tick()
    assert len(handler.told) == 1, "a tick that was due at the stop begins nothing"
    later = Noting()
    Carrier(execution_outbox(store.database), later, clock).tick()
    assert len(later.told) == 4, "another node carries out the rest"


def test_a_change_that_takes_longer_than_its_event_waits_is_heard_of_after_it(store: Store, clock: ManualClock) -> None:
    handler = Hearing()
    events = Events(store.database, [Hearing], clock)
    carrier: Carrier[StoredEvent] = Carrier(event_outbox(store.database), handler, clock)
    with events.around(JobChanged(at=clock.now(), job_id="j", changed=("group",))):
        clock.advance((UNCONFIRMED + timedelta(seconds=1)).total_seconds())
        carrier.tick()
        assert handler.heard == ["j"], "nobody knows by now whether the change will be made"
        events.forget_settled()
    carrier.tick()
    assert handler.heard == ["j", "j"]


def test_a_job_that_cannot_be_started_after_another_is_tried_again_and_given_up_for_people_to_see(
    store: Store, services: Services, job: Job, clock: ManualClock
) -> None:
    broken, whole = (
        services.jobs.create(SYSTEM, {"name": name, "template_type": "noop", "depends_on": [{"job": job.id}], "tags": [name]})[0]
        for name in ("broken", "whole")
    )
    queue = QueueStore(store.database, OWING)
    write, refuses = queue.add_one, True

    def refusing(execution: Execution) -> bool:
        if execution.job_id == broken.id and refuses:
            raise ValueError("its run cannot be written")
        return write(execution)

    queue.add_one = refusing  # type: ignore[method-assign]
    handler = Followers(
        jobs=DependencyStore(store.database),
        queue=queue,
        shadows=ShadowStore(store.database),
        gatherings=GatheringStore(store.database),
        triggers=services.triggers,
        starts=Queue(store.database).limits,
        clock=clock,
        queued=Signal(),
        rests=lambda template: False,
    )
    carrier = Carrier(execution_outbox(store.database), handler, clock)
    owing(store, job, clock, "ended", what="followers")
    begun = {"triggered_by": "dependency"}
    for _ in range(handler.most_tries):
        carrier.tick()
        clock.advance(3600)
        assert store.database["job_executions"].distinct("job_id", begun) == [whole.id], "it holds up no other"
    (item,) = services.given_up.items(SYSTEM)
    assert (item.what, item.execution_id, item.error) == ("followers", "ended", f"{broken.id}: its run cannot be written")
    refuses = False
    services.given_up.ask_again(SYSTEM, "ended", "followers")
    assert carrier.tick() == 1
    assert store.database["job_executions"].count_documents(begun) == 2


@pytest.mark.parametrize("item", [{"tries": 0, "hours": 2}, {"tries": 0, "hours": 24 * 365 * 174}, {"tries": 2, "hours": 2}], ids=str)
def test_what_a_node_with_a_clock_far_ahead_has_written_is_carried_out_soon(
    store: Store, job: Job, clock: ManualClock, item: dict[str, int]
) -> None:
    handler = Noting()
    carrier = Carrier(execution_outbox(store.database), handler, clock)
    carrier.tick()
    owing(store, job, clock, "ahead", tries=item["tries"], at=clock.now() + timedelta(hours=item["hours"]))
    owing(store, job, clock, "tried", tries=1, at=clock.now() + LONGEST_DELAY)
    owing(store, job, clock, "unconfirmed", at=clock.now() + UNCONFIRMED + timedelta(seconds=LOOK_SECONDS))
    clock.advance(LOOK_SECONDS)
    carrier.tick()
    assert handler.told == ["ahead"]
