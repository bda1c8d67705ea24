"""Executions that owe their events to the bus."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from app.audit.model import SYSTEM
from app.factory import Store
from app.integrations.nats.publishing import PublishExecution
from app.outbox.model import owed_now
from app.queue.model import Status
from app.services import Services
from tests.builders.queue import new_execution


def owe_events(store: Store, services: Services, count: int) -> list[str]:
    """Writes `count` executions that have succeeded, each of which owes two events; returns their ids."""
    now = datetime.now(UTC)
    name = f"past {uuid.uuid4().hex[:8]}"
    job, _ = services.jobs.create(SYSTEM, {"name": name, "template_type": "noop"})
    attempt = {"number": 1, "started_at": now, "completed_at": now, "status": "success", "error": None}
    document = {**new_execution(job, now=now, status=Status.SUCCESS).as_document(), "completed_at": now, "attempts": [attempt]}
    rows = [{**document, "_id": str(uuid.uuid4()), "owed": owed_now([PublishExecution.name], now)} for _ in range(count)]
    store.database["job_executions"].insert_many(rows)
    return [row["_id"] for row in rows]


def owing_count(store: Store) -> int:
    """How many executions still owe events."""
    return store.database["job_executions"].count_documents({"owed.what": PublishExecution.name})
