"""/api/admin/scheduler-jobs: versions of a job, what it depends on, notes on it, its figures, a copy of it, and one action on many"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request, url_for

from app.api.approvals.schemas import ApprovalEnvelope
from app.api.blueprint import ApiBlueprint
from app.api.body import if_match, json_body, judged
from app.api.current import actor, services
from app.api.job_history.schemas import BulkOut, DependenciesOut, NoteEnvelope, NoteList, RevisionList, RevisionQuery, StatsOut
from app.api.jobs.routes import IF_MATCH, shown, tagged
from app.api.jobs.schemas import JobEnvelope
from app.api.present import jsonable
from app.bulk.service import SCHEMA as BULK
from app.bulk.service import Action, Wanted, lacking
from app.errors import FieldError, ValidationFailed
from app.instants import InstantRefused, parse
from app.jobs.body import as_request, without_secrets
from app.jobs.dependencies import Link
from app.jobs.filters import JobFilter
from app.jobs.notes import LONGEST, Note
from app.validation import SchemaValidator
from app.validation.together import beside

blueprint = ApiBlueprint(
    "job-history", __name__, url_prefix="/api/admin/scheduler-jobs", description="Versions, notes, figures, many at once"
)

BULK_BODY = {"required": True, "content": {"application/json": {"schema": BULK}}}
CLONE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 200}, "enabled": {"type": "boolean", "default": False}},
}
CLONE_BODY = {"required": True, "content": {"application/json": {"schema": CLONE}}}
NOTE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1, "maxLength": LONGEST}},
}
NOTE_BODY = {"required": True, "content": {"application/json": {"schema": NOTE}}}
_clone, _bulk, _new_note = SchemaValidator(CLONE), SchemaValidator(BULK), SchemaValidator(NOTE)
FIGURES_OF = 100  # executions


@blueprint.get("/<job_id>/revisions")
@blueprint.arguments(RevisionQuery, location="query")
@blueprint.response(200, RevisionList)
def list_revisions(query: dict[str, Any], job_id: str) -> dict[str, Any]:
    """List the versions of a job, newest first, each with what its change was; go on with `before`"""
    rows = services().jobs.revisions(actor(), job_id, before=query.get("before"), limit=query["limit"])
    return {
        "revisions": [
            {
                "version": one.version,
                "at": jsonable(one.at),
                "by": one.by,
                "diff": jsonable(one.diff),
                "created": one.first,
                "paused": one.paused,
            }
            for one in rows
        ]
    }


@blueprint.post("/<job_id>/revisions/<int:number>/restore")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing has changed")
def restore_revision(job_id: str, number: int) -> Any:
    """Put a version back in place, as a new one; the job stays switched on or off as it is"""
    job = services().jobs.restore(actor(), job_id, number, version=if_match(request))
    return tagged({"job": shown(job), "message": f"Version {number} restored"}, job)


@blueprint.get("/<job_id>/dependencies")
@blueprint.response(200, DependenciesOut)
def list_dependencies(job_id: str) -> dict[str, Any]:
    """List the jobs that a job runs after, with the execution that waits for those of the others, and the jobs that run after it"""
    job, arrived = services().jobs.get(actor(), job_id), services().gathered(job_id)
    links = services().jobs.dependencies
    return {
        "depends_on": [{**_link(one), "execution": arrived.get(one.job_id)} for one in links.upstream(actor(), job)],
        "dependants": [_link(one) for one in links.dependants(actor(), job_id)],
    }


def _link(one: Link) -> dict[str, Any]:
    return {"job": one.job_id, "when": one.when, "name": one.name, "last_status": one.last_status}


@blueprint.get("/<job_id>/notes")
@blueprint.response(200, NoteList)
def list_notes(job_id: str) -> dict[str, Any]:
    """List what people have written about a job, newest first"""
    return {"notes": [_note(one) for one in services().notes.of(actor(), job_id)]}


@blueprint.post("/<job_id>/notes")
@blueprint.doc(requestBody=NOTE_BODY)
@blueprint.response(201, NoteEnvelope)
def add_note(job_id: str) -> dict[str, Any]:
    """Write a note about a job"""
    return {"note": _note(services().notes.add(actor(), job_id, judged(_new_note, json_body(request))["text"]))}


@blueprint.delete("/<job_id>/notes/<note_id>")
@blueprint.response(204)
def delete_note(job_id: str, note_id: str) -> None:
    """Delete a note: one's own, or any as a super-admin"""
    services().notes.drop(actor(), job_id, note_id)


