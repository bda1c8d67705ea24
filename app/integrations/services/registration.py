"""Registrations and manifests of services: read, checked as a whole, and written as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.accounts.permissions import May, lacks, require, sees_group
from app.audit.model import Actor
from app.clock import Clock
from app.config import Settings
from app.connections.services import NewKey, ServiceConnections
from app.errors import Conflict, DuplicateName, FieldError, Forbidden, PreconditionFailed, TooEarly, ValidationFailed
from app.integrations.services.declaration import (
    MANIFESTS,
    MOST_JOBS,
    SERVICE_NAMES,
    Declaration,
    digest_of,
    in_declaration,
    parameters_of,
    read_manifest_job,
    read_registration,
    repeated,
    schedule_of,
    service_named_in,
    tags_of,
    unseen_in,
)
from app.integrations.services.model import Applying, Manifest, OnStale, Service
from app.integrations.services.store import ServiceStore
from app.jobs.reading import complete_definition
from app.jobs.registration import Applied, Declared, Registrations
from app.jobs.rules import ScheduleRules
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion, with_defaults
from app.validation.dynamic import Known
from app.validation.names import normal
from app.validation.pointer import escape
from app.validation.together import beside, sound
from templates_lib import calls
from templates_lib.messages import say

TEMPLATE = "service_job"  # the template of all registered jobs
# A registration that changes nothing is noted as a sign of life at most this often, or four times in the service's time to live.
LIFE_STEP = timedelta(hours=1)
LIVES_PER_TTL = 4
GIVEN_UP_AFTER = timedelta(seconds=60)  # a manifest that takes longer to write is taken for interrupted, and another one may begin
_HELD_BACK = say("runs as before until a super-admin agrees on the page of the job, because a job that depends on it can destroy data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a registration or a manifest has done with the jobs of one service. `key` is the signing key of a new service. `manifest` is
    None for a registration."""

    service: str
    applied: Applied
    key: NewKey | None = None
    manifest: Manifest | None = None
    warnings: tuple[FieldError, ...] = ()


