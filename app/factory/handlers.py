"""Who wants the ends of executions and other events: the one place where a handler is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.execution.regroup import Regroup
from app.execution.self_pause import SelfPause
from app.notification.mail import MailNotifier
from app.notification.outcomes import TellOutcome
from app.outbox.carrier import Carrier
from app.outbox.events import EventHandler
from app.queue.owing import EndHandler, Owing
from app.scheduling.followers import Followers

if TYPE_CHECKING:
    from app.clock import Clock
    from app.config import Settings
    from app.factory.stores import Stores
    from app.services import Services

# Whoever writes an end or an event goes by these classes; a node carries out by one object of each (`carriers`).
OWING = Owing((TellOutcome, SelfPause, Followers))
EVENT_HANDLERS: tuple[type[EventHandler], ...] = (Regroup,)


def carriers(settings: Settings, stores: Stores, services: Services) -> list[Carrier[Any]]:
    """One carrier for each handler."""
    clock = services.clock
    return [
        *(Carrier(stores.owed_by_executions, handler, clock) for handler in _end_handlers(settings, stores, services)),
        *(Carrier(stores.owed_by_events, handler, clock) for handler in _event_handlers(stores, clock)),
    ]


def _end_handlers(settings: Settings, stores: Stores, services: Services) -> tuple[EndHandler, ...]:
    notifier = MailNotifier(services.connections, services.clock, connection=settings.notify_connection, public_url=settings.public_url)
    followers = Followers(
        jobs=stores.dependencies,
        queue=stores.queue,
        gatherings=stores.gatherings,
        triggers=services.triggers,
        starts=stores.start_limits,
        clock=services.clock,
        queued=services.queued,
        rests=services.resting.rests,
    )
    return TellOutcome(notifier), SelfPause(stores.history, services.jobs, services.pausing), followers


def _event_handlers(stores: Stores, clock: Clock) -> tuple[EventHandler, ...]:
    return (Regroup(stores.queue, stores.lists, clock),)
