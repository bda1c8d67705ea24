"""How many of the last runs of several jobs failed, or were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution.ends import EndCount
from app.notification.rules.rates import exceeded, rate_of

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def condition(type: str = "failure_rate", **fields: Any) -> dict[str, Any]:
    return {"type": type, "over_percent": 10, "within_seconds": 300, "least": 10, **fields}


def ends(**counts: int) -> list[EndCount]:
    return [
        EndCount(job_id="j", status=status, count=count, at=NOW + timedelta(seconds=place), id=status)
        for place, (status, count) in enumerate(counts.items())
        if count
    ]


@pytest.mark.parametrize(
    ("type", "counts", "holds"),
    [
        ("failure_rate", {"failed": 1, "success": 8}, False),  # too few runs
        ("failure_rate", {"failed": 1, "success": 9}, False),  # not over the limit
        ("failure_rate", {"failed": 2, "success": 8}, True),
        ("failure_rate", {"timeout": 2, "success": 8}, True),
        ("failure_rate", {"failed": 1, "timeout": 1, "success": 8}, True),
        ("failure_rate", {"success": 10}, False),
        ("failure_rate", {"failed": 2, "success": 7, "cancelled": 50, "skipped": 50}, False),  # those say nothing
        ("failure_rate", {"missed": 50, "success": 50}, False),
        ("misfire_rate", {"missed": 2, "success": 8}, True),
        ("misfire_rate", {"missed": 1, "success": 9}, False),
        ("misfire_rate", {"missed": 2, "failed": 8}, True),
        ("misfire_rate", {"missed": 9}, False),
        ("misfire_rate", {"failed": 100}, False),
        ("misfire_rate", {"missed": 10}, True),
        ("misfire_rate", {}, False),
    ],
)
def test_a_rate_is_exceeded_with_enough_runs_alone(type: str, counts: dict[str, int], holds: bool) -> None:
    wanted = condition(type)
    found = exceeded(wanted, rate_of(wanted, ends(**counts)))
    assert (found is not None) is holds


def test_a_rate_is_exceeded_since_its_last_bad_run_and_says_the_numbers() -> None:
    found = exceeded(condition(), rate_of(condition(), ends(failed=3, success=8, timeout=1)))
    assert found is not None
    assert (found.at, found.execution_id) == (NOW + timedelta(seconds=2), "timeout")
    assert str(found.why) == "Failed runs: 4 of 12 within 300 s (33.3%)."


def test_a_limit_of_zero_is_exceeded_by_one_bad_run_and_one_of_a_hundred_never() -> None:
    for over, holds in ((0, True), (100, False)):
        wanted = condition(over_percent=over, least=1)
        assert (exceeded(wanted, rate_of(wanted, ends(failed=1))) is not None) is holds
