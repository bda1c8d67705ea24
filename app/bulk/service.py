"""What an action would do to each of many jobs, and doing it job by job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.accounts.permissions import May, require
from app.approvals.service import Approvals
from app.audit.model import Actor
from app.errors import ApprovalNeeded, FieldError, JobwrightError, ValidationFailed
from app.execution.history import History
from app.execution.runs import Runs
from app.jobs.directory import JobDirectory
from app.jobs.filters import DECLARED, JobFilter
from app.jobs.gate import ApprovalGate, Operation
from app.jobs.model import Cause, Job, Overlap
from app.jobs.pausing import Pausing
from app.jobs.schema import MAX_TAGS
from app.jobs.service import JobRegistry
from app.validation.names import read_name, spellings
from templates_lib.messages import Said, joined, say

MOST_JOBS = 1_000
LONGEST_FILTER = 320  # characters: as long as an e-mail address may be


class Action(StrEnum):
    """What is done to each job."""

    ENABLE = "enable"
    DISABLE = "disable"
    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"
    TAG = "tag"
    UNTAG = "untag"
    DELETE = "delete"


SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["action"],
    "properties": {
        "action": {"enum": [one.value for one in Action]},
        "job_ids": {"type": "array", "items": {"type": "string", "maxLength": 64}, "minItems": 1, "maxItems": MOST_JOBS},
        "filter": {
            "type": "object",
            "additionalProperties": False,
            "description": "As in the list of jobs; empty: all of them.",
            "properties": {
                name: {"type": "boolean"} if declared["type"] is bool else {"type": "string", "maxLength": LONGEST_FILTER}
                for name, declared in DECLARED.items()
            },
        },
        "reason": {"type": "string", "maxLength": 500, "description": "Of a pause."},
        "until": {"type": "string", "format": "date-time", "description": "Of a pause; left out: until somebody resumes the jobs."},
        "tag": {"type": "string", "maxLength": 50, "description": "Of tag and untag."},
        "dry_run": {"type": "boolean", "default": False},
    },
}


class Effect(StrEnum):
    """What is to be expected of one job."""

    CHANGES = "changes"
    STAYS = "stays"  # it is so already
    ASKS = "asks"  # a super-admin is to approve it
    CANNOT = "cannot"


class Result(StrEnum):
    """What became of one job."""

    DONE = "done"
    STAYED = "stayed"
    WAITS = "waits"  # for approval: `detail` is the request's id
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An action and what it takes: a pause its reason and, perhaps, its end; tagging its tag."""

    action: Action
    reason: str = ""
    until: datetime | None = None
    tag: str = ""

    @property
    def tag_name(self) -> str:
        """The tag in its one spelling, if it is one."""
        return read_name(self.tag)[0]

    @property
    def pause(self) -> dict[str, Any]:
        return {"reason": self.reason, **({"until": self.until.isoformat()} if self.until else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One job of a bulk action: what is expected or, once `result` is there, what became of it; `detail` says why."""

    job_id: str
    name: str
    version: int
    effect: Effect
    detail: str = ""
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The items in the order of their names."""

    items: tuple[Item, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there are of each result or, before, of each effect."""
        return Counter((one.result or one.effect).value for one in self.items)

    @property
    def touched(self) -> int:
        """How many jobs are to change, or to be asked for."""
        return self.counts.get(Effect.CHANGES, 0) + self.counts.get(Effect.ASKS, 0)


class Bulk:
    """Each job is changed by the same methods as it would be alone: who may, what is audited, and what waits for approval is theirs."""

    def __init__(
        self,
        *,
        registry: JobRegistry,
        directory: JobDirectory,
        pausing: Pausing,
        gate: ApprovalGate,
        runs: Runs,
        history: History,
        approvals: Approvals,
    ) -> None:
        self._registry, self._directory, self._pausing, self._gate = registry, directory, pausing, gate
        self._runs, self._history, self._approvals = runs, history, approvals

    def jobs(self, actor: Actor, query: JobFilter) -> list[Job]:
        """All jobs that match, by name. Raises ValidationFailed where they are more than MOST_JOBS."""
        page = self._directory.page(actor, query, limit=MOST_JOBS)
        if page.total > MOST_JOBS:
            raise ValidationFailed(
                [
                    FieldError(
                        "/filter",
                        say("leaves {total:,} jobs; at most {most:,} are changed at once", total=page.total, most=MOST_JOBS),
                    )
                ]
            )
        return list(page.items)

    def plan(self, actor: Actor, wanted: Wanted, query: JobFilter) -> Outcome:
        """What `carry_out` would do to the jobs that match; nothing is changed. Raises ValidationFailed, Forbidden."""
        self._check(actor, wanted, whole=False)
        jobs = self.jobs(actor, query)
        busy = self._history.busy([job.id for job in jobs]) if wanted.action is Action.RUN else frozenset[str]()
        return Outcome(tuple(self._foreseen(actor, wanted, job, busy=job.id in busy) for job in jobs))

    def carry_out(self, actor: Actor, wanted: Wanted, query: JobFilter, *, versions: Mapping[str, int] | None = None) -> Outcome:
        """Do it, job by job. With `versions` (job id → what was looked at), a job that has changed since is left alone.

        Raises ValidationFailed where the action lacks what it takes, Forbidden.
        """
        self._check(actor, wanted, whole=True)
        items = []
        for job in self.jobs(actor, query):
            item = Item(job_id=job.id, name=job.definition.name, version=job.version, effect=Effect.CHANGES)
            version = versions.get(job.id) if versions is not None else job.version
            items.append(self._done(actor, wanted, job, item, version))
        return Outcome(tuple(items))

    # -- steps ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _check(actor: Actor, wanted: Wanted, *, whole: bool) -> None:
        require(actor, May.RUN_JOBS if wanted.action is Action.RUN else May.CHANGE_JOBS)
        if whole and (errors := lacking(wanted.action, reason=wanted.reason, tag=wanted.tag_name)):
            raise ValidationFailed(errors)

    def _foreseen(self, actor: Actor, wanted: Wanted, job: Job, *, busy: bool) -> Item:
        effect, why = _expected(wanted, job, busy=busy)
        if effect is Effect.CHANGES and wanted.action is Action.ENABLE and (never := self._registry.never_due(job)) is not None:
            effect, why = Effect.CANNOT, _in_words(never)
        if effect is Effect.CHANGES and (operation := _OPERATIONS[wanted.action]) is not None:
            try:
                self._gate.check(actor, job, operation)
            except ApprovalNeeded:
                effect, why = Effect.ASKS, say("a super-admin is to approve it")
            except JobwrightError as error:
                effect, why = Effect.CANNOT, error.detail
        return Item(job_id=job.id, name=job.definition.name, version=job.version, effect=effect, detail=why)

    def _done(self, actor: Actor, wanted: Wanted, job: Job, item: Item, version: int | None) -> Item:
        effect, why = _expected(wanted, job, busy=False)
        if effect is Effect.STAYS:
            return replace(item, result=Result.STAYED, detail=why)
        if version != job.version:
            return replace(item, result=Result.FAILED, detail=say("it has changed since you looked"))
        try:
            words = self._act(actor, wanted, job)
        except ApprovalNeeded as needed:
            return replace(item, result=Result.WAITS, detail=str(self._approvals.ask(actor, needed.ask)["_id"]))
        except ValidationFailed as failed:
            return replace(item, result=Result.FAILED, detail=joined(map(_in_words, failed.errors[:3]), "; "))
        except JobwrightError as error:
            return replace(item, result=Result.FAILED, detail=error.detail)
        return replace(item, result=Result.DONE, detail=words)

    def _act(self, actor: Actor, wanted: Wanted, job: Job) -> str:
        """Do it; returns what there is to say of it."""
        registry, tags = self._registry, job.definition.tags
        match wanted.action:
            case Action.ENABLE | Action.DISABLE:
                registry.set_enabled(actor, job.id, enabled=wanted.action is Action.ENABLE, version=job.version)
            case Action.PAUSE:
                self._pausing.pause(actor, job.id, wanted.pause, version=job.version)
            case Action.RESUME:
                self._pausing.resume(actor, job.id, version=job.version)
            case Action.RUN:
                return self._runs.standing(self._runs.run_now(actor, job.id))
            case Action.TAG:
                registry.update(actor, job.id, {"tags": [*tags, wanted.tag_name]}, version=job.version)
            case Action.UNTAG:
                registry.update(actor, job.id, {"tags": [one for one in tags if one not in spellings(wanted.tag)]}, version=job.version)
            case Action.DELETE:
                self._runs.delete_job(actor, job.id, version=job.version)
        return ""


def lacking(action: str, *, reason: str, tag: str) -> list[FieldError]:
    """What an action lacks: a pause its reason, tagging its tag."""
    if action == Action.PAUSE and not reason.strip():
        return [FieldError("/reason", "is required")]
    if action in {Action.TAG, Action.UNTAG} and not tag.strip():
        return [FieldError("/tag", "is required")]
    return []


def _in_words(error: FieldError) -> Said:
    return joined((error.pointer.strip("/") or say("it"), error.message), " ")


_OPERATIONS = {
    Action.ENABLE: Operation.ENABLE,
    Action.DISABLE: None,
    Action.PAUSE: None,
    Action.RESUME: Operation.RESUME,
    Action.RUN: Operation.RUN,
    Action.TAG: Operation.UPDATE,
    Action.UNTAG: Operation.UPDATE,
    Action.DELETE: Operation.DELETE,
}
_CHANGES = (Effect.CHANGES, "")


def _expected(wanted: Wanted, job: Job, *, busy: bool) -> tuple[Effect, str]:
    """What an action means to a job, by what the job is; who may do it is asked elsewhere."""
    definition, tag = job.definition, wanted.tag_name
    by_person = job.paused is not None and job.paused.cause is Cause.PERSON
    match wanted.action:
        case Action.ENABLE if definition.enabled:
            return Effect.STAYS, say("it is enabled")
        case Action.DISABLE if not definition.enabled:
            return Effect.STAYS, say("it is disabled")
        case Action.PAUSE if not job.starts_by_itself and job.paused is None:
            return Effect.CANNOT, say("it is never due by itself") if definition.enabled else say("it is disabled")
        case Action.RESUME if not by_person:
            return Effect.STAYS, say("nobody has paused it")
        case Action.RUN if busy and definition.overlap in {Overlap.SKIP, Overlap.REPLACE}:
            return Effect.CANNOT, say("it is running")
        case Action.TAG if tag and tag in definition.tags:
            return Effect.STAYS, say("it has the tag")
        case Action.TAG if tag and len(definition.tags) >= MAX_TAGS:
            return Effect.CANNOT, say("it has {count} tags", count=MAX_TAGS)
        case Action.UNTAG if tag and tag not in definition.tags:
            return Effect.STAYS, say("it has no such tag")
    return _CHANGES
