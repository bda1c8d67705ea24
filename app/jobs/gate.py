"""The approval gate: what an actor may do to a job at once, and what waits for a super-admin's approval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.accounts.permissions import May, lacks
from app.audit.model import Actor
from app.errors import ApprovalNeeded, Conflict, Forbidden
from app.jobs.graph import DependencyGraph
from app.jobs.model import Job
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from app.mongo import Document
from templates_lib.messages import say


class Operation(StrEnum):
    """What may wait for approval."""

    CREATE = "job.create"
    UPDATE = "job.update"
    ENABLE = "job.enable"
    RESUME = "job.resume"
    END_SHADOW = "job.end_shadow"
    DELETE = "job.delete"
    UNDELETE = "job.undelete"
    RUN = "job.run"
    RETRY = "execution.retry"
    BACKFILL = "job.backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """Everything that is needed to do an operation later, in the name of who asked for it, and to decide about it.

    `job` is the job as it is, or as it would be. `diff` has a row a field, as pages show it (secrets masked); `payload` is what the
    operation needs, as it is stored (secrets sealed). `previews` says whether the template can say what a run would do.
    """

    operation: Operation
    job: Job
    diff: list[dict[str, Any]]
    payload: Document
    previews: bool


class ApprovalGate:
    """Every operation on a job passes here before it is carried out."""

    def __init__(self, catalogue: Catalogue, graph: DependencyGraph) -> None:
        self._catalogue, self._graph = catalogue, graph

    def check(
        self, actor: Actor, job: Job, operation: Operation, *, diff: Sequence[dict[str, Any]] = (), payload: Document | None = None
    ) -> None:
        """Returns if `actor` may do this to the job without approval. `diff` and `payload` as in ApprovalRequest.

        Raises ApprovalNeeded, with the request, if the job can destroy data and the actor may not; Forbidden if the template is not for
        the actor's role; Conflict if it is switched off. A job that leads to others which can destroy data is handled as they are
        (docs/decisions/0037-destructive-followers.md). A job whose template is gone passes: nothing can run it.
        """
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return
        if operation is not Operation.DELETE:
            self._check_template(actor, entry, operation)
        if lacks(actor, May.DESTROY) is None:
            return
        request = ApprovalRequest(operation=operation, job=job, diff=list(diff), payload=payload or {}, previews=entry.previews)
        if entry.dangerous:
            raise ApprovalNeeded(request, say("{name} can destroy data, so a super-admin must approve this", name=entry.name))
        if self._leads_to_danger(job):
            raise ApprovalNeeded(request, say("A job that depends on this job can destroy data, so a super-admin must approve this"))

    def holds_back(self, actor: Actor, job: Job) -> bool:
        """Returns whether only a super-admin decides when the job runs, and `actor` is none: a job that runs after it can destroy data."""
        return lacks(actor, May.DESTROY) is not None and self._leads_to_danger(job)

    def _leads_to_danger(self, job: Job) -> bool:
        entries = (self._catalogue.find(template, version) for template, version in self._graph.templates_downstream_of(job.id))
        return any(entry is not None and entry.dangerous for entry in entries)

    def _check_template(self, actor: Actor, entry: TemplateVersion, operation: Operation) -> None:
        for template_type in entry.families:
            standing = self._catalogue.standing(template_type)
            if standing.roles and actor.role not in standing.roles:
                raise Forbidden(
                    say("Only these roles may use the template {name}: {roles}", name=entry.name, roles=", ".join(standing.roles))
                )
            runs = operation in {Operation.RUN, Operation.RETRY, Operation.BACKFILL}
            if not standing.enabled and not (runs and not standing.pauses):
                off = say("The template {name} is disabled", name=entry.name)
                raise Conflict(say("{what}: {why}", what=off, why=standing.note) if standing.note else off)
