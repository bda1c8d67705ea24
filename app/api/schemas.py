"""What REST answers and takes in its queries, for the OpenAPI document; bodies of jobs are app.jobs.schema's."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, INCLUDE, RAISE, Schema, ValidationError, validates_schema
from marshmallow import fields as ma
from marshmallow.validate import Length, OneOf, Range, Regexp

from app.approvals.service import STATES
from app.jobs.filters import NEVER
from app.jobs.model import DependsOn
from app.jobs.schema import ConcurrencySchema, JobDefinitionSchema, MisfireSchema, NameField, RetryPolicySchema
from app.jobs.store import SORTS
from app.queue.model import Status
from app.validation.fields import Bound

LAST_STATUSES = ["success", "failed", "timeout", "cancelled", NEVER]
INSTANT = {"format": "date-time"}


NUL = "\0"
LARGEST = 2**63 - 1  # that the store can compare with


class _Query(Schema):
    class Meta:
        unknown = RAISE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def refuse_nul(self, _data: Any, sent: Any, **_: Any) -> None:
        """No text of the registry holds NUL, and no pattern of the store can. Told beside all else that is wrong."""
        wrong = {name: ["must not hold the character NUL"] for name, value in sent.items() if isinstance(value, str) and NUL in value}
        if wrong:
            raise ValidationError(wrong)


class _Answer(Schema):
    class Meta:
        unknown = INCLUDE


class PageQuery(_Query):
    page = ma.Integer(load_default=1, validate=Range(min=1, max=100_000))
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=200))


class JobFilterQuery(_Query):
    template_type = ma.String(validate=Length(max=100))
    enabled = ma.Boolean()
    paused = ma.Boolean()
    broken = ma.Boolean(metadata={"description": "Its schedule cannot be computed, or its template is gone"})
    ended = ma.Boolean(metadata={"description": "Its schedule had due times and has none any more"})
    last_status = ma.String(validate=OneOf(LAST_STATUSES), metadata={"description": "How its last run ended, or never"})
    owner = ma.String(validate=Length(max=320), metadata={"description": "Who made it, by e-mail address"})
    tag = ma.String(validate=Length(max=50))
    group = ma.String(validate=Length(max=100))
    search = ma.String(load_default="", validate=Length(max=200), metadata={"description": "In name, description and tags"})


class JobQuery(PageQuery, JobFilterQuery):
    sort = ma.String(load_default="name", validate=OneOf(sorted(SORTS)))


class ExecutionQuery(PageQuery):
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=200))
    status = ma.String(validate=OneOf([status.value for status in Status]))


class AllExecutionsQuery(ExecutionQuery):
    job_id = ma.String(validate=Length(max=64))


class LogQuery(_Query):
    after = ma.String(load_default="", validate=Length(max=64), metadata={"description": "`next` of the answer before"})
    limit = ma.Integer(load_default=1000, validate=Range(min=1, max=10_000))


class NoQuery(_Query):
    pass


class AuditExportQuery(_Query):
    actor = ma.String(load_default="", validate=Length(max=320), metadata={"description": "Part of an e-mail address"})
    action = ma.String(load_default="", validate=Length(max=100), metadata={"description": "`job.run`, or `job` for all that begin so"})
    kind = ma.String(load_default="", validate=Length(max=50), metadata={"description": "Kind of target: job, connection, user …"})
    target_id = ma.String(load_default="", validate=Length(max=200))
    outcome = ma.String(load_default="", validate=OneOf(["", "done", "failed", "refused"]))
    correlation_id = ma.String(load_default="", validate=Length(max=100))
    begin = Bound(load_default=None, metadata={"description": "Inclusive"})
    end = Bound(load_default=None, metadata={"description": "Exclusive"})
    format = ma.String(load_default="jsonl", validate=OneOf(["jsonl", "csv"]))


class AuditQuery(AuditExportQuery):
    class Meta:
        exclude = ("format",)
        unknown = RAISE

    before = ma.Integer(load_default=None, validate=Range(min=1, max=LARGEST), metadata={"description": "`older` of the answer before"})
    limit = ma.Integer(load_default=50, validate=Range(min=1, max=500))


class AuditList(_Answer):
    events = ma.List(ma.Dict(), metadata={"description": "seq, at, action, outcome, actor, via, address, target, diff, reason, seal"})
    older = ma.Integer(allow_none=True)


class JobChanges(JobDefinitionSchema):
    """Any of a job's fields."""

    name = NameField()
    template_type = ma.String()


