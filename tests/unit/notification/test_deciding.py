"""What becomes of incidents: tables of outcomes with the messages that follow."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.notification.announcing import AlertSeverity, Subject, SubjectKind
from app.notification.incidents.deciding import AlertEvent, close, decide_alerts, pass_time
from app.notification.incidents.incident import Acknowledged, Incident, IncidentState, Mark, as_document, incident_from
from app.notification.message import MessageKind
from app.notification.rules.judging import Judgement, Verdict
from app.notification.rules.rule import AlertRule, Escalate, Remind

START = datetime(2026, 3, 1, tzinfo=UTC)
JOB = Subject(kind=SubjectKind.JOB, id="j", name="Night", group="ops")
RULE = AlertRule(id="r", name="Failures", condition={"type": "failed"}, to=("ops@example.com",), severity=AlertSeverity.CRITICAL)
WORDS = {MessageKind.FIRING: "firing", MessageKind.RECOVERY: "over", MessageKind.REMINDER: "reminder", MessageKind.NOTICE: "notice"}
VERDICTS = {"F": Verdict.HOLDS, "S": Verdict.OVER, "-": Verdict.NOTHING}


def event(letter: str, at: datetime, event_id: str = "e", runs: tuple[datetime, ...] = ()) -> AlertEvent:
    judgement = Judgement(verdict=VERDICTS[letter], why=f"It is {letter}.")
    return AlertEvent(mark=Mark(at, event_id), judgement=judgement, execution_id=event_id, runs=runs)


def play(letters: str, *, every: timedelta = timedelta(hours=1), rule: AlertRule = RULE) -> tuple[Incident | None, list[str]]:
    """Returns the last incident after runs with these outcomes, and what was told, in order."""
    state, told, said = None, list[str](), set[tuple[str, int]]()
    ends = [START + every * place for place in range(len(letters))]
    for place, letter in enumerate(letters):
        runs = tuple(reversed(ends[: place + 1]))
        state = decide_alerts(state, event(letter, ends[place], f"e{place}", runs), rule, JOB)
        for telling in state.unsaid if state is not None else ():
            assert state is not None
            if (state.id, telling.number) not in said:
                said.add((state.id, telling.number))
                told.append(WORDS[telling.kind] + ("!" if telling.flapping else ""))
    return state, told


@pytest.mark.parametrize(
    ("letters", "told"),
    [
        ("SSSS", []),
        ("F", ["firing"]),
        ("FFFF", ["firing"]),
        ("FS", ["firing", "over"]),
        ("FFFSSS", ["firing", "over"]),
        ("F--S", ["firing", "over"]),
        ("F" * 100 + "S", ["firing", "over"]),
        ("FS" * 50, ["firing", "over", "firing!"]),
        ("FSFS" + "S" * 4, ["firing", "over", "firing!"]),
        ("FSFS" + "S" * 5, ["firing", "over", "firing!", "over"]),
        ("FSF" + "F" * 5, ["firing", "over", "firing!", "reminder"]),
        ("FSSSSSSSSFSSSSSSS", ["firing", "over", "firing", "over"]),
    ],
)
def test_what_is_told(letters: str, told: list[str]) -> None:
    assert play(letters)[1] == told


def test_a_rule_without_recovery_tells_none() -> None:
    assert play("FS", rule=replace(RULE, recovery=False))[1] == ["firing"]


def test_a_hundred_failures_are_one_incident_with_reminders_by_policy() -> None:
    rule = replace(RULE, remind=Remind(every_seconds=4 * 3600, most=6))
    incident, told = play("F" * 100 + "S", rule=rule)
    assert told == ["firing", *["reminder"] * 6, "over"]
    assert incident is not None
    assert (incident.count, incident.state, len(incident.executions), incident.reminders) == (100, IncidentState.RESOLVED, 20, 6)
    assert incident.opened_at == START


def test_alternating_outcomes_in_any_order_are_at_most_three_messages_while_they_alternate() -> None:
    for every in (timedelta(seconds=5), timedelta(minutes=20), timedelta(days=1)):
        assert len(play("FS" * 50, every=every)[1]) <= 3


def test_of_several_reminders_that_were_due_one_is_sent() -> None:
    rule = replace(RULE, remind=Remind(every_seconds=600, most=10))
    fired = decide_alerts(None, event("F", START), rule, JOB)
    assert fired is not None
    later = pass_time(fired, rule, START + timedelta(minutes=45))
    assert (later.reminders, later.remind_at, later.due_at) == (1, START + timedelta(minutes=50), START + timedelta(minutes=50))
    assert pass_time(later, rule, START + timedelta(minutes=49)) == later


def test_a_wait_tells_only_what_still_holds_after_it() -> None:
    rule = replace(RULE, wait_seconds=300)
    assert play("FS", rule=rule, every=timedelta(minutes=4))[1] == []
    assert play("FS", rule=rule, every=timedelta(minutes=5))[1] == ["firing", "over"]
    pending, told = play("F", rule=rule)
    assert pending is not None
    assert (told, pending.state, pending.due_at) == ([], IncidentState.PENDING, START + timedelta(seconds=300))
    fired = pass_time(pending, rule, START + timedelta(hours=3))
    assert (fired.state, fired.fired_at) == (IncidentState.FIRING, START + timedelta(seconds=300))


def test_an_escalation_comes_once_and_not_after_an_acknowledgement() -> None:
    rule = replace(RULE, escalate=Escalate(after_seconds=900, to=("channel:Boss",)))
    fired = decide_alerts(None, event("F", START), rule, JOB)
    assert fired is not None
    escalated = pass_time(fired, rule, START + timedelta(minutes=15))
    assert [telling.escalated for telling in escalated.unsaid] == [False, True]
    assert escalated.due_at is None
    known = replace(fired, state=IncidentState.ACKNOWLEDGED, acknowledged=Acknowledged(by="ada", at=START, via="web"))
    assert (pass_time(known, rule, START + timedelta(days=1)), known.due_at) == (known, None)
    over = decide_alerts(known, event("S", START + timedelta(hours=1)), rule, JOB)
    assert over is not None
    assert [telling.kind for telling in over.unsaid] == [MessageKind.FIRING, MessageKind.RECOVERY]


def test_an_event_that_is_not_later_than_the_last_one_changes_nothing() -> None:
    """Events may come again and in any order; what is told depends on neither, as long as the latest one comes after the others."""
    chance = random.Random(7)
    events = [event(letter, START + timedelta(hours=place), f"e{place}") for place, letter in enumerate("FFSSSSSSSSSSFFFF")]
    for _ in range(50):
        state, order = None, [*events, *chance.choices(events, k=20)]
        chance.shuffle(order)
        for item in order:  # as the handler does: each event, and then the latest one of the job
            for one in (item, events[-1]):
                state = decide_alerts(state, one, RULE, JOB)
        assert state is not None
        assert (state.state, state.last.id) == (IncidentState.FIRING, "e15")
        again = decide_alerts(state, chance.choice(events), RULE, JOB)
        assert again is state


def test_the_same_event_opens_the_same_incident_on_each_node() -> None:
    one, other = (decide_alerts(None, event("F", START), RULE, JOB) for _ in range(2))
    assert one == other


def test_an_incident_that_was_closed_by_hand_opens_again_at_the_next_failure_only() -> None:
    fired = decide_alerts(None, event("F", START), RULE, JOB)
    assert fired is not None
    closed = close(fired, START + timedelta(minutes=30), "Closed.", by="ada")
    assert decide_alerts(closed, event("F", START + timedelta(minutes=10), "late"), RULE, JOB) is closed
    again = decide_alerts(closed, event("F", START + timedelta(hours=1), "next"), RULE, JOB)
    assert again is not None
    assert (again.id == closed.id, again.is_open) == (False, True)


def test_an_incident_is_stored_whole() -> None:
    rule = replace(RULE, remind=Remind(every_seconds=600, most=2), escalate=Escalate(after_seconds=60, to=("a@example.com",)))
    incident = play("FSFSF", rule=rule)[0]
    assert incident is not None
    row: dict[str, Any] = as_document(replace(incident, acknowledged=Acknowledged(by="ada", at=START, via="link")))
    assert as_document(incident_from(row)) == row
