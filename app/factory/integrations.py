"""The stage of other programs: services that register jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.connections.services import ServiceConnections
from app.connections.vault import Vault
from app.factory.executions import Executions
from app.factory.ground import Ground
from app.factory.handlers import owing
from app.factory.jobs import Jobs
from app.factory.templates import Materials
from app.integrations.callbacks.reports import Callbacks
from app.integrations.callbacks.tokens import CallbackTokens
from app.integrations.job_types.service import JobTypes
from app.integrations.nats.command_connection import CommandConnection
from app.integrations.services.registration import ServiceRegistration
from app.integrations.services.service import RegisteredServices
from app.jobs.registration import Records, Registrations
from app.node.finisher import Finisher
from app.queue.claims import Claimer, Claims
from app.queue.updates import CALLBACK_OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrations:
    """What other programs and Jobwright do with each other."""

    registered: RegisteredServices
    registration: ServiceRegistration
    registrations: Registrations
    callbacks: Callbacks
    job_types: JobTypes
    command_connection: CommandConnection


def build_integrations(ground: Ground, materials: Materials, jobs: Jobs, executions: Executions) -> Integrations:
    """Build the stage."""
    stores, settings, audit, clock = ground.stores, ground.settings, ground.audit, ground.clock
    connections = ServiceConnections(stores.connections, Vault(ground.keys), audit, clock, private_hosts=settings.allowed_hosts)
    registrations = Registrations(
        store=stores.jobs,
        registry=jobs.services.registry,
        catalogue=materials.catalogue,
        dependencies=jobs.dependencies,
        gate=jobs.services.gate,
        rules=materials.triggers,
        forget=executions.services.runs.forget_job,
        records=Records(audit=audit, events=ground.events),
        clock=clock,
        settings=settings,
    )
    return Integrations(
        job_types=JobTypes(
            registry=jobs.services.registry,
            directory=jobs.services.directory,
            connections=materials.connections,
            service_connections=connections,
            settings=settings,
        ),
        command_connection=CommandConnection(materials.connections, settings),
        registered=RegisteredServices(
            store=stores.services,
            endpoints=stores.endpoints,
            jobs=registrations,
            connections=connections,
            pausing=jobs.pausing,
            account_exists=lambda email: stores.users.by_email(email) is not None,
            audit=audit,
            clock=clock,
        ),
        registration=ServiceRegistration(
            store=stores.services,
            jobs=registrations,
            connections=connections,
            catalogue=materials.catalogue,
            rules=materials.triggers,
            clock=clock,
            settings=settings,
        ),
        registrations=registrations,
        callbacks=_callbacks(ground, materials),
    )


def _callbacks(ground: Ground, materials: Materials) -> Callbacks:
    """The reports of services end attempts on any node, and in a process without an engine."""
    stores = ground.stores
    finisher = Finisher(
        store=stores.claims,
        claims=Claims(stores.claims, stores.start_limits, Claimer(owner=CALLBACK_OWNER, host="", lease=timedelta())),
        owing=owing(ground.settings),
        jobs=stores.dispatch,
        clock=ground.clock,
        written=ground.queued,
        owed=ground.owed,
    )
    return Callbacks(
        tokens=CallbackTokens(ground.keys),
        deferrals=stores.deferrals,
        logs=stores.logs,
        ends=finisher,
        connections=materials.connections,
        catalogue=materials.catalogue,
        clock=ground.clock,
        settings=ground.settings,
    )
