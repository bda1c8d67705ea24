"""What the end of a run says about each condition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution.ends import EndedRun
from app.notification.rules.conditions import SCHEMAS, Condition
from app.notification.rules.judging import Verdict, judge
from app.queue.model import Status

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LETTERS = {"S": Status.SUCCESS, "F": Status.FAILED, "T": Status.TIMEOUT, "C": Status.CANCELLED, "K": Status.SKIPPED, "M": Status.MISSED}


def runs_of(letters: str, **newest: Any) -> list[EndedRun]:
    """Returns ends, the latest one first, for letters of which the last one is the latest end; `newest` are fields of that."""
    count = len(letters)
    runs = [
        EndedRun(
            id=f"e{place}",
            job_id="j",
            status=LETTERS[letter],
            completed_at=NOW + timedelta(minutes=place),
            duration_seconds=10.0,
            reason="overlap" if letter == "K" else None,
            attempts=1,
            **(newest if place == count - 1 else {}),
        )
        if not (place == count - 1 and {"duration_seconds", "reason", "attempts"} & set(newest))
        else EndedRun(
            **{
                "id": f"e{place}",
                "job_id": "j",
                "status": LETTERS[letter],
                "completed_at": NOW + timedelta(minutes=place),
                "duration_seconds": 10.0,
                "attempts": 1,
                **newest,
            }
        )
        for place, letter in enumerate(letters)
    ]
    return runs[::-1]


H, O, N = Verdict.HOLDS, Verdict.OVER, Verdict.NOTHING  # noqa: E741


@pytest.mark.parametrize(
    ("condition", "table"),
    [
        ({"type": "failed"}, {"F": H, "T": H, "S": O, "C": N, "K": N, "M": N, "FS": O, "SF": H, "FC": N}),
        ({"type": "failures_in_a_row", "count": 3}, {"FF": N, "FFF": H, "FTFT": H, "FFSF": N, "FFCF": H, "FFFS": O, "FFFC": N, "FKFMF": H}),
        (
            {"type": "failures_among", "count": 2, "last": 3},
            {"F": O, "FF": H, "FSF": H, "FSSF": O, "FFS": H, "FFSS": O, "FCF": H, "FFM": N},
        ),
        ({"type": "succeeded"}, {"S": H, "F": N, "C": N}),
        ({"type": "missed"}, {"M": H, "S": O, "F": O, "K": N, "C": N}),
        ({"type": "skipped", "reasons": ["overlap"]}, {"K": H, "S": O, "F": O, "M": N}),
        ({"type": "skipped", "reasons": ["paused"]}, {"K": N}),
        ({"type": "too_fast", "under_seconds": 11}, {"S": H, "F": N}),
        ({"type": "too_fast", "under_seconds": 10}, {"S": O}),
        ({"type": "of another version"}, {"S": N, "F": N}),
    ],
)
def test_what_an_end_says(condition: dict[str, Any], table: dict[str, Verdict]) -> None:
    for letters, verdict in table.items():
        judgement = judge(condition, runs_of(letters))
        assert judgement.verdict is verdict, letters
        assert judgement.why.endswith((".", ")."))


@pytest.mark.parametrize(("letters", "attempts", "verdict"), [("S", 1, O), ("S", 2, H), ("F", 1, H), ("F", 3, H), ("C", 2, N)])
def test_attempts_that_failed(letters: str, attempts: int, verdict: Verdict) -> None:
    assert judge({"type": "attempt_failed"}, runs_of(letters, attempts=attempts)).verdict is verdict


@pytest.mark.parametrize(("versions", "verdict"), [([3], H), ([3, 3], N), ([3, 2], H), ([3, None, 3], N), ([3, None, 2], H)])
def test_the_first_success_after_a_change(versions: list[int | None], verdict: Verdict) -> None:
    """Versions of the job, the latest run first; None for a failed run of the latest version."""
    runs = [
        EndedRun(
            id=f"e{place}",
            job_id="j",
            status=Status.FAILED if version is None else Status.SUCCESS,
            completed_at=NOW - timedelta(minutes=place),
            job_version=version or 3,
        )
        for place, version in enumerate(versions)
    ]
    assert judge({"type": "succeeded_after_change"}, runs).verdict is verdict


def test_a_condition_without_a_duration_says_nothing() -> None:
    assert judge({"type": "too_fast", "under_seconds": 5}, runs_of("S", duration_seconds=None)).verdict is N


def test_each_condition_has_a_schema_and_a_judge() -> None:
    assert set(SCHEMAS) == set(Condition)
    for name in Condition:
        assert judge({"type": name, "count": 1, "last": 1, "reasons": [], "under_seconds": 1}, runs_of("S")).why
