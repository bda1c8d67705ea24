"""What takes announcements of alerts, and what makes messages of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from app.connections.vault import Vault
from app.factory.words import in_words
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.parameters import ParameterPipeline
from app.notification.composing import Composer
from app.notification.excerpts import Excerpts, secrets_by
from app.notification.fallback import Fallbacks, lost_among
from app.notification.outcomes import EndTexts, StillFailing
from app.notification.quiet.batches import Batches
from app.notification.quiet.entry import ROOT_KINDS
from app.notification.quiet.grouping import Pace, Root
from app.notification.quiet.quieting import Outlook, PromptAnnouncer, QuietAnnouncer, Quieting, QuietStores

if TYPE_CHECKING:
    from app.clock import Clock
    from app.config import Settings
    from app.factory.stores import Stores
    from app.services import Services


def outlook_of(stores: Stores, clock: Clock, maintenance: Callable[[], str | None]) -> Outlook:
    """Returns what decisions about announcements have to know of other parts."""
    failing = StillFailing(stores.ends)
    fallbacks = Fallbacks(channels=stores.channels, clock=clock, in_words=in_words)
    return Outlook(
        firing=lambda incidents: {*stores.incidents.open_among(incidents), *failing.among(incidents)},
        roots=lambda: [Root.of(incident.id, incident.subject) for incident in stores.incidents.open_about(ROOT_KINDS)],
        maintenance=maintenance,
        lost=lambda ids: lost_among(stores.notification_deliveries, fallbacks, ids),
    )


def pace_of(settings: Settings) -> Pace:
    """Returns how alerts are grouped."""
    return Pace(
        wait=timedelta(seconds=settings.alert_wait_seconds),
        interval=timedelta(seconds=settings.alert_interval_seconds),
        repeat=timedelta(seconds=settings.alert_repeat_seconds),
        by=settings.alert_group_by,
        at_once=settings.notify_at_once,
    )


def build_announcer(settings: Settings, stores: Stores, clock: Clock) -> QuietAnnouncer:
    """Returns what takes announcements."""
    return QuietAnnouncer(entries=stores.announcements, channels=stores.channels, clock=clock, wait=pace_of(settings).wait)


def build_excerpts(settings: Settings, stores: Stores, catalogue: Catalogue, pipeline: ParameterPipeline) -> Excerpts:
    """Returns what shows parts of logs in messages."""
    return Excerpts(stores.logs, secrets_by(catalogue, pipeline), lines=settings.notify_log_lines)


def build_composer(settings: Settings, stores: Stores, excerpts: Excerpts) -> Composer:
    """Returns what completes messages about one alert."""
    return Composer(
        rule_of=stores.alert_rules.get,
        find=stores.queue.get,
        excerpts=excerpts,
        in_words=in_words,
        note_fault=stores.alert_rules.note_fault,
        public_url=settings.public_url,
    )


def _end_texts(settings: Settings, stores: Stores, services: Services) -> EndTexts:
    pipeline = ParameterPipeline(services.connections, Vault(services.keys))
    excerpts = build_excerpts(settings, stores, services.catalogue, pipeline)
    return EndTexts(
        find=stores.queue.get,
        excerpts=excerpts,
        in_words=in_words,
        public_url=settings.public_url,
        others=build_composer(settings, stores, excerpts).complete,
    )


def build_prompt_announcer(settings: Settings, stores: Stores, services: Services) -> PromptAnnouncer:
    """Returns what takes announcements of ends that jobs tell of by themselves."""
    return PromptAnnouncer(
        quieting=build_quieting(settings, stores, services),
        entries=stores.announcements,
        channels=stores.channels,
        clock=services.clock,
        wait=pace_of(settings).wait,
    )


def build_quieting(settings: Settings, stores: Stores, services: Services) -> Quieting:
    """Returns what decides about announcements, for each node that plans."""
    measures = services.metrics.measures
    return Quieting(
        stores=QuietStores(
            entries=stores.announcements,
            batches=stores.announcement_batches,
            mutes=stores.mutes,
            channels=stores.channels,
            turns=stores.turns,
        ),
        batches=Batches(
            entries=stores.announcements,
            batches=stores.announcement_batches,
            deliveries=stores.notification_deliveries,
            clock=services.clock,
            in_words=in_words,
            public_url=settings.public_url,
            complete=_end_texts(settings, stores, services).complete,
        ),
        outlook=outlook_of(stores, services.clock, services.maintenance.reason),
        clock=services.clock,
        pace=pace_of(settings),
        owner=secrets.token_hex(8),
        written=services.told,
        count=lambda result, number: measures.count("jobwright_announcements_total", result, by=number),
    )
