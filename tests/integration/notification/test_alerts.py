"""Rules are applied to the ends of executions: incidents, and what is told of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, DuplicateName, Forbidden, NotFound, StaleVersion, ValidationFailed
from app.factory import Store, build_services
from app.factory.alert_upkeep import build_alert_upkeep
from app.factory.alerts import build_alert_ends
from app.factory.stores import Stores
from app.jobs.model import Job, RetryOn
from app.metrics.state import incident_values
from app.notification.announcing import PlainAnnouncer
from app.notification.delivery import Delivery, DeliveryFilter
from app.notification.incidents.ends import AlertEnds
from app.notification.incidents.incident import IncidentFilter, IncidentState, Telling
from app.notification.message import MessageKind
from app.notification.rules.rule import body_of
from app.notification.texts import in_english
from app.queue.execution import Execution
from app.queue.model import AttemptError, Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from tests.builders.owing import OWING
from tests.builders.queue import new_execution

FAILED = {"name": "Failures", "condition": {"type": "failed"}, "to": ["ops@example.com"]}


class House:
    def __init__(self, store: Store, services: Services, settings: Settings, actor: Actor, clock: ManualClock) -> None:
        settings = replace(settings, public_url="https://jobs.example.com")
        self.database = store.database
        self.stores, self.clock, self.actor = Stores.over(store.database, Owing()), clock, actor
        self.services = build_services(settings, store, clock=clock, catalogue=services.catalogue)
        self.announcer = PlainAnnouncer(
            channels=self.stores.channels,
            deliveries=self.stores.notification_deliveries,
            clock=clock,
            written=self.services.told,
            in_words=in_english,
        )
        self.ends, self.upkeep = self.another_node(), build_alert_upkeep(self.stores, self.services, self.announcer)

    def another_node(self) -> AlertEnds:
        return build_alert_ends(self.stores, self.services, self.announcer)

    def rule(self, **fields: Any) -> str:
        return self.services.alert_rules.create(self.actor, {**FAILED, **fields}).id

    def channel(self, name: str) -> str:
        made = self.services.channels.create(self.actor, name=name, type="webhook", settings={"url": "https://example.com/hook"})
        return str(made["_id"])

    def job(self, name: str = "Night", **fields: Any) -> Job:
        return self.services.jobs.create(self.actor, {"name": name, "template_type": "noop", **fields})[0]

    def end(self, job: Job, status: Status = Status.FAILED, **fields: Any) -> Execution:
        """Writes an end, a minute after the one before it."""
        self.clock.advance(60)
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, status=status, **fields)
        self.stores.queue.add([made])
        if status is Status.FAILED:
            error = AttemptError(type="Boom", message="it broke", kind=RetryOn.ERROR).as_stored()
            self.database["job_executions"].update_one({"_id": made.id}, {"$set": {"error": error}})
        return made

    def told(self) -> list[str]:
        return [delivery.message.kind.value for delivery in self.deliveries()]

    def deliveries(self) -> list[Delivery]:
        rows = self.stores.notification_deliveries.page(DeliveryFilter(), limit=500)
        return sorted(rows, key=lambda delivery: (delivery.message.at, delivery.id))


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, settings, super_admin, clock)


def test_a_failure_opens_an_incident_and_a_success_ends_it(house: House) -> None:
    house.rule(scope={"kind": "group", "values": ["ops"]}, severity="critical")
    job, other = house.job(group="ops"), house.job("Other")
    failure = house.end(job)
    house.ends.carry_out(failure)
    house.ends.carry_out(house.end(other))
    (incident,) = house.services.incidents.of_job(house.actor, job.id)
    assert (incident.state, incident.executions, incident.unsaid) == (IncidentState.FIRING, (failure.id,), ())
    assert house.services.incidents.open_count(house.actor) == {"critical": 1}
    house.ends.carry_out(house.end(job, Status.SUCCESS))
    assert house.services.incidents.get(house.actor, incident.id).state is IncidentState.RESOLVED
    assert house.services.incidents.open_count(house.actor) == {}
    firing, recovery = house.deliveries()
    assert (firing.message.kind, recovery.message.kind) == (MessageKind.FIRING, MessageKind.RECOVERY)
    assert firing.message.thread == recovery.message.thread == incident.id
    assert "Boom: it broke" in firing.message.text
    assert firing.execution_id == failure.id
    assert firing.message.links[0].url == f"https://jobs.example.com/executions/{failure.id}"
    assert [link.words for link in firing.message.links] == ["Show the execution", "Acknowledge"]
    assert [link.words for link in recovery.message.links] == ["Show the execution"]
    assert house.services.incidents.of_job(house.actor, other.id) == []


def test_ends_that_come_again_in_any_order_on_two_nodes_are_one_incident_and_one_message(house: House) -> None:
    house.rule()
    job, chance = house.job(), random.Random(5)
    ends = [house.end(job) for _ in range(8)]
    nodes = [house.another_node(), house.another_node()]
    work = [(nodes[place % 2], execution) for place, execution in enumerate(ends * 3)]
    chance.shuffle(work)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: item[0].carry_out(item[1]), work))
    page, more = house.services.incidents.page(house.actor, IncidentFilter(open=True), limit=10)
    assert (len(page), more, house.told()) == (1, False, ["firing"])
    assert page[0].last.id == ends[-1].id


def test_a_failure_that_is_followed_at_once_is_told_and_that_it_is_over(house: House) -> None:
    house.rule()
    job = house.job()
    failure, success = house.end(job), house.end(job, Status.SUCCESS)
    house.ends.carry_out(success)
    house.ends.carry_out(failure)
    assert house.told() == ["firing", "recovery"]


def test_a_node_that_is_killed_between_writing_and_telling_tells_nothing_twice_and_loses_nothing(house: House) -> None:
    house.rule()
    failure = house.end(house.job())
    incidence = house.ends._incidence

    class Killed(BaseException):
        """As kill -9."""

    def kill(*_: Any) -> None:
        raise Killed

    announce, incidence._announcer.announce = incidence._announcer.announce, kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        house.ends.carry_out(failure)
    incidence._announcer.announce = announce  # type: ignore[method-assign]
    assert house.told() == []
    house.another_node().carry_out(failure)
    assert house.told() == ["firing"]
    house.clock.advance(60)
    house.upkeep.tick()
    assert house.told() == ["firing"]


def test_what_a_killed_node_has_left_unsaid_is_told_by_another_one(house: House) -> None:
    house.rule()
    house.ends.carry_out(house.end(house.job()))
    (incident,) = house.stores.incidents.page(IncidentFilter(), groups=None, limit=5)
    house.stores.incidents.save(incident, replace(incident, unsaid=(_telling_of(incident),)))
    house.clock.advance(10)
    house.upkeep.tick()
    assert house.told() == ["firing"], "the key is the same"
    assert house.stores.incidents.unsaid(5) == []


def _telling_of(incident: Any) -> Any:

    return Telling(number=1, kind=MessageKind.FIRING, at=incident.opened_at, why="The run failed.")


def test_waits_reminders_and_escalations_come_by_time(house: House) -> None:
    escalate = {"after_seconds": 900, "to": ["boss@example.com"]}
    house.rule(wait_seconds=300, remind={"every_seconds": 3600, "most": 2}, escalate=escalate)
    house.ends.carry_out(house.end(house.job()))
    house.upkeep.tick()
    assert house.told() == []
    for seconds, told in ((300, 1), (840, 1), (60, 2), (3000, 3), (3600, 4), (360000, 4)):
        house.clock.advance(seconds)
        house.upkeep.tick()
        house.upkeep.tick()
        assert len(house.told()) == told, seconds
    assert [delivery.recipients for delivery in house.deliveries()].count(("boss@example.com",)) == 1


def test_open_incidents_are_counted_by_state_and_severity(house: House) -> None:
    house.rule(severity="critical")
    house.rule(name="Later", wait_seconds=600)
    jobs = [house.job(name) for name in ("One", "Two", "Three")]
    for job in jobs:
        house.ends.carry_out(house.end(job))
    house.ends.carry_out(house.end(jobs[0], Status.SUCCESS))
    values = incident_values(house.stores.incidents.counts_by_state())["jobwright_incidents"]
    assert {labels: count for labels, count in values.items() if count} == {("firing", "critical"): 2.0, ("pending", "warning"): 2.0}
    assert len(values) == 9, "a state without incidents is 0"
    house.database["incidents"].update_many({"state": "firing"}, {"$set": {"state": "odd", "severity": {"x": 1}}})
    damaged = incident_values(house.stores.incidents.counts_by_state())["jobwright_incidents"]
    assert sum(damaged.values()) == 2.0


def test_an_acknowledged_incident_is_quiet_until_it_is_over(house: House) -> None:
    house.rule(remind={"every_seconds": 3600, "most": 2})
    job = house.job()
    house.ends.carry_out(house.end(job))
    (incident,) = house.services.incidents.of_job(house.actor, job.id)
    token = house.deliveries()[0].message.links[1].url.rsplit("/", 1)[1]
    assert house.services.incidents.by_link(token).state is IncidentState.FIRING, "to look changes nothing"
    house.services.incidents.acknowledge_by_link(token, address="10.0.0.1")
    for acknowledge in (
        lambda: house.services.incidents.acknowledge_by_link(token),
        lambda: house.services.incidents.acknowledge(house.actor, incident.id),
    ):
        with pytest.raises(Conflict):
            acknowledge()
    house.services.incidents.note(house.actor, incident.id, " The disk is full. ")
    known = house.services.incidents.get(house.actor, incident.id)
    assert known.acknowledged is not None
    assert (known.acknowledged.via, [note.text for note in known.notes]) == ("link", ["The disk is full."])
    house.clock.advance(7200)
    house.upkeep.tick()
    house.ends.carry_out(house.end(job, Status.SUCCESS))
    assert house.told() == ["firing", "recovery"]
    for broken in (token[:-1], f"x{token}", "", "a.b.c"):
        with pytest.raises(NotFound):
            house.services.incidents.by_link(broken)
    house.clock.advance(7 * 86_400)
    with pytest.raises(NotFound):
        house.services.incidents.by_link(token)


def test_a_pending_incident_that_is_acknowledged_sends_nothing(house: House) -> None:
    house.rule(wait_seconds=600, remind={"every_seconds": 3600, "most": 2}, escalate={"after_seconds": 900, "to": ["b@example.com"]})
    job = house.job()
    house.ends.carry_out(house.end(job))
    (incident,) = house.services.incidents.of_job(house.actor, job.id)
    assert house.services.incidents.acknowledge(house.actor, incident.id).state is IncidentState.ACKNOWLEDGED
    for status in (Status.FAILED, Status.SUCCESS):
        house.clock.advance(7200)
        house.upkeep.tick()
        house.ends.carry_out(house.end(job, status))
    assert house.services.incidents.get(house.actor, incident.id).state is IncidentState.RESOLVED
    assert house.told() == []
    for acknowledge in (house.services.incidents.acknowledge, house.services.incidents.resolve):
        with pytest.raises(Conflict):
            acknowledge(house.actor, incident.id)


def test_incidents_of_jobs_that_leave_are_closed_without_a_message(house: House) -> None:
    house.rule(name="Tagged", scope={"kind": "tag", "values": ["nightly"]})
    rule_of_one = house.rule(name="All")
    jobs = [house.job(name, tags=["nightly"]) for name in ("Gone", "Untagged", "Stays")]
    for job in jobs:
        house.ends.carry_out(house.end(job))
    house.services.jobs.delete(house.actor, jobs[0].id)
    house.services.jobs.update(house.actor, jobs[1].id, {"name": "Untagged", "template_type": "noop", "tags": []})
    house.upkeep.tick()
    rows, _ = house.services.incidents.page(house.actor, IncidentFilter(), limit=10)
    found = {(row.rule, row.subject.name): str(row.why) for row in rows if not row.is_open}
    assert found == {
        ("All", "Gone"): "The job was deleted.",
        ("Tagged", "Gone"): "The job was deleted.",
        ("Tagged", "Untagged"): "The rule does not apply to the job any more.",
    }
    assert {(row.rule_id == rule_of_one, row.subject.name) for row in rows if row.is_open} == {
        (True, "Untagged"),
        (True, "Stays"),
        (False, "Stays"),
    }
    assert set(house.told()) == {"firing"}


def test_all_incidents_are_looked_at_in_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.notification.incidents.leaving.MOST_AT_ONCE", 2)
    house.rule()
    jobs = [house.job(f"Job {number}") for number in range(5)]
    for job in jobs:
        house.ends.carry_out(house.end(job))
        house.services.jobs.delete(house.actor, job.id)
    left = []
    for _ in range(4):
        house.upkeep.tick()
        house.upkeep.tick()  # it has just looked
        left.append(len(house.services.incidents.page(house.actor, IncidentFilter(open=True), limit=10)[0]))
        house.clock.advance(10)
    assert left == [3, 1, 0, 0]


def test_an_incident_is_closed_by_hand_and_when_its_rule_goes(house: House) -> None:
    rule_id = house.rule()
    one, other = house.job("One"), house.job("Other")
    for job in (one, other):
        house.ends.carry_out(house.end(job))
    (incident,) = house.services.incidents.of_job(house.actor, one.id)
    house.clock.advance(1)
    house.services.incidents.resolve(house.actor, incident.id, note="Known.")
    with pytest.raises(Conflict):
        house.services.incidents.resolve(house.actor, incident.id)
    house.services.alert_rules.delete(house.actor, rule_id)
    house.upkeep.tick()
    assert house.services.incidents.open_count(house.actor) == {}
    assert house.told() == ["firing", "firing"]


def test_an_expression_says_which_failures_are_meant(house: House) -> None:
    house.rule(where='execution.error_type == "Boom" && "nightly" in job.tags')
    for name, tags in (("One", ["nightly"]), ("Other", [])):
        house.ends.carry_out(house.end(house.job(name, tags=tags)))
    assert [delivery.job_name for delivery in house.deliveries()] == ["One"]
    for body in ({"where": "job.nme == 1"}, {"where": "true", "condition": {"type": "late", "grace_seconds": 60}}):
        (error,) = house.services.alert_rules.problems(house.actor, {**FAILED, "name": "New", **body})
        assert error.pointer == "/where"


def test_a_success_is_told_each_time_and_is_no_incident(house: House) -> None:
    house.channel("Ops")
    house.rule(condition={"type": "succeeded"}, to=["channel:Ops", "ada@example.com"])
    job = house.job()
    for _ in range(2):
        success = house.end(job, Status.SUCCESS)
        house.ends.carry_out(success)
        house.ends.carry_out(success)
    house.ends.carry_out(house.end(job))
    assert house.told() == ["notice"] * 4
    assert house.services.incidents.of_job(house.actor, job.id) == []


def test_ends_owe_nothing_without_rules_and_none_is_lost_when_one_is_made(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that goes by there being no rules writes an end that owes nothing, right after a rule was made elsewhere."""
    monkeypatch.setattr(AlertEnds, "idle_until", float("-inf"))
    assert "alert" in OWING.of_status(Status.FAILED), "a process that does not look is never idle"
    house.upkeep.tick()
    assert "alert" not in OWING.of_status(Status.FAILED)
    house.rule()
    job = house.job()
    house.clock.advance(-55)
    house.end(job)
    house.clock.advance(1)
    house.upkeep.tick()
    assert ("alert" in OWING.of_status(Status.FAILED), house.told()) == (True, ["firing"])
    house.upkeep.tick()
    assert house.told() == ["firing"]