class ServiceRegistration:
    """Takes what services send about their jobs."""

    def __init__(
        self,
        *,
        store: ServiceStore,
        jobs: Registrations,
        connections: ServiceConnections,
        catalogue: Catalogue,
        rules: ScheduleRules,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._store, self._jobs, self._connections, self._catalogue = store, jobs, connections, catalogue
        self._rules, self._clock, self._settings = rules, clock, settings

    def register(self, actor: Actor, body: Any) -> list[Outcome]:
        """Takes one registration or a list of them, and returns an outcome for each service. Jobs that are registered as before are not
        written.

        Raises ValidationFailed with all errors, in a list at `/index/member`; DuplicateName for names that others have; Forbidden,
        LimitReached, Conflict.
        """
        require(actor, May.REGISTER_JOBS)
        bodies = body if isinstance(body, list) else [body]
        if len(bodies) > MOST_JOBS:
            raise ValidationFailed([FieldError("", say("must have at most {most} jobs", most=MOST_JOBS))])
        prefixes = [f"/{index}" if isinstance(body, list) else "" for index in range(len(bodies))]
        digests = [digest_of(item, may_enable=_may_enable(actor)) for item in bodies]
        same = self._registered_before(bodies, digests)
        fresh = [index for index in range(len(bodies)) if index not in same]
        read, declared, errors = self._read_list(actor, bodies, fresh, prefixes, digests)
        if errors:
            raise ValidationFailed(errors)
        by_service = _grouped(read)
        for service, indexes in by_service.items():
            self._refuse_foreign(actor, service, {read[index].name: prefixes[index] for index in indexes})
        unchanged = dict[str, list[str]]()
        for index in same:
            unchanged.setdefault(str(service_named_in(bodies[index])), []).append(bodies[index]["name"])
        for known in self._store.of(unchanged).values():
            self._refuse_other_owner(actor, known)
        outcomes = []
        for service in dict.fromkeys([*by_service, *unchanged]):
            indexes = by_service.get(service, [])
            outcome = self._write(actor, service, [read[index] for index in indexes], [declared[index] for index in indexes])
            warnings = tuple(error for index in indexes for error in _warnings(read[index], prefixes[index], outcome.applied))
            kept = Applied(unchanged=tuple(unchanged.get(service, ())))
            outcomes.append(replace(outcome, applied=outcome.applied + kept, warnings=warnings))
        return outcomes

    def put_manifest(self, actor: Actor, service: str, body: Any, *, if_match: str | None = None) -> Outcome:
        """Takes the complete set of a service's jobs. Those that it does not declare any more are retired. An identical manifest writes
        nothing.

        `if_match` is the ETag that the caller expects. Raises as `register`, and StaleManifest if the service has another ETag.
        """
        require(actor, May.REGISTER_JOBS)
        known, now = self._store.get(service), self._clock.now()
        present = known.manifest if known is not None else None
        if known is not None:
            self._refuse_other_owner(actor, known)
        if if_match is not None and (present is None or present.etag != if_match):
            raise StaleManifest(present.etag if present else "")
        digest = digest_of(body, may_enable=_may_enable(actor))
        if known is not None and present is not None and present.digest == digest and known.applying is None:
            names = tuple(sorted(job["name"] for job in body["jobs"]))
            if self._has_all(service, names):
                self._note_life(known)
                return Outcome(service=service, applied=Applied(unchanged=names), manifest=present)
        read, declared, errors = self._read_manifest(actor, service, body)
        if errors:
            raise ValidationFailed(errors)
        self._refuse_foreign(actor, service, {item.name: f"/jobs/{index}" for index, item in enumerate(read)})
        address, display_name = body.get("address"), normal(body["displayName"]) if "displayName" in body else None
        key = self._ensure(actor, service, read, address=address.rstrip("/") if address else None, display_name=display_name)
        applying = Applying(digest=digest, at=now)
        if not self._store.begin_manifest(service, applying, given_up=now - GIVEN_UP_AFTER):
            raise TooEarly(say("Another manifest of the service {service} is being applied. Send this one again.", service=service))
        outcome = self._apply(actor, service, known, declared, key=key, display_name=display_name)
        declares = {item.name for item in declared}
        gone = [job for job in self._jobs.of_service(service) if job.definition.name not in declares]
        applied = outcome.applied + self._jobs.retire(actor, service, gone)
        manifest = Manifest(version=body["version"], digest=digest, etag=digest[:32], at=now)
        on_stale = OnStale(body.get("onStale", OnStale.CONTINUE))
        if not self._store.note_manifest(service, manifest, ttl_seconds=body.get("ttlSeconds"), on_stale=on_stale, by=actor.email):
            latest = self._store.get(service)
            if latest is None or latest.manifest is None or latest.manifest.digest != digest:
                self._store.doubt_manifest(service, applying)
                raise Conflict("Another manifest of this service was sent at the same time. Send this one again if it is the newer one.")
        warnings = tuple(error for index, item in enumerate(read) for error in _warnings(item, f"/jobs/{index}", applied))
        return replace(outcome, applied=applied, manifest=manifest, warnings=warnings)

    # -- reading --------------------------------------------------------------------------------------------------

    def _registered_before(self, bodies: Sequence[Any], digests: Sequence[str]) -> set[int]:
        """Returns the indexes of registrations that are the same as those that were written last."""
        names = {
            index: body["name"] for index, body in enumerate(bodies) if isinstance(body, Mapping) and isinstance(body.get("name"), str)
        }
        stored = self._jobs.digests([*names.values()]) if names else {}
        return {index for index, name in names.items() if stored.get(name) == (service_named_in(bodies[index]), digests[index])}

    def _has_all(self, service: str, names: Sequence[str]) -> bool:
        """Returns whether all jobs of an unchanged manifest are in the registry. Those that a person has deleted or that the service has
        answered 410 for are not, and return as the manifest declares them."""
        present = {name for name, (owner, digest) in self._jobs.digests(names).items() if owner == service and digest}
        return present.issuperset(names)

    def _read_list(
        self, actor: Actor, bodies: Sequence[Any], fresh: Sequence[int], prefixes: Sequence[str], digests: Sequence[str]
    ) -> tuple[dict[int, Declaration], dict[int, Declared], list[FieldError]]:
        """Returns the declarations and the jobs of the registrations at the indexes `fresh`, with the errors of the whole list."""
        read, declared, errors = dict[int, Declaration](), dict[int, Declared](), list[FieldError]()
        for index in fresh:
            declaration, wrong = read_registration(bodies[index])
            errors += [error.below(prefixes[index]) for error in wrong]
            if declaration is not None:
                read[index] = declaration
        errors += repeated(bodies, prefixes)
        for index, declaration in read.items():
            job, wrong = self._declared(actor, declaration, digests[index])
            errors += [error.below(prefixes[index]) for error in wrong]
            declared |= {} if job is None else {index: job}
        for service, indexes in _grouped(read).items():
            errors += self._address_errors(actor, service, [(read[index], prefixes[index]) for index in indexes])
        return read, declared, errors

    def _read_manifest(self, actor: Actor, service: str, body: Any) -> tuple[list[Declaration], list[Declared], list[FieldError]]:
        errors = beside(MANIFESTS.errors(body), unseen_in(body, "version", "displayName"))
        errors += [FieldError("", error.message) for error in SERVICE_NAMES.errors(service)]
        bodies = sound(body, errors).get("jobs", [])
        prefixes = [f"/jobs/{index}" for index in range(len(bodies))]
        read, declared = list[Declaration](), list[Declared]()
        for prefix, item in zip(prefixes, bodies, strict=True):
            declaration, wrong = read_manifest_job(service, item)
            if declaration is not None:
                read.append(declaration)
                job, wrong = self._declared(actor, declaration, digest_of(item, may_enable=_may_enable(actor)))
                declared += [] if job is None else [job]
            errors += [error.below(prefix) for error in wrong]
        errors += repeated(bodies, prefixes)
        address = sound(body, errors).get("address")
        words = calls.address_problem(address) if address else None
        if words is None and not errors:
            words = self._address_problem(actor, service, address)
        return read, declared, [*errors, *([] if words is None else [FieldError("/address", words)])]

    def _declared(self, actor: Actor, item: Declaration, digest: str) -> tuple[Declared | None, list[FieldError]]:
        """Returns a job as it is stored, or its errors."""
        entry, body = self._template(), item.body
        policy = {
            name: body[sent] for sent, name in (("maxRetries", "max_retries"), ("retryDelaySeconds", "retry_delay_seconds")) if sent in body
        }
        tags, wrong = tags_of(body)
        reading = complete_definition(
            {
                "name": item.name,
                "description": body.get("description", ""),
                "template_type": TEMPLATE,
                "schedule": schedule_of(body, self._settings.timezone),
                "retry_policy": policy,
                **({"timeout_seconds": body["timeoutSeconds"]} if "timeoutSeconds" in body else {}),
                **{name: body[name] for name in ("priority", "group", "needs") if name in body},
                "tags": tags,
                "enabled": False,
            },
            self._settings,
        )
        definition = replace(reading.definition, parameters=with_defaults(entry.parameters_schema, parameters_of(item)))
        now = self._clock.now()
        more = [*wrong, *self._rules.check(definition.schedule, now)]
        more += [error.below("/parameters") for error in entry.check_ahead(definition.parameters, Known(now=now, sample=True))]
        if not sees_group(actor, definition.group):
            more.append(FieldError("/group", say("must be one of your groups: {known}", known=", ".join(sorted(actor.groups or ())))))
        errors = [FieldError(in_declaration(error.pointer), error.message) for error in reading.and_also(more)]
        if errors:
            return None, errors
        return Declared(
            definition=definition,
            enabled=_enabled(actor, body),
            display_name=normal(body.get("displayName", "")),
            job_type=normal(body.get("jobType", "")),
            digest=digest,
        ), []

    def _template(self) -> TemplateVersion:
        entry = self._catalogue.find(TEMPLATE)
        if entry is None:
            raise Conflict(say("This installation has no template {kind!r}, so no service can register jobs", kind=TEMPLATE))
        return entry

    # -- checking -------------------------------------------------------------------------------------------------

    def _refuse_foreign(self, actor: Actor, service: str, names: Mapping[str, str]) -> None:
        """Raises Forbidden for the service of another account; DuplicateName, with an error for each, if others have names of `names` (with
        the pointers of their jobs)."""
        known = self._store.get(service)
        if known is not None:
            self._refuse_other_owner(actor, known)
        owners = self._jobs.owners(service, list(names))
        if owners:
            first = next(iter(owners))
            raise DuplicateName(first, [FieldError(f"{names[name]}/name", words) for name, words in owners.items()])

    @staticmethod
    def _refuse_other_owner(actor: Actor, service: Service) -> None:
        if service.created_by != actor.email and lacks(actor, May.MANAGE_SERVICES) is not None:
            raise Forbidden(
                say(
                    "The service {service} belongs to the account {owner}. A super-admin can hand it over.",
                    service=service.name,
                    owner=service.created_by,
                )
            )

    def _address_errors(self, actor: Actor, service: str, declarations: Iterable[tuple[Declaration, str]]) -> list[FieldError]:
        """Returns what is wrong with the address of a service: its jobs name different ones, none is known, or its connection forbids
        it."""
        named = [(item.address, f"{prefix}{item.address_at}") for item, prefix in declarations if item.address is not None]
        first = named[0][0] if named else None
        for address, pointer in named:
            if address != first:
                return [
                    FieldError(
                        pointer,
                        say("must be the same for all jobs of the service {service}: {address}", service=service, address=first or ""),
                    )
                ]
        words = self._address_problem(actor, service, first)
        if words is None:
            return []
        pointer = named[0][1] if named else f"{next(prefix for _, prefix in declarations)}/serviceUrl"
        return [FieldError(pointer, words)]

    def _address_problem(self, actor: Actor, service: str, address: str | None) -> str | None:
        set_by_operator = self._settings.service_address(service)
        if address is None and set_by_operator is None:
            if self._connections.find(service) is not None:
                return None
            return say(
                "is required, because Jobwright does not know the address of this service. An operator can also set {variable}",
                variable=f"{service.upper().replace('-', '_').removesuffix('_SERVICE')}_SERVICE_URL",
            )
        wanted = address or set_by_operator or ""
        is_new = lacks(actor, May.MANAGE_SERVICES) is not None and self._store.get(service) is None
        return self._connections.address_error(
            service, wanted, trusted=wanted == set_by_operator, new_owner=actor.email if is_new else None
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def _write(self, actor: Actor, service: str, read: Sequence[Declaration], declared: Sequence[Declared]) -> Outcome:
        """Writes the jobs of a registration."""
        known = self._store.get(service)
        fixed = self._settings.service_address(service)
        key = self._ensure(actor, service, read) if declared or known is None or fixed is not None else None
        return self._apply(actor, service, known, declared, key=key)

    def _ensure(
        self, actor: Actor, service: str, read: Sequence[Declaration], *, address: str | None = None, display_name: str | None = None
    ) -> NewKey | None:
        """Makes the records of a service that is new, and gives its connection the address. Returns the signing key of a new connection."""
        address = address or next((item.address for item in read if item.address), None) or self._settings.service_address(service)
        key = self._connections.ensure(actor, service, address, trusted=address == self._settings.service_address(service))
        if self._store.get(service) is None:
            now = self._clock.now()
            fresh = Service(
                name=service,
                display_name=display_name or "",
                seen_at=now,
                created_by=actor.email,
                created_at=now,
                updated_by=actor.email,
                updated_at=now,
            )
            if not self._store.add(fresh):  # another process was quicker, perhaps for another account
                self._refuse_foreign(actor, service, {})
        return key

    def _apply(
        self,
        actor: Actor,
        service: str,
        known: Service | None,
        declared: Sequence[Declared],
        *,
        key: NewKey | None,
        display_name: str | None = None,
    ) -> Outcome:
        """Writes the jobs of a service, and notes that it was heard of. `known` is its record as it was before, None for a new one."""
        applied = self._jobs.apply(actor, service, declared)
        if known is not None and applied.changes_nothing and display_name in (None, known.display_name):
            self._note_life(known)
        elif known is not None:
            self._store.note_change(service, by=actor.email, at=self._clock.now(), display_name=display_name)
        return Outcome(service=service, applied=applied, key=key)

    def _note_life(self, service: Service) -> None:
        """Notes that a service was heard of, unless that was noted a short time ago."""
        step = min(LIFE_STEP, timedelta(seconds=service.ttl_seconds / LIVES_PER_TTL)) if service.ttl_seconds else LIFE_STEP
        now = self._clock.now()
        if now - service.seen_at >= step or service.stale_since is not None:
            self._store.note_life(service.name, now)


class StaleManifest(PreconditionFailed):
    """If-Match named another manifest."""

    def __init__(self, etag: str) -> None:
        super().__init__(say("The service has another manifest now: its ETag is {etag!r}. Read it, and send the newer one.", etag=etag))


def _may_enable(actor: Actor) -> bool:
    return lacks(actor, May.ENABLE_REGISTERED) is None


def _enabled(actor: Actor, body: Mapping[str, Any]) -> bool | None:
    """Returns whether a declaration wants the job on; None to leave that as it is, because it says nothing or its wish does not count."""
    wanted = body.get("enabled")
    if wanted is True:
        return True if _may_enable(actor) else None
    return wanted if wanted is None else False


def _grouped(read: Mapping[int, Declaration]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index, item in read.items():
        groups.setdefault(item.service, []).append(index)
    return groups


def _warnings(item: Declaration, prefix: str, applied: Applied) -> list[FieldError]:
    """Returns what the answer says about a job that was taken all the same."""
    warnings = [FieldError(f"{prefix}/{escape(name)}", "is not a known member and was ignored") for name in item.unknown]
    return [*warnings, FieldError(prefix, _HELD_BACK)] if item.name in applied.held else warnings
