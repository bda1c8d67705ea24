"""The stage of executions: runs by hand, their history, what they owe, maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from app.execution.attention import Attention
from app.execution.backfill_runs import BackfillRuns
from app.execution.given_up import GivenUp
from app.execution.history import History
from app.execution.hourly_runs import HourlyLimits, HourlyRuns
from app.execution.logs import Logs
from app.execution.overview import Overview
from app.execution.previews import Previews
from app.execution.run_services import RunServices
from app.execution.runs import Runs
from app.execution.unplaced import Unplaced
from app.factory.ground import Ground
from app.factory.jobs import Jobs
from app.factory.templates import Materials
from app.queue.slots import RunBounds
from app.scheduling.backfill import Backfills
from app.scheduling.maintenance import Maintenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """What runs, what ran, and what keeps runs from starting."""

    services: RunServices
    history: History
    logs: Logs
    overview: Overview
    attention: Attention
    given_up: GivenUp
    unplaced: Unplaced
    backfills: Backfills
    maintenance: Maintenance


def build_executions(ground: Ground, materials: Materials, jobs: Jobs) -> Executions:
    """Build the stage."""
    stores, audit, clock, registered = ground.stores, ground.audit, ground.clock, jobs.services
    maintenance = Maintenance(stores.maintenance, stores.nodes, stores.dispatch, audit, clock)
    limit = HourlyRuns(stores.run_limits, clock, HourlyLimits.from_settings(ground.settings))
    runs = Runs(
        queue=stores.queue,
        limit=limit,
        starts=stores.start_limits,
        jobs=registered,
        audit=audit,
        clock=clock,
        bounds=RunBounds.from_settings(ground.settings),
        queued=ground.queued,
        why_it_cannot_start=lambda execution: (
            maintenance.why_nothing_starts(clock.now()) or materials.node_control.why_none(execution.needs, execution.template_type)
        ),
    )
    previews = Previews(queue=stores.queue, limit=limit, jobs=registered, audit=audit, clock=clock, queued=ground.queued)
    backfill_runs = BackfillRuns(
        queue=stores.queue, history=stores.history, limit=limit, jobs=registered, audit=audit, clock=clock, queued=ground.queued
    )
    return Executions(
        services=RunServices(runs, previews, backfill_runs),
        history=History(queue=stores.queue, history=stores.history, statistics=stores.statistics, jobs=registered),
        logs=Logs(stores.queue, stores.logs, registered.directory),
        overview=Overview(
            history=stores.history, statistics=stores.statistics, days=stores.days, directory=registered.directory, clock=clock
        ),
        attention=Attention(
            store=stores.acknowledgements,
            queue=stores.queue,
            history=stores.history,
            directory=registered.directory,
            audit=audit,
            clock=clock,
        ),
        unplaced=Unplaced(statistics=stores.statistics, lists=stores.lists, takes=materials.node_control.takes, clock=clock),
        given_up=GivenUp(
            executions=stores.owed_by_executions,
            events=stores.owed_by_events,
            queue=stores.queue,
            directory=registered.directory,
            audit=audit,
            clock=clock,
            owed=ground.owed,
        ),
        backfills=Backfills(registry=registered.registry, runs=backfill_runs, triggers=materials.triggers, clock=clock),
        maintenance=maintenance,
    )
