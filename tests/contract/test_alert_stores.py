"""The stores of alert rules and incidents do the same on mongomock and on the real mongod."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from app.errors import DuplicateName
from app.mongo import Document
from app.notification.announcing import AlertSeverity, Subject, SubjectKind
from app.notification.incidents.incident import Acknowledged, Incident, IncidentFilter, IncidentState, Mark, Note, Telling
from app.notification.incidents.store import IncidentStore
from app.notification.message import MessageKind
from app.notification.rules.rule import AlertRule, Escalate, Remind, Scope, ScopeKind
from app.notification.rules.store import AlertRuleStore
from templates_lib.messages import say

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
Data = Database[Document]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def rule(name: str = "a", **fields: Any) -> AlertRule:
    made: dict[str, Any] = {
        "condition": {"type": "failures_in_a_row", "count": 3},
        "scope": Scope(kind=ScopeKind.TAG, values=("night",)),
        "to": ("channel:ops", "ada@example.com"),
        "severity": AlertSeverity.CRITICAL,
        "remind": Remind(every_seconds=3600, most=2),
        "escalate": Escalate(after_seconds=900, to=("channel:boss",)),
        "created_by": "ada",
        "created_at": NOW,
        "updated_by": "ada",
        "updated_at": NOW,
    }
    return AlertRule(id=f"id of {name}", name=name, **{**made, **fields})


def incident(number: int = 0, **fields: Any) -> Incident:
    made: dict[str, Any] = {
        "rule_id": "r",
        "rule": "a",
        "subject": Subject(kind=SubjectKind.JOB, id=f"job {number}", name=f"Night {number}", group="red"),
        "severity": AlertSeverity.WARNING,
        "state": IncidentState.FIRING,
        "opened_at": later(number),
        "last": Mark(later(number), "run"),
        "why": say("{count} of {most}", count=1, most=2),
    }
    return Incident(id=f"i{number}", **{**made, **fields})


def saved(incidents: IncidentStore, *wanted: Incident) -> list[Incident]:
    stored = [incidents.save(None, one) for one in wanted]
    assert None not in stored
    return [one for one in stored if one is not None]


def test_a_rule_comes_back_whole_and_is_replaced_by_version(database: Data) -> None:
    rules = AlertRuleStore(database)
    for name in ("b", "a"):
        rules.add(rule(name))
    with pytest.raises(DuplicateName):
        rules.add(replace(rule("a"), id="other"))
    assert rules.get("id of a") == rule("a")
    assert [found.name for found in rules.all()] == ["a", "b"]
    assert (rules.count(), rules.versions()) == (2, {"id of a": 1, "id of b": 1})
    assert rules.replace_version(rule("a", version=2, enabled=False, remind=None, escalate=None), version=1)
    assert not rules.replace_version(rule("a", version=3), version=1)
    with pytest.raises(DuplicateName):
        rules.replace_version(replace(rule("a", version=2), id="id of b"), version=1)
    assert rules.get("id of a") == rule("a", version=2, enabled=False, remind=None, escalate=None)
    assert [rules.name_taken("b", by_other_than=other) for other in ("id of a", "id of b")] == [True, False]
    assert (rules.names_telling("channel:ops"), rules.names_telling("channel:boss"), rules.names_telling("x")) == (["a", "b"], ["b"], [])
    assert [rules.remove("id of a") for _ in range(2)] == [True, False]
    assert rules.get("id of a") is None


def test_an_incident_comes_back_whole_and_one_of_two_changes_wins(database: Data) -> None:
    incidents = IncidentStore(database)
    told = Telling(number=1, kind=MessageKind.FIRING, at=NOW, why=say("{count} of {most}", count=1, most=2), execution_id="run")
    whole = incident(
        fired_at=NOW,
        remind_at=later(60),
        escalate_at=later(30),
        acknowledged=Acknowledged(by="ada", at=NOW, via="page"),
        notes=(Note(by="ada", at=NOW, text="looking"),),
        executions=("run",),
        flips=(NOW,),
        unsaid=(told,),
    )
    (stored,) = saved(incidents, whole)
    assert stored == replace(whole, version=1)
    assert incidents.get("i0") == stored
    changed = incidents.save(stored, replace(stored, count=2))
    assert changed == replace(stored, count=2, version=2)
    assert incidents.save(stored, replace(stored, count=3)) is None, "somebody else was quicker"
    assert incidents.get("i9") is None


def test_a_rule_and_a_subject_have_one_open_incident(database: Data) -> None:
    incidents = IncidentStore(database)
    (first,) = saved(incidents, incident(0))
    other = replace(incident(5), subject=incident(0).subject)
    assert incidents.save(first, other) is None
    over = incidents.save(first, replace(first, state=IncidentState.RESOLVED, resolved_at=later(3)))
    assert over is not None
    (second,) = saved(incidents, other)
    assert incidents.latest("r", first.subject.key) == second
    assert incidents.latest("r", "job:none") is None
    assert incidents.open_of(["r"]) == [second]
    assert (incidents.open_of(["x"]), incidents.open_of_others(["x"], 5), incidents.open_of_others(["r"], 5)) == ([], [second], [])


def test_what_follows_by_time_and_what_is_to_be_told_is_found(database: Data) -> None:
    incidents = IncidentStore(database)
    told = Telling(number=1, kind=MessageKind.FIRING, at=NOW, why="why", execution_id=None)
    saved(
        incidents,
        incident(0, remind_at=later(60)),
        incident(1, remind_at=later(30), unsaid=(told,)),
        incident(2, remind_at=later(10), flapping=True),
        incident(3, state=IncidentState.RESOLVED, remind_at=later(1), resolved_at=NOW),
        incident(4, state=IncidentState.PENDING, fires_at=later(20)),
    )
    assert [one.id for one in incidents.due(later(60), 9)] == ["i4", "i1", "i0"]
    assert [one.id for one in incidents.due(later(59), 1)] == ["i4"]
    assert [one.id for one in incidents.unsaid(9)] == ["i1"]


def test_people_see_incidents_by_filters_and_groups(database: Data) -> None:
    incidents = IncidentStore(database)
    node = Subject(kind=SubjectKind.NODE, id="n", name="web (1)")
    saved(
        incidents,
        incident(0),
        incident(1, severity=AlertSeverity.CRITICAL, rule_id="s"),
        incident(2, state=IncidentState.RESOLVED, resolved_at=later(9)),
        incident(3, subject=node, state=IncidentState.ACKNOWLEDGED),
        incident(4, state=IncidentState.PENDING),
    )

    def page(*, groups: list[str] | None = None, limit: int = 9, **wanted: Any) -> list[str]:
        return [one.id for one in incidents.page(IncidentFilter(**wanted), groups=groups, limit=limit)]

    assert page() == ["i4", "i3", "i2", "i1", "i0"]
    assert page(limit=2) == ["i4", "i3"]
    assert page(before=(later(3), "i3")) == ["i2", "i1", "i0"]
    assert page(groups=["red"]) == ["i4", "i2", "i1", "i0"]
    assert page(groups=["blue"]) == []
    assert (page(open=False), page(severity="critical"), page(rule_id="s"), page(state="pending")) == (["i2"], ["i1"], ["i1"], ["i4"])
    assert (page(subject_kind="node"), page(subject_id="job 0"), page(search="WEB (")) == (["i3"], ["i0"], ["i3"])
    assert page(begin=later(1), end=later(3)) == ["i2", "i1"]
    assert incidents.counts_open(groups=None) == {"warning": 2, "critical": 1}, "one that waits was not told"
    assert incidents.counts_open(groups=["red"]) == {"warning": 1, "critical": 1}


def test_old_incidents_are_forgotten_once_all_is_told(database: Data) -> None:
    incidents = IncidentStore(database)
    over = {"state": IncidentState.RESOLVED, "resolved_at": NOW}
    told = Telling(number=1, kind=MessageKind.RECOVERY, at=NOW, why="why", execution_id=None)
    saved(incidents, incident(0), incident(1, **over), incident(2, **over, unsaid=(told,)))
    assert [incidents.forget(later(1)) for _ in range(2)] == [1, 0]
    assert [incidents.get(name) is None for name in ("i0", "i1", "i2")] == [False, True, False]