class ScheduleOut(_Answer):
    """As sent, with the default time zone; what the type does not use is left out."""

    type = ma.String(required=True)
    timezone = ma.String(required=True)
    expression = ma.String()
    interval_seconds = ma.Integer()
    jitter_seconds = ma.Integer()
    calendars = ma.List(ma.String())
    run_at = ma.String(metadata=INSTANT)
    start_at = ma.String(metadata=INSTANT)
    end_at = ma.String(metadata=INSTANT)


class PauseOut(_Answer):
    cause = ma.String(required=True, metadata={"description": "person, calendar (reason is its name) or maintenance"})
    reason = ma.String(required=True)
    until = ma.String(allow_none=True, metadata=INSTANT)
    by = ma.String(required=True)
    at = ma.String(required=True, metadata=INSTANT)


class JobOut(JobDefinitionSchema):
    class Meta:
        unknown = EXCLUDE

    _id = ma.String(required=True)
    schedule = ma.Nested(ScheduleOut)
    retry_policy = ma.Nested(RetryPolicySchema)
    misfire = ma.Nested(MisfireSchema)
    concurrency = ma.Nested(ConcurrencySchema)
    template_version = ma.Integer()
    origin = ma.String()
    created_by = ma.String()
    created_at = ma.String(metadata=INSTANT)
    updated_by = ma.String()
    updated_at = ma.String(metadata=INSTANT)
    last_run_at = ma.String(allow_none=True, metadata=INSTANT)
    next_run_at = ma.String(allow_none=True, metadata=INSTANT)
    schedule_words = ma.String()
    schedule_error = ma.String(allow_none=True)
    ended = ma.Boolean(metadata={"description": "Its schedule had due times and has none any more"})
    paused = ma.Nested(PauseOut, allow_none=True)
    version = ma.Integer(required=True)


WARNINGS = {"description": "What can be known to fail each run: pointer into the job, detail. The job is saved all the same"}


class JobEnvelope(_Answer):
    job = ma.Nested(JobOut, required=True)
    message = ma.String()
    warnings = ma.List(ma.Dict(), metadata=WARNINGS)


class JobList(_Answer):
    jobs = ma.List(ma.Nested(JobOut), required=True)
    total = ma.Integer(required=True)
    page = ma.Integer(required=True)
    pages = ma.Integer(required=True)


class RevisionQuery(_Query):
    before = ma.Integer(validate=Range(min=1, max=LARGEST), metadata={"description": "Versions below this one"})
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=100))


class RevisionOut(_Answer):
    version = ma.Integer(required=True)
    at = ma.String(required=True, metadata=INSTANT)
    by = ma.String(required=True)
    diff = ma.List(ma.Dict(), required=True, metadata={"description": "A row a field: field, before, after; secrets masked"})
    created = ma.Boolean(required=True)
    paused = ma.Boolean(
        required=True, allow_none=True, metadata={"description": "True where the change paused it, false where it resumed it"}
    )


class RevisionList(_Answer):
    revisions = ma.List(ma.Nested(RevisionOut), required=True)


class LinkOut(_Answer):
    job = ma.String(required=True, metadata={"description": "Id of the other job"})
    when = ma.String(required=True, validate=OneOf([item.value for item in DependsOn]), metadata={"description": "Which of its ends count"})
    name = ma.String(required=True, allow_none=True, metadata={"description": "null where you do not see it, or it is gone"})
    last_status = ma.String(required=True, allow_none=True)


