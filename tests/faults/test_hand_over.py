"""The old scheduler and Jobwright as processes beside each other: no due time runs twice and none is left out, whoever is killed when."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from app.audit.model import SYSTEM
from app.config import Settings
from app.errors import Conflict, NotFound
from app.factory import Store, build_services
from app.handover.comparison import Match
from app.handover.model import Stage
from app.handover.store import HandOverStore
from app.mongo import connect, open_database
from app.services import Services
from migrations_scripts.unified_scheduler import ledger as ledger_module
from migrations_scripts.unified_scheduler.ledger import JOBWRIGHT, MOVING, OLD, Ledger
from tests.support import KEY, Service, eventually

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
NAME, CONNECTION = "test_scheduler", "old-scheduler"
SECOND = timedelta(seconds=1)


class Worlds:
    """Both worlds: the database of the old scheduler and its processes, a node of Jobwright, and Jobwright's services in this process."""

    def __init__(self, start: Callable[..., Service], uri: str, name: str, folder: Path) -> None:
        self._uri, self._old_name, self._running = uri, f"{name}_old", list[subprocess.Popen[bytes]]()
        self.node = start("serve", SCHEDULER_EXECUTOR_POOL_SIZE="2").wait_ready()
        client = connect(uri)
        self.store = Store(client, open_database(client, name), None)
        self.services: Services = build_services(Settings(secret_key=KEY, data_dir=str(folder / "own")), self.store)
        self.client = MongoClient[dict[str, Any]](uri, tz_aware=True, tzinfo=UTC)
        self.old: Database[dict[str, Any]] = self.client[self._old_name]
        self.ledger = Ledger(self.old)
        settings = {"uri": uri, "database": self._old_name}
        self.services.connections.create(SYSTEM, name=CONNECTION, kind="mongodb", settings=settings)

    def start_old(self, *, pauses: str = "{}") -> subprocess.Popen[bytes]:
        """Starts the old scheduler, whose test_scheduler runs each second."""
        environment = {
            **os.environ,
            "UNIFIED_SCHEDULER_URI": self._uri,
            "UNIFIED_SCHEDULER_DATABASE": self._old_name,
            "UNIFIED_SCHEDULER_INTERVALS": f'{{"{NAME}": 1}}',
            "UNIFIED_SCHEDULER_PAUSES": pauses,
        }
        process = subprocess.Popen([sys.executable, "-m", "migrations_scripts.unified_scheduler"], cwd=ROOT, env=environment)
        self._running.append(process)
        before = self.old["scheduler_runs"].count_documents({"job": NAME})
        eventually(lambda: self.old["scheduler_runs"].count_documents({"job": NAME}) > before or self.owner != OLD)
        return process

    def move_and_die(self, action: str, point: str) -> None:
        """Lets a process cut over or roll back that is killed on the way."""
        command = [sys.executable, "-m", "tests.faults.move_and_die", action, point]
        assert subprocess.run(command, cwd=ROOT, env=self.node.environment, check=False).returncode == -9

    def apply(self) -> None:
        self.services.hand_overs.apply(SYSTEM, NAME, connection=CONNECTION, tickets="cron")

    @property
    def owner(self) -> str:
        return str((self.ledger.get(NAME) or {"owner": OLD})["owner"])

    @property
    def stage(self) -> str:
        hand_over = HandOverStore(self.store.database).get(NAME)
        return hand_over.stage if hand_over else ""

    @property
    def old_runs(self) -> list[datetime]:
        return [row["due_at"] for row in self.old["scheduler_runs"].find({"job": NAME}).sort("due_at", 1)]

    @property
    def our_runs(self) -> list[datetime]:
        rows = self.store.database["job_executions"].find({"job_name": NAME, "triggered_by": "schedule"}).sort("scheduled_for", 1)
        return [row["scheduled_for"] for row in rows]

    def wait_for_ours(self, count: int) -> None:
        before = len(self.our_runs)
        eventually(lambda: len(self.our_runs) >= before + count)

    def wait_for_old(self, count: int) -> None:
        before = len(self.old_runs)
        eventually(lambda: len(self.old_runs) >= before + count)

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self.client.drop_database(self._old_name)
        self.client.close()
        self.store.close()


@pytest.fixture
def worlds(start: Callable[..., Service], mongod: str, database_name: str, tmp_path: Path) -> Iterator[Worlds]:
    made = Worlds(start, mongod, database_name, tmp_path)
    yield made
    made.node.stop(kill=True)
    made.close()


def assert_taken_over(worlds: Worlds) -> None:
    """Jobwright goes on exactly where the old scheduler has stopped, and leaves no due time out."""
    worlds.wait_for_ours(3)
    ours, old, row = worlds.our_runs, worlds.old_runs, worlds.ledger.get(NAME)
    assert row is not None
    assert (row["owner"], ours[0]) == (JOBWRIGHT, row["next_due_at"])
    assert all(after - before == SECOND for before, after in pairwise(ours))
    assert max(old) < ours[0]
    assert {run["status"] for run in worlds.old["scheduler_runs"].find({"job": NAME})} <= {"success", "interrupted"}


def assert_given_back(worlds: Worlds) -> None:
    """The old scheduler goes on exactly where Jobwright has stopped."""
    worlds.wait_for_old(2)
    ours, old = worlds.our_runs, worlds.old_runs
    assert set(ours).isdisjoint(old)
    assert next(due for due in old if due > ours[-1]) == ours[-1] + SECOND
    assert not [due for due in old if ours[0] <= due <= ours[-1]]
    assert worlds.owner == OLD