# -- rules for people -----------------------------------------------------------------------------------------------------


def test_rules_are_checked_at_their_fields(house: House) -> None:
    house.rule()
    rules = house.services.alert_rules
    for change, pointer in (
        ({"condition": {"type": "failures_in_a_row", "count": 1}}, "/condition"),
        ({"to": ["nobody"]}, "/to/0"),
        ({"to": []}, "/to"),
        ({"scope": {"kind": "job", "values": ["nowhere"]}}, "/scope/values"),
        ({"scope": {"kind": "tag", "values": []}}, "/scope/values"),
        ({"scope": {"kind": "all", "values": ["x"]}}, "/scope/values"),
        ({"escalate": {"after_seconds": 900, "to": ["x"]}}, "/escalate/to/0"),
        ({"name": "Failures"}, "/name"),
    ):
        errors = rules.problems(house.actor, {**FAILED, "name": "New", **change})
        assert [error.pointer for error in errors if error.pointer.startswith(pointer)], (change, errors)
    with pytest.raises(DuplicateName):
        rules.create(house.actor, FAILED)
    with pytest.raises(ValidationFailed):
        rules.create(house.actor, [])


def test_rules_change_by_version_and_are_audited(house: House) -> None:
    rules, rule_id = house.services.alert_rules, house.rule()
    channel = house.channel("Ops")
    rule = rules.update(house.actor, rule_id, {**FAILED, "severity": "critical", "to": ["channel: Ops"]}, version=1)
    assert (rule.version, rule.to) == (2, ("channel:Ops",))
    with pytest.raises(Conflict):  # nobody would get its alerts any more
        house.services.channels.delete(house.actor, channel)
    lost = {**FAILED, "name": "Lost", "to": ["channel:Nobody"], "escalate": {"after_seconds": 60, "to": ["channel:Nobody"]}}
    assert [error.pointer for error in rules.problems(house.actor, lost)] == ["/to/0", "/escalate/to/0"]
    with pytest.raises(StaleVersion):
        rules.update(house.actor, rule_id, FAILED, version=1)
    assert not rules.enable(house.actor, rule_id, enabled=False).enabled
    assert body_of(rules.get(house.actor, rule_id))["severity"] == "critical"
    rules.delete(house.actor, rule_id)
    with pytest.raises(NotFound):
        rules.get(house.actor, rule_id)
    actions = [event["action"] for event in house.stores.audit.walk_exact() if event["target"]["kind"] == "rule"]
    assert actions == ["rule.create", "rule.update", "rule.update", "rule.delete"]