class UpstreamOut(LinkOut):
    execution = ma.String(
        required=True, allow_none=True, metadata={"description": "The one that ended so and waits for those of the other jobs"}
    )


class DependenciesOut(_Answer):
    depends_on = ma.List(ma.Nested(UpstreamOut), required=True)
    dependants = ma.List(ma.Nested(LinkOut), required=True)


class NoteOut(_Answer):
    _id = ma.String(required=True)
    text = ma.String(required=True)
    by = ma.String(required=True, metadata={"description": "E-mail address of who wrote it"})
    at = ma.String(required=True, metadata=INSTANT)


class NoteList(_Answer):
    notes = ma.List(ma.Nested(NoteOut), required=True)


class NoteEnvelope(_Answer):
    note = ma.Nested(NoteOut, required=True)


class StatsOut(_Answer):
    executions = ma.Integer(required=True)
    by_status = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)
    success = ma.Float(required=True, allow_none=True, metadata={"description": "Share of those that ran to an end, 0 to 1"})
    median_seconds = ma.Float(required=True, allow_none=True)
    p95_seconds = ma.Float(required=True, allow_none=True, metadata={"description": "From 20 successes on"})


class BulkItem(_Answer):
    job_id = ma.String(required=True)
    name = ma.String(required=True)
    version = ma.Integer(required=True)
    effect = ma.String(required=True, metadata={"description": "What is expected: changes, stays, asks, cannot"})
    result = ma.String(required=True, allow_none=True, metadata={"description": "What became of it: done, stayed, waits, failed"})
    detail = ma.String(required=True, metadata={"description": "Why; of one that waits, the id of the approval"})


class BulkOut(_Answer):
    items = ma.List(ma.Nested(BulkItem), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer(), required=True)


class Validated(_Answer):
    valid = ma.Boolean(required=True)
    job = ma.Dict()
    schedule_words = ma.String()
    next_runs = ma.List(ma.String(metadata=INSTANT))
    warnings = ma.List(ma.Dict(), metadata=WARNINGS)


class Message(_Answer):
    message = ma.String(required=True)


class RunBody(_Query):
    parameters = ma.Dict(keys=ma.String(), metadata={"description": "Replace these parameters for this run"})


class RunEnvelope(_Answer):
    execution_id = ma.String(metadata={"description": "Left out where the run waits for approval"})
    message = ma.String(required=True)
    approval = ma.Nested(lambda: ApprovalOut())


class LogLineOut(_Answer):
    timestamp = ma.String(metadata=INSTANT)
    level = ma.String()
    message = ma.String()
    attempt = ma.Integer()


class ExecutionOut(_Answer):
    _id = ma.String(required=True)
    job_id = ma.String(required=True)
    job_name = ma.String()
    job_version = ma.Integer()
    template_type = ma.String()
    template_version = ma.Integer()
    parameters = ma.Dict()
    status = ma.String(required=True, validate=OneOf([status.value for status in Status]))
    reason = ma.String(allow_none=True)
    scheduled_for = ma.String(allow_none=True, metadata=INSTANT)
    stands_for = ma.String(metadata={**INSTANT, "description": "Of a backfill: the due time that it makes up for"})
    queued_at = ma.String(metadata=INSTANT)
    started_at = ma.String(allow_none=True, metadata=INSTANT)
    completed_at = ma.String(allow_none=True, metadata=INSTANT)
    duration_seconds = ma.Float(allow_none=True)
    attempts = ma.List(ma.Dict())
    result = ma.Raw(allow_none=True)
    error = ma.Dict(allow_none=True)
    progress = ma.Dict(allow_none=True)
    priority = ma.Integer()
    timeout_seconds = ma.Integer()
    triggered_by = ma.String()
    triggered_by_user = ma.String(allow_none=True)
    retry_of = ma.String(allow_none=True)
    caused_by = ma.List(ma.String(), metadata={"description": "The executions whose ends began it; where triggered_by is dependency"})
    execution_host = ma.String(allow_none=True)
    due_times = ma.Dict(metadata={"description": "first, last and count of the due times that one `missed` or `skipped` record stands for"})