def test_parallel_operation_cut_over_and_roll_back(worlds: Worlds) -> None:
    worlds.start_old()
    worlds.apply()
    worlds.apply()
    worlds.wait_for_old(4)
    assert worlds.our_runs == [], "in parallel operation Jobwright runs nothing"
    report = eventually(lambda: (made := worlds.services.hand_overs.compare(SYSTEM, NAME)).rows and made)
    assert {row.match for row in report.rows} <= {Match.MATCHED, Match.ONLY_OLD, Match.ONLY_OURS}
    assert Match.MATCHED in {row.match for row in report.rows}
    worlds.services.hand_overs.cut_over(SYSTEM, NAME)
    eventually(lambda: worlds.stage == Stage.MOVED)
    assert_taken_over(worlds)
    assert worlds.services.hand_overs.cut_over(SYSTEM, NAME).stage == Stage.MOVED
    worlds.services.hand_overs.roll_back(SYSTEM, NAME)
    assert worlds.stage == Stage.SHADOW
    assert_given_back(worlds)
    assert Match.DOUBLE not in {row.match for row in worlds.services.hand_overs.compare(SYSTEM, NAME).rows}
    assert worlds.services.hand_overs.roll_back(SYSTEM, NAME, remove=True) is None
    with pytest.raises(NotFound):
        worlds.services.hand_overs.compare(SYSTEM, NAME)


CUT_OVER = ["after:store.move", "after:ledger.propose", "after:ledger.commit", "after:shadowing.end", "before:ledger.commit"]
ROLL_BACK = ["after:store.move", "after:shadowing.begin", "after:ledger.give_back"]


def test_jobwright_is_killed_at_each_point_of_a_cut_over_and_of_a_roll_back(worlds: Worlds) -> None:
    """The node completes each of them. The last due time of each side is followed by the first of the other."""
    worlds.start_old()
    worlds.apply()
    for point in CUT_OVER:
        worlds.store.database["job_executions"].delete_many({})
        worlds.move_and_die("cut_over", point)
        eventually(lambda: worlds.stage == Stage.MOVED)
        assert_taken_over(worlds)
        back = ROLL_BACK[CUT_OVER.index(point) % len(ROLL_BACK)]
        worlds.move_and_die("roll_back", back)
        eventually(lambda: worlds.stage == Stage.SHADOW)
        assert_given_back(worlds)


def test_the_old_scheduler_is_killed_while_it_runs_the_job(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cut-over waits for the run while the old scheduler is alive, and goes on once it is silent. Started again, it runs nothing."""
    process = worlds.start_old(pauses=f'{{"{NAME}": 600}}')
    worlds.apply()
    eventually(lambda: (worlds.ledger.get(NAME) or {})["running"])
    assert worlds.services.hand_overs.cut_over(SYSTEM, NAME).stage == Stage.MOVING
    assert (worlds.owner, worlds.our_runs) == (MOVING, [])
    process.kill()
    process.wait()
    monkeypatch.setattr(ledger_module, "SILENT_SECONDS", 1)
    eventually(lambda: worlds.services.hand_overs.cut_over(SYSTEM, NAME).stage == Stage.MOVED)
    worlds.wait_for_ours(2)
    before = worlds.old_runs
    worlds.start_old()
    worlds.wait_for_ours(3)
    assert worlds.old_runs == before
    assert_taken_over(worlds)


def test_all_of_jobwright_is_killed_in_a_cut_over(worlds: Worlds) -> None:
    """The old scheduler goes on when the proposal has lapsed, and Jobwright completes the cut-over when it is back."""
    worlds.start_old()
    worlds.apply()
    worlds.node.stop(kill=True)
    worlds.move_and_die("cut_over", "after:ledger.propose")
    assert worlds.owner == MOVING
    worlds.old["scheduler_jobs"].update_one({"_id": NAME}, {"$set": {"lapses_at": datetime(2020, 1, 1, tzinfo=UTC)}})
    worlds.wait_for_old(3)
    assert (worlds.owner, worlds.our_runs) == (OLD, [])
    worlds.services.hand_overs.settle()
    assert worlds.owner == JOBWRIGHT
    assert worlds.stage == Stage.MOVED


def test_a_process_that_was_frozen_cannot_undo_a_newer_decision(worlds: Worlds) -> None:
    worlds.start_old()
    worlds.apply()
    worlds.services.hand_overs.cut_over(SYSTEM, NAME)
    eventually(lambda: worlds.stage == Stage.MOVED)
    old_decision = HandOverStore(worlds.store.database).get(NAME)
    assert old_decision is not None
    worlds.services.hand_overs.roll_back(SYSTEM, NAME)
    worlds.ledger.propose(NAME, old_decision.epoch)
    assert not worlds.ledger.commit(worlds.ledger.get(NAME) or {}, old_decision.epoch)
    with pytest.raises(Conflict):
        worlds.services.shadowing.end(SYSTEM, old_decision.job_id, held_by=old_decision.holder)
    with pytest.raises(Conflict):
        worlds.services.shadowing.begin(SYSTEM, old_decision.job_id, {}, held_by=old_decision.holder)
    assert worlds.owner == OLD


def test_two_processes_take_the_same_step(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node is quicker than the command, between its look at the job and its write: the command goes on as if it had been alone."""
    worlds.node.stop(kill=True)
    worlds.start_old()
    worlds.apply()
    worlds.services.hand_overs.cut_over(SYSTEM, NAME)
    store, original = worlds.services.shadowing._store, worlds.services.shadowing._store.update
    other = build_services(worlds.services.settings, worlds.store)

    def late(*args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(store, "update", original)
        other.hand_overs.settle()
        return original(*args, **kwargs)

    monkeypatch.setattr(store, "update", late)
    hand_over = worlds.services.hand_overs.roll_back(SYSTEM, NAME)
    assert hand_over is not None
    assert (hand_over.stage, worlds.owner) == (Stage.SHADOW, OLD)
