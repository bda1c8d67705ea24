"""Registered services, for the people who look after them and for the instances that report that they are online."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.accounts.permissions import May, lacks, require, sees_group
from app.audit.model import SYSTEM, Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.services import NewKey, ServiceConnections
from app.errors import FieldError, Forbidden, JobwrightError, NotFound, ValidationFailed
from app.events import get_logger
from app.integrations.callbacks.breaker import Circuit
from app.integrations.callbacks.endpoint import Endpoint
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.integrations.services.declaration import HEARTBEATS, unseen_in
from app.integrations.services.model import INSTANCE_SECONDS, Instance, InstanceState, OnStale, Service
from app.integrations.services.store import ServiceStore
from app.jobs.model import Job
from app.jobs.pausing import Pausing
from app.jobs.registered import drift
from app.jobs.registration import Registrations
from app.mongo import Document
from app.paging import Page
from app.validation.together import beside
from templates_lib import calls
from templates_lib.messages import say

log = get_logger(__name__)

ENDPOINTS_KEPT = timedelta(days=14)  # since the last call; longer than a week, so that weekly jobs show theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A service with what is shown about it: its connection (secrets masked; None if it is gone), its jobs that the actor sees, and the
    endpoints that were called for it, with their circuit breakers and last calls."""

    service: Service
    connection: Document | None
    jobs: tuple[Job, ...]
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def tripped(self) -> list[Endpoint]:
        """The endpoints that get no calls, or only a probe, because calls failed."""
        return [endpoint for endpoint in self.endpoints if endpoint.breaker.circuit is not Circuit.CLOSED]

    @property
    def drifted(self) -> list[Job]:
        """The jobs of which the code and an admin want different things."""
        return [job for job in self.jobs if job.registered and drift(job.registered.declared, job.registered.overrides)]


