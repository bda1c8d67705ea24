"""The stage of the registry of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from app.execution.runs import JobServices
from app.factory.ground import Ground
from app.factory.templates import Materials
from app.jobs.changes import JobChanges
from app.jobs.definitions import Definitions
from app.jobs.deleted import DeletedJobs
from app.jobs.dependencies import Dependencies
from app.jobs.directory import JobDirectory
from app.jobs.drafts import Drafts
from app.jobs.gate import ApprovalGate
from app.jobs.moves import Moves
from app.jobs.notes import Notes
from app.jobs.outlook import Outlook
from app.jobs.parameters import JobParameters
from app.jobs.pausing import Pausing
from app.jobs.rules import Schedules
from app.jobs.service import JobRegistry
from app.jobs.shadowing import Shadowing
from app.notification.channel_store import channel_problem
from app.scheduling.dispatcher import PassedDueTimes
from app.scheduling.forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The registry, by what is done with it."""

    services: JobServices
    deleted: DeletedJobs
    pausing: Pausing
    shadowing: Shadowing
    dependencies: Dependencies
    moves: Moves
    drafts: Drafts
    notes: Notes
    outlook: Outlook
    forecast: Forecast


def build_jobs(ground: Ground, materials: Materials) -> Jobs:
    """Build the stage."""
    stores, audit, clock = ground.stores, ground.audit, ground.clock
    schedules = Schedules(materials.triggers, PassedDueTimes(materials.triggers))
    parameters = JobParameters(catalogue=materials.catalogue, connections=materials.connections, pipeline=materials.pipeline, clock=clock)
    dependencies = Dependencies(stores.dependencies)
    gate = ApprovalGate(materials.catalogue, dependencies.graph)
    registry = JobRegistry(
        store=stores.jobs,
        definitions=Definitions(
            store=stores.jobs,
            catalogue=materials.catalogue,
            parameters=parameters,
            dependencies=dependencies,
            rules=materials.triggers,
            clock=clock,
            settings=ground.settings,
        ),
        parameters=parameters,
        dependencies=dependencies,
        gate=gate,
        rules=materials.triggers,
        changes=JobChanges(
            store=stores.jobs,
            dependencies=dependencies,
            schedules=schedules,
            audit=audit,
            events=ground.events,
            clock=clock,
            settings=ground.settings,
        ),
        clock=clock,
        settings=ground.settings,
    )
    directory = JobDirectory(lists=stores.lists, usage=stores.usage, catalogue=materials.catalogue, clock=clock)
    return Jobs(
        services=JobServices(registry=registry, directory=directory, parameters=parameters, gate=gate),
        deleted=DeletedJobs(stores.lists),
        pausing=Pausing(store=stores.jobs, gate=gate, schedules=schedules, audit=audit, events=ground.events, clock=clock),
        shadowing=Shadowing(
            store=stores.jobs, shadows=stores.shadows, gate=gate, schedules=schedules, audit=audit, events=ground.events, clock=clock
        ),
        dependencies=dependencies,
        moves=Moves(store=stores.moves, jobs=stores.jobs, registry=registry, parameters=parameters, clock=clock),
        drafts=Drafts(stores.drafts, clock),
        notes=Notes(stores.notes, registry, audit, clock),
        outlook=Outlook(
            materials.catalogue,
            materials.connections,
            ground.settings,
            materials.node_control.takes,
            lambda name: channel_problem(stores.channels, name),
        ),
        forecast=Forecast(stores.lists, stores.jobs, clock.monotonic),
    )
