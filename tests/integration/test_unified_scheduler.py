"""`UnifiedScheduler`, as programs still use it: its jobs are those of the database of Jobwright."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.audit.model import SYSTEM
from app.config import Settings
from app.errors import Conflict, NotFound
from app.factory import build_services, migrate, open_store
from migrations_scripts.unified_scheduler.compat import REMOVED_ON, UnifiedScheduler, initialize_unified_scheduler
from tests.support import JOB_PATHS, KEY, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def chosen(mongod: str, database_name: str, tmp_path: Path) -> Iterator[Settings]:
    paths = tuple(str(path) for path in JOB_PATHS)
    settings = replace(Settings(secret_key=KEY, data_dir=str(tmp_path)), mongodb_uri=mongod, database=database_name, job_paths=paths)
    store = open_store(settings)
    migrate(store)
    yield settings
    store.client.drop_database(database_name)
    store.close()


@pytest.fixture
def old_program(chosen: Settings) -> UnifiedScheduler:
    with pytest.warns(DeprecationWarning, match=f"{REMOVED_ON:%Y-%m-%d}"):
        return UnifiedScheduler(chosen)


def add(chosen: Settings, **fields: object) -> None:
    store = open_store(chosen)
    body = {"name": "beat", "template_type": "test_scheduler", "schedule": {"type": "interval", "interval_seconds": 1}, **fields}
    build_services(chosen, store).jobs.create(SYSTEM, body)
    store.close()


def test_it_runs_the_jobs_of_the_database_until_it_is_stopped(chosen: Settings, old_program: UnifiedScheduler) -> None:
    add(chosen)
    assert [(job["name"], job["interval_seconds"]) for job in old_program.get_jobs()] == [("beat", 1)]
    thread = threading.Thread(target=old_program.start)
    thread.start()
    try:
        eventually(lambda: old_program.is_running)
        eventually(lambda: old_program.get_jobs()[0]["last_run_at"])
        add(chosen, name="by hand", schedule={"type": "manual"})
        assert old_program.run_job("by hand")
    finally:
        old_program.stop()
        thread.join()
    assert not old_program.is_running


def test_code_adds_no_job(old_program: UnifiedScheduler) -> None:
    with pytest.raises(Conflict, match="from a template"):
        old_program.add_job("mine", print, 60)
    with pytest.raises(NotFound):
        old_program.run_job("mine")


def test_the_old_function_returns_it(chosen: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations_scripts.unified_scheduler.compat.load_settings", lambda: chosen)
    with pytest.warns(DeprecationWarning, match="jobwright scheduler"):
        assert isinstance(initialize_unified_scheduler(), UnifiedScheduler)
