"""What ended executions add to the totals."""

from __future__ import annotations

from typing import Any

from app.execution.measured_store import Ended
from app.measures import Times
from app.metrics.ends import MOST_TEMPLATES, added, templates_in, values_of

TYPES = {"nightly": "cron", "often": "interval"}


def ended(job_id: str = "nightly", status: str = "success", **fields: Any) -> Ended:
    given = {"template": "noop", "reason": None, "due_times": 1, "seconds": 0.3, "delay": 0.02, "attempts": 1, "lost": 0, **fields}
    return Ended(job_id=job_id, status=status, **given)


def values(*ends: Ended) -> dict[str, Any]:
    return dict(values_of(added(ends, types=TYPES, templates=())))


def test_executions_count_by_schedule_and_status() -> None:
    shown = values(ended(), ended(), ended("often", "failed"), ended("gone", "timeout"))["schedule_executions_total"]
    seen = {labels: count for labels, count in shown.items() if count}
    assert seen == {("cron", "success"): 2, ("interval", "failed"): 1, ("unknown", "timeout"): 1}
    assert shown["once", "failed"] == 0  # its first failure is seen as a change


def test_a_record_that_stands_for_many_due_times_counts_as_so_many() -> None:
    missed = ended(status="missed", reason="misfire", due_times=40, seconds=None, delay=None, attempts=0)
    overlap = ended(status="skipped", reason="overlap", seconds=None, delay=None, attempts=0)
    blackout = ended(status="skipped", reason="blackout", due_times=3, seconds=None, delay=None, attempts=0)
    shown = values(missed, overlap, blackout)
    assert shown["schedule_misfires_total"] == {(): 41}
    assert shown["jobwright_missed_total"] == {(): 40}
    assert shown["jobwright_skipped_total"] == {("overlap",): 1, ("blackout",): 3}
    assert shown["schedule_executions_total"]["cron", "missed"] == 40
    assert shown["schedule_execution_duration_seconds"] == {(): Times()}


def test_attempts_are_claims_and_all_but_the_first_are_retries() -> None:
    shown = values(ended(attempts=3, lost=2), ended(attempts=1))
    assert shown["distributed_locks_acquired_total"] == {(): 4}
    assert shown["jobwright_retries_total"] == {(): 2}
    assert shown["jobwright_lease_lost_total"] == {(): 2}


def test_durations_and_delays_fall_into_buckets() -> None:
    shown = values(ended(seconds=0.05, delay=-1.0), ended(seconds=500.0, delay=None))
    durations, delays = shown["schedule_execution_duration_seconds"][()], shown["jobwright_start_delay_seconds"][()]
    assert (durations.counts[0], durations.counts[-1], durations.seconds) == (1, 1, 500.05)
    assert (sum(delays.counts), delays.seconds) == (1, 0.0)


def test_only_so_many_templates_have_a_series_of_their_own() -> None:
    counts = added([ended(template=f"t.{number}") for number in range(MOST_TEMPLATES + 5)], types=TYPES, templates=())
    assert len(templates_in(counts)) == MOST_TEMPLATES
    assert values_of(counts)["jobwright_template_executions_total"]["other", "success"] == 5
    again = added([ended(template="t.0"), ended(template="new")], types=TYPES, templates=templates_in(counts))
    assert again["templates", "t.0", "success"] == 1
    assert again["templates", "other", "success"] == 1


def test_executions_that_were_cancelled_take_no_time() -> None:
    shown = values(ended(status="cancelled"))
    assert sum(shown["schedule_execution_duration_seconds"][()].counts) == 0
    assert shown["schedule_executions_total"]["cron", "cancelled"] == 1
