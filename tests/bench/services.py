"""Figures of registrations: many services with many jobs, and the same once more."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymongo import MongoClient, monitoring

from app.audit.model import SYSTEM
from app.config import Settings
from app.factory import Store, build_services, migrate
from app.mongo import Document, open_database
from tests.support import KEY

SERVICES, JOBS = 200, 50
REGISTER_SECONDS, AGAIN_SECONDS = 30.0, 2.0


class Writes(monitoring.CommandListener):
    """Counts the commands that write."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += event.command_name in {"insert", "update", "delete", "findAndModify", "bulkWrite"}

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def registration(service: int) -> list[dict[str, Any]]:
    """The jobs of one service, as it registers them at its start."""
    return [
        {
            "name": f"service-{service}-job-{number}",
            "serviceName": f"service-{service}",
            "serviceUrl": f"https://service-{service}.example.com",
            "displayName": f"Job {number}",
            "description": "Send weekly email with trending content",
            "cronExpression": f"{number} 9 * * MON",
            "jobType": "email",
            "config": {"batchSize": 100, "number": number},
        }
        for number in range(JOBS)
    ]


def services(uri: str, folder: Path, row: Callable[..., None]) -> None:
    """Registers all jobs, one service after the other, then the same again, which must not write."""
    writes = Writes()
    client: MongoClient[Document] = MongoClient(uri, tz_aware=True, event_listeners=[writes])
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    try:
        migrate(store)
        settings = replace(Settings(secret_key=KEY), data_dir=str(folder / "services"), max_jobs=20_000, max_jobs_per_creator=20_000)
        built = build_services(settings, store)
        actor = replace(SYSTEM, email="bot@example.com", is_service=True)
        bodies = [registration(service) for service in range(SERVICES)]
        total = f"{SERVICES * JOBS:,}"
        for name, target in (("registered", REGISTER_SECONDS), ("registered again, unchanged", AGAIN_SECONDS)):
            began, written = time.monotonic(), writes.count
            for body in bodies:
                built.registration.register(actor, body)
            row(f"{total} jobs of {SERVICES} services {name}", time.monotonic() - began, "s", target, more_is_better=False)
        print(f"{'    writes of the second time':<58} {writes.count - written:>9}")
        built.samples.close()
    finally:
        client.drop_database(store.database.name)
        client.close()
