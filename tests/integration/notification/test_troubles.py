"""Rules about what all jobs share: each condition opens one incident for each subject, ends it, and says nothing while all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import Forbidden, ValidationFailed
from app.factory import Store, build_services
from app.factory.alert_upkeep import build_alert_upkeep
from app.factory.alerts import build_alert_ends
from app.factory.quiet import build_announcer, build_quieting
from app.factory.stores import Stores
from app.integrations.services.model import Service
from app.jobs.model import Job
from app.mongo import Document
from app.notification.announcing import PlainAnnouncer, SubjectKind
from app.notification.delivery import Delivery, DeliveryFilter, DeliveryStatus
from app.notification.incidents.incident import Incident, IncidentFilter
from app.notification.incidents.troubles import LOOK_SECONDS, SETTLED_AFTER
from app.notification.quiet.entry import EntryFilter
from app.notification.rules.conditions import OF_INSTALLATION, RATES, SCHEMAS, Condition
from app.notification.texts import in_english
from app.queue.model import Reason, Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from tests.builders.announcements import announcement
from tests.builders.queue import new_execution

LOOK = timedelta(seconds=LOOK_SECONDS)
RULE = {"name": "Installation", "to": ["ops@example.com"]}


def defaults(type: str) -> dict[str, Any]:
    """A condition with the values that the form begins with."""
    fields = SCHEMAS[type]["properties"].items()
    return {name: field.get("const", field.get("default")) for name, field in fields}


class House:
    def __init__(self, store: Store, services: Services, settings: Settings, actor: Actor, clock: ManualClock) -> None:
        self.settings = replace(settings, public_url="https://jobs.example.com")
        self.database, self.clock, self.actor = store.database, clock, actor
        self.stores = Stores.over(store.database, Owing())
        self.services = build_services(self.settings, store, clock=clock, catalogue=services.catalogue)
        self.told = PlainAnnouncer(
            channels=self.stores.channels,
            deliveries=self.stores.notification_deliveries,
            clock=clock,
            written=self.services.told,
            in_words=in_english,
        )
        self.upkeep = build_alert_upkeep(self.stores, self.services, self.told)

    def rule(self, type: str, **fields: Any) -> str:
        condition = {**defaults(type), **fields.pop("condition", {})}
        return self.services.alert_rules.create(self.actor, {**RULE, "condition": condition, **fields}).id

    def look(self, after: timedelta = LOOK) -> list[Incident]:
        """Lets time pass, and returns all incidents, the oldest first."""
        self.clock.advance(after.total_seconds())
        self.settle()
        return self.tick()

    def settle(self) -> None:
        """Makes the node one that has looked all the time."""
        troubles, now = self.upkeep._troubles, self.clock.now()
        troubles._looked_at, troubles._looks_since = now, now - SETTLED_AFTER

    def tick(self, seconds: float = 0) -> list[Incident]:
        """Looks once more after some seconds, and returns all incidents, the oldest first."""
        self.clock.advance(seconds)
        self.upkeep.tick()
        rows, _ = self.services.incidents.page(self.actor, IncidentFilter(), limit=500)
        return rows[::-1]

    def kinds(self) -> list[str]:
        return [delivery.message.kind.value for delivery in self.deliveries()]

    def deliveries(self) -> list[Delivery]:
        rows = self.stores.notification_deliveries.page(DeliveryFilter(), limit=500)
        rows = [delivery for delivery in rows if delivery.status is DeliveryStatus.WAITING]
        return sorted(rows, key=lambda delivery: (delivery.message.at, delivery.id))

    # -- what is wrong --------------------------------------------------------------------------------------------

    def connection(self, name: str = "files") -> str:
        made = self.services.connections.create(self.actor, name=name, kind="file_store", settings={"path": f"/srv/{name}"})
        return str(made["_id"])

    def health(self, connection_id: str, *, works: bool, failures: int = 0) -> None:
        now = self.clock.now()
        version = self.database["connections"].find_one({"_id": connection_id}, {"version": 1})
        assert version is not None
        fields = {
            "version": version["version"],
            "works": works,
            "message": "No such place.",
            "since": now,
            "probed_at": now,
            "next_at": now,
        }
        self.database["connection_health"].replace_one({"_id": connection_id}, {**fields, "failures": failures}, upsert=True)

    def node(self, name: str, *, host: str = "a", role: str = "scheduler", tick_age: float = 0.1, **fields: Any) -> None:
        now = self.clock.now()
        row = {"host": host, "seen_at": now, "clock": now, "tick_age": tick_age, "role": role} | fields
        self.database["nodes"].replace_one({"_id": name}, row, upsert=True)

    def job(self, name: str = "Night", **fields: Any) -> Job:
        return self.services.jobs.create(self.actor, {"name": name, "template_type": "noop", **fields})[0]

    def end(self, job: Job, status: Status, **fields: Any) -> None:
        self.clock.advance(1)
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, status=status)
        self.stores.queue.add([made])
        if fields:
            self.database["job_executions"].update_one({"_id": made.id}, {"$set": fields})


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, settings, super_admin, clock)


# -- each kind of subject: how trouble begins, and how it ends --------------------------------------------------------


def connection_down(house: House) -> Callable[[], object]:
    made, fine = house.connection("files"), house.connection("fine")
    house.health(fine, works=True)
    house.health(made, works=False, failures=2)
    return lambda: house.health(made, works=True)


def service_stale(house: House) -> Callable[[], object]:
    now = house.clock.now()
    times = {"created_by": "ada", "created_at": now, "updated_by": "ada", "updated_at": now}
    house.stores.services.add(Service(name="mailer", ttl_seconds=60, seen_at=now - timedelta(seconds=70), **times))
    return lambda: house.database["services"].update_one({"_id": "mailer"}, {"$set": {"seen_at": house.clock.now()}})


def node_lost(house: House) -> Callable[[], object]:
    house.node("a-1", host="a", role="worker")
    house.node("b-1", host="b", role="worker", drained=True)  # it has nothing any more
    house.clock.advance(31)
    house.node("c-1", host="c", role="worker", seen_at=house.clock.now() + timedelta(hours=1))  # it goes on
    return lambda: house.node("a-2", host="a", role="worker")


def scheduler_stalled(house: House) -> Callable[[], object]:
    house.node("a-1", tick_age=45)
    house.node("b-1", host="b", tick_age=0.2)
    house.node("c-1", host="c", role="worker", tick_age=900)  # workers do not plan
    return lambda: house.node("a-1", tick_age=0.2)


def leases_lost(house: House) -> Callable[[], object]:
    house.end(house.job(), Status.SUCCESS, attempts=[{"number": 1, "reason": "lost_worker"}, {"number": 2}])
    return lambda: house.clock.advance(400)


def follow_up_given_up(house: House) -> Callable[[], object]:
    now = house.clock.now()
    owed = [{"what": "notify", "at": None, "tries": 10, "error": "it broke", "given_up_at": now}]
    house.end(house.job(), Status.FAILED, owed=owed)
    return lambda: house.database["job_executions"].update_many({}, {"$unset": {"owed": ""}})


def not_delivered(house: House) -> Callable[[], object]:
    deliveries = house.database["deliveries"]
    for kind in ("test", "notice"):
        house.told.announce([replace(announcement(kind), to=(f"{kind}@example.com",))])
        changes = {"message.kind": kind, "status": "refused", "settled_at": house.clock.now(), "created_at": house.clock.now()}
        deliveries.update_many({"status": "waiting"}, {"$set": changes})
    return lambda: house.clock.advance(3600)


def approval_waiting(house: House) -> Callable[[], object]:
    now = house.clock.now()
    row: Document = {
        "_id": "request",
        "operation": "run",
        "state": "pending",
        "job_id": "j",
        "job_name": "Purge",
        "template_type": "noop",
        "via": "web",
        "version": 1,
        "diff": [],
        "parameters": None,
        "payload": {},
        "subject": {},
        "requested_by": {"id": "u", "email": "ada@example.com"},
        "requested_at": now - timedelta(hours=1, minutes=1),
        "expires_at": now + timedelta(days=3),
        "decided_by": None,
        "decided_at": None,
        "note": "",
        "result": None,
        "preview": None,
    }
    house.database["approvals"].insert_one(row)
    return lambda: house.database["approvals"].update_one({"_id": "request"}, {"$set": {"state": "refused"}})


def credential_expires(house: House) -> Callable[[], object]:
    now, email = house.clock.now(), house.actor.email
    for name, days in (("soon", 10), ("later", 30), ("gone", -8)):
        house.services.tokens.create(house.actor, email=email, name=name, expires_at=now + timedelta(days=days))
    house.services.tokens.create(house.actor, email=email, name="never")
    (soon,) = (row for row in house.services.tokens.all(house.actor) if row["name"] == "soon")
    return lambda: house.services.tokens.revoke(house.actor, soon["_id"])


def failure_rate(house: House) -> Callable[[], object]:
    jobs = [house.job(name) for name in ("One", "Two", "Three")]
    for number in range(12):
        house.end(jobs[number % 3], Status.FAILED if number % 4 == 0 else Status.SUCCESS)
    return lambda: house.clock.advance(400)


def misfire_rate(house: House) -> Callable[[], object]:
    job, now = house.job(), house.clock.now()
    for _ in range(9):
        house.end(job, Status.SUCCESS)
    missed = {"first": now, "last": now, "count": 3}  # one record of three due times
    house.end(job, Status.MISSED, due_times=missed)
    return lambda: house.clock.advance(400)


CASES = {
    Condition.CONNECTION_DOWN: (connection_down, SubjectKind.CONNECTION, "files"),
    Condition.SERVICE_STALE: (service_stale, SubjectKind.SERVICE, "mailer"),
    Condition.NODE_LOST: (node_lost, SubjectKind.NODE, "a"),
    Condition.SCHEDULER_STALLED: (scheduler_stalled, SubjectKind.NODE, "a"),
    Condition.LEASES_LOST: (leases_lost, SubjectKind.INSTALLATION, "Jobwright"),
    Condition.FOLLOW_UP_GIVEN_UP: (follow_up_given_up, SubjectKind.INSTALLATION, "Jobwright"),
    Condition.NOT_DELIVERED: (not_delivered, SubjectKind.INSTALLATION, "Jobwright"),
    Condition.APPROVAL_WAITING: (approval_waiting, SubjectKind.APPROVAL, "Purge"),
    Condition.CREDENTIAL_EXPIRES: (credential_expires, SubjectKind.TOKEN, "soon"),
    Condition.FAILURE_RATE: (failure_rate, SubjectKind.INSTALLATION, "Jobwright"),
    Condition.MISFIRE_RATE: (misfire_rate, SubjectKind.INSTALLATION, "Jobwright"),
}


def test_each_condition_has_a_case() -> None:
    assert set(CASES) == OF_INSTALLATION | RATES


@pytest.mark.parametrize("type", CASES)
def test_trouble_is_told_once_and_that_it_is_over(house: House, type: Condition) -> None:
    begin, kind, name = CASES[type]
    house.rule(type)
    assert house.look() == []
    end = begin(house)
    (incident,) = house.look()
    assert (incident.subject.kind, incident.subject.name, incident.state) == (kind, name, "firing")
    assert house.kinds() == ["firing"]
    assert name in house.deliveries()[0].message.title
    (same,) = house.look()
    assert (same.id, same.count, same.version) == (incident.id, 1, incident.version), "what goes on is not written again"
    end()
    (over,) = house.look()
    assert (over.id, over.state, house.kinds()) == (incident.id, "resolved", ["firing", "recovery"])
    assert len(house.look()) == 1


@pytest.mark.parametrize("type", CASES)
def test_a_rule_that_was_disabled_meanwhile_finds_what_is_still_wrong(house: House, type: Condition) -> None:
    begin = CASES[type][0]
    begin(house)
    rule_id = house.rule(type)
    (first,) = house.look(timedelta(seconds=1))
    for enabled in (False, True):
        house.services.alert_rules.enable(house.actor, rule_id, enabled=enabled)
        found = house.look()
    assert [incident.state.value for incident in found] == ["resolved", "firing"]
    assert found[0].id == first.id
    house.services.incidents.resolve(house.actor, found[1].id)
    assert [incident.state.value for incident in house.look()] == ["resolved", "resolved"], "a person has closed it: that is heard"


def test_own_texts_that_need_a_job_fall_back_where_there_is_none(house: House) -> None:
    house.upkeep = build_alert_upkeep(house.stores, house.services)
    house.rule(Condition.CONNECTION_DOWN, texts={"title": "{{ job.name }} is in trouble", "text": ""})
    connection_down(house)
    house.look()
    house.clock.advance(60)
    build_quieting(house.settings, house.stores, house.services).tick()
    (delivery,) = house.deliveries()
    assert "files" in delivery.message.title
    assert "in trouble" not in delivery.message.title


def test_a_node_that_was_stopped_or_has_others_beside_it_is_not_lost(house: House) -> None:
    house.rule(Condition.NODE_LOST)
    house.node("a-1")
    house.node("b-1", host="b")
    house.stores.nodes.leave("b-1")
    house.clock.advance(60)
    house.node("a-2")
    assert house.look() == []
    assert house.look(timedelta(seconds=60)) != [], "until the other one is gone too"


def test_nodes_are_not_lost_because_all_were_away_with_the_database(house: House) -> None:
    house.rule(Condition.NODE_LOST)
    for name in ("a", "b"):
        house.node(name, host=name)
    assert house.look() == []
    assert house.tick(600) == [], "the database was away, and the other nodes have not come back yet"
    for _ in range(5):
        house.node("a", host="a")
        assert house.tick(10) == []
    house.upkeep = build_alert_upkeep(house.stores, house.services, house.told)
    for _ in range(6):
        house.node("a", host="a")
        assert house.tick(10) == [], "one that has just started waits too"
    house.node("a", host="a")
    assert [incident.subject.id for incident in house.tick(10)] == ["b"], "it has not come back"


def test_a_connection_that_breaks_again_between_two_looks_is_not_over(house: House) -> None:
    house.rule(Condition.CONNECTION_DOWN)
    made = house.connection()
    house.health(made, works=False, failures=2)
    (incident,) = house.look()
    house.clock.advance(2)
    house.health(made, works=False, failures=1)  # it has worked for a moment
    house.look()
    house.health(made, works=False, failures=2)
    assert [one.state.value for one in house.look()] == ["firing"]
    house.health(made, works=True)
    assert [(one.id, one.state.value) for one in house.look()] == [(incident.id, "resolved")]


def test_the_first_failed_test_of_a_connection_and_one_of_older_settings_say_nothing(house: House) -> None:
    house.rule(Condition.CONNECTION_DOWN)
    made = house.connection()
    house.health(made, works=False, failures=1)
    assert house.look() == []
    house.health(made, works=False, failures=5)
    house.database["connections"].update_one({"_id": made}, {"$inc": {"version": 1}})
    assert house.look() == []


def test_the_jobs_of_a_broken_connection_are_one_message_with_it(house: House) -> None:
    announcer = build_announcer(house.settings, house.stores, house.clock)
    upkeep, quieting = (
        build_alert_upkeep(house.stores, house.services, announcer),
        build_quieting(house.settings, house.stores, house.services),
    )
    house.rule(Condition.CONNECTION_DOWN)
    house.health(house.connection("db"), works=False, failures=2)
    began = house.clock.now()
    jobs = [announcement(f"Job {n:03}", labels={"template": f"t{n % 9}", "connections": "db"}) for n in range(500)]
    announcer.announce([replace(job, to=("ops@example.com",), at=began) for job in jobs])
    for _ in range(60):
        house.clock.advance(5)
        upkeep.tick()
        quieting.tick()
    (delivery,) = house.deliveries()
    assert "db" in delivery.message.title
    assert delivery.message.event["alerts"] >= 500


@pytest.mark.parametrize("type", sorted(OF_INSTALLATION))
def test_rules_about_what_all_jobs_share_name_no_jobs_and_belong_to_super_admins(house: House, admin: Actor, type: Condition) -> None:
    body = {**RULE, "condition": defaults(type)}
    with pytest.raises(ValidationFailed) as refused:
        house.services.alert_rules.create(house.actor, {**body, "scope": {"kind": "tag", "values": ["a"]}})
    assert [error.pointer for error in refused.value.errors] == ["/scope/kind"]
    with pytest.raises(Forbidden):
        house.services.alert_rules.create(admin, body)


def test_a_rate_counts_the_jobs_of_its_rule_alone_and_is_seen_by_their_group(house: House, admin: Actor) -> None:
    shop, other = house.job("Shop", group="shop"), house.job("Other", group="other")
    rule = {"condition": defaults(Condition.FAILURE_RATE), "scope": {"kind": "group", "values": ["shop"]}}
    house.services.alert_rules.create(admin, {**RULE, **rule})
    for _ in range(10):
        house.end(other, Status.FAILED)
        house.end(shop, Status.SUCCESS)
    assert house.look() == []
    for _ in range(3):
        house.end(shop, Status.FAILED)
    (incident,) = house.look()
    assert (incident.subject.name, incident.subject.group) == ("shop", "shop")
    assert str(incident.why) == "Failed runs: 3 of 13 within 300 s (23.1%)."
    for group, count in (("shop", 1), ("other", 0)):
        person = replace(admin, groups=frozenset({group}))
        assert len(house.services.incidents.page(person, IncidentFilter(), limit=5)[0]) == count


@pytest.mark.parametrize("type", [Condition.NODE_LOST, Condition.FAILURE_RATE])
def test_a_rule_that_is_not_about_single_jobs_has_no_preview(house: House, type: Condition) -> None:
    house.end(house.job(), Status.FAILED)
    (failed,) = house.database["job_executions"].distinct("_id")
    for execution_id in ("", failed):
        shown = house.services.text_previews.preview(house.actor, {**RULE, "condition": defaults(type)}, execution_id=execution_id)
        assert (shown.message, shown.choices) == (None, ())


def test_a_token_is_told_until_a_week_after_it_has_expired(house: House) -> None:
    house.rule(Condition.CREDENTIAL_EXPIRES)
    credential_expires(house)
    house.look()
    for days, state in ((10, "firing"), (6, "firing"), (2, "resolved")):
        (incident, *_) = house.look(timedelta(days=days))
        assert (incident.subject.name, incident.state) == ("soon", state), days


def test_only_a_run_that_was_lost_with_its_node_is_told_with_it(house: House) -> None:
    house.rule(Condition.FAILED)
    ends = build_alert_ends(house.stores, house.services, build_announcer(house.settings, house.stores, house.clock))
    for name, reason in (("Lost", Reason.LOST_WORKER.value), ("Broke", None)):
        house.end(house.job(name), Status.FAILED, execution_host="a", reason=reason)
    for execution_id in house.database["job_executions"].distinct("_id"):
        found = house.stores.queue.get(execution_id)
        assert found is not None
        ends.carry_out(found)
    entries = house.stores.announcements.page(EntryFilter(), limit=10)
    assert {entry.announcement.subject.name: entry.announcement.labels.get("node") for entry in entries} == {"Lost": "a", "Broke": None}
