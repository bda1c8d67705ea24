"""The body of a job in a request: one marshmallow schema for REST, forms and documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError
from marshmallow import fields as ma
from marshmallow.validate import Email, Length, OneOf, Range

from app.errors import FieldError
from app.jobs.model import DependsOn, Excess, MisfirePolicy, Overlap, RetryOn
from app.jobs.recipients import as_recipient, channel_of
from app.labels import LABEL_PATTERN, LONGEST_LABEL, MOST_NEEDS, is_label
from app.triggers import FIELDS, TRIGGERS
from app.validation import pointer
from app.validation.fields import Instant, TrueFalse, Whole
from app.validation.names import NAME_OF_CONNECTION, normal, read_name
from templates_lib.messages import say

LONGEST_NAME = 120
MAX_TAGS = 20
MAX_DEPENDENCIES = 20
NO_LABEL = say("must be a label, such as gpu or site=berlin: lower-case letters, digits, '.', '_' and '-'")
# The pattern of names in the documentation. It is an approximation; app.validation.names has the exact rule.
NAME_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff]*$"


class _Strict(Schema):
    class Meta:
        unknown = RAISE


class NameField(ma.String):
    """A name or another line that people read, in its normal spelling (app.validation.names).

    Spaces at both ends are dropped. They are refused if the name gives rights, as the name of a group does (`gives_rights`).
    """

    def __init__(self, *, gives_rights: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "metadata": {"pattern": NAME_PATTERN, **kwargs.get("metadata", {})}})
        self._gives_rights = gives_rights

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        sent = super()._deserialize(value, *args, **kwargs)
        text, problem = read_name(sent)
        if problem is None and sent and not text:
            problem = say("must not be empty")
        if problem is None and self._gives_rights and sent != sent.strip():
            problem = say("must not begin or end with a space")
        if problem is not None:
            raise ValidationError(problem)
        return text


class LabelField(ma.String):
    """A label that a job needs of a node (app.labels)."""

    def __init__(self) -> None:
        super().__init__(validate=Length(min=1, max=LONGEST_LABEL), metadata={"pattern": f"^{LABEL_PATTERN}$", "example": "site=berlin"})

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if not is_label(text):
            raise ValidationError(NO_LABEL)
        return text


def _schedule_fields() -> dict[str, ma.Field[Any]]:
    """The fields of a schedule: the own fields of all types of trigger, and those that all types share."""
    return {
        "type": ma.String(required=True, validate=OneOf(list(TRIGGERS)), metadata={"description": "Type of schedule"}),
        **{name: field.body() for name, field in FIELDS.items()},
        "timezone": ma.String(
            validate=Length(max=64), metadata={"description": "IANA name of the time zone, for cron", "example": "Europe/Berlin"}
        ),
        "start_at": Instant(
            allow_none=True, metadata={"description": "No run is due before this time. An interval is counted from this time."}
        ),
        "end_at": Instant(allow_none=True, metadata={"description": "No run is due at or after this time"}),
        "jitter_seconds": Whole(
            validate=Range(min=0, max=86_400),
            metadata={
                "description": "Each run starts up to this many seconds after its due time. The delay of a job is "
                "always the same and differs between jobs."
            },
        ),
        "calendars": ma.List(
            ma.String(validate=Length(min=1, max=100)),
            validate=Length(max=10),
            metadata={"description": "Names of blackout calendars. The job does not start during their blackouts."},
        ),
    }


ScheduleSchema = _Strict.from_dict(_schedule_fields(), name="ScheduleSchema")


class RetryPolicySchema(_Strict):
    max_retries = Whole(
        validate=Range(min=0, max=100), metadata={"title": "Retries", "description": "Number of attempts after the first one"}
    )
    retry_delay_seconds = Whole(
        validate=Range(min=0, max=86_400),
        metadata={"title": "Delay in seconds", "description": "Wait before the first retry, at least 1 second"},
    )
    backoff = ma.String(
        validate=OneOf(["fixed", "exponential"]),
        metadata={
            "title": "Back-off",
            "description": "Fixed: always the same wait. Exponential: a random wait, up to a limit that doubles with each retry.",
        },
    )
    max_delay_seconds = Whole(validate=Range(min=1, max=604_800), metadata={"title": "Longest delay in seconds"})
    retry_on = ma.List(
        ma.String(validate=OneOf([item.value for item in RetryOn])),
        metadata={"title": "Retry after", "description": "Outcomes of an attempt after which it is retried"},
    )


class MisfireSchema(_Strict):
    policy = ma.String(
        validate=OneOf([item.value for item in MisfirePolicy]),
        metadata={"title": "Missed runs", "description": "Skip them, run once, or run all of them up to the limit"},
    )
    grace_seconds = Whole(
        validate=Range(min=1, max=604_800),
        metadata={"title": "Grace in seconds", "description": "How late a run may start and still count as on time"},
    )
    max_catch_up = Whole(validate=Range(min=1, max=100), metadata={"title": "Maximum number of runs to catch up"})


class ConcurrencySchema(_Strict):
    max_instances = Whole(validate=Range(min=1, max=1000), metadata={"title": "Simultaneous runs"})
    group = NameField(
        gives_rights=True,
        validate=Length(max=100),
        metadata={"title": "Concurrency group", "description": "Jobs in the same concurrency group do not run at the same time"},
    )


class RunLimitSchema(_Strict):
    runs = Whole(
        validate=Range(min=0, max=1000),
        metadata={"title": "Maximum number of runs", "description": "Runs that may start in each period. 0 means that there is no limit."},
    )
    seconds = Whole(
        validate=Range(min=1, max=2_678_400),
        metadata={"title": "Period in seconds", "description": "Length of the period, which may begin at any time"},
    )
    excess = ma.String(
        validate=OneOf([item.value for item in Excess]),
        metadata={"title": "Runs beyond the limit", "description": "skip: they are skipped. queue: they wait until the limit allows them."},
    )


class RecipientField(ma.String):
    """A mail address, or a channel as `channel:NAME`."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        name = channel_of(text)
        if name is None:
            try:
                Email()(text)
            except ValidationError:
                raise ValidationError("must be an e-mail address, or channel: and the name of a channel") from None
            return text
        if not re.fullmatch(NAME_OF_CONNECTION, name):
            raise ValidationError("must have the name of a channel after channel:")
        return as_recipient(normal(name))


