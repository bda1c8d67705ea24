"""Who wants the ends of executions and other events: the one place where a handler is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.execution.regroup import Regroup
from app.execution.self_pause import SelfPause
from app.execution.traced import TraceExecution
from app.factory.alerts import FactsOfJobs, build_alert_ends
from app.factory.quiet import build_prompt_announcer
from app.integrations.nats.publishing import PublishEvent, PublishExecution
from app.jobs.broken import DisableBroken
from app.notification.incidents.ends import AlertEnds
from app.notification.outcomes import OutcomeNotifier, TellOutcome
from app.outbox.batches import BatchCarrier
from app.outbox.carrier import Carrier
from app.outbox.events import EventHandler, EventListener
from app.queue.owing import EndHandler, Owing
from app.scheduling.followers import Followers

if TYPE_CHECKING:
    from app.config import Settings
    from app.factory.stores import Stores
    from app.integrations.nats.bus import Bus
    from app.services import Services


# Whoever writes an end or an event goes by these classes; a node carries out by one object of each (`carriers`). Nothing is owed to a bus
# or to traces that are not set.
def end_handlers(settings: Settings) -> tuple[type[EndHandler], ...]:
    """The handlers that ends of executions may be owed to."""
    bus = (PublishExecution,) if settings.nats_url else ()
    traces = (TraceExecution,) if settings.traces != "off" else ()
    return TellOutcome, SelfPause, Followers, AlertEnds, *bus, *traces


def owing(settings: Settings) -> Owing:
    """Which ends of executions owe something, and to whom."""
    return Owing(end_handlers(settings))


def event_handlers(settings: Settings) -> tuple[type[EventListener], ...]:
    """The handlers that other events may be owed to."""
    return Regroup, DisableBroken, *((PublishEvent,) if settings.nats_url else ())


def carriers(settings: Settings, stores: Stores, services: Services, bus: Bus | None) -> list[Carrier[Any]]:
    """One carrier for each handler. `bus` is there where NATS_URL is set."""
    clock, measures = services.clock, services.metrics.measures

    def note(carrier: str, result: str) -> None:
        measures.count("jobwright_outbox_items_total", carrier, result)

    carriers: list[Carrier[Any]] = [
        *(Carrier(stores.owed_by_executions, handler, clock, note) for handler in _end_handlers(settings, stores, services)),
        *(Carrier(stores.owed_by_events, handler, clock, note) for handler in _event_handlers(stores, services)),
    ]
    if bus is not None:
        source = settings.public_url or f"urn:{settings.nats_prefix}"
        executions = PublishExecution(bus, source=source, traces=services.traces)
        events = PublishEvent(bus, stores.jobs, source=source)
        carriers += [
            BatchCarrier(stores.owed_by_executions, executions, clock, note),
            BatchCarrier(stores.owed_by_events, events, clock, note),
        ]
    if services.traces.on:
        carriers.append(BatchCarrier(stores.owed_by_executions, TraceExecution(services.traces), clock, note))
    return carriers


def build_outcome_notifier(settings: Settings, stores: Stores, services: Services) -> OutcomeNotifier:
    """Returns what has the recipients told that jobs name themselves."""
    return OutcomeNotifier(
        announcer=build_prompt_announcer(settings, stores, services),
        labels=FactsOfJobs(stores, services.catalogue).labels,
        clock=services.clock,
        public_url=settings.public_url,
    )


def _end_handlers(settings: Settings, stores: Stores, services: Services) -> tuple[EndHandler, ...]:
    followers = Followers(
        jobs=stores.dependencies,
        queue=stores.queue,
        shadows=stores.shadows,
        gatherings=stores.gatherings,
        triggers=services.triggers,
        starts=stores.start_limits,
        clock=services.clock,
        queued=services.queued,
        rests=services.resting.rests,
        traces=services.traces,
    )
    return (
        TellOutcome(build_outcome_notifier(settings, stores, services)),
        SelfPause(stores.history, services.jobs, services.pausing),
        followers,
        build_alert_ends(stores, services),
    )


def _event_handlers(stores: Stores, services: Services) -> tuple[EventHandler, ...]:
    return Regroup(stores.queue, stores.lists, services.clock), DisableBroken(services.jobs)