class RegisteredServices:
    """Lists services, takes heartbeats, rotates keys, and notices services that are silent."""

    def __init__(
        self,
        *,
        store: ServiceStore,
        endpoints: EndpointStore,
        jobs: Registrations,
        connections: ServiceConnections,
        pausing: Pausing,
        account_exists: Callable[[str], bool],
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._store, self._endpoints, self._jobs, self._connections, self._pausing = store, endpoints, jobs, connections, pausing
        self._account_exists, self._audit, self._clock = account_exists, audit, clock

    # -- looking --------------------------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[Overview]:
        """Returns every service, by name. Raises Forbidden."""
        require(actor, May.SEE_SERVICES)
        return self._overviews(actor, self._store.all())

    def page(self, actor: Actor, *, page: int, limit: int) -> Page[Overview]:
        """Returns one page of all services, by name. Raises Forbidden."""
        require(actor, May.SEE_SERVICES)
        cut = Page.cut(self._store.all(), page=page, limit=limit)
        return Page.of(self._overviews(actor, cut.items), total=cut.total, page=cut.page, limit=limit)

    def get(self, actor: Actor, name: str) -> Overview:
        """Returns one service. Raises NotFound, Forbidden."""
        require(actor, May.SEE_SERVICES)
        return self._overviews(actor, [self._known(name)])[0]

    # -- at the word of a service ---------------------------------------------------------------------------------

    def heartbeat(self, actor: Actor, name: str, body: Any) -> Service:
        """Takes the heartbeat of an instance and returns the service. Raises NotFound for an unknown service, which must register first;
        ValidationFailed; Forbidden."""
        require(actor, May.REGISTER_JOBS)
        errors = beside(HEARTBEATS.errors(body), unseen_in(body, "instance", "version"))
        if errors:
            raise ValidationFailed(errors)
        service = self._known(name)
        if service.created_by != actor.email and lacks(actor, May.MANAGE_SERVICES) is not None:
            raise Forbidden(say("The service {service} belongs to the account {owner}", service=name, owner=service.created_by))
        if body.get("state") == "stopped":
            self._store.leave(name, body["instance"])
            return self._known(name)
        address = body.get("address", "").rstrip("/")
        words = calls.address_problem(address) or self._connections.address_error(name, address, trusted=False) if address else None
        if words is not None:
            raise ValidationFailed([FieldError("/address", words)])
        before = next((item for item in service.instances if item.id == body["instance"]), None)
        jobs = body.get("jobs")
        if jobs is None:
            jobs = before.jobs if before else [job.definition.name for job in self._jobs.of_service(name)]
        instance = Instance(
            id=body["instance"],
            version=body.get("version", ""),
            address=address,
            state=InstanceState(body.get("state", InstanceState.READY)),
            jobs=tuple(jobs),
            running=body.get("running", 0),
            ttl_seconds=service.ttl_seconds or INSTANCE_SECONDS,
            seen_at=self._clock.now(),
        )
        if not self._store.beat(name, instance):
            raise NotFound("service", name)
        return service

    def handler_gone(self, job: Job) -> None:
        """Retires a job whose service has answered that it has no such job any more (410)."""
        if job.registered is not None:
            self._jobs.retire(replace(SYSTEM, email=f"service {job.registered.service}"), job.registered.service, [job])

    # -- at the word of a person ----------------------------------------------------------------------------------

    def rotate_key(self, actor: Actor, name: str) -> NewKey:
        """Adds a signing key, and returns it. The key before it stays valid until the next rotation. Raises NotFound, Forbidden."""
        require(actor, May.MANAGE_SERVICES)
        self._known(name)
        return self._connections.rotate(actor, name)

    def retire_old_key(self, actor: Actor, name: str) -> None:
        """Makes the newest signing key the only one. Raises NotFound, Forbidden."""
        require(actor, May.MANAGE_SERVICES)
        self._known(name)
        self._connections.retire_old_key(actor, name)

    def hand_over(self, actor: Actor, name: str, owner: str) -> None:
        """Gives a service to another account, whose tokens may register its jobs from now on. Raises ValidationFailed,
        NotFound."""
        require(actor, May.MANAGE_SERVICES)
        service = self._known(name)
        if not self._account_exists(owner):
            raise ValidationFailed([FieldError("/owner", say("is not the e-mail address of an account: {owner!r}", owner=owner))])
        diff = [{"field": "/owner", "before": service.created_by, "after": owner}]
        with self._audit.action(actor, "service.hand_over", kind="service", target_id=name, name=name, diff=diff):
            self._store.hand_over(name, owner=owner, by=actor.email, at=self._clock.now())

    def remove(self, actor: Actor, name: str) -> list[str]:
        """Removes a service: its jobs are retired, and return if it registers them again. Its connection stays. Returns their names.
        Raises NotFound, Forbidden."""
        require(actor, May.MANAGE_SERVICES)
        self._known(name)
        with self._audit.action(actor, "service.delete", kind="service", target_id=name, name=name):
            retired = self._jobs.retire(actor, name, self._jobs.of_service(name)).retired
            self._store.remove(name)
            self._endpoints.forget(name)
        return list(retired)

    # -- at its turn ----------------------------------------------------------------------------------------------

    def look_for_silence(self) -> int:
        """Notes services that are silent for longer than their time to live, and pauses and resumes the jobs of those that ask for it.
        Returns how many services have changed. Forgets endpoints that nobody has called for long."""
        self._endpoints.forget_unused(self._clock.now() - ENDPOINTS_KEPT)
        return sum(self._look_at(service) for service in self._store.with_time_to_live() if not service.damaged)

    def _look_at(self, service: Service) -> bool:
        now = self._clock.now()
        if service.is_stale(now):
            noted = service.stale_since is None and self._store.note_stale(service, now)
            if noted:
                log.warning("service.stale", service=service.name, seconds=service.ttl_seconds)
            if service.on_stale is OnStale.PAUSE and not service.resting:
                self._pause(service)
                self._store.set_resting(service.name, resting=True)
            return noted
        if service.resting:
            self._resume(service)
            self._store.set_resting(service.name, resting=False)
            return True
        return False

    def _pause(self, service: Service) -> None:
        reason = say("The service {service} is silent", service=service.name)
        for job in self._jobs.of_service(service.name):
            if job.paused is None and job.starts_by_itself:
                self._try(service, job, lambda job: self._pausing.pause(_voice(service), job.id, {"reason": reason}, version=job.version))

    def _resume(self, service: Service) -> None:
        for job in self._jobs.of_service(service.name):
            if job.paused is not None and job.paused.by == _voice(service).email:
                self._try(service, job, lambda job: self._pausing.resume(_voice(service), job.id, version=job.version))

    @staticmethod
    def _try(service: Service, job: Job, change: Callable[[Job], Any]) -> None:
        """A job that somebody changes at the same moment stays as it is."""
        try:
            change(job)
        except JobwrightError as error:
            log.warning("service.not_paused", service=service.name, job=job.definition.name, reason=str(error)[:200])

    def _overviews(self, actor: Actor, services: Sequence[Service]) -> list[Overview]:
        """Returns what is shown about services. The number of queries does not depend on theirs."""
        names = [service.name for service in services]
        endpoints: defaultdict[str, list[Endpoint]] = defaultdict(list)
        for endpoint in self._endpoints.of_services(names):
            endpoints[endpoint.service].append(endpoint)
        connections, jobs = self._connections.find_all(names), self._jobs.of_services(names)
        return [
            self._overview(
                actor,
                service,
                connection=connections.get(service.name),
                jobs=[job for job in jobs.get(service.name, ()) if sees_group(actor, job.definition.group)],
                endpoints=endpoints[service.name],
            )
            for service in services
        ]

    def _overview(
        self, actor: Actor, service: Service, *, connection: Document | None, jobs: Sequence[Job], endpoints: Sequence[Endpoint]
    ) -> Overview:
        """`jobs` are those that the actor sees."""
        if actor.groups is not None:
            service = replace(
                service, instances=tuple(_for_jobs(item, {job.definition.name for job in jobs}) for item in service.instances)
            )
        return Overview(service=service, connection=connection, jobs=tuple(jobs), endpoints=tuple(self._shown(actor, endpoints, jobs)))

    @staticmethod
    def _shown(actor: Actor, endpoints: Sequence[Endpoint], jobs: Sequence[Job]) -> list[Endpoint]:
        """The endpoints, with the calls for jobs that the actor sees."""
        if actor.groups is None:
            return list(endpoints)
        names = {job.definition.name for job in jobs}
        return [replace(item, last_calls=tuple(call for call in item.last_calls if call.job_name in names)) for item in endpoints]

    def _known(self, name: str) -> Service:
        service = self._store.get(name)
        if service is None:
            raise NotFound("service", name)
        return service


def _for_jobs(instance: Instance, names: Collection[str]) -> Instance:
    """Returns an instance with those of its jobs that have these names."""
    return replace(instance, jobs=tuple(name for name in instance.jobs if name in names))


def _voice(service: Service) -> Actor:
    """Returns the actor of pauses that follow from the silence of a service."""
    return replace(SYSTEM, email=f"service {service.name}")