def _recipients(title: str) -> Any:
    words = "A mail address, or channel: and the name of a channel"
    item = RecipientField(metadata={"title": "Recipient", "description": words, "examples": ["ops@example.com", "channel:ops"]})
    return ma.List(item, validate=Length(max=20), metadata={"title": title})


class NotificationsSchema(_Strict):
    on_success = _recipients(say("After success"))
    on_failure = _recipients(say("After failure"))


class DependencySchema(_Strict):
    job = ma.String(
        required=True,
        validate=Length(min=1, max=LONGEST_NAME),
        metadata={"title": say("Job"), "description": "Name or id of the other job"},
    )
    when = ma.String(
        load_default=DependsOn.SUCCESS.value,
        validate=OneOf([item.value for item in DependsOn]),
        metadata={"title": say("Required outcome"), "description": "success, failure (failed or timed out), or end (either of them)"},
    )


class JobDefinitionSchema(_Strict):
    """The body of create and update."""

    name = NameField(required=True, validate=Length(min=1, max=LONGEST_NAME), metadata={"description": "Unique"})
    description = ma.String(validate=Length(max=2000))
    template_type = ma.String(required=True, validate=Length(min=1, max=100), metadata={"example": "database_cleanup"})
    parameters = ma.Dict(keys=ma.String(), metadata={"description": "Values that fit the parameters_schema of the template"})
    schedule = ma.Nested(ScheduleSchema)
    enabled = TrueFalse(metadata={"description": "Scheduled runs start only while this is true"})
    timeout_seconds = Whole(validate=Range(min=1), metadata={"description": "The run and all its processes are stopped after this time"})
    retry_policy = ma.Nested(RetryPolicySchema)
    overlap = ma.String(validate=OneOf([item.value for item in Overlap]))
    misfire = ma.Nested(MisfireSchema)
    concurrency = ma.Nested(ConcurrencySchema)
    run_limit = ma.Nested(
        RunLimitSchema,
        metadata={"description": "The number of runs that may start in a period, whatever triggers them. Retries are not counted."},
    )
    priority = Whole(
        validate=Range(min=1, max=10),
        metadata={
            "description": "1 to 10. Runs with priority 10 start first. "
            "For runs that wait, one minute of waiting counts as much as one level."
        },
    )
    needs = ma.List(
        LabelField(),
        validate=Length(max=MOST_NEEDS),
        metadata={"description": "Labels. The job runs only on nodes that have all of them (JOBWRIGHT_NODE_LABELS)."},
    )
    tags = ma.List(NameField(validate=Length(min=1, max=50)), validate=Length(max=MAX_TAGS))
    group = NameField(gives_rights=True, validate=Length(max=100))
    notifications = ma.Nested(
        NotificationsSchema,
        metadata={"description": "Mail addresses, and channels as channel:NAME. Failure means failed, timed out or missed."},
    )
    pause_after_failures = Whole(
        validate=Range(min=0, max=1000),
        metadata={"description": "The job pauses itself after this number of failures in a row. 0 means never."},
    )
    depends_on = ma.List(
        ma.Nested(DependencySchema),
        validate=Length(max=MAX_DEPENDENCIES),
        metadata={"description": "The job also runs each time all of these jobs have finished with the required outcome."},
    )


class PauseSchema(_Strict):
    """The body of a pause."""

    reason = NameField(load_default="", validate=Length(max=500), metadata={"description": "Shown on the job's page while it is paused."})
    until = Instant(
        allow_none=True, metadata={"description": "End of the pause. Without it, the pause lasts until someone resumes the job."}
    )


class ShadowSchema(_Strict):
    """The body of a request for shadow mode."""

    reason = NameField(
        load_default="", validate=Length(max=500), metadata={"description": "Shown on the job's page while it is in shadow mode."}
    )


def flatten_messages(messages: Any, path: tuple[Any, ...] = ()) -> Iterator[FieldError]:
    """Yields one FieldError for each of marshmallow's nested messages."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from flatten_messages(inner, path if key == "_schema" else (*path, key))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield FieldError(pointer(path), WORDS.get(str(text), str(text)))


# marshmallow's messages, and the messages of this API in their place.
WORDS = {
    "Missing data for required field.": "is required",
    "Unknown field.": "is not a known field",
    "Field may not be null.": "must not be null",
    "Not a valid string.": "must be text",
    "Not a valid integer.": "must be a whole number",
    "Not a valid boolean.": "must be true or false",
    "Not a valid list.": "must be a list",
    "Not a valid mapping type.": "must be an object",
    "Invalid input type.": "must be an object",
    "Not a valid email address.": "must be an e-mail address",
    "Not a valid dict.": "must be an object",
}
