"""Which announcements become messages, in which groups, and which are held: with a table for each rule, and with any history."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.notification.announcing import AlertSeverity, Announcement
from app.notification.message import MessageKind
from app.notification.quiet.entry import EntryStatus, Why
from app.notification.quiet.grouping import GROUP_BY, Pace
from app.notification.quiet.hours import QuietHours
from app.notification.quiet.muting import Matcher, Mute
from app.notification.quiet.plan import MOST_MESSAGES, Draft
from app.notification.targets import Target
from tests.builders.announcements import NOW, OPS, Memory, announcement, cause, later, root_of
from tests.lengths import examples

FIRING, RECOVERY, REMINDER, NOTICE = MessageKind.FIRING, MessageKind.RECOVERY, MessageKind.REMINDER, MessageKind.NOTICE
NIGHT = QuietHours(zone="UTC", days=frozenset(range(7)), begin=time(11), end=time(13), passing=frozenset({AlertSeverity.CRITICAL}))


def mute(ends: float = 3600, **matcher: tuple[str, ...]) -> Mute:
    made = Matcher(**(matcher or {"rules": ("Failures",)}))
    return Mute(id="m", matcher=made, reason="Move", author="ada@example.com", created_at=NOW, ends_at=later(ends))


def names(drafts: list[Draft]) -> list[list[str]]:
    return [sorted(entry.announcement.subject.name for entry in draft.entries) for draft in drafts]


def test_a_group_waits_for_others_and_has_one_message_per_interval() -> None:
    memory = Memory()
    memory.add(announcement("a"), announcement("b", at=20))
    assert memory.tick(later(29)) == []
    assert names(memory.tick(later(30))) == [["a", "b"]]
    memory.add(announcement("c", at=40))
    assert memory.tick(later(70)) == [], "the next one comes after the interval"
    memory.add(announcement("d", at=300))
    assert names(memory.tick(later(330))) == [["c", "d"]]
    memory.add(announcement("e", at=3600))
    assert memory.tick(later(3629)) == []
    assert names(memory.tick(later(3630))) == [["e"]], "a group that was quiet waits for the short time again"


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ((), [["a", "b", "c"]]),
        (("template",), [["a", "b"], ["c"]]),
        (("tag",), [["b", "c"], ["a"]]),
        (("connection",), [["a", "c"], ["b"]]),
        (("error",), [["a"], ["b"], ["c"]]),
        (("template", "connection"), [["a"], ["b"], ["c"]]),
    ],
)
def test_what_is_alike_is_in_one_group(by: tuple[str, ...], groups: list[list[str]]) -> None:
    memory = Memory(Pace(by=by))
    labels = {
        "a": {"template": "x", "tags": "one", "connections": "db, files", "error": "1"},
        "b": {"template": "x", "tags": "two", "connections": "db", "error": "2"},
        "c": {"template": "y", "tags": "two", "connections": "files,db", "error": "3"},
    }
    memory.add(*(announcement(name, labels=labels[name]) for name in "abc"))
    assert sorted(names(memory.tick(later(30)))) == sorted(groups)
    assert set(by) <= set(GROUP_BY)


def test_each_channel_has_its_own_messages() -> None:
    memory = Memory()
    mail = Target(channel_id="mail", channel="mail", type="mail", recipients=("a@example.com",))
    memory.add(
        announcement("a"), targets=(OPS, mail, Target(channel_id="mail", channel="mail", type="mail", recipients=("b@example.com",)))
    )
    assert names(memory.tick(later(30))) == [["a"]] * 3


def test_a_recovery_is_told_only_to_who_heard_of_the_alert() -> None:
    memory = Memory()
    memory.add(announcement("told"))
    memory.tick(later(30))
    memory.add(announcement("told", RECOVERY, at=60), announcement("unknown", RECOVERY, at=60))
    (draft,) = memory.tick(later(90))
    assert (names([draft]), draft.group.kind) == ([["told"]], RECOVERY)
    assert memory.status("unknown", RECOVERY) == "not_told for good"


def test_what_recovers_while_it_waits_is_told_once() -> None:
    memory = Memory()
    memory.add(announcement("a"), announcement("a", RECOVERY, at=5))
    (draft,) = memory.tick(later(30))
    assert [entry.kind for entry in draft.entries] == [FIRING, RECOVERY]
    assert (draft.group.kind, memory.tick(later(4000))) == (FIRING, [])


def test_reminders_say_what_is_newest() -> None:
    memory = Memory()
    memory.add(announcement("a"), announcement("a", REMINDER, at=1))
    assert [[entry.kind for entry in draft.entries] for draft in memory.tick(later(31))] == [[FIRING]]
    assert memory.status("a", REMINDER) == "repeated for good"
    memory.add(announcement("b"))
    memory.tick(later(400))
    memory.add(*(announcement(name, REMINDER, at=at) for name in "ab" for at in (3600, 3610)))
    assert [entry.announcement.at for draft in memory.tick(later(3700)) for entry in draft.entries] == [later(3610)] * 2
    memory.add(announcement("a", REMINDER, at=7200), announcement("b", REMINDER, at=7200))
    assert memory.tick(later(7300)) == [], "a message that reminds of several alerts comes every 4 h"
    assert names(memory.tick(later(3700 + 4 * 3600))) == [["a", "b"]]


# -- holds ------------------------------------------------------------------------------------------------------------

HOLDERS: dict[str, dict[str, Any]] = {
    "mute": {"mutes": [mute(ends=3600)]},
    "maintenance": {"maintenance": "Move"},
    "quiet_hours": {"hours": {"ops": NIGHT}},
}


@pytest.mark.parametrize("why", HOLDERS)
def test_what_still_fires_after_a_window_is_sent_once(why: str) -> None:
    memory = Memory()
    memory.add(announcement("goes on"), announcement("is over"), announcement("goes on", REMINDER, at=600))
    assert memory.tick(later(30), **HOLDERS[why]) == []
    assert (memory.status("goes on"), memory.status("is over")) == (why, why)
    memory.tick(later(630), **HOLDERS[why])
    memory.add(announcement("is over", RECOVERY, at=700))
    assert memory.tick(later(730), **HOLDERS[why]) == []
    assert memory.status("is over", RECOVERY) == "not_told for good"
    end = later(3600 + 60)
    memory.tick(end)
    assert names([draft for _, draft in memory.messages]) == [["goes on"]]
    assert memory.status("is over") == f"{why} for good", "it stays visible"
    memory.add(announcement("goes on", RECOVERY, at=4000))
    assert names(memory.tick(later(4030))) == [["goes on"]]
    assert memory.tick(later(9000)) == []


@pytest.mark.parametrize(("why", "sent"), [("mute", 0), ("maintenance", 1), ("quiet_hours", 1)])
def test_a_recovery_in_a_window_is_told_after_it_unless_it_is_muted(why: str, sent: int) -> None:
    memory = Memory()
    memory.add(announcement("a"))
    memory.tick(later(30))
    memory.add(announcement("a", RECOVERY, at=60))
    assert memory.tick(later(400), **HOLDERS[why]) == []
    assert len(memory.tick(later(4000))) == sent


def test_a_window_that_follows_another_holds_on() -> None:
    memory = Memory()
    memory.add(announcement("a"))
    memory.tick(later(30), mutes=[mute(ends=60)], maintenance="Move")
    memory.tick(later(90), maintenance="Move")
    assert memory.status("a") == "maintenance"
    assert names(memory.tick(later(150))) == [["a"]]


def test_quiet_hours_let_urgent_alerts_pass() -> None:
    memory = Memory()
    memory.add(announcement("urgent", severity=AlertSeverity.CRITICAL), announcement("other"))
    assert names(memory.tick(later(30), hours={"ops": NIGHT})) == [["urgent"]]
    assert memory.entries[next(iter(memory.entries))].status is EntryStatus.SENT


@pytest.mark.parametrize(
    ("matcher", "held"),
    [
        ({"rules": ("Failures",)}, True),
        ({"rules": ("Late",)}, False),
        ({"jobs": ("x", "Night")}, True),
        ({"tags": ("till",), "severities": ("warning", "info")}, True),
        ({"tags": ("till",), "severities": ("critical",)}, False),
        ({"groups": ("shop",), "templates": ("command",)}, True),
        ({"groups": ("",)}, False),
        ({}, False),
    ],
)
def test_a_mute_holds_what_matches_all_its_fields(matcher: dict[str, tuple[str, ...]], held: bool) -> None:
    made = Mute(id="m", matcher=Matcher(**matcher), reason="r", author="a", created_at=NOW, ends_at=later(60))
    assert made.holds(announcement("Night"), later(59)) is held
    assert not made.holds(announcement("Night"), later(60))
    assert not made.holds(cause(), later(1)) or "rules" in matcher


# -- causes -----------------------------------------------------------------------------------------------------------


def test_a_cause_takes_what_depends_on_it_into_its_message() -> None:
    memory, root = Memory(), cause("db", at=10)
    memory.add(announcement("before"), root, announcement("after", at=20), announcement("other", labels={"connections": "files"}))
    assert names(memory.tick(later(30))) == [["other"]], "what depends on the cause waits for its message"
    (draft,) = memory.tick(later(40), roots=[root_of(root)])
    assert (names([draft]), draft.root is not None) == ([["after", "before", "db"]], True)
    memory.add(*(announcement(f"late {number}", at=100) for number in range(500)))
    assert memory.tick(later(500), roots=[root_of(root)]) == []
    assert memory.status("late 499") == "root_cause"


def test_what_still_fires_after_its_cause_is_told_once_after_a_while() -> None:
    memory, root = Memory(), cause("db")
    memory.add(root)
    memory.tick(later(30))
    memory.add(announcement("a", at=60), announcement("b", at=60))
    memory.tick(later(90), roots=[root_of(root)])
    memory.add(cause("db", RECOVERY, at=600))
    assert names(memory.tick(later(640))) == [["db"]], "the recovery of the cause"
    memory.add(announcement("a", RECOVERY, at=700))
    assert memory.tick(later(800)) == []
    assert names(memory.tick(later(1000))) == [["b"]]
    assert (memory.status("a"), memory.status("a", RECOVERY)) == ("root_cause for good", "not_told for good")


def test_a_cause_of_which_the_channel_does_not_know_hides_nothing() -> None:
    memory, root = Memory(), cause("db")
    memory.add(root)
    memory.tick(later(30), mutes=[mute(rules=("Connections",))])
    memory.add(announcement("a", at=60))
    assert names(memory.tick(later(90), roots=[root_of(root)], mutes=[mute(rules=("Connections",))])) == [["a"]]


# -- many -------------------------------------------------------------------------------------------------------------


def test_a_channel_gets_few_messages_however_many_groups_there_are() -> None:
    memory = Memory()
    memory.add(*(announcement(f"job {n}", at=n * 60 / 500, labels={"template": f"t{n % 100}"}) for n in range(500)))
    memory.add(announcement("urgent", at=29, severity=AlertSeverity.CRITICAL, labels={"template": "alone"}))
    for second in range(0, 300, 15):
        memory.tick(later(second))
    assert MOST_MESSAGES <= len(memory.messages) <= 20
    for second in range(300, 700, 15):
        memory.tick(later(second))
    assert Counter(entry.status for entry in memory.entries.values()) == {EntryStatus.SENT: 501}
    assert len(memory.messages) <= 40


# -- any history ------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.integers(0, 900),  # seconds until the step
        st.sampled_from([FIRING, REMINDER, RECOVERY, NOTICE]),
        st.sampled_from(["a", "b", "c", "db"]),
        st.sampled_from(list(AlertSeverity)),
        st.sets(st.sampled_from(["mute", "maintenance", "quiet_hours", "root_cause"])),
    ),
    max_size=25,
)


@settings(max_examples=examples(400), deadline=None)
@given(STEPS)
def test_each_announcement_is_sent_in_one_message_or_held_with_a_reason(steps: list[tuple[Any, ...]]) -> None:
    memory, seconds = Memory(), 0.0
    targets = (OPS, Target(channel_id="other", channel="Other", type="webhook"))
    for pause, kind, name, severity, windows in steps:
        seconds += pause
        memory.add(_made(name, kind, seconds, severity), targets=targets)
        memory.tick(later(seconds), **_known(windows, later(seconds)))
    memory.tick(later(seconds + 30))
    for hours in range(1, 12):  # all windows are over; the last interval and the last pause before a reminder pass
        memory.tick(later(seconds + hours * 3600))
    sent = Counter(entry.id for _, draft in memory.messages for entry in draft.entries)
    assert set(sent.values()) <= {1}, "nothing is told twice"
    for entry in memory.entries.values():
        assert (entry.id in sent) is (entry.status is EntryStatus.SENT)
        assert entry.status is EntryStatus.SENT or (entry.hold is not None and entry.hold.final), f"{entry} is lost"
    told = [(entry.kind, entry.incident) for _, draft in memory.messages for entry in draft.entries]
    for place, (kind, incident) in enumerate(told):
        alarms = [(FIRING, incident), (REMINDER, incident)]
        assert kind is not RECOVERY or any(alarm in told[:place] for alarm in alarms), "no recovery without its alert"


@settings(max_examples=examples(200), deadline=None)
@given(STEPS)
def test_what_fires_to_the_end_is_told(steps: list[tuple[Any, ...]]) -> None:
    memory, seconds = Memory(), 0.0
    for pause, kind, name, severity, windows in steps:
        seconds += pause
        memory.add(_made(name, FIRING if kind is RECOVERY else kind, seconds, severity))
        memory.tick(later(seconds), **_known(windows, later(seconds)))
    for minute in range(0, 600, 5):
        memory.tick(later(seconds + minute * 60))
    told = {entry.announcement.incident_id for _, draft in memory.messages for entry in draft.entries if entry.is_alarm}
    announced = {entry.announcement.incident_id for entry in memory.entries.values() if entry.is_alarm}
    assert told == announced
    held = [entry.hold.why for entry in memory.entries.values() if entry.status is EntryStatus.HELD and entry.hold]
    assert set(held) <= {Why.REPEATED, Why.MUTE}


def _made(name: str, kind: MessageKind, seconds: float, severity: AlertSeverity) -> Announcement:
    made = cause if name == "db" else announcement
    return made(name, kind, at=seconds, severity=severity)


def _known(windows: set[str], now: datetime) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if "mute" in windows:
        known["mutes"] = [mute(ends=(now - NOW).total_seconds() + 60, jobs=("a", "b"))]
    if "maintenance" in windows:
        known["maintenance"] = "Move"
    if "quiet_hours" in windows:
        begin = (now - timedelta(hours=1)).time().replace(second=0, microsecond=0)
        known["hours"] = {"ops": QuietHours(zone="UTC", days=frozenset(range(7)), begin=begin, end=begin, passing=frozenset())}
    if "root_cause" in windows:
        known["roots"] = [root_of(cause("db"))]
    return known
