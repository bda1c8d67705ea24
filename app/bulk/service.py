"""One action on many jobs: shows what it would do to each job, and carries it out job by job."""

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


class BulkAction(StrEnum):
    """The actions."""

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
        "action": {"enum": [action.value for action in BulkAction]},
        "job_ids": {"type": "array", "items": {"type": "string", "maxLength": 64}, "minItems": 1, "maxItems": MOST_JOBS},
        "filter": {
            "type": "object",
            "additionalProperties": False,
            "description": "The same filters as in the list of jobs. An empty object selects all jobs.",
            "properties": {
                name: {"type": "boolean"} if declared["type"] is bool else {"type": "string", "maxLength": LONGEST_FILTER}
                for name, declared in DECLARED.items()
            },
        },
        "reason": {"type": "string", "maxLength": 500, "description": "The reason of a pause."},
        "until": {
            "type": "string",
            "format": "date-time",
            "description": "The end of a pause. Without it, the jobs are paused until someone resumes them.",
        },
        "tag": {"type": "string", "maxLength": 50, "description": "The tag that `tag` adds or `untag` removes."},
        "dry_run": {"type": "boolean", "default": False},
    },
}


class Effect(StrEnum):
    """What the action would do to one job."""

    CHANGES = "changes"
    STAYS = "stays"  # the job is in the wanted state already
    ASKS = "asks"  # a super-admin must approve it
    CANNOT = "cannot"


