"""What looks after alerts by time: on each node that plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.factory.alerts import build_alert_ends, build_incidence
from app.factory.quiet import build_announcer
from app.factory.troubles import sources_of
from app.jobs.model import Job
from app.notification.announcing import Announcer
from app.notification.incidents.leaving import JobsThatLeft
from app.notification.incidents.overdue import MOST_JOBS, OverdueJobs
from app.notification.incidents.troubles import RatesOfJobs, Troubles
from app.notification.incidents.upkeep import AlertUpkeep
from app.notification.rules.book import RuleBook
from app.notification.rules.facts import facts_of
from app.notification.rules.rule import JobFacts

if TYPE_CHECKING:
    from app.factory.stores import Stores
    from app.services import Services


class RegistryOfJobs:
    """What rules by time ask of jobs and calendars; implements app.notification.incidents.overdue.Registry."""

    def __init__(self, stores: Stores, services: Services) -> None:
        self._stores, self._services = stores, services

    def get(self, job_id: str) -> Job | None:
        return self._stores.jobs.get(job_id)

    def due(self, before: datetime) -> list[Job]:
        return self._stores.dispatch.find_due(before, MOST_JOBS)

    def enabled(self) -> list[Job]:
        return self._stores.lists.enabled(MOST_JOBS)

    def is_closed(self, calendars: Sequence[str], at: datetime) -> bool:
        return self._services.calendars.of(calendars).at(at) is not None

    def facts(self, job: Job) -> JobFacts:
        return facts_of(job)


def build_overdue_jobs(stores: Stores, services: Services, announcer: Announcer) -> OverdueJobs:
    """Returns what applies rules by time."""
    return OverdueJobs(
        book=RuleBook(stores.alert_rules),
        incidents=stores.incidents,
        incidence=build_incidence(stores, services, announcer),
        ends=stores.ends,
        registry=RegistryOfJobs(stores, services),
        clock=services.clock,
    )


def build_troubles(stores: Stores, services: Services, announcer: Announcer) -> Troubles:
    """Returns what applies rules about the installation, and about rates."""
    return Troubles(
        book=RuleBook(stores.alert_rules),
        incidents=stores.incidents,
        incidence=build_incidence(stores, services, announcer),
        sources=sources_of(services.settings, stores),
        rates=RatesOfJobs(stores.ends, _facts_by_id(stores)),
        clock=services.clock,
    )


def _facts_by_id(stores: Stores) -> Callable[[str], JobFacts | None]:
    def facts(job_id: str) -> JobFacts | None:
        job = stores.jobs.get(job_id)
        return None if job is None else facts_of(job)

    return facts


def build_alert_upkeep(stores: Stores, services: Services, announcer: Announcer | None = None) -> AlertUpkeep:
    """Returns what looks after incidents, for each node that plans. It has people told by `announcer`, or as the settings say."""
    announcer = announcer or build_announcer(services.settings, stores, services.clock)
    return AlertUpkeep(
        book=RuleBook(stores.alert_rules),
        incidents=stores.incidents,
        incidence=build_incidence(stores, services, announcer),
        ends=stores.ends,
        alert_ends=build_alert_ends(stores, services, announcer),
        find=stores.queue.get,
        overdue=build_overdue_jobs(stores, services, announcer),
        troubles=build_troubles(stores, services, announcer),
        left=JobsThatLeft(
            incidents=stores.incidents,
            incidence=build_incidence(stores, services, announcer),
            facts_of=_facts_by_id(stores),
            clock=services.clock,
        ),
        clock=services.clock,
    )
