"""The commands that the bus takes: the operation of REST behind each, and what its message has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JOBS, EXECUTIONS = "/api/admin/scheduler-jobs", "/api/admin/job-executions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. `path` is that of REST below `/api/admin`, with `{job}` or `{execution}` where the message names one. `body` is the
    schema of the body in the OpenAPI document; empty for a command without one. `answer` is that of the answer. `repeats` says that an
    idempotency key makes a repeated command harmless, and `versioned` that the message may name the version that it changes."""

    name: str
    words: str
    method: str
    path: str
    answer: str
    body: str = ""
    body_required: bool = False
    query: str = ""
    repeats: bool = False
    versioned: bool = False

    @property
    def names(self) -> str:
        """What the message names: `job`, `execution`, or nothing."""
        return next((name for name in ("job", "execution") if f"{{{name}}}" in self.path), "")

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the message. REST judges the body itself."""
        members = {"token": TOKEN, **({self.names: NAMED[self.names]} if self.names else {})}
        if self.body:
            members["body"] = {"type": "object", "description": f"The body of the request: {self.body}"}
        if self.query:
            members["query"] = QUERY
        if self.repeats:
            members["idempotency_key"] = IDEMPOTENCY_KEY
        if self.versioned:
            members["version"] = VERSION
        required = [*([self.names] if self.names else []), *(["body"] if self.body_required else [])]
        return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


QUERY = {
    "type": "object",
    "description": "The parameters of the query",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
TOKEN = {
    "type": "string",
    "description": "The token of the account that sends the command. The header `Authorization` may have it instead, as `Bearer jw_…`.",
}
NAMED: Mapping[str, dict[str, Any]] = {
    "job": {"type": "string", "minLength": 1, "maxLength": 120, "description": "Id or name of the job"},
    "execution": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,100}$", "description": "Id of the execution"},
}
IDEMPOTENCY_KEY = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "A command that is sent again with the same key has one effect. It may be sent in the header `Idempotency-Key` instead.",
}
VERSION = {"type": "integer", "minimum": 1, "description": "The version that is changed. If the job has another one, nothing changes."}

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command(
            name="create",
            words="Create a job",
            method="POST",
            path=JOBS,
            body="JobDefinition",
            body_required=True,
            answer="JobEnvelope",
            repeats=True,
        ),
        Command(
            name="update",
            words="Change the fields of a job that are sent",
            method="PUT",
            path=f"{JOBS}/{{job}}",
            body="JobChanges",
            body_required=True,
            answer="JobEnvelope",
            versioned=True,
        ),
        Command(
            name="pause",
            words="Pause a job",
            method="POST",
            path=f"{JOBS}/{{job}}/pause",
            body="Pause",
            body_required=True,
            answer="JobEnvelope",
            versioned=True,
        ),
        Command(
            name="resume",
            words="Resume a paused job",
            method="POST",
            path=f"{JOBS}/{{job}}/resume",
            answer="JobEnvelope",
            versioned=True,
        ),
        Command(
            name="trigger",
            words="Run a job now",
            method="POST",
            path=f"{JOBS}/{{job}}/run",
            body="RunBody",
            answer="RunEnvelope",
            repeats=True,
        ),
        Command(
            name="cancel",
            words="Cancel an execution",
            method="POST",
            path=f"{EXECUTIONS}/{{execution}}/cancel",
            answer="ExecutionEnvelope",
        ),
        Command(
            name="delete",
            words="Delete a job; its history stays",
            method="DELETE",
            path=f"{JOBS}/{{job}}",
            answer="Message",
            versioned=True,
        ),
        Command(
            name="list",
            words="List jobs, with filters, sorting and pages",
            method="GET",
            path=JOBS,
            query="JobQuery",
            answer="JobList",
        ),
    )
}
