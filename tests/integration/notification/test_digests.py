"""Digests: what they say, to whom, when, and how often: once for each local day, whatever happens to nodes and clocks."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock, SystemClock
from app.config import Settings
from app.errors import Forbidden, NotFound, StaleVersion, ValidationFailed
from app.factory import Store, build_node, build_services
from app.factory.alerts import build_alert_ends
from app.factory.digests import build_digest_sender
from app.factory.notifications import build_sender
from app.factory.stores import Stores
from app.jobs.model import Job, RetryOn
from app.notification.channels.discord.channel import Discord
from app.notification.channels.mail.channel import as_html
from app.notification.channels.slack.channel import Slack
from app.notification.delivery import Delivery, DeliveryFilter
from app.notification.digests.model import MOST_LINES, Digest, Every
from app.notification.digests.sections import slower_than_before
from app.notification.digests.sending import DigestSender
from app.notification.digests.times import begin_of, day_of, due_by, next_due
from app.notification.incidents.incident import IncidentFilter
from app.queue.model import AttemptError, Reason, Status
from app.queue.owing import Owing
from app.services import Services
from tests.builders.killed import Killed, killed_at_write
from tests.builders.mail import Inbox, mail_server
from tests.builders.queue import Queue, new_execution
from tests.conftest import START
from tests.support import PASSWORD, eventually

BERLIN = "Europe/Berlin"
TEAM: dict[str, Any] = {"name": "Ops", "to": ["ops@example.com"], "every": "daily", "at": "07:00", "timezone": BERLIN}


class House:
    def __init__(self, store: Store, settings: Settings, services: Services, clock: ManualClock, actor: Actor) -> None:
        self.store, self.clock, self.actor = store, clock, actor
        self.settings = replace(settings, notify_connection="Mail", public_url="https://jobs.example.com/")
        self.services = build_services(self.settings, store, clock=clock, catalogue=services.catalogue)
        self.stores, self.executions = Stores.over(store.database, Owing()), Queue(store.database)
        self.sender = self.another_sender()
        self.number = 0

    def another_sender(self) -> DigestSender:
        return build_digest_sender(self.settings, self.stores, self.services)

    def job(self, name: str, **fields: Any) -> Job:
        body = {"name": name, "template_type": "noop", "schedule": {"type": "cron", "expression": "0 * * * *"}, **fields}
        return self.services.jobs.create(self.actor, body)[0]

    def end(self, job: Job, status: Status, *, ago: float = 3600, seconds: float | None = None, **fields: Any) -> str:
        """Writes an execution that ended some seconds ago."""
        at, self.number = self.clock.now() - timedelta(seconds=ago), self.number + 1
        document = new_execution(job, now=at, status=status, **fields)
        error = AttemptError(type="Boom", message="it <broke>", kind=RetryOn.ERROR).as_document() if status == Status.FAILED else None
        self.store.database["job_executions"].insert_one(
            {**document.as_document(), "error": error, "duration_seconds": seconds, "live": False}
        )
        return document.id

    def deliveries(self) -> list[Delivery]:
        return sorted(self.stores.notification_deliveries.page(DeliveryFilter(), limit=100), key=lambda row: row.created_at)

    def to(self, at: datetime) -> None:
        """Moves the clock on."""
        self.clock.advance((at - self.clock.now()).total_seconds())

    def text(self) -> str:
        (delivery,) = self.deliveries()
        return delivery.message.as_text()


@pytest.fixture
def house(store: Store, settings: Settings, services: Services, clock: ManualClock, super_admin: Actor) -> House:
    return House(store, settings, services, clock, super_admin)


def local(text: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def digest(**fields: Any) -> Digest:
    made = {"created_at": START, "created_by": "a", "updated_at": START, "updated_by": "a"}
    usual: dict[str, Any] = {"every": Every.DAILY, "weekday": "monday", "at": "07:00", "only_if_any": False, "enabled": True}
    return Digest(**{"id": "d", "version": 1, **usual, **made, **fields})


# -- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "zone", "now", "expected"),
    [
        ({}, "UTC", "2026-03-02T06:59:59", "2026-03-02T07:00:00"),
        ({}, "UTC", "2026-03-02T07:00:00", "2026-03-03T07:00:00"),
        ({}, BERLIN, "2026-03-02T06:00:00", "2026-03-03T06:00:00"),
        ({"last_day": "2026-03-02"}, "UTC", "2026-03-02T01:00:00", "2026-03-03T07:00:00"),
        ({"every": Every.WEEKLY, "weekday": "monday"}, "UTC", "2026-03-02T07:00:00", "2026-03-09T07:00:00"),
        ({"every": Every.WEEKLY, "weekday": "sunday"}, "UTC", "2026-03-02T07:00:00", "2026-03-08T07:00:00"),
        # The clock in Berlin skips 02:30 on 29 March 2026, and has it twice on 25 October.
        ({"at": "02:30"}, BERLIN, "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ({"at": "02:30", "last_day": "2026-03-29"}, BERLIN, "2026-03-29T01:00:00", "2026-03-30T00:30:00"),
        ({"at": "02:30"}, BERLIN, "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ({"at": "02:30", "last_day": "2026-10-25"}, BERLIN, "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ({"at": "02:15"}, "Australia/Lord_Howe", "2026-10-03T12:00:00", "2026-10-03T15:30:00"),
    ],
)
def test_when_the_next_one_is_due(fields: dict[str, Any], zone: str, now: str, expected: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_due(digest(**fields), zone, at) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_last_day_far_ahead_does_not_make_it_search_forever() -> None:
    assert next_due(digest(last_day="9999-12-31"), "UTC", START) is None


@pytest.mark.parametrize("zone", [BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Auckland", "UTC"])
@pytest.mark.parametrize("at", ["00:00", "02:30", "23:59"])
def test_each_local_day_of_two_years_has_one_digest(zone: str, at: str) -> None:
    made, now, days = digest(at=at), datetime(2026, 1, 1, 12, tzinfo=UTC), []
    end = now + timedelta(days=730)
    while (due := next_due(made, zone, now)) is not None and due < end:
        assert due_by(made, zone, due) == due
        days.append(day_of(due, zone))
        made, now = replace(made, last_day=days[-1], last_until=due), due
        assert due_by(made, zone, due + timedelta(hours=3)) is None
    dates = [datetime.fromisoformat(day) for day in days]
    assert len(days) >= 729
    assert {later - first for first, later in pairwise(dates)} == {timedelta(days=1)}


def test_after_an_outage_one_digest_covers_the_time() -> None:
    made = digest(last_day="2026-03-02", last_until=datetime(2026, 3, 2, 7, tzinfo=UTC))
    due = due_by(made, "UTC", datetime(2026, 3, 6, 9, 30, tzinfo=UTC))
    assert due == datetime(2026, 3, 6, 7, tzinfo=UTC)
    assert begin_of(made, due) == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert begin_of(replace(made, last_until=None), due) == datetime(2026, 3, 5, 7, tzinfo=UTC)
    assert begin_of(replace(made, last_until=datetime(2025, 1, 1, tzinfo=UTC)), due) == due - timedelta(days=31)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([16.0], [10.0] * 19 + [12.0], (16.0, 10.0)),
        ([14.0], [10.0] * 19 + [12.0], None),  # by less than half
        ([0.9], [0.1] * 40, None),  # by less than a second
        ([30.0], [10.0] * 19, None),  # too few to say
        ([30.0], [10.0] * 15 + [60.0] * 6, None),  # often as long before
        ([], [10.0] * 40, None),
        ([1.0, 50.0, 60.0], [10.0] * 40, (50.0, 10.0)),
    ],
)
def test_what_is_slower(new: list[float], old: list[float], expected: tuple[float, float] | None) -> None:
    assert slower_than_before(new, old) == expected


# -- contents -----------------------------------------------------------------------------------------------------


def test_a_digest_says_what_happened(house: House) -> None:
    night, day, slow, gone = house.job("Night"), house.job("Day"), house.job("Slow"), house.job("Gone")
    house.clock.advance(9 * 86_400)
    house.job("Young")
    house.services.digests.create(house.actor, TEAM)
    for n in range(30):
        house.end(slow, Status.SUCCESS, ago=200_000 + n, seconds=10.0)
    house.to(local("2026-03-12T06:59"))
    house.end(night, Status.FAILED, ago=3000)
    last = house.end(night, Status.FAILED, ago=2000)
    house.end(day, Status.FAILED, ago=3000)
    house.end(day, Status.SUCCESS, ago=2000)
    house.end(slow, Status.SUCCESS, ago=1000, seconds=25.0)
    house.end(gone, Status.MISSED, ago=900, reason=Reason.MISFIRE)
    house.end(gone, Status.SKIPPED, ago=800, reason=Reason.OVERLAP)
    house.end(gone, Status.FAILED, ago=90_000)  # of the day before
    house.services.connections.create(
        house.actor, name="Files", kind="smtp", settings={"host": "x", "port": 1, "security": "none", "sender": "a@example.com"}
    )
    assert house.sender.tick() == 0, "it is not due yet"
    house.clock.advance(60)
    assert house.sender.tick() == 1
    (delivery,) = house.deliveries()
    assert (delivery.channel_id, delivery.recipients, delivery.type) == ("mail", ("ops@example.com",), "mail")
    text = house.text()
    for words in (
        "Failed (1)",
        "Night: 2 failed runs",
        "it <broke>",
        f"https://jobs.example.com/executions/{last}",
        "Recovered (1)",
        "Day works again, after 1 failed run",
        "Slower than before (1)",
        "Slow took 25.0 s (median), before 10.0 s",
        "Missed (1)",
        "Gone: 1 missed run",
        "Skipped (1)",
        "Never ran (4)",
        "(Europe/Berlin)",
        "Failed runs: 3",
    ):
        assert words in text, words
    assert "Young" not in text
    assert delivery.message.title == "Ops: 2026-03-12"
    assert "it &lt;broke&gt;" in as_html(delivery.message)
    assert delivery.message.event["counts"]["failed"] == 1


def test_what_failed_before_and_works_again_is_told_once(house: House) -> None:
    night = house.job("Night")
    house.services.digests.create(house.actor, TEAM)
    house.to(local("2026-03-03T07:00"))
    house.end(night, Status.FAILED)
    house.sender.tick()
    house.to(local("2026-03-04T07:00"))
    house.end(night, Status.SUCCESS)
    house.sender.tick()
    house.to(local("2026-03-05T07:00"))
    house.end(night, Status.SUCCESS)
    house.sender.tick()
    texts = [delivery.message.as_text() for delivery in house.deliveries()]
    assert ["Night: 1 failed run" in text for text in texts] == [True, False, False]
    assert ["Night works again" in text for text in texts] == [False, True, False]


def test_nothing_to_say_is_said_or_not(house: House) -> None:
    house.services.digests.create(house.actor, TEAM)
    quiet = house.services.digests.create(house.actor, {**TEAM, "name": "Quiet", "only_if_any": True})
    job = house.job("Day")
    house.to(local("2026-03-03T07:00"))
    house.end(job, Status.SUCCESS)
    house.end(job, Status.SKIPPED, reason=Reason.OVERLAP)
    assert house.sender.tick() == 2
    assert [delivery.message.title for delivery in house.deliveries()] == ["Ops: 2026-03-03"]
    stored = house.services.digests.get(house.actor, quiet.id)
    assert (stored.last_day, stored.next_at) == ("2026-03-03", local("2026-03-04T07:00"))


def test_a_digest_is_bounded(house: House) -> None:
    jobs = [house.job(f"Job {n:03} {'x' * 80}") for n in range(MOST_LINES + 15)]
    house.services.digests.create(house.actor, TEAM)
    house.to(local("2026-03-03T07:00"))
    for job in jobs:
        house.end(job, Status.FAILED)
    house.sender.tick()
    (delivery,) = house.deliveries()
    message = delivery.message
    (failed,) = [part for part in message.parts if part.title.startswith("Failed")]
    assert (failed.title, len(failed.lines)) == (f"Failed ({MOST_LINES + 15})", MOST_LINES + 1)
    assert (failed.lines[-1].words, failed.lines[-1].url) == ("… and 15 more", "https://jobs.example.com/executions?status=failed")
    assert len(message.text) < 3000
    assert max(len(block["text"]["text"]) for block in Slack().payload(message)["blocks"] if "text" in block) <= 3000
    assert len(Discord().payload(message)["embeds"][0]["description"]) <= 3000


def test_only_jobs_of_its_groups_and_tags(house: House) -> None:
    for name, fields in {"Red": {"group": "red"}, "Blue": {"group": "blue", "tags": ["x"]}, "Grey": {"tags": ["x", "y"]}}.items():
        house.end(house.job(name, **fields), Status.FAILED)
    digests = house.services.digests
    for name, fields in {"A": {"groups": ["red"]}, "B": {"tags": ["x"]}, "C": {"groups": ["blue"], "tags": ["y"]}}.items():
        digests.create(house.actor, {**TEAM, "name": name, **fields})
    said = {made.name: digests.preview(house.actor, made.id, language="en").message.as_text() for made in digests.all(house.actor)}
    assert {name: [job for job in ("Red", "Blue", "Grey") if f"{job}: 1 failed run" in text] for name, text in said.items()} == {
        "A": ["Red"],
        "B": ["Blue", "Grey"],
        "C": [],
    }


def test_open_incidents_are_named_with_who_has_acknowledged_them(house: House) -> None:
    rules, digests = house.services.alert_rules, house.services.digests
    body = {"condition": {"type": "failed"}, "to": ["ops@example.com"]}
    rules.create(house.actor, {**body, "name": "Failures"})
    rules.create(house.actor, {**body, "name": "Waits", "wait_seconds": 86_400})
    ends = build_alert_ends(house.stores, house.services)
    for name, group in (("Night", "red"), ("Day", "blue"), ("Over", "red")):
        job = house.job(name, group=group)
        for status in (Status.FAILED, Status.SUCCESS)[: 2 if name == "Over" else 1]:
            found = house.stores.queue.get(house.end(job, status, ago=1800 if status is Status.SUCCESS else 3600))
            assert found is not None
            ends.carry_out(found)
    rows, _ = house.services.incidents.page(house.actor, IncidentFilter(open=True, state="firing"), limit=10)
    (day,) = (row for row in rows if row.subject.name == "Day")
    house.services.incidents.acknowledge(house.actor, day.id)
    waiting, _ = house.services.incidents.page(house.actor, IncidentFilter(state="pending"), limit=10)
    house.services.incidents.acknowledge(house.actor, waiting[0].id)  # nobody was told of it
    named = {}
    for name, fields in {"A": {}, "B": {"groups": ["red"]}, "C": {"tags": ["x"]}}.items():
        made = digests.create(house.actor, {**TEAM, "name": name, **fields})
        parts = digests.preview(house.actor, made.id, language="en").message.parts
        named[name] = [line.words for part in parts if part.title.startswith("Open incidents") for line in part.lines]
    since = f"{START - timedelta(hours=1):%Y-%m-%d}"
    night = f"Night (Failures), since {since}"
    day_words = f"Day (Failures), since {since}, acknowledged by {house.actor.name}"
    assert {name: sorted(lines) for name, lines in named.items()} == {"A": [day_words, night], "B": [night], "C": []}


def test_people_who_are_kept_to_groups(house: House) -> None:
    accounts, digests = house.services.accounts, house.services.digests
    user = accounts.create_user(SYSTEM, email="red@example.com", password=PASSWORD, role=Role.ADMIN)
    accounts.change(SYSTEM, user.id, {"groups": ["red"]})
    limited = Actor(id=user.id, email=user.email, role="admin", via="web", groups=frozenset({"red"}))
    everything = digests.create(house.actor, TEAM)
    for groups in ([], ["blue"], ["red", "blue"]):
        with pytest.raises(ValidationFailed, match="your groups"):
            digests.create(limited, {**TEAM, "name": "Mine", "groups": groups})
    mine = digests.create(limited, {**TEAM, "name": "Mine", "groups": ["red"]})
    assert [row.name for row in digests.all(limited)] == ["Mine"]
    assert [row.name for row in digests.all(house.actor)] == ["Mine", "Ops"]
    with pytest.raises(NotFound):
        digests.get(limited, everything.id)
    with pytest.raises(NotFound):
        digests.delete(limited, everything.id)
    with pytest.raises(ValidationFailed):
        digests.update(limited, mine.id, {**TEAM, "name": "Mine"})
    for name in ("red", "blue"):
        house.end(house.job(name, group=name), Status.FAILED)
    digests.set_mine(limited, {"every": "daily", "at": "07:00"})
    house.to(datetime(2026, 3, 3, 7, tzinfo=UTC))
    house.sender.tick()
    own = next(delivery for delivery in house.deliveries() if delivery.recipients == ("red@example.com",))
    assert "red: 1 failed run" in own.message.as_text()
    assert "blue" not in own.message.as_text()
    with pytest.raises(Forbidden):
        digests.all(Actor(id="u", email="u@example.com", role="user", via="web"))


# -- sending ------------------------------------------------------------------------------------------------------


def test_one_for_each_local_day_with_several_nodes(house: House) -> None:
    house.services.digests.create(house.actor, TEAM)
    senders = [house.another_sender() for _ in range(4)]
    for day in range(3, 7):
        house.to(local(f"2026-03-0{day}T07:00"))
        barrier = threading.Barrier(len(senders))

        def run(sender: DigestSender, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for _ in range(5):
                sender.tick()

        threads = [threading.Thread(target=run, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [delivery.message.title for delivery in house.deliveries()] == [f"Ops: 2026-03-0{day}" for day in range(3, 7)]


def test_killed_at_any_write_it_is_sent_once(house: House) -> None:
    digests = house.services.digests
    made = digests.create(house.actor, TEAM)
    for writes, day in enumerate(range(3, 12)):
        house.to(local(f"2026-03-{day:02}T07:00"))
        with pytest.raises(Killed) if writes < 4 else nullcontext(), killed_at_write(writes):
            house.sender.tick()
        if writes == 2:  # the message is written, and the day is not noted: a change of the recipients sends no second one
            body = {**TEAM, "to": ["other@example.com"]}
            digests.update(house.actor, made.id, body)
        for _ in range(3):
            house.clock.advance(200)
            house.another_sender().tick()
        assert len(house.deliveries()) == day - 2, f"killed at write {writes}"


def test_a_change_meanwhile_is_kept_and_sends_no_second_one(house: House) -> None:
    digests = house.services.digests
    made = digests.create(house.actor, TEAM)
    house.to(local("2026-03-03T07:00"))
    house.sender.tick()
    changed = digests.update(house.actor, made.id, {**TEAM, "at": "09:00"}, version=1)
    assert changed.next_at == local("2026-03-04T09:00"), "today has had one"
    with pytest.raises(StaleVersion):
        digests.update(house.actor, made.id, TEAM, version=1)
    house.to(local("2026-03-03T12:00"))
    assert house.sender.tick() == 0
    digests.update(house.actor, made.id, {**TEAM, "enabled": False})
    house.to(local("2026-03-06T12:00"))
    assert (house.sender.tick(), len(house.deliveries())) == (0, 1)


def test_a_digest_at_a_time_that_the_clock_skips_and_repeats(house: House) -> None:
    house.services.digests.create(house.actor, {**TEAM, "at": "02:30"})
    titles = []
    for begin in ("2026-03-28T12:00", "2026-10-24T12:00"):
        house.to(local(begin))
        house.sender.tick()
        before = len(house.deliveries())
        for _ in range(2 * 24 * 4):
            house.clock.advance(900)
            house.sender.tick()
        titles.append([delivery.message.title for delivery in house.deliveries()[before:]])
    assert titles == [["Ops: 2026-03-29", "Ops: 2026-03-30"], ["Ops: 2026-10-25", "Ops: 2026-10-26"]]


def test_a_node_writes_what_is_due(store: Store, settings: Settings, services: Services, super_admin: Actor) -> None:
    built = build_services(settings, store, clock=SystemClock(), catalogue=services.catalogue)
    made = built.digests.create(super_admin, TEAM)
    store.database["digests"].update_one({"_id": made.id}, {"$set": {"next_at": START}})
    node = build_node(settings, store, built, None)
    node.start()
    try:
        eventually(lambda: built.deliveries.page(super_admin, DeliveryFilter(), limit=5)[0])
    finally:
        node.drain(0)
    ((delivery,), _) = built.deliveries.page(super_admin, DeliveryFilter(), limit=5)
    assert delivery.message.title.startswith("Ops: ")


def test_mine_comes_by_mail_in_my_language_and_my_zone(house: House, tmp_path: Path) -> None:
    inbox, digests = Inbox(), house.services.digests
    house.services.preferences.set_reading(house.actor, "America/New_York", "de")
    assert digests.mine(house.actor) is None
    made = digests.set_mine(house.actor, {"every": "weekly", "weekday": "tuesday", "at": "08:15"})
    assert made.next_at == local("2026-03-03T08:15", "America/New_York")
    house.services.preferences.set_reading(house.actor, BERLIN, "de")
    digests.replan_mine(house.actor)
    moved = digests.mine(house.actor)
    assert moved is not None
    assert moved.next_at == local("2026-03-03T08:15")
    house.end(house.job("Nacht"), Status.FAILED)
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(house.actor, name="Mail", kind="smtp", settings=dict(grant.settings))
        house.to(local("2026-03-03T08:15"))
        house.sender.tick()
        assert build_sender(house.stores, house.services).send_due() == 1
    ((recipients, content),) = inbox.mails
    mail: Any = message_from_bytes(content, policy=policy.default)
    assert recipients == [house.actor.email]
    assert mail["Subject"] == "Wöchentlicher Kurzbericht vom 2026-03-03"
    assert "Nacht: 1 fehlgeschlagener Lauf" in mail.get_body(("plain",)).get_content()
    digests.set_mine(house.actor, {"every": "never", "at": "08:15"})
    house.to(local("2026-03-20T08:15"))
    assert (house.sender.tick(), len(house.deliveries())) == (0, 1)


def test_who_may_see_nothing_any_more_gets_nothing(house: House, admin: Actor) -> None:
    house.services.digests.set_mine(admin, {"every": "daily", "at": "07:00"})
    house.services.accounts.change(SYSTEM, admin.id, {"disabled": True})
    house.to(datetime(2026, 3, 3, 7, tzinfo=UTC))
    house.sender.tick()
    house.clock.advance(86_400)
    assert (house.sender.tick(), house.deliveries()) == (0, [])


def test_channels_have_their_language(house: House) -> None:
    fields = {"type": "webhook", "settings": {"url": "https://x.example.com"}}
    house.services.channels.create(house.actor, name="ops", language="de", **fields)
    house.services.digests.create(house.actor, {**TEAM, "to": ["a@example.com", "channel:ops", "channel:ops"]})
    house.to(local("2026-03-03T07:00"))
    house.sender.tick()
    assert sorted((delivery.channel, delivery.message.language) for delivery in house.deliveries()) == [("mail", "en"), ("ops", "de")]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"to": []}, "/to"),
        ({"to": ["nobody"]}, "/to/0"),
        ({"to": ["channel:none"]}, "/to/0"),
        ({"at": "7:00"}, "/at"),
        ({"at": "24:00"}, "/at"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"every": "hourly"}, "/every"),
        ({"weekday": "someday"}, "/weekday"),
        ({"language": "fr"}, "/language"),
        ({"owner_id": "x"}, "/owner_id"),
        ({"groups": [""]}, "/groups/0"),
    ],
)
def test_wrong_values(house: House, fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        house.services.digests.create(house.actor, {**TEAM, **fields})
    assert pointer in {error.pointer for error in refused.value.errors}


def test_a_name_is_unique_and_a_damaged_digest_is_left_alone(house: House) -> None:
    made = house.services.digests.create(house.actor, TEAM)
    with pytest.raises(ValidationFailed):
        house.services.digests.create(house.actor, TEAM)
    house.store.database["digests"].update_one({"_id": made.id}, {"$set": {"at": 7}})
    house.to(local("2026-03-05T07:00"))
    assert (house.sender.tick(), house.deliveries()) == (0, [])


def test_a_digest_that_cannot_be_written_holds_up_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A", "B"):
        house.services.digests.create(house.actor, {**TEAM, "name": name})
    writer, contents = house.services.digest_writer, house.services.digest_writer.contents

    def broken(made: Digest, *args: Any) -> Any:
        if made.name == "A":
            raise ValueError("x")
        return contents(made, *args)

    monkeypatch.setattr(writer, "contents", broken)
    house.to(local("2026-03-03T07:00"))
    house.sender.tick()
    assert [delivery.message.title for delivery in house.deliveries()] == ["B: 2026-03-03"]
    monkeypatch.undo()
    house.clock.advance(700)
    house.sender.tick()
    assert [delivery.message.title for delivery in house.deliveries()] == ["B: 2026-03-03", "A: 2026-03-03"]
