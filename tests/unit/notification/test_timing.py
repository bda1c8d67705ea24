"""What the passing of time says about each condition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution.ends import EndedRun, LiveRun
from app.notification.rules.timing import deadlines, missed_deadline, overdue_runs, unplanned, usual_limit, was_overdue
from app.queue.model import Status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATE = {"type": "late", "grace_seconds": 300}


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def live(**fields: Any) -> LiveRun:
    return LiveRun(**{"id": "e", "job_id": "j", "status": Status.QUEUED, "queued_at": NOW, **fields})


def ended(**fields: Any) -> EndedRun:
    return EndedRun(**{"id": "e", "job_id": "j", "status": Status.SUCCESS, "completed_at": at(30), "queued_at": NOW, **fields})


@pytest.mark.parametrize(
    ("condition", "run", "since"),
    [
        (LATE, {"scheduled_for": NOW}, 5),
        (LATE, {"scheduled_for": NOW, "started_at": at(9)}, None),
        (LATE, {}, None),
        ({"type": "queued_long", "over_seconds": 600}, {}, 10),
        ({"type": "queued_long", "over_seconds": 600}, {"available_at": at(7)}, 17),
        ({"type": "queued_long", "over_seconds": 600}, {"started_at": at(1), "status": Status.RETRYING}, None),
        ({"type": "running_long", "over_seconds": 600}, {"started_at": at(3), "status": Status.RUNNING}, 13),
        ({"type": "running_long", "over_seconds": 600}, {"started_at": at(3), "status": Status.RETRYING}, None),
        ({"type": "running_longer_than_usual"}, {"started_at": at(3), "status": Status.RUNNING}, 5),
    ],
)
def test_since_when_a_run_is_overdue(condition: dict[str, Any], run: dict[str, Any], since: int | None) -> None:
    def found(now: datetime) -> list[datetime]:
        return [overdue.at for overdue in overdue_runs(condition, [live(**run)], now, usual_seconds=120)]

    assert found(at(24 * 60)) == ([] if since is None else [at(since)])
    if since is not None:
        assert (found(at(since)), found(at(since) - timedelta(milliseconds=1))) == ([at(since)], [])


def test_a_run_may_start_as_late_as_its_jitter_allows() -> None:
    assert overdue_runs(LATE, [live(scheduled_for=NOW)], at(60), jitter_seconds=60)[0].at == at(6)
    assert unplanned(LATE, NOW, at(5.9), jitter_seconds=60) is None


def test_what_is_late_is_the_same_before_and_after_it_was_planned() -> None:
    before, after = unplanned(LATE, NOW, at(10)), overdue_runs(LATE, [live(scheduled_for=NOW)], at(10))[0]
    assert before is not None
    assert (before.at, before.id) == (after.at, after.id)
    assert unplanned(LATE, NOW, at(4)) is None


@pytest.mark.parametrize(
    ("condition", "run", "expected"),
    [
        (LATE, {"scheduled_for": NOW, "started_at": at(4)}, None),
        (LATE, {"scheduled_for": NOW, "started_at": at(7)}, (5, 7)),
        (LATE, {"scheduled_for": NOW, "status": Status.MISSED}, (5, 30)),
        (LATE, {"scheduled_for": NOW, "status": Status.SKIPPED}, None),
        (LATE, {"started_at": at(7)}, None),
        ({"type": "queued_long", "over_seconds": 600}, {"started_at": at(20)}, (10, 20)),
        ({"type": "queued_long", "over_seconds": 600}, {"started_at": at(9)}, None),
        ({"type": "running_long", "over_seconds": 600}, {"started_at": at(1)}, (11, 30)),
        ({"type": "running_long", "over_seconds": 3000}, {"started_at": at(1)}, None),
        ({"type": "running_longer_than_usual"}, {"started_at": at(10)}, (12, 30)),
        ({"type": "never_ran", "after_seconds": 60}, {"started_at": at(10)}, None),
    ],
)
def test_what_was_overdue_and_has_ended(condition: dict[str, Any], run: dict[str, Any], expected: tuple[int, int] | None) -> None:
    past = was_overdue(condition, ended(**run), usual_seconds=120)
    assert (None if past is None else (past[0].at, past[1])) == (None if expected is None else (at(expected[0]), at(expected[1])))


def test_what_a_run_usually_takes() -> None:
    runs = [ended(duration_seconds=float(second)) for second in range(1, 101)]
    assert usual_limit(runs) == 123.75
    assert usual_limit(runs[:19]) is None
    assert usual_limit([*runs[:19], ended(status=Status.FAILED, duration_seconds=1.0)]) is None
    assert usual_limit([ended(duration_seconds=4.0)] * 100 + runs) == 5.0


@pytest.mark.parametrize(
    ("zone", "now", "latest", "before"),
    [
        ("UTC", "2026-03-01T06:00:00", "2026-03-01T06:00:00", "2026-02-28T06:00:00"),
        ("UTC", "2026-03-01T05:59:59", "2026-02-28T06:00:00", "2026-02-27T06:00:00"),
        ("Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29T04:00:00", "2026-03-28T05:00:00"),
        ("Europe/Berlin", "2026-10-25T12:00:00", "2026-10-25T05:00:00", "2026-10-24T04:00:00"),
        ("Pacific/Auckland", "2026-03-01T12:00:00", "2026-02-28T17:00:00", "2026-02-27T17:00:00"),
    ],
)
def test_deadlines_by_zone(zone: str, now: str, latest: str, before: str) -> None:
    def instant(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    condition = {"type": "deadline", "at": "06:00", "timezone": zone}
    assert deadlines(condition, instant(now)) == (instant(latest), instant(before))


def test_a_deadline_in_the_hour_that_a_clock_change_leaves_out() -> None:
    condition = {"type": "deadline", "at": "02:30", "timezone": "Europe/Berlin"}
    assert deadlines(condition, datetime(2026, 3, 29, 12, tzinfo=UTC))[0] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_deadline_is_met_by_a_success_of_the_day_before_it() -> None:
    condition, day = {"type": "deadline", "at": "06:00", "timezone": "UTC"}, datetime(2026, 3, 1, 6, tzinfo=UTC)
    for successes, missed in (
        ([day], False),
        ([day - timedelta(hours=23)], False),
        ([day - timedelta(days=1)], True),
        ([day + timedelta(1)], True),
        ([], True),
    ):
        assert (missed_deadline(condition, successes, NOW) is not None) is missed
