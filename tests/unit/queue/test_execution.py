"""Executions as frozen records: how they come to be, and that the database gives back what it was given."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.model import Concurrency, Job, JobDefinition, Notifications, Overlap, RetryOn, RetryPolicy
from app.mongo import CODEC
from app.outbox.model import Owed
from app.queue.execution import BEHIND_ALL, PRIORITY_STEP, DueTimes, Execution
from app.queue.model import ENDED, LIVE, Reason, Status, Trigger
from app.queue.shape import EXECUTION
from app.shapes import DAMAGED, make_readable

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MILLISECONDS = 10**13  # of 300 years

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = texts.filter(bool)
instants = st.integers(0, MILLISECONDS).map(lambda number: NOW + timedelta(milliseconds=number - MILLISECONDS // 10))
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts
parameters = st.dictionaries(
    texts, st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6)
)
addresses = st.lists(names, max_size=3).map(tuple)
policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 100),
    retry_delay_seconds=st.integers(0, 86_400),
    backoff=st.sampled_from(["fixed", "exponential"]),
    max_delay_seconds=st.integers(1, 604_800),
    retry_on=st.lists(st.sampled_from([item.value for item in RetryOn]), unique=True).map(tuple),
)
definitions = st.builds(
    JobDefinition,
    name=names,
    template_type=names,
    parameters=parameters,
    timeout_seconds=st.integers(1, 10**6),
    retry_policy=policies,
    overlap=st.sampled_from(Overlap),
    concurrency=st.builds(Concurrency, max_instances=st.integers(1, 1000), group=texts),
    priority=st.integers(1, 10),
    group=texts,
    notifications=st.builds(Notifications, on_success=addresses, on_failure=addresses),
    pause_after_failures=st.integers(0, 1000),
)
jobs = st.builds(
    Job,
    id=names,
    definition=definitions,
    template_version=st.integers(1, 1000),
    code_version=st.none() | st.integers(1, 1000),
    origin=st.just("api"),
    version=st.integers(1, 10**6),
    created_by=st.just("ada"),
    created_at=st.just(NOW),
    updated_by=st.just("ada"),
    updated_at=st.just(NOW),
)


@st.composite
def made(draw: st.DrawFn, factory: str) -> Execution:
    """An execution of any job, made by this factory."""
    job, now, at, by = draw(jobs), draw(instants), draw(instants), draw(texts)
    execution_id, ids = draw(names), st.lists(names, min_size=1, max_size=4)
    match factory:
        case "due":
            overlap = draw(st.sampled_from(Overlap))
            return Execution.due(job, now, at=at, overlap=overlap, available_at=draw(instants))
        case "summary":
            due_times = DueTimes(first=at, last=draw(instants), count=draw(st.integers(1, 10**9)))
            status, reason = draw(st.sampled_from([(Status.MISSED, Reason.MISFIRE), (Status.SKIPPED, Reason.PAUSED)]))
            return Execution.summary(job, now, due_times, status=status, reason=reason)
        case "manual":
            trigger = draw(st.sampled_from([Trigger.MANUAL, Trigger.API, Trigger.RETRY]))
            chosen = draw(st.none() | names)
            return Execution.manual(job, now, by=by, trigger=trigger, parameters=draw(parameters), execution_id=chosen)
        case "again":
            given_or_own, due = draw(st.none() | parameters), draw(st.none() | instants)
            return Execution.again(job, now, draw(names), by=by, parameters=given_or_own, stands_for=due)
        case "backfilled":
            return Execution.backfilled(job, now, by=by, stands_for=at, execution_id=execution_id)
        case "following":
            return Execution.following(job, now, caused_by=draw(ids), line=draw(ids), execution_id=execution_id)
        case "preview":
            own_or_other = draw(st.none() | parameters)
            return Execution.preview(job, now, of=draw(names), execution_id=execution_id, parameters=own_or_other)
    raise AssertionError(factory)


FACTORIES = ("due", "summary", "manual", "again", "backfilled", "following", "preview")


def stored(execution: Execution) -> dict[str, Any]:
    """The document as a store reads it: nothing in it is damaged."""
    row = make_readable(decode(encode(execution.as_document()), CODEC), EXECUTION)
    assert DAMAGED not in row, row[DAMAGED]
    return row


def test_every_factory_is_tested_here() -> None:
    public = {name for name, value in vars(Execution).items() if isinstance(value, classmethod) and not name.startswith("_")}
    assert public - {"from_row"} == set(FACTORIES)


@pytest.mark.parametrize("factory", FACTORIES)
@given(data=st.data())
def test_the_database_gives_back_what_it_was_given(factory: str, data: st.DataObject) -> None:
    execution = data.draw(made(factory))
    assert Execution.from_row(stored(execution)) == execution


@pytest.mark.parametrize("factory", FACTORIES)
@given(data=st.data())
def test_one_that_has_ended_comes_back_with_what_it_owes(factory: str, data: st.DataObject) -> None:
    execution, now = data.draw(made(factory)), data.draw(instants)
    ended = execution.ended(data.draw(st.sampled_from(sorted(ENDED))), data.draw(st.sampled_from(Reason)), now)
    ended = replace(ended, owed=(Owed(what="notify", at=now), Owed(what="followers", at=None, tries=5, error="e", given_up_at=now)))
    row = stored(ended)
    assert Execution.from_row(row) == ended
    assert not {"live", "queue_rank"} & row.keys(), "no index of the queue holds it"


@pytest.mark.parametrize("factory", FACTORIES)
@given(data=st.data())
def test_every_factory_carries_what_a_run_needs_of_its_job(factory: str, data: st.DataObject) -> None:
    execution = data.draw(made(factory))
    row = stored(execution)
    if factory == "summary":
        assert execution.status in ENDED
        assert execution.completed_at == execution.queued_at
    else:
        assert (execution.status, row["live"], row["queue_rank"]) == (Status.QUEUED, True, execution.rank)
    assert (execution.attempts, execution.result, execution.error, execution.slots, execution.owed) == ((), None, None, (), ())
    assert execution.available_at >= execution.queued_at
    assert ("scheduled_for" in row) == (factory in {"due", "summary"}), "the unique index is of those of a due time"
    assert row.get("dry", False) == (factory == "preview")


def job() -> Job:
    definition = JobDefinition(
        name="nightly",
        template_type="noop",
        parameters={"seconds": 1},
        group="ops",
        priority=7,
        pause_after_failures=3,
        notifications=Notifications(on_failure=("ops@example.com",)),
        overlap=Overlap.REPLACE,
    )
    people = {"created_by": "ada", "created_at": NOW, "updated_by": "ada", "updated_at": NOW}
    return Job(id="j", definition=definition, template_version=4, code_version=2, origin="api", version=9, **people)


def test_a_due_time_waits_until_it_may_start() -> None:
    at = NOW - timedelta(minutes=5)
    execution = Execution.due(job(), NOW, at=at, overlap=Overlap.QUEUE, available_at=at)
    assert (execution.scheduled_for, execution.available_at, execution.overlap, execution.triggered_by) == (
        at,
        NOW,
        Overlap.QUEUE,
        "schedule",
    )
    later = Execution.due(job(), NOW, at=at, overlap=Overlap.QUEUE, available_at=NOW + timedelta(minutes=1))
    assert later.available_at == NOW + timedelta(minutes=1)
    assert (execution.job_id, execution.job_name, execution.job_version, execution.group) == ("j", "nightly", 9, "ops")
    assert (execution.template_version, execution.code_version) == (4, 2)


def test_a_level_of_priority_is_worth_a_minute_of_waiting() -> None:
    assert Execution.due(job(), NOW, at=NOW, overlap=Overlap.SKIP, available_at=NOW).rank == NOW - 7 * PRIORITY_STEP


def test_what_makes_up_for_a_due_time_goes_behind_all_others() -> None:
    due = NOW - timedelta(days=2)
    for execution in (
        Execution.backfilled(job(), NOW, by="ada", stands_for=due, execution_id="e"),
        Execution.again(job(), NOW, "old", by="ada", parameters=None, stands_for=due),
    ):
        assert (execution.stands_for, execution.rank, execution.scheduled_for) == (due, NOW + BEHIND_ALL, None)
    again = Execution.again(job(), NOW, "old", by="ada", parameters=None, stands_for=None)
    assert (again.stands_for, again.rank, again.retry_of) == (None, NOW - 7 * PRIORITY_STEP, "old")


def test_a_run_again_has_its_own_parameters_or_those_of_the_job() -> None:
    assert Execution.again(job(), NOW, "old", by="ada", parameters=None, stands_for=None).parameters == {"seconds": 1}
    assert Execution.again(job(), NOW, "old", by="ada", parameters={}, stands_for=None).parameters == {}


def test_a_preview_is_tried_once_and_tells_nobody() -> None:
    preview = Execution.preview(job(), NOW, of="a1", execution_id="e")
    assert (preview.job_id, preview.dry, preview.overlap, preview.triggered_by) == ("a1", True, Overlap.ALLOW, "preview")
    assert (preview.notifications, preview.pause_after_failures, preview.retry_policy.max_retries) == (Notifications(), 0, 0)


def test_a_follower_remembers_how_deep_it_is() -> None:
    document = Execution.following(job(), NOW, caused_by=["e1", "e2"], line=["a", "b"], execution_id="e").as_document()
    assert (document["caused_by"], document["line"], document["depth"]) == (["e1", "e2"], ["a", "b"], 2)


def test_an_execution_lives_until_it_has_ended() -> None:
    execution = Execution.due(job(), NOW, at=NOW, overlap=Overlap.SKIP, available_at=NOW)
    assert all(replace(execution, status=status).is_live for status in LIVE)
    assert not any(replace(execution, status=status).is_live for status in ENDED)
    with pytest.raises(ValueError, match="is not how an execution ends"):
        execution.ended(Status.RUNNING, Reason.OVERLAP, NOW)


def test_an_execution_is_frozen() -> None:
    execution = Execution.due(job(), NOW, at=NOW, overlap=Overlap.SKIP, available_at=NOW)
    for field in fields(execution):
        with pytest.raises(AttributeError):
            setattr(execution, field.name, None)
