"""A hand-over from the old scheduler while people change the job, and while the old scheduler moves between two steps of Jobwright."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from app.audit.model import SYSTEM
from app.clock import ManualClock
from app.factory import Store
from app.handover.model import Stage
from app.services import Services
from migrations_scripts.unified_scheduler.ledger import JOBWRIGHT, MOVING, OLD, Ledger
from tests.builders.scheduling import dispatcher

NAME, CONNECTION = "test_scheduler", "old-scheduler"


@pytest.fixture
def ledger(services: Services, mongod: str, database_name: str) -> Iterator[Ledger]:
    """The ledger of an old scheduler that has one job, due now, and that runs nothing."""
    client = MongoClient[dict[str, Any]](mongod, tz_aware=True, tzinfo=UTC)
    made = Ledger(client[database_name])
    made.register(NAME, 3600)
    made.seen()
    services.connections.create(SYSTEM, name=CONNECTION, kind="mongodb", settings={"uri": mongod, "database": database_name})
    services.hand_overs.apply(SYSTEM, NAME, connection=CONNECTION, tickets="cron")
    yield made
    client.drop_database(database_name)
    client.close()


def due_in(ledger: Ledger) -> datetime:
    row = ledger.get(NAME)
    assert row is not None
    due: datetime = row["next_due_at"]
    return due


@pytest.mark.parametrize("change", ["disable", "pause", "by hand"])
def test_a_job_that_people_have_stopped_is_given_back_without_a_due_time_that_has_run(
    services: Services, store: Store, clock: ManualClock, ledger: Ledger, change: str
) -> None:
    """Jobwright has run the due time of the hand-over. Its job has no due time after the change."""
    hand_over = services.hand_overs.cut_over(SYSTEM, NAME)
    assert hand_over.stage == Stage.MOVED
    ran = due_in(ledger)
    clock.advance((ran - clock.now()).total_seconds() + 1)
    assert dispatcher(store, services, clock).tick() == 1
    match change:
        case "disable":
            services.jobs.set_enabled(SYSTEM, hand_over.job_id, enabled=False)
        case "pause":
            services.pausing.pause(SYSTEM, hand_over.job_id, {"reason": "not now"})
        case "by hand":
            services.jobs.update(SYSTEM, hand_over.job_id, {"schedule": {"type": "manual"}})
    back = services.hand_overs.roll_back(SYSTEM, NAME)
    assert back is not None
    row = ledger.get(NAME)
    assert row is not None
    assert (back.stage, row["owner"]) == (Stage.SHADOW, OLD)
    assert row["next_due_at"] > ran


def test_the_old_scheduler_may_run_between_the_look_at_a_job_and_its_hand_over(services: Services, ledger: Ledger) -> None:
    """A process that was frozen between the two hands nothing over, although the proposal stands again."""
    ledger.propose(NAME, 5)
    seen = ledger.get(NAME)
    assert seen is not None
    lapsed = {"$set": {"lapses_at": datetime(2020, 1, 1, tzinfo=UTC)}}
    ledger._jobs.update_one({"_id": NAME}, lapsed)
    assert ledger.claim(NAME) == seen["next_due_at"]
    ledger.propose(NAME, 5)
    assert not ledger.commit(seen, 5)
    row = ledger.get(NAME)
    assert row is not None
    assert row["owner"] == MOVING
    ledger.finish(NAME, seen["next_due_at"], "success")
    now = ledger.get(NAME)
    assert now is not None
    assert ledger.commit(now, 5)
    assert (ledger.get(NAME) or {})["owner"] == JOBWRIGHT