def test_admins_manage_rules_for_what_they_see(house: House, admin: Actor) -> None:
    rules, mine, other = house.services.alert_rules, house.job("Mine", group="mine"), house.job("Other", group="other")
    kept = replace(admin, groups=frozenset({"mine"}))
    for scope, allowed in (
        ({"kind": "job", "values": [mine.id]}, True),
        ({"kind": "group", "values": ["mine"]}, True),
        ({"kind": "job", "values": [mine.id, other.id]}, False),
        ({"kind": "group", "values": ["mine", "other"]}, False),
        ({"kind": "tag", "values": ["t"]}, False),
        ({"kind": "template", "values": ["noop"]}, False),
        ({"kind": "all"}, False),
    ):
        body = {**FAILED, "name": str(scope["kind"]), "scope": scope}
        if allowed:
            rules.delete(kept, rules.create(kept, body).id)
            continue
        with pytest.raises(Forbidden):
            rules.create(kept, body)
    hidden = house.rule(scope={"kind": "job", "values": [other.id]})
    wide = house.rule(name="Wide")
    assert [rule.id for rule in rules.all(kept)] == [wide]
    assert not rules.may_manage(kept, rules.get(kept, wide))
    with pytest.raises(NotFound):
        rules.get(kept, hidden)
    for job in (mine, other):
        house.ends.carry_out(house.end(job))
    page, _ = house.services.incidents.page(kept, IncidentFilter(), limit=10)
    assert {incident.subject.name for incident in page} == {"Mine"}
    (unseen,) = house.services.incidents.of_job(house.actor, other.id)[:1]
    with pytest.raises(NotFound):
        house.services.incidents.acknowledge(kept, unseen.id)
