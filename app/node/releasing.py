"""Announces executions to workers through a message broker: no more than they can take soon, the best rank first."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.broker.base import BrokerAway, HintPublisher
from app.broker.queues import DEFAULT_ROUTE, queue_name, routes_in
from app.clock import Clock
from app.events import get_logger
from app.node.guard import guarded
from app.node.loops import Loop
from app.queue.release_store import ReleaseStore, Taker, Waiting
from app.scheduling.node_store import NodeRole, NodeSeen

log = get_logger(__name__)

HINTS_A_SLOT = 2  # so many hints are announced for each free slot, so that a worker finds the next one when a run ends
WORKERS_SECONDS = 1.0  # heartbeats are read again after this time
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.25  # between turns while there is a backlog: longer the longer no slot becomes free
IDLE_SECONDS, AWAY_SECONDS = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers that take the same executions."""

    taker: Taker
    workers: tuple[NodeSeen, ...]

    def free_slots(self, running: Mapping[str, int]) -> int:
        """Returns how many more attempts they could run, where each node runs so many now."""
        return sum(max(0, worker.slots - running.get(worker.id, 0)) for worker in self.workers)


def crews_of(workers: Iterable[NodeSeen], routes: Mapping[str, str]) -> list[Crew]:
    """Returns the workers by what they take. `routes` is the route of templates that have one of their own."""
    alike: dict[tuple[frozenset[str], tuple[str, ...]], list[NodeSeen]] = {}
    for worker in workers:
        alike.setdefault((routes_in(worker.queues), worker.labels), []).append(worker)
    return [
        Crew(taker_of(taken, labels, routes), tuple(members))
        for (taken, labels), members in sorted(alike.items(), key=lambda item: len(item[0][1]))
        if taken
    ]


def taker_of(taken: Iterable[str], labels: tuple[str, ...], routes: Mapping[str, str]) -> Taker:
    """Returns which executions a worker of these routes and labels takes."""
    taken = set(taken)
    others = DEFAULT_ROUTE in taken
    templates = {template for template, route in routes.items() if (route in taken) is not others}
    name = hashlib.sha256(json.dumps([sorted(taken), labels]).encode()).hexdigest()[:16]
    return Taker(name=name, templates=frozenset(templates), others=others, labels=labels)


class Releaser:
    """Takes one turn at a time:

    1. The workers that live, hear and do not drain are read, and how much each runs.
    2. For those that take the same executions, at most HINTS_A_SLOT × their free slots may be announced for them and not claimed. (What is
       announced for other workers does not count, although these may take it: a backlog for those would keep from these what only they
       take.)
    3. The executions that wait longest, by rank, are marked as announced, each by one node only, and published.

    A mark expires: an execution that still waits then is announced again. So the broker may lose, double or delay what it wants. Any number
    of nodes may release.
    """

    def __init__(
        self,
        *,
        store: ReleaseStore,
        nodes: Callable[[], Sequence[NodeSeen]],
        publisher: HintPublisher,
        routes: Mapping[str, str],
        stopped: Callable[[], object],
        clock: Clock,
    ) -> None:
        """`stopped` returns something while no run may start."""
        self._store, self._nodes, self._publisher, self._routes = store, nodes, publisher, routes
        self._stopped, self._clock = stopped, clock
        self._known: tuple[float, list[Crew]] = (float("-inf"), [])
        self._away = False
        self._pause = SHORTEST_SECONDS

    def turn(self) -> float:
        """Announces what may be; returns after how many seconds the next turn is due. Raises where the database is away."""
        now = self._clock.now()
        if self._away:
            return self._look_for_broker()
        if not self._store.any_waiting(now) or self._stopped():
            return IDLE_SECONDS
        running = self._store.running_by_owner()
        more = announced = False
        for crew in self._crews():
            room = HINTS_A_SLOT * crew.free_slots(running) - self._store.announced(crew.taker, now)
            waiting = self._store.waiting(crew.taker, now, room) if room > 0 else []
            more = more or room <= 0 or bool(waiting)
            if waiting and not self._announce(crew.taker, waiting):
                return AWAY_SECONDS
            announced = announced or bool(waiting)
        self._pause = SHORTEST_SECONDS if announced else min(LONGEST_SECONDS, self._pause * 1.5)
        return self._pause if more else IDLE_SECONDS

    def warn_of_eviction(self) -> None:
        """Logs if the broker deletes messages when its memory is full."""
        with suppress(BrokerAway):
            policy = self._publisher.product()[2]
            if policy not in {"", "noeviction"}:
                log.warning("broker.evicts", policy=policy)

    def _look_for_broker(self) -> float:
        """What was announced before the broker was away may be lost, so it is announced anew."""
        try:
            self._publisher.ping()
        except BrokerAway:
            return AWAY_SECONDS
        self._away = False
        log.info("broker.back", announced_anew=self._store.unmark_all())
        self.warn_of_eviction()
        return 0.0

    def _announce(self, taker: Taker, waiting: Sequence[Waiting]) -> bool:
        """Marks and publishes; False where the broker is away."""
        turn = secrets.token_hex(6)
        queues = {item.id: self._queue_of(item) for item in waiting}
        marked = self._store.mark(queues, turn, taker, self._clock.now())
        try:
            self._publisher.publish([(queues[execution_id], execution_id) for execution_id in queues if execution_id in set(marked)])
        except BrokerAway as error:
            self._away = True
            log.warning("broker.away", reason=str(error))
            self._store.unmark(marked, turn)
            return False
        return True

    def _queue_of(self, item: Waiting) -> str:
        return queue_name(self._routes.get(item.template_type, DEFAULT_ROUTE), item.priority, item.needs)

    def _crews(self) -> list[Crew]:
        read_at, crews = self._known
        if not crews or self._clock.monotonic() - read_at > WORKERS_SECONDS:
            now = self._clock.now()
            crews = crews_of((node for node in self._nodes() if _takes(node) and node.lives(now)), self._routes)
            self._known = self._clock.monotonic(), crews
        return crews


def _takes(node: NodeSeen) -> bool:
    return node.role == NodeRole.WORKER and node.hears is not False and node.drain is None and not node.drained


class Releasing(Loop):
    """The thread of a Releaser. Its pauses are what each turn says, and `wake` ends one."""

    name = "releasing"
    pause_seconds = IDLE_SECONDS
    starts_at_once = True
    close_seconds = 5.0

    def __init__(self, releaser: Releaser, publisher: HintPublisher) -> None:
        super().__init__()
        self._releaser, self._publisher = releaser, publisher
        self._woken = threading.Event()
        self._pause = IDLE_SECONDS

    def turn(self) -> None:
        self._pause = AWAY_SECONDS  # if this turn raises
        self._pause = self._releaser.turn()

    def wake(self) -> None:
        """Something waits: look now."""
        self._woken.set()

    def close(self) -> None:
        self._closing.set()
        self._woken.set()
        super().close()

    def _run(self) -> None:
        guarded(self.name, self._releaser.warn_of_eviction)
        while not self.is_closing:
            guarded(self.name, self.turn)
            if self._pause != AWAY_SECONDS:
                self._woken.wait(self._pause)
                self._woken.clear()
            else:
                self._closing.wait(self._pause)
        self._publisher.close()
