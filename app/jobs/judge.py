"""What must hold of a job's parameters: judged by the version of the template that it is of, brought up to the code, secrets kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.clock import Clock
from app.config import Settings
from app.connections.destinations import kept_elsewhere
from app.connections.references import secret_places
from app.connections.service import Connections, Need
from app.connections.vault import Vault, mask
from app.errors import FieldError, MigrationFailed, ValidationFailed
from app.jobs.model import Job, JobDefinition
from app.jobs.reading import read_definition
from app.jobs.rules import ScheduleRules
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import Entry, with_defaults
from app.validation.dynamic import Known
from templates_lib.messages import say

Resolver = Callable[[JobDefinition], tuple[JobDefinition, list[FieldError]]]


class Judge:
    """Asks nobody's rights and writes nothing: what the registry, moves and runs have judged before they do."""

    def __init__(
        self, *, catalogue: Catalogue, connections: Connections, vault: Vault, rules: ScheduleRules, clock: Clock, settings: Settings
    ) -> None:
        self._catalogue, self._connections, self._vault = catalogue, connections, vault
        self._rules, self._clock, self._settings = rules, clock, settings

    def shown_parameters(self, job: Job) -> dict[str, Any]:
        """The parameters, as its template takes them now, with secrets masked; as they are, where its code cannot bring them up."""
        with suppress(MigrationFailed):
            job = self.brought_up(job)
        shown: dict[str, Any] = mask(job.definition.parameters)
        return shown

    def default_parameters(self, job: Job) -> dict[str, Any]:
        """What a definition of the job's template has of the parameters that it leaves out; empty where the template is gone."""
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        return with_defaults(entry.parameters_schema, {}) if entry is not None else {}

    def entry_of(self, job: Job) -> Entry:
        """The version of its template that a job is of. Raises NotFound."""
        return self._catalogue.get(job.definition.template_type, job.template_version)

    def needs(self, job: Job) -> list[Need]:
        """The connections and secrets that the job names; none where its template is gone."""
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return []
        with suppress(MigrationFailed):
            job = self.brought_up(job)
        return self._connections.needs(entry.parameters_schema, job.definition.parameters, templates=entry.families)

    def brought_up(self, job: Job) -> Job:
        """The job as its template takes it now, by the code's own migrations; as it is, where there is no such template any more.

        Raises MigrationFailed.
        """
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return job
        parameters = entry.brought_up(job.definition.parameters, job.code_version or job.template_version)
        definition = replace(job.definition, parameters=parameters)
        return replace(job, definition=definition, template_version=entry.version, code_version=entry.template.version)

    def carried(self, job: Job, parameters: Mapping[str, Any], template_version: int, code_version: int | None) -> dict[str, Any]:
        """Parameters of an earlier run of the job as its version of the template has them. Raises NotFound."""
        entry, written_for = self.entry_of(job), code_version or template_version
        same = entry.version == template_version
        return entry.brought_up(parameters, written_for) if same else entry.moved(parameters, written_for)

    def judged(self, entry: Entry, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
        """Parameters as they would be stored for a version of a template, and what is wrong with them; `stored` has the secrets that
        `parameters` only mask."""
        errors = self._parameter_errors(entry, parameters, stored)
        sealed: dict[str, Any] = dict(parameters) if errors else self._vault.seal(entry.parameters_schema, parameters, stored)
        return sealed, errors

    def run_parameters(
        self, job: Job, overrides: Mapping[str, Any] | None, *, base: Mapping[str, Any] | None = None, whole: bool = False
    ) -> dict[str, Any]:
        """The stored parameters with `overrides` (replacing whole top-level members), judged and sealed.

        `base` stands for the stored ones where they are an earlier run's; with `whole` the overrides are all that there is, and only
        kept secrets come from before. Raises ValidationFailed with pointers below `/parameters`.
        """
        entry, stored = self.entry_of(job), self.brought_up(job).definition.parameters if base is None else base
        given = dict(overrides or {}) if whole else {**mask(stored), **(overrides or {})}
        sealed, errors = self.judged(entry, given, stored)
        if errors:
            raise ValidationFailed(errors)
        return sealed

    def changed_secrets(self, job: Job, parameters: Mapping[str, Any]) -> list[str]:
        """Pointers, from the parameters, of the secrets in `parameters` that the job has not, or has otherwise."""
        schema, stored = self.entry_of(job).parameters_schema, self.brought_up(job).definition.parameters
        before = dict(secret_places(schema, self._vault.open(stored)))
        return [place for place, value in secret_places(schema, self._vault.keep(schema, parameters, stored)) if before.get(place) != value]

    # -- definitions ----------------------------------------------------------------------------------------------

    def checked(self, body: Any, before: Job | None = None, *, resolve: Resolver = lambda definition: (definition, [])) -> JobDefinition:
        """The definition in `body`, its parameters with defaults and in the clear, and what `resolve` makes of it.

        Raises ValidationFailed with all that is wrong with it: what cannot be read and, in what can, each later error that does not
        follow from one of those.
        """
        reading = read_definition(body, self._settings)
        definition, errors = reading.definition, list[FieldError]()
        if reading.has("template_type"):
            try:
                entry = self.entry_for(definition, before)
            except ValidationFailed as error:
                errors += error.errors
            else:
                definition = replace(definition, parameters=with_defaults(entry.parameters_schema, definition.parameters))
                errors += self._parameter_errors(entry, definition.parameters, self._kept(before, entry))
        errors += self._schedule_errors(definition, before)
        definition, others = resolve(definition)
        found = reading.and_also([*errors, *others])
        if found:
            raise ValidationFailed(found)
        return definition

    def still_right(self, job: Job, *, moved: bool) -> None:
        """What was right when it was asked for may be wrong now: a template has another schema, a connection is gone, a time has passed."""
        definition = job.definition
        entry = self._template(definition.template_type, job.template_version)
        errors = self._parameter_errors(entry, mask(definition.parameters), definition.parameters)
        if moved:
            errors += self._rules.check(definition.schedule, self._clock.now())
        if errors:
            raise ValidationFailed(errors)

    def sealed(self, entry: Entry, definition: JobDefinition, before: Job | None) -> JobDefinition:
        """The definition as it is stored: its secrets sealed, those that it only masks kept from `before`."""
        parameters = self._vault.seal(entry.parameters_schema, definition.parameters, self._kept(before, entry))
        return replace(definition, parameters=parameters)

    def entry_for(self, definition: JobDefinition, before: Job | None) -> Entry:
        """The version of its template that a definition is judged by: the job's own where it stays with its template, else the current
        one, which must be open for new jobs. Raises ValidationFailed."""
        kind = definition.template_type
        if before is not None and before.definition.template_type == kind:
            return self._template(kind, before.template_version)
        entry = self._template(kind)
        closed = next((why for one in entry.families if (why := self._catalogue.closed(one)) is not None), None)
        if closed is not None:
            raise ValidationFailed(
                [FieldError("/template_type", say("{name} {closed}: no new job is of it", name=entry.name, closed=closed))]
            )
        return entry

    # -- steps ----------------------------------------------------------------------------------------------------

    def _schedule_errors(self, definition: JobDefinition, before: Job | None) -> list[FieldError]:
        """A schedule that stays as it is may have ended by now, unless the job is switched on."""
        if before is None or before.definition.schedule != definition.schedule:
            return self._rules.check(definition.schedule, self._clock.now())
        switched_on = definition.enabled and not before.definition.enabled
        never = self._rules.never_due(definition.schedule, self._clock.now()) if switched_on else None
        return [] if never is None else [never]

    def _kept(self, before: Job | None, entry: Entry) -> Mapping[str, Any]:
        """The stored parameters that a form of the same template may keep secrets of."""
        return self.brought_up(before).definition.parameters if before and before.definition.template_type == entry.type else {}

    def _parameter_errors(self, entry: Entry, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> list[FieldError]:
        schema = entry.parameters_schema
        kept = self._vault.keep(schema, parameters, stored)
        clear = self._connections.open_secrets(schema, kept)
        errors = entry.check_ahead(clear, Known(now=self._clock.now(), sample=True), prefix="/parameters")
        found = [*self._connections.check_parameters(schema, kept, templates=entry.families), *kept_elsewhere(schema, parameters, stored)]
        named = {f"/parameters{one.pointer}": one.message for one in found}
        # A secret that is not there is no text, as the schema has it too: said once, by its name.
        return [*(one for one in errors if one.pointer not in named), *(FieldError(at, message) for at, message in named.items())]

    def _template(self, kind: str, version: int | None = None) -> Entry:
        entry = self._catalogue.find(kind, version)
        if entry is not None:
            return entry
        why = self._catalogue.why_not(kind, version)
        if kind not in self._catalogue.types() or why is None:
            why = say("known are {types}", types=", ".join(self._catalogue.types()))
        raise ValidationFailed(
            [FieldError("/template_type", say("is not a template that can be used: {kind!r}; {why}", kind=kind, why=why))]
        )
