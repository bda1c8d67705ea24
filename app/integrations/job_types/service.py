"""Installs job types: one job each, which people then edit as any other job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.accounts.permissions import May, require
from app.audit.model import SYSTEM, Actor
from app.config import Settings
from app.connections.service import DEFAULT, Connections
from app.connections.services import ServiceConnections
from app.errors import DuplicateName, FieldError, JobwrightError, ValidationFailed
from app.events import get_logger
from app.integrations.job_types.types import JOB_TYPES, JobType
from app.jobs.directory import JobDirectory
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from app.jobs.service import JobRegistry
from templates_lib.messages import joined, say

log = get_logger(__name__)

DATABASE_KIND = "mongodb"


class Installation(StrEnum):
    """What has become of one job type."""

    CREATED = "created"
    EXISTS = "exists"  # a job has its name already
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStanding:
    """A job type with its job (None: there is none), and what keeps it from being installed (empty: nothing)."""

    type: JobType
    job: Job | None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The result for one job type; `detail` says why it failed."""

    name: str
    result: Installation
    job_id: str | None = None
    detail: str = ""


class JobTypes:
    """The job types of an installation."""

    def __init__(
        self,
        *,
        registry: JobRegistry,
        directory: JobDirectory,
        connections: Connections,
        service_connections: ServiceConnections,
        settings: Settings,
    ) -> None:
        self._registry, self._directory, self._settings = registry, directory, settings
        self._connections, self._services = connections, service_connections

    def standing(self, actor: Actor) -> list[TypeStanding]:
        """Returns every job type, whether its job is there, and what it lacks. Raises Forbidden."""
        require(actor, May.MANAGE_TEMPLATES)
        jobs = {kind.name: self._job(actor, kind.name) for kind in JOB_TYPES}
        return [TypeStanding(type=kind, job=jobs[kind.name], missing="" if jobs[kind.name] else self._missing(kind)) for kind in JOB_TYPES]

    def install(self, actor: Actor, names: Collection[str] | None = None) -> list[Installed]:
        """Makes the jobs of these types, of all without `names`. One that cannot be made does not stop the others.

        Raises ValidationFailed for an unknown name; Forbidden.
        """
        for may in (May.MANAGE_TEMPLATES, May.CHANGE_JOBS, May.SEE_JOBS):
            require(actor, may)
        known = {kind.name for kind in JOB_TYPES}
        if names is not None and not known.issuperset(names):
            raise ValidationFailed([FieldError("/names", say("must be names of job types: {known}", known=", ".join(sorted(known))))])
        return [self._install(actor, kind) for kind in JOB_TYPES if names is None or kind.name in names]

    def install_at_start(self) -> None:
        """Makes the jobs of the types whose services have an address in the environment, if no job ever had their names."""
        for kind in JOB_TYPES:
            if kind.service and self._settings.service_address(kind.service) and not self._directory.ever_named(kind.name):
                outcome = self._install(SYSTEM, kind)
                if outcome.result is Installation.FAILED:
                    log.warning("job_types.not_installed", name=kind.name, reason=outcome.detail)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _install(self, actor: Actor, kind: JobType) -> Installed:
        existing = self._job(actor, kind.name)
        if existing is not None:
            return Installed(name=kind.name, result=Installation.EXISTS, job_id=existing.id)
        missing = self._missing(kind)
        if missing:
            return Installed(name=kind.name, result=Installation.FAILED, detail=missing)
        try:
            if kind.service:
                address = self._settings.service_address(kind.service)
                self._services.ensure(actor, kind.service, address, trusted=address is not None)
            job, _ = self._registry.create(actor, kind.definition())
        except DuplicateName:  # another process has just made it, or the job is of a group that the actor does not see
            return Installed(name=kind.name, result=Installation.EXISTS)
        except ValidationFailed as failed:
            return Installed(name=kind.name, result=Installation.FAILED, detail=_in_words(failed.errors))
        except JobwrightError as error:
            return Installed(name=kind.name, result=Installation.FAILED, detail=error.detail)
        return Installed(name=kind.name, result=Installation.CREATED, job_id=job.id)

    def _job(self, actor: Actor, name: str) -> Job | None:
        jobs, _ = self._directory.part(actor, JobFilter(name=name), skip=0, limit=1)
        return jobs[0] if jobs else None

    def _missing(self, kind: JobType) -> str:
        if not kind.service:
            if self._connections.defaults({DATABASE_KIND}):
                return ""
            return say("Create a MongoDB connection with the name {name} first.", name=DEFAULT)
        if self._settings.service_address(kind.service) or kind.service in self._connections.options("service"):
            return ""
        return say(
            "Set {variable} to the address of the service, or create the connection {name}.", variable=kind.variable, name=kind.service
        )


def _in_words(errors: Sequence[FieldError]) -> str:
    return joined([joined((error.pointer.strip("/"), error.message), " ") if error.pointer else error.message for error in errors], "; ")
