"""What the record of an execution says has happened to it, as events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.integrations.nats.catalogue import KINDS
from app.integrations.nats.cloud_events import CloudEvent
from app.integrations.nats.execution_events import LARGEST_RESULT, events_of, untold
from app.jobs.model import Job, JobDefinition
from app.queue.execution import AttemptRecord, DueTimes, Execution
from app.queue.model import ENDED, AttemptError, Reason, Status, Trigger
from tests.builders.queue import new_execution

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ID = "6d7bd9c1-4d5e-4a5c-9f4b-0d3f6f0f3a11"
SOURCE = "https://jobs.example.com"
SCHEMAS = {kind.name: Draft202012Validator(kind.data, format_checker=Draft202012Validator.FORMAT_CHECKER) for kind in KINDS}
JOB = Job(
    id="j",
    definition=JobDefinition(name="Nightly", template_type="noop"),
    template_version=1,
    code_version=1,
    origin="api",
    version=3,
    created_by="a@example.com",
    created_at=NOW,
    updated_by="a@example.com",
    updated_at=NOW,
)
FAILED = AttemptError(type="TemplateError", message="no", traceback="secret lines")


def attempt(number: int, status: str = "running", *, reason: str | None = None) -> AttemptRecord:
    began = NOW + timedelta(minutes=number)
    ended = None if status == "running" else began + timedelta(seconds=30)
    error = FAILED if status in {"failed", "timeout"} else None
    return AttemptRecord(number=number, started_at=began, completed_at=ended, status=status, reason=reason, error=error)


def execution(status: Status, *attempts: AttemptRecord, **fields: Any) -> Execution:
    made = new_execution(JOB, now=NOW, status=status, execution_id=ID)
    return replace(made, attempts=attempts, **fields)


def words(made: Execution) -> list[str]:
    return [word for word, _ in events_of(made)]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (execution(Status.QUEUED), []),
        (execution(Status.RUNNING, attempt(1)), ["1.started"]),
        (execution(Status.SUCCESS, attempt(1, "success")), ["1.started", "end"]),
        (execution(Status.RETRYING, attempt(1, "failed")), ["1.started", "1.retrying"]),
        (execution(Status.RUNNING, attempt(1, "failed"), attempt(2)), ["1.started", "1.retrying", "2.started"]),
        (execution(Status.FAILED, attempt(1, "timeout"), attempt(2, "failed")), ["1.started", "1.retrying", "2.started", "end"]),
        # Cancelled while it ran; between two attempts; and while it was handed back.
        (execution(Status.CANCELLED, attempt(1, "cancelled")), ["1.started", "end"]),
        (execution(Status.CANCELLED, attempt(1, "failed")), ["1.started", "1.retrying", "end"]),
        (execution(Status.CANCELLED, attempt(1, "cancelled", reason=Reason.HANDED_BACK)), ["1.started", "1.retrying", "end"]),
        (execution(Status.QUEUED, attempt(1, "cancelled", reason=Reason.HANDED_BACK)), ["1.started", "1.retrying"]),
        (execution(Status.CANCELLED), ["end"]),
        (execution(Status.SKIPPED, reason=Reason.OVERLAP), ["end"]),
        (execution(Status.MISSED, due_times=DueTimes(first=NOW, last=NOW, count=1)), ["end"]),
    ],
)
def test_what_has_happened(made: Execution, expected: list[str]) -> None:
    assert words(made) == expected
    for word, event in events_of(made):
        assert event.id == f"{ID}.{word}"
        SCHEMAS[event.kind].validate(event.data)


def test_each_end_has_a_kind_of_event() -> None:
    assert {f"execution.{status.value}" for status in ENDED} <= SCHEMAS.keys()
    for status in ENDED:
        assert events_of(execution(status))[-1][1].kind == f"execution.{status.value}"


def test_what_was_told_is_not_told_again() -> None:
    made = execution(Status.FAILED, attempt(1, "failed"), attempt(2, "failed"), told=("1.started", "1.retrying"))
    assert [word for word, _ in untold(made)] == ["2.started", "end"]
    assert untold(replace(made, told=tuple(words(made)))) == []
    # A run that was put back before it began has fewer attempts than were told.
    assert [word for word, _ in untold(replace(execution(Status.CANCELLED), told=("1.started",)))] == ["end"]


def test_no_traceback_and_no_parameters_are_told() -> None:
    made = execution(Status.FAILED, attempt(1, "failed"), error=FAILED, parameters={"password": "hidden"})
    text = json.dumps([event.envelope(SOURCE) for _, event in events_of(made)])
    assert "secret lines" not in text
    assert "hidden" not in text


@pytest.mark.parametrize(("size", "kept"), [(10, True), (LARGEST_RESULT - 20, True), (LARGEST_RESULT + 1, False)])
def test_a_large_result_is_left_out(size: int, kept: bool) -> None:
    made = execution(Status.SUCCESS, attempt(1, "success"), result={"text": "x" * size})
    assert (events_of(made)[-1][1].data["result"] is not None) is kept


def test_the_next_attempt_is_told_while_it_is_known() -> None:
    due = NOW + timedelta(hours=1)
    waiting = execution(Status.RETRYING, attempt(1, "failed"), available_at=due)
    assert events_of(waiting)[-1][1].data["next_attempt_at"] == "2026-03-02T13:00:00.000Z"
    over = execution(Status.RUNNING, attempt(1, "failed"), attempt(2), available_at=due)
    assert events_of(over)[1][1].data["next_attempt_at"] is None


@given(text=st.text(max_size=30), number=st.integers(min_value=1, max_value=20), trigger=st.sampled_from(Trigger))
def test_the_sdk_of_cloudevents_reads_every_event(text: str, number: int, trigger: Trigger) -> None:
    made = execution(Status.SUCCESS, attempt(number, "success"), result={"text": text, "at": NOW}, triggered_by=trigger)
    for _, event in events_of(made):
        message = event.message(source=SOURCE, prefix="jobwright")
        read = JSONFormat().read(SdkEvent, message.data)
        assert (read.get_id(), read.get_source(), read.get_type()) == (message.id, SOURCE, f"jobwright.{event.kind}")
        assert (read.get_subject(), read.get_specversion(), read.get_datacontenttype()) == (ID, "1.0", "application/json")
        assert read.get_time() == event.at
        assert read.get_data() == event.data
        assert set(read.get_attributes()) == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype"}
        assert message.subject == f"jobwright.events.{event.kind}"
        assert message.headers == {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def test_a_value_that_json_has_not_is_refused() -> None:
    event = CloudEvent(id="1", kind="execution.success", about=ID, at=NOW, data={"x": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        event.message(source=SOURCE, prefix="p")
