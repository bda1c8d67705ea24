"""Requests for destructive work. An admin's request waits until another person, a super-admin, approves or refuses it."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from app.accounts.actors import actor_of
from app.accounts.model import Role
from app.accounts.permissions import May, require, sees_group
from app.accounts.store import UserStore
from app.approvals.store import APPROVING, PENDING, ApprovalStore
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.vault import mask
from app.errors import (
    AlreadyRunning,
    Conflict,
    FieldError,
    Forbidden,
    JobwrightError,
    LimitReached,
    NotFound,
    StoreUnavailable,
    ValidationFailed,
)
from app.execution.run_services import RunServices
from app.execution.runs import ApprovedRun
from app.jobs.gate import ApprovalRequest, Operation
from app.jobs.model import job_document
from app.jobs.pausing import Pausing
from app.jobs.service import JobRegistry
from app.jobs.shadowing import Shadowing
from app.mongo import Document, as_stored, is_away, is_permanent
from app.outbox.event_store import Events
from app.outbox.events import ApprovalWaiting
from app.paging import Page
from app.shapes import DAMAGED
from templates_lib.messages import parts_of, restored, said, say

# If the process of an approver was killed, another may approve again after this time. Work that is done twice has the effect of once.
STUCK_AFTER = timedelta(seconds=60)
LONGEST_NOTE = 1000  # characters
PREVIEWED = {Operation.CREATE, Operation.UPDATE, Operation.ENABLE, Operation.RUN, Operation.RETRY, Operation.BACKFILL}
STATES = ("pending", "approved", "refused", "withdrawn", "expired", "failed")


class Approvals:
    """Stores requests, shows them, and carries out approved ones. The work is done in the name of the requester; the audit event also names
    the approver."""

    def __init__(
        self,
        *,
        store: ApprovalStore,
        users: UserStore,
        registry: JobRegistry,
        pausing: Pausing,
        shadowing: Shadowing,
        runs: RunServices,
        audit: AuditTrail,
        events: Events,
        clock: Clock,
        days: int,
    ) -> None:
        self._store, self._users, self._registry, self._pausing, self._shadowing = store, users, registry, pausing, shadowing
        self._runs, self._previews, self._backfill_runs, self._events = runs.runs, runs.previews, runs.backfills, events
        self._audit, self._clock, self._life = audit, clock, timedelta(days=days)

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, actor: Actor, request: ApprovalRequest) -> Document:
        """Stores a request and returns it. If the same person has the same request waiting already, that one is returned.

        Starts a preview of the work if the template has one.
        """
        now, job = self._clock.now(), request.job
        stored_request = as_stored({"diff": request.diff, "payload": request.payload})
        for row in self._store.waiting_for(job.id, now):
            if row["operation"] == request.operation and row["version"] == job.version and row["requested_by"]["id"] == actor.id:
                waiting = self._existing(row["_id"])
                if _same(request.operation, stored_request, waiting):
                    return self._shown(waiting)
        approval_id = str(uuid.uuid4())
        parameters = request.payload.get("parameters")
        shown = mask(parameters if parameters is not None else job.definition.parameters)
        previews = request.previews and request.operation in PREVIEWED
        row = {
            "_id": approval_id,
            "operation": request.operation.value,
            "state": PENDING,
            "job_id": job.id,
            "job_name": job.definition.name,
            "template_type": job.definition.template_type,
            "version": job.version,
            "diff": request.diff,
            "parameters": shown,
            "payload": request.payload,
            "subject": job_document(job),
            "via": actor.via,
            "requested_by": {"id": actor.id, "email": actor.email},
            "requested_at": now,
            "expires_at": now + self._life,
            "decided_by": None,
            "decided_at": None,
            "note": "",
            "result": None,
            "preview": {"state": "running"} if previews else None,
        }
        with self._audit.action(actor, "approval.ask", kind="approval", target_id=approval_id, name=_name(row), diff=request.diff):
            if previews:  # before the request: a crash in between then leaves only an unused preview
                self._previews.start(actor, job, of=approval_id, parameters=parameters)
            with self._events.around(_waiting(row, now), actor):
                self._store.add(row)
        return self._shown(self._existing(approval_id))

    # -- looking --------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, approval_id: str) -> Document:
        """Returns one request, with masked secrets and the result of its preview if that has ended. Raises Forbidden, NotFound."""
        require(actor, May.SEE_APPROVALS)
        return self._shown(self._with_preview(self._visible(actor, approval_id)))

    def _with_preview(self, row: Document) -> Document:
        """Returns a request with the result of its preview, which is stored with the request as soon as it is known."""
        if row["preview"] is not None and row["preview"].get("state") == "running":
            outcome = self._previews.take_result(self._previews.id_of(row["_id"]))
            if outcome is not None:
                row["preview"] = self._store_preview(row["_id"], {"state": "done", **outcome.as_document()})
        return row

    def _store_preview(self, approval_id: str, preview: Document) -> Document:
        """Stores the result of a preview with its request, and returns it. If it is too large, a message that says so is stored."""
        try:
            self._store.set_preview(approval_id, preview)
        except Exception as error:
            if not is_permanent(error):
                raise
            why = {"type": type(error).__name__, "message": "The result of the dry run is too large to store with the request"}
            preview = {"state": "done", "status": "failed", "result": None, "error": why}
            self._store.set_preview(approval_id, preview)
        return preview

    def page(self, actor: Actor, *, state: str | None = None, page: int = 1, limit: int = 50) -> Page[Document]:
        """Returns one page of the requests: all, or those with one of STATES. Raises Forbidden."""
        require(actor, May.SEE_APPROVALS)
        now, query = self._clock.now(), Document()
        undecided = {"$in": [PENDING, APPROVING]}
        if state == "pending":
            query = {"state": undecided, "expires_at": {"$gt": now}}
        elif state == "expired":
            query = {"state": undecided, "expires_at": {"$lte": now}}
        elif state is not None:
            query = {"state": state}
        if actor.groups is not None:
            query["subject.group"] = {"$in": sorted(actor.groups)}
        rows, total = self._store.page(query, skip=(page - 1) * limit, limit=limit)
        return Page.of([self._shown(self._with_preview(row)) for row in rows], total=total, page=page, limit=limit)

    def waiting(self, actor: Actor) -> int:
        """Returns how many requests wait, for the number beside the link in the navigation."""
        return self._store.waiting(self._clock.now(), groups=actor.groups)

    def waiting_for(self, actor: Actor, job_id: str) -> list[Document]:
        """Returns the waiting requests of one job. Raises Forbidden, NotFound."""
        self._registry.get(actor, job_id)
        require(actor, May.SEE_APPROVALS)
        return [self._shown(row) for row in self._store.waiting_for(job_id, self._clock.now())]

    def related(self, actor: Actor, row: Document) -> list[Document]:
        """Returns the other requests for the same job or the same name that wait, or were approved after this one was made: approving
        this one too may fail or do the work twice. Returns none for a request that is closed. Raises Forbidden."""
        require(actor, May.SEE_APPROVALS)
        if row["state"] != PENDING:
            return []
        others = self._store.related(row, self._clock.now())
        return [self._shown(other) for other in others if sees_group(actor, other["subject"].get("group", ""))]

    # -- deciding -------------------------------------------------------------------------------------------------

    def approve(self, actor: Actor, approval_id: str, *, note: str = "") -> Document:
        """Carries out the work in the name of the requester, and returns the request.

        Raises Forbidden for the actor's own request, Conflict if the request no longer waits, and the error of the work itself. After an
        error that may pass, the request waits again; after any other error, it has failed.
        """
        row = self._to_decide(actor, approval_id, note)
        if DAMAGED in row:
            raise Conflict(
                say("The record of this request is damaged: {reason}. Refuse it, and let the person ask again", reason=row[DAMAGED])
            )
        now = self._clock.now()
        requester = self._requester(row, actor)
        undecided = {"$or": [{"state": PENDING}, {"state": APPROVING, "decided_at": {"$lte": now - STUCK_AFTER}}]}
        claim = {"state": APPROVING, "decided_by": actor.email, "decided_at": now, "note": note}
        with self._audit.action(actor, "approval.approve", kind="approval", target_id=approval_id, name=_name(row)):
            if self._store.move(approval_id, undecided, claim) is None:
                raise Conflict("Someone else has just decided this")
            own_claim = {"state": APPROVING, "decided_by": actor.email, "decided_at": now}
            try:
                result = self._carry_out(requester, row)
            except Exception as error:
                fields: Document = {"state": PENDING, "decided_by": None, "decided_at": None, "note": ""}
                if isinstance(error, JobwrightError) and not _may_pass(error):
                    fields = {"state": "failed", "result": {"error": error.detail, "said": parts_of(error.detail)}}
                self._store.move(approval_id, own_claim, fields)
                raise
            self._store.move(approval_id, own_claim, {"state": "approved", "result": result})
        return self._shown(self._existing(approval_id))

    def refuse(self, actor: Actor, approval_id: str, *, note: str = "") -> Document:
        """Refuses the request. Raises Forbidden for the actor's own request, and Conflict if it no longer waits."""
        row = self._to_decide(actor, approval_id, note)
        with self._audit.action(actor, "approval.refuse", kind="approval", target_id=approval_id, name=_name(row)):
            return self._close(actor, approval_id, "refused", note)

    def withdraw(self, actor: Actor, approval_id: str) -> Document:
        """Withdraws the actor's own request. Raises Forbidden for the request of another person, and Conflict if it no longer waits."""
        require(actor, May.SEE_APPROVALS)
        row = self._visible(actor, approval_id)
        if row["requested_by"]["id"] != actor.id:
            raise Forbidden("Only the person who made a request can withdraw it")
        self._require_waiting(row)
        with self._audit.action(actor, "approval.withdraw", kind="approval", target_id=approval_id, name=_name(row)):
            return self._close(actor, approval_id, "withdrawn", "")

    # -- steps ----------------------------------------------------------------------------------------------------

    def _to_decide(self, actor: Actor, approval_id: str, note: str) -> Document:
        require(actor, May.DECIDE_APPROVALS)
        row = self._existing(approval_id)
        if row["requested_by"]["id"] == actor.id:
            raise Forbidden("You cannot decide on your own request")
        if len(note) > LONGEST_NOTE:
            raise ValidationFailed([FieldError("/note", say("must have at most {most} characters", most=LONGEST_NOTE))])
        self._require_waiting(row)
        return row

    def _require_waiting(self, row: Document) -> None:
        state = self._state(row)
        if state != PENDING:
            raise Conflict(say("This request is closed already: it is {state}", state=said(state)))

    def _close(self, actor: Actor, approval_id: str, state: str, note: str) -> Document:
        fields = {"state": state, "decided_by": actor.email, "decided_at": self._clock.now(), "note": note}
        if self._store.move(approval_id, {"state": PENDING}, fields) is None:
            raise Conflict("Someone else has just decided this")
        return self._shown(self._existing(approval_id))

    def _requester(self, row: Document, approver: Actor) -> Actor:
        """Returns the requester as an actor with the current rights, and the name of the approver. Raises Conflict without rights."""
        user = self._users.get(row["requested_by"]["id"])
        if user is None or user.disabled or user.role is Role.USER:
            raise Conflict(say("{email} no longer has the right to ask for this. Refuse the request", email=row["requested_by"]["email"]))
        return actor_of(
            user,
            via=row["via"],
            address=approver.address,
            correlation_id=approver.correlation_id,
            traceparent=approver.traceparent,
            approved_by=approver.email,
        )

    def _carry_out(self, actor: Actor, row: Document) -> Document:
        """Carries out the work and returns what it made. Work that a killed process has done already is not done again."""
        payload, job_id, version = row["payload"], row["job_id"], row["version"]
        operation = Operation(row["operation"])
        match operation:
            case Operation.CREATE:
                self._registry.create_approved(actor, payload["job"])
            case Operation.UPDATE:
                self._registry.update_approved(actor, job_id, payload["job"], version=version)
            case Operation.ENABLE:
                if not self._registry.visible(actor, job_id).definition.enabled:
                    self._registry.set_enabled(actor, job_id, enabled=True, version=version)
            case Operation.RESUME:
                if self._registry.visible(actor, job_id).paused:
                    self._pausing.resume(actor, job_id, version=version)
            case Operation.END_SHADOW:
                if self._registry.visible(actor, job_id).shadow:
                    self._shadowing.end(actor, job_id, version=version)
            case Operation.DELETE:
                with suppress(NotFound):
                    self._registry.delete(actor, job_id, version=version)
                self._runs.forget_job(job_id)
            case Operation.UNDELETE:
                self._registry.undelete(actor, job_id, version=version)
            case Operation.RUN | Operation.RETRY:
                execution_id = payload.get("execution_id") or str(uuid.uuid5(uuid.UUID(row["_id"]), "run"))
                approved = ApprovedRun(
                    job_id=job_id,
                    version=version,
                    execution_id=execution_id,
                    parameters=payload["parameters"],
                    code_version=payload.get("code_version"),
                    retry_of=payload.get("retry_of"),
                    stands_for=payload.get("stands_for"),
                )
                self._runs.run_approved(actor, approved)
                return {"kind": "execution", "id": execution_id}
            case Operation.BACKFILL:
                self._registry.visible(actor, job_id, version=version)
                self._backfill_runs.start(actor, job_id, payload["due_times"], key=row["_id"])
        return {"kind": "job", "id": job_id}

    def _state(self, row: Document) -> str:
        if row["state"] in {PENDING, APPROVING}:
            return "expired" if row["expires_at"] <= self._clock.now() else PENDING
        return str(row["state"])

    def _shown(self, row: Document) -> Document:
        shown = {key: value for key, value in row.items() if key not in {"payload", "subject"}}
        if row["preview"] is not None and row["preview"].get("error"):
            shown["preview"] = {**row["preview"], "error": _spoken(row["preview"]["error"], "message")}
        return {**shown, "result": _spoken(row["result"], "error"), "state": self._state(row)}

    def _visible(self, actor: Actor, approval_id: str) -> Document:
        row = self._existing(approval_id)
        if not sees_group(actor, row["subject"].get("group", "")):
            raise NotFound("approval", approval_id)
        return row

    def _existing(self, approval_id: str) -> Document:
        row = self._store.get(approval_id)
        if row is None:
            raise NotFound("approval", approval_id)
        return row


