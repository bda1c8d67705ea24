"""The dead man's switch: what looks whether this installation works, and what people read of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from app.config import Settings
from app.factory.outboxes import outboxes
from app.factory.words import in_words
from app.notification.channels.mail.channel import Mail
from app.notification.monitor.emergency import EmergencyMail
from app.notification.monitor.model import Symptoms
from app.notification.monitor.ping import Pinger
from app.notification.monitor.watch import Monitor, Watch
from app.notification.posting import OpenDoor

if TYPE_CHECKING:
    from app.factory.stores import Stores
    from app.services import Services


def build_monitor(settings: Settings, stores: Stores) -> Monitor:
    """Returns what people read of the outside monitor and of an incident."""
    return Monitor(stores.monitor, monitored=bool(settings.monitor_url), warned=_warns(settings))


def build_watch(settings: Settings, stores: Stores, services: Services) -> Watch:
    """Returns what looks, for each node that plans."""
    clock, after = services.clock, timedelta(seconds=settings.stuck_seconds)
    door = OpenDoor(services.connections, clock, allowed_hosts=settings.allowed_hosts, apprise_schemes=())

    def look() -> Symptoms:
        now = clock.now()
        follow_ups = {carrier: outbox.due_since(carrier, now) for carrier, outbox in outboxes(settings, stores)}
        return Symptoms(follow_ups=follow_ups, deliveries=stores.notification_deliveries.standing_still(now - after, now))

    def language_of(address: str) -> str:
        user = stores.users.by_email(address)
        return (stores.preferences.get(user.id).get("language") if user is not None else "") or "en"

    mail = EmergencyMail(
        connection=settings.emergency_connection,
        recipients=settings.emergency_to,
        mail=Mail(),
        door=door,
        in_words=in_words,
        language_of=language_of,
        public_url=settings.public_url,
    )
    return Watch(
        store=stores.monitor,
        look=look,
        pinger=Pinger(settings.monitor_url, settings.monitor_method, door) if settings.monitor_url else None,
        mail=mail if _warns(settings) else None,
        clock=clock,
        every=timedelta(seconds=settings.monitor_seconds),
        after=after,
        remind=timedelta(hours=settings.emergency_remind_hours),
    )


def _warns(settings: Settings) -> bool:
    return bool(settings.emergency_connection and settings.emergency_to)
