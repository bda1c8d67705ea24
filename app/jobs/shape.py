"""The shapes of the documents of jobs, and of their revisions, notes, drafts and moves (app.shapes)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.jobs.model import Cause, DependsOn, Excess, MisfirePolicy, Overlap
from app.sealing import SealedFields
from app.shapes import Anything, Flag, Instant, Json, Listed, Note, Number, Object, Shape, Text, instants, one_of, texts, wholes
from app.triggers import FIELDS, TRIGGERS, ManualTrigger

_ANY_WHOLE = Number(optional=True, least=None)


@dataclass(frozen=True, kw_only=True)
class _Schedule(Object):
    """A schedule with all fields that its type requires. One that lacks any is replaced by a schedule that is never due. Whether the time
    zone exists is left to the trigger."""

    def mend(self, value: Any, at: str, note: Note, *, partial: bool = False) -> Any:
        made = super().mend(value, at, note, partial=partial)
        trigger = TRIGGERS.get(made.get("type", ""))
        missing = [field.name for field in trigger.fields if field.required and made.get(field.name) is None] if trigger else []
        for name in missing:
            note(f"{at}/{name}", "is missing")
        return {"type": ManualTrigger.type} if missing else made


SCHEDULE = _Schedule(
    closed=True,
    optional=True,
    members={
        "type": one_of(list(TRIGGERS), ManualTrigger.type),
        **{name: field.stored() for name, field in FIELDS.items()},
        **instants("start_at", "end_at", optional=True, nullable=True),
        "timezone": Text(optional=True, default="UTC"),
        "jitter_seconds": Number(optional=True),
        "calendars": Listed(optional=True, of=Text()),
    },
)
SCHEDULED = Object(members={"schedule": SCHEDULE})
PAUSE = Object(
    closed=True,
    optional=True,
    nullable=True,
    members={
        "cause": one_of([item.value for item in Cause], Cause.PERSON.value, optional=True),
        **texts("reason", "by"),
        **instants("at", "since_due"),
        "until": Instant(optional=True, nullable=True),
    },
)
SHADOW = Object(
    closed=True,
    optional=True,
    nullable=True,
    members={**texts("reason", "by"), "at": Instant(), "held_by": Text(optional=True), "since_due": Instant(optional=True, nullable=True)},
)
DEPENDENCY = Object(
    members={"job": Text(), "when": one_of([item.value for item in DependsOn], DependsOn.SUCCESS.value, optional=True)},
)
NOTIFICATIONS = Object(optional=True, closed=True, members=dict.fromkeys(("on_success", "on_failure"), Listed(optional=True, of=Text())))
RETRY_POLICY = Object(
    optional=True,
    closed=True,
    members={
        "max_retries": Number(optional=True),
        "retry_delay_seconds": Number(optional=True, whole=False),
        "backoff": one_of(["fixed", "exponential"], "exponential", optional=True),
        "max_delay_seconds": Number(optional=True, whole=False),
        "retry_on": Listed(optional=True, of=Text()),
    },
)
RUN_LIMIT = Object(
    optional=True,
    closed=True,
    members={
        "runs": Number(optional=True),
        "seconds": Number(optional=True, least=1, default=3600),
        "excess": one_of([item.value for item in Excess], Excess.SKIP.value, optional=True),
    },
)
_DEFINITION: dict[str, Shape] = {
    "name": Text(default="unreadable"),
    "template_type": Text(default="unreadable"),
    "description": Text(optional=True),
    "parameters": Json(optional=True),
    "schedule": SCHEDULE,
    "enabled": Flag(optional=True),
    "timeout_seconds": Number(optional=True, whole=False, least=1, default=3600),
    "retry_policy": RETRY_POLICY,
    "overlap": one_of([item.value for item in Overlap], Overlap.SKIP.value, optional=True),
    "misfire": Object(
        optional=True,
        closed=True,
        members={
            "policy": one_of([item.value for item in MisfirePolicy], MisfirePolicy.SKIP.value, optional=True),
            "grace_seconds": Number(optional=True, whole=False, default=300),
            "max_catch_up": Number(optional=True, default=1),
        },
    ),
    "concurrency": Object(
        optional=True, closed=True, members={"max_instances": Number(optional=True, least=1, default=1), "group": Text(optional=True)}
    ),
    "run_limit": RUN_LIMIT,
    "priority": Number(optional=True, default=5),
    "needs": Listed(optional=True, of=Text()),
    "tags": Listed(optional=True, of=Text()),
    "group": Text(optional=True),
    "notifications": NOTIFICATIONS,
    "pause_after_failures": Number(optional=True),
    "depends_on": Listed(optional=True, of=DEPENDENCY),
}
_DECLARED = Object(optional=True, closed=True, members={name: replace(shape, optional=True) for name, shape in _DEFINITION.items()})
_OVERRIDE = Object(closed=True, members={**texts("field", "by"), "value": Anything(), "declared": Anything(), "at": Instant()})
REGISTERED = Object(
    optional=True,
    nullable=True,
    closed=True,
    members={
        "service": Text(default="unreadable"),
        **texts("display_name", "job_type", "digest", optional=True),
        "declared": _DECLARED,
        "overrides": Listed(optional=True, of=_OVERRIDE),
        "retired_at": Instant(optional=True, nullable=True),
    },
)
JOB = Object(
    members={
        **_DEFINITION,
        "template_version": Number(default=1),
        "code_version": Number(optional=True, nullable=True),
        "version": Number(default=1),
        **texts("origin", "created_by", "updated_by"),
        **instants("created_at", "updated_at"),
        **instants("next_run_at", "last_run_at", optional=True, nullable=True),
        **texts("last_status", "schedule_error", "request_digest", optional=True, nullable=True),
        "paused": PAUSE,
        "shadow": SHADOW,
        "registered": REGISTERED,
        "retired": Flag(optional=True),
        "was_enabled": Flag(optional=True),
        "seat": Number(optional=True),
        "creator_seat": Text(optional=True, pattern=r".*#[0-9]{1,9}"),
        "dispatch": Object(
            optional=True,
            members={"claim": Text(), "at": Instant(), "executions": Listed(of=Object(members={"_id": Text()}))},
        ),
        "reserved": Object(
            optional=True,
            members={"token": Text(), "at": Instant(), "depends_on": Listed(optional=True, of=Text()), "leaves": Flag(optional=True)},
        ),
    },
)
REVISION = Object(members={"job_id": Text(), "version": Number(default=1), "definition": JOB})
SEALED_FIELDS = (SealedFields("dynamic_jobs", ("parameters", "registered")), SealedFields("job_revisions", ("definition",)))
NOTE = Object(members={**texts("job_id", "text", "by", "by_id"), "at": Instant()})
SHADOW_RUN = Object(
    members={
        **texts("job_id", "outcome"),
        "reason": Text(optional=True, nullable=True),
        **instants("due_at", "last_due_at", "at"),
        "count": Number(default=1, least=1),
        "triggered_by": Text(optional=True, default="schedule"),
    }
)
DRAFT = Object(members={"_id": Anything(), "pairs": Listed(of=Listed(of=Text())), "at": Instant()})
MOVE = Object(
    members={
        "template_type": Text(),
        "to": Number(),
        "at": Instant(),
        "by": Text(),
        "jobs": Listed(of=Object(members={**texts("id", "name"), **wholes("version", "template_version")})),
        "rolled_back": Object(nullable=True, members={"at": Instant(), "by": Text()}),
    },
)
