"""The stores of channels and notifications do the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from app.errors import DuplicateName
from app.mongo import Document
from app.notification.channel_store import Broken, ChannelStateStore, ChannelStore, broken_channels, channel_problem
from app.notification.delivery import LADDER, MOST_ATTEMPTS, Delivery, DeliveryFilter, DeliveryStatus, Try, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.digests.model import Digest, Every
from app.notification.digests.store import DigestStore
from app.notification.message import Fact, Link, Message, MessageKind, Severity
from app.notification.monitor.store import MonitorStore

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Data = Database[Document]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def channel(name: str = "ops", **fields: Any) -> Document:
    made = {
        "name": name,
        "type": "webhook",
        "settings": {"url": "https://x.example.com"},
        "enabled": True,
        "language": "de",
        "fallback": "",
        "version": 1,
    }
    times = {"created_by": "ada", "created_at": NOW, "updated_by": "ada", "updated_at": NOW}
    return {"_id": f"id of {name}", **made, **times, **fields}


def delivery(number: int = 0, channel_id: str = "c", **fields: Any) -> Delivery:
    message = Message(
        key="k",
        thread="t",
        kind=MessageKind.FIRING,
        severity=Severity.BAD,
        title="Night failed",
        text="It broke.",
        at=NOW,
        facts=(Fact(label="Attempts", value="3"),),
        links=(Link(words="Show", url="https://jobs.example.com"),),
        event={"type": "execution.failed"},
    )
    made: dict[str, Any] = {
        "channel_id": channel_id,
        "channel": "ops",
        "type": "webhook",
        "message": message,
        "status": DeliveryStatus.WAITING,
        "created_at": later(number),
        "due_at": later(number),
        "execution_id": f"run {number}",
        "job_id": "job",
    }
    return Delivery(id=f"d{number}", **{**made, **fields})


def a_try(seconds: float, result: str = "unreachable") -> Try:
    return Try(at=later(seconds), took_ms=5, result=result, reason="away", by="host")


def test_channels_are_found_by_name_and_replaced_by_version(database: Data) -> None:
    channels = ChannelStore(database)
    for name in ("b", "a"):
        channels.add(channel(name))
    with pytest.raises(DuplicateName):
        channels.add({**channel("a"), "_id": "other"})
    assert [row["name"] for row in channels.all()] == ["a", "b"]
    assert (channels.count(), channels.by_names(["a", "x"]), channels.by_names([])) == (2, [channel("a")], [])
    assert channels.replace_version(channel("a", version=2, enabled=False), version=1)
    assert not channels.replace_version(channel("a", version=2), version=1)
    with pytest.raises(DuplicateName):
        channels.replace_version({**channel("a"), "_id": "id of b"}, version=1)
    assert channel_problem(channels, "b") is None
    assert channel_problem(channels, "a") == "The channel 'a' is disabled."
    assert "no channel 'x'" in (channel_problem(channels, "x") or "")
    assert [channels.remove("id of a") for _ in range(2)] == [True, False]
    assert channels.get("id of a") is None


def test_a_channel_that_cannot_be_reached_is_looked_at_by_one_node(database: Data) -> None:
    states = ChannelStateStore(database)
    for minute in range(2):
        states.note_unreachable("c", at=later(60 * minute), scout_at=later(30))
    assert states.unreachable() == {"c": NOW}
    assert not states.claim_scout("c", now=later(29), next_at=later(60))
    assert [states.claim_scout("c", now=later(30), next_at=later(60)) for _ in range(2)] == [True, False]
    assert [states.note_reached("c") for _ in range(2)] == [True, False]
    assert (states.unreachable(), states.claim_scout("c", now=later(99), next_at=later(99))) == ({}, False)
    states.note_unreachable("c", at=later(5), scout_at=later(5))
    states.remove("c")
    assert states.unreachable() == {}


def test_a_channel_that_refuses_is_broken_until_it_takes_a_message(database: Data) -> None:
    channels, states = ChannelStore(database), ChannelStateStore(database)
    channels.add(channel("ops"))
    channels.add(channel("off", enabled=False, fallback="ops"))
    for minute, reason in enumerate(("gone", "still gone")):
        for name in ("id of ops", "id of off", "mail", "deleted"):
            states.note_broken(name, at=later(60 * minute), reason=reason)
    assert broken_channels(channels, states) == [(name, Broken(since=NOW, reason="still gone")) for name in ("Mail addresses", "ops")]
    assert states.unreachable() == {}
    states.note_unreachable("mail", at=later(5), scout_at=later(9))
    assert [states.note_reached(name) for name in ("id of ops", "id of ops", "mail")] == [True, False, True]
    assert (broken_channels(channels, states), states.unreachable()) == ([], {})
    states.note_broken("mail", at=later(99), reason="again")
    assert states.broken()["mail"] == Broken(since=later(99), reason="again")
    assert channels.names_falling_back("ops") == ["off"]


def test_a_delivery_is_written_once_and_comes_back_whole(database: Data) -> None:
    deliveries = NotificationDeliveryStore(database)
    deliveries.add([delivery(1), delivery(2)])
    deliveries.add([delivery(2, job_name="other"), delivery(3, instead_of=("ops", "more"))])
    deliveries.add([])
    assert deliveries.get("d2") == delivery(2)
    assert deliveries.get("d3") == delivery(3, instead_of=("ops", "more"))
    assert [item.id for item in deliveries.of_execution("run 1")] == ["d1"]
    assert deliveries.get("d9") is None


def test_the_oldest_due_delivery_of_a_channel_is_claimed_by_one(database: Data) -> None:
    deliveries = NotificationDeliveryStore(database)
    deliveries.add([delivery(2), delivery(1), delivery(3, channel_id="other"), delivery(99)])
    first = deliveries.claim("c", now=later(5), until=later(35), claim="x")
    second = deliveries.claim("c", now=later(5), until=later(35), claim="y")
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("d1", "d2")
    assert deliveries.claim("c", now=later(5), until=later(35), claim="z") is None
    deliveries.renew(["x"], until=later(200))
    deliveries.renew([], until=later(200))
    again = deliveries.claim("c", now=later(36), until=later(70), claim="z")
    assert again is not None
    assert again.id == "d2", "the claim of the other was renewed"
    assert not deliveries.settle(second, DeliveryStatus.SENT, a_try(37, "sent")), "its claim is over"
    assert deliveries.settle(again, DeliveryStatus.SENT, a_try(38, "sent"))
    assert not deliveries.settle(again, DeliveryStatus.REFUSED, a_try(39))
    stored = deliveries.get("d2")
    assert stored is not None
    assert (stored.status, stored.settled_at, stored.attempts, stored.claim) == (DeliveryStatus.SENT, later(38), (a_try(38, "sent"),), None)


def test_the_first_and_the_last_tries_are_kept(database: Data) -> None:
    deliveries = NotificationDeliveryStore(database)
    deliveries.add([delivery()])
    for number in range(MOST_ATTEMPTS + 5):
        claimed = deliveries.claim("c", now=later(number), until=later(number + 1), claim=str(number))
        assert claimed is not None
        assert deliveries.put_off(claimed, a_try(number), due_at=later(number + 1), unknown=number == 0)
    stored = deliveries.get("d0")
    assert stored is not None
    assert [attempt.at for attempt in stored.attempts] == [NOW, *(later(6 + number) for number in range(MOST_ATTEMPTS - 1))]
    assert (stored.failures, stored.unknowns, stored.failing_since) == (MOST_ATTEMPTS + 5, 1, NOW)


def test_a_replay_begins_anew_with_a_key_of_its_own(database: Data) -> None:
    deliveries = NotificationDeliveryStore(database)
    deliveries.add([delivery(1), delivery(2, status=DeliveryStatus.GIVEN_UP, failures=6, failing_since=NOW, settled_at=NOW)])
    assert [deliveries.replay(name, now=later(60)) for name in ("d1", "d2", "d2", "d9")] == [False, True, False, False]
    stored = deliveries.get("d2")
    fresh = replace(delivery(2), due_at=later(60), replays=1)
    assert (stored, fresh.key) == (fresh, "d2-1")


def test_lists_are_filtered_and_old_ones_forgotten(database: Data) -> None:
    deliveries = NotificationDeliveryStore(database)
    deliveries.add([delivery(number, status=DeliveryStatus.SENT if number % 2 else DeliveryStatus.WAITING) for number in range(6)])
    ids = lambda wanted, limit=10: [item.id for item in deliveries.page(wanted, limit=limit)]
    assert ids(DeliveryFilter(), 3) == ["d5", "d4", "d3"]
    assert ids(DeliveryFilter(before=(later(3), "d3"))) == ["d2", "d1", "d0"]
    assert ids(DeliveryFilter(status="sent", begin=later(1), end=later(5))) == ["d3", "d1"]
    assert ids(DeliveryFilter(job_id="job", channel_id="c", execution_id="run 4")) == ["d4"]
    assert ids(DeliveryFilter(job_id="other")) == []
    assert deliveries.count_since(later(1), [DeliveryStatus.SENT]) == 2
    assert deliveries.waiting() == (3, NOW)
    assert deliveries.forget(later(4)) == 2
    assert ids(DeliveryFilter()) == ["d5", "d4", "d2", "d0"], "what waits is kept"


def test_the_same_event_has_the_same_id() -> None:
    assert delivery_id("e", "c", ["a", "b"], "end") == delivery_id("e", "c", ["b", "a"], "end")
    assert len({delivery_id("e", "c", [], kind) for kind in ("end", "test")} | {delivery_id("e", "d", [], "end")}) == 3
    assert LADDER[0] == timedelta(seconds=30)


def test_one_node_at_a_time_calls_the_monitor(database: Data) -> None:
    store, longest = MonitorStore(database), timedelta(minutes=5)
    assert store.pings().pinged_at is None
    assert store.claim_ping(now=NOW, until=later(40), longest=longest)
    assert not store.claim_ping(now=later(39), until=later(80), longest=longest)
    store.note_ping(at=later(1), next_at=later(60), problem="no")
    store.note_ping(at=later(2), next_at=later(60), problem="still no")
    assert (store.pings().failing_since, store.pings().problem, store.pings().pinged_at) == (later(1), "still no", None)
    assert not store.claim_ping(now=later(59), until=later(99), longest=longest)
    assert store.claim_ping(now=later(60), until=later(100), longest=longest)
    store.note_ping(at=later(61), next_at=later(120), problem="")
    assert (store.pings().failing_since, store.pings().problem, store.pings().pinged_at) == (None, "", later(61))
    assert store.claim_ping(now=later(-86_400), until=later(-86_000), longest=longest), "that time is too far away to be right"


def test_an_incident_has_its_mails(database: Data) -> None:
    store, longest, after = MonitorStore(database), timedelta(days=31), timedelta(seconds=10)
    assert store.incident() is None
    assert not store.close(now=NOW, after=after)
    assert store.open(["deliveries"], now=NOW)
    assert not store.open(["deliveries", "follow_ups"], now=later(1))
    first = store.claim_mail(now=later(1), until=later(60), longest=longest)
    assert first is not None
    assert (first.parts, first.mails, first.since) == (("deliveries", "follow_ups"), 0, NOW)
    assert store.claim_mail(now=later(2), until=later(60), longest=longest) is None
    store.note_mail(first, at=later(3), next_at=later(90), problem="")
    assert store.claim_mail(now=later(89), until=later(120), longest=longest) is None
    assert not store.close(now=later(5), after=after)
    assert not store.open(["deliveries"], now=later(6)), "it came back, and is the same incident"
    assert not store.close(now=later(16), after=after)
    assert store.close(now=later(26), after=after)
    assert not store.close(now=later(40), after=after)
    last = store.claim_mail(now=later(26), until=later(60), longest=longest)
    assert last is not None
    assert (last.is_open, last.mails, last.id) == (False, 1, first.id)
    store.note_mail(last, at=later(27), next_at=None, problem="")
    assert store.claim_mail(now=later(86_400), until=later(86_460), longest=longest) is None
    assert store.open(["follow_ups"], now=later(100))
    again = store.incident()
    assert again is not None
    assert (again.id != first.id, again.mails) == (True, 0)
    store.close(now=later(101), after=after)
    assert store.close(now=later(111), after=after)
    assert store.claim_mail(now=later(200), until=later(260), longest=longest) is None, "nobody was told of it"


def digest(name: str = "Ops", **fields: Any) -> Digest:
    made = {"created_at": NOW, "created_by": "ada", "updated_at": NOW, "updated_by": "ada"}
    usual: dict[str, Any] = {"every": Every.DAILY, "weekday": "monday", "at": "07:00", "only_if_any": False, "enabled": True, "version": 1}
    return Digest(**{"id": f"id of {name}", "name": name, "to": ("channel:ops",), "next_at": later(60), **usual, **made, **fields})


def test_digests_are_kept_and_changed_by_one_person_at_a_time(database: Data) -> None:
    store = DigestStore(database)
    assert store.add(digest())
    assert not store.add(digest())
    store.add(digest("Dev", to=("a@example.com",)))
    store.add(digest("", id="person-1", owner_id="1", to=()))
    store.add(digest("", id="person-2", owner_id="2", to=()))
    assert [row.name for row in store.of_teams()] == ["Dev", "Ops"]
    assert store.get("id of Ops") == digest()
    assert store.get("none") is None
    assert store.names_telling("channel:ops") == ["Ops"]
    changed = digest(version=2, at="08:00", last_day="2030-01-01")
    assert store.replace_version(changed, version=1)
    assert not store.replace_version(changed, version=1)
    stored = store.get("id of Ops")
    assert stored is not None
    assert (stored.at, stored.version, stored.last_day) == ("08:00", 2, ""), "what sending has written stays"
    assert store.remove("id of Ops")
    assert not store.remove("id of Ops")


def test_a_digest_is_claimed_and_finished_once(database: Data) -> None:
    store = DigestStore(database)
    for made in (digest("A"), digest("B", next_at=later(30)), digest("Off", enabled=False), digest("Late", next_at=later(999))):
        store.add(made)
    assert [row.name for row in store.due(later(60), 10)] == ["B", "A"]
    assert store.due(later(29), 10) == []
    first = store.due(later(60), 10)[1]
    assert store.claim(first, now=later(60), until=later(90))
    assert not store.claim(first, now=later(89), until=later(120))
    assert [row.name for row in store.due(later(60), 10)] == ["B"]
    assert store.claim(first, now=later(90), until=later(120)), "whoever claimed it was killed"
    store.finish(first, day="2026-03-02", until=later(60), failing=["j"], next_at=later(500))
    store.finish(first, day="2026-03-02", until=later(70), failing=[], next_at=later(900))
    stored = store.get(first.id)
    assert stored is not None
    assert (stored.last_day, stored.last_until, stored.failing, stored.next_at) == ("2026-03-02", later(60), ("j",), later(500))
    second = store.due(later(60), 10)[0]
    assert store.claim(second, now=later(60), until=later(90))
    assert store.replace_version(digest("B", version=2, next_at=later(70)), version=1)
    store.finish(second, day="2026-03-02", until=later(60), failing=[], next_at=later(500))
    stored = store.get(second.id)
    assert stored is not None
    assert (stored.last_day, stored.next_at) == ("2026-03-02", later(70)), "a person has changed it meanwhile"
    assert [row.name for row in store.due(later(70), 10)] == ["B"]
