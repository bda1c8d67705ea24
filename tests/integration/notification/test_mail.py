"""People are told how an execution ended: once, by mail, and again later where that did not work."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.errors import NotFound
from app.factory import Store
from app.jobs.model import RetryOn
from app.notification.mail import MailNotifier
from app.notification.outcomes import TellOutcome
from app.outbox.carrier import Carrier
from app.outbox.model import Owed
from app.queue.model import AttemptError, Outcome, Status, Trigger
from app.queue.store import execution_outbox
from app.services import Services
from tests.builders.mail import Inbox, mail_server
from tests.builders.queue import Queue, new_execution
from tests.conftest import Api
from web.language import translated

TOLD = {"on_success": ["happy@example.com"], "on_failure": ["ops@example.com", "ada@example.com"]}


class House:
    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.executions, self.services, self.clock = Queue(store.database), services, clock
        self.job = services.jobs.create(actor, {"name": "Night", "template_type": "noop", "notifications": TOLD, "overlap": "allow"})[0]
        notifier = MailNotifier(services.connections, clock, connection="Mail", public_url="https://jobs.example.com/")
        self.outbox = execution_outbox(store.database)
        self.deliveries = Carrier(self.outbox, TellOutcome(notifier), clock)

    def end(self, outcome: Outcome, delay: float | None = None) -> str:
        document = new_execution(self.job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, scheduled_for=self.clock.now())
        self.executions.queue.add([document])
        (attempt,) = self.executions.claim_due(owner="w", now=self.clock.now(), lease=timedelta(seconds=30), limit=1)
        self.executions.finish([(attempt, outcome, delay)], now=self.clock.now())
        self.clock.advance(1)
        return document.id

    def owed(self, execution_id: str) -> Owed | None:
        """The mail that an execution owes; None where it owes none, or none any more."""
        execution = self.executions.queue.get(execution_id)
        assert execution is not None
        return next((item for item in execution.owed if item.what == "notify"), None)


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
        assert house.owed(house.end(failed(), delay=60.0)) is None, "a retry follows: nothing has ended"
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
    assert (house.owed(good), house.owed(bad)) == (None, None)


def test_missed_due_times_are_failures(house: House, clock: ManualClock) -> None:
    missed = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.MISSED)
    skipped = new_execution(house.job, now=clock.now(), triggered_by=Trigger.SCHEDULE, status=Status.SKIPPED)
    house.executions.queue.add([missed, skipped])
    assert (house.owed(missed.id), house.owed(skipped.id)) == (Owed(what="notify", at=clock.now()), None)


def test_a_mail_that_cannot_be_sent_is_tried_again_and_then_given_up(house: House, super_admin: Actor, tmp_path: Path) -> None:
    run = house.end(failed())
    for tries, wait in enumerate((60, 120, 240, 480), 1):
        assert house.deliveries.tick() == 0
        assert house.deliveries.tick() == 0, "not before its time"
        owed = house.owed(run)
        assert owed is not None
        assert (owed.tries, owed.given_up) == (tries, False)
        house.clock.advance(wait - 1)
        house.deliveries.tick()
        assert house.owed(run) == owed, "each wait is twice as long as the one before"
        house.clock.advance(2)
    assert house.deliveries.tick() == 0
    owed = house.owed(run)
    assert owed is not None
    assert (owed.tries, owed.given_up, owed.at) == (TellOutcome.most_tries, True, None)
    assert "no SMTP connection 'Mail'" in (owed.error or "")
    assert "keine SMTP-Verbindung „Mail“" in translated(owed.error or "", "de"), "a page can show it in any language"
    house.clock.advance(86_400)
    assert (house.deliveries.tick(), house.owed(run)) == (0, owed), "nobody tries any more"
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        (item,) = house.services.given_up.items(super_admin)
        assert (item.what, item.execution_id, item.job_name) == ("notify", run, "Night")
        house.services.given_up.ask_again(super_admin, run, "notify")
        assert house.deliveries.tick() == 1
    assert (house.owed(run), len(inbox.mails)) == (None, 1)
    assert house.services.given_up.items(super_admin) == []
    with pytest.raises(NotFound):
        house.services.given_up.ask_again(super_admin, run, "notify")


def test_a_mail_server_that_is_away_is_named_with_what_to_check(house: House, super_admin: Actor) -> None:
    settings = {"host": "127.0.0.1", "port": 1, "security": "none", "sender": "jobs@example.com"}
    house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=settings)
    run = house.end(failed())
    assert house.deliveries.tick() == 0
    owed = house.owed(run)
    assert owed is not None
    assert owed.error == "Nothing listens at 127.0.0.1:1 (connection refused). Check the host and port."
    assert translated(owed.error, "de").startswith("Unter 127.0.0.1:1 lauscht kein Dienst")


def test_recipients_whom_the_server_refuses_are_named(house: House, super_admin: Actor, tmp_path: Path) -> None:
    told = {"notifications": {"on_failure": ["gone@example.com", "gone-too@example.com"]}}
    house.job = house.services.jobs.update(super_admin, house.job.id, told)
    with mail_server(Inbox(), tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        run = house.end(failed())
        assert house.deliveries.tick() == 0
    owed = house.owed(run)
    assert owed is not None
    assert owed.error == "The mail server refused every recipient: gone@example.com, gone-too@example.com"
    assert "hat alle Empfänger abgelehnt" in translated(owed.error, "de")


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
