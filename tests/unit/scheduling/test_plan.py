"""Pure decisions against tables: retry, the plan of due times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.model import Misfire, MisfirePolicy, RetryOn, RetryPolicy
from app.queue.model import AttemptError
from app.queue.retry import decide_retry
from app.scheduling.plan import MOST_RUNS_A_STEP, plan_due, spread
from app.triggers import CronTrigger, IntervalTrigger, Trigger

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy(
    max_retries=3, retry_delay_seconds=300, backoff="exponential", max_delay_seconds=1000, retry_on=(RetryOn.ERROR, RetryOn.TIMEOUT)
)


def error(**changes: Any) -> AttemptError:
    return AttemptError(**{"type": "E", "message": "m", **changes})


@pytest.mark.parametrize(
    ("failed", "draw", "changes", "expected"),
    [
        (1, 0.0, {}, 1),
        (1, 1.0, {}, 300),
        (2, 0.5, {}, 300),
        (2, 1.0, {}, 600),
        (3, 1.0, {}, 1000),
        (3, 0.5, {}, 500),
        (4, 0.5, {}, None),
        (1, 0.5, {"max_retries": 0}, None),
        (2, 0.3, {"backoff": "fixed"}, 300),
        (1, 0.5, {"retry_on": ()}, None),
        (1, 0.5, {"retry_on": ("timeout",)}, None),
        (90, 1.0, {"max_retries": 100}, 1000),
        (1, 0.9, {"retry_delay_seconds": 0}, 1),
    ],
)
def test_the_delay_before_another_attempt(failed: int, draw: float, changes: dict[str, Any], expected: float | None) -> None:
    assert decide_retry(replace(POLICY, **changes), failed, error(), draw=lambda: draw).delay_seconds == expected


@pytest.mark.parametrize("backoff", ["fixed", "exponential"])
@pytest.mark.parametrize("kind", list(RetryOn))
@pytest.mark.parametrize("draw", [0.0, 1e-9, 1.0])
def test_at_least_a_second_lies_between_two_attempts(backoff: str, kind: RetryOn, draw: float) -> None:
    policy = RetryPolicy(max_retries=100, backoff=backoff, retry_delay_seconds=0, max_delay_seconds=1, retry_on=tuple(RetryOn))
    delays = [decide_retry(policy, failed, error(kind=kind), draw=lambda: draw).delay_seconds for failed in range(1, 101)]
    assert min(delay for delay in delays if delay is not None) == 1.0 == max(delay for delay in delays if delay is not None)


def test_a_permanent_error_is_never_tried_again() -> None:
    assert decide_retry(POLICY, 1, error(permanent=True)).delay_seconds is None
    assert decide_retry(POLICY, 1, error(kind=RetryOn.LOST_WORKER)).delay_seconds is None


MINUTELY = CronTrigger(expression="* * * * *")


def plan(trigger: Trigger, first: datetime, now: datetime, **misfire: Any) -> Any:
    return plan_due(trigger, first, now, misfire=Misfire(**misfire))


def test_one_due_time_in_time() -> None:
    found = plan(MINUTELY, NOW, NOW)
    assert (found.runs, found.missed, found.next_run_at, found.late) == ((NOW,), None, NOW + timedelta(minutes=1), frozenset())


def test_the_worked_example_of_the_docstring() -> None:
    found = plan(MINUTELY, NOW, NOW + timedelta(minutes=59), grace_seconds=300, policy=MisfirePolicy.ONCE)
    assert (len(found.runs), found.missed.count) == (6, 54)
    assert (found.missed.first, found.missed.last) == (NOW, NOW + timedelta(minutes=53))


def test_a_year_of_seconds_is_one_summary_quickly() -> None:
    secondly = CronTrigger(expression="* * * * * *")
    found = plan(secondly, NOW, NOW + timedelta(days=365), grace_seconds=1, policy=MisfirePolicy.ALL, max_catch_up=3)
    assert (len(found.late), len(found.runs), found.missed.count) == (3, 5, 365 * 86400 + 1 - 5)


@given(
    kind=st.sampled_from(["* * * * *", "*/7 * * * * *", "0 */5 * * *", 90, 1]),
    late=st.integers(0, 400_000),
    grace=st.integers(1, 4000),
    policy=st.sampled_from(list(MisfirePolicy)),
    cap=st.integers(1, 20),
    end=st.one_of(st.none(), st.integers(1, 500_000)),
)
def test_no_due_time_is_lost_or_doubled_by_any_plan(
    kind: str | int, late: int, grace: int, policy: MisfirePolicy, cap: int, end: int | None
) -> None:
    """Runs and missed ones together are exactly the due times up to now, and the next one follows them."""
    stop = NOW + timedelta(seconds=end) if end else None
    trigger: Trigger = (
        CronTrigger(expression=kind, end_at=stop) if isinstance(kind, str) else IntervalTrigger(interval_seconds=kind, end_at=stop)
    )
    first = trigger.next_after(NOW)
    if first is None:
        return
    now = first + timedelta(seconds=late)
    found = plan(trigger, first, now, grace_seconds=grace, policy=policy, max_catch_up=cap)
    anchored = replace(trigger, start_at=first)
    total = anchored.count(first - timedelta(milliseconds=1), now)
    runs = list(found.runs)
    assert runs == sorted(set(runs))
    planned = len(runs) + (found.missed.count if found.missed else 0)
    if len(runs) < MOST_RUNS_A_STEP:
        assert planned == total
        assert found.next_run_at is None or found.next_run_at > now
    else:
        assert found.next_run_at is not None
        assert planned + anchored.count(found.next_run_at - timedelta(milliseconds=1), now) == total
    if found.missed:
        assert found.missed.first == first
        assert not [run for run in runs if run <= found.missed.last]
    assert len(found.late) <= (cap if policy is MisfirePolicy.ALL else 1)


@given(st.uuids(), st.integers(0, 86_400))
def test_a_job_keeps_its_share_of_the_spread(job: Any, seconds: int) -> None:
    share = spread(str(job), seconds)
    assert timedelta(0) <= share <= timedelta(seconds=seconds)
    assert share == spread(str(job), seconds)
