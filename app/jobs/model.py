"""A job: a template with parameters, a schedule and policies. Records are frozen and change by copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from app.jobs.registered import Registered, registered_from
from app.labels import union
from app.mongo import Document
from app.shapes import DAMAGED, damaged_fields
from app.triggers import COMMON_FIELDS, FIELDS, ManualTrigger, Trigger, trigger_from


class Overlap(StrEnum):
    """What happens at a due time while the job still runs."""

    SKIP = "skip"  # the new run is recorded as skipped
    QUEUE = "queue"  # the new run waits for its turn
    REPLACE = "replace"  # the running one is cancelled and the new run starts
    ALLOW = "allow"  # the new run starts beside it, up to concurrency.max_instances


class MisfirePolicy(StrEnum):
    """What happens with due times that could not be started within the grace."""

    SKIP = "skip"  # all are missed
    ONCE = "once"  # the latest runs, the others are missed
    ALL = "all"  # the latest max_catch_up run, the others are missed


class Excess(StrEnum):
    """What happens to a run that a job's own limit of runs does not allow now."""

    SKIP = "skip"  # it is recorded as skipped
    QUEUE = "queue"  # it waits until the limit allows it


class DependsOn(StrEnum):
    """Which ends of a run start the jobs that depend on it."""

    SUCCESS = "success"  # it succeeded
    FAILURE = "failure"  # its last attempt failed or timed out
    END = "end"  # either


