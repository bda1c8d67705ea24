"""Puts the house together: the one place that names concrete classes."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from pymongo import MongoClient
from pymongo.database import Database

from app.accounts import shape as account_shape
from app.accounts.auditors import Auditors
from app.accounts.model import Role
from app.accounts.passwords import Passwords
from app.accounts.preference_store import PreferenceStore
from app.accounts.preferences import Preferences
from app.accounts.rates import Rates
from app.accounts.second_factor import SecondFactor, SecondFactorSeal
from app.accounts.service import Accounts
from app.accounts.signin import SignIn
from app.accounts.single_signon import RoleRules, SingleSignOn
from app.accounts.store import SessionStore, TokenStore, UserStore
from app.accounts.throttle import Throttle
from app.accounts.tokens import Tokens
from app.approvals import store as approval_store
from app.approvals.service import Approvals
from app.approvals.store import ApprovalStore
from app.audit.service import AuditTrail
from app.audit.settings import SettingsTrail
from app.audit.store import AuditStore, SettingsStore
from app.bulk.service import Bulk
from app.clock import Clock, SystemClock
from app.config import Settings
from app.connections import store as connection_store
from app.connections.health_store import HealthStore
from app.connections.probes import Probes
from app.connections.resealing import Resealing
from app.connections.service import Connections
from app.connections.store import ConnectionStore
from app.connections.vault import Vault
from app.errors import StartError
from app.exchange.service import Exchange
from app.execution.day_store import DayStore
from app.execution.delivery import Deliveries
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore
from app.execution.overview import Overview
from app.execution.retention import Retention
from app.execution.service import Executions
from app.execution.store import ExecutionStore
from app.execution.verdict import Verdicts
from app.executors.base import Executor
from app.executors.local.executor import LocalExecutor
from app.jobs import shape as job_shape
from app.jobs.definitions import Definitions
from app.jobs.dependencies import Dependencies
from app.jobs.dependency_store import DependencyStore
from app.jobs.directory import JobDirectory
from app.jobs.dispatch_store import DispatchStore
from app.jobs.draft_store import DraftStore
from app.jobs.drafts import Drafts
from app.jobs.gate import ApprovalGate
from app.jobs.list_store import ListStore
from app.jobs.move_store import MoveStore
from app.jobs.moves import Moves
from app.jobs.note_store import NoteStore
from app.jobs.notes import Notes
from app.jobs.outlook import Outlook
from app.jobs.parameters import JobParameters
from app.jobs.pausing import Pausing
from app.jobs.registry_store import RegistryStore
from app.jobs.service import JobRegistry
from app.jobs.usage_store import UsageStore
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.parameters import ParameterPipeline
from app.jobtemplates.preset_store import PresetStore
from app.jobtemplates.presets import Presets
from app.jobtemplates.service import Templates
from app.jobtemplates.sharing import Sharing
from app.jobtemplates.store import TemplateStore
from app.keys import KeyRing, load_key
from app.local_mongod import LocalMongod
from app.migrations import Migrator
from app.mongo import OLDEST_MONGODB, Document, connect, open_database, store_errors
from app.node.node import Node
from app.node.recorder import Recorder
from app.node.runner import Runner
from app.notification.mail import MailNotifier
from app.premises import errors_name_settings, has_private_database, make_data_folder, require_registry
from app.queue import shape as execution_shape
from app.scheduling.backfill import Backfills
from app.scheduling.calendar_service import Calendars
from app.scheduling.calendar_store import CalendarStore
from app.scheduling.dependants import Dependants
from app.scheduling.dispatcher import Dispatcher, PassedDueTimes
from app.scheduling.forecast import Forecast
from app.scheduling.gathering_store import GatheringStore
from app.scheduling.maintenance import Maintenance
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.resting import RestingTemplates
from app.scheduling.triggers import Triggers
from app.sealing import Seal, SealedFields
from app.services import Services
from templates_lib.own import Own

if TYPE_CHECKING:
    from flask import Flask


@dataclass
class Store:
    """The database of this process, and the private mongod where one was started."""

    client: MongoClient[Document]
    database: Database[Document]
    mongod: LocalMongod | None

    def close(self) -> None:
        self.client.close()
        if self.mongod is not None:
            self.mongod.stop()


def open_store(settings: Settings, *, existing: bool = False) -> Store:
    """Connect, starting a private mongod where `MONGODB_URI` is unset. With `existing` nothing is made: there must be a registry.

    Raises StartError or ConfigError that says what to do.
    """
    with errors_name_settings(settings):
        mongod, uri = None, settings.mongodb_uri
        if not uri:
            if existing:
                require_registry(settings, there=has_private_database(settings))
            else:
                make_data_folder(settings.data_path)
            mongod = LocalMongod(settings.data_path)
            uri = mongod.start()
            mongod.keep_up()
        try:
            client = connect(uri)
        except BaseException:
            if mongod is not None:
                mongod.stop()
            raise
        try:
            store = Store(client, open_database(client, settings.database), mongod)
            _check_server(store)
            if existing:
                require_registry(settings, there=store.database["migrations"].find_one({}) is not None)
        except BaseException:
            client.close()
            if mongod is not None:
                mongod.stop()
            raise
    return store


def _check_server(store: Store) -> None:
    """Raises StartError for a server that cannot keep a registry; what the driver raises for one that does not let it."""
    hello = store.client.admin.command("hello")
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise StartError(
            "MONGODB_URI names a standalone server; Jobwright needs a replica set (one node is enough).\n"
            "Start mongod with --replSet rs0 and run rs.initiate() once, then add ?replicaSet=rs0 to MONGODB_URI."
        )
    server = store.client.server_info()
    if tuple(server["versionArray"][:2]) < OLDEST_MONGODB:
        oldest = ".".join(map(str, OLDEST_MONGODB))
        raise StartError(f"MONGODB_URI names MongoDB {server['version']}; Jobwright needs {oldest} or newer.")
    store.database["migrations"].find_one({}, {"_id": 1})


def build_services(
    settings: Settings, store: Store, *, clock: Clock | None = None, catalogue: Catalogue | None = None, make_key: bool = True
) -> Services:
    """Everything that the faces need; the database is migrated by now. Without `make_key` the key must be there: raises StartError."""
    clock = clock or SystemClock()
    database = store.database
    template_store = TemplateStore(database)
    catalogue = (catalogue or Catalogue.discover()).over(template_store.all, clock.monotonic)
    keys = KeyRing(load_key(settings.secret_key, settings.data_path, make=make_key), settings.old_secret_keys)
    audit = AuditTrail(AuditStore(database), clock, keys)
    vault = Vault(keys)
    connections = Connections(
        ConnectionStore(database), HealthStore(database), vault, audit, clock, own=Own(database.name, str(settings.data_path))
    )
    jobs, dispatch, lists, usage = RegistryStore(database), DispatchStore(database), ListStore(database), UsageStore(database)
    calendars = Calendars(CalendarStore(database), usage, dispatch, audit, clock)
    triggers = Triggers(max_lookahead_days=settings.max_lookahead_days, calendars=calendars)
    passed = PassedDueTimes(triggers)
    parameters = JobParameters(catalogue=catalogue, connections=connections, pipeline=ParameterPipeline(connections, vault), clock=clock)
    dependencies = Dependencies(DependencyStore(database))
    gate = ApprovalGate(catalogue, dependencies.graph)
    definitions = Definitions(
        store=jobs,
        catalogue=catalogue,
        parameters=parameters,
        dependencies=dependencies,
        rules=triggers,
        clock=clock,
        settings=settings,
    )
    registry = JobRegistry(
        store=jobs,
        definitions=definitions,
        parameters=parameters,
        dependencies=dependencies,
        gate=gate,
        rules=triggers,
        passed=passed,
        audit=audit,
        clock=clock,
        settings=settings,
    )
    pausing = Pausing(store=jobs, gate=gate, rules=triggers, passed=passed, audit=audit, clock=clock)
    directory = JobDirectory(lists=lists, usage=usage, catalogue=catalogue, clock=clock)
    templates = Templates(store=template_store, catalogue=catalogue, in_use=usage.count_of, audit=audit, clock=clock)
    resting = RestingTemplates(catalogue, dispatch, clock)
    templates.switched_on = lambda kind: resting.settle()
    moves = Moves(store=MoveStore(database), jobs=jobs, registry=registry, parameters=parameters, clock=clock)
    executions = Executions(
        store=ExecutionStore(database),
        logs=LogStore(database),
        limits=RunLimits(database),
        registry=registry,
        parameters=parameters,
        gate=gate,
        directory=directory,
        audit=audit,
        clock=clock,
        settings=settings,
    )
    users, sessions, throttle, passwords = UserStore(database), SessionStore(database), Throttle(database), Passwords()
    second = SecondFactor(users, keys)
    rates = Rates(database, per_minute=settings.api_rate, strangers_per_minute=settings.stranger_rate)
    accounts = Accounts(users=users, sessions=sessions, passwords=passwords, second=second, throttle=throttle, audit=audit, clock=clock)
    signin = SignIn(
        users=users,
        sessions=sessions,
        throttle=throttle,
        passwords=passwords,
        second=second,
        audit=audit,
        clock=clock,
        keys=keys,
        session_hours=settings.session_hours,
        idle_minutes=settings.session_idle_minutes,
    )
    single_signon = SingleSignOn(
        users=users, accounts=accounts, signin=signin, audit=audit, issuer=settings.oidc_issuer, rules=_role_rules(settings)
    )
    approvals = Approvals(
        store=ApprovalStore(database),
        users=users,
        registry=registry,
        pausing=pausing,
        executions=executions,
        audit=audit,
        clock=clock,
        days=settings.approval_days,
    )

    maintenance = Maintenance(MaintenanceStore(database), NodeStore(database), dispatch, audit, clock)
    executions.why_nothing_starts = lambda: maintenance.why_nothing_starts(clock.now())
    outlook = Outlook(catalogue, connections, settings)

    def ping() -> None:
        with store_errors():
            store.client.admin.command("ping")

    return Services(
        settings=settings,
        clock=clock,
        accounts=accounts,
        signin=signin,
        single_signon=single_signon,
        rates=rates,
        tokens=Tokens(users, TokenStore(database), audit, clock),
        preferences=Preferences(PreferenceStore(database)),
        audit=audit,
        auditors=Auditors(audit),
        settings_trail=SettingsTrail(SettingsStore(database), audit, keys),
        connections=connections,
        resealing=Resealing(database, audit, _sealed_fields(keys, vault)),
        catalogue=catalogue,
        templates=templates,
        resting=resting,
        moves=moves,
        sharing=Sharing(templates, catalogue, keys, settings.trusted_template_keys),
        presets=Presets(PresetStore(database), catalogue, audit, clock),
        jobs=registry,
        directory=directory,
        pausing=pausing,
        dependencies=dependencies,
        parameters=parameters,
        drafts=Drafts(DraftStore(database), clock),
        approvals=approvals,
        notes=Notes(NoteStore(database), registry, audit, clock),
        exchange=Exchange(
            registry=registry,
            directory=directory,
            parameters=parameters,
            dependencies=dependencies,
            executions=executions,
            approvals=approvals,
            outlook=outlook,
            settings=settings,
        ),
        outlook=outlook,
        bulk=Bulk(registry=registry, directory=directory, pausing=pausing, gate=gate, executions=executions, approvals=approvals),
        executions=executions,
        overview=Overview(ExecutionStore(database), DayStore(database), directory, clock),
        forecast=Forecast(lists, jobs, triggers, clock.monotonic),
        nodes=NodeStore(database).all,
        triggers=triggers,
        keys=keys,
        ping=ping,
        backfills=Backfills(registry=registry, executions=executions, triggers=triggers, clock=clock),
        gathered=GatheringStore(database).arrived,
        calendars=calendars,
        maintenance=maintenance,
    )


def _sealed_fields(keys: KeyRing, vault: Vault) -> list[tuple[SealedFields, Seal]]:
    """Every field of the database that may hold sealed values, with its seal."""
    secrets = (*connection_store.SEALED_FIELDS, *job_shape.SEALED_FIELDS, *execution_shape.SEALED_FIELDS, *approval_store.SEALED_FIELDS)
    return [*((fields, vault) for fields in secrets), *((fields, SecondFactorSeal(keys)) for fields in account_shape.SEALED_FIELDS)]


def _role_rules(settings: Settings) -> RoleRules:
    default = Role(settings.oidc_default_role) if settings.oidc_default_role else None
    return RoleRules(settings.oidc_role_claim, settings.oidc_roles, default)


def migrate(store: Store, clock: Clock | None = None) -> list[str]:
    """Apply what is pending; returns the ids."""
    return Migrator(store.database, clock or SystemClock()).upgrade()


def launch_executor(settings: Settings) -> LocalExecutor:
    """An executor whose zygote imports the templates while the database comes up."""
    executor = LocalExecutor(settings)
    executor.launch()
    return executor


def build_node(settings: Settings, store: Store, services: Services, executor: Executor) -> Node:
    """The engine of this process, not started."""
    database, clock = store.database, services.clock
    executions, jobs, logs, name = ExecutionStore(database), DispatchStore(database), LogStore(database), _owner()
    recorder = Recorder(executions, logs, jobs, clock)
    runner = Runner(
        store=executions,
        executor=executor,
        sink=recorder,
        catalogue=services.catalogue,
        pipeline=ParameterPipeline(services.connections, Vault(services.keys)),
        clock=clock,
        settings=settings,
        owner=name,
        note_runs=jobs.note_runs,
        followed=jobs.followed,
        retired=jobs.retired,
    )
    dispatcher = Dispatcher(
        jobs=jobs,
        executions=executions,
        triggers=services.triggers,
        clock=clock,
        maintenance=services.maintenance.reason,
        rests=services.resting.rests,
    )
    notifier = MailNotifier(services.connections, clock, connection=settings.notify_connection, public_url=settings.public_url)
    node = Node(
        dispatcher=dispatcher,
        runner=runner,
        executor=executor,
        recorder=recorder,
        clock=clock,
        settings=settings,
        deliveries=Deliveries(executions, notifier, clock),
        nodes=NodeStore(database),
        name=name,
        asked_for=executions.asked_for,
        verdicts=Verdicts(executions, services.jobs, services.pausing),
        templates_in_use=jobs.templates_in_use,
        maintenance=services.maintenance,
        switch=MaintenanceStore(database),
        resting=services.resting,
        probes=Probes(services.connections, HealthStore(database), clock, every=timedelta(seconds=settings.probe_seconds)),
        dependants=Dependants(
            jobs=DependencyStore(database),
            executions=executions,
            gatherings=GatheringStore(database),
            triggers=services.triggers,
            clock=clock,
            rests=services.resting.rests,
        ),
        retention=Retention(executions=executions, logs=logs, jobs=jobs, clock=clock, settings=settings),
    )
    services.executions.wake = node.wake
    return node


def with_engine(services: Services, node: Node) -> Services:
    """The services of a process that also runs the engine."""
    return replace(services, engine_age=node.tick_age)


def create_app(services: Services) -> Flask:
    """The Flask application: REST under /api, the pages, health."""
    # The scheduler and the CLI's short commands need no web framework.
    from flask import Flask  # noqa: PLC0415

    from app.api import register_api  # noqa: PLC0415
    from web import register_web  # noqa: PLC0415

    app = Flask("jobwright", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False  # an empty part of an address is no other address: `jobs//run` is not the job `run`
    register_api(app, services)
    register_web(app, services)
    return app


def _owner() -> str:
    """Unlike any other worker's name, also on machines with the same host name and process ids."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
