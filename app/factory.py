"""Puts the house together: the one place that names concrete classes."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

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
from app.execution.backfill_runs import BackfillRuns
from app.execution.day_store import DayStore
from app.execution.doors import RunDoors
from app.execution.given_up import GivenUp
from app.execution.history import History
from app.execution.history_store import HistoryStore
from app.execution.limit_store import RunLimits
from app.execution.log_store import LogStore
from app.execution.logs import Logs
from app.execution.overview import Overview
from app.execution.previews import Previews
from app.execution.regroup import Regroup
from app.execution.retention import Retention
from app.execution.runs import JobDoors, RunLimit, Runs
from app.execution.self_pause import SelfPause
from app.execution.statistics_store import StatisticsStore
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
from app.jobs.rules import Schedules
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
from app.node.finisher import Finisher
from app.node.node import Node, Parts
from app.node.preparation import Preparation
from app.node.recorder import Recorder
from app.node.runner import Runner
from app.node.sweeper import Sweeper
from app.node.work_source import PollSource
from app.notification.mail import MailNotifier
from app.notification.outcomes import TellOutcome
from app.outbox.carrier import Carrier
from app.outbox.event_store import Events, event_outbox
from app.premises import errors_name_settings, has_private_database, make_data_folder, require_registry
from app.queue import shape as execution_shape
from app.queue.claim_store import ClaimStore
from app.queue.claims import Claimer, Claims
from app.queue.owing import Owing
from app.queue.slots import RunBounds
from app.queue.store import QueueStore, execution_outbox
from app.scheduling.backfill import Backfills
from app.scheduling.calendar_service import Calendars
from app.scheduling.calendar_store import CalendarStore
from app.scheduling.dispatcher import Dispatcher, PassedDueTimes
from app.scheduling.followers import Followers
from app.scheduling.forecast import Forecast
from app.scheduling.gathering_store import GatheringStore
from app.scheduling.maintenance import Maintenance
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.resting import RestingTemplates
from app.scheduling.triggers import Triggers
from app.sealing import Seal, SealedFields
from app.services import Services
from app.signals import Signal
from templates_lib.own import Own

if TYPE_CHECKING:
    from flask import Flask


# Who wants the ends of executions, and who wants other events. `_carriers` makes one of each.
OWING = Owing((TellOutcome, SelfPause, Followers))
EVENT_HANDLERS = (Regroup,)


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
    events, schedules = Events(database, EVENT_HANDLERS, clock), Schedules(triggers, PassedDueTimes(triggers))
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
        schedules=schedules,
        audit=audit,
        events=events,
        clock=clock,
        settings=settings,
    )
    pausing = Pausing(store=jobs, gate=gate, schedules=schedules, audit=audit, clock=clock)
    directory = JobDirectory(lists=lists, usage=usage, catalogue=catalogue, clock=clock)
    templates = Templates(store=template_store, catalogue=catalogue, in_use=usage.count_of, audit=audit, clock=clock)
    resting = RestingTemplates(catalogue, dispatch, clock)
    templates.switched_on = lambda kind: resting.settle()
    moves = Moves(store=MoveStore(database), jobs=jobs, registry=registry, parameters=parameters, clock=clock)
    maintenance = Maintenance(MaintenanceStore(database), NodeStore(database), dispatch, audit, clock)
    doors = JobDoors(registry=registry, directory=directory, parameters=parameters, gate=gate)
    queue, history_store, statistics = QueueStore(database, OWING), HistoryStore(database), StatisticsStore(database)
    limit = RunLimit(RunLimits(database), clock, settings.runs_per_hour)
    queued, owed = Signal(), Signal()
    runs = Runs(
        queue=queue,
        limit=limit,
        jobs=doors,
        audit=audit,
        clock=clock,
        bounds=RunBounds.from_settings(settings),
        queued=queued,
        why_nothing_starts=lambda: maintenance.why_nothing_starts(clock.now()),
    )
    previews = Previews(queue=queue, limit=limit, jobs=doors, audit=audit, clock=clock, queued=queued)
    backfill_runs = BackfillRuns(queue=queue, history=history_store, limit=limit, jobs=doors, audit=audit, clock=clock, queued=queued)
    history = History(queue=queue, history=history_store, statistics=statistics, jobs=doors)
    given_up = GivenUp(
        executions=execution_outbox(database),
        events=event_outbox(database),
        queue=queue,
        directory=directory,
        audit=audit,
        clock=clock,
        owed=owed,
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
        runs=RunDoors(runs, previews, backfill_runs),
        audit=audit,
        events=events,
        clock=clock,
        days=settings.approval_days,
    )
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
            runs=runs,
            approvals=approvals,
            outlook=outlook,
            settings=settings,
        ),
        outlook=outlook,
        bulk=Bulk(registry=registry, directory=directory, pausing=pausing, gate=gate, runs=runs, history=history, approvals=approvals),
        runs=runs,
        previews=previews,
        backfill_runs=backfill_runs,
        history=history,
        logs=Logs(queue, LogStore(database), directory),
        given_up=given_up,
        queued=queued,
        owed=owed,
        events=events,
        overview=Overview(history=history_store, statistics=statistics, days=DayStore(database), directory=directory, clock=clock),
        forecast=Forecast(lists, jobs, triggers, clock.monotonic),
        nodes=NodeStore(database).all,
        triggers=triggers,
        keys=keys,
        ping=ping,
        backfills=Backfills(registry=registry, runs=backfill_runs, triggers=triggers, clock=clock),
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
    database, clock, name = store.database, services.clock, _owner()
    jobs, queue, claim_store = DispatchStore(database), QueueStore(database, OWING), ClaimStore(database, OWING)
    history, logs, nodes, switch = HistoryStore(database), LogStore(database), NodeStore(database), MaintenanceStore(database)
    written = Signal()
    lease = timedelta(seconds=settings.lease_seconds)
    claimer = Claimer(owner=name, host=socket.gethostname(), lease=lease, bounds=RunBounds.from_settings(settings))
    claims = Claims(claim_store, claimer)
    finisher = Finisher(store=claim_store, claims=claims, owing=OWING, jobs=jobs, clock=clock, written=written, owed=services.owed)
    recorder = Recorder(claim_store, logs, finisher, clock)
    preparation = Preparation(
        catalogue=services.catalogue,
        pipeline=ParameterPipeline(services.connections, Vault(services.keys)),
        history=history,
        claims=claim_store,
        settings=settings,
    )
    runner = Runner(
        source=PollSource(claims, clock),
        store=claim_store,
        preparation=preparation,
        executor=executor,
        sink=recorder,
        retired=jobs.retired,
        clock=clock,
        owner=name,
        lease_seconds=settings.lease_seconds,
    )
    parts = Parts(
        name=name,
        dispatcher=Dispatcher(
            jobs=jobs,
            queue=queue,
            triggers=services.triggers,
            clock=clock,
            events=services.events,
            maintenance=services.maintenance.reason,
            rests=services.resting.rests,
        ),
        runner=runner,
        sweeper=Sweeper(store=claim_store, finisher=finisher, held=runner.held, clock=clock, lease_seconds=settings.lease_seconds),
        executor=executor,
        recorder=recorder,
        carriers=_carriers(settings, database, services),
        events=services.events,
        retention=Retention(history=history, logs=logs, jobs=jobs, clock=clock, settings=settings),
        probes=Probes(
            services.connections,
            HealthStore(database),
            clock,
            services.events,
            every=timedelta(seconds=settings.probe_seconds),
        ),
        maintenance=services.maintenance,
        switch=switch,
        resting=services.resting,
        nodes=nodes,
        queued=services.queued,
        written=written,
        owed=services.owed,
        templates_in_use=jobs.templates_in_use,
        requested=queue.requested,
    )
    return Node(parts, clock=clock, settings=settings)


def _carriers(settings: Settings, database: Database[Document], services: Services) -> list[Carrier[Any]]:
    """One carrier for each handler of ends and of events."""
    queue, clock = QueueStore(database, OWING), services.clock
    notifier = MailNotifier(services.connections, clock, connection=settings.notify_connection, public_url=settings.public_url)
    followers = Followers(
        jobs=DependencyStore(database),
        queue=queue,
        gatherings=GatheringStore(database),
        triggers=services.triggers,
        clock=clock,
        queued=services.queued,
        rests=services.resting.rests,
    )
    ends = (TellOutcome(notifier), SelfPause(HistoryStore(database), services.jobs, services.pausing), followers)
    of_ends, of_events = execution_outbox(database), event_outbox(database)
    return [*(Carrier(of_ends, handler, clock) for handler in ends), Carrier(of_events, Regroup(queue, ListStore(database)), clock)]


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
