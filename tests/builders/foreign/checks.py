"""What holds for the plan of each store of 200 jobs."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.imports.entries import APPROVE, Fate
from app.imports.plan import CLOCK_CHANGES, Plan
from app.jobs.schema import JobDefinitionSchema
from tests.builders.plans import NOW


def check_corpus(plan: Plan, least: int, *, decided: frozenset[str] = frozenset({APPROVE})) -> None:
    """98 % of the jobs need no decision but those in `decided`; each field has a fate with its words; the times of the old scheduler and of
    the job are the same, but for hours that a clock change skips or repeats."""
    entries = [entry for entry in plan["entries"] if entry["kind"] == "job"]
    assert len(entries) >= least
    assert not [entry["reason"] for entry in plan["entries"] if entry["kind"] == "invalid"]
    mapped = 0
    for entry in entries:
        fields = entry["fields"]
        assert entry["job"] is not None
        assert JobDefinitionSchema().validate(entry["job"]) == {}
        assert fields
        assert all(field["target"] if field["fate"] == Fate.MAPPED else field["reason"] for field in fields), fields
        assert not any("‹secret" in str(part) for part in entry["job"]["parameters"].values()), entry["job"]
        waits = any(field["fate"] == Fate.WAITS for field in fields)
        assert not waits or entry["decisions"], entry
        mapped += not waits and all(decided & set(decision["choices"]) for decision in entry["decisions"])
        assert entry["disable"]
        assert entry["enable"]
        _check_first(entry, NOW + timedelta(days=400))
    assert mapped / len(entries) >= 0.98, (mapped, [entry["decisions"] for entry in entries if entry["decisions"]][:3])


def _check_first(entry: dict[str, object], until: datetime) -> None:
    """The first time within 400 days is right: a difference lies in an hour of a clock change, and is asked about for the whole plan."""
    fires = entry["fires"]
    if not isinstance(fires, dict) or fires["equal"]:
        return
    asked = entry["plan_decisions"]
    assert isinstance(asked, dict)
    assert fires["wrong"] in asked[CLOCK_CHANGES], entry
    first, wrong = datetime.fromisoformat(fires["first"]), datetime.fromisoformat(fires["wrong"])
    assert wrong > first or first > until, entry