def _spoken(holder: Document | None, name: str) -> Document | None:
    """Returns a document with the sentence `name` as the Said that it was, without its stored parts."""
    if not holder or not isinstance(holder.get(name), str):
        return holder
    return {**{key: value for key, value in holder.items() if key != "said"}, name: restored(holder[name], holder.get("said"))}


def _may_pass(error: JobwrightError) -> bool:
    """Returns whether the same request may succeed a little later."""
    return isinstance(error, LimitReached | AlreadyRunning | StoreUnavailable) or is_away(error)


def _same(operation: Operation, stored_request: Document, waiting: Document) -> bool:
    """Returns whether a waiting request asks for the same work. Two runs are two requests, unless they have the same Idempotency-Key.

    Secrets are masked in the diff, so the stored parameters are compared too.
    """
    before, now = waiting["payload"], stored_request["payload"]
    if operation is Operation.RUN:
        return "execution_id" in now and before.get("execution_id") == now["execution_id"]
    return bool(waiting["diff"] == stored_request["diff"] and _parameters(before) == _parameters(now))


def _parameters(payload: Document) -> Any:
    return payload.get("parameters", payload.get("job", {}).get("parameters"))


def _name(row: Document) -> str:
    return f"{row['operation']} {row['job_name']}"


def _waiting(row: Document, now: datetime) -> ApprovalWaiting:
    return ApprovalWaiting(
        at=now, approval_id=row["_id"], job_name=row["job_name"], operation=row["operation"], asked_by=row["requested_by"]["email"]
    )
