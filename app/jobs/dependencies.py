"""Which jobs run after which: what a definition may name, and what pages show of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, require, sees_group
from app.audit.model import Actor
from app.errors import Conflict, FieldError
from app.jobs.dependency_store import DependencyStore
from app.jobs.graph import DependencyGraph
from app.jobs.model import Dependency, DependsOn, Job, JobDefinition
from app.jobs.records import JobRef
from app.validation.names import normal
from templates_lib.messages import joined, say, say_many


@dataclass(frozen=True, slots=True)
class Link:
    """One side of a dependency: the other job, and which ends of the first job's runs count. `name` and `last_status` are None if the actor
    does not see the other job; `gone` is true if it is no longer in the registry."""

    job_id: str
    when: DependsOn
    name: str | None = None
    last_status: str | None = None
    gone: bool = False


class Dependencies:
    """Definitions name jobs by name or by id and are stored with ids, so that a job may be renamed."""

    def __init__(self, store: DependencyStore) -> None:
        self._store = store
        self.graph = DependencyGraph(store)

    def resolve(
        self, actor: Actor, definition: JobDefinition, before: Job | None, *, planned_names: Collection[str] | None = None
    ) -> tuple[JobDefinition, list[FieldError]]:
        """Returns the definition with ids for names, and what is wrong with its dependencies.

        The actor need not see a job that `before` already names. `planned_names` are the names of jobs that will be made together with this
        one; they stay names. A caller that gives them looks for circles itself, as other jobs may change as well.
        """
        wanted = definition.depends_on
        if not wanted:
            return definition, []
        named_before = {dependency.job for dependency in before.definition.depends_on} if before else set()
        refs = self._store.refs([dependency.job for dependency in wanted])
        by_word = {ref.id: ref for ref in refs if ref.id in named_before or sees_group(actor, ref.group)}
        by_word |= {ref.name: ref for ref in refs if sees_group(actor, ref.group)}
        errors: list[FieldError] = []
        resolved: list[Dependency] = []
        for index, dependency in enumerate(wanted):
            ref, pointer = by_word.get(dependency.job) or by_word.get(normal(dependency.job)), f"/depends_on/{index}/job"
            target = ref.id if ref else normal(dependency.job)
            if ref is None and target not in (planned_names or ()):
                errors.append(FieldError(pointer, say("is not the name of a job: {name!r}", name=dependency.job)))
            elif target == definition.name or (before is not None and target == before.id):
                errors.append(FieldError(pointer, "must not be the job itself"))
            elif target in {earlier.job for earlier in resolved}:
                errors.append(FieldError(pointer, "is listed twice"))
            resolved.append(replace(dependency, job=target))
        if not errors and planned_names is None and before is not None:
            errors += self._circle(actor, definition.name, before.id, [dependency.job for dependency in resolved])
        return replace(definition, depends_on=tuple(resolved)), errors

    def errors_now(self, definition: JobDefinition, job_id: str) -> list[FieldError]:
        """Returns what has become wrong with stored dependencies: a job is gone, or runs after this one by now."""
        upstream = [dependency.job for dependency in definition.depends_on]
        present = {ref.id for ref in self._store.refs(upstream)}
        errors = [
            FieldError(f"/depends_on/{index}/job", "has been deleted")
            for index, upstream_id in enumerate(upstream)
            if upstream_id not in present
        ]
        if not errors and (circle := self.graph.way_back(job_id, upstream)):
            errors.append(
                FieldError(f"/depends_on/{circle.index}/job", "already depends on this job, so the two would wait for each other forever")
            )
        return errors

    def in_registry(self, ids: Collection[str]) -> list[str]:
        """Returns those of these jobs that are in the registry."""
        return list(self._store.in_registry(ids))

    def names(self, actor: Actor, ids: Iterable[str]) -> dict[str, str]:
        """Returns, by id, the names of those of these jobs that `actor` sees."""
        return {ref.id: ref.name for ref in self._store.refs(list(ids)) if sees_group(actor, ref.group)}

    def with_names(self, actor: Actor, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Returns `depends_on` of a body with names for ids, as people write it. The id of a job that the actor does not see stays."""
        return self._renamed(rows, lambda words: self.names(actor, words))

    def with_ids(self, actor: Actor, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Returns `depends_on` of a body with ids for names, as it is stored. What names no job stays as it is."""
        return self._renamed(rows, lambda words: {ref.name: ref.id for ref in self._store.refs(words) if sees_group(actor, ref.group)})

    def upstream(self, actor: Actor, job: Job) -> list[Link]:
        """Returns the jobs that this one runs after."""
        require(actor, May.SEE_JOBS)
        refs = {ref.id: ref for ref in self._store.refs([dependency.job for dependency in job.definition.depends_on])}
        return [_link(actor, dependency.job, dependency.when, refs.get(dependency.job)) for dependency in job.definition.depends_on]

    def dependants(self, actor: Actor, job_id: str) -> list[Link]:
        """Returns the jobs that run after this one, by name."""
        require(actor, May.SEE_JOBS)
        return [
            _link(actor, job.id, dependency.when, JobRef(job.id, job.definition.name, job.definition.group, job.last_status))
            for job in self._store.dependants(job_id)
            for dependency in job.definition.depends_on
            if dependency.job == job_id
        ]

    def refuse_needed(self, actor: Actor, job_id: str) -> None:
        """Raises Conflict if other jobs depend on the job."""
        dependants = self.dependants(actor, job_id)
        if dependants:
            names = ", ".join([repr(link.name) for link in dependants if link.name][:3]) or str(len(dependants))
            raise Conflict(
                say_many(
                    "{count} job depends on this job and would never start again: {jobs}. Remove the dependency first.",
                    "{count} jobs depend on this job and would never start again: {jobs}. Remove the dependencies first.",
                    len(dependants),
                    jobs=names,
                )
            )

    def has_dependants(self, job_id: str) -> bool:
        """Returns whether any job runs after this one. Checks no rights."""
        return bool(self._store.dependants(job_id))

    # -- steps ----------------------------------------------------------------------------------------------------

    def _circle(self, actor: Actor, name: str, job_id: str, upstream: Sequence[str]) -> list[FieldError]:
        """Returns an error that names the jobs of the circle which `upstream` would make; an empty list if there is none."""
        circle = self.graph.way_back(job_id, upstream)
        if circle is None:
            return []
        words = joined([name, *(self.names(actor, circle.jobs).get(job, "…") for job in circle.jobs), name], " → ")
        return [FieldError(f"/depends_on/{circle.index}/job", say("creates a circle of dependencies: {jobs}", jobs=words))]

    @staticmethod
    def _renamed(rows: Sequence[Mapping[str, Any]], look_up: Callable[[list[str]], Mapping[str, str]]) -> list[dict[str, Any]]:
        words = [row["job"] for row in rows if isinstance(row.get("job"), str)]
        by_name = look_up(words) if words else {}
        renamed = {word: by_name.get(word) or by_name.get(normal(word)) for word in words}
        texts = [word if isinstance(word := row.get("job"), str) else "" for row in rows]
        return [{**row, "job": renamed[word]} if renamed.get(word) else dict(row) for row, word in zip(rows, texts, strict=True)]


def _link(actor: Actor, job_id: str, when: DependsOn, ref: JobRef | None) -> Link:
    if ref is None:
        return Link(job_id, when, gone=True)
    return Link(job_id, when, ref.name, ref.last_status) if sees_group(actor, ref.group) else Link(job_id, when)


def counts(dependency: Dependency, status: str) -> bool:
    """Whether a run that ended with `status` starts the jobs that depend on it so."""
    return dependency.when is DependsOn.END or (dependency.when is DependsOn.SUCCESS) == (status == DependsOn.SUCCESS)
