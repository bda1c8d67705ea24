"""/api/admin/scheduler-jobs: versions of a job, its dependencies, notes on it, its figures, a copy of it, and one action on many jobs"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.api.approvals.schemas import ApprovalEnvelope
from app.api.blueprint import ApiBlueprint
from app.api.current import actor, services
from app.api.etag import Versioned
from app.api.job_history.schemas import (
    CLONE_SCHEMA,
    NOTE_SCHEMA,
    BulkOut,
    DependenciesOut,
    NoteEnvelope,
    NoteList,
    RevisionList,
    RevisionQuery,
    ShadowQuery,
    ShadowRunList,
    StatsOut,
    bulk_json,
    link_json,
    note_json,
    revision_json,
    shadow_run_json,
)
from app.api.jobs.answers import created_job, job_answer
from app.api.jobs.schemas import JobEnvelope
from app.bulk.service import SCHEMA as BULK_SCHEMA
from app.bulk.service import BulkAction, BulkRequest, lacking
from app.errors import FieldError
from app.instants import InstantRefused, parse
from app.jobs.body import as_request, without_secrets
from app.jobs.filters import JobFilter

blueprint = ApiBlueprint(
    "Job history",
    __name__,
    url_prefix="/api/admin/scheduler-jobs",
    description="Versions, dependencies, notes and figures of a job, and one action on many jobs",
)

FIGURES_OF = 100  # executions


@blueprint.get("/<job_id>/revisions")
@blueprint.arguments(RevisionQuery, location="query")
@blueprint.response(200, RevisionList)
def list_job_revisions(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """List the versions of a job, newest first, each with the fields that it changed; go on with `before`"""
    revisions = services().jobs.revisions(actor(), job_id, before=query.get("before"), limit=query["limit"])
    return {"revisions": [revision_json(revision) for revision in revisions]}


@blueprint.post("/<job_id>/revisions/<int:number>/restore")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing has changed")
@blueprint.etag(if_match=True)
def restore_job_revision(job_id: str, number: int, version: int | None) -> Versioned:
    """Restore an earlier version of a job as a new version; the job stays enabled or disabled as it is"""
    return job_answer(services().jobs.restore(actor(), job_id, number, version=version), f"Version {number} restored")


@blueprint.get("/<job_id>/dependencies")
@blueprint.response(200, DependenciesOut)
def list_job_dependencies(job_id: str) -> dict[str, Any]:
    """List the jobs that a job depends on, each with its execution that waits for the others, and the jobs that depend on it"""
    job, waiting = services().jobs.get(actor(), job_id), services().gathered(job_id)
    dependencies = services().dependencies
    return {
        "depends_on": [{**link_json(link), "execution": waiting.get(link.job_id)} for link in dependencies.upstream(actor(), job)],
        "dependants": [link_json(link) for link in dependencies.dependants(actor(), job_id)],
    }


@blueprint.get("/<job_id>/shadow-runs")
@blueprint.arguments(ShadowQuery, location="query")
@blueprint.response(200, ShadowRunList)
def list_shadow_runs(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """List what a job in shadow mode would have run, newest first"""
    page = services().shadowing.runs(actor(), job_id, limit=query["limit"])
    return {"shadow_runs": [shadow_run_json(run) for run in page.runs], "would_have_run": page.would_have_run}


@blueprint.get("/<job_id>/notes")
@blueprint.response(200, NoteList)
def list_job_notes(job_id: str) -> dict[str, Any]:
    """List the notes on a job, newest first"""
    return {"notes": [note_json(note) for note in services().notes.of(actor(), job_id)]}


@blueprint.post("/<job_id>/notes")
@blueprint.body(NOTE_SCHEMA)
@blueprint.response(201, NoteEnvelope)
def add_job_note(job_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Write a note about a job"""
    return {"note": note_json(services().notes.add(actor(), job_id, body["text"]))}


@blueprint.delete("/<job_id>/notes/<note_id>")
@blueprint.response(204)
def delete_job_note(job_id: str, note_id: str) -> None:
    """Delete your own note; a super-admin may delete any note"""
    services().notes.drop(actor(), job_id, note_id)


@blueprint.post("/<job_id>/undelete")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing was restored")
@blueprint.etag()
def undelete_job(job_id: str) -> Versioned:
    """Restore a deleted job"""
    return job_answer(services().jobs.undelete(actor(), job_id), "Job restored")


def _copy(job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the body that creates a copy of a job, without its secrets and switched off, with `changes`. Raises NotFound."""
    definition = services().parameters.upgrade(services().jobs.get(actor(), job_id)).definition
    return {**without_secrets(as_request(definition)), "enabled": False, **changes}


def _errors_of_copy(body: Any, errors: Sequence[FieldError], job_id: str) -> Sequence[FieldError]:
    """Returns what is wrong with the copy, where the body is invalid anyway; a valid one is checked when the copy is created."""
    if not errors:
        return ()
    return services().jobs.problems(actor(), _copy(job_id, body if isinstance(body, dict) else {}))


@blueprint.post("/<job_id>/clone")
@blueprint.body(CLONE_SCHEMA, further_errors=_errors_of_copy)
@blueprint.response(201, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="The request waits for approval; nothing was created")
@blueprint.etag()
def clone_job(job_id: str, body: dict[str, Any]) -> Versioned:
    """Copy a job under another name; the copy is disabled unless `enabled` is true, and it has only those secrets that are named"""
    job, _ = services().jobs.create(actor(), _copy(job_id, body))
    return created_job(job, "Job created")


@blueprint.get("/<job_id>/stats")
@blueprint.response(200, StatsOut)
def get_job_stats(job_id: str) -> dict[str, Any]:
    """Read figures of the last 100 executions of a job"""
    services().jobs.get(actor(), job_id)
    return services().history.figures(actor(), job_id, FIGURES_OF)


def _errors_of_bulk(body: Any, _: Sequence[FieldError]) -> Sequence[FieldError]:
    """Returns what the schema cannot say of the body of a bulk action."""
    if not isinstance(body, dict):
        return ()
    errors = [] if ("job_ids" in body) != ("filter" in body) else [FieldError("", "must name either job_ids or a filter")]
    if isinstance(body.get("until"), str):
        try:
            parse(body["until"])
        except InstantRefused as error:
            errors.append(FieldError("/until", str(error)))
    if body.get("dry_run") is not True and isinstance(body.get("action"), str):
        tag = body.get("tag", "") if isinstance(body.get("tag", ""), str) else " "
        errors += lacking(body["action"], tag=tag)
    return errors


@blueprint.post("/bulk")
@blueprint.body(BULK_SCHEMA, further_errors=_errors_of_bulk)
@blueprint.response(200, BulkOut)
def change_many_jobs(body: dict[str, Any]) -> dict[str, Any]:
    """Apply one action to many jobs, one after the other; with `dry_run`, only read which jobs it would change"""
    jobs = JobFilter(ids=body["job_ids"]) if "job_ids" in body else JobFilter(**body["filter"])
    wanted = BulkRequest(
        action=BulkAction(body["action"]),
        reason=body.get("reason", ""),
        until=parse(body["until"]) if "until" in body else None,
        tag=body.get("tag", ""),
    )
    carry_out = services().bulk.plan if body.get("dry_run") else services().bulk.carry_out
    return bulk_json(carry_out(actor(), wanted, jobs))
