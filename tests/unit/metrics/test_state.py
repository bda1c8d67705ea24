"""The state of the installation as values of metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clock import ManualClock
from app.jobs.records import LastRun
from app.metrics.chosen import CHOSEN_SECONDS, ChosenJobs
from app.metrics.state import job_values, node_values
from app.scheduling.node_store import Drain, NodeSeen

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DRAIN = Drain(by="ada@example.com", at=NOW)


def node(name: str = "a", *, seen: float = 1.0, tick: float = 0.5, **fields: Any) -> NodeSeen:
    return NodeSeen(id=name, host="h", seen_at=NOW - timedelta(seconds=seen), skew_seconds=0.0, tick_age_seconds=tick, **fields)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (node(), ("scheduler", "online")),
        (node(tick=31), ("scheduler", "stalled")),
        (node(seen=31, tick=0), ("scheduler", "offline")),
        (node(drain=DRAIN), ("scheduler", "draining")),
        (node(role="worker", tick=500), ("worker", "online")),
        (node(role="damaged"), ("unknown", "online")),
    ],
)
def test_states_of_nodes(seen: NodeSeen, state: tuple[str, str]) -> None:
    counts = node_values([seen], NOW)["jobwright_nodes"]
    assert {labels for labels, count in counts.items() if count} == {state}


def test_the_best_scheduler_counts() -> None:
    values = node_values([node(tick=90), node("b", tick=0.2), node("c", seen=900, tick=0)], NOW)
    assert values["jobwright_scheduler_tick_age_seconds"] == {(): pytest.approx(1.2)}
    assert "jobwright_scheduler_tick_age_seconds" not in node_values([node(seen=900)], NOW)


def test_slots_of_nodes_that_take_runs() -> None:
    nodes = [
        node(slots=4, running=1),
        node("b", slots=4, running=4),
        node("c", slots=8, running=2, drain=DRAIN),
        node("d", seen=99, slots=9),
    ]
    assert node_values(nodes, NOW)["jobwright_slots"] == {("used",): 7, ("free",): 3}


def test_a_worker_that_hears_nothing_is_deaf_while_it_is_online() -> None:
    nodes = [node(role="worker", hears=False), node("b", role="worker", hears=True), node("c"), node("d", seen=99, hears=False)]
    assert node_values(nodes, NOW)["jobwright_nodes_deaf"] == {(): 1}


def test_the_newest_run_of_a_job_decides() -> None:
    clock, chosen = ManualClock(NOW), ["a"]
    runs = {
        "a": LastRun("a", "failed", NOW),
        "b": LastRun("b", "success", NOW),
        "c": LastRun("c", None, None),
        "d": LastRun("d", "timeout", NOW),
    }
    jobs = ChosenJobs(choose=lambda: list(chosen), last_runs=lambda ids: [runs[name] for name in ids], clock=clock)
    assert jobs.read()["jobwright_job_failing"] == {("a",): 1}
    runs["a"] = LastRun("a", "success", NOW)
    chosen[:] = runs
    assert jobs.read()["jobwright_job_failing"] == {("a",): 0}
    clock.advance(CHOSEN_SECONDS)
    assert jobs.read()["jobwright_job_failing"] == {("a",): 0, ("b",): 0, ("c",): 0, ("d",): 1}
    assert ("c",) not in jobs.read()["jobwright_job_last_run_timestamp_seconds"]


def test_jobs_by_schedule_have_a_zero_where_there_are_none() -> None:
    counts = job_values({("cron", "enabled"): 3, ("damaged", "broken"): 1}, failing=0, created=4)["schedules_total"]
    assert counts["cron", "enabled"] == 3
    assert counts["unknown", "broken"] == 1
    assert counts["once", "paused"] == 0
