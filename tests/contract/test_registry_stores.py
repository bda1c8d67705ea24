"""Each store over the collection of jobs does the same on mongomock and on the real mongod, with one thread."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo.database import Database

from app.errors import DuplicateName, LimitReached
from app.jobs.dependency_store import DependencyStore
from app.jobs.dispatch_store import DispatchStore
from app.jobs.filters import EVERY_JOB, JobFilter
from app.jobs.list_store import ListStore
from app.jobs.model import Cause, Job, Pause
from app.jobs.records import Advance, Reservation, RunEnd
from app.jobs.registry_store import RegistryStore, SameRequest
from app.jobs.usage_store import UsageStore
from app.mongo import Document
from tests.builders.jobs import NOW, stored_job

Data = Database[Document]


def add(database: Data, *jobs: Job) -> None:
    for job in jobs:
        RegistryStore(database).add(job, max_jobs=100, max_per_creator=100)


@pytest.mark.differs("key of a duplicate")
def test_a_job_is_added_once_and_its_name_is_its_own(database: Data) -> None:
    add(database, stored_job("a"))
    with pytest.raises(SameRequest):
        add(database, stored_job("a"))
    with pytest.raises(DuplicateName):
        add(database, replace(stored_job("a"), id="another"))


def test_a_job_is_there_until_it_is_discarded(database: Data) -> None:
    registry = RegistryStore(database)
    add(database, stored_job("a"))
    assert registry.get("id-a") == stored_job("a")
    assert registry.name_taken("a", by_other_than=None)
    assert not registry.name_taken("a", by_other_than="id-a")
    registry.discard(stored_job("a"))
    assert registry.get("id-a") is None


def test_seats_bound_the_registry_and_each_creator(database: Data) -> None:
    registry = RegistryStore(database)
    registry.add(stored_job("a"), max_jobs=2, max_per_creator=1)
    with pytest.raises(LimitReached, match="has already created 1 jobs"):
        registry.add(stored_job("b"), max_jobs=2, max_per_creator=1)
    registry.add(stored_job("b", created_by="bert@example.com"), max_jobs=2, max_per_creator=1)
    with pytest.raises(LimitReached, match="There are already 2 jobs"):
        registry.refuse_full(stored_job("c", created_by="cleo@example.com"), max_jobs=2, max_per_creator=1)


def test_a_change_is_made_at_the_version_that_was_read_and_keeps_the_one_before(database: Data) -> None:
    registry = RegistryStore(database)
    before = stored_job("a", due_in=60)
    add(database, before, stored_job("b"))
    after = replace(before, definition=replace(before.definition, description="changed"), version=2)
    assert [registry.update(before, after, reschedule=True) for _ in range(2)] == [True, False]
    assert registry.get("id-a") == after
    assert registry.revision("id-a", 1) == before
    assert [job.version for job in registry.revisions("id-a", before=5, limit=5)] == [1]
    with pytest.raises(DuplicateName):
        registry.update(after, replace(after, definition=replace(after.definition, name="b"), version=3), reschedule=False)


def test_a_retired_job_frees_its_name_and_comes_back(database: Data) -> None:
    registry, dependencies, job = RegistryStore(database), DependencyStore(database), stored_job("a")
    add(database, job)
    assert dependencies.reserve(Reservation("token", "id-a", leaves=True), version=1, at=NOW)
    assert [registry.retire(job, by="u", at=NOW, reserved="token") for _ in range(2)] == [True, False]
    assert registry.get("id-a") is None
    retired = registry.get_retired("id-a")
    assert retired is not None
    assert (retired.version, retired.definition.enabled) == (2, True)
    assert DispatchStore(database).retired({"id-a", "none"}) == {"id-a"}
    add(database, replace(stored_job("a"), id="second"))
    renamed = replace(retired, definition=replace(retired.definition, name="a again"), version=3)
    assert [registry.bring_back(retired, renamed, max_jobs=9, max_per_creator=9) for _ in range(2)] == [True, False]


def test_lists_are_narrowed_and_sorted(database: Data) -> None:
    lists = ListStore(database)
    add(
        database,
        stored_job("a", group="north", tags=("x",), last_status="failed"),
        stored_job("b", due_in=120, tags=("y", "x")),
        stored_job("c", due_in=60, enabled=False, created_by="bert@example.com"),
    )
    page = lambda sort="next_run_at", skip=0, limit=10, **narrow: [
        job.definition.name for job in lists.page(JobFilter(**narrow), sort=sort, skip=skip, limit=limit, now=NOW)[0]
    ]
    assert page() == ["b", "a", "c"]
    assert page(skip=1, limit=1) == ["a"]
    assert page("-name", enabled=True) == ["b", "a"]
    assert page(tag="x") == ["b", "a"]
    assert page(search="B") == ["b"]
    assert page(groups=["north"]) == page(last_status="failed") == page(group="north") == ["a"]
    assert (lists.names(limit=2), lists.groups(), lists.tags()) == (["a", "b"], ["north"], ["x", "y"])
    assert lists.owners() == ["ada@example.com", "bert@example.com"]
    assert (lists.group_of("id-a"), lists.group_of("none")) == ("north", None)
    assert [job.id for job in lists.due_between(NOW, NOW + timedelta(minutes=5), 5)] == ["id-b"]
    assert [job.id for job in lists.enabled(5)] == ["id-a", "id-b"]


@pytest.mark.differs("hint")
def test_the_list_of_all_jobs_is_read_from_one_index(database: Data) -> None:
    add(database, stored_job("b"), stored_job("a"))
    jobs, total = ListStore(database).page(EVERY_JOB, sort="name", skip=0, limit=1, now=NOW)
    assert ([job.id for job in jobs], total) == (["id-a"], 2)


@pytest.mark.differs("first of a group")
def test_jobs_with_one_schedule_are_told_together(database: Data) -> None:
    add(database, stored_job("a", due_in=60), stored_job("b", due_in=60), stored_job("c", due_in=90), stored_job("d"))
    shared = sorted(ListStore(database).shared_schedules(), key=lambda one: -one.jobs)
    assert [(one.jobs, one.phase, {name for _, name in one.first}) for one in shared] == [
        (2, NOW + timedelta(seconds=60), {"a", "b"}),
        (1, NOW + timedelta(seconds=90), {"c"}),
    ]


def test_what_jobs_use_is_counted(database: Data) -> None:
    usage = UsageStore(database)
    add(
        database,
        stored_job("a", template_version=2, parameters={"to": {"mail": "smtp"}}),
        stored_job("b", created_by="bert@example.com"),
        stored_job("c", template_type="backup", due_in=60, calendars=("holidays",)),
    )
    assert (usage.count_of("noop"), usage.count_of("noop", 2), usage.names_of("noop", 1)) == (2, 1, ["b"])
    assert usage.counts_by_owner(["ada@example.com", "nobody@example.com"]) == {"ada@example.com": 2}
    assert (usage.names_using("smtp", ["to.mail"]), usage.names_on("holidays")) == (["a"], ["c"])
    assert (usage.broken(), usage.count_with_recipients()) == ({}, 0)


@pytest.mark.differs("count by value")
def test_jobs_are_counted_by_the_version_of_their_template(database: Data) -> None:
    add(database, stored_job("a", template_version=2), stored_job("b"))
    assert UsageStore(database).counts_by_version("noop") == {1: 1, 2: 1}


def test_who_runs_after_whom_and_what_is_about_to_change(database: Data) -> None:
    dependencies = DependencyStore(database)
    add(database, stored_job("a", last_status="success"), stored_job("b", after=("id-a",)), stored_job("c", after=("id-a",), enabled=False))
    assert [(ref.id, ref.last_status) for ref in dependencies.refs(["a", "none"])] == [("id-a", "success")]
    assert [job.id for job in dependencies.dependants("id-a")] == ["id-b", "id-c"]
    assert [job.id for job in dependencies.dependants("id-a", enabled=True)] == ["id-b"]
    assert DispatchStore(database).followed(["id-a", "id-b"]) == {"id-a"}
    assert dependencies.templates_downstream_of(["id-a"]) == {"id-b": ("noop", 1), "id-c": ("noop", 1)}
    wanted = Reservation("token", "id-a", depends_on=("id-c",))
    assert [dependencies.reserve(wanted, version=version, at=NOW) for version in (2, 1)] == [False, True]
    assert dependencies.upstream_of(["id-a", "id-b"]) == {"id-a": {"id-c": "token"}, "id-b": {"id-a": None}}
    assert dependencies.downstream_of("id-c") == ([], [("id-a", "token")])
    dependencies.release("id-a", "token")
    assert dependencies.downstream_of("id-c") == ([], [])
    assert dependencies.reserve(Reservation("gone", "id-b", leaves=True), version=1, at=NOW)
    assert dependencies.in_registry(["id-a", "id-b", "none"]) == {"id-a": None, "id-b": "gone"}


def test_due_jobs_are_found_in_their_order(database: Data) -> None:
    dispatch = DispatchStore(database)
    add(database, stored_job("a", due_in=-60), stored_job("b", due_in=-120), stored_job("c", due_in=60), stored_job("d"))
    assert [job.id for job in dispatch.find_due(NOW, 5)] == ["id-b", "id-a"]
    assert dispatch.next_due_at() == NOW - timedelta(seconds=120)
    assert dispatch.next_due_at(NOW) == NOW + timedelta(seconds=60)
    assert dispatch.seconds_late(NOW, timedelta(seconds=90)) == 120
    dispatch.mark_broken(stored_job("b"), "odd")
    assert [job.id for job in dispatch.find_due(NOW, 5)] == ["id-a"]
    assert UsageStore(database).broken() == {"b": "odd"}
    assert dispatch.templates_in_use() == ["noop"]


def test_pauses_of_one_cause_end_together(database: Data) -> None:
    registry, dispatch, job = RegistryStore(database), DispatchStore(database), stored_job("a", due_in=60)
    pause = Pause(cause=Cause.TEMPLATE, reason="noop", by="u", at=NOW, since_due=NOW)
    add(database, replace(job, paused=pause))
    assert dispatch.templates_that_pause() == ["noop"]
    assert [dispatch.look_again(Cause.TEMPLATE, reason, NOW) for reason in ("backup", "noop")] == [0, 1]
    looked = registry.get("id-a")
    assert looked is not None
    assert looked.paused is not None
    assert (looked.next_run_at, looked.paused.until) == (NOW, NOW)


@pytest.mark.differs("bulk update")
def test_a_step_fills_the_outbox_of_a_job_once(database: Data) -> None:
    dispatch, job = DispatchStore(database), stored_job("a", due_in=-60)
    add(database, job)
    step = Advance("id-a", 1, NOW - timedelta(seconds=60), NOW, [{"_id": "e1"}])
    assert [dispatch.advance([step], claim=claim, at=NOW, settled=[]) for claim in ("c1", "c2")] == [{"id-a"}, set()]
    assert [(outbox.job_id, outbox.claim) for outbox in dispatch.find_unsettled(NOW + timedelta(seconds=1), 5)] == [("id-a", "c1")]
    assert dispatch.with_full_outbox() == ["id-a"]
    dispatch.settle("id-a", "c2")
    dispatch.settle("id-a", "c1")
    assert dispatch.with_full_outbox() == []


@pytest.mark.differs("bulk update")
def test_the_last_run_of_a_job_never_goes_back(database: Data) -> None:
    dispatch = DispatchStore(database)
    add(database, stored_job("a"))
    dispatch.note_runs([RunEnd("id-a", NOW, "failed"), RunEnd("id-a", NOW - timedelta(minutes=1), "success")])
    dispatch.note_runs([RunEnd("id-a", NOW - timedelta(minutes=2), "success")])
    job = RegistryStore(database).get("id-a")
    assert job is not None
    assert (job.last_run_at, job.last_status) == (NOW, "failed")
