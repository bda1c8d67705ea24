"""The parameters of stored jobs: shown, upgraded to the template's code, validated and sealed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app.clock import Clock
from app.connections.service import Connections, Need
from app.connections.vault import mask
from app.errors import FieldError, MigrationFailed, ValidationFailed
from app.jobs.model import Job
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.default_connections import missing_connections, put
from app.jobtemplates.entry import TemplateVersion, with_defaults
from app.jobtemplates.parameters import ParameterPipeline, Parameters
from app.validation.dynamic import Known


class JobParameters:
    """Checks no rights and writes nothing. Parameters are validated against the version of the template that the job is of."""

    def __init__(self, *, catalogue: Catalogue, connections: Connections, pipeline: ParameterPipeline, clock: Clock) -> None:
        self._catalogue, self._connections, self._pipeline, self._clock = catalogue, connections, pipeline, clock

    def entry_of(self, job: Job) -> TemplateVersion:
        """Returns the version of its template that a job is of. Raises NotFound."""
        return self._catalogue.get(job.definition.template_type, job.template_version)

    def shown(self, job: Job) -> dict[str, Any]:
        """Returns the parameters as pages and programs see them: upgraded, secrets masked; as they are stored if the template's migrations
        fail."""
        with suppress(MigrationFailed):
            job = self.upgrade(job)
        masked: dict[str, Any] = mask(job.definition.parameters)
        return masked

    def defaults(self, job: Job) -> dict[str, Any]:
        """Returns the values that the job's template has for parameters that a definition leaves out; empty if the template is gone."""
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        return with_defaults(entry.parameters_schema, {}) if entry is not None else {}

    def with_default_connections(self, entry: TemplateVersion, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns parameters with the default connection of its kind in each place that must name one and names none."""
        missing = missing_connections(entry, parameters)
        names = self._connections.defaults(set(missing.values())) if missing else {}
        filled = dict(parameters)
        for pointer, kind in missing.items():
            if kind in names:
                put(filled, pointer, names[kind])
        return filled

    def needs(self, job: Job) -> list[Need]:
        """Returns the connections and secrets that the job names; none if its template is gone."""
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return []
        with suppress(MigrationFailed):
            job = self.upgrade(job)
        return self._connections.needs(entry.parameters_schema, job.definition.parameters, templates=entry.families)

    def upgrade(self, job: Job) -> Job:
        """Returns the job with its parameters upgraded by the migrations of the template's code; unchanged if the template is gone.

        Raises MigrationFailed.
        """
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return job
        parameters = entry.upgrade_parameters(job.definition.parameters, job.code_version or job.template_version)
        definition = replace(job.definition, parameters=parameters)
        return replace(job, definition=definition, template_version=entry.version, code_version=entry.template.version)

    def from_earlier_run(self, job: Job, parameters: Mapping[str, Any], template_version: int, code_version: int | None) -> dict[str, Any]:
        """Returns the parameters of an earlier run of the job, converted to the version of the template that the job is of now.

        Raises NotFound, MigrationFailed.
        """
        entry, written_for = self.entry_of(job), code_version or template_version
        same = entry.version == template_version
        return entry.upgrade_parameters(parameters, written_for) if same else entry.convert_parameters(parameters, written_for)

    def errors(self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> list[FieldError]:
        """Returns what is wrong with parameters, at pointers below `/parameters`. `stored` holds the secrets that `parameters`
        only mask."""
        return self._errors(self._pipeline.open(entry, parameters, stored))

    def seal(self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
        """Returns valid parameters as they are stored: secrets sealed, those that are only masked taken from `stored`."""
        return self._pipeline.seal(entry, parameters, stored)

    def validate(
        self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[FieldError]]:
        """Returns the parameters as they would be stored for a version of a template, and what is wrong with them."""
        opened = self._pipeline.open(entry, parameters, stored)
        errors = self._errors(opened)
        return dict(parameters) if errors else self._pipeline.seal_given(opened.given), errors

    def for_run(
        self, job: Job, overrides: Mapping[str, Any] | None, *, base: Mapping[str, Any] | None = None, whole: bool = False
    ) -> dict[str, Any]:
        """Returns the sealed parameters of a run: the stored ones with `overrides` in place of whole top-level members.

        `base` are the parameters of an earlier run, used in place of the stored ones. With `whole`, the overrides are all the parameters,
        and only secrets that they mask come from before. Raises ValidationFailed with pointers below `/parameters`; NotFound.
        """
        entry, stored = self.entry_of(job), self.upgrade(job).definition.parameters if base is None else base
        given = dict(overrides or {}) if whole else {**mask(stored), **(overrides or {})}
        sealed, errors = self.validate(entry, given, stored)
        if errors:
            raise ValidationFailed(errors)
        return sealed

    def changed_secrets(self, job: Job, parameters: Mapping[str, Any]) -> list[str]:
        """Returns pointers, from the parameters, of the secrets in `parameters` that the job does not have, or has with another value."""
        return self._pipeline.changed_secrets(self.entry_of(job), parameters, self.upgrade(job).definition.parameters)

    def _errors(self, opened: Parameters) -> list[FieldError]:
        known = Known(now=self._clock.now(), sample=True)
        return [error.below("/parameters") for error in opened.errors_ahead(known)]