class ExecutionEnvelope(_Answer):
    execution = ma.Nested(ExecutionOut, required=True)
    logs = ma.List(ma.Nested(LogLineOut))
    message = ma.String()


class ExecutionList(_Answer):
    executions = ma.List(ma.Nested(ExecutionOut), required=True)
    total = ma.Integer(required=True)
    page = ma.Integer()
    pages = ma.Integer()


class LogPage(_Answer):
    logs = ma.List(ma.Nested(LogLineOut), required=True)
    next = ma.String(required=True, metadata={"description": "Give it as `after` to go on"})


class TemplateOut(_Answer):
    _id = ma.String(required=True)
    name = ma.String()
    description = ma.String()
    category = ma.String()
    icon = ma.String()
    version = ma.Integer()
    parameters_schema = ma.Dict()
    estimated_duration = ma.String()
    resource_usage = ma.String()
    risk_level = ma.String()
    destructive = ma.Boolean()
    isolation = ma.String()
    base = ma.String(allow_none=True, metadata={"description": "Of a derived template: what it is made from"})
    state = ma.String(metadata={"description": "published, deprecated or retired"})
    enabled = ma.Boolean()
    when_off = ma.String(metadata={"description": "What its jobs do while it is off: keep or pause"})
    roles = ma.List(ma.String(), metadata={"description": "Who alone may use it; empty: all that may use any"})
    note = ma.String()
    jobs = ma.Integer()
    previews = ma.Boolean()


class TemplateList(_Answer):
    templates = ma.List(ma.Nested(TemplateOut), required=True)


class TemplateEnvelope(_Answer):
    template = ma.Nested(TemplateOut, required=True)
    schema = ma.Dict(required=True)


class TemplateRecord(_Answer):
    template = ma.Dict(required=True, metadata={"description": "type, revision, standing; of a derived one base, draft, versions"})
    message = ma.String()


class TemplateFileQuery(_Query):
    dry_run = ma.Boolean(load_default=False)


class SharedOut(_Answer):
    type = ma.String(required=True)
    base = ma.String(required=True)
    new = ma.Boolean(required=True)
    signed = ma.String(required=True, metadata={"description": "nobody, here, trusted or stranger"})
    key = ma.String(allow_none=True)
    diff = ma.List(ma.Dict(), required=True)
    notes = ma.List(ma.String(), required=True)
    errors = ma.List(ma.Dict(), required=True, metadata={"description": "What keeps it out"})
    taken = ma.Boolean(required=True)


class ImpactQuery(_Query):
    to = ma.String(
        load_default="",
        validate=Regexp("^(draft|[1-9][0-9]{0,5})?$", error="must be a version or draft"),
        metadata={"description": "A version, or `draft`; by default the current version"},
    )


class ImpactOut(_Answer):
    to = ma.Integer(required=True)
    jobs = ma.List(
        ma.Dict(),
        required=True,
        metadata={"description": "job_id, name, from, effect (there, stays_valid, migrates, needs_input), parameters, diff, errors"},
    )


class MoveOut(_Answer):
    move = ma.Dict(allow_none=True, metadata={"description": "The record, by whose `_id` it is rolled back"})
    results = ma.List(
        ma.Dict(), required=True, metadata={"description": "job_id, name, outcome (moved, restored, needs_input, changed, gone), errors"}
    )


class MoveList(_Answer):
    moves = ma.List(ma.Dict(), required=True)


class PresetList(_Answer):
    presets = ma.List(ma.Dict(), required=True)


