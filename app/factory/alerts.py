"""What applies alert rules: for each node that plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.connections.inventory import Inventory
from app.factory.quiet import build_announcer
from app.jobs.model import Job
from app.jobtemplates.catalogue import Catalogue
from app.notification.announcing import Announcer
from app.notification.incidents.applying import Incidence
from app.notification.incidents.ends import AlertEnds
from app.notification.incidents.links import AcknowledgeLinks
from app.notification.incidents.telling import Addresses, Wording
from app.notification.rules.book import RuleBook
from app.notification.rules.facts import facts_of_run
from app.notification.rules.rule import JobFacts
from app.queue.execution import Execution

if TYPE_CHECKING:
    from app.factory.stores import Stores
    from app.services import Services


class FactsOfJobs:
    """What rules and announcements know of jobs and executions; implements app.notification.incidents.telling.Facts."""

    def __init__(self, stores: Stores, catalogue: Catalogue) -> None:
        self._stores, self._catalogue = stores, catalogue

    def execution(self, execution_id: str) -> Execution | None:
        return self._stores.queue.get(execution_id)

    def of_execution(self, execution: Execution) -> JobFacts:
        """Returns what rules know of the job of an execution, as it is now; what the execution itself has, if the job is deleted."""
        return facts_of_run(execution, self._stores.jobs.get(execution.job_id))

    def labels(self, job_id: str) -> Mapping[str, str]:
        job = self._stores.jobs.get(job_id)
        if job is None:
            return {}
        labels = {
            "template": job.definition.template_type,
            "tags": ",".join(sorted(job.definition.tags)),
            "connections": ",".join(sorted(self._connections(job))),
            "service": job.registered.service if job.registered is not None else "",
        }
        return {name: value for name, value in labels.items() if value}

    def _connections(self, job: Job) -> set[str]:
        entry = self._catalogue.find(job.definition.template_type, job.template_version)
        if entry is None:
            return set()
        return {name for _, name, _ in Inventory.of(entry.parameters_schema, job.definition.parameters).connections()}


def build_incidence(stores: Stores, services: Services, announcer: Announcer) -> Incidence:
    """Returns what changes incidents by rules."""
    addresses = Addresses(public_url=services.settings.public_url, links=AcknowledgeLinks(services.keys))
    return Incidence(incidents=stores.incidents, announcer=announcer, wording=Wording(FactsOfJobs(stores, services.catalogue), addresses))


def build_alert_ends(stores: Stores, services: Services, announcer: Announcer | None = None) -> AlertEnds:
    """Returns what applies rules to ends. It has people told by `announcer`, or as the settings say."""
    announcer = announcer or build_announcer(services.settings, stores, services.clock)
    return AlertEnds(
        book=RuleBook(stores.alert_rules),
        ends=stores.ends,
        facts_of=FactsOfJobs(stores, services.catalogue).of_execution,
        incidence=build_incidence(stores, services, announcer),
        announcer=announcer,
        find=stores.queue.get,
        jitter_of=lambda job_id: _jitter(stores.jobs.get(job_id)),
    )


def _jitter(job: Job | None) -> float:
    return float(job.definition.schedule.jitter_seconds) if job is not None else 0.0