class RetryOn(StrEnum):
    """Which ends of an attempt lead to another attempt."""

    ERROR = "error"  # the attempt raised, or its process died
    TIMEOUT = "timeout"  # the attempt ran longer than timeout_seconds
    LOST_WORKER = "lost_worker"  # the worker was silent until its lease had ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job is due, and when its runs start. `trigger` computes the due times. A run starts up to `jitter_seconds` after its due time.
    `calendars` are names of calendars; the job does not start in their blackouts.

    `unused` are the values, by name, of fields that only other types of trigger have. They are kept as they were sent, so that a program
    that changes the type for a while finds them again."""

    trigger: Trigger = field(default_factory=ManualTrigger)
    jitter_seconds: int = 0
    calendars: tuple[str, ...] = ()
    unused: tuple[tuple[str, Any], ...] = ()

    def values(self) -> dict[str, Any]:
        """The fields of the schedule by name, as requests and stored documents have them: those of all types, None where there is none."""
        own = {**dict.fromkeys(FIELDS), **dict(self.unused), **self.trigger.own_values()}
        common = {name: getattr(self.trigger, name) for name in COMMON_FIELDS}
        rest = {"jitter_seconds": self.jitter_seconds, "calendars": list(self.calendars)}
        return {"type": self.trigger.type, **own, **common, **rest}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The attempts after the first one: how many, how long apart, and after which ends (RetryOn)."""

    max_retries: int = 3
    retry_delay_seconds: int = 300
    backoff: str = "exponential"
    max_delay_seconds: int = 3600
    retry_on: tuple[str, ...] = tuple(RetryOn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfire:
    """A due time is in time if it starts within `grace_seconds`; `policy` says what happens with the others."""

    policy: MisfirePolicy = MisfirePolicy.ONCE
    grace_seconds: int = 300
    max_catch_up: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many executions of the job may run at once. The executions of all jobs of a `group` share its slots (one, unless the operator
    allows more) and wait for each other."""

    max_instances: int = 1
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimit:
    """At most `runs` runs of the job start within any `seconds` seconds, whatever triggered them; 0 runs mean that there is no limit.
    `excess` says what happens to the others."""

    runs: int = 0
    seconds: int = 3600
    excess: Excess = Excess.SKIP

    @property
    def is_set(self) -> bool:
        return self.runs > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Who is notified when an execution has ended: mail addresses, and channels as `channel:NAME`. Failure means failed, timeout or
    missed."""

    on_success: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A job that another one runs after: its id, and which of its ends count.

    A job with several dependencies runs once each of them has had such an end since the last run that they started.
    """

    job: str
    when: DependsOn = DependsOn.SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """Everything that a person decides about a job. It runs only on nodes that have all labels in `needs`, which is sorted."""

    name: str
    template_type: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    enabled: bool = True
    timeout_seconds: int = 3600
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = field(default_factory=Misfire)
    concurrency: Concurrency = field(default_factory=Concurrency)
    run_limit: RunLimit = field(default_factory=RunLimit)
    priority: int = 5
    needs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    group: str = ""
    notifications: Notifications = field(default_factory=Notifications)
    pause_after_failures: int = 0
    depends_on: tuple[Dependency, ...] = ()


class Cause(StrEnum):
    """What pauses a job."""

    PERSON = "person"  # a person, or the job itself after too many failures
    CALENDAR = "calendar"  # a blackout of one of its calendars
    TEMPLATE = "template"  # its template is switched off
    MAINTENANCE = "maintenance"  # the maintenance switch, which stops all jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a job is paused and until when; its due times pass without a run.

    `until` is exclusive; None means until somebody resumes the job. `since_due` is the first due time that was not planned when the
    pause began. For a blackout, `reason` is the name of its calendar.
    """

    cause: Cause = Cause.PERSON
    reason: str
    by: str
    at: datetime
    since_due: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Since when and why a job is in shadow mode: its due times are planned, and each becomes a shadow run that runs nothing.

    `held_by` names what alone may end it, such as a hand-over from another scheduler; "" where people may. `since_due` is the first due
    time that did not become a run because of it, or its beginning if the job had no due time; None if the job was in shadow mode before
    under another name.
    """

    reason: str
    by: str
    at: datetime
    held_by: str = ""
    since_due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A definition in the registry, with what the registry and the dispatcher store about it."""

    id: str
    definition: JobDefinition
    template_version: int
    origin: str
    version: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    last_status: str | None = None  # the status of the run that began last among those that have ended
    schedule_error: str | None = None
    paused: Pause | None = None
    shadow: Shadow | None = None
    request_digest: str | None = None
    registered: Registered | None = None  # of a job that a service registers; `definition` is then what applies
    code_version: int | None = None  # version of the template's code that the parameters are for; None: the one in `template_version`
    damaged: frozenset[str] = frozenset()  # the fields of its document that cannot be read; they have neutral values here

    def has_ended(self, now: datetime) -> bool:
        """Returns whether the schedule had due times and has none left. For a job that waits (switched off or paused), the last instant
        of its schedule decides. The registry's filter `ended` gives the same answer for stored jobs."""
        schedule = self.definition.schedule
        if not schedule.trigger.is_timed or self.schedule_error:
            return False
        if self.definition.enabled and self.paused is None:
            return self.next_run_at is None
        last = schedule.trigger.last_instant
        return last is not None and last <= now

    @property
    def starts_by_itself(self) -> bool:
        """Whether a due time or the end of another job starts it, and not only a person or a program."""
        return self.next_run_at is not None or (self.definition.enabled and bool(self.definition.depends_on))


_SCALARS = frozenset({str, int, float, bool, type(None), datetime})
DEFINITION_FIELDS = tuple(item.name for item in fields(JobDefinition))


def to_plain(value: Any) -> Any:
    """Returns a record as dicts, lists and scalars that BSON can store; enums become their text."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is Schedule:
        return value.values()
    if is_dataclass(kind):
        return {name: to_plain(getattr(value, name)) for name in _field_names(kind)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    return value


@lru_cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


def definition_from(row: Mapping[str, Any]) -> JobDefinition:
    """Returns the definition in a stored document or a loaded request. Missing fields get their defaults."""
    given = {name: row[name] for name in DEFINITION_FIELDS if name in row}
    for name, build in _NESTED.items():
        if name in given:
            given[name] = build(given[name])
    if "tags" in given:
        given["tags"] = tuple(given["tags"])
    if "needs" in given:
        given["needs"] = union(given["needs"])
    return JobDefinition(**given)


def schedule_from(row: Mapping[str, Any]) -> Schedule:
    """The schedule in a stored document or a loaded request. Raises KeyError for an unknown type."""
    trigger = trigger_from(row)
    own = trigger.own_values()
    return Schedule(
        trigger=trigger,
        jitter_seconds=row.get("jitter_seconds", 0),
        calendars=tuple(row.get("calendars", ())),
        unused=tuple((name, row[name]) for name in FIELDS if row.get(name) is not None and name not in own),
    )


def retry_policy_from(row: Mapping[str, Any]) -> RetryPolicy:
    """Returns the retry policy in a stored document. Missing fields get their defaults."""
    return RetryPolicy(**{**row, "retry_on": tuple(row.get("retry_on", RetryPolicy().retry_on))})


def run_limit_from(row: Mapping[str, Any]) -> RunLimit:
    """Returns the limit of runs in a stored document. Missing fields get their defaults."""
    return RunLimit(**{**row, "excess": Excess(row.get("excess", Excess.SKIP))})


def notifications_from(row: Mapping[str, Any]) -> Notifications:
    """Returns the addresses in a stored document. Missing fields get their defaults."""
    return Notifications(**{key: tuple(value) for key, value in row.items()})


_NESTED: dict[str, Any] = {
    "schedule": schedule_from,
    "retry_policy": retry_policy_from,
    "misfire": lambda row: Misfire(**{**row, "policy": MisfirePolicy(row.get("policy", MisfirePolicy.ONCE))}),
    "concurrency": lambda row: Concurrency(**row),
    "run_limit": run_limit_from,
    "overlap": Overlap,
    "notifications": notifications_from,
    "depends_on": lambda rows: tuple(Dependency(job=row["job"], when=DependsOn(row.get("when", DependsOn.SUCCESS))) for row in rows),
}

UNREADABLE = "its record in the database is damaged: "  # the `schedule_error` of a damaged job begins with this
_RECORD_FIELDS = tuple(item.name for item in fields(Job) if item.name not in {"id", "definition", "damaged"})


def job_from(row: Document) -> Job:
    """Returns the job in a stored document. If the document is damaged, `schedule_error` says what is wrong with it."""
    known = {name: row.get(name) for name in _RECORD_FIELDS}
    if (damaged := row.get(DAMAGED)) is not None:
        known["schedule_error"] = f"{UNREADABLE}{damaged}"
        known["damaged"] = damaged_fields(damaged)
    known["paused"] = _pause_from(row["paused"]) if row.get("paused") else None
    known["shadow"] = Shadow(**row["shadow"]) if row.get("shadow") else None
    known["registered"] = registered_from(row["registered"]) if row.get("registered") else None
    return Job(id=row["_id"], definition=definition_from(row), **known)  # type: ignore[arg-type]  # the store wrote each of them


def _pause_from(row: Document) -> Pause:
    return Pause(**{**row, "cause": Cause(row.get("cause", Cause.PERSON))})


# Than the version in tests/data/upgrade/version_before: docs/explanation/versions.md says what changes with it at a release.
NEWER_SCHEDULE_FIELDS = frozenset({"rule", "counted_from"})


def job_document(job: Job) -> Document:
    """Returns the stored form: the fields of the definition and of the record at one level.

    A field of a schedule that the version before does not know is left out where it is not used: nodes of that version take a record with
    an unknown field for damaged, and run beside this one during an upgrade.
    """
    definition = to_plain(job.definition)
    schedule = {name: value for name, value in definition["schedule"].items() if value is not None or name not in NEWER_SCHEDULE_FIELDS}
    return {
        "_id": job.id,
        **definition,
        "schedule": schedule,
        **{name: to_plain(getattr(job, name)) for name in _RECORD_FIELDS},
        "retired": False,
    }
