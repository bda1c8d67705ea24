"""People are told how an execution ended: once, by mail, and again later where that did not work."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.execution.delivery import MOST_TRIES, Deliveries
from app.execution.store import ExecutionStore
from app.factory import Store
from app.jobs.model import RetryOn
from app.notification.mail import MailNotifier
from app.queue.model import AttemptError, Outcome, Status, Trigger, new_execution
from app.services import Services
from tests.builders.mail import Inbox, mail_server
from tests.conftest import Api

TOLD = {"on_success": ["happy@example.com"], "on_failure": ["ops@example.com", "ada@example.com"]}


class House:
    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.executions, self.services, self.clock = ExecutionStore(store.database), services, clock
        self.job = services.jobs.create(actor, {"name": "Night", "template_type": "noop", "notifications": TOLD, "overlap": "allow"})[0]
        notifier = MailNotifier(services.connections, clock, connection="Mail", public_url="https://jobs.example.com/")
        self.deliveries = Deliveries(self.executions, notifier, clock)

    def end(self, outcome: Outcome, delay: float | None = None) -> str:
        document = new_execution(self.job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, scheduled_for=self.clock.now())
        self.executions.add([document])
        (attempt,) = self.executions.claim_due(owner="w", host="h", now=self.clock.now(), lease=timedelta(seconds=30), limit=1)
        self.executions.finish([(attempt, outcome, delay)], now=self.clock.now())
        self.clock.advance(1)
        return str(document["_id"])

    def notify(self, execution_id: str) -> dict[str, Any]:
        return dict((self.executions.get(execution_id) or {}).get("notify", {}))


@pytest.fixture
def house(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, super_admin, clock)


def failed(status: Status = Status.FAILED) -> Outcome:
    return Outcome(status=status, error=AttemptError(type="Boom", message="it broke", kind=RetryOn.ERROR))


def test_each_end_tells_whom_the_job_names(house: House, super_admin: Actor, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        good = house.end(Outcome(status=Status.SUCCESS, result={"message": "Deleted 5 documents"}))
        bad = house.end(failed())
        house.end(failed(Status.TIMEOUT))
        house.end(Outcome(status=Status.CANCELLED))
        assert house.notify(house.end(failed(), delay=60.0)) == {}, "a retry follows: nothing has ended"
        assert house.deliveries.tick() == 3
        assert house.deliveries.tick() == 0
    told = {tuple(recipients): message_from_bytes(content, policy=policy.default) for recipients, content in inbox.mails[:2]}
    assert set(told) == {("happy@example.com",), ("ops@example.com", "ada@example.com")}
    message = told["ops@example.com", "ada@example.com"]
    assert (message["Subject"], message["Message-ID"]) == ("Night failed", f"<{bad}.outcome@jobwright>")
    content = message.get_content()
    assert "Boom: it broke" in content
    assert f"https://jobs.example.com/executions/{bad}" in content
    assert "Deleted 5 documents" in told["happy@example.com",].get_content()
    assert (house.notify(good)["state"], house.notify(bad)["tries"]) == ("sent", 1)


def test_missed_due_times_are_failures(house: House, clock: ManualClock) -> None:
    missed = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.MISSED)
    skipped = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.SKIPPED)
    assert (missed["notify"]["state"], "notify" in skipped) == ("pending", False)


def test_a_mail_that_cannot_be_sent_is_tried_again_and_then_recorded(house: House, super_admin: Actor, tmp_path: Path) -> None:
    run = house.end(failed())
    for tries in range(1, MOST_TRIES + 1):
        assert house.deliveries.tick() == 0
        assert house.deliveries.tick() == 0, "not before its time"
        assert house.notify(run)["tries"] == tries
        house.clock.advance(61)
    assert house.notify(run)["state"] == "failed"
    assert "no mail connection 'Mail'" in house.notify(run)["error"]
    other = house.end(failed())
    assert house.deliveries.tick() == 0
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        house.clock.advance(61)
        assert house.deliveries.tick() == 1
    assert (house.notify(other)["state"], house.notify(other)["error"], len(inbox.mails)) == ("sent", None, 1)


def test_a_node_that_dies_while_sending_is_followed_by_another(house: House) -> None:
    run = house.end(failed())
    now = house.clock.now()
    assert house.executions.claim_notification(now=now, again_at=now + timedelta(seconds=60)) is not None
    assert house.executions.claim_notification(now=now, again_at=now + timedelta(seconds=60)) is None
    house.clock.advance(61)
    again = house.executions.claim_notification(now=house.clock.now(), again_at=house.clock.now())
    assert again is not None
    assert (again["_id"], again["notify"]["tries"]) == (run, 2)
    house.executions.settle_notification(run, tries=1, state="sent", error=None)
    assert house.notify(run)["state"] == "pending", "the older try's record comes too late"


def test_the_body_of_the_document_is_taken_whole(api: Api) -> None:
    body = {
        "name": "Weekly User Data Cleanup",
        "description": "Remove inactive users older than 6 months",
        "template_type": "noop",
        "parameters": {},
        "schedule": {"type": "cron", "expression": "0 2 * * 0", "timezone": "UTC"},
        "enabled": True,
        "timeout_seconds": 3600,
        "retry_policy": {"max_retries": 3, "retry_delay_seconds": 300},
        "notifications": {"on_success": ["admin@example.com"], "on_failure": ["admin@example.com", "ops@example.com"]},
    }
    answer = api("POST", "/api/admin/scheduler-jobs", body)
    assert (answer.status_code, answer.json["job"]["notifications"]) == (201, body["notifications"])
    wrong = api("PUT", f"/api/admin/scheduler-jobs/{answer.json['job']['_id']}", {"notifications": {"on_failure": ["nobody"]}})
    assert [one["pointer"] for one in wrong.json["errors"]] == ["/notifications/on_failure/0"]
