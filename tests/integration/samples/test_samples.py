"""Sample data: what is made, that it works, that all of it goes, and that either can be interrupted anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, Forbidden
from app.execution.filters import ExecutionFilter
from app.factory import Store, build_services
from app.jobs.filters import JobFilter
from app.jobtemplates.catalogue import Catalogue
from app.mongo import Document
from app.samples import shop
from app.samples.jobs import FILES, NAMES, REPORT, SHOP
from app.services import Services

BOSS = replace(SYSTEM, id="boss", email="boss@example.com", via="web")
ADMIN = Actor(id="ada", email="ada@example.com", role="admin", via="web")


@pytest.fixture
def services(sample_services: Services) -> Services:
    return sample_services


def sample_databases(mongod: str) -> list[str]:
    with MongoClient(mongod) as client:
        return [name for name in client.list_database_names() if name.startswith("jobwright_sample_")]


def names_of_jobs(services: Services) -> list[str]:
    return services.directory.names(BOSS, limit=100)


def names_of_connections(services: Services) -> list[str]:
    return [row["name"] for row in services.connections.all(BOSS)]


def runs(services: Services) -> int:
    return services.history.page(BOSS, ExecutionFilter(), limit=1).total


def logs(store: Store) -> int:
    return store.database["execution_logs"].count_documents({})


def test_it_is_a_shop_three_jobs_and_a_week_of_their_history(services: Services, mongod: str, store: Store) -> None:
    standing = services.samples.create(BOSS)
    assert sorted(job.definition.name for job in standing.jobs) == sorted(NAMES) == sorted(names_of_jobs(services))
    assert sorted(names_of_connections(services)) == sorted([SHOP, FILES])
    for job in standing.jobs:
        assert job.definition.enabled
        assert job.next_run_at is not None
        assert job.definition.tags == ("sample",)
        assert "Sample data" in job.definition.description
        assert job.last_run_at is not None
    assert runs(services) == logs(store) == 7 + 7 * 12 + 7 * 24
    assert standing.sample is not None
    with MongoClient[Document](mongod) as client:
        database = client[standing.sample.database]
        assert database["customers"].count_documents({}) == shop.INACTIVE + shop.ACTIVE
        assert database["orders"].count_documents({"status": "open"}) == shop.open_orders()


def test_its_last_report_has_failed_and_others_fail_too(services: Services) -> None:
    report = next(job for job in services.samples.create(BOSS).jobs if job.definition.name == REPORT)
    assert report.last_status == "failed"
    failed = services.history.page(BOSS, ExecutionFilter(job_id=report.id, status="failed"), limit=100).items
    assert len(failed) == 7 * len(shop.BAD_HOURS)
    assert all("n/a" in (execution.error.message if execution.error else "") for execution in failed)


def test_the_cleanup_finds_the_same_number_of_customers_for_two_months(services: Services, mongod: str, clock: ManualClock) -> None:
    sample = services.samples.create(BOSS).sample
    assert sample is not None
    with MongoClient[Document](mongod, tz_aware=True) as client:
        customers = client[sample.database]["customers"]
        for days in (0, 30, 60):
            half_a_year_ago = clock.now() + timedelta(days=days - 183)
            assert customers.count_documents({"lastActive": {"$lt": half_a_year_ago}}) == shop.INACTIVE


def test_the_days_of_the_calendar_count_its_runs_and_forget_them(services: Services, clock: ManualClock) -> None:
    begin = clock.now() - timedelta(days=8)

    def counted() -> int:
        return sum(tally.total for tally in services.overview.hours(BOSS, begin, clock.now()).values())

    assert counted() == 0
    services.samples.create(BOSS)
    assert counted() == runs(services) > 0
    services.samples.remove(BOSS)
    assert counted() == 0


def test_made_twice_it_is_made_once(services: Services, mongod: str) -> None:
    first = services.samples.create(BOSS)
    assert services.samples.create(replace(BOSS, id="other", email="other@example.com")).sample == first.sample
    assert len(sample_databases(mongod)) == 1
    assert len(names_of_jobs(services)) == len(NAMES)


def test_all_of_it_goes(services: Services, mongod: str, store: Store, settings: Settings) -> None:
    services.samples.create(BOSS)
    (settings.data_path / "samples" / "files").mkdir(parents=True)
    (settings.data_path / "samples" / "files" / "orders.csv").write_text("x")
    assert services.samples.remove(BOSS)
    assert (names_of_jobs(services), names_of_connections(services), runs(services), logs(store)) == ([], [], 0, 0)
    assert sample_databases(mongod) == []
    assert not (settings.data_path / "samples" / "files").exists()
    assert services.samples.standing(BOSS).sample is None
    assert not services.samples.remove(BOSS)
    assert services.samples.create(BOSS).sample is not None


def test_jobs_of_people_on_the_sample_shop_go_too_and_others_stay(services: Services) -> None:
    services.samples.create(BOSS)
    parameters = {"connection": SHOP, "collection": "customers", "condition": {"city": "Berlin"}}
    theirs, _ = services.jobs.create(BOSS, {"name": "theirs", "template_type": "database_cleanup", "parameters": parameters})
    services.jobs.create(BOSS, {"name": "after theirs", "template_type": "noop"})
    services.jobs.create(BOSS, {"name": "tagged by a person", "template_type": "noop", "tags": ["sample"]})
    assert [job.id for job in services.samples.standing(BOSS).users] == [theirs.id]
    services.samples.remove(BOSS)
    assert names_of_jobs(services) == ["after theirs", "tagged by a person"]


def test_nothing_is_removed_while_another_job_runs_after_a_sample_job(services: Services) -> None:
    services.samples.create(BOSS)
    services.jobs.create(BOSS, {"name": "follower", "template_type": "noop", "depends_on": [{"job": REPORT}]})
    with pytest.raises(Conflict, match="'follower' runs after the sample job"):
        services.samples.remove(BOSS)
    standing = services.samples.standing(BOSS)
    assert standing.sample is not None
    assert standing.sample.is_ready
    assert len(standing.jobs) == len(NAMES)


def test_a_renamed_sample_job_goes_too(services: Services) -> None:
    report = services.samples.create(BOSS).jobs[-1]
    services.jobs.update(BOSS, report.id, {"name": "renamed", "tags": []})
    services.samples.remove(BOSS)
    assert names_of_jobs(services) == []


def test_what_people_name_like_it_later_stays(services: Services, tmp_path: Path) -> None:
    standing = services.samples.create(BOSS)
    report = next(job for job in standing.jobs if job.definition.name == REPORT)
    services.jobs.update(BOSS, report.id, {"name": "sales"})
    services.jobs.create(BOSS, {"name": REPORT, "template_type": "noop", "tags": ["sample"]})
    files = next(row for row in services.connections.all(BOSS) if row["name"] == FILES)
    services.connections.update(BOSS, files["_id"], name="files", settings=files["settings"])
    services.connections.create(BOSS, name=FILES, kind="file_store", settings={"path": str(tmp_path)})
    assert services.samples.remove(BOSS)
    assert names_of_jobs(services) == [REPORT]
    assert names_of_connections(services) == [FILES]


def test_what_waits_to_run_is_cancelled(services: Services) -> None:
    job = services.samples.create(BOSS).jobs[0]
    services.runs.run_now(BOSS, job.id)
    services.samples.remove(BOSS)
    assert runs(services) == 0


def test_a_name_that_is_taken_is_named_before_anything_is_made(services: Services) -> None:
    services.jobs.create(BOSS, {"name": REPORT, "template_type": "noop"})
    with pytest.raises(Conflict, match=REPORT):
        services.samples.create(BOSS)
    assert services.samples.standing(BOSS).sample is None


@pytest.mark.parametrize(
    "actor", [ADMIN, replace(BOSS, scopes=frozenset({"read", "write"}))], ids=["an admin", "a token without its scope"]
)
def test_super_admins_alone_make_and_remove_it(services: Services, actor: Actor) -> None:
    for call in (services.samples.create, services.samples.remove, services.samples.standing):
        with pytest.raises(Forbidden):
            call(actor)


def test_a_token_needs_no_other_scope(services: Services) -> None:
    assert services.samples.create(replace(BOSS, scopes=frozenset({"admin"}))).jobs
    assert services.samples.remove(replace(BOSS, scopes=frozenset({"admin"})))


def test_it_is_audited(services: Services) -> None:
    services.samples.create(BOSS)
    services.samples.remove(BOSS)
    for action in ("sample.create", "sample.remove"):
        (event,) = services.audit.history(AuditFilter(action=action))
        assert (event["outcome"], event["actor"]["email"]) == ("done", BOSS.email)


# -- interrupted ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ended here: nothing that would have come after it was done."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, *, after: bool) -> Iterator[None]:
    """Ends the process at the given call of a method, before or after its effect."""
    real: Callable[..., Any] = getattr(owner, name)
    count = 0

    def killing(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == call and not after:
            raise Killed
        result = real(*args, **options)
        if count == call:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing)
        # A process that was killed ends no turn.
        patch.setattr("app.samples.store.SampleStore.end_turn", lambda *_: None)
        with pytest.raises(Killed):
            yield


def steps_of(services: Services, step: str) -> tuple[Any, str]:
    """The object and the method that are a step of making or removing."""
    samples = services.samples
    return {
        "fill": (shop, "fill"),
        "connection": (services.connections, "create"),
        "note": (samples._store, "note"),
        "job": (services.jobs, "create"),
        "logs": (samples._past.logs, "append"),
        "history": (samples._past.history, "add_past"),
        "state": (samples._store, "set_state"),
        "delete job": (services.runs, "delete_job"),
        "remove logs": (samples._past.logs, "remove"),
        "remove history": (samples._past.history, "remove"),
        "delete connection": (services.connections, "delete"),
        "drop": (shop, "drop"),
        "discard": (samples._server, "discard"),
    }[step]


MAKING = [
    ("fill", 1),
    ("connection", 1),
    ("connection", 2),
    ("note", 1),
    ("job", 1),
    ("note", 3),
    ("logs", 2),
    ("history", 3),
    ("job", 3),
    ("state", 1),
]


REMOVING = [
    ("delete job", 1),
    ("delete job", 3),
    ("remove logs", 1),
    ("remove history", 2),
    ("delete connection", 1),
    ("delete connection", 2),
    ("drop", 1),
    ("discard", 1),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("step", "call"), MAKING)
def test_killed_while_it_is_made(
    step: str, call: int, after: bool, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, mongod: str, store: Store
) -> None:
    with killed_at(monkeypatch, *steps_of(services, step), call, after=after):
        services.samples.create(BOSS)
    if not services.samples.standing(BOSS).sample.is_ready:  # type: ignore[union-attr]  # there is a record by now
        with pytest.raises(Conflict, match="Somebody else"):
            services.samples.create(BOSS)
    clock.advance(120)
    standing = services.samples.create(replace(BOSS, id="other", email="other@example.com"))
    assert standing.sample is not None
    assert standing.sample.is_ready
    assert sorted(names_of_jobs(services)) == sorted(NAMES)
    assert sorted(names_of_connections(services)) == sorted([SHOP, FILES])
    assert runs(services) == logs(store) == 7 + 7 * 12 + 7 * 24
    assert sample_databases(mongod) == [standing.sample.database]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("step", "call"), MAKING)
def test_killed_while_it_is_made_and_then_removed(
    step: str, call: int, after: bool, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, mongod: str, store: Store
) -> None:
    with killed_at(monkeypatch, *steps_of(services, step), call, after=after):
        services.samples.create(BOSS)
    clock.advance(120)
    assert services.samples.remove(BOSS)
    assert (names_of_jobs(services), names_of_connections(services), runs(services), logs(store)) == ([], [], 0, 0)
    assert sample_databases(mongod) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("step", "call"), REMOVING)
@pytest.mark.parametrize("then", ["remove", "create"])
def test_killed_while_it_is_removed(
    then: str, step: str, call: int, after: bool, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    services.samples.create(BOSS)
    with killed_at(monkeypatch, *steps_of(services, step), call, after=after):
        services.samples.remove(BOSS)
    clock.advance(120)
    if then == "create":
        assert len(services.samples.create(BOSS).jobs) == len(NAMES)
        assert runs(services) == logs(store)
    assert services.samples.remove(BOSS)
    assert (names_of_jobs(services), names_of_connections(services), runs(services), logs(store)) == ([], [], 0, 0)


# -- where it can be --------------------------------------------------------------------------------------------------


def test_the_registrys_own_server_is_never_given_to_jobs(store: Store, settings: Settings, catalogue: Catalogue, mongod: str) -> None:
    services = build_services(replace(settings, mongodb_uri=mongod), store, catalogue=catalogue)
    with pytest.raises(Conflict, match="Set JOBWRIGHT_SAMPLE_URI"):
        services.samples.create(BOSS)
    assert services.samples.standing(BOSS).unavailable is not None
    assert services.directory.page(BOSS, JobFilter()).total == 0


def test_a_server_that_does_not_answer_is_named(
    store: Store, settings: Settings, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop, "TIMEOUT_MS", 100)
    services = build_services(replace(settings, sample_uri="mongodb://127.0.0.1:9"), store, catalogue=catalogue)
    with pytest.raises(Conflict, match="JOBWRIGHT_SAMPLE_URI"):
        services.samples.create(BOSS)
    assert services.samples.standing(BOSS).sample is not None, "it can be completed or removed"


def test_a_private_server_runs_while_there_is_sample_data(store: Store, settings: Settings, catalogue: Catalogue) -> None:
    services = build_services(settings, store, catalogue=catalogue)
    try:
        services.samples.create(BOSS)
        row = next(row for row in services.connections.all(BOSS) if row["name"] == SHOP)
        works, message = services.connections.probe(BOSS, row["_id"])
        assert works, message
        socket = next(Path(settings.data_path / "samples").rglob("*.sock"), None) or Path("/nowhere")
        services.samples.remove(BOSS)
        assert not (settings.data_path / "samples" / "mongo").exists()
        assert not socket.exists()
    finally:
        services.samples.close()
