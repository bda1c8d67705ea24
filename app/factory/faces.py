"""What the faces call: the services of one process, and the Flask application over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.approvals.service import Approvals
from app.bulk.service import Bulk
from app.clock import Clock, SystemClock
from app.config import Settings
from app.exchange.service import Exchange
from app.factory.database import Store
from app.factory.digests import build_digests
from app.factory.executions import Executions, build_executions
from app.factory.ground import Ground, lay_ground
from app.factory.inbound import build_inbound
from app.factory.integrations import Integrations, build_integrations
from app.factory.jobs import Jobs, build_jobs
from app.factory.metrics import build_metrics
from app.factory.monitor import build_monitor
from app.factory.notifications import Notifications, build_notifications
from app.factory.people import People, build_people
from app.factory.templates import Materials, build_materials
from app.handover.old_world import OldWorld
from app.handover.service import HandOvers
from app.imports.service import Imports
from app.jobtemplates.catalogue import Catalogue
from app.migrations import Migrator
from app.mongo import store_errors
from app.samples.service import JobWork, Past, Samples
from app.services import Services
from templates_lib.own import Own

if TYPE_CHECKING:
    from flask import Flask


def build_services(
    settings: Settings, store: Store, *, clock: Clock | None = None, catalogue: Catalogue | None = None, make_key: bool = True
) -> Services:
    """Everything that the faces need; the database is migrated by now. Without `make_key` the key must be there: raises StartError."""
    ground = lay_ground(settings, store, clock or SystemClock(), make_key=make_key)
    people = build_people(ground)
    materials = build_materials(ground, catalogue)
    jobs = build_jobs(ground, materials)
    executions = build_executions(ground, materials, jobs)
    integrations = build_integrations(ground, materials, jobs, executions)
    notifications = build_notifications(ground, materials, jobs)
    return _services(ground, people, materials, jobs, executions, integrations, notifications)


def _services(
    ground: Ground,
    people: People,
    materials: Materials,
    jobs: Jobs,
    executions: Executions,
    integrations: Integrations,
    notifications: Notifications,
) -> Services:
    """The stages side by side, with those that need several of them."""
    registered, by_hand = jobs.services, executions.services
    approvals = _approvals(ground, jobs, executions)
    inbound = build_inbound(ground, people, materials, jobs=registered, runs=by_hand.runs, approvals=approvals)

    digests, digest_writer = build_digests(
        ground,
        directory=registered.directory,
        approvals=approvals,
        connections=materials.connections,
        given_up=executions.given_up,
    )

    def ping() -> None:
        with store_errors():
            ground.store.client.admin.command("ping")

    migrator = Migrator(ground.store.database, ground.clock)

    def migrated() -> bool:
        with store_errors():
            return not migrator.pending()

    return Services(
        settings=ground.settings,
        clock=ground.clock,
        keys=ground.keys,
        audit=ground.audit,
        events=ground.events,
        queued=ground.queued,
        owed=ground.owed,
        told=ground.told,
        channels=notifications.channels,
        deliveries=notifications.deliveries,
        posting=notifications.posting,
        monitor=build_monitor(ground.settings, ground.stores),
        alert_rules=notifications.rules,
        incidents=notifications.incidents,
        digests=digests,
        digest_writer=digest_writer,
        mutes=notifications.mutes,
        announced=notifications.announced,
        text_previews=notifications.previews,
        explanations=notifications.explanations,
        ping=ping,
        migrated=migrated,
        nodes=ground.stores.nodes.all,
        unpublished=ground.stores.unpublished,
        gathered=ground.stores.gatherings.arrived,
        accounts=people.accounts,
        signin=people.signin,
        single_signon=people.single_signon,
        rates=people.rates,
        tokens=people.tokens,
        preferences=people.preferences,
        auditors=people.auditors,
        settings_trail=people.settings_trail,
        connections=materials.connections,
        resealing=materials.resealing,
        catalogue=materials.catalogue,
        templates=materials.templates,
        resting=materials.resting,
        presets=materials.presets,
        sharing=materials.sharing,
        calendars=materials.calendars,
        triggers=materials.triggers,
        node_control=materials.node_control,
        jobs=registered.registry,
        directory=registered.directory,
        parameters=registered.parameters,
        deleted_jobs=jobs.deleted,
        pausing=jobs.pausing,
        shadowing=jobs.shadowing,
        dependencies=jobs.dependencies,
        moves=jobs.moves,
        drafts=jobs.drafts,
        notes=jobs.notes,
        outlook=jobs.outlook,
        forecast=jobs.forecast,
        callbacks=integrations.callbacks,
        runs=by_hand.runs,
        previews=by_hand.previews,
        backfill_runs=by_hand.backfills,
        history=executions.history,
        logs=executions.logs,
        overview=executions.overview,
        attention=executions.attention,
        unplaced=executions.unplaced,
        given_up=executions.given_up,
        backfills=executions.backfills,
        maintenance=executions.maintenance,
        approvals=approvals,
        inbound=inbound.addresses,
        reception=inbound.reception,
        exchange=_exchange(ground, jobs, executions, approvals),
        job_types=integrations.job_types,
        command_connection=integrations.command_connection,
        registered=integrations.registered,
        registration=integrations.registration,
        registrations=integrations.registrations,
        metrics=build_metrics(ground, executions.unplaced, materials.node_control),
        samples=_samples(ground, materials, jobs, executions),
        imports=_imports(ground, jobs, executions),
        hand_overs=_hand_overs(ground, materials, jobs, executions),
        bulk=_bulk(jobs, executions, approvals),
    )


def _approvals(ground: Ground, jobs: Jobs, executions: Executions) -> Approvals:
    return Approvals(
        store=ground.stores.approvals,
        users=ground.stores.users,
        registry=jobs.services.registry,
        pausing=jobs.pausing,
        shadowing=jobs.shadowing,
        runs=executions.services,
        audit=ground.audit,
        events=ground.events,
        clock=ground.clock,
        days=ground.settings.approval_days,
    )


def _samples(ground: Ground, materials: Materials, jobs: Jobs, executions: Executions) -> Samples:
    stores, registered = ground.stores, jobs.services
    return Samples(
        store=stores.samples,
        past=Past(history=stores.history, logs=stores.logs, days=stores.days, dispatch=stores.dispatch),
        jobs=JobWork(
            registry=registered.registry,
            directory=registered.directory,
            dependencies=jobs.dependencies,
            runs=executions.services.runs,
        ),
        connections=materials.connections,
        audit=ground.audit,
        clock=ground.clock,
        settings=ground.settings,
    )


def _exchange(ground: Ground, jobs: Jobs, executions: Executions, approvals: Approvals) -> Exchange:
    registered = jobs.services
    return Exchange(
        registry=registered.registry,
        directory=registered.directory,
        parameters=registered.parameters,
        dependencies=jobs.dependencies,
        runs=executions.services.runs,
        approvals=approvals,
        outlook=jobs.outlook,
        settings=ground.settings,
    )


def _imports(ground: Ground, jobs: Jobs, executions: Executions) -> Imports:
    return Imports(
        store=ground.stores.imports,
        registry=jobs.services.registry,
        runs=executions.services.runs,
        audit=ground.audit,
        clock=ground.clock,
    )


def _hand_overs(ground: Ground, materials: Materials, jobs: Jobs, executions: Executions) -> HandOvers:
    return HandOvers(
        store=ground.stores.hand_overs,
        old=OldWorld(materials.connections, Own(ground.store.database.name, str(ground.settings.data_path))),
        registry=jobs.services.registry,
        shadowing=jobs.shadowing,
        runs=executions.services.runs,
        history=executions.history,
        audit=ground.audit,
        clock=ground.clock,
        timezone=ground.settings.timezone,
    )


def _bulk(jobs: Jobs, executions: Executions, approvals: Approvals) -> Bulk:
    registered = jobs.services
    return Bulk(
        registry=registered.registry,
        directory=registered.directory,
        pausing=jobs.pausing,
        gate=registered.gate,
        runs=executions.services.runs,
        history=executions.history,
        approvals=approvals,
    )


def create_app(services: Services) -> Flask:
    """Returns the Flask application: REST under /api, the pages, health."""
    from web import register_web  # noqa: PLC0415 - the scheduler needs no pages

    app = create_api(services)
    register_web(app, services)
    return app


def create_api(services: Services) -> Flask:
    """Returns a Flask application with REST and health, but without pages."""
    # The scheduler needs no web framework.
    from flask import Flask  # noqa: PLC0415

    from app.api import register_api  # noqa: PLC0415

    app = Flask("jobwright", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False  # an empty part of an address is no other address: `jobs//run` is not the job `run`
    register_api(app, services)
    return app


def create_probes(services: Services) -> Flask:
    """Returns a Flask application with health and metrics alone, for a port of their own."""
    from flask import Flask  # noqa: PLC0415 - as above

    from app.api import register_probes  # noqa: PLC0415

    app = Flask("jobwright", static_folder=None, template_folder=None)
    register_probes(app, services)
    return app
