"""Mutes and quiet hours as people and programs use them: REST, pages, what a mute would hold, and what it holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.errors import Conflict, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.factory import Store
from app.factory.quiet import build_announcer, build_quieting
from app.factory.stores import Stores
from app.notification.announcing import Announcement, Subject, SubjectKind
from app.notification.delivery import DeliveryFilter
from app.notification.incidents.incident import Incident, IncidentState, Mark
from app.notification.message import MessageKind
from app.notification.quiet.mutes import MOST_MUTES
from app.queue.owing import Owing
from app.services import Services
from tests.builders.announcements import announcement, cause
from tests.conftest import Api, csrf
from tests.posting import Page


def body(**fields: Any) -> dict[str, Any]:
    return {"reason": "Move of the database", "ends_at": "2026-03-02T14:00:00Z", "jobs": ["Night"], **fields}


@pytest.fixture
def stores(store: Store) -> Stores:
    return Stores.over(store.database, Owing())


@pytest.fixture
def announce(services: Services, stores: Stores) -> Any:
    """Announces, and writes the incidents as they are then."""
    announcer = build_announcer(services.settings, stores, services.clock)

    def write(*items: Announcement) -> None:
        for item in items:
            before = stores.incidents.get(item.incident_id)
            over = item.kind is MessageKind.RECOVERY
            state = IncidentState.RESOLVED if over else IncidentState.FIRING
            made = before or Incident(
                id=item.incident_id,
                rule_id=item.rule_id,
                rule=item.rule,
                subject=item.subject,
                severity=item.severity,
                state=state,
                opened_at=item.at,
                last=Mark(item.at, "x"),
                why="",
            )
            stores.incidents.save(before, replace(made, state=state))
        announcer.announce([replace(item, to=("a@example.com",)) for item in items])

    return write


def test_a_mute_is_created_changed_and_ended(services: Services, super_admin: Actor, clock: ManualClock) -> None:
    mutes = services.mutes
    made = mutes.create(super_admin, body())
    assert (made.author, made.matcher.jobs, made.version) == (super_admin.email, ("Night",), 1)
    assert mutes.active(super_admin) == [made] == [mutes.get(super_admin, made.id)]
    changed = mutes.update(super_admin, made.id, body(reason="Longer", ends_at="2026-03-03T14:00:00Z"), version=1)
    assert (changed.reason, changed.author, changed.version) == ("Longer", super_admin.email, 2)
    with pytest.raises(StaleVersion):
        mutes.update(super_admin, made.id, body(), version=1)
    ended = mutes.end(super_admin, made.id)
    assert (mutes.active(super_admin), mutes.ended(super_admin), ended.ends_at) == ([], [ended], clock.now())
    for change in (lambda: mutes.end(super_admin, made.id), lambda: mutes.update(super_admin, made.id, body())):
        with pytest.raises(Conflict, match="has ended"):
            change()
    with pytest.raises(NotFound):
        mutes.get(super_admin, "none")
    events = services.audit.history(AuditFilter(kind="mute"))
    assert [event["action"] for event in events] == ["mute.end", "mute.update", "mute.create"]


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"reason": ""}, {"/reason"}),
        ({"jobs": []}, {"/rules"}),
        ({"jobs": 5}, {"/jobs"}),
        ({"ends_at": "tomorrow"}, {"/ends_at"}),
        ({"ends_at": "2026-03-02T12:00:00Z"}, {"/ends_at"}),
        ({"ends_at": "2026-04-01T12:00:01Z"}, {"/ends_at"}),
        ({"severities": ["loud"]}, {"/severities/0"}),
        ({"more": 1}, {"/more"}),
    ],
)
def test_a_mute_that_cannot_be_is_refused_with_all_reasons(
    services: Services, super_admin: Actor, fields: dict[str, Any], pointers: set[str]
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        services.mutes.create(super_admin, body(**fields))
    assert {error.pointer for error in refused.value.errors} == pointers


def test_an_admin_of_some_groups_mutes_only_these(services: Services, super_admin: Actor, admin: Actor) -> None:
    limited = replace(admin, groups=frozenset({"shop"}))
    others = services.mutes.create(super_admin, body(groups=["office"]))
    everything = services.mutes.create(super_admin, body(jobs=[], severities=["info"]))
    for groups in ([], ["office"], ["shop", "office"]):
        with pytest.raises(ValidationFailed, match="groups"):
            services.mutes.create(limited, body(groups=groups))
    own = services.mutes.create(limited, body(groups=["shop"]))
    shared = services.mutes.create(super_admin, body(groups=["shop", "office"]))
    assert {mute.id for mute in services.mutes.active(limited)} == {own.id, shared.id}
    for mute in (others, everything, shared):
        with pytest.raises(NotFound):
            services.mutes.end(limited, mute.id)
    services.mutes.end(limited, own.id)


def test_there_are_not_too_many_mutes(services: Services, super_admin: Actor) -> None:
    for _ in range(MOST_MUTES):
        services.mutes.create(super_admin, body())
    with pytest.raises(LimitReached):
        services.mutes.create(super_admin, body())


def test_a_preview_counts_what_fires_and_what_has_fired(
    services: Services, super_admin: Actor, admin: Actor, clock: ManualClock, announce: Any
) -> None:
    announce(announcement("Old"))
    clock.advance(timedelta(days=8).total_seconds())
    announce(announcement("Night"), announcement("Over"), announcement("Night", MessageKind.REMINDER), cause())
    announce(announcement("Over", MessageKind.RECOVERY))
    elsewhere = Subject(kind=SubjectKind.JOB, id="x", name="Elsewhere", group="office")
    announce(announcement("Elsewhere", subject=elsewhere))
    found = services.mutes.preview(super_admin, {"rules": ["Failures"]})
    assert (found.firing, found.lately) == (2, 3)
    assert {entry.announcement.title for entry in found.newest} == {"Night failed", "Over failed", "Elsewhere failed"}
    limited = replace(admin, groups=frozenset({"shop"}))
    assert services.mutes.preview(limited, {"rules": ["Failures"], "groups": ["shop"]}).lately == 2
    with pytest.raises(ValidationFailed):
        services.mutes.preview(super_admin, {})


def test_what_a_mute_holds_is_counted_and_sent_when_it_is_ended(
    services: Services, stores: Stores, super_admin: Actor, admin: Actor, clock: ManualClock, announce: Any
) -> None:
    node = build_quieting(services.settings, stores, services)
    mute = services.mutes.create(super_admin, body())
    announce(announcement("Night"), announcement("Other"))
    clock.advance(30)
    assert node.tick() == 1
    assert services.announced.held_lately(super_admin) == {"mute": 1}
    assert services.announced.held_lately(replace(admin, groups=frozenset({"office"}))) == {}
    clock.advance(600)
    assert node.tick() == 0
    services.mutes.end(super_admin, mute.id)
    assert node.tick() == 1
    (last, _), _ = services.deliveries.page(super_admin, DeliveryFilter(), limit=5)
    assert (last.message.title, "Reason: Muted" in last.message.text) == ("Night failed", True)


def test_mutes_over_rest(api: Api, admin_api: Api, announce: Any) -> None:
    announce(announcement("Night"))
    made = admin_api("POST", "/api/admin/mutes", body())
    assert made.status_code == 201
    mute = made.json["mute"]
    assert (mute["jobs"], mute["ended"], mute["rules"]) == (["Night"], False, [])
    assert [row["id"] for row in api("GET", "/api/admin/mutes").json["mutes"]] == [mute["id"]]
    found = api("POST", "/api/admin/mutes/preview", {"jobs": ["Night"]}).json
    assert (found["firing"], found["lately"], found["newest"][0]["title"]) == (1, 1, "Night failed")
    assert api("POST", "/api/admin/mutes", {"reason": ""}).status_code == 422
    path = f"/api/admin/mutes/{mute['id']}"
    assert api("PUT", path, body(reason="Other"), **{"If-Match": made.headers["ETag"]}).json["mute"]["reason"] == "Other"
    assert api("PUT", path, body(), **{"If-Match": made.headers["ETag"]}).status_code == 412
    assert api("DELETE", path).json["mute"]["ended"]
    assert api("DELETE", path).status_code == 409
    assert [row["id"] for row in api("GET", "/api/admin/mutes").json["ended"]] == [mute["id"]]


def test_announcements_over_rest_come_page_by_page(api: Api, announce: Any, clock: ManualClock) -> None:
    for number in range(5):
        announce(announcement(f"Job {number}"))
        clock.advance(1)
    first = api("GET", "/api/admin/announcements?limit=3").json
    second = api("GET", f"/api/admin/announcements?limit=3&after={first['next'].replace('+', '%2B')}").json
    assert [row["subject"]["name"] for row in first["announcements"] + second["announcements"]] == [f"Job {n}" for n in range(4, -1, -1)]
    assert (second["next"], first["held"], first["announcements"][0]["hold"]) == (None, {}, None)
    assert api("GET", "/api/admin/announcements?status=held").json["announcements"] == []
    assert api("GET", "/api/admin/announcements?status=lost").status_code == 422


def test_a_mute_is_made_on_its_pages(browser_client: FlaskClient, services: Services, super_admin: Actor, announce: Any) -> None:
    announce(announcement("Night"))
    page = browser_client.get("/mutes/new?jobs=Night&rules=Failures").text
    assert "Night" in page
    assert "Failures" in page
    assert "2026-03-02T20:00" in page, "8 h from now"
    form = {"csrf_token": csrf(page), "reason": "Move", "ends_at": "2026-03-02T14:00", "jobs": " Night\n\n", "severities": ["warning"]}
    shown = browser_client.post("/mutes/new", data={**form, "preview": "1"}).text
    assert "What it would hold" in shown
    assert "Night failed" in shown
    assert services.mutes.active(super_admin) == []
    refused = browser_client.post("/mutes/new", data={**form, "reason": ""})
    assert refused.status_code == 422
    assert browser_client.post("/mutes/new", data=form).status_code == 302
    (mute,) = services.mutes.active(super_admin)
    assert (mute.matcher.jobs, mute.matcher.severities) == (("Night",), ("warning",))
    assert "Move" in browser_client.get("/mutes").text
    taken = browser_client.post(f"/mutes/{mute.id}", data={**form, "take": "ends_at=2026-03-03T08%3A00"}).text
    assert 'value="2026-03-03T08:00"' in taken
    changed = browser_client.post(f"/mutes/{mute.id}", data={**form, "reason": "Longer", "version": "1"})
    assert (changed.status_code, services.mutes.get(super_admin, mute.id).reason) == (302, "Longer")
    assert browser_client.post(f"/mutes/{mute.id}", data={**form, "version": "1"}).status_code == 412
    assert browser_client.get(f"/mutes/{mute.id}").status_code == 200
    assert browser_client.post(f"/mutes/{mute.id}/end", data={"csrf_token": csrf(page)}).status_code == 302
    assert "Ended" in browser_client.get("/mutes").text


def test_the_page_of_alerts_shows_what_is_held_and_why(
    browser_client: FlaskClient, services: Services, stores: Stores, super_admin: Actor, clock: ManualClock, announce: Any
) -> None:
    assert "No alerts yet" in browser_client.get("/announcements").text
    services.mutes.create(super_admin, body())
    announce(announcement("Night"), announcement("Other", MessageKind.RECOVERY))
    clock.advance(30)
    build_quieting(services.settings, stores, services).tick()
    page = browser_client.get("/announcements?status=held").text
    for words in ("Night failed", "Muted: Move of the database", "Not sent", "Held back in the last 7 days"):
        assert words in page
    assert "No alert matches" in browser_client.get("/announcements?status=sent").text


def filled(client: FlaskClient, path: str, **values: str | list[str]) -> MultiDict[str, str]:
    """Returns what a browser posts after somebody has filled in the form of a channel."""
    entered = {name.replace("_", "."): value if isinstance(value, list) else [value] for name, value in values.items()}
    kept = [(name, value) for name, value in Page(client.get(path).text).pairs() if name not in entered]
    return MultiDict([*kept, *((name, value) for name, texts in entered.items() for value in texts)])


def test_quiet_hours_are_set_on_the_page_of_a_channel(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    path, url = "/channels/new?type=webhook", {"f_murl": "https://example.com/hook", "name": "Ops", "enabled": "1"}
    quiet: dict[str, Any] = {"quiet_days": ["mon", "sun"], "quiet_zone": "Europe/Berlin"}
    wrong = browser_client.post(path, data=filled(browser_client, path, **url, **{**quiet, "quiet_zone": "Nowhere"}))
    assert (wrong.status_code, "must be a time zone" in wrong.text) == (422, True)
    assert browser_client.post(path, data=filled(browser_client, path, **url, **quiet)).status_code == 302
    (row,) = services.channels.all(super_admin)
    assert row["quiet"] == {"days": ["mon", "sun"], "begin": "22:00", "end": "07:00", "zone": "Europe/Berlin", "pass": ["critical"]}
    kept = services.channels.update(super_admin, row["_id"], name="Ops", settings={"url": "https://example.com/hook"})
    assert kept["quiet"] == row["quiet"], "who does not speak of them keeps them"
    path = f"/channels/{row['_id']}"
    assert browser_client.post(path, data=filled(browser_client, path)).status_code == 302
    assert services.channels.get(super_admin, row["_id"])["quiet"] == row["quiet"], "the form has them as they are"
    said = {name: value for name, value in row["quiet"].items() if name != "pass"}
    services.channels.update(super_admin, row["_id"], name="Ops", settings={"url": "https://example.com/hook"}, quiet=said)
    assert browser_client.post(path, data=filled(browser_client, path)).status_code == 302
    assert services.channels.get(super_admin, row["_id"])["quiet"] == row["quiet"], "the form shows what passes where nobody said it"
    assert browser_client.post(path, data=filled(browser_client, path, quiet_days=[])).status_code == 302
    assert services.channels.get(super_admin, row["_id"])["quiet"] is None


def test_quiet_hours_over_rest(api: Api) -> None:
    quiet = {"days": ["mon"], "begin": "22:00", "end": "07:00", "zone": "UTC"}
    channel = {"name": "Ops", "type": "webhook", "settings": {"url": "https://example.com/hook"}, "quiet": quiet}
    made = api("POST", "/api/admin/channels", channel)
    assert (made.status_code, made.json["channel"]["quiet"]) == (201, quiet)
    refused = api("POST", "/api/admin/channels", {**channel, "name": "Other", "quiet": {**quiet, "begin": "late"}})
    assert [error["pointer"] for error in refused.json["errors"]] == ["/quiet/begin"]
