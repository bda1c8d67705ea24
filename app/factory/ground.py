"""What every stage stands on: settings, time, the database, the key, the audit trail, signals."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.audit.service import AuditTrail
from app.clock import Clock
from app.config import Settings
from app.factory.database import Store
from app.factory.handlers import event_handlers, owing
from app.factory.stores import Stores
from app.keys import KeyRing, load_key
from app.measures import Measures
from app.outbox.event_store import Events
from app.signals import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Made once. `queued` is sent when something new waits in the queue, `owed` when an end or an event owes something, `told` when a
    notification is to be sent, and `template_on` when a template was switched on."""

    settings: Settings
    clock: Clock
    store: Store
    stores: Stores
    keys: KeyRing
    audit: AuditTrail
    events: Events
    queued: Signal = field(default_factory=Signal)
    owed: Signal = field(default_factory=Signal)
    told: Signal = field(default_factory=Signal)
    template_on: Signal = field(default_factory=Signal)
    measures: Measures = field(default_factory=Measures)


def lay_ground(settings: Settings, store: Store, clock: Clock, *, make_key: bool) -> Ground:
    """Without `make_key` the key must be there: raises StartError."""
    stores = Stores.over(store.database, owing(settings))
    keys = KeyRing(load_key(settings.secret_key, settings.data_path, make=make_key), settings.old_secret_keys)
    return Ground(
        settings=settings,
        clock=clock,
        store=store,
        stores=stores,
        keys=keys,
        audit=AuditTrail(stores.audit, clock, keys),
        events=Events(store.database, event_handlers(settings), clock),
    )
