"""The directory of jobs: lists, facets, names and counts. It changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.connections.references import connection_paths
from app.errors import NotFound
from app.jobs.filters import JobFilter
from app.jobs.list_store import ListStore
from app.jobs.model import Job
from app.jobs.records import JobRef
from app.jobs.usage_store import UsageStore
from app.jobtemplates.catalogue import Catalogue
from app.paging import Page

FACETS_SECONDS = 10.0  # for which facets are remembered: to read them means to read the registry
MOST_FACETS = 100  # sets of groups whose facets are remembered


@dataclass(frozen=True, slots=True)
class Facets:
    """The tags, groups and owners of the jobs that somebody sees, sorted."""

    tags: tuple[str, ...]
    groups: tuple[str, ...]
    owners: tuple[str, ...]


class JobDirectory:
    """Methods that take an actor answer for the jobs that the actor sees. The others answer for all jobs; their caller must not show the
    answer to somebody who is kept to groups."""

    def __init__(self, *, lists: ListStore, usage: UsageStore, catalogue: Catalogue, clock: Clock) -> None:
        self._lists, self._usage, self._catalogue, self._clock = lists, usage, catalogue, clock
        self._facets: dict[frozenset[str] | None, tuple[float, Facets]] = {}

    # -- lists ----------------------------------------------------------------------------------------------------

    def page(self, actor: Actor, query: JobFilter, *, sort: str = "name", page: int = 1, limit: int = 20) -> Page[Job]:
        """Returns one page of the jobs that pass the filter; `sort` is a key of app.jobs.filters.SORTS."""
        jobs, total = self.part(actor, query, sort=sort, skip=(page - 1) * limit, limit=limit)
        return Page.of(jobs, total=total, page=page, limit=limit)

    def part(self, actor: Actor, query: JobFilter, *, sort: str = "name", skip: int, limit: int) -> tuple[list[Job], int]:
        """Returns the jobs that pass the filter without the first `skip`, and how many there are in all."""
        require(actor, May.SEE_JOBS)
        missing = self._missing_versions(self._usage.versions_in_use()) if query.broken is not None else []
        visible = replace(query, groups=actor.groups)
        return self._lists.page(visible, sort=sort, skip=skip, limit=limit, now=self._clock.now(), missing=missing)

    def named(self, actor: Actor, name: str, may: May = May.SEE_JOBS) -> Job:
        """Returns the job with this name that `actor` may see. The caller needs the permission `may`. Raises Forbidden, NotFound."""
        require(actor, may)
        visible = JobFilter(name=name, groups=actor.groups)
        jobs, _ = self._lists.page(visible, sort="name", skip=0, limit=1, now=self._clock.now()) if name else ([], 0)
        if not jobs:
            raise NotFound("job", name)
        return jobs[0]

    def ever_named(self, name: str) -> bool:
        """Returns whether a job has this name, or had it when it was deleted."""
        return self._lists.ever_named(name)

    def of_template(self, actor: Actor, template_type: str, limit: int, *, sort: str = "name") -> list[Job]:
        """Returns the first jobs of a template."""
        return list(self.page(actor, JobFilter(template_type=template_type), sort=sort, limit=limit).items)

    def due_between(self, actor: Actor, begin: datetime, end: datetime, limit: int) -> list[Job]:
        """Returns the first jobs that are due from `begin` on and before `end`, the next one first."""
        require(actor, May.SEE_JOBS)
        return self._lists.due_between(begin, end, limit, groups=actor.groups)

    def last_ended(self, actor: Actor, statuses: Sequence[str], limit: int) -> tuple[list[JobRef], int]:
        """Returns the jobs whose last run ended with one of `statuses`, the newest run first, and the number of all of them."""
        require(actor, May.SEE_JOBS)
        return self._lists.last_ended(statuses, limit, groups=actor.groups)

    # -- what forms and filters offer -----------------------------------------------------------------------------

    def facets(self, actor: Actor) -> Facets:
        """Returns what a list can be narrowed to; the answer is up to FACETS_SECONDS old."""
        require(actor, May.SEE_JOBS)
        now, remembered = self._clock.monotonic(), self._facets.get(actor.groups)
        if remembered is None or now - remembered[0] > FACETS_SECONDS:
            facets = Facets(
                tags=tuple(self._lists.tags(groups=actor.groups)),
                groups=tuple(self.groups(actor)),
                owners=tuple(self._lists.owners(groups=actor.groups)),
            )
            if len(self._facets) > MOST_FACETS:
                self._facets.clear()
            remembered = self._facets[actor.groups] = (now, facets)
        return remembered[1]

    def names(self, actor: Actor, *, limit: int) -> list[str]:
        """Returns the first names, sorted, for a form's suggestions."""
        require(actor, May.SEE_JOBS)
        return self._lists.names(groups=actor.groups, limit=limit)

    def groups(self, actor: Actor) -> list[str]:
        """Returns the groups that `actor` may put a job into: their own, or all that a job is in."""
        require(actor, May.SEE_JOBS)
        return self._lists.groups() if actor.groups is None else sorted(actor.groups)

    # -- what an actor sees ---------------------------------------------------------------------------------------

    def of_these_seen(self, actor: Actor, job_ids: Collection[str]) -> set[str]:
        """Returns those of these jobs, which may be deleted, whose records `actor` may see."""
        return set(job_ids) if actor.groups is None else self._lists.of_these_in(job_ids, actor.groups)

    def sees(self, actor: Actor, job_id: str) -> bool:
        """Whether `actor` may see what is recorded of a job, which may be deleted."""
        return actor.groups is None or self._lists.group_of(job_id) in actor.groups

    # -- of all jobs ----------------------------------------------------------------------------------------------

    def counts_by_owner(self, owners: Sequence[str]) -> dict[str, int]:
        """Returns how many jobs each of these e-mail addresses has made."""
        return self._usage.counts_by_owner(owners) if owners else {}

    def count_of(self, template_type: str) -> int:
        """Returns how many jobs a template has."""
        return self._usage.count_of(template_type)

    def versions_of(self, template_type: str) -> dict[int, int]:
        """Returns how many jobs each version of a template has."""
        return self._usage.counts_by_version(template_type)

    def versions_in_use(self) -> dict[tuple[str, int], int]:
        """Returns each (template, version) that a job is of, with the number of its jobs."""
        return self._usage.versions_in_use()

    def counts_by_template(self) -> dict[str, int]:
        """Returns how many jobs each template has, the most first."""
        return summed(self.versions_in_use())

    def broken(self, in_use: Iterable[tuple[str, int]] | None = None) -> dict[str, str]:
        """Returns the names of the jobs that cannot run, with the reason: the schedule cannot be computed, or the template is gone.
        `in_use` are the (template, version) pairs of `versions_in_use`, for a caller who has them already."""
        reasons = self._usage.broken()
        for template_type, version in self._missing_versions(self._usage.versions_in_use() if in_use is None else in_use):
            why = f"its template {template_type!r} is gone: {self._catalogue.why_not(template_type, version)}"
            reasons |= dict.fromkeys(self._usage.names_of(template_type, version), why)
        return reasons

    def names_using(self, connection: str) -> list[str]:
        """Returns the names of the jobs that use the connection with this name."""
        return self._usage.names_using(connection, self._connection_paths())

    def counts_by_connection(self) -> dict[str, int]:
        """Returns how many jobs use each connection, by its name; those without a job are left out."""
        return self._usage.counts_by_connection(self._connection_paths())

    def _connection_paths(self) -> list[str]:
        return sorted({path for entry in self._catalogue.code() for path in connection_paths(entry.parameters_schema)})

    def _missing_versions(self, in_use: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Returns the templates and versions that jobs are of and that are not installed."""
        return [(template, version) for template, version in in_use if self._catalogue.why_not(template, version) is not None]


def summed(in_use: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """Returns how many jobs each template has, the most first, from how many each of its versions has."""
    counts: Counter[str] = Counter()
    for (template_type, _), count in in_use.items():
        counts[template_type] += count
    return dict(counts.most_common())
