"""Senders of notifications that are killed with -9, receivers that fail now and then, and one that is away: nothing is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from app.audit.model import Actor
from app.config import Settings
from app.factory import Store, build_services
from app.factory.stores import Stores
from app.jobtemplates.catalogue import Catalogue
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.message import Message, MessageKind, Severity
from app.queue.owing import Owing
from tests.builders.channels import Receiver, receiver
from tests.faults.send_until_killed import FastClock
from tests.lengths import LONG
from tests.support import eventually

EVENTS = 10_000 if LONG else 300
SPEED = 1.0 if LONG else 5.0
CHANNELS, FAILING = 5, 0.1
KILLS = (0.2, 0.5)  # after which share of the messages
PROMISE = timedelta(seconds=60)  # from the return of a channel to its last message
DOUBLED = 0.001  # share of the messages that may come twice, of many


@pytest.fixture
def targets() -> Iterator[list[Receiver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(receiver()) for _ in range(CHANNELS)]


def delivery(number: int, channel: dict[str, str], clock: FastClock) -> Delivery:
    now, made_id = clock.now(), delivery_id(f"event {number}", channel["_id"], (), "end")
    message = Message(
        key=made_id,
        thread=str(number),
        kind=MessageKind.FIRING,
        severity=Severity.BAD,
        title=f"Night {number} failed",
        text="It broke.",
        at=now,
    )
    return Delivery(
        id=made_id,
        channel_id=channel["_id"],
        channel=channel["name"],
        type="webhook",
        message=message,
        status=DeliveryStatus.WAITING,
        created_at=now,
        due_at=now,
    )


@pytest.mark.slow
def test_no_notification_is_lost_when_senders_are_killed(
    store: Store, mongod: str, settings: Settings, catalogue: Catalogue, super_admin: Actor, targets: list[Receiver]
) -> None:
    began, chance = time.time(), random.Random(22)
    clock = FastClock(began, SPEED)
    services, log = build_services(settings, store, catalogue=catalogue), Stores.over(store.database, Owing()).notification_deliveries
    for target in targets:
        target.failing, target.chance = FAILING, chance
    targets[-1].failing = 1.0  # it is away
    channels = [
        services.channels.create(super_admin, name=f"c{number}", type="webhook", settings={"url": target.url})
        for number, target in enumerate(targets)
    ]
    written = [delivery(number, channels[number % CHANNELS], clock) for number in range(EVENTS)]
    log.add(written)

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.send_until_killed", mongod, store.database.name, str(began), str(SPEED)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def taken() -> int:
        return sum(len(target.got) for target in targets)

    sender = start()
    try:
        for share in KILLS:
            eventually(lambda share=share: taken() >= EVENTS * share, seconds=60 + EVENTS / 20, every=0.001)
            sender.kill()
            assert sender.wait() == -9
            sender = start()
        near = 1 - 1 / CHANNELS - 2 * FAILING * FAILING
        eventually(lambda: taken() >= EVENTS * near, seconds=60 + EVENTS / 20)
        for target in targets:
            target.failing = 0.0
        returned = clock.now()
        eventually(lambda: log.waiting()[0] == 0, seconds=60 + EVENTS / 20, every=0.1)
    finally:
        sender.kill()
        sender.wait()
        services.samples.close()
    got = Counter(key for target in targets for key in target.keys)
    assert set(got) == {item.key for item in written}, "all of them, and each with its own key"
    doubled = sum(count - 1 for count in got.values())
    # One of each channel may have been taken, and not yet noted, when the sender was killed: of 10,000 messages that is a thousandth.
    assert doubled <= len(KILLS) * CHANNELS, doubled
    assert doubled <= EVENTS * DOUBLED or not LONG, doubled
    rows = [log.get(item.id) for item in written]
    assert {row.status for row in rows if row} == {DeliveryStatus.SENT}
    last = max(row.settled_at for row in rows if row and row.settled_at)
    assert last - returned <= PROMISE
    tries = sum(len(row.attempts) for row in rows if row)
    assert tries >= EVENTS * (1 + FAILING / 2), "the receivers did fail"
    print(f"{EVENTS} events: {doubled} twice, the last one {(last - returned).total_seconds():.1f} s after the return, {tries} tries")
