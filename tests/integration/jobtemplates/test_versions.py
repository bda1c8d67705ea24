"""Derived templates, versions, what they mean for jobs, moving them there and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import create_autospec

import bson
import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.connections.vault import SEALED
from app.errors import (
    ApprovalNeeded,
    Conflict,
    DuplicateName,
    FieldError,
    Forbidden,
    JobwrightError,
    MigrationFailed,
    StaleVersion,
    ValidationFailed,
)
from app.executors.base import Executor, Run
from app.factory import Store, build_node, build_services
from app.jobs.moves import Effect, Outcome
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.derived import compose, editor_schema, problems
from app.services import Services
from app.validation import SchemaValidator
from templates_lib.base import JobResult, JobTemplate, RunContext


class Push(JobTemplate):
    """Version 1 of a kind that changes."""

    type = "push"
    name = "Push"
    description = "Push something"
    category = "Tests"
    icon = "send"
    parameters_schema: Mapping[str, Any] = {  # type: ignore[misc]
        "type": "object",
        "required": ["target"],
        "additionalProperties": False,
        "properties": {
            "target": {"type": "string", "maxLength": 50},
            "size": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10, "x-destination": False},
            "mode": {"enum": ["fast", "slow", "dry"], "default": "slow", "x-destination": False},
            "key": {"type": "string", "writeOnly": True},
            "labels": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        },
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        return JobResult(f"pushed {params['size']} to {params['target']}")


def _rename(parameters: dict[str, Any]) -> dict[str, Any]:
    target = parameters.pop("target", None)
    return parameters if target is None else {**parameters, "destination": target}


class Push2(Push):
    """Version 2 calls `target` otherwise."""

    version = 2
    migrations = {1: _rename}
    parameters_schema = {
        **Push.parameters_schema,
        "required": ["destination"],
        "properties": {
            **{name: one for name, one in Push.parameters_schema["properties"].items() if name != "target"},
            "destination": {"type": "string", "maxLength": 50},
        },
    }


class Push3(Push2):
    """Version 3 insists on a region, of which nobody knew, and is smaller."""

    version = 3
    parameters_schema = {
        **Push2.parameters_schema,
        "required": ["destination", "region"],
        "properties": {
            **Push2.parameters_schema["properties"],
            "region": {"enum": ["eu", "us"]},
            "size": {"type": "integer", "minimum": 1, "maximum": 500, "default": 10},
        },
    }


class Push4(Push3):
    """Version 4 knows where everybody is."""

    version = 4
    migrations = {**Push2.migrations, 3: lambda parameters: {"region": "eu", **parameters}}


def build(settings: Settings, store: Store, clock: ManualClock, template: type[JobTemplate] | None = Push) -> Services:
    """The house with one kind of code, as a deployment of it would start."""
    return build_services(settings, store, clock=clock, catalogue=Catalogue({template.type: template()} if template else {}))


@pytest.fixture
def house(settings: Settings, store: Store, clock: ManualClock) -> Services:
    return build(settings, store, clock)


FIRST = {
    "name": "Push to Paris",
    "description": "Only there",
    "category": "Tests",
    "parameters": {"target": {"value": "paris", "shown": True}, "size": {"default": 20, "narrow": {"maximum": 500}}},
}


def publish(house: Services, actor: Actor, kind: str, definition: dict[str, Any], *, base: str = "push") -> None:
    rows = {row["_id"] for row in house.templates.drafts(actor)} | set(house.catalogue.types())
    if kind in rows:
        house.templates.save_draft(actor, kind, definition)
    else:
        house.templates.derive(actor, {"type": kind, "base": base, "definition": definition})
    house.templates.publish(actor, kind)


def make(house: Services, actor: Actor, name: str, kind: str = "push_paris", **parameters: Any) -> str:
    job, _ = house.jobs.create(actor, {"name": name, "template_type": kind, "parameters": parameters, "schedule": {"type": "manual"}})
    return job.id


def stored(store: Store, job_id: str) -> bytes:
    """All that a person decided about a job, byte for byte as the database has it."""
    row = store.database["dynamic_jobs"].find_one({"_id": job_id})
    assert row is not None
    record = {"version", "updated_at", "updated_by"}
    return bson.encode({key: value for key, value in row.items() if key not in record})


# -- the scenario of five jobs and three versions ----------------------------------------------------------------------


def test_impact_of_three_versions_on_five_jobs_and_the_way_back(
    house: Services, store: Store, super_admin: Actor, clock: ManualClock
) -> None:
    publish(house, super_admin, "push_paris", FIRST)
    plain = make(house, super_admin, "1 plain")
    large = make(house, super_admin, "2 large", size=400)
    dry = make(house, super_admin, "3 dry", mode="dry")
    keyed = make(house, super_admin, "4 keyed", key="s3cret", labels=["a"])
    many = make(house, super_admin, "5 many", labels=["a", "b", "c"], size=100)
    before = {job_id: stored(store, job_id) for job_id in (plain, large, dry, keyed, many)}

    second = {**FIRST, "parameters": {**FIRST["parameters"], "mode": {"narrow": {"enum": ["fast", "slow"]}}}}  # type: ignore[dict-item]
    publish(house, super_admin, "push_paris", second)
    third = {
        **second,
        "parameters": {
            **second["parameters"],
            "target": {"value": "lyon"},
            "size": {"narrow": {"maximum": 200}},
            "labels": {"narrow": {"maxItems": 2}, "default": []},
        },
    }
    publish(house, super_admin, "push_paris", third)

    def effects(version: int) -> dict[str, Effect]:
        found = house.moves.impact(super_admin, house.catalogue.get("push_paris", version))
        return {one.job.id: one.effect for one in found}

    there, valid, migrates, asks = Effect.THERE, Effect.STAYS_VALID, Effect.MIGRATES, Effect.NEEDS_INPUT
    assert effects(1) == dict.fromkeys((plain, large, dry, keyed, many), there)
    assert effects(2) == {plain: valid, large: valid, dry: asks, keyed: valid, many: valid}
    assert effects(3) == {plain: migrates, large: asks, dry: asks, keyed: migrates, many: asks}
    wrong = {one.job.id: [e.pointer for e in one.errors] for one in house.moves.impact(super_admin, house.catalogue.get("push_paris", 3))}
    assert wrong == {plain: [], keyed: [], large: ["/parameters/size"], dry: ["/parameters/mode"], many: ["/parameters/labels"]}

    # Without a word, only those that need no input are moved; the others stay where they are, and run on.
    to_third = house.catalogue.get("push_paris", 3)
    record, results = house.moves.move(super_admin, to_third, None)
    assert record is not None
    assert {one.job_id: one.outcome for one in results} == {plain: Outcome.MOVED, keyed: Outcome.MOVED}
    moved = house.jobs.get(super_admin, keyed)
    assert moved.template_version == 3
    assert moved.definition.parameters["target"] == "lyon"
    assert moved.definition.parameters["key"] == bson.decode(before[keyed])["parameters"]["key"]  # sealed as it was
    assert set(moved.definition.parameters["key"]) == {SEALED}
    assert house.jobs.get(super_admin, dry).template_version == 1

    # One is given what it needs; one is asked for by name without it.
    given = {large: {**house.parameters.shown(house.jobs.get(super_admin, large)), "target": "lyon", "size": 150, "labels": []}}
    second_record, results = house.moves.move(super_admin, to_third, [large, many], given=given)
    assert {one.job_id: one.outcome for one in results} == {large: Outcome.MOVED, many: Outcome.NEEDS_INPUT}
    assert [e.pointer for one in results for e in one.errors] == ["/parameters/labels"]
    assert second_record is not None

    # Back: each byte is as it was, but for one that somebody has changed since.
    house.jobs.update(super_admin, plain, {"description": "changed since"})
    back = house.moves.roll_back(super_admin, record["_id"])
    assert {one.job_id: one.outcome for one in back} == {plain: Outcome.CHANGED, keyed: Outcome.RESTORED}
    assert [one.outcome for one in house.moves.roll_back(super_admin, second_record["_id"])] == [Outcome.RESTORED]
    for job_id in (large, dry, keyed, many):
        assert stored(store, job_id) == before[job_id]
    assert stored(store, plain) != before[plain]
    with pytest.raises(Conflict):
        house.moves.roll_back(super_admin, record["_id"])
    audited = [row["action"] for row in store.database["audit_log"].find({"target.id": keyed}).sort("seq", 1)]
    assert audited == ["job.create", "job.move", "job.move_back"]


# -- code that moves on ------------------------------------------------------------------------------------------------


def test_jobs_of_new_code_run_by_its_migrations_before_anybody_moves_them(
    settings: Settings, store: Store, clock: ManualClock, house: Services, super_admin: Actor
) -> None:
    job_id = make(house, super_admin, "old", "push", target="installed here", key="s3cret")
    before = stored(store, job_id)
    after = build(settings, store, clock, Push2)
    job = after.jobs.get(super_admin, job_id)
    assert stored(store, job_id) == before
    assert after.parameters.shown(job)["destination"] == "installed here"
    assert after.parameters.for_run(job, {"size": 7})["destination"] == "installed here"
    [found] = after.moves.impact(super_admin, after.catalogue.get("push"))
    assert (found.effect, [row["field"] for row in found.diff]) == (Effect.MIGRATES, ["/parameters/destination", "/parameters/target"])

    # An edit brings it along; a roll-back of a move brings back what the old code had.
    record, _ = after.moves.move(super_admin, after.catalogue.get("push"), None)
    assert after.jobs.get(super_admin, job_id).template_version == 2
    assert record is not None
    after.moves.roll_back(super_admin, record["_id"])
    assert stored(store, job_id) == before
    changed = after.jobs.update(super_admin, job_id, {"description": "edited under the new code"})
    assert changed.template_version == 2
    assert set(changed.definition.parameters) == {"destination", "size", "mode", "key"}
    assert set(changed.definition.parameters["key"]) == {SEALED}


class Wait(JobTemplate):
    """Version 1 counts in seconds."""

    type = "wait"
    name = "Wait"
    description = "Wait a while"
    category = "Tests"
    icon = "send"
    destructive = True
    parameters_schema: Mapping[str, Any] = {  # type: ignore[misc]
        "type": "object",
        "additionalProperties": False,
        "properties": {"for": {"type": "integer", "default": 1}, "label": {"type": "string", "default": "none"}},
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        return JobResult(f"waited {params['for']}")


class Wait2(Wait):
    """Version 2 counts in milliseconds: a migration that gives another number each time it is taken."""

    version = 2
    migrations = {1: lambda parameters: {**parameters, "for": parameters["for"] * 1000}}


CALM: dict[str, Any] = {"name": "Calm", "description": "Slowly", "category": "Tests", "parameters": {}}


def handed_over(services: Services, store: Store, settings: Settings, count: int) -> list[int]:
    """What the runner hands to the executor as `for`, of the next `count` runs; each gives its place back."""
    executor = create_autospec(Executor, instance=True)
    executor.capacity.return_value = 1
    executor.held.return_value = {}
    found: list[int] = []

    def submit(runs: list[Run]) -> None:
        found.extend(run.parameters["for"] for run in runs)
        ids = [run.attempt.execution_id for run in runs]
        store.database["job_executions"].update_many({"_id": {"$in": ids}}, {"$unset": {"slots": ""}})

    executor.submit.side_effect = submit
    node = build_node(settings, store, services, executor)
    node.running.parts.recorder.start()
    node.running.parts.runner.claim()
    assert node.running.parts.recorder.flush(10)
    node.running.parts.recorder.close()
    assert len(found) == count
    return found


@pytest.mark.parametrize("kind", ["wait", "calm"])
@pytest.mark.parametrize("after", ["nothing", "update", "move", "approved update"])
def test_a_migration_of_the_code_is_taken_once_on_whatever_way_parameters_go(
    settings: Settings, store: Store, clock: ManualClock, super_admin: Actor, admin: Actor, kind: str, after: str
) -> None:
    old = build(settings, store, clock, Wait)
    if kind == "calm":
        publish(old, super_admin, "calm", CALM, base="wait")
    body = {"name": "job", "template_type": kind, "parameters": {"for": 5}, "overlap": "allow", "concurrency": {"max_instances": 3}}
    job_id = old.jobs.create(super_admin, body)[0].id
    early = old.runs.run_now(super_admin, job_id)
    old.runs.cancel(super_admin, early.id)
    old.presets.save(super_admin, kind, "whole", {"for": 5})
    old.presets.save(super_admin, kind, "not complete", {"label": "x"})
    old.runs.run_now(super_admin, job_id)  # put into the queue by the old code, run by the new

    new = build(settings, store, clock, Wait2)
    assert handed_over(new, store, settings, 1) == [5000]
    if after == "update":
        new.jobs.update(super_admin, job_id, {"description": "edited"})
    elif after == "approved update":
        approved(new, admin, super_admin, lambda: new.jobs.update(admin, job_id, {"description": "edited"}))
    elif after == "move":
        if kind == "calm":
            publish(new, super_admin, "calm", CALM)
        _, results = new.moves.move(super_admin, new.catalogue.get(kind), [job_id])
        assert [one.outcome for one in results] == [Outcome.MOVED]

    assert new.parameters.shown(new.jobs.get(super_admin, job_id))["for"] == 5000
    assert new.history.parameters_again(super_admin, early.id)["for"] == 5000
    assert {one["name"]: one["parameters"] for one in new.presets.of(super_admin, kind)} == {
        "whole": {"for": 5000},
        "not complete": {"label": "x"},
    }
    new.runs.run_now(super_admin, job_id)
    new.runs.run_now(super_admin, job_id, overrides={"label": "other"})
    new.runs.retry(super_admin, early.id)
    new.runs.retry(super_admin, early.id, parameters={"for": 5000, "label": "whole"})
    approved(new, admin, super_admin, lambda: new.runs.run_now(admin, job_id))
    approved(new, admin, super_admin, lambda: new.runs.retry(admin, early.id))
    assert handed_over(new, store, settings, 6) == [5000] * 6


class WaitBroken(Wait):
    """Version 2 changes what it is given, then fails."""

    version = 2

    @staticmethod
    def _break(parameters: dict[str, Any]) -> dict[str, Any]:
        parameters["for"] = parameters["nothing"].pop()
        return parameters

    migrations = {1: _break}


def test_a_migration_that_fails_breaks_nothing_but_what_needs_it(
    settings: Settings, store: Store, clock: ManualClock, super_admin: Actor
) -> None:
    old = build(settings, store, clock, Wait)
    job_id = make(old, super_admin, "job", "wait", **{"for": 5})
    done = old.runs.run_now(super_admin, job_id)

    new = build(settings, store, clock, WaitBroken)
    job = new.jobs.get(super_admin, job_id)
    assert new.parameters.shown(job)["for"] == 5
    assert handed_over(new, store, settings, 0) == []
    ended = new.history.get(super_admin, done.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.type == "MigrationFailed"
    assert "the migration of Wait from version 1 raised KeyError: 'nothing'" in ended.error.message
    before = stored(store, job_id)
    for call in (
        lambda: new.jobs.update(super_admin, job_id, {"description": "x"}),
        lambda: new.runs.run_now(super_admin, job_id),
        lambda: new.runs.retry(super_admin, done.id),
    ):
        with pytest.raises(MigrationFailed, match="from version 1"):
            call()
    assert stored(store, job_id) == before

    # A super-admin sees it among the jobs that need input, and gives it.
    target = new.catalogue.get("wait")
    [found] = new.moves.impact(super_admin, target)
    assert (found.effect, [one.pointer for one in found.errors]) == (Effect.NEEDS_INPUT, ["/parameters"])
    _, results = new.moves.move(super_admin, target, [job_id], given={job_id: {"for": 5000}})
    assert [one.outcome for one in results] == [Outcome.MOVED]
    new.runs.run_now(super_admin, job_id)
    assert handed_over(new, store, settings, 1) == [5000]


def approved(services: Services, asker: Actor, approver: Actor, call: Callable[[], object]) -> None:
    """What an admin asks for, another person lets be done."""
    with pytest.raises(ApprovalNeeded) as needed:
        call()
    services.approvals.approve(approver, services.approvals.ask(asker, needed.value.ask)["_id"])


def test_each_step_of_the_code_is_taken_and_a_gap_without_migration_asks(
    settings: Settings, store: Store, clock: ManualClock, house: Services, super_admin: Actor
) -> None:
    job_id = make(house, super_admin, "old", "push", target="installed here")
    third = build(settings, store, clock, Push3)
    [found] = third.moves.impact(super_admin, third.catalogue.get("push"))
    assert (found.effect, [one.pointer for one in found.errors]) == (Effect.NEEDS_INPUT, ["/parameters/region"])
    fourth = build(settings, store, clock, Push4)
    [found] = fourth.moves.impact(super_admin, fourth.catalogue.get("push"))
    assert found.effect is Effect.MIGRATES
    assert found.parameters == {"destination": "installed here", "size": 10, "mode": "slow", "region": "eu"}
    assert fourth.jobs.get(super_admin, job_id).template_version == 1


def test_a_template_whose_code_is_gone_breaks_its_jobs_loudly_and_deletes_nothing(
    settings: Settings, store: Store, clock: ManualClock, house: Services, super_admin: Actor
) -> None:
    publish(house, super_admin, "push_paris", FIRST)
    own, derived = make(house, super_admin, "own", "push", target="x"), make(house, super_admin, "derived")
    before = [stored(store, one) for one in (own, derived)]
    gone = build(settings, store, clock, None)
    assert gone.catalogue.why_not("push_paris", 1) == "it is derived from push, which is not installed"
    assert set(gone.catalogue.broken) == {"push_paris"}
    assert gone.directory.broken() == {
        "derived": "its template 'push_paris' is gone: it is derived from push, which is not installed",
        "own": "its template 'push' is gone: there is no such template here",
    }
    with pytest.raises(ValidationFailed):
        gone.jobs.update(super_admin, own, {"description": "new"})
    gone.jobs.set_enabled(super_admin, own, enabled=False)  # stopping is always possible
    house.jobs.set_enabled(super_admin, own, enabled=True)
    assert [stored(store, one) for one in (own, derived)] == before
    back = build(settings, store, clock, Push)
    assert back.directory.broken() == {}


def test_a_base_that_changes_under_a_derived_template_names_the_place(
    settings: Settings, store: Store, clock: ManualClock, house: Services, super_admin: Actor
) -> None:
    publish(house, super_admin, "push_paris", FIRST)
    make(house, super_admin, "derived")
    after = build(settings, store, clock, Push2)
    assert after.catalogue.find("push_paris") is None
    assert "push has changed and no longer fits: /parameters/target" in after.catalogue.broken["push_paris"]
    assert after.templates.mendable(super_admin) == ["push_paris"]
    # Its next version, of the code as it is now, takes the jobs along.
    publish(after, super_admin, "push_paris", {**FIRST, "parameters": {"destination": {"value": "paris"}}})
    [found] = after.moves.impact(super_admin, after.catalogue.get("push_paris", 2))
    assert (found.effect, found.parameters) == (Effect.MIGRATES, {"destination": "paris", "size": 20, "mode": "slow"})


# -- what a definition may say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"target": {"hidden": True}}, "/parameters/target"),
        ({"nobody": {"value": 1}}, "/parameters/nobody"),
        ({"size": {"value": 5000}}, "/parameters/size"),
        ({"size": {"narrow": {"maximum": 5000}}}, "/parameters/size/narrow/maximum"),
        ({"size": {"narrow": {"maximum": 5}, "default": 6}}, "/parameters/size/default"),
        ({"size": {"narrow": {"maximum": 5}}}, "/parameters/size/default"),
        ({"mode": {"value": "nonsense"}}, "/parameters/mode"),
        ({"mode": {"narrow": {"enum": ["fast", "nonsense"]}}}, "/parameters/mode"),
        ({"key": {"value": "a secret in the clear"}}, "/parameters/key/value"),
        ({"key": {"default": "a secret in the clear"}}, "/parameters/key/default"),
        ({"target": {"narrow": {"pattern": "(a+"}}}, "/parameters/target"),
        ({"labels": {"narrow": {"maxItems": 50}}}, "/parameters/labels/narrow/maxItems"),
    ],
)
def test_a_definition_that_says_too_much_is_refused_at_its_place(parameters: dict[str, Any], pointer: str) -> None:
    found = problems(Push(), {**FIRST, "parameters": parameters})
    assert found
    assert all(one.pointer.startswith(pointer) for one in found), found


def test_a_secret_may_be_fixed_by_its_name() -> None:
    named = {"$secret": "named", "name": "push key"}
    assert problems(Push(), {**FIRST, "parameters": {"key": {"value": named}}}) == []


def test_a_derived_schema_never_takes_what_its_base_refuses() -> None:
    """Whatever the definition, each value that fits the derived schema fits the base."""
    definition = {
        **FIRST,
        "parameters": {
            "size": {"narrow": {"minimum": 5}, "default": 7},
            "mode": {"narrow": {"enum": ["fast"]}, "default": "fast"},
            "labels": {"hidden": True},
        },
    }
    assert problems(Push(), definition) == []
    derived, base = SchemaValidator(compose(Push.parameters_schema, definition)), SchemaValidator(Push.parameters_schema)
    values = [
        {"target": target, "size": size, "mode": mode, **extra}
        for target in ("x", "y" * 51, 5)
        for size in (0, 4, 5, 1000, 1001, "5")
        for mode in ("fast", "slow", "none")
        for extra in ({}, {"other": 1}, {"labels": ["a"] * 6}, {"labels": []})
    ]
    fits = [value for value in values if not derived.errors(value)]
    assert fits == [value for value in values if not base.errors(value) and value["size"] >= 5 and value["mode"] == "fast"]  # type: ignore[operator]


def test_the_editors_own_form_is_a_schema_that_every_kind_of_ours_draws() -> None:
    for entry in Catalogue.discover().code():
        definition = {"name": entry.name, "description": entry.description, "category": entry.category}
        assert problems(entry.template, definition) == [], entry.type
        SchemaValidator(editor_schema(entry.template))


# -- life of a version -------------------------------------------------------------------------------------------------


def test_drafts_are_seen_by_no_job_and_versions_live_on(house: Services, super_admin: Actor) -> None:
    house.templates.derive(super_admin, {"type": "push_paris", "base": "push", "definition": FIRST})
    assert "push_paris" not in house.catalogue.types()
    with pytest.raises(ValidationFailed):
        make(house, super_admin, "too early")
    assert house.templates.draft(super_admin, "push_paris").version == 1
    with pytest.raises(DuplicateName):
        house.templates.derive(super_admin, {"type": "push_paris", "base": "push"})
    with pytest.raises(DuplicateName):
        house.templates.derive(super_admin, {"type": "push", "base": "push"})
    house.templates.publish(super_admin, "push_paris", note="first")
    job_id = make(house, super_admin, "a job")
    assert house.jobs.get(super_admin, job_id).definition.parameters == {"target": "paris", "size": 20, "mode": "slow"}
    with pytest.raises(ValidationFailed) as refused:
        make(house, super_admin, "elsewhere", target="rome")
    assert [one.pointer for one in refused.value.errors] == ["/parameters/target"]
    with pytest.raises(Conflict):
        house.templates.set_state(super_admin, "push_paris", 1, "retired")
    house.templates.set_state(super_admin, "push_paris", 1, "deprecated")
    with pytest.raises(ValidationFailed) as closed:
        make(house, super_admin, "too late")
    assert closed.value.errors[0] == FieldError("/template_type", "does not allow new jobs: Push to Paris is deprecated")
    assert house.jobs.update(super_admin, job_id, {"description": "goes on"}).template_version == 1
    house.jobs.delete(super_admin, job_id)
    house.templates.set_state(super_admin, "push_paris", 1, "retired")
    with pytest.raises(Conflict):
        house.templates.set_state(super_admin, "push_paris", 1, "published")


def test_two_people_never_write_over_each_other(house: Services, super_admin: Actor) -> None:
    row = house.templates.derive(super_admin, {"type": "push_paris", "base": "push", "definition": FIRST})
    house.templates.save_draft(super_admin, "push_paris", {**FIRST, "name": "Mine"}, revision=row["revision"])
    with pytest.raises(StaleVersion):
        house.templates.save_draft(super_admin, "push_paris", {**FIRST, "name": "The other value"}, revision=row["revision"])
    with pytest.raises(StaleVersion):
        house.templates.publish(super_admin, "push_paris", revision=row["revision"])


def test_only_super_admins_manage_and_roles_keep_others_out(house: Services, super_admin: Actor, admin: Actor) -> None:
    for refused in (
        lambda: house.templates.derive(admin, {"type": "x1", "base": "push"}),
        lambda: house.templates.set_standing(admin, "push", {"enabled": False}),
        lambda: house.moves.impact(admin, house.catalogue.get("push")),
    ):
        with pytest.raises(Forbidden):
            refused()
    job_id = make(house, admin, "mine", "push", target="x")
    with pytest.raises(ValidationFailed):
        house.templates.set_standing(super_admin, "push", {"roles": ["admin"]})
    house.templates.set_standing(super_admin, "push", {"roles": ["super_admin"]})
    for closed in (
        lambda: make(house, admin, "another", "push", target="x"),
        lambda: house.jobs.update(admin, job_id, {"description": "x"}),
        lambda: house.runs.run_now(admin, job_id),
    ):
        with pytest.raises(Forbidden):
            closed()
    house.jobs.set_enabled(admin, job_id, enabled=False)  # whoever may change jobs may stop any
    publish(house, super_admin, "push_paris", FIRST)
    with pytest.raises(Forbidden):
        make(house, admin, "through the back door")


@pytest.mark.parametrize("when_off", ["keep", "pause"])
def test_a_template_that_is_off_takes_no_new_jobs_and_its_jobs_run_on_or_wait(
    house: Services, super_admin: Actor, when_off: str, store: Store, clock: ManualClock
) -> None:
    job_id = make(house, super_admin, "mine", "push", target="x")
    house.templates.set_standing(super_admin, "push", {"enabled": False, "when_off": when_off, "note": "Ask Ada"})
    with pytest.raises(ValidationFailed):
        make(house, super_admin, "another", "push", target="x")
    with pytest.raises(Conflict, match="Ask Ada"):
        house.jobs.update(super_admin, job_id, {"description": "x"})
    try:
        house.runs.run_now(super_admin, job_id)
        ran = True
    except JobwrightError:
        ran = False
    assert ran == (when_off == "keep")
    assert house.resting.rests("push") == (when_off == "pause")


def test_a_change_made_while_the_rows_are_read_is_seen_at_the_next_look() -> None:
    reads: list[int] = []

    def rows() -> list[dict[str, Any]]:
        reads.append(1)
        if len(reads) == 1:
            catalogue.refresh()  # another thread has written, after this one read
        return [{"_id": "noop", "standing": {"enabled": len(reads) == 1}}]

    catalogue = Catalogue({}, rows=rows)
    assert catalogue.standing("noop").enabled
    assert not catalogue.standing("noop").enabled
    assert not catalogue.standing("noop").enabled
    assert len(reads) == 2
