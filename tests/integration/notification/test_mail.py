"""People are told how an execution ended: once, by mail, and again later where that did not work."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, NotFound
from app.factory import Store, build_services
from app.factory.handlers import carriers
from app.factory.notifications import build_sender
from app.factory.stores import Stores
from app.jobs.model import RetryOn
from app.notification.delivery import Delivery, DeliveryStatus
from app.outbox.model import Owed
from app.queue.model import AttemptError, Outcome, Status, Trigger
from app.queue.owing import Owing
from app.queue.store import execution_outbox
from app.services import Services
from tests.builders.mail import Inbox, mail_server
from tests.builders.queue import Queue, new_execution
from tests.conftest import Api
from web.language import translated

TOLD = {"on_success": ["happy@example.com"], "on_failure": ["ops@example.com", "ada@example.com"]}


class House:
    def __init__(self, store: Store, services: Services, settings: Settings, actor: Actor, clock: ManualClock) -> None:
        self.executions, self.clock, self.stores = Queue(store.database), clock, Stores.over(store.database, Owing())
        settings = replace(settings, notify_connection="Mail", public_url="https://jobs.example.com/")
        self.services = build_services(settings, store, clock=clock, catalogue=services.catalogue)
        self.job = services.jobs.create(actor, {"name": "Night", "template_type": "noop", "notifications": TOLD, "overlap": "allow"})[0]
        self.outbox = execution_outbox(store.database)
        self.carrier = next(item for item in carriers(settings, self.stores, self.services, None) if item.name == "notify")
        self.sender = build_sender(self.stores, self.services)

    def end(self, outcome: Outcome, delay: float | None = None) -> str:
        document = new_execution(self.job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, scheduled_for=self.clock.now())
        self.executions.queue.add([document])
        (attempt,) = self.executions.claim_due(owner="w", now=self.clock.now(), lease=timedelta(seconds=30), limit=1)
        self.executions.finish([(attempt, outcome, delay)], now=self.clock.now())
        self.clock.advance(1)
        return document.id

    def tell(self) -> int:
        """Writes what ends owe, and sends what is due; returns the number of tries."""
        self.carrier.tick()
        return self.sender.send_due()

    def owed(self, execution_id: str) -> Owed | None:
        """What an execution owes; None where it owes nothing, or nothing any more."""
        execution = self.executions.queue.get(execution_id)
        assert execution is not None
        return next((item for item in execution.owed if item.what == "notify"), None)

    def delivery(self, execution_id: str) -> Delivery:
        (delivery,) = self.stores.notification_deliveries.of_execution(execution_id)
        return delivery


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, settings, super_admin, clock)


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
        assert house.owed(house.end(failed(), delay=60.0)) is None, "a retry follows: nothing has ended"
        assert house.tell() == 3
        assert house.tell() == 0
    told = {tuple(recipients): message_from_bytes(content, policy=policy.default) for recipients, content in inbox.mails[:2]}
    assert set(told) == {("happy@example.com",), ("ops@example.com", "ada@example.com")}
    message = told["ops@example.com", "ada@example.com"]
    assert (message["Subject"], message["Message-ID"]) == ("Night failed", f"<{house.delivery(bad).id}@jobwright>")
    assert message["References"] == message["In-Reply-To"] == f"<{bad}.thread@jobwright>"
    assert message["List-Id"] == "Jobwright <notifications.jobwright>"
    body, html = message.get_body(("plain",)), message.get_body(("html",))
    assert body is not None
    assert html is not None
    content = body.get_content()
    assert "Boom: it broke" in content
    assert "Boom: it broke" in html.get_content()
    assert f"https://jobs.example.com/executions/{bad}" in content
    assert "Deleted 5 documents" in told["happy@example.com",].get_body(("plain",)).get_content()
    assert (house.owed(good), house.owed(bad)) == (None, None)


def test_missed_due_times_are_failures(house: House, clock: ManualClock) -> None:
    missed = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.MISSED)
    skipped = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.SKIPPED)
    house.executions.queue.add([missed, skipped])
    assert (house.owed(missed.id), house.owed(skipped.id)) == (Owed(what="notify", at=clock.now()), None)


def test_a_mail_server_that_is_away_is_tried_again_and_then_given_up(house: House, super_admin: Actor) -> None:
    settings = {"host": "127.0.0.1", "port": 1, "security": "none", "sender": "jobs@example.com"}
    house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=settings)
    run = house.end(failed())
    for tries, wait in enumerate((30, 120, 600, 3_600), 1):
        assert house.tell() == 1
        delivery = house.delivery(run)
        assert (delivery.status, delivery.failures) == (DeliveryStatus.WAITING, tries)
        assert wait <= (delivery.due_at - house.clock.now()).total_seconds() <= wait * 1.1
        house.clock.advance((delivery.due_at - house.clock.now()).total_seconds())
        house.stores.channel_states.note_reached("mail")  # no look in between, which has a test of its own
    reason = house.delivery(run).reason
    assert reason == "Nothing listens at 127.0.0.1:1 (connection refused). Check the host and port."
    assert translated(reason, "de").startswith("Unter 127.0.0.1:1 lauscht kein Dienst")
    house.clock.advance(86_400)
    assert house.tell() == 1
    assert house.delivery(run).status is DeliveryStatus.GIVEN_UP
    house.clock.advance(86_400)
    assert house.tell() == 0, "nobody tries any more"


def test_a_mail_without_a_connection_is_refused_and_can_be_sent_again(house: House, super_admin: Actor, tmp_path: Path) -> None:
    run = house.end(failed())
    assert house.tell() == 1
    delivery = house.delivery(run)
    assert (delivery.status, house.owed(run)) == (DeliveryStatus.REFUSED, None)
    assert "no SMTP connection 'Mail'" in delivery.reason
    assert "keine SMTP-Verbindung „Mail“" in translated(delivery.reason, "de"), "a page can show it in any language"
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        again = house.services.deliveries.replay(super_admin, delivery.id)
        assert again.key == f"{delivery.id}-1", "a program may have seen the first one"
        with pytest.raises(Conflict):
            house.services.deliveries.replay(super_admin, delivery.id)
        assert house.tell() == 1
    assert (house.delivery(run).status, len(inbox.mails)) == (DeliveryStatus.SENT, 1)
    with pytest.raises(NotFound):
        house.services.deliveries.replay(super_admin, "nothing")


@pytest.mark.parametrize(("name", "status"), [("gone", DeliveryStatus.REFUSED), ("busy", DeliveryStatus.WAITING)])
def test_recipients_whom_the_server_refuses_are_named(
    house: House, super_admin: Actor, tmp_path: Path, name: str, status: DeliveryStatus
) -> None:
    told = {"notifications": {"on_failure": [f"{name}@example.com", f"{name}-too@example.com"]}}
    house.job = house.services.jobs.update(super_admin, house.job.id, told)
    with mail_server(Inbox(), tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        run = house.end(failed())
        assert house.tell() == 1
    delivery = house.delivery(run)
    assert (delivery.reason, delivery.status) == (
        f"The mail server refused every recipient: {name}@example.com, {name}-too@example.com",
        status,
    )
    assert "hat alle Empfänger abgelehnt" in translated(delivery.reason, "de")


def test_a_node_that_dies_while_sending_is_followed_by_another(house: House) -> None:
    run = house.end(failed())
    now = house.clock.now()
    first = house.outbox.claim("notify", now=now, until=now + timedelta(seconds=60))
    assert first is not None
    assert house.outbox.claim("notify", now=now, until=now + timedelta(seconds=60)) is None
    house.clock.advance(61)
    second = house.outbox.claim("notify", now=house.clock.now(), until=house.clock.now())
    assert second is not None
    assert (second[0].id, second[1].tries) == (run, 2)
    house.outbox.settle(run, first[1])
    assert house.owed(run) is not None, "the older try's record comes too late"


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
