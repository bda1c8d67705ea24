"""Messages of alert rules with their own texts, and with excerpts of the log, on the real database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import ValidationFailed
from app.execution.log_store import chunk
from app.factory import Store, build_services
from app.factory.alert_upkeep import build_alert_upkeep
from app.factory.alerts import build_alert_ends
from app.factory.quiet import build_quieting
from app.factory.stores import Stores
from app.jobs.model import Job, RetryOn
from app.notification.channels.discord.channel import Discord
from app.notification.channels.mail.channel import as_html, compose
from app.notification.channels.slack.channel import Slack
from app.notification.channels.teams.channel import Teams
from app.notification.delivery import DeliveryFilter
from app.notification.message import LONGEST_TEXT, Message
from app.notification.rules.rule import AlertRule
from app.queue.execution import Execution
from app.queue.model import AttemptError, Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from tests.builders.queue import new_execution

RULE = {"name": "Failures", "condition": {"type": "failed"}, "to": ["channel:Ops"]}
KEY = "hunter-2-hunter"


class House:
    """An installation with a rule and a German channel."""

    def __init__(self, store: Store, services: Services, settings: Settings, actor: Actor, clock: ManualClock) -> None:
        self.settings = replace(settings, public_url="https://jobs.example.com")
        self.stores, self.clock, self.actor, self.database = Stores.over(store.database, Owing()), clock, actor, store.database
        self.services = build_services(self.settings, store, clock=clock, catalogue=services.catalogue)
        row = {"_id": "ops", "name": "Ops", "type": "slack", "settings": {}, "enabled": True, "language": "de", "version": 1}
        now = clock.now()
        self.stores.channels.add({**row, "created_by": "", "updated_by": "", "created_at": now, "updated_at": now})

    def rule(self, **fields: Any) -> AlertRule:
        return self.services.alert_rules.create(self.actor, {**RULE, **fields})

    def job(self, name: str = "Night", **fields: Any) -> Job:
        return self.services.jobs.create(self.actor, {"name": name, "template_type": "noop", **fields})[0]

    def end(self, job: Job, status: Status = Status.FAILED, error: str = "it broke", log: tuple[str, ...] = ()) -> Execution:
        """Writes an end with its log, and applies the rules to it."""
        self.clock.advance(60)
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, status=status)
        self.stores.queue.add([made])
        if status is Status.FAILED:
            stored = AttemptError(type="Boom", message=error, kind=RetryOn.ERROR).as_stored()
            self.database["job_executions"].update_one({"_id": made.id}, {"$set": {"error": stored}})
        lines = [{"timestamp": self.clock.now(), "level": "ERROR", "message": text} for text in log]
        if lines:
            self.stores.logs.append([chunk(made.id, 1, 1, lines)])
        found = self.stores.queue.get(made.id)
        assert found is not None
        build_alert_ends(self.stores, self.services).carry_out(found)
        return found

    def messages(self) -> list[Message]:
        """Returns the messages so far, the oldest first, once what was announced has waited for more."""
        self.clock.advance(self.settings.alert_wait_seconds)
        build_quieting(self.settings, self.stores, self.services).tick()
        rows = self.stores.notification_deliveries.page(DeliveryFilter(), limit=50)
        return [row.message for row in sorted(rows, key=lambda row: row.created_at)]


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, settings, super_admin, clock)


def test_an_alert_has_the_texts_of_its_rule_and_a_recovery_the_built_in_ones(house: House) -> None:
    text = '{{ why }} {{ execution.error }} ({{ count }}x since {{ since | time }})\n{{ link }}\n{{ job.tags | join: "+" }}'
    house.rule(
        texts={"title": "{{ job.name }} is down: {{ execution.error_type }}", "text": text}, remind={"every_seconds": 600, "most": 1}
    )
    job = house.job(tags=["till", "shop"])
    run = house.end(job)
    (firing,) = house.messages()
    assert firing.title == "Night is down: Boom"
    began = f"{house.clock.now():%H:%M}"[:2]
    assert firing.text.startswith("Der Lauf ist fehlgeschlagen. it broke (1x since " + began)
    assert firing.text.endswith(f"\nhttps://jobs.example.com/executions/{run.id}\nshop+till")
    assert (firing.facts[0].value, firing.links[0].url) == ("Failures", f"https://jobs.example.com/executions/{run.id}")
    house.clock.advance(700)
    build_alert_upkeep(house.stores, house.services).tick()
    _, reminder = house.messages()
    assert reminder.title == "Erinnerung: Night is down: Boom"
    house.end(job, Status.SUCCESS)
    recovery = house.messages()[-1]
    assert recovery.title == "Vorbei: Night (Failures)"
    assert "is down" not in recovery.as_text()
    (rule,) = house.services.alert_rules.all(house.actor)
    assert rule.texts_fault is None


def test_a_text_that_fails_leaves_the_built_in_one_which_says_so_and_the_rule_shows_it(house: House) -> None:
    rule = house.rule(texts={"title": "{{ job.name }}!", "text": "{{ job.group }} and {{ log.error }}"})
    house.end(house.job())
    (message,) = house.messages()
    assert message.title == "Night!"
    assert message.text.startswith("Der Lauf ist fehlgeschlagen.\n\nBoom: it broke")
    assert "Der Text, den die Alarmregel festlegt, konnte nicht verwendet werden: job.group" in message.text
    stored = house.services.alert_rules.get(house.actor, rule.id)
    assert stored.texts_fault is not None
    assert (stored.texts_fault.field, stored.version) == ("text", 1)
    assert "job.group is missing" in stored.texts_fault.error
    changed = house.services.alert_rules.update(house.actor, rule.id, {**RULE, "texts": {"text": '{{ job.group | default: "-" }}'}})
    assert house.services.alert_rules.get(house.actor, rule.id) == changed
    assert changed.texts_fault is None


def test_texts_with_unknown_names_are_refused_at_their_field(house: House) -> None:
    for texts, pointer in (
        ({"title": "{{ job.nme }}"}, "/texts/title"),
        ({"text": "{{ job.name | shout }}"}, "/texts/text"),
        ({"text": "x" * 5_000}, "/texts/text"),
        ({"subject": "x"}, "/texts/subject"),
        ("x", "/texts"),
    ):
        with pytest.raises(ValidationFailed) as refused:
            house.rule(texts=texts)
        assert [error.pointer for error in refused.value.errors] == [pointer]


def test_what_was_stored_by_hand_does_not_keep_a_message_back(house: House) -> None:
    rule = house.rule()
    broken: list[Any] = [{"title": 5, "text": "{{ nothing.at.all }}"}, {"text": "{{ " * 9_000}, [], "x", {"title": "{{ x"}]
    for number, texts in enumerate(broken):
        house.database["alert_rules"].update_one({"_id": rule.id}, {"$set": {"texts": texts}})
        house.clock.advance(house.settings.alert_interval_seconds)
        house.end(house.job(f"Job {number}"))
        message = house.messages()[-1]
        assert message.title == f"Job {number} (Failures)"
        assert message.text.startswith("Der Lauf ist fehlgeschlagen.")


def test_an_alert_about_one_run_shows_the_end_of_its_log_without_secrets(house: House) -> None:
    house.rule()
    house.end(house.job(parameters={"secret": KEY}), log=("starting", f"refused with the key {KEY}"))
    (message,) = house.messages()
    assert [excerpt.words for excerpt in message.excerpts] == ["Der letzte Fehler im Protokoll", "Die letzten 2 Zeilen des Protokolls"]
    assert message.excerpts[0].lines[0].endswith("ERROR refused with the key ***")
    for collection in ("announcements", "notification_deliveries", "incidents", "announcement_batches"):
        assert KEY not in str(list(house.database[collection].find())), collection


def test_a_text_that_shows_the_log_has_no_excerpts_besides(house: House) -> None:
    house.rule(texts={"text": "{{ log.error }}\n{{ log.lines }}"})
    house.end(house.job(parameters={"secret": KEY}), log=("starting", f"the key {KEY} " + "x" * 3_000, *("y" * 400 for _ in range(60))))
    (message,) = house.messages()
    assert message.excerpts == ()
    assert "ERROR yyy" in message.text
    assert len(message.text) <= LONGEST_TEXT
    assert KEY not in message.text


def test_a_log_that_cannot_be_read_does_not_keep_a_message_back(house: House) -> None:
    house.rule(texts={"text": '{{ job.name }} {{ log.error | default: "no log" }}'})
    job = house.job()
    house.database["job_execution_logs"].drop()
    run = house.end(job, log=("x",))
    for field in ({"lines": "no list"}, {"lines": [5]}, {"lines": [{"message": 5}]}):
        house.database["job_execution_logs"].update_many({}, {"$set": field})
        build_alert_ends(house.stores, house.services).carry_out(run)
    (message,) = house.messages()
    assert message.text.startswith("Night ")


def test_hostile_values_are_escaped_by_every_channel(house: House) -> None:
    texts = {"title": "{{ job.name }}", "text": "{{ execution.error }} <b>{{ job.group }}</b> {{ log.error }}"}
    house.rule(texts=texts)
    name = "<script>alert(1)</script> @everyone <!channel>"
    house.end(
        house.job(name, group="<img>"),
        error="<!here> @everyone <script>\r\nBcc: x@example.com\x1b[31m\u202e",
        log=("@everyone <!channel>",),
    )
    (message,) = house.messages()
    assert "\n" not in message.title
    assert "\r" not in message.title + message.text
    assert "\x1b" not in message.text
    assert "\u202e" not in message.text
    slack, discord, teams = str(Slack().payload(message)["blocks"][1:]), Discord().payload(message), Teams().payload(message)
    assert "<!" not in slack
    assert "&lt;!here&gt;" in slack
    assert discord["allowed_mentions"] == {"parse": []}
    assert "<at>" not in str(teams)
    mail = compose(message, ["a@example.com"], {"sender": "jobs@example.com"})
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert "<script" not in as_html(message)
    assert "&lt;script&gt;" in as_html(message)


def test_many_alerts_in_one_message_are_listed_by_their_built_in_titles(house: House) -> None:
    house.rule(texts={"title": "Down: {{ job.name }}"})
    for number in range(3):
        house.end(house.job(f"Job {number}"), log=("x",))
    (message,) = house.messages()
    assert "• Job 0 (Failures)" in message.text
    assert message.excerpts == ()
