"""Jobs out of a file, and into one: what would change is said before it is done, job by job."""

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
LONGEST_SHOWN = 200  # characters of a name that may be none


class Action(StrEnum):
    """What becomes of a job."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "unchanged"
    DELETE = "delete"
    REFUSE = "invalid"


class Result(StrEnum):
    """What became of it."""

    DONE = "done"
    WAITS = "approval"  # a super-admin is to approve it
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One job of a plan. `place` counts the file's jobs from 0, None for one that is not in it; `diff` is by field, secrets masked."""

    name: str
    action: Action
    place: int | None = None
    job_id: str | None = None
    version: int | None = None
    diff: list[dict[str, Any]] = field(default_factory=list)
    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()  # what will fail each run
    definition: JobDefinition | None = field(default=None, repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    result: Result | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would do, in its order; then what it would delete."""

    steps: tuple[Step, ...]

    def count(self, action: Action) -> int:
        return sum(step.action is action for step in self.steps)

    @property
    def valid(self) -> bool:
        return not self.count(Action.REFUSE)


class Exchange:
    """A file says what each of its jobs is, whole: what it leaves out has its default. Only whether a job that is there is switched on
    stays as it is where the file does not say."""

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
        """The jobs that `actor` sees and `query` leaves, by name, as a file (`yaml`, `json`); what is a default is left out, and the file
        says those defaults that are settings. Secrets are masked, but for the names of those that are kept elsewhere."""
        jobs = self._all(actor, query or JobFilter())
        names = self._dependencies.names(actor, {one.job for job in jobs for one in job.definition.depends_on})
        plain = as_request(load_definition({"name": "x", "template_type": "x"}, self._settings))
        defaults = {part: {name: plain[part][name] for name in row["properties"]} for part, row in file.DEFAULTS["properties"].items()}
        return file.write([self._written(job, names, plain) for job in jobs], kind, defaults)

    def plan(self, actor: Actor, text: str, *, prune: bool = False, only_new: bool = False) -> Plan:
        """What `apply` would do; nothing is changed. Raises FileRefused, Forbidden.

        `prune`: jobs that came out of a file before and are in it no more are deleted. `only_new`: those that are there stay as they are.
        """
        require(actor, May.CHANGE_JOBS)
        bodies = file.read(text)
        there = {job.definition.name: job for job in self._all(actor, JobFilter())}
        seen: dict[str, int] = {}
        planned_names = {_name(body) for body in bodies if isinstance(body, dict)} - there.keys()
        steps = []
        for place, body in enumerate(bodies):
            if not isinstance(body, dict):
                steps.append(Step(name="", action=Action.REFUSE, place=place, errors=(FieldError("", "must be an object"),)))
                continue
            name = _name(body)
            if name and name in seen:
                twice = FieldError("/name", say("is the name of job {place} of the file, too", place=seen[name] + 1))
                steps.append(Step(name=name, action=Action.REFUSE, place=place, errors=(twice,)))
                continue
            seen[name] = place
            steps.append(self._step(actor, place, name, body, there.get(name), only_new=only_new, planned_names=planned_names))
        gone = [job for name, job in sorted(there.items()) if prune and name not in seen and job.origin == ORIGIN]
        steps += [Step(name=job.definition.name, action=Action.DELETE, job_id=job.id, version=job.version) for job in gone]
        return Plan(tuple(self._with_warnings(_with_refusals(steps, there))))

    def apply(self, actor: Actor, text: str, *, prune: bool = False, only_new: bool = False) -> Plan:
        """`plan`, and `carry_out` of it."""
        return self.carry_out(actor, self.plan(actor, text, prune=prune, only_new=only_new))

    def carry_out(self, actor: Actor, plan: Plan) -> Plan:
        """Do what a plan says, job by job, those that others depend on first; each step says what became of it: a job that has changed
        since is left alone. A plan with an invalid job does nothing: raises ValidationFailed with pointers into `/jobs`."""
        if not plan.valid:
            raise ValidationFailed(
                [
                    FieldError(f"/jobs/{step.place}{error.pointer}", error.message)
                    if step.place is not None
                    else FieldError("/jobs", joined((step.name, error.message), " "))  # one that the file leaves out
                    for step in plan.steps
                    for error in step.errors
                ]
            )
        done = {place: self._done(actor, plan.steps[place]) for place in self._order(actor, plan.steps)}
        return Plan(tuple(done.get(place, step) for place, step in enumerate(plan.steps)))

    # -- steps ----------------------------------------------------------------------------------------------------

    def _all(self, actor: Actor, query: JobFilter) -> list[Job]:
        found: list[Job] = []
        for number in count(1):
            page = self._directory.page(actor, query, page=number, limit=PAGE)
            found += page.items
            if number >= page.pages:
                break
        return found

    def _with_warnings(self, steps: Iterable[Step]) -> list[Step]:
        """With what can be known to fail each run of the jobs."""
        planned = list(steps)
        judged = [step.definition for step in planned if step.definition is not None]
        found = iter(self._outlook.of_all(judged))
        return [step if step.definition is None else replace(step, warnings=next(found)) for step in planned]

    def _order(self, actor: Actor, steps: Sequence[Step]) -> list[int]:
        """The places of the steps that change something: whatever a job depends on is made before it, and deleted after it."""
        places = {step.name: place for place, step in enumerate(steps)}
        before: dict[int, set[int]] = {}
        for place, step in enumerate(steps):
            before[place] = {places[name] for name in _named(step) if name in places} - {place}
            if step.action is Action.DELETE:
                after = self._dependencies.dependants(actor, step.job_id or "")
                before[place] = {places[one.name] for one in after if one.name in places}
        try:
            order = list(TopologicalSorter(before).static_order())
        except CycleError:  # of jobs that are there: two people closed it at the same moment
            order = list(before)
        return [place for place in order if steps[place].action is not Action.KEEP]

    def _step(
        self, actor: Actor, place: int, name: str, body: dict[str, Any], job: Job | None, *, only_new: bool, planned_names: Collection[str]
    ) -> Step:
        try:
            if job is None:
                definition = self._registry.validate(actor, body, planned_names=planned_names)
                diff = self._readable(actor, non_defaults(definition))
                return Step(name=name, action=Action.CREATE, place=place, diff=diff, body=body, definition=definition)
            if only_new:
                return Step(name=name, action=Action.KEEP, place=place, job_id=job.id)
            whole = self._whole(body, job)
            definition = self._registry.validate(actor, whole, job_id=job.id, planned_names=planned_names)
        except ValidationFailed as failed:
            return Step(name=name, action=Action.REFUSE, place=place, job_id=job.id if job else None, errors=failed.errors)
        except JobwrightError as error:
            return Step(name=name, action=Action.REFUSE, place=place, errors=(FieldError("", error.detail),))
        diff = self._readable(actor, field_diff(mask(to_plain(job.definition)), to_plain(definition)))
        if definition.template_type == job.definition.template_type:
            secrets = self._parameters.changed_secrets(job, whole["parameters"])
            diff += [{"field": f"/parameters{at}", "before": MASK, "after": MASK} for at in secrets]
        action = Action.UPDATE if diff else Action.KEEP
        return Step(name=name, action=action, place=place, job_id=job.id, version=job.version, diff=diff, body=whole, definition=definition)

    def _readable(self, actor: Actor, diff: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """With names for the ids of jobs."""
        named = self._dependencies.with_names
        found = []
        for row in diff:
            sides = ("before", "after") if row["field"] == "/depends_on" else ()
            found.append({**row, **{side: named(actor, row[side]) for side in sides if side in row}})
        return found

    def _whole(self, body: dict[str, Any], job: Job) -> dict[str, Any]:
        """The file's job with a value for each field that it leaves out; as it stands there, where it cannot be read whole."""
        reading = read_definition(body, self._settings)
        if reading.errors:
            return {"parameters": {}, **body}
        definition = reading.definition
        enabled = definition.enabled if "enabled" in body else job.definition.enabled
        return {**as_request(replace(definition, enabled=enabled)), "parameters": body.get("parameters", {})}

    def _done(self, actor: Actor, step: Step) -> Step:
        try:
            match step.action:
                case Action.CREATE:
                    job, _ = self._registry.create(actor, step.body, origin=ORIGIN)
                    step = replace(step, job_id=job.id)
                case Action.UPDATE:
                    self._registry.update(actor, step.job_id or "", step.body, version=step.version)
                case Action.DELETE:
                    self._runs.delete_job(actor, step.job_id or "", version=step.version)
        except ApprovalNeeded as needed:
            asked = self._approvals.ask(actor, needed.ask)
            return replace(step, result=Result.WAITS, detail=str(asked["_id"]))
        except JobwrightError as error:
            return replace(step, result=Result.FAILED, detail=error.detail)
        return replace(step, result=Result.DONE)

    def _written(self, job: Job, names: Mapping[str, str], plain: Mapping[str, Any]) -> dict[str, Any]:
        """A job as a file has it: what is no default (`plain`), in the order of the fields; `names` are those of the jobs that it depends
        on. Of its parameters those are left out that reading the file would fill in again."""
        whole = as_request(job.definition)
        whole["depends_on"] = [{**one, "job": names.get(one["job"], one["job"])} for one in whole["depends_on"]]
        filled = self._parameters.defaults(job)
        whole["parameters"] = {name: value for name, value in whole["parameters"].items() if not _same(value, filled.get(name, _NOTHING))}
        kept = {"name", "template_type"}
        return {name: _without(value, plain[name]) for name, value in whole.items() if name in kept or value != plain[name]}


def _named(step: Step) -> list[str]:
    """The jobs that a step's job is to depend on, as its file names them."""
    rows = step.body.get("depends_on")
    if not isinstance(rows, list):
        return []
    return [normal(one["job"]) for one in rows if isinstance(one, Mapping) and isinstance(one.get("job"), str)]


def _name(body: Mapping[str, Any]) -> str:
    """What the body of a job calls it."""
    return read_name(str(body.get("name", ""))[:LONGEST_SHOWN])[0]


def _with_refusals(steps: Sequence[Step], there: Mapping[str, Job]) -> list[Step]:
    """The steps, with those refused after which jobs would run after each other in a circle, or after one that is gone."""
    names = {job.id: name for name, job in there.items()}
    after = {name: [names[one.job] for one in job.definition.depends_on if one.job in names] for name, job in there.items()}
    after |= {step.name: _named(step) for step in steps if step.action in {Action.CREATE, Action.UPDATE}}
    gone = {step.name for step in steps if step.action is Action.DELETE}
    after = {name: others for name, others in after.items() if name not in gone}
    wrong: dict[str, FieldError] = {}
    for name in gone:
        if waiting := sorted(other for other, named in after.items() if name in named):
            wrong[name] = FieldError("", say("cannot go while others run after it: {jobs}", jobs=", ".join(waiting)))
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        wrong |= dict.fromkeys(circle, FieldError("/depends_on", say("makes a circle: {jobs}", jobs=" → ".join(circle))))
    refused = {Action.CREATE, Action.UPDATE, Action.DELETE}
    return [
        replace(step, action=Action.REFUSE, diff=[], errors=(*step.errors, wrong[step.name]))
        if step.name in wrong and step.action in refused
        else step
        for step in steps
    ]


_NOTHING = object()


def _same(value: Any, default: Any) -> bool:
    """Whether two JSON values are the same: true is not 1, and 1 is not 1.0, which Python takes for equal."""
    return default is not _NOTHING and json.dumps(value, sort_keys=True) == json.dumps(default, sort_keys=True)


def _without(value: Any, plain: Any) -> Any:
    """A policy without the members that are defaults; a schedule keeps its type."""
    if not (isinstance(value, dict) and isinstance(plain, dict)):
        return value
    return {name: inner for name, inner in value.items() if name == "type" or name not in plain or inner != plain[name]}