def _note(one: Note) -> dict[str, Any]:
    return {"_id": one.id, "text": one.text, "by": one.by, "at": jsonable(one.at)}


@blueprint.post("/<job_id>/undelete")
@blueprint.response(200, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing was taken back")
def undelete_job(job_id: str) -> Any:
    """Take a deleted job back into the registry"""
    job = services().jobs.undelete(actor(), job_id)
    return tagged({"job": shown(job), "message": "Job restored"}, job)


@blueprint.post("/<job_id>/clone")
@blueprint.doc(requestBody=CLONE_BODY)
@blueprint.response(201, JobEnvelope)
@blueprint.alt_response(202, schema=ApprovalEnvelope, description="Waits for approval; nothing was made")
def clone_job(job_id: str) -> Any:
    """Make a copy under another name, switched off unless `enabled` says otherwise; secrets that are not named elsewhere stay behind"""
    definition, body = services().jobs.judge.brought_up(services().jobs.get(actor(), job_id)).definition, json_body(request)
    copy = {**without_secrets(as_request(definition)), "enabled": False, **(body if isinstance(body, dict) else {})}
    errors = _clone.errors(body)
    if errors:
        raise ValidationFailed(beside(errors, services().jobs.problems(actor(), copy)))
    job, _ = services().jobs.create(actor(), copy)
    response: Response = tagged({"job": shown(job), "message": "Job created"}, job)
    response.headers["Location"] = url_for("jobs.get_job", job_id=job.id)
    return response, 201


@blueprint.get("/<job_id>/stats")
@blueprint.response(200, StatsOut)
def job_stats(job_id: str) -> dict[str, Any]:
    """Figures of the last 100 executions of a job"""
    services().jobs.get(actor(), job_id)
    return services().executions.figures(actor(), job_id, FIGURES_OF)


@blueprint.post("/bulk")
@blueprint.doc(requestBody=BULK_BODY)
@blueprint.response(200, BulkOut)
def bulk() -> Any:
    """Do one thing to many jobs, job by job; with `dry_run`, only say what it would touch"""
    body = json_body(request)
    judged(_bulk, body, *_of_bulk(body))
    query = JobFilter(ids=body["job_ids"]) if "job_ids" in body else JobFilter(**body["filter"])
    until = parse(body["until"]) if "until" in body else None
    wanted = Wanted(action=Action(body["action"]), reason=body.get("reason", ""), until=until, tag=body.get("tag", ""))
    outcome = (services().bulk.plan if body.get("dry_run") else services().bulk.carry_out)(actor(), wanted, query)
    items = [
        {"job_id": one.job_id, "name": one.name, "version": one.version, "effect": one.effect, "result": one.result, "detail": one.detail}
        for one in outcome.items
    ]
    return jsonify({"items": items, "counts": outcome.counts})


def _of_bulk(body: Any) -> list[FieldError]:
    """What the schema does not say of the body of a bulk action."""
    if not isinstance(body, dict):
        return []
    errors = [] if ("job_ids" in body) != ("filter" in body) else [FieldError("", "must name either job_ids or a filter")]
    if isinstance(body.get("until"), str):
        try:
            parse(body["until"])
        except InstantRefused as error:
            errors.append(FieldError("/until", str(error)))
    if body.get("dry_run") is not True and isinstance(body.get("action"), str):
        texts = {name: body.get(name, "") if isinstance(body.get(name, ""), str) else " " for name in ("reason", "tag")}
        errors += lacking(body["action"], **texts)
    return errors