class PresetEnvelope(_Answer):
    preset = ma.Dict(required=True)


class SchemaEnvelope(_Answer):
    schema = ma.Dict(required=True)


class ConnectionBody(_Query):
    name = ma.String(required=True)
    kind = ma.String(metadata={"description": "On create only"})
    settings = ma.Dict(required=True, metadata={"description": 'A secret given as {"$secret": "set"} stays as it is'})


class HealthOut(_Answer):
    works = ma.Boolean(required=True)
    since = ma.String(required=True, metadata=INSTANT)
    probed_at = ma.String(required=True, metadata=INSTANT)
    message = ma.String(metadata={"description": "What it answered; a super-admin's to see"})


class ConnectionOut(_Answer):
    _id = ma.String(required=True)
    name = ma.String(required=True)
    kind = ma.String(required=True)
    health = ma.Nested(HealthOut, allow_none=True, metadata={"description": "In lists: whether it answered when it was last tried"})
    settings = ma.Dict()
    version = ma.Integer()


class ConnectionEnvelope(_Answer):
    connection = ma.Nested(ConnectionOut, required=True)
    message = ma.String()


class ConnectionList(_Answer):
    connections = ma.List(ma.Nested(ConnectionOut), required=True)


class ProbeOut(_Answer):
    ok = ma.Boolean(required=True)
    message = ma.String(required=True)


class BackfillOut(_Answer):
    runs = ma.Integer(metadata={"description": "This and the others are left out where the backfill waits for approval"})
    due_times = ma.List(ma.String(metadata=INSTANT))
    done = ma.Integer(metadata={"description": "Left out: they have a run already"})
    blackout = ma.Integer(metadata={"description": "Left out: they lie in a blackout"})
    approval = ma.Nested(lambda: ApprovalOut())


class BlackoutOut(_Answer):
    start = ma.String(required=True, metadata=INSTANT)
    end = ma.String(required=True, metadata=INSTANT)


class CalendarOut(_Answer):
    name = ma.String(required=True)
    description = ma.String()
    timezone = ma.String(required=True)
    dates = ma.List(ma.Dict())
    weekly = ma.List(ma.Dict())
    ical = ma.String()
    version = ma.Integer(required=True)
    updated_by = ma.String(required=True)
    updated_at = ma.String(required=True, metadata=INSTANT)


class CalendarEnvelope(_Answer):
    calendar = ma.Nested(CalendarOut, required=True)
    upcoming = ma.List(ma.Nested(BlackoutOut), required=True)
    message = ma.String()


class CalendarList(_Answer):
    calendars = ma.List(ma.Nested(CalendarOut), required=True)


class MaintenanceOut(_Answer):
    on = ma.Boolean(required=True)
    reason = ma.String()
    by = ma.String()
    at = ma.String(metadata=INSTANT)


class ApprovalQuery(PageQuery):
    state = ma.String(validate=OneOf(STATES))


class DecisionBody(_Query):
    note = ma.String(validate=Length(max=1000))


class ApprovalOut(_Answer):
    _id = ma.String(required=True)
    operation = ma.String(required=True, metadata={"description": "job.create, job.update, job.run …"})
    state = ma.String(required=True)
    job_id = ma.String(required=True, metadata={"description": "Of job.create, the id that the job will have"})
    job_name = ma.String(required=True)
    requested_by = ma.Dict(required=True)
    requested_at = ma.String(required=True, metadata=INSTANT)
    expires_at = ma.String(required=True, metadata=INSTANT)
    decided_by = ma.String(allow_none=True)
    decided_at = ma.String(allow_none=True, metadata=INSTANT)
    note = ma.String()
    diff = ma.List(ma.Dict())
    preview = ma.Dict(allow_none=True, metadata={"description": "state running or done; then status, result, error"})
    result = ma.Dict(allow_none=True, metadata={"description": "kind and id of what was made, or the error"})


