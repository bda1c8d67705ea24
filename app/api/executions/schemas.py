"""Requests and answers of executions."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range

from app.api.approvals.schemas import ApprovalOut
from app.api.base_schemas import INSTANT, AnswerSchema, AsIs, RecordOut, RequestSchema
from app.api.paging import PageQuery, page_schema
from app.correlation import LONGEST_CORRELATION_ID
from app.execution.attention import LONGEST_NOTE
from app.jobs.model import RetryOn
from app.queue.model import Status, Trigger
from app.shapes import UNKNOWN

LONGEST_WAIT_SECONDS = 60


class ExecutionQuery(PageQuery):
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=200))
    status = ma.String(validate=OneOf([status.value for status in Status]))


class AllExecutionsQuery(ExecutionQuery):
    job_id = ma.String(validate=Length(max=64))
    template_type = ma.String(validate=Length(max=100))
    correlation_id = ma.String(
        validate=Length(max=LONGEST_CORRELATION_ID),
        metadata={"description": "The X-Request-Id of the request that caused the executions, or the id of an execution"},
    )
    search = ma.String(
        load_default="",
        validate=Length(max=200),
        metadata={"description": "In the job name, result and error of the newest 5,000 executions that match the other filters"},
    )


ACKNOWLEDGEMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "note": {"type": "string", "maxLength": LONGEST_NOTE, "default": "", "description": "What people should know about the failure"},
        "dismiss": {"type": "boolean", "default": False, "description": "Do not show the failure any more"},
    },
}


class AcknowledgementOut(AnswerSchema):
    execution_id = ma.String(required=True)
    by = ma.String(required=True, metadata={"description": "E-mail address of who acknowledged the failure"})
    at = ma.String(required=True, metadata=INSTANT)
    note = ma.String(required=True)
    dismissed = ma.Boolean(required=True)


class AcknowledgementEnvelope(AnswerSchema):
    acknowledgement = ma.Nested(AcknowledgementOut, required=True)


class WaitQuery(RequestSchema):
    wait = ma.Integer(
        load_default=0,
        validate=Range(min=0, max=LONGEST_WAIT_SECONDS),
        metadata={"description": "Seconds to wait for the end of the execution. After them, the answer shows the execution as it is"},
    )


class LogQuery(RequestSchema):
    after = ma.String(load_default="", validate=Length(max=64), metadata={"description": "`next` of the previous answer"})
    limit = ma.Integer(load_default=1000, validate=Range(min=1, max=10_000))


class LogLineOut(AnswerSchema):
    timestamp = ma.String(required=True, metadata=INSTANT)
    level = ma.String(required=True)
    message = ma.String(required=True)
    attempt = ma.Integer(required=True)


class ErrorOut(AnswerSchema):
    type = ma.String(required=True, metadata={"description": "The class of the error"})
    message = ma.String(required=True)
    permanent = ma.Boolean(metadata={"description": "A retry cannot help"})
    kind = ma.String(metadata={"description": "What the retry policy decides by: " + ", ".join(kind.value for kind in RetryOn)})
    traceback = ma.String()


class UsageOut(AnswerSchema):
    cpu_seconds = ma.Float(metadata={"description": "Processor time"})
    max_memory_mb = ma.Float(metadata={"description": "Largest use of memory, MiB"})


class AttemptOut(AnswerSchema):
    number = ma.Integer(required=True, metadata={"description": "From 1"})
    status = ma.String(required=True)
    reason = ma.String(allow_none=True)
    started_at = ma.String(required=True, metadata=INSTANT)
    completed_at = ma.String(allow_none=True, metadata=INSTANT)
    duration_seconds = ma.Float(allow_none=True)
    error = AsIs(ErrorOut, allow_none=True)
    host = ma.String(allow_none=True)
    worker = ma.String(allow_none=True)
    usage = AsIs(UsageOut)


class ResultOut(AnswerSchema):
    """What the template says about the run. The help page of the template describes the members beside `message`."""

    message = ma.String(metadata={"description": "The result in words"})


class ProgressOut(AnswerSchema):
    done = ma.Integer(required=True)
    total = ma.Integer(allow_none=True, metadata={"description": "null if it is not known"})
    note = ma.String()


class DueTimesOut(AnswerSchema):
    first = ma.String(required=True, metadata=INSTANT)
    last = ma.String(required=True, metadata=INSTANT)
    count = ma.Integer(required=True)


class OwedOut(AnswerSchema):
    what = ma.String(required=True, metadata={"description": "notify (to write notifications), alert, followers, self_pause or regroup"})
    at = ma.String(allow_none=True, metadata={**INSTANT, "description": "The next try; null after it was given up"})
    tries = ma.Integer(required=True)
    error = ma.String(allow_none=True, metadata={"description": "The error of the last try"})
    given_up_at = ma.String(allow_none=True, metadata=INSTANT)


class ResolvedOut(AnswerSchema):
    pointer = ma.String(required=True, metadata={"description": "JSON Pointer of the parameter"})
    value = ma.Raw(required=True, allow_none=True)


class MailsOut(AnswerSchema):
    on_success = ma.List(ma.String())
    on_failure = ma.List(ma.String())


class ExecutionOut(RecordOut):
    job_id = ma.String(required=True)
    job_name = ma.String(required=True)
    job_version = ma.Integer()
    group = ma.String(metadata={"description": "The group of its job"})
    needs = ma.List(ma.String(), metadata={"description": "The labels that a node must have to run it, of its job and its template"})
    template_type = ma.String()
    template_version = ma.Integer(allow_none=True)
    code_version = ma.Integer(
        allow_none=True, metadata={"description": "The version of the template's code that the parameters are written for"}
    )
    parameters = ma.Dict(keys=ma.String(), metadata={"description": "By the parameters_schema of the template; secrets are masked"})
    status = ma.String(required=True, validate=OneOf([*(status.value for status in Status), UNKNOWN]))
    ended = ma.Boolean(required=True, metadata={"description": "The execution has ended; its status does not change any more"})
    reason = ma.String(allow_none=True, metadata={"description": "Why it ended in this way, if not by itself"})
    scheduled_for = ma.String(allow_none=True, metadata={**INSTANT, "description": "The due time; null for a run by hand"})
    stands_for = ma.String(metadata={**INSTANT, "description": "Of a backfill: the due time in the past that it stands for"})
    queued_at = ma.String(metadata=INSTANT)
    started_at = ma.String(allow_none=True, metadata=INSTANT)
    completed_at = ma.String(allow_none=True, metadata=INSTANT)
    duration_seconds = ma.Float(allow_none=True)
    attempts = ma.List(AsIs(AttemptOut))
    result = AsIs(ResultOut, allow_none=True)
    error = AsIs(ErrorOut, allow_none=True)
    progress = AsIs(ProgressOut, allow_none=True)
    priority = ma.Integer()
    timeout_seconds = ma.Float()
    triggered_by = ma.String(metadata={"description": ", ".join(trigger.value for trigger in Trigger)})
    triggered_by_user = ma.String(allow_none=True)
    retry_of = ma.String(allow_none=True, metadata={"description": "The execution that this one repeats"})
    caused_by = ma.List(ma.String(), metadata={"description": "The executions whose ends triggered it, if triggered_by is dependency"})
    execution_host = ma.String(allow_none=True)
    correlation_id = ma.String(
        metadata={"description": "In log lines, calls and events: the X-Request-Id of the request that caused the execution, or its own id"}
    )
    notifications = AsIs(MailsOut, metadata={"description": "Who is notified when it ends"})
    owed = ma.List(AsIs(OwedOut), metadata={"description": "Follow-ups of its end that are not done yet; missing if there are none"})
    due_times = AsIs(DueTimesOut, metadata={"description": "The due times that one `missed` or `skipped` record stands for"})
    resolved = ma.List(AsIs(ResolvedOut), metadata={"description": "The values that dynamic parameters had in this run"})
    dry = ma.Boolean(metadata={"description": "true for a dry run"})
    damaged = ma.String(metadata={"description": "What is wrong with the stored record; missing if it is sound"})


class ExecutionEnvelope(AnswerSchema):
    execution = ma.Nested(ExecutionOut, required=True)
    logs = ma.List(ma.Nested(LogLineOut), metadata={"description": "The first 1,000 lines"})
    message = ma.String()


ExecutionList = page_schema("ExecutionList", "executions", ExecutionOut)


class RunEnvelope(AnswerSchema):
    execution = ma.Nested(ExecutionOut, metadata={"description": "The new execution; missing if the run waits for approval"})
    execution_id = ma.String(metadata={"description": "The same as `execution.id`"})
    message = ma.String(required=True, metadata={"description": "What has become of the run"})
    approval = ma.Nested(ApprovalOut, metadata={"description": "The request for approval, if the run waits for one"})


class LogPage(AnswerSchema):
    logs = ma.List(ma.Nested(LogLineOut), required=True)
    next = ma.String(required=True, metadata={"description": "Send it as `after` to go on"})
