"""What the documents of executions, their logs and counts must be (app.shapes)."""

from __future__ import annotations

from dataclasses import replace

from app.jobs.model import Overlap
from app.jobs.shape import NOTIFICATIONS, RETRY_POLICY, RUN_LIMIT
from app.outbox.model import OWED, TOLD
from app.queue.model import Reason, Status, Trigger
from app.sealing import SealedFields
from app.shapes import UNKNOWN, Anything, Flag, Instant, Json, Listed, Number, Object, Text, instants, one_of, texts, wholes

_STATUSES = [item.value for item in Status]
_ERROR = Object(
    nullable=True,
    members={
        **texts("type", "message", "traceback"),
        "kind": Text(optional=True),
        "permanent": Flag(optional=True),
        "retry_after_seconds": Number(optional=True, nullable=True, whole=False),
        "said": Anything(optional=True),  # the parts of the message
    },
)
_SECONDS = Number(optional=True, nullable=True, whole=False)
ATTEMPT = Object(
    members={
        "number": Number(optional=True),
        "started_at": Instant(),
        "completed_at": Instant(optional=True, nullable=True),
        "status": one_of(_STATUSES, UNKNOWN),
        "error": _ERROR,
        **texts("host", "worker", "reason", optional=True, nullable=True),
        "duration_seconds": _SECONDS,
        "usage": Object(optional=True, nullable=True, others=Number(whole=False, least=None, most=None)),
        "report": Text(optional=True, nullable=True),  # the digest of the report that ended it
        "logged": Object(optional=True, members=wholes("lines", "bytes")),  # of what was reported while it was deferred
    }
)
EXECUTION = Object(
    members={
        **texts("job_id", "job_name", "template_type"),
        "template_version": Number(nullable=True),
        "job_version": Number(),
        **wholes("code_version", "depth", optional=True, nullable=True),
        "parameters": Json(),
        "status": one_of(_STATUSES, UNKNOWN),
        "reason": Text(words=frozenset(item.value for item in Reason), nullable=True),
        "available_at": Instant(),
        "queued_at": Instant(),
        "priority": Number(default=5),
        "rank": Instant(nullable=True),
        "queue_rank": Instant(optional=True, nullable=True),
        "overlap": one_of([item.value for item in Overlap], Overlap.SKIP.value),
        "max_instances": Number(least=1, default=1),
        "concurrency_group": Text(optional=True),
        "run_limit": RUN_LIMIT,
        "timeout_seconds": Number(whole=False, least=1, default=3600),
        "retry_policy": replace(RETRY_POLICY, optional=False),
        **instants("started_at", "completed_at", nullable=True),
        "duration_seconds": Number(nullable=True, whole=False),
        "attempts": Listed(of=ATTEMPT),
        "result": Json(nullable=True),
        "error": _ERROR,
        "progress": Object(
            nullable=True,
            members={
                "done": Number(whole=False, least=None),
                "total": Number(nullable=True, whole=False, least=None),
                "note": Text(nullable=True),
            },
        ),
        "triggered_by": one_of([item.value for item in Trigger], UNKNOWN),
        **texts("triggered_by_user", "retry_of", "execution_host", nullable=True),
        **texts("group", "waits_for", "correlation_id", "traceparent", optional=True, nullable=True),
        "notifications": NOTIFICATIONS,
        "pause_after_failures": Number(optional=True),
        **instants("scheduled_for", "stands_for", optional=True, nullable=True),
        "live": Flag(optional=True),
        "dry": Flag(optional=True),
        "caused_by": Listed(optional=True, of=Text()),
        "line": Listed(optional=True, of=Text()),
        "needs": Listed(optional=True, of=Text()),
        "needs_key": Text(optional=True),
        "slots": Listed(optional=True, of=Text()),
        "last_token": Number(optional=True, nullable=True),
        "due_times": Object(optional=True, members={"first": Instant(), "last": Instant(), "count": Number()}),
        "resolved": Listed(optional=True, nullable=True, of=Object(members={"pointer": Text(), "value": Anything()})),
        "lease": Object(
            optional=True,
            members={**texts("owner", "claim", optional=True), "token": Number(), "expires_at": Instant()},
        ),
        "callback": Object(
            optional=True,
            members={**wholes("attempt", "token"), "heartbeat_seconds": Number(whole=False), "deadline": Instant()},
        ),
        "postponed": Object(optional=True, members={"attempt": Number(), "since": Instant()}),
        "released": Object(
            optional=True,
            members={**instants("at", "until"), "times": Number(), **texts("turn", "queue"), "taker": Text(optional=True)},
        ),
        "cancel": Object(optional=True, members={"by": Text(), "at": Instant(), "reason": Text(optional=True, nullable=True)}),
        "owed": OWED,
        TOLD: Listed(optional=True, of=Text()),
    }
)
SEALED_FIELDS = (SealedFields("job_executions", ("parameters",)),)
CHUNK = Object(
    members={
        "attempt": Number(default=1),
        "count": Number(optional=True),
        "levels": Listed(optional=True, of=Text()),
        "lines": Listed(of=Object(members={"timestamp": Instant(), "level": Text(default="info"), "message": Text()})),
    }
)
DAY = Object(
    members={
        "_id": Text(pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}", default="1970-01-01"),
        "hours": Object(members={str(hour): Object(optional=True, others=Number()) for hour in range(24)}, closed=True),
        "seconds": Object(members={str(hour): Number(optional=True, whole=False) for hour in range(24)}, closed=True),
        "counted_at": Instant(),
    }
)
ACKNOWLEDGEMENT = Object(
    members={
        **texts("execution_id", "by"),
        **instants("failed_at", "at"),
        "note": Text(optional=True),
        "dismissed": Flag(optional=True),
    }
)
STARTS = Object(
    members={
        "runs": Number(),
        "seconds": Number(),
        "starts": Listed(of=Object(members={"of": Text(), "at": Instant(), "backfill": Flag()})),
        "revision": Number(),
        "until": Instant(),
    }
)
LIMIT = Object(members={"at": Listed(optional=True, of=Instant())})
