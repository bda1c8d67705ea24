"""What must hold of a job's definition before it enters the registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from app.accounts.permissions import sees_group
from app.audit.model import Actor
from app.clock import Clock
from app.config import Settings
from app.connections.vault import mask
from app.errors import DuplicateName, FieldError, ValidationFailed
from app.jobs.dependencies import Dependencies
from app.jobs.model import Job, JobDefinition
from app.jobs.parameters import JobParameters
from app.jobs.reading import read_definition
from app.jobs.registry_store import RegistryStore
from app.jobs.rules import ScheduleRules
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion, with_defaults
from app.validation.names import normal
from templates_lib.messages import say


class Definitions:
    """Reads definitions from bodies and validates them. It writes nothing."""

    def __init__(
        self,
        *,
        store: RegistryStore,
        catalogue: Catalogue,
        parameters: JobParameters,
        dependencies: Dependencies,
        rules: ScheduleRules,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._catalogue, self._parameters, self._dependencies = store, catalogue, parameters, dependencies
        self._rules, self._clock, self._settings = rules, clock, settings

    def read(
        self,
        actor: Actor,
        body: Any,
        before: Job | None,
        *,
        planned_names: Collection[str] | None = None,
        free_name: bool = True,
        job_id: str | None = None,
    ) -> JobDefinition:
        """Returns the definition in `body`, with defaults for parameters that it leaves out, secrets in the clear, and ids in `depends_on`.

        `before` is the job that it will change. With `free_name`, no other job than `before` (or the one with the id `job_id`) may have its
        name. `planned_names` as in Dependencies.resolve. Raises ValidationFailed with all its errors that do not follow from one another;
        DuplicateName if its name is the only one.
        """
        own_id = before.id if before else job_id
        reading = read_definition(body, self._settings)
        definition, errors = reading.definition, list[FieldError]()
        if reading.has("template_type"):
            try:
                entry = self.template_for(definition, before)
            except ValidationFailed as failed:
                errors += failed.errors
            else:
                filled = with_defaults(entry.parameters_schema, definition.parameters)
                definition = replace(definition, parameters=self._parameters.with_default_connections(entry, filled))
                errors += self._parameters.errors(entry, definition.parameters, self._stored_parameters(before, entry))
        errors += self._schedule_errors(definition, before)
        resolved, dependency_errors = self._dependencies.resolve(actor, definition, before, planned_names=planned_names)
        errors += self._name_errors(definition, own_id) if free_name else []
        errors += [*_group_errors(actor, definition), *dependency_errors]
        told = reading.and_also(errors)
        if len(told) == 1 and told[0].pointer == "/name" and isinstance(body, Mapping):
            self.refuse_taken_name(normal(str(body.get("name", ""))), own_id)
        if told:
            raise ValidationFailed(told)
        return resolved

    def recheck(self, job: Job, *, moved: bool) -> None:
        """Validates a stored definition again, as of now: its template may have another schema, a connection or a job that it runs after
        may be gone, and with `moved` (its schedule is new) its time may have passed. Raises ValidationFailed."""
        definition = job.definition
        errors = self._dependencies.errors_now(definition, job.id)
        if errors:
            raise ValidationFailed(errors)
        entry = self._template(definition.template_type, job.template_version)
        errors = self._parameters.errors(entry, mask(definition.parameters), definition.parameters)
        if moved:
            errors += self._rules.check(definition.schedule, self._clock.now())
        if errors:
            raise ValidationFailed(errors)

    def seal(self, entry: TemplateVersion, definition: JobDefinition, before: Job | None) -> JobDefinition:
        """Returns the definition as it is stored: its secrets sealed, those that it only masks taken from `before`."""
        return replace(definition, parameters=self._parameters.seal(entry, definition.parameters, self._stored_parameters(before, entry)))

    def template_for(self, definition: JobDefinition, before: Job | None) -> TemplateVersion:
        """Returns the version of its template that a definition is validated against: the job's own version if it stays with its template,
        else the current one, which must be open for new jobs. Raises ValidationFailed."""
        template_type = definition.template_type
        if before is not None and before.definition.template_type == template_type:
            return self._template(template_type, before.template_version)
        entry = self._template(template_type)
        closed = next((why for name in entry.families if (why := self._catalogue.closed(name)) is not None), None)
        if closed is not None:
            raise ValidationFailed(
                [FieldError("/template_type", say("does not allow new jobs: {name} {closed}", name=entry.name, closed=closed))]
            )
        return entry

    def refuse_taken_name(self, name: str, job_id: str | None) -> None:
        """Raises DuplicateName if another job than `job_id` has the name."""
        if self._store.name_taken(name, by_other_than=job_id):
            raise DuplicateName(name)

    @staticmethod
    def refuse_foreign_group(actor: Actor, definition: JobDefinition) -> None:
        """Raises ValidationFailed if the actor is kept to groups and the job's is not one of them."""
        errors = _group_errors(actor, definition)
        if errors:
            raise ValidationFailed(errors)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _name_errors(self, definition: JobDefinition, job_id: str | None) -> list[FieldError]:
        try:
            self.refuse_taken_name(definition.name, job_id)
        except DuplicateName as taken:
            return list(taken.errors)
        return []

    def _schedule_errors(self, definition: JobDefinition, before: Job | None) -> list[FieldError]:
        """A schedule that does not change may have ended by now, unless the job is switched on."""
        if before is None or before.definition.schedule != definition.schedule:
            return self._rules.check(definition.schedule, self._clock.now())
        switched_on = definition.enabled and not before.definition.enabled
        never = self._rules.never_due(definition.schedule, self._clock.now()) if switched_on else None
        return [] if never is None else [never]

    def _stored_parameters(self, before: Job | None, entry: TemplateVersion) -> Mapping[str, Any]:
        """Returns the stored parameters from which a form of the same template may keep secrets."""
        return self._parameters.upgrade(before).definition.parameters if before and before.definition.template_type == entry.type else {}

    def _template(self, template_type: str, version: int | None = None) -> TemplateVersion:
        entry = self._catalogue.find(template_type, version)
        if entry is not None:
            return entry
        why = self._catalogue.why_not(template_type, version)
        if template_type not in self._catalogue.types() or why is None:
            alike = get_close_matches(template_type, self._catalogue.types(), n=1)
            why = (
                say("did you mean {name!r}?", name=alike[0])
                if alike
                else say("the page Templates and GET /api/admin/job-templates list all")
            )
        raise ValidationFailed(
            [FieldError("/template_type", say("is not an available template: {kind!r}; {why}", kind=template_type, why=why))]
        )


def _group_errors(actor: Actor, definition: JobDefinition) -> list[FieldError]:
    """Returns an error if the actor, who is kept to groups, does not belong to the job's."""
    if sees_group(actor, definition.group):
        return []
    return [FieldError("/group", say("must be one of your groups: {known}", known=", ".join(sorted(actor.groups or ()))))]
