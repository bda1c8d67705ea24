"""Makes runs of claimed attempts: secrets opened, dynamic values resolved, parameters checked once more, connections granted."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from app.config import Settings
from app.errors import FieldError, JobwrightError, NotFound
from app.execution.history_store import HistoryStore
from app.executors.base import Run
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from app.jobtemplates.parameters import ParameterPipeline, Parameters
from app.node.routing import Routing, TooLate
from app.queue.claim_store import ClaimStore
from app.queue.model import Attempt, AttemptError
from app.traces.base import OFF, Traces
from app.validation.dynamic import Known, Resolved, has_any, put_back
from templates_lib.base import ConnectionGrant
from templates_lib.messages import joined, say

MOST_REMEMBERED = 1000


class Refused(Exception):
    """An attempt cannot be run, and trying again cannot help."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.error = AttemptError(type=kind, message=message, permanent=True)


class Preparation:
    """Prepares attempts on one node."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        pipeline: ParameterPipeline,
        history: HistoryStore,
        claims: ClaimStore,
        routing: Routing,
        settings: Settings,
        traces: Traces = OFF,
    ) -> None:
        self._catalogue, self._pipeline, self._history, self._claims = catalogue, pipeline, history, claims
        self._routing = routing
        self._isolation, self._traces = settings.isolation, traces
        self._checked: set[tuple[str, str]] = set()

    def classes_of(self, templates: Iterable[str]) -> list[str]:
        """What an executor loads for runs of these templates, "module:class" each; those that this node has not are left out."""
        entries = [entry for template in templates if (entry := self._catalogue.find(template)) is not None]
        return list(dict.fromkeys(entry.load for entry in entries))

    def begin_batch(self, held: Collection[str]) -> None:
        """Runs are about to be made; `held` are the executions that this node has in hand."""
        self._routing.begin_batch(held)

    def run_of(self, attempt: Attempt) -> Run:
        """The run of an attempt. Raises Refused where it cannot be run, and Postponed where its service cannot take it now."""
        try:
            return self._prepared(attempt)
        except TooLate as late:
            raise Refused("ServiceUnavailable", late.words) from late
        except NotFound:
            why = self._catalogue.why_not(attempt.template_type, attempt.template_version)
            words = say("There is no template {template!r} on this node: {why}", template=attempt.template_type, why=why)
            raise Refused("TemplateMissing", words) from None
        except JobwrightError as error:
            raise Refused(type(error).__name__, error.detail) from error

    def _prepared(self, attempt: Attempt) -> Run:
        entry = self._catalogue.get(attempt.template_type, attempt.template_version)
        # A job that has not been moved to the newest version of its template is upgraded by the migrations of the template's code.
        parameters = self._pipeline.open_stored(entry, entry.upgrade_parameters(attempt.parameters, attempt.code_version))
        errors = parameters.reference_errors()
        if has_any(parameters.value):
            resolved = self._resolved(attempt, parameters)
            parameters = self._pipeline.with_resolved(parameters, resolved.value)
            errors = errors or resolved.errors or parameters.reference_errors()
        errors = errors or self._errors(attempt, entry, parameters.value) or parameters.payload_errors()
        if errors:
            raise Refused("InvalidParameters", joined((joined((error.pointer, error.message), ": ") for error in errors[:5]), "; "))
        grants = parameters.grants()
        isolation = entry.template.isolation if self._isolation == "template" else self._isolation
        route, callback = self._route(attempt, entry, parameters.value, grants)
        traceparent = self._place(attempt, calls=route is not None)
        return Run(
            attempt,
            parameters.value,
            {name: (grant.kind, grant.settings) for name, grant in grants.items()},
            entry.load,
            reused=isolation == "reused" and not attempt.dry,
            stores=entry.stores,
            route=route,
            callback=callback,
            traceparent=traceparent,
            traced=self._traces.records(traceparent),
        )

    def _place(self, attempt: Attempt, *, calls: bool) -> str:
        """The span that the calls of an attempt stand below: its own, or that of its one call to a service."""
        place = self._traces.call if calls else self._traces.attempt
        return place(attempt.execution_id, attempt.traceparent, attempt.number)

    def _route(
        self, attempt: Attempt, entry: TemplateVersion, parameters: Mapping[str, Any], grants: Mapping[str, ConnectionGrant]
    ) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
        """Where the attempt of a service's job goes, and where the service reports about it."""
        if not entry.template.calls_service or attempt.dry:
            return None, None
        service = parameters[entry.template.calls_service]
        target = self._routing.target_of(
            attempt, service=service, job_name=parameters.get("job_name", ""), address=grants[service].settings["address"]
        )
        return (target.address, target.instance), self._routing.report_address(attempt)

    def _resolved(self, attempt: Attempt, parameters: Parameters) -> Resolved:
        """What the dynamic values of the parameters become: the same in each attempt of an execution, and recorded with it."""
        if attempt.resolved is not None:
            with suppress(LookupError, ValueError):
                return Resolved(put_back(parameters.value, attempt.resolved))
        success = self._history.last_success(attempt.job_id)
        known = Known(
            now=attempt.stands_for or attempt.began_at,
            execution_id=attempt.execution_id,
            scheduled_for=attempt.scheduled_for or attempt.stands_for,
            job_id=attempt.job_id,
            job_name=attempt.job_name,
            previous={"id": success.id, "result": success.result, "completed_at": success.completed_at} if success else None,
        )
        resolved = parameters.resolve(known)
        if resolved.became:
            self._claims.note_resolved(attempt, resolved.became)
        return resolved

    def _errors(self, attempt: Attempt, entry: TemplateVersion, parameters: Mapping[str, Any]) -> list[FieldError]:
        """What is wrong with the parameters. Those that were found right are not checked again: a version of a template stays as it is for
        as long as this process, and the check depends on nothing else."""
        key = (
            f"{entry.type} {entry.version}",
            json.dumps([attempt.code_version, attempt.parameters, attempt.resolved], sort_keys=True, default=str),
        )
        if key in self._checked:
            return []
        errors = entry.check(parameters, prefix="/parameters")
        if not errors:
            if len(self._checked) >= MOST_REMEMBERED:
                self._checked.clear()
            self._checked.add(key)
        return errors
