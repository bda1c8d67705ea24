"""What tests of backups share: an installation with jobs, runs and secrets, and an empty database beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.audit.model import Actor
from app.backup.create import Backups
from app.factory import Store
from app.jobs.model import Job
from app.mongo import open_database
from app.services import Services

CLI = Actor(id="cli", email="command line", role="super_admin", via="cli")


@pytest.fixture
def backups(services: Services, store: Store) -> Backups:
    return Backups(store=store, keys=services.keys, audit=services.audit, clock=services.clock, name="Shop")


@pytest.fixture
def empty(store: Store, database_name: str) -> Iterator[Store]:
    """An empty database on the same server."""
    yield Store(store.client, open_database(store.client, database_name), None)
    store.client.drop_database(database_name)


@pytest.fixture
def job(services: Services, admin: Actor) -> Job:
    """A job that is due every minute."""
    body = {"name": "Minutely", "template_type": "noop", "schedule": {"type": "interval", "interval_seconds": 60}}
    return services.jobs.create(admin, body)[0]


@pytest.fixture
def backup(backups: Backups, job: Job, tmp_path: Path) -> Path:
    """A backup of the installation with one job."""
    return backups.create(CLI, tmp_path / "jobwright.zip")[0]
