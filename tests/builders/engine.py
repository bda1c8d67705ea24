"""Parts of the engine over a real database, for tests."""

from __future__ import annotations

from app.clock import Clock
from app.execution.log_store import LogStore
from app.jobs.dispatch_store import DispatchStore
from app.node.finisher import Finisher
from app.node.recorder import Recorder
from app.signals import Signal
from tests.builders.owing import OWING
from tests.builders.queue import Queue


def make_recorder(queue: Queue, clock: Clock, *, owner: str = "w") -> Recorder:
    """A recorder of one worker, not started."""
    finisher = Finisher(
        store=queue.claims,
        claims=queue.worker(owner),
        owing=OWING,
        jobs=DispatchStore(queue.database),
        clock=clock,
        written=Signal(),
        owed=Signal(),
    )
    return Recorder(queue.claims, LogStore(queue.database), finisher, clock)
