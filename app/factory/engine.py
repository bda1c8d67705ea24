"""The engine of one process: what claims, runs, records and sweeps, and what carries out what ends owe."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from app.broker.inspection import BrokerLooks
from app.config import Settings
from app.connections.probes import Probes
from app.connections.vault import Vault
from app.execution.retention import Retention
from app.executors.base import Executor
from app.executors.local.executor import LocalExecutor
from app.factory.alert_upkeep import build_alert_upkeep
from app.factory.broker import build_hearing, build_releasing
from app.factory.bus import build_bus
from app.factory.database import Store
from app.factory.digests import build_digest_sender
from app.factory.handlers import carriers, owing
from app.factory.metrics import build_end_counter
from app.factory.monitor import build_watch
from app.factory.notifications import build_sender
from app.factory.quiet import build_quieting
from app.factory.stores import Stores
from app.integrations.callbacks.breakers import Breakers
from app.integrations.callbacks.router import ServiceRouter
from app.integrations.callbacks.tokens import CallbackTokens
from app.jobtemplates.parameters import ParameterPipeline
from app.node.deferred import DeferredWatch
from app.node.finisher import Finisher
from app.node.node import Node, Parts
from app.node.planning import PlanningParts
from app.node.preparation import Preparation
from app.node.recorder import Recorder
from app.node.routing import Router, Routing
from app.node.runner import Runner
from app.node.running import RunningParts
from app.node.sweeper import Sweeper
from app.node.work_source import PollSource, PushedSource
from app.queue.claims import Claimer, Claims
from app.queue.model import Attempt
from app.queue.slots import RunBounds
from app.scheduling.dispatcher import Dispatcher
from app.services import Services
from app.signals import Signal


def launch_executor(settings: Settings) -> LocalExecutor:
    """An executor whose zygote imports the templates while the database comes up."""
    executor = LocalExecutor(settings)
    executor.launch()
    return executor


def build_node(settings: Settings, store: Store, services: Services, executor: Executor | None, *, routes: tuple[str, ...] = ()) -> Node:
    """The engine of this process, not started. It runs jobs if it has an executor. With `routes` it is a worker that does nothing else, and
    is told by Celery what to run."""
    owes, clock, name, written = owing(settings), services.clock, _owner(), Signal()
    stores = Stores.over(store.database, owes)
    claims = Claims(stores.claims, stores.start_limits, _claimer(settings, name))
    finisher = Finisher(
        store=stores.claims, claims=claims, owing=owes, jobs=stores.dispatch, clock=clock, written=written, owed=services.owed
    )
    running = None
    if executor is not None:
        running = _running(settings, stores, services, executor, claims=claims, finisher=finisher, name=name, routes=routes)
    held = running.runner.held if running is not None else dict[str, Attempt]
    parts = Parts(
        name=name,
        nodes=stores.nodes,
        queued=services.queued,
        written=written,
        planning=None if routes else _planning(settings, stores, services, finisher=finisher, held=held),
        running=running,
    )
    return Node(parts, clock=clock, settings=settings)


def _planning(
    settings: Settings, stores: Stores, services: Services, *, finisher: Finisher, held: Callable[[], Mapping[str, Attempt]]
) -> PlanningParts:
    clock, bus = services.clock, build_bus(settings, services)
    probe_every = timedelta(seconds=settings.probe_seconds)
    return PlanningParts(
        dispatcher=_dispatcher(stores, services),
        sweeper=Sweeper(store=stores.claims, finisher=finisher, held=held, clock=clock, lease_seconds=settings.lease_seconds),
        deferred=DeferredWatch(store=stores.deferrals, finisher=finisher, clock=clock),
        carriers=carriers(settings, stores, services, bus),
        bus=bus,
        events=services.events,
        retention=Retention(history=stores.history, logs=stores.logs, jobs=stores.dispatch, clock=clock, settings=settings),
        probes=Probes(services.connections, stores.health, clock, services.events, every=probe_every),
        maintenance=services.maintenance,
        resting=services.resting,
        services=services.registered,
        owed=services.owed,
        requested=stores.queue.requested,
        count_ends=build_end_counter(stores, clock).tick,
        hand_overs=services.hand_overs.settle,
        releasing=build_releasing(settings, stores, services),
        sender=build_sender(stores, services),
        quieting=build_quieting(settings, stores, services),
        told=services.told,
        digests=build_digest_sender(settings, stores, services),
        watch=build_watch(settings, stores, services),
        alerts=build_alert_upkeep(stores, services),
    )


def _running(
    settings: Settings,
    stores: Stores,
    services: Services,
    executor: Executor,
    *,
    claims: Claims,
    finisher: Finisher,
    name: str,
    routes: tuple[str, ...],
) -> RunningParts:
    clock, router = services.clock, _router(settings, stores, services)
    pushed = PushedSource(claims, clock, without=router.held_up) if routes else None
    recorder = Recorder(stores.claims, stores.logs, finisher, clock)
    runner = Runner(
        source=pushed or PollSource(claims, clock, without=router.held_up),
        store=stores.claims,
        preparation=_preparation(settings, stores, services, router),
        executor=executor,
        sink=recorder,
        retired=stores.dispatch.retired,
        clock=clock,
        owner=name,
        lease_seconds=settings.lease_seconds,
    )
    return RunningParts(
        runner=runner,
        executor=executor,
        recorder=recorder,
        router=router,
        switch=stores.maintenance,
        nodes=stores.nodes,
        templates_in_use=stores.dispatch.templates_in_use,
        source=pushed,
        hearing=build_hearing(settings, stores, pushed, runner, name=name, routes=routes, clock=clock) if pushed else None,
    )


def with_engine(services: Services, node: Node) -> Services:
    """The services of a process that also runs the engine."""
    bus = node.planning.parts.bus if node.planning is not None else None
    settings = services.settings
    return replace(
        services,
        engine_age=node.tick_age,
        node=node.state,
        bus=bus.state if bus is not None else services.bus,
        broker=BrokerLooks(settings.celery_broker_url).begin if settings.by_celery else services.broker,
    )


def _claimer(settings: Settings, name: str) -> Claimer:
    lease = timedelta(seconds=settings.lease_seconds)
    return Claimer(
        owner=name, host=socket.gethostname(), lease=lease, bounds=RunBounds.from_settings(settings), labels=settings.node_labels
    )


def _router(settings: Settings, stores: Stores, services: Services) -> Router:

    def retire(job_id: str) -> None:
        job = stores.jobs.get(job_id)
        if job is not None and job.registered is not None:
            services.registered.handler_gone(job)

    return ServiceRouter(
        find=stores.services.get,
        breakers=Breakers(stores.endpoints, services.clock),
        retire=retire,
        clock=services.clock,
        share=settings.pool_size // 2,
        note=lambda seconds, result: services.metrics.measures.time("jobwright_callback_seconds", seconds, result),
        traces=services.traces,
    )


def _preparation(settings: Settings, stores: Stores, services: Services, router: Router) -> Preparation:
    tokens, base = CallbackTokens(services.keys), settings.public_url.rstrip("/")

    def grace_of(job_id: str) -> float:
        job = stores.jobs.get(job_id)
        return job.definition.misfire.grace_seconds if job else 0.0

    def report_address(attempt: Attempt) -> str:
        return f"{base}/api/callbacks/{tokens.make(attempt)}" if base else ""

    return Preparation(
        catalogue=services.catalogue,
        pipeline=ParameterPipeline(services.connections, Vault(services.keys)),
        history=stores.history,
        claims=stores.claims,
        routing=Routing(router, services.clock, grace_of=grace_of, report_address=report_address),
        settings=settings,
        traces=services.traces,
    )


def _dispatcher(stores: Stores, services: Services) -> Dispatcher:
    return Dispatcher(
        jobs=stores.dispatch,
        queue=stores.queue,
        shadows=stores.shadows,
        triggers=services.triggers,
        clock=services.clock,
        events=services.events,
        starts=stores.start_limits,
        maintenance=services.maintenance.reason,
        rests=services.resting.rests,
    )


def _owner() -> str:
    """Unlike any other worker's name, also on machines with the same host name and process ids."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
