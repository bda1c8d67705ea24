"""Exports jobs as a file, and applies a file: a plan shows what would change, and is then carried out job by job."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from itertools import count
from typing import Any

from app.accounts.permissions import May, require
from app.approvals.service import Approvals
from app.audit.model import Actor, field_diff
from app.config import Settings
from app.connections.vault import mask
from app.errors import ApprovalNeeded, FieldError, JobwrightError, ValidationFailed
from app.exchange import file
from app.execution.runs import Runs
from app.jobs.body import as_request, non_defaults
from app.jobs.dependencies import Dependencies
from app.jobs.directory import JobDirectory
from app.jobs.filters import JobFilter
from app.jobs.model import Job, JobDefinition, to_plain
from app.jobs.outlook import Outlook
from app.jobs.parameters import JobParameters
from app.jobs.reading import load_definition, read_definition
from app.jobs.service import JobRegistry
from app.validation.names import normal, read_name
from app.validation.secret import MASK
from templates_lib.messages import joined, say

ORIGIN = "import"
PAGE = 200
LONGEST_SHOWN = 200  # characters of a name that may be invalid


class StepAction(StrEnum):
    """What a plan does with a job."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "unchanged"
    DELETE = "delete"
    REFUSE = "invalid"


class StepResult(StrEnum):
    """What carrying out a step has led to."""

    DONE = "done"
    WAITS = "approval"  # a super-admin must approve it
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One job of a plan.

    `index` is the position of the job in the file, from 0; None for a job that is not in the file. `diff` has one row for each changed
    field, with masked secrets. `warnings` name what will make each run fail.
    """

    name: str
    action: StepAction
    index: int | None = None
    job_id: str | None = None
    version: int | None = None
    diff: list[dict[str, Any]] = field(default_factory=list)
    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
    definition: JobDefinition | None = field(default=None, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    result: StepResult | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ExchangePlan:
    """The steps of a file, in its order, followed by the jobs that it would delete."""

    steps: tuple[Step, ...]

    def count(self, action: StepAction) -> int:
        return sum(step.action is action for step in self.steps)

    @property
    def valid(self) -> bool:
        return not self.count(StepAction.REFUSE)


class Exchange:
    """A file describes each of its jobs completely: a field that it leaves out has its default. There is one exception: if the file does
    not say whether an existing job is enabled, that stays as it is."""

    def __init__(
        self,
        *,
        registry: JobRegistry,
        directory: JobDirectory,
        parameters: JobParameters,
        dependencies: Dependencies,
        runs: Runs,
        approvals: Approvals,
        outlook: Outlook,
        settings: Settings,
    ) -> None:
        self._registry, self._directory, self._parameters, self._dependencies = registry, directory, parameters, dependencies
        self._runs, self._approvals, self._outlook, self._settings = runs, approvals, outlook, settings

    def export(self, actor: Actor, kind: str, query: JobFilter | None = None) -> str:
        """Returns the visible jobs that match `query` as a file (`yaml` or `json`), sorted by name. Jobs that services register are left
        out: their code declares them, and a file would take their names away from them. A comment in YAML says how many there are.

        Default values are left out. The file names those defaults that are settings of the installation. Secrets are masked; named secrets
        keep their names.
        """
        listed = self._all(actor, query or JobFilter())
        jobs = [job for job in listed if job.registered is None]
        names = self._dependencies.names(actor, {dependency.job for job in jobs for dependency in job.definition.depends_on})
        default = as_request(load_definition({"name": "x", "template_type": "x"}, self._settings))
        defaults = {part: {name: default[part][name] for name in row["properties"]} for part, row in file.DEFAULTS["properties"].items()}
        return file.write([self._file_body(job, names, default) for job in jobs], kind, defaults, left_out=len(listed) - len(jobs))

    def plan(self, actor: Actor, text: str, *, prune: bool = False, only_new: bool = False) -> ExchangePlan:
        """Returns what `apply` would do, without changing anything. Raises FileRefused, Forbidden.

        With `prune`, jobs that came from a file but are no longer in this one are deleted. With `only_new`, existing jobs are not changed.
        """
        require(actor, May.CHANGE_JOBS)
        bodies = file.read(text)
        existing = {job.definition.name: job for job in self._all(actor, JobFilter())}
        seen: dict[str, int] = {}
        planned_names = {_name(body) for body in bodies if isinstance(body, dict)} - existing.keys()
        steps = []
        for index, body in enumerate(bodies):
            if not isinstance(body, dict):
                steps.append(Step(name="", action=StepAction.REFUSE, index=index, errors=(FieldError("", "must be an object"),)))
                continue
            name = _name(body)
            if name and name in seen:
                duplicate = FieldError("/name", say("is also the name of job {place} in the file", place=seen[name] + 1))
                steps.append(Step(name=name, action=StepAction.REFUSE, index=index, errors=(duplicate,)))
                continue
            seen[name] = index
            steps.append(self._step(actor, index, name, body, existing.get(name), only_new=only_new, planned_names=planned_names))
        pruned = [job for name, job in sorted(existing.items()) if prune and name not in seen and job.origin == ORIGIN]
        steps += [Step(name=job.definition.name, action=StepAction.DELETE, job_id=job.id, version=job.version) for job in pruned]
        return ExchangePlan(tuple(self._with_warnings(_with_refusals(steps, existing))))

    def apply(self, actor: Actor, text: str, *, prune: bool = False, only_new: bool = False) -> ExchangePlan:
        """Makes a plan and carries it out. Raises FileRefused, ValidationFailed, Forbidden."""
        return self.carry_out(actor, self.plan(actor, text, prune=prune, only_new=only_new))

    def carry_out(self, actor: Actor, plan: ExchangePlan) -> ExchangePlan:
        """Carries out a plan job by job, and returns it with the result of each step. Jobs that others depend on come first.

        A job that has changed since the plan was made is not changed. A plan with an invalid job changes nothing: it raises
        ValidationFailed with pointers into `/jobs`.
        """
        if not plan.valid:
            raise ValidationFailed(
                [
                    FieldError(f"/jobs/{step.index}{error.pointer}", error.message)
                    if step.index is not None
                    else FieldError("/jobs", joined((step.name, error.message), " "))  # a job that is not in the file
                    for step in plan.steps
                    for error in step.errors
                ]
            )
        done = {position: self._carry_out_step(actor, plan.steps[position]) for position in self._order(actor, plan.steps)}
        return ExchangePlan(tuple(done.get(position, step) for position, step in enumerate(plan.steps)))

    # -- steps ----------------------------------------------------------------------------------------------------

    def _all(self, actor: Actor, query: JobFilter) -> list[Job]:
        jobs: list[Job] = []
        for number in count(1):
            page = self._directory.page(actor, query, page=number, limit=PAGE)
            jobs += page.items
            if number >= page.pages:
                break
        return jobs

    def _with_warnings(self, steps: Iterable[Step]) -> list[Step]:
        """Returns the steps with warnings about what will make each run fail."""
        planned = list(steps)
        definitions = [step.definition for step in planned if step.definition is not None]
        warnings = iter(self._outlook.of_all(definitions))
        return [step if step.definition is None else replace(step, warnings=next(warnings)) for step in planned]

    def _order(self, actor: Actor, steps: Sequence[Step]) -> list[int]:
        """Returns the positions of the steps that change something, in the order of work: a job is created after its dependencies, and
        deleted before them."""
        positions = {step.name: position for position, step in enumerate(steps)}
        before: dict[int, set[int]] = {}
        for position, step in enumerate(steps):
            before[position] = {positions[name] for name in _named_dependencies(step) if name in positions} - {position}
            if step.action is StepAction.DELETE:
                dependants = self._dependencies.dependants(actor, step.job_id or "")
                before[position] = {positions[job.name] for job in dependants if job.name in positions}
        try:
            order = list(TopologicalSorter(before).static_order())
        except CycleError:  # of existing jobs: the database holds a circle
            order = list(before)
        return [position for position in order if steps[position].action is not StepAction.KEEP]

    def _step(
        self, actor: Actor, index: int, name: str, body: dict[str, Any], job: Job | None, *, only_new: bool, planned_names: Collection[str]
    ) -> Step:
        try:
            if job is None:
                definition = self._registry.validate(actor, body, planned_names=planned_names)
                diff = self._readable(actor, non_defaults(definition))
                return Step(name=name, action=StepAction.CREATE, index=index, diff=diff, body=body, definition=definition)
            if only_new:
                return Step(name=name, action=StepAction.KEEP, index=index, job_id=job.id)
            complete = self._complete(body, job)
            definition = self._registry.validate(actor, complete, job_id=job.id, planned_names=planned_names)
        except ValidationFailed as failed:
            return Step(name=name, action=StepAction.REFUSE, index=index, job_id=job.id if job else None, errors=failed.errors, body=body)
        except JobwrightError as error:
            return Step(name=name, action=StepAction.REFUSE, index=index, errors=(FieldError("", error.detail),))
        diff = self._readable(actor, field_diff(mask(to_plain(job.definition)), to_plain(definition)))
        if definition.template_type == job.definition.template_type:
            secrets = self._parameters.changed_secrets(job, complete["parameters"])
            diff += [{"field": f"/parameters{at}", "before": MASK, "after": MASK} for at in secrets]
        action = StepAction.UPDATE if diff else StepAction.KEEP
        step = Step(name=name, action=action, index=index, job_id=job.id, version=job.version, diff=diff)
        return replace(step, body=complete, definition=definition)

    def _readable(self, actor: Actor, diff: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the diff with names in place of the ids of jobs."""
        with_names = self._dependencies.with_names
        rows = []
        for row in diff:
            sides = ("before", "after") if row["field"] == "/depends_on" else ()
            rows.append({**row, **{side: with_names(actor, row[side]) for side in sides if side in row}})
        return rows

    def _complete(self, body: dict[str, Any], job: Job) -> dict[str, Any]:
        """Returns the job of the file with a value for each field that it leaves out; unchanged if the job is invalid."""
        reading = read_definition(body, self._settings)
        if reading.errors:
            return {"parameters": {}, **body}
        definition = reading.definition
        enabled = definition.enabled if "enabled" in body else job.definition.enabled
        return {**as_request(replace(definition, enabled=enabled)), "parameters": body.get("parameters", {})}

    def _carry_out_step(self, actor: Actor, step: Step) -> Step:
        try:
            match step.action:
                case StepAction.CREATE:
                    job, _ = self._registry.create(actor, step.body, origin=ORIGIN)
                    step = replace(step, job_id=job.id)
                case StepAction.UPDATE:
                    self._registry.update(actor, step.job_id or "", step.body, version=step.version)
                case StepAction.DELETE:
                    self._runs.delete_job(actor, step.job_id or "", version=step.version)
        except ApprovalNeeded as needed:
            request = self._approvals.ask(actor, needed.ask)
            return replace(step, result=StepResult.WAITS, detail=str(request["_id"]))
        except JobwrightError as error:
            return replace(step, result=StepResult.FAILED, detail=error.detail)
        return replace(step, result=StepResult.DONE)

    def _file_body(self, job: Job, names: Mapping[str, str], default: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of a job that differ from `default`, in their order, as a file has them.

        `names` maps the ids of the jobs that it depends on to their names. Parameters that a reader of the file would fill in with the same
        value are left out.
        """
        body = as_request(job.definition)
        body["depends_on"] = [{**row, "job": names.get(row["job"], row["job"])} for row in body["depends_on"]]
        filled = self._parameters.defaults(job)
        body["parameters"] = {name: value for name, value in body["parameters"].items() if not _same(value, filled.get(name, _NOTHING))}
        always = {"name", "template_type"}
        return {name: _without(value, default[name]) for name, value in body.items() if name in always or value != default[name]}


def _named_dependencies(step: Step) -> list[str]:
    """Returns the names of the jobs that the job of a step depends on, as its file names them."""
    rows = step.body.get("depends_on")
    if not isinstance(rows, list):
        return []
    return [normal(row["job"]) for row in rows if isinstance(row, Mapping) and isinstance(row.get("job"), str)]


def _name(body: Mapping[str, Any]) -> str:
    """Returns the name in the body of a job, in its one spelling."""
    return read_name(str(body.get("name", ""))[:LONGEST_SHOWN])[0]


def _with_refusals(steps: Sequence[Step], existing: Mapping[str, Job]) -> list[Step]:
    """Returns the steps, with those refused that would make a circle, or that would delete a job on which others depend."""
    names = {job.id: name for name, job in existing.items()}
    after = {name: [names[row.job] for row in job.definition.depends_on if row.job in names] for name, job in existing.items()}
    after |= {step.name: _named_dependencies(step) for step in steps if step.action in {StepAction.CREATE, StepAction.UPDATE}}
    deleted = {step.name for step in steps if step.action is StepAction.DELETE}
    after = {name: others for name, others in after.items() if name not in deleted}
    refusals: dict[str, FieldError] = {}
    for name in deleted:
        if dependants := sorted(other for other, names_after in after.items() if name in names_after):
            refusals[name] = FieldError("", say("cannot be deleted while other jobs depend on it: {jobs}", jobs=", ".join(dependants)))
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        refusals |= dict.fromkeys(
            circle, FieldError("/depends_on", say("creates a circle of dependencies: {jobs}", jobs=" → ".join(circle)))
        )
    changing = {StepAction.CREATE, StepAction.UPDATE, StepAction.DELETE}
    return [
        replace(step, action=StepAction.REFUSE, diff=[], errors=(*step.errors, refusals[step.name]))
        if step.name in refusals and step.action in changing
        else step
        for step in steps
    ]


_NOTHING = object()


def _same(value: Any, default: Any) -> bool:
    """Returns whether two JSON values are the same. Unlike in Python, true is not 1, and 1 is not 1.0."""
    return default is not _NOTHING and json.dumps(value, sort_keys=True) == json.dumps(default, sort_keys=True)


def _without(value: Any, default: Any) -> Any:
    """Returns an object without the members that have their default; a schedule keeps its type. Returns any other value unchanged."""
    if not (isinstance(value, dict) and isinstance(default, dict)):
        return value
    return {name: inner for name, inner in value.items() if name == "type" or name not in default or inner != default[name]}