class BulkResult(StrEnum):
    """What the action did to one job."""

    DONE = "done"
    STAYED = "stayed"
    WAITS = "waits"  # for approval; `detail` is the id of the request
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """An action with its parameters: the reason of a pause and, optionally, its end; the tag of `tag` and `untag`."""

    action: BulkAction
    reason: str = ""
    until: datetime | None = None
    tag: str = ""

    @property
    def tag_name(self) -> str:
        """The tag in its one spelling; empty if it is not a valid tag."""
        return read_name(self.tag)[0]

    @property
    def pause(self) -> dict[str, Any]:
        return {"reason": self.reason, **({"until": self.until.isoformat()} if self.until else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """One job of an action: the expected effect and, after the action, its result. `detail` gives the reason. `skips`: how many scheduled
    runs a pause would skip, as far as that can be counted."""

    job_id: str
    name: str
    version: int
    effect: Effect
    detail: str = ""
    result: BulkResult | None = None
    skips: int = 0


@dataclass(frozen=True, slots=True)
class BulkReport:
    """All jobs of an action, in the order of their names."""

    items: tuple[BulkItem, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of jobs by result or, before the action, by effect."""
        return Counter((item.result or item.effect).value for item in self.items)

    @property
    def touched(self) -> int:
        """The number of jobs that would change, or for which a request would be made."""
        return self.counts.get(Effect.CHANGES, 0) + self.counts.get(Effect.ASKS, 0)

    @property
    def skipped_runs(self) -> int:
        """The number of scheduled runs that a pause would skip."""
        return sum(item.skips for item in self.items)


class Bulk:
    """Changes each job by the same methods that change a single job. They check permissions, write the audit trail and ask for approval."""

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
        """Returns all matching jobs, sorted by name. Raises ValidationFailed if there are more than MOST_JOBS."""
        page = self._directory.page(actor, query, limit=MOST_JOBS)
        if page.total > MOST_JOBS:
            raise ValidationFailed(
                [
                    FieldError(
                        "/filter",
                        say(
                            "matches too many jobs: {total:,}. One action can change at most {most:,}",
                            total=page.total,
                            most=MOST_JOBS,
                        ),
                    )
                ]
            )
        return list(page.items)

    def plan(self, actor: Actor, wanted: BulkRequest, query: JobFilter) -> BulkReport:
        """Returns what `carry_out` would do to the matching jobs, without changing any. Raises ValidationFailed, Forbidden."""
        self._check(actor, wanted, complete=False)
        jobs = self.jobs(actor, query)
        busy = self._history.busy([job.id for job in jobs]) if wanted.action is BulkAction.RUN else frozenset[str]()
        return BulkReport(tuple(self._expect(actor, wanted, job, busy=job.id in busy) for job in jobs))

    def carry_out(self, actor: Actor, wanted: BulkRequest, query: JobFilter, *, versions: Mapping[str, int] | None = None) -> BulkReport:
        """Carries out the action, job by job, and returns the results.

        `versions` maps job ids to the versions that the caller has seen; a job with another version is not changed. Raises ValidationFailed
        if a parameter of the action is missing, and Forbidden.
        """
        self._check(actor, wanted, complete=True)
        items = []
        for job in self.jobs(actor, query):
            item = BulkItem(job_id=job.id, name=job.definition.name, version=job.version, effect=Effect.CHANGES)
            version = versions.get(job.id) if versions is not None else job.version
            items.append(self._carry_out_one(actor, wanted, job, item, version))
        return BulkReport(tuple(items))

    # -- steps ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _check(actor: Actor, wanted: BulkRequest, *, complete: bool) -> None:
        require(actor, May.RUN_JOBS if wanted.action is BulkAction.RUN else May.CHANGE_JOBS)
        if complete and (errors := lacking(wanted.action, tag=wanted.tag_name)):
            raise ValidationFailed(errors)

    def _expect(self, actor: Actor, wanted: BulkRequest, job: Job, *, busy: bool) -> BulkItem:
        effect, why = _expected(wanted, job, busy=busy)
        if effect is Effect.CHANGES and wanted.action is BulkAction.ENABLE and (never := self._registry.never_due(job)) is not None:
            effect, why = Effect.CANNOT, _in_words(never)
        if effect is Effect.CHANGES and (operation := _OPERATIONS[wanted.action]) is not None:
            try:
                self._gate.check(actor, job, operation)
            except ApprovalNeeded:
                effect, why = Effect.ASKS, say("A super-admin must approve it.")
            except JobwrightError as error:
                effect, why = Effect.CANNOT, error.detail
        pauses = wanted.action is BulkAction.PAUSE and effect is Effect.CHANGES
        skips = (self._pausing.skipped(job, wanted.until) or 0) if pauses else 0
        return BulkItem(job_id=job.id, name=job.definition.name, version=job.version, effect=effect, detail=why, skips=skips)

    def _carry_out_one(self, actor: Actor, wanted: BulkRequest, job: Job, item: BulkItem, version: int | None) -> BulkItem:
        effect, why = _expected(wanted, job, busy=False)
        if effect is Effect.STAYS:
            return replace(item, result=BulkResult.STAYED, detail=why)
        if version != job.version:
            return replace(item, result=BulkResult.FAILED, detail=say("The job has changed since you looked."))
        try:
            words = self._act(actor, wanted, job)
        except ApprovalNeeded as needed:
            return replace(item, result=BulkResult.WAITS, detail=str(self._approvals.ask(actor, needed.ask)["_id"]))
        except ValidationFailed as failed:
            return replace(item, result=BulkResult.FAILED, detail=joined(map(_in_words, failed.errors[:3]), "; "))
        except JobwrightError as error:
            return replace(item, result=BulkResult.FAILED, detail=error.detail)
        return replace(item, result=BulkResult.DONE, detail=words)

    def _act(self, actor: Actor, wanted: BulkRequest, job: Job) -> str:
        """Carries out the action on one job. Returns a remark for the person; usually an empty text."""
        registry, tags = self._registry, job.definition.tags
        match wanted.action:
            case BulkAction.ENABLE | BulkAction.DISABLE:
                registry.set_enabled(actor, job.id, enabled=wanted.action is BulkAction.ENABLE, version=job.version)
            case BulkAction.PAUSE:
                self._pausing.pause(actor, job.id, wanted.pause, version=job.version)
            case BulkAction.RESUME:
                self._pausing.resume(actor, job.id, version=job.version)
            case BulkAction.RUN:
                return self._runs.standing(self._runs.run_now(actor, job.id))
            case BulkAction.TAG:
                registry.update(actor, job.id, {"tags": [*tags, wanted.tag_name]}, version=job.version)
            case BulkAction.UNTAG:
                registry.update(actor, job.id, {"tags": [tag for tag in tags if tag not in spellings(wanted.tag)]}, version=job.version)
            case BulkAction.DELETE:
                self._runs.delete_job(actor, job.id, version=job.version)
        return ""


def lacking(action: str, *, tag: str) -> list[FieldError]:
    """Returns an error for each missing parameter of an action: the tag of `tag` and `untag`."""
    if action in {BulkAction.TAG, BulkAction.UNTAG} and not tag.strip():
        return [FieldError("/tag", "is required")]
    return []


def _in_words(error: FieldError) -> Said:
    return joined((error.pointer.strip("/") or say("this job"), error.message), " ")


_OPERATIONS = {
    BulkAction.ENABLE: Operation.ENABLE,
    BulkAction.DISABLE: None,
    BulkAction.PAUSE: None,
    BulkAction.RESUME: Operation.RESUME,
    BulkAction.RUN: Operation.RUN,
    BulkAction.TAG: Operation.UPDATE,
    BulkAction.UNTAG: Operation.UPDATE,
    BulkAction.DELETE: Operation.DELETE,
}
_CHANGES = (Effect.CHANGES, "")


def _expected(wanted: BulkRequest, job: Job, *, busy: bool) -> tuple[Effect, str]:
    """Returns the effect of an action on a job, judged by the state of the job alone, and a reason. Permissions are checked elsewhere."""
    definition, tag = job.definition, wanted.tag_name
    by_person = job.paused is not None and job.paused.cause is Cause.PERSON
    match wanted.action:
        case BulkAction.ENABLE if definition.enabled:
            return Effect.STAYS, say("It is already enabled.")
        case BulkAction.DISABLE if not definition.enabled:
            return Effect.STAYS, say("It is already disabled.")
        case BulkAction.PAUSE if not job.starts_by_itself and job.paused is None:
            return Effect.CANNOT, say("It has no schedule, so there is nothing to pause.") if definition.enabled else say("It is disabled.")
        case BulkAction.RESUME if not by_person:
            return Effect.STAYS, say("Nobody has paused it.")
        case BulkAction.RUN if busy and definition.overlap in {Overlap.SKIP, Overlap.REPLACE}:
            return Effect.CANNOT, say("It is already running.")
        case BulkAction.TAG if tag and tag in definition.tags:
            return Effect.STAYS, say("It already has the tag.")
        case BulkAction.TAG if tag and len(definition.tags) >= MAX_TAGS:
            return Effect.CANNOT, say("It already has {most} tags, which is the limit.", most=MAX_TAGS)
        case BulkAction.UNTAG if tag and tag not in definition.tags:
            return Effect.STAYS, say("It does not have the tag.")
    return _CHANGES
