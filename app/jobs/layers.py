"""What admins may change of a registered job, and what becomes of their changes (app.jobs.registered). All functions are pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from app.errors import FieldError, ValidationFailed
from app.jobs.model import Job, JobDefinition, definition_from, to_plain
from app.jobs.registered import LOCKED_FIELDS, Registered, effective, locked_changes, overridden
from templates_lib.messages import say


def refuse_locked(before: Job, wanted: JobDefinition) -> None:
    """Raises ValidationFailed, with an error at each field, if `wanted` changes what only the code of the job's service decides."""
    registered = before.registered
    if registered is None:
        return
    words = say("is declared by the service {service}. Change it in the code of the service", service=registered.service)
    errors = [FieldError(pointer, words) for pointer in locked_changes(to_plain(before.definition), to_plain(wanted))]
    if registered.retired_at is not None and wanted.enabled:
        retired = say("cannot be enabled, because the service {service} no longer declares this job", service=registered.service)
        errors.append(FieldError("/enabled", retired))
    if errors:
        raise ValidationFailed(errors)


def with_locked_of(before: Job, wanted: JobDefinition) -> JobDefinition:
    """Returns `wanted` with what the service of a registered job decides as it is now; `wanted` itself for any other job."""
    if before.registered is None:
        return wanted
    return replace(wanted, **{name: getattr(before.definition, name) for name in LOCKED_FIELDS})


def relayered(registered: Registered | None, definition: JobDefinition, *, by: str, at: datetime) -> Registered | None:
    """Returns what is stored about the registration of a job that gets a definition: the values that differ from the declared ones become
    overrides. None for a job that no service registers."""
    if registered is None:
        return None
    plain = to_plain(definition)
    declared = {**registered.declared, **{name: plain[name] for name in LOCKED_FIELDS}}
    if registered.retired_at is not None:
        plain["enabled"] = effective(declared, registered.overrides)["enabled"]  # a retired job is off, whatever was chosen before
    return replace(registered, declared=declared, overrides=overridden(declared, registered.overrides, plain, by=by, at=at))


def definition_of(registered: Registered) -> JobDefinition:
    """Returns the definition that applies to a registered job: a job that its service no longer declares is disabled."""
    definition = definition_from(effective(registered.declared, registered.overrides))
    return replace(definition, enabled=False) if registered.retired_at is not None else definition
