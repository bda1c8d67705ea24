"""The digests: what they say, who manages them, and what writes those that are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.factory.ground import Ground
from app.factory.words import in_words
from app.notification.delivery import UNDELIVERED
from app.notification.digests.incidents import OpenIncidents
from app.notification.digests.model import Reading, SectionSource
from app.notification.digests.needs import NeedsPerson
from app.notification.digests.sections import Composer
from app.notification.digests.sections import Stores as SectionStores
from app.notification.digests.sending import Addressees, DigestSender, DigestWriter
from app.notification.digests.service import Digests

if TYPE_CHECKING:
    from app.approvals.service import Approvals
    from app.config import Settings
    from app.connections.service import Connections
    from app.execution.given_up import GivenUp
    from app.factory.stores import Stores
    from app.jobs.directory import JobDirectory
    from app.services import Services


def build_digests(
    ground: Ground, *, directory: JobDirectory, approvals: Approvals, connections: Connections, given_up: GivenUp
) -> tuple[Digests, DigestWriter]:
    """Returns the digests for people who manage them, and what composes one."""
    stores = ground.stores

    def undelivered(reading: Reading) -> int:
        return stores.notification_deliveries.count_since(reading.begin, UNDELIVERED)

    sources: list[SectionSource] = [
        OpenIncidents(stores.incidents),
        NeedsPerson(approvals=approvals.waiting, connections=connections, given_up=given_up, undelivered=undelivered),
    ]
    writer = DigestWriter(
        composer=Composer(SectionStores(review=stores.review, history=stores.history, directory=directory), sources),
        channels=stores.channels,
        in_words=in_words,
        public_url=ground.settings.public_url,
    )
    digests = Digests(
        store=stores.digests,
        addressees=_addressees(ground.settings, stores),
        writer=writer,
        audit=ground.audit,
        clock=ground.clock,
        known_channel=lambda name: bool(stores.channels.by_names([name])),
    )
    return digests, writer


def build_digest_sender(settings: Settings, stores: Stores, services: Services) -> DigestSender:
    """Returns what writes the digests that are due, for each node that plans."""
    return DigestSender(
        store=stores.digests,
        addressees=_addressees(settings, stores),
        writer=services.digest_writer,
        deliveries=stores.notification_deliveries,
        clock=services.clock,
        written=services.told,
    )


def _addressees(settings: Settings, stores: Stores) -> Addressees:
    return Addressees(stores.users, stores.preferences, timezone=settings.timezone)
