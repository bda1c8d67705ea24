"""The samples of the document for commands, as they stand, against the served product and a real NATS server.

Nobody has created a connection: NATS_URL and ALLOWED_COMMANDS are enough.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import nats
import pytest

from tests.builders.nats import NatsServer, running_nats
from tests.integration.compat.documents import COMMANDS, environment, sample
from tests.integration.compat.served import Documents, serving
from tests.support import eventually

DAILY, HOURLY = "Create a Daily Email Schedule", "Create an Interval Schedule"
TRIGGER, BULK_PAUSE = "Trigger Immediate Execution", "Bulk Pause Schedules"


class Listener:
    """Another service, which hears the commands."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen(url)), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    async def _listen(self, url: str) -> None:
        client = await nats.connect(url)

        async def hear(message: Any) -> None:
            self.heard.append((message.subject, json.loads(message.data)))

        await client.subscribe("cmd.>", cb=hear)
        await client.flush()
        self._ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.05)
        await client.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20)


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="module")
def documents(mongod: str, tmp_path_factory: pytest.TempPathFactory, nats_server: NatsServer) -> Iterator[Documents]:
    folder = tmp_path_factory.mktemp("commands")
    with serving(mongod, folder, NATS_URL=nats_server.url, ALLOWED_COMMANDS="cmd.notification.>, cmd.analytics.*.*") as served:
        yield served


def test_the_schedules_of_the_document_are_created_triggered_and_paused(documents: Documents, nats_server: NatsServer) -> None:
    (daily_line,), (hourly_line,) = documents.curls(COMMANDS, DAILY), documents.curls(COMMANDS, HOURLY)
    daily, hourly = documents.curl(daily_line, known=True), documents.curl(hourly_line, known=True)
    for line, shown in ((daily_line, daily), (hourly_line, hourly)):
        sent = json.loads(line.partition("-d '")[2].removesuffix("'"))
        assert shown.items() >= sent.items()
        assert f"X-Created-By: {shown['created_by']}" in line
        assert shown["next_run_at"] is not None
    limits = environment(sample(COMMANDS, "Environment Variables"))
    assert (str(daily["max_retries"]), str(daily["retry_delay_seconds"])) == (limits["DEFAULT_MAX_RETRIES"], limits["DEFAULT_RETRY_DELAY"])
    listener = Listener(nats_server.url)
    (trigger,) = documents.curls(COMMANDS, TRIGGER)
    triggered = documents.curl(trigger, known=True, schedule_id=daily["id"])
    assert (triggered["schedule_id"], triggered["triggered_by"]) == (daily["id"], "admin")
    assert documents.ended(triggered["execution_id"])["status"] == "success"
    eventually(lambda: listener.heard == [(daily["target_command"], daily["command_payload"])])
    listener.close()
    (bulk,) = documents.curls(COMMANDS, BULK_PAUSE)
    unknown = documents.curl(bulk, known=True)
    assert [(result["schedule_id"], result["success"]) for result in unknown["results"]] == [(f"uuid{n}", False) for n in (1, 2, 3)]
    real = bulk.replace("uuid1", daily["id"]).replace("uuid2", hourly["id"])
    assert [result["status"] for result in documents.curl(real, known=True)["results"]] == ["done", "done", "failed"]
    shown = documents.admin.get(f"/api/v1/schedules/{daily['id']}").json()
    assert (shown["status"], shown["status_reason"], shown["updated_by"]) == ("paused", "Maintenance window", "admin")
    assert documents.admin.get(f"/api/v1/executions/{triggered['execution_id']}").json()["triggered_by_user"] == "admin"


def test_a_command_that_is_not_allowed_is_refused(documents: Documents) -> None:
    body = {"name": "x", "schedule_type": "immediate", "target_command": "cmd.payment.refund"}
    answer = documents.admin.post("/api/v1/schedules", json=body)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, ["/target_command"])


@pytest.mark.parametrize("heading", [DAILY, HOURLY, TRIGGER, BULK_PAUSE])
def test_without_a_token_they_are_refused(documents: Documents, heading: str) -> None:
    for line in documents.curls(COMMANDS, heading):
        assert documents.curl(line)["error"] == "Missing authorization"


def test_the_service_has_the_name_and_the_settings_of_the_document(documents: Documents) -> None:
    limits = environment(sample(COMMANDS, "Environment Variables"))
    assert documents.admin.get("/health").json()["service"] == limits["SERVICE_NAME"]
    far = {"name": "far", "schedule_type": "one_time", "target_command": "cmd.notification.send", "run_at": "2999-01-01T00:00:00Z"}
    answer = documents.admin.post("/api/v1/schedules", json=far)
    assert answer.json()["errors"][0]["detail"] == f"must be within the next {limits['MAX_SCHEDULE_LOOKAHEAD_DAYS']} days"
