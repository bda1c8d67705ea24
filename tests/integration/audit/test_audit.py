"""The audit trail: written before the change, sealed to the event before it, read by those who may."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.chain import BEGINNING, link, verify
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.audit.service import AuditTrail
from app.audit.store import AuditStore
from app.clock import ManualClock, SystemClock
from app.config import Settings
from app.errors import Forbidden
from app.factory import Store
from app.keys import KeyRing
from app.services import Services
from tests.conftest import START, Api
from tests.support import KEY, OTHER_KEY

KEYS = KeyRing("the key")


def trail(store: Store, keys: KeyRing = KEYS) -> AuditTrail:
    return AuditTrail(AuditStore(store.database), SystemClock(), keys)


def note(audit: AuditTrail, name: str, action: str = "job.update") -> None:
    diff = [{"field": "/x", "before": 1.5, "after": {"b": START + timedelta(microseconds=1), "a": (1, 2)}}]
    with audit.action(SYSTEM, action, kind="job", target_id=name, name=name, diff=diff):
        pass


def test_writers_in_many_places_make_one_chain(store: Store) -> None:
    """Each trail stands for a process: it has a lock of its own and sees the others only in the database."""
    trails = [trail(store) for _ in range(5)]
    threads = [threading.Thread(target=lambda t=t: [note(t, f"n{n}") for n in range(8)]) for t in trails for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = trail(store).verify()
    assert (report.events, report.head.seq, report.breaks) == (80, 80, ())


@pytest.mark.parametrize(
    ("tamper", "seq", "words"),
    [
        (lambda events: events.update_one({"seq": 3}, {"$set": {"actor.email": "other@example.com"}}), 3, "changed after"),
        (lambda events: events.update_one({"seq": 3}, {"$set": {"diff.0.before": 2.5}}), 3, "changed after"),
        (lambda events: events.update_one({"seq": 3}, {"$set": {"more": 1}}), 3, "changed after"),
        (lambda events: events.update_one({"seq": 3}, {"$unset": {"reason": "", "diff": ""}}), 3, "changed after"),
        (lambda events: events.delete_one({"seq": 3}), 4, "1 events before it are missing"),
        (lambda events: events.delete_one({"seq": 1}), 2, "1 events before it are missing"),
        (lambda events: events.update_many({"seq": {"$lt": 4}}, {"$unset": {"seal": ""}}), 4, "does not follow"),
        (lambda events: events.update_one({"seq": 3}, {"$unset": {"seal": ""}}), 3, "changed after"),
        (lambda events: events.update_one({"seq": 3}, {"$set": {"key": "0" * 12}}), 3, "unknown key"),
    ],
)
def test_whoever_has_the_database_and_not_the_key_leaves_a_mark(store: Store, tamper: Any, seq: int, words: str) -> None:
    audit = trail(store)
    for n in range(6):
        note(audit, f"n{n}")
    assert audit.verify().breaks == ()
    tamper(store.database["audit_log"])
    found = audit.verify().breaks[0]
    assert found.seq == seq
    assert words in found.reason


def test_an_event_put_in_with_another_key_is_found_and_an_earlier_key_is_known(store: Store) -> None:
    note(trail(store, KeyRing("old key")), "a")
    note(trail(store, KeyRing("new key", ("old key",))), "b")
    assert trail(store, KeyRing("new key", ("old key",))).verify().breaks == ()
    assert "JOBWRIGHT_OLD_SECRET_KEYS" in trail(store, KeyRing("new key")).verify().breaks[0].reason
    note(trail(store, KeyRing("a guess")), "c")
    assert trail(store, KeyRing("new key", ("old key",))).verify().breaks[0].seq == 3


def test_events_older_than_the_chain_stay_and_are_counted(store: Store) -> None:
    events = store.database["audit_log"]
    events.insert_many([{"_id": n, "seq": n, "at": START, "action": "job.create"} for n in (1, 2)])
    note(trail(store), "a")
    report = trail(store).verify()
    assert (report.events, report.unsealed, report.breaks) == (3, 2, ())
    assert events.find_one({"seq": 3})["previous"] == BEGINNING  # type: ignore[index]


def test_the_seal_does_not_depend_on_the_order_of_members() -> None:
    first = link({"_id": 1, "b": {"y": 1, "x": [1, 2]}, "a": START}, verify([], KEYS).head, KEYS)
    turned = {name: first[name] for name in reversed(first)}
    turned["b"] = {"x": [1, 2], "y": 1}
    assert verify([turned], KEYS).breaks == ()
    assert verify([{**turned, "b": {"x": [2, 1], "y": 1}}], KEYS).breaks != ()


def test_a_change_that_cannot_be_recorded_does_not_happen(services: Services, store: Store, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})[0]
    store.database.command("collMod", "audit_log", validator={"never": True})
    try:
        for attempt in (
            lambda: services.jobs.update(super_admin, job.id, {"description": "x"}),
            lambda: services.jobs.delete(super_admin, job.id),
            lambda: services.runs.run_now(super_admin, job.id),
            lambda: services.maintenance.begin(super_admin, {"reason": "x"}),
            lambda: list(services.auditors.export(super_admin, AuditFilter(), "csv")),
        ):
            with pytest.raises(Exception, match="validation"):
                attempt()
    finally:
        store.database.command("collMod", "audit_log", validator={})
    assert services.jobs.get(super_admin, job.id) == job
    assert store.database["job_executions"].count_documents({}) == 0
    assert services.maintenance.get() is None


def test_a_refusal_is_recorded_with_who_and_why(api: Api, admin_api: Api, services: Services, super_admin: Actor) -> None:
    assert admin_api("POST", "/api/admin/connections", {"name": "c", "kind": "smtp", "settings": {}}).status_code == 403
    event = services.auditors.page(super_admin, AuditFilter(outcome="refused")).events[0]
    assert event["actor"]["email"] == "ada@example.com"
    assert event["target"]["id"] == "POST /api/admin/connections"
    assert "super_admin" in event["reason"]
    listed = api("GET", "/api/admin/audit-events?outcome=refused").json
    assert [one["seq"] for one in listed["events"]] == [event["seq"]]


def test_only_super_admins_read_it(admin_api: Api, services: Services, admin: Actor) -> None:
    for path in ("/api/admin/audit-events", "/api/admin/audit-events/export"):
        assert admin_api("GET", path).status_code == 403
    with pytest.raises(Forbidden):
        services.auditors.page(admin, AuditFilter())


def test_pages_go_on_where_the_last_one_ended_and_filters_narrow(
    api: Api, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    jobs = [services.jobs.create(super_admin, {"name": f"j{n}", "template_type": "noop"})[0] for n in range(5)]
    clock.advance(86_400)
    services.jobs.set_enabled(super_admin, jobs[0].id, enabled=False)
    seen: list[int] = []
    before = ""
    while True:
        answer = api("GET", f"/api/admin/audit-events?limit=2{before}").json
        seen += [event["seq"] for event in answer["events"]]
        if answer["older"] is None:
            break
        before = f"&before={answer['older']}"
    assert seen == sorted(seen, reverse=True)
    assert seen == list(range(seen[0], 0, -1))

    def names(query: str) -> list[str]:
        return [event["action"] for event in api("GET", f"/api/admin/audit-events?{query}").json["events"]]

    assert set(names("action=job")) == {"job.create", "job.disable"}
    assert names("action=job.dis") == []
    assert names(f"kind=job&target_id={jobs[0].id}") == ["job.disable", "job.create"]
    assert names("begin=2026-03-03T00:00:00Z") == ["job.disable"]
    assert "job.disable" not in names("end=2026-03-03T00:00:00Z")
    assert names("actor=BOSS.*") == []
    assert len(names("actor=@&action=job")) == 6
    assert api("GET", "/api/admin/audit-events?colour=red").status_code == 422


def test_exports_hold_everything_and_run_nothing(api: Api, services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "=cmd|' /C calc'!A0", "template_type": "noop"})
    rows = list(csv.DictReader(io.StringIO(api("GET", "/api/admin/audit-events/export?format=csv&action=job").text)))
    assert [row["target_name"] for row in rows] == ["'=cmd|' /C calc'!A0"]
    lines = [json.loads(line) for line in api("GET", "/api/admin/audit-events/export").text.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["action"] == "audit.export"  # an export is an event, and in itself
    assert all(line["seal"] for line in lines)


def test_the_page_filters_pages_and_shows_hostile_text_as_text(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "<script>alert(1)</script>", "template_type": "noop", "tags": ["<b>x</b>"]})
    page = browser_client.get("/audit?action=job").get_data(as_text=True)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    for query in ("before=x", "begin=2026-99-99", "end=9999-12-31", "outcome=%00", f"actor={'a' * 5000}", "before=999999999999999999999"):
        assert browser_client.get(f"/audit?{query}").status_code == 200
    assert "No event matches" in browser_client.get("/audit?actor=nobody").get_data(as_text=True)
    assert browser_client.get("/audit/export.csv?action=job").headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert browser_client.get("/audit/export.exe").status_code == 404


def test_settings_that_a_start_finds_changed_are_recorded_and_their_secrets_not(services: Services) -> None:
    def seen() -> list[dict[str, Any]]:
        return services.audit.history(AuditFilter(action="settings.change"))

    def start(**chosen: Any) -> int:
        return services.settings_trail.record("host serve", *Settings(**chosen).chosen())

    assert start(port=8081, secret_key=KEY, allowed_hosts=("a", "b"), group_limits=(("g", 2),)) == 4
    assert start(port=8081, secret_key=KEY, allowed_hosts=("a", "b"), group_limits=(("g", 2),)) == 0
    assert start(port=8082, secret_key=OTHER_KEY, allowed_hosts=("a", "b")) == 3
    changed, first = seen()
    assert {row["field"]: row for row in changed["diff"]} == {
        "/PORT": {"field": "/PORT", "before": 8081, "after": 8082},
        "/JOBWRIGHT_GROUP_LIMITS": {"field": "/JOBWRIGHT_GROUP_LIMITS", "before": [["g", 2]]},
        "/JOBWRIGHT_SECRET_KEY": {"field": "/JOBWRIGHT_SECRET_KEY", "before": {"$secret": "set"}, "after": {"$secret": "set"}},
    }
    assert first["target"]["name"] == "host serve"
    assert "secret" not in json.dumps([one["diff"] for one in seen()], default=str).replace('{"$secret": "set"}', "")
    assert start() == 3  # what goes back to its default is said too
    assert services.settings_trail.record("other host serve", *Settings(port=8081).chosen()) == 1


def test_every_setting_that_may_hold_a_secret_is_marked_as_one() -> None:
    secrets = {item.metadata["name"] for item in dataclasses.fields(Settings) if item.metadata["secret"]}
    telling = {
        item.metadata["name"]
        for item in dataclasses.fields(Settings)
        if re.search("SECRET|PASSWORD$|TOKEN|_URI|^NATS_URL$|^CELERY_BROKER_URL$|^JOBWRIGHT_MONITOR_URL$", item.metadata["name"])
    }
    assert telling == secrets
    assert "hunter2" not in repr(Settings(admin_password="hunter2", mongodb_uri="mongodb://u:hunter2@h", secret_key="hunter2"))