class ApprovalEnvelope(_Answer):
    approval = ma.Nested(ApprovalOut, required=True)
    message = ma.String()


class ApprovalList(_Answer):
    approvals = ma.List(ma.Nested(ApprovalOut), required=True)
    total = ma.Integer(required=True)
    page = ma.Integer(required=True)
    pages = ma.Integer(required=True)


class UserOut(_Answer):
    _id = ma.String(required=True)
    email = ma.String(required=True)
    name = ma.String(required=True)
    role = ma.String(required=True)
    groups = ma.List(ma.String(), required=True, metadata={"description": "An admin sees the jobs of these alone; empty: all"})
    kind = ma.String(required=True, metadata={"description": "person or service"})
    disabled = ma.Boolean(required=True)
    second_factor = ma.Boolean(required=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    last_seen_at = ma.String(allow_none=True, metadata=INSTANT)
    version = ma.Integer(required=True)


class UserList(_Answer):
    users = ma.List(ma.Nested(UserOut), required=True)


class UserEnvelope(_Answer):
    user = ma.Nested(UserOut, required=True)
    message = ma.String()
    reset = ma.String(metadata={"description": "Path of the page on which a person sets the password; shown this once"})


class ResetOut(_Answer):
    reset = ma.String(required=True)


class TokenOut(_Answer):
    _id = ma.String(required=True)
    owner = ma.String(allow_none=True)
    user_id = ma.String(required=True)
    name = ma.String(required=True)
    prefix = ma.String(required=True)
    scopes = ma.List(ma.String(), required=True)
    created_at = ma.String(required=True, metadata=INSTANT)
    expires_at = ma.String(allow_none=True, metadata=INSTANT)
    last_used_at = ma.String(metadata=INSTANT)
    revoked_at = ma.String(allow_none=True, metadata=INSTANT)


class TokenList(_Answer):
    tokens = ma.List(ma.Nested(TokenOut), required=True)


class TokenEnvelope(_Answer):
    text = ma.String(required=True, metadata={"description": "The token; shown this once"})
    token = ma.Nested(TokenOut, required=True)


class ProblemOut(_Answer):
    type = ma.String()
    title = ma.String()
    status = ma.Integer()
    detail = ma.String()
    instance = ma.String()
    errors = ma.List(ma.Dict(), metadata={"description": "pointer (RFC 6901) or parameter, and detail, for each field"})
    correlation_id = ma.String()


class ExportQuery(JobFilterQuery):
    format = ma.String(load_default="yaml", validate=OneOf(["yaml", "json"]))


class PlanQuery(_Query):
    prune = ma.Boolean(load_default=False, metadata={"description": "Delete jobs that came out of a file and are in it no more"})
    only_new = ma.Boolean(load_default=False, metadata={"description": "Jobs that are there stay as they are"})


class StepOut(_Answer):
    name = ma.String(required=True)
    action = ma.String(required=True, metadata={"description": "create, update, unchanged, delete, invalid"})
    job_id = ma.String(allow_none=True)
    place = ma.Integer(allow_none=True, metadata={"description": "Of the job in the file, from 0"})
    diff = ma.List(ma.Dict(), metadata={"description": "field, before, after; secrets masked"})
    errors = ma.List(ma.Dict(), metadata={"description": "pointer into the job, detail"})
    warnings = ma.List(ma.Dict(), metadata={"description": "What will fail each run: pointer into the job, detail"})
    result = ma.String(allow_none=True, metadata={"description": "Of apply: done, approval (a super-admin is to approve it), failed"})
    detail = ma.String(metadata={"description": "Why it failed, or the id of the request for approval"})


class PlanOut(_Answer):
    steps = ma.List(ma.Nested(StepOut), required=True)
    counts = ma.Dict(keys=ma.String(), values=ma.Integer())
    valid = ma.Boolean(required=True)
