"""The watch of a worker over its consumer: what it consumes, and when it says that no message reaches it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest

from app.broker.base import BrokerAway, Heard
from app.clock import ManualClock
from app.mongo import StoreUnavailable
from app.node.hearing import DEAF_SECONDS, NEEDS_SECONDS, PROBE_SECONDS, Hearing
from app.node.work_source import PushedSource

NO_NEEDS: list[tuple[str, ...]] = [()]


class Consumer:
    """A consumer that takes each probe, unless it is deaf. It lets go of its connection unless it hangs."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.queues = clock, tuple[str, ...]()
        self.since: float | None = clock.monotonic()
        self.at: float | None = None
        self.restarts, self.hangs, self.deaf = 0, False, False

    def start(self) -> None:
        pass

    def consume(self, queues: Collection[str]) -> None:
        self.queues = tuple(queues)

    def heard(self) -> Heard:
        return Heard(since=self.since, at=self.at)

    def restart(self, timeout_seconds: float) -> bool:
        self.restarts += 1
        if not self.hangs:
            self.since, self.at = self.clock.monotonic(), None
        return not self.hangs

    def stop(self, timeout_seconds: float) -> bool:
        self.since = None
        return True


class Probes:
    """Publishes the probes of one worker, unless the broker is away."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer, self.away, self.sent, self.forgotten = consumer, False, 0, list[str]()

    def probe(self, worker: str, text: str) -> None:
        if self.away:
            raise BrokerAway("gone")
        self.sent += 1
        if not self.consumer.deaf and self.consumer.since is not None:
            self.consumer.at = self.consumer.clock.monotonic()

    def forget(self, worker: str) -> None:
        self.forgotten.append(worker)

    def publish(self, hints: Sequence[tuple[str, str]]) -> None:
        raise AssertionError("a worker announces nothing")

    def ping(self) -> None:
        pass

    def product(self) -> tuple[str, str, str]:
        return "", "", ""

    def close(self) -> None:
        pass


class House:
    """A worker with the label gpu."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
        self.consumer = Consumer(self.clock)
        self.probes = Probes(self.consumer)
        self.needs: list[tuple[str, ...]] | Exception = list(NO_NEEDS)
        self.rests, self.changes, self.failures = False, 0, 0
        self.hearing = Hearing(
            worker="w",
            routes=["default"],
            labels=["gpu"],
            source=PushedSource(None, self.clock),  # type: ignore[arg-type]  # nothing is claimed
            consumer=self.consumer,
            publisher=self.probes,
            needs=self._needs_of_waiting,
            rests=lambda: self.rests,
            clock=self.clock,
        )
        self.hearing.on_change, self.hearing.on_failure = self._changed, self._failed

    def _needs_of_waiting(self) -> list[tuple[str, ...]]:
        if isinstance(self.needs, Exception):
            raise self.needs
        return self.needs

    def _changed(self) -> None:
        self.changes += 1

    def _failed(self) -> None:
        self.failures += 1

    def turns(self, seconds: float) -> None:
        """A turn each second."""
        for _ in range(round(seconds)):
            self.hearing.turn()
            self.clock.advance(1)

    @property
    def hears(self) -> bool | None:
        return self.hearing.listening()[1]


@pytest.fixture
def house() -> House:
    return House()


def test_it_hears_as_long_as_it_takes_its_probes(house: House) -> None:
    house.turns(10 * DEAF_SECONDS)
    assert (house.hears, house.consumer.restarts) == (True, 0)
    assert house.probes.sent == round(10 * DEAF_SECONDS / PROBE_SECONDS)


def test_one_that_takes_nothing_is_deaf_until_it_takes_a_probe_again(house: House) -> None:
    house.turns(15)
    house.consumer.deaf = True
    house.turns(DEAF_SECONDS + 2)
    assert (house.hears, house.consumer.restarts, house.failures) == (False, 1, 0)
    house.turns(5)
    assert house.hears is False, "to be connected is not enough"
    house.consumer.deaf = False
    house.turns(PROBE_SECONDS + 2)
    assert house.hears is True
    assert house.changes == 3, "its queues; deaf; and not any more"


def test_one_that_hangs_in_its_connection_ends_its_process_once(house: House) -> None:
    house.consumer.deaf = house.consumer.hangs = True
    house.turns(3 * DEAF_SECONDS)
    assert house.consumer.restarts > 1
    assert (house.hears, house.failures) == (False, 1)


def test_a_broker_that_is_away_makes_no_connection_suspect(house: House) -> None:
    house.turns(15)
    house.probes.away = house.consumer.deaf = True
    house.turns(3 * DEAF_SECONDS)
    assert (house.consumer.restarts, house.hears) == (0, True)


@pytest.mark.parametrize("before", [0, 100])
def test_one_that_cannot_connect_is_no_capacity(house: House, before: int) -> None:
    """A wrong password or address of one worker alone: it would be announced runs that it never takes."""
    house.turns(before)
    house.consumer.since = house.consumer.at = None
    house.turns(DEAF_SECONDS - 2)
    assert house.hears is True
    house.turns(4)
    assert (house.hears, house.consumer.restarts, house.failures) == (False, 0, 0)
    house.consumer.since = house.clock.monotonic()
    house.turns(2)
    assert house.hears is True


def test_queues_follow_the_labels_that_are_needed_and_rests(house: House) -> None:
    house.turns(1)
    plain = house.consumer.queues
    house.needs = [("gpu",), ("gpu", "site=berlin")]
    house.turns(NEEDS_SECONDS + 1)
    assert {name.removesuffix(".gpu") for name in house.consumer.queues} == set(plain)
    house.rests, house.needs = True, StoreUnavailable("gone")
    house.turns(1)
    assert house.consumer.queues == (), "at once, and also if the database is away"
    house.rests = False
    house.turns(2 * NEEDS_SECONDS)
    assert len(house.consumer.queues) == 2 * len(plain), "what it knew before"


@pytest.mark.parametrize("away", [False, True])
def test_a_stop_does_not_wait_for_a_broker_that_is_away(house: House, away: bool) -> None:
    house.turns(1)
    house.probes.away = away
    house.turns(PROBE_SECONDS + 1)
    house.consumer.stop(1)
    house.hearing.close()
    assert house.probes.forgotten == ([] if away else ["w"])
