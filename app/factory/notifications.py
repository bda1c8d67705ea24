"""The stage of notifications: channels, what is sent through them, and the log of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.connections.vault import Vault
from app.execution.history import History
from app.factory.alerts import FactsOfJobs
from app.factory.ground import Ground
from app.factory.jobs import Jobs
from app.factory.quiet import build_composer, build_excerpts, outlook_of
from app.factory.templates import Materials
from app.factory.words import in_words
from app.jobs.recipients import as_recipient
from app.notification.channels.catalogue import ChannelTypes
from app.notification.deliveries import Deliveries
from app.notification.fallback import Fallbacks
from app.notification.incidents.explaining import Explanations
from app.notification.incidents.links import AcknowledgeLinks
from app.notification.incidents.previewing import TextPreviews
from app.notification.incidents.service import Incidents
from app.notification.incidents.telling import Addresses, Wording
from app.notification.posting import OpenDoor, Posting
from app.notification.quiet.held import Announced
from app.notification.quiet.mutes import Mutes
from app.notification.rules.facts import facts_of_run
from app.notification.rules.service import AlertRules
from app.notification.sending import Sender
from app.notification.service import Channels, ChannelStores
from app.notification.targets import targets_of

if TYPE_CHECKING:
    from app.factory.stores import Stores
    from app.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """The channels for people who manage them, the log of deliveries, the alert rules and their incidents, and what sends a delivery."""

    channels: Channels
    deliveries: Deliveries
    rules: AlertRules
    incidents: Incidents
    explanations: Explanations
    posting: Posting
    mutes: Mutes
    announced: Announced
    previews: TextPreviews


def build_notifications(ground: Ground, materials: Materials, jobs: Jobs) -> Notifications:
    """Builds the stage."""
    stores, clock, vault, settings = ground.stores, ground.clock, Vault(ground.keys), ground.settings
    types, directory = ChannelTypes.discover().usable(), jobs.services.directory
    posting = Posting(
        channels=stores.channels,
        types=types,
        vault=vault,
        door=OpenDoor(materials.connections, clock, allowed_hosts=settings.allowed_hosts, apprise_schemes=settings.apprise_schemes),
        clock=clock,
        mail_connection=settings.notify_connection,
        in_words=in_words,
    )

    def users(name: str) -> list[str]:
        falling_back = stores.channels.names_falling_back(name)
        jobs, rules = stores.usage.names_notifying(as_recipient(name)), stores.alert_rules.names_telling(as_recipient(name))
        return [*jobs, *rules, *stores.digests.names_telling(as_recipient(name)), *(as_recipient(other) for other in falling_back)]

    channels = Channels(
        stores=ChannelStores(channels=stores.channels, states=stores.channel_states, deliveries=stores.notification_deliveries),
        types=types,
        vault=vault,
        audit=ground.audit,
        clock=clock,
        posting=posting,
        in_words=in_words,
        connection_names=materials.connections.options,
        used_by=users,
    )
    deliveries = Deliveries(store=stores.notification_deliveries, directory=directory, audit=ground.audit, clock=clock, written=ground.told)
    rules = AlertRules(
        store=stores.alert_rules,
        directory=directory,
        is_job=lambda job_id: stores.jobs.get(job_id) is not None,
        known_channel=lambda name: bool(stores.channels.by_names([name])),
        audit=ground.audit,
        clock=clock,
        changed=ground.owed,
    )
    incidents = Incidents(store=stores.incidents, links=AcknowledgeLinks(ground.keys), audit=ground.audit, clock=clock)
    mutes = Mutes(
        mutes=stores.mutes,
        entries=stores.announcements,
        outlook=outlook_of(stores, clock, lambda: None),
        audit=ground.audit,
        clock=clock,
    )
    announced = Announced(entries=stores.announcements, channels=stores.channels, clock=clock)
    explanations = Explanations(
        rules=stores.alert_rules,
        incidents=stores.incidents,
        ends=stores.ends,
        facts_of=lambda execution: facts_of_run(execution, stores.jobs.get(execution.job_id)),
    )
    return Notifications(
        channels=channels,
        deliveries=deliveries,
        posting=posting,
        rules=rules,
        incidents=incidents,
        explanations=explanations,
        mutes=mutes,
        announced=announced,
        previews=_previews(ground, materials, jobs, rules),
    )


def _previews(ground: Ground, materials: Materials, jobs: Jobs, rules: AlertRules) -> TextPreviews:
    """Returns what shows the messages of rules."""
    stores, settings = ground.stores, ground.settings
    facts = FactsOfJobs(stores, materials.catalogue)
    addresses = Addresses(public_url=settings.public_url, links=AcknowledgeLinks(ground.keys))
    return TextPreviews(
        rules=rules,
        history=History(queue=stores.queue, history=stores.history, statistics=stores.statistics, jobs=jobs.services),
        ends=stores.ends,
        wording=Wording(facts, addresses),
        composer=build_composer(settings, stores, build_excerpts(settings, stores, materials.catalogue, materials.pipeline)),
        in_words=in_words,
        facts_of=facts.of_execution,
        targets_of=lambda recipients: targets_of(stores.channels, recipients),
    )


def build_sender(stores: Stores, services: Services) -> Sender:
    """Returns what sends deliveries, for each node that plans."""
    measures = services.metrics.measures
    return Sender(
        deliveries=stores.notification_deliveries,
        states=stores.channel_states,
        posting=services.posting,
        fallbacks=Fallbacks(channels=stores.channels, clock=services.clock, in_words=in_words),
        clock=services.clock,
        note=lambda channel, result: measures.count("jobwright_notifications_total", channel or "none", result),
    )
