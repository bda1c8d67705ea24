"""Which jobs run after which: what a definition may name, and what the registry knows of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, require, sees_group
from app.audit.model import Actor
from app.errors import FieldError
from app.jobs.graph import DependencyGraph
from app.jobs.model import Dependency, DependsOn, Job, JobDefinition
from app.jobs.store import JobRef, JobStore
from app.validation.names import normal
from templates_lib.messages import joined, say


@dataclass(frozen=True, slots=True)
class Link:
    """One side of a dependency: the other job and which of the ends of the first count. `name` and `last_status` are None where the actor
    does not see it; `gone` where it is no longer in the registry."""

    job_id: str
    when: DependsOn
    name: str | None = None
    last_status: str | None = None
    gone: bool = False


class Dependencies:
    """Definitions name jobs by name or id and are stored with ids, so that a job may be renamed."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.graph = DependencyGraph(store)

    def resolved(
        self, actor: Actor, definition: JobDefinition, before: Job | None, *, coming: Collection[str] | None = None
    ) -> tuple[JobDefinition, list[FieldError]]:
        """The definition with ids for names, and what is wrong with what it depends on.

        What the job named before, its actor need not see. `coming` are the names of jobs that are made together with this one, which stay
        names; whoever gives them looks for circles, as others may be changed as well.
        """
        wanted = definition.depends_on
        if not wanted:
            return definition, []
        known = {one.job for one in before.definition.depends_on} if before else set()
        refs = self._store.refs([one.job for one in wanted])
        by_word = {ref.id: ref for ref in refs if ref.id in known or sees_group(actor, ref.group)}
        by_word |= {ref.name: ref for ref in refs if sees_group(actor, ref.group)}
        errors: list[FieldError] = []
        found: list[Dependency] = []
        for place, one in enumerate(wanted):
            ref, at = by_word.get(one.job) or by_word.get(normal(one.job)), f"/depends_on/{place}/job"
            target = ref.id if ref else normal(one.job)
            if ref is None and target not in (coming or ()):
                errors.append(FieldError(at, say("is not the name of a job: {name!r}", name=one.job)))
            elif target == definition.name or (before is not None and target == before.id):
                errors.append(FieldError(at, "a job cannot run after itself"))
            elif target in {earlier.job for earlier in found}:
                errors.append(FieldError(at, "is named twice"))
            found.append(replace(one, job=target))
        if not errors and coming is None and before is not None and (circle := self.graph.way_back(before.id, [one.job for one in found])):
            place, ids = circle.place, circle.jobs
            words = joined([definition.name, *(self.names(actor, ids).get(one, "…") for one in ids), definition.name], " → ")
            errors.append(FieldError(f"/depends_on/{place}/job", say("makes a circle: {jobs}", jobs=words)))
        return replace(definition, depends_on=tuple(found)), errors

    def still_right(self, definition: JobDefinition, job_id: str) -> list[FieldError]:
        """What has become wrong with stored dependencies: a job is gone, or runs after this one by now."""
        there = {ref.id for ref in self._store.refs([one.job for one in definition.depends_on])}
        errors = [
            FieldError(f"/depends_on/{place}/job", "is not in the registry any more")
            for place, one in enumerate(definition.depends_on)
            if one.job not in there
        ]
        if not errors and (circle := self.graph.way_back(job_id, [one.job for one in definition.depends_on])):
            errors.append(FieldError(f"/depends_on/{circle.place}/job", "runs after this job, which would make a circle"))
        return errors

    def names(self, actor: Actor, ids: Iterable[str]) -> dict[str, str]:
        """Names of the jobs with these ids that `actor` sees."""
        return {ref.id: ref.name for ref in self._store.refs(list(ids)) if sees_group(actor, ref.group)}

    def with_names(self, actor: Actor, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`depends_on` of a body as people write it; what the actor does not see stays an id."""
        return self._renamed(rows, lambda words: self.names(actor, words))

    def with_ids(self, actor: Actor, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The same as it is stored; what names no job stays as it is."""
        return self._renamed(rows, lambda words: {ref.name: ref.id for ref in self._store.refs(words) if sees_group(actor, ref.group)})

    def upstream(self, actor: Actor, job: Job) -> list[Link]:
        """The jobs that this one runs after."""
        require(actor, May.SEE_JOBS)
        refs = {ref.id: ref for ref in self._store.refs([one.job for one in job.definition.depends_on])}
        return [_link(actor, one.job, one.when, refs.get(one.job)) for one in job.definition.depends_on]

    def dependants(self, actor: Actor, job_id: str) -> list[Link]:
        """The jobs that run after this one, by name."""
        require(actor, May.SEE_JOBS)
        return [
            _link(actor, job.id, one.when, JobRef(job.id, job.definition.name, job.definition.group, job.last_status))
            for job in self._store.dependants(job_id)
            for one in job.definition.depends_on
            if one.job == job_id
        ]

    # -- steps ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _renamed(rows: Sequence[Mapping[str, Any]], look_up: Callable[[list[str]], Mapping[str, str]]) -> list[dict[str, Any]]:
        words = [row["job"] for row in rows if isinstance(row.get("job"), str)]
        found = look_up(words) if words else {}
        known = {word: found.get(word) or found.get(normal(word)) for word in words}
        texts = [word if isinstance(word := row.get("job"), str) else "" for row in rows]
        return [{**row, "job": known[word]} if known.get(word) else dict(row) for row, word in zip(rows, texts, strict=True)]


def _link(actor: Actor, job_id: str, when: DependsOn, ref: JobRef | None) -> Link:
    if ref is None:
        return Link(job_id, when, gone=True)
    return Link(job_id, when, ref.name, ref.last_status) if sees_group(actor, ref.group) else Link(job_id, when)


def counts(dependency: Dependency, status: str) -> bool:
    """Whether a run that ended so has the dependants of its job run."""
    return dependency.when is DependsOn.END or (dependency.when is DependsOn.SUCCESS) == (status == DependsOn.SUCCESS)
