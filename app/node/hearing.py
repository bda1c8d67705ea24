"""What a worker consumes from a message broker, and whether messages really reach it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from app.broker.base import BrokerAway, HintConsumer, ProbePublisher
from app.broker.queues import queues_of
from app.clock import Clock
from app.events import get_logger
from app.labels import missing
from app.node.beats import Listening
from app.node.guard import guarded
from app.node.loops import Loop
from app.node.work_source import PushedSource

log = get_logger(__name__)

PROBE_SECONDS = 10.0
DEAF_SECONDS = 35.0  # a consumer that takes no probe for so long, or is not connected for so long, takes nothing
NEEDS_SECONDS = 5.0  # which labels executions need is looked up again after this time
STALE_SECONDS = 1.0  # a hint that this worker has no room for goes back after this time, to where other workers take it
RESTART_SECONDS = 15.0  # a consumer lets go of its connection within this time, or its process ends


class Hearing(Loop):
    """The watch over a worker's consumer, each second:

    1. Hints that wait too long for a free process go back.
    2. The queues follow the labels that executions need. A worker that drains, or may start nothing, consumes none.
    3. Every PROBE_SECONDS it sends a message to itself. If it takes none for DEAF_SECONDS while the broker answers, it does not hear: it
       counts as no capacity, and its consumer is started anew. If the consumer hangs in its old connection, `on_failure` ends the process.
    4. A consumer that could not connect for DEAF_SECONDS does not hear either. It goes on trying.

    `on_change` is called when `listening` has changed, and `on_hint` when a hint has come.
    """

    name = "hearing"
    pause_seconds = 0.5
    starts_at_once = True
    close_seconds = 3.0

    def __init__(
        self,
        *,
        worker: str,
        routes: Sequence[str],
        labels: Sequence[str],
        source: PushedSource,
        consumer: HintConsumer,
        publisher: ProbePublisher,
        needs: Callable[[], Sequence[Sequence[str]]],
        rests: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """`needs` gives the sets of labels that executions need, and `rests` says whether this worker is to take nothing."""
        super().__init__()
        self._worker, self._routes, self._labels = worker, tuple(routes), tuple(labels)
        self._source, self.consumer, self._publisher = source, consumer, publisher
        self._needs, self._rests, self._clock = needs, rests, clock
        self.on_change: Callable[[], None] = lambda: None
        self.on_failure: Callable[[], None] = lambda: None
        self.on_hint: Callable[[], None] = lambda: None
        self._known_needs: tuple[tuple[str, ...], ...] = ()
        self._needs_at = self._probed_at = self._answered_at = float("-inf")
        self._since: float | None = None
        self._connected_at = clock.monotonic()  # or since when it tries to
        self._hears, self._answers = True, False
        self._queues: tuple[str, ...] = ()
        self._failed = threading.Event()

    def listening(self) -> Listening:
        """Returns the queues that it consumes, and whether messages reach it."""
        return self._queues, self._hears

    def turn(self) -> None:
        self._source.give_back(STALE_SECONDS)
        self._follow_needs()
        self._probe()
        self._judge()

    def close(self) -> None:
        super().close()
        if self._answers and not self._thread.is_alive():  # otherwise a stop would wait for the broker, which removes the queue itself
            self._publisher.forget(self._worker)
        self._publisher.close()

    def _follow_needs(self) -> None:
        now = self._clock.monotonic()
        if now - self._needs_at >= NEEDS_SECONDS:
            self._needs_at = now
            guarded("needs", self._read_needs)
        queues = () if self._rests() else tuple(queues_of(self._routes, self._known_needs))
        if queues != self._queues:
            self._queues = queues
            self.consumer.consume(queues)
            self.on_change()

    def _read_needs(self) -> None:
        self._known_needs = tuple(tuple(needs) for needs in self._needs() if not missing(needs, self._labels))

    def _probe(self) -> None:
        heard, now = self.consumer.heard(), self._clock.monotonic()
        if heard.since != self._since:
            self._since, self._probed_at = heard.since, float("-inf")
        if heard.since is None or now - self._probed_at < PROBE_SECONDS:
            return
        self._probed_at = now
        self._answers = False
        try:
            self._publisher.probe(self._worker, "probe")
            self._answers, self._answered_at = True, now
        except BrokerAway as error:
            log.warning("broker.away", reason=str(error))

    def _judge(self) -> None:
        heard, now = self.consumer.heard(), self._clock.monotonic()
        if heard.since is None:
            if self._hears and now - self._connected_at > DEAF_SECONDS:
                log.error("worker.deaf", seconds=round(now - self._connected_at))
                self._tell(hears=False)
            return
        self._connected_at = now
        silent = now - max(heard.since, heard.at or heard.since)
        deaf = silent > DEAF_SECONDS and now - self._answered_at < PROBE_SECONDS + RESTART_SECONDS
        if not deaf:
            if heard.at is not None and not self._hears and now - heard.at < DEAF_SECONDS:
                self._tell(hears=True)
            return
        log.error("worker.deaf", seconds=round(silent))
        self._tell(hears=False)
        self._source.give_back()
        if not self.consumer.restart(RESTART_SECONDS) and not self._failed.is_set():
            self._failed.set()
            log.error("worker.hangs")
            self.on_failure()

    def _tell(self, *, hears: bool) -> None:
        if hears is not self._hears:
            self._hears = hears
            self.on_change()
