"""Which ends owe something, and to whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.execution.self_pause import SelfPause
from app.jobs.model import Job, JobDefinition, Notifications, RetryPolicy
from app.notification.outcomes import TellOutcome
from app.queue.execution import Execution
from app.queue.model import ENDED, FAILURES, LIVE, RAN, Attempt, Reason, Status
from app.queue.owing import End, EndHandler, Owing
from app.scheduling.followers import Followers
from tests.builders.owing import OWING

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TELL = Notifications(on_success=("happy@example.com",), on_failure=("ops@example.com",))
# A job of which everybody wants everything.
PLAIN = End(job_id="j", status=Status.SUCCESS, notifications=TELL, pause_after_failures=2, dry=False, is_backfill=False, followed=True)


@pytest.mark.parametrize(
    ("status", "owed"),
    [
        (Status.SUCCESS, ("notify", "followers")),
        (Status.FAILED, ("notify", "self_pause", "followers")),
        (Status.TIMEOUT, ("notify", "self_pause", "followers")),
        (Status.MISSED, ("notify",)),
        (Status.CANCELLED, ()),
        (Status.SKIPPED, ()),
    ],
)
def test_who_wants_an_end_of_each_status(status: Status, owed: tuple[str, ...]) -> None:
    end = replace(PLAIN, status=status)
    assert OWING.of(end) == owed
    assert OWING.of_status(status) == owed, "of ends about which only the status is known, whoever may want one"


def test_the_table_names_every_status() -> None:
    assert {Status.SUCCESS, *FAILURES, Status.MISSED, Status.CANCELLED, Status.SKIPPED} == ENDED


@pytest.mark.parametrize("status", sorted(LIVE))
def test_what_has_not_ended_owes_nothing(status: Status) -> None:
    assert OWING.of(replace(PLAIN, status=status)) == ()
    assert OWING.of_status(status) == ()


@pytest.mark.parametrize(
    ("handler", "changes", "wanted"),
    [
        (TellOutcome, {}, True),
        (TellOutcome, {"notifications": Notifications()}, False),
        (TellOutcome, {"notifications": Notifications(on_success=("a@example.com",))}, False),
        (TellOutcome, {"dry": True, "is_backfill": True, "followed": False, "pause_after_failures": 0}, True),
        (SelfPause, {}, True),
        (SelfPause, {"pause_after_failures": 0}, False),
        (SelfPause, {"is_backfill": True, "followed": False, "notifications": Notifications()}, True),
        (Followers, {}, True),
        (Followers, {"followed": False}, False),
        (Followers, {"dry": True}, False),
        (Followers, {"is_backfill": True}, False),
        (Followers, {"notifications": Notifications(), "pause_after_failures": 0}, True),
    ],
)
def test_what_each_handler_goes_by(handler: type[EndHandler], changes: dict[str, Any], wanted: bool) -> None:
    end = replace(PLAIN, status=Status.FAILED, **changes)
    assert handler.wants(end) is wanted
    assert (handler.name in OWING.of(end)) is wanted


def test_followers_want_only_what_ran_to_an_end_of_its_own() -> None:
    assert Followers.statuses == RAN
    assert SelfPause.statuses == FAILURES


def test_nobody_is_owed_anything_without_handlers() -> None:
    assert (Owing().of(PLAIN), Owing().of_status(Status.FAILED)) == ((), ())


def job() -> Job:
    definition = JobDefinition(name="j", template_type="noop", notifications=TELL, pause_after_failures=2)
    people = {"created_by": "ada", "created_at": NOW, "updated_by": "ada", "updated_at": NOW}
    return Job(id="j", definition=definition, template_version=1, origin="api", version=1, **people)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_the_end_of_an_execution_and_of_its_attempt_say_the_same(status: Status) -> None:
    execution = Execution.due(job(), NOW, at=NOW, overlap=job().definition.overlap, available_at=NOW).ended(status, Reason.OVERLAP, NOW)
    attempt = Attempt(
        execution_id=execution.id,
        number=1,
        token=1,
        job_id="j",
        job_name="j",
        template_type="noop",
        template_version=1,
        code_version=1,
        parameters={},
        timeout_seconds=1,
        started_at=NOW,
        began_at=NOW,
        retry_policy=RetryPolicy(),
        failed_attempts=1,
        notifications=TELL,
        pause_after_failures=2,
    )
    assert End.of_execution(execution) == End.of_attempt(attempt, status, followed=True) == replace(PLAIN, status=status)
    for changes, expected in (({"dry": True}, {"dry": True}), ({"stands_for": NOW}, {"is_backfill": True})):
        end = End.of_attempt(replace(attempt, **changes), status, followed=True)
        assert end == End.of_execution(replace(execution, **changes)) == replace(PLAIN, status=status, **expected)


@pytest.mark.parametrize("handler", [TellOutcome, SelfPause, Followers])
def test_an_end_that_was_written_with_many_others_is_looked_at_by_itself(handler: type[EndHandler]) -> None:
    """`of_status` owes it to whoever may want it; `wants_still` says who does."""
    execution = Execution.due(job(), NOW, at=NOW, overlap=job().definition.overlap, available_at=NOW)
    unwanted = replace(execution, notifications=Notifications(), pause_after_failures=0, dry=True)
    made = object.__new__(handler)  # what it is made of does not matter here
    for status in sorted(ENDED):
        assert made.wants_still(execution.ended(status, Reason.OVERLAP, NOW)) is (status in handler.statuses)
        assert not made.wants_still(unwanted.ended(status, Reason.OVERLAP, NOW))
    assert not made.wants_still(execution), "it has not ended"
