"""Pages of the administration: maintenance that ends by itself, accounts, audit, system, blackout calendars, import, help, errors."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import ApprovalNeeded, ValidationFailed
from app.factory import Store, build_services, create_app
from app.jobtemplates.catalogue import Catalogue
from app.scheduling.public_holidays import countries, public_holidays
from app.services import Services
from tests.conftest import Api, csrf
from tests.posting import post, text
from tests.support import PASSWORD
from web.views.help import SNIPPET, search


def main_of(page: str) -> str:
    node = LexborHTMLParser(page).css_first("main")
    assert node is not None
    return " ".join(node.text(separator=" ").split())


# -- maintenance ------------------------------------------------------------------------------------------------------


def test_maintenance_ends_by_itself_and_the_trail_says_so(
    browser_client: FlaskClient, services: Services, api: Api, clock: ManualClock
) -> None:
    begun = post(browser_client, "/maintenance", {"/reason": "new disks", "ends": "30"})
    assert begun.status_code == 302, text(begun)
    assert api("GET", "/api/admin/maintenance").json["until"] == (clock.now() + timedelta(minutes=30)).isoformat(
        timespec="milliseconds"
    ).replace("+00:00", "Z")
    assert "new disks" in text(browser_client.get("/"))
    clock.advance(1799)
    services.maintenance.settle()
    assert services.maintenance.get() is not None
    clock.advance(1)
    services.maintenance.settle()
    assert services.maintenance.get() is None
    events = services.audit.history(AuditFilter(kind="installation", target_id="maintenance"))
    assert (events[0]["action"], events[0]["actor"]["email"]) == ("maintenance.end", SYSTEM.email)


def test_a_later_end_that_was_chosen_meanwhile_holds(services: Services, super_admin: Actor, clock: ManualClock) -> None:
    first = services.maintenance.begin(super_admin, {"reason": "r", "until": (clock.now() + timedelta(minutes=1)).isoformat()})
    services.maintenance.begin(super_admin, {"reason": "r", "until": (clock.now() + timedelta(hours=1)).isoformat()})
    clock.advance(120)
    assert services.maintenance._store.remove(token=first["token"]) is False
    services.maintenance.settle()
    assert services.maintenance.get() is not None


@pytest.mark.parametrize(("until", "words"), [("", "must be a date and time"), ("2020-01-01T08:00", "must be in the future")])
def test_an_end_that_cannot_be_is_said_beside_its_field(browser_client: FlaskClient, services: Services, until: str, words: str) -> None:
    answer = post(browser_client, "/maintenance", {"/reason": "typed", "ends": "at", "until": until})
    assert (answer.status_code, words in text(answer), "typed" in text(answer)) == (422, True, True)
    assert services.maintenance.get() is None


def test_an_end_over_rest_is_checked(api: Api) -> None:
    for wrong in ("tomorrow", "2020-01-01T00:00:00Z", 5):
        answer = api("PUT", "/api/admin/maintenance", {"reason": "r", "until": wrong})
        assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/until")
    assert api("GET", "/api/admin/maintenance").json == {"on": False}


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_users_are_searched_once_there_are_many_and_programs_are_elsewhere(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    assert "Search users" not in text(browser_client.get("/users"))
    for number in range(13):
        groups = ["north"] if number % 2 else []
        services.accounts.add(super_admin, {"email": f"user{number}@example.com", "role": "admin", "groups": groups})
    services.accounts.add(super_admin, {"email": "ci@example.com", "role": "admin", "kind": "service"})
    page = text(browser_client.get("/users"))
    assert ("Search users" in page, "user12@" in page, "ci@example.com" in page) == (True, True, False)
    assert "ci@example.com" in text(browser_client.get("/service-accounts"))
    found = text(browser_client.get("/users?q=NORTH user1@"))
    assert ("user1@" in found, "user2@" in found) == (True, False)
    assert "No user matches" in text(browser_client.get("/users?q=nobody"))


def test_a_page_of_a_program_belongs_to_services(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    user, _ = services.accounts.add(super_admin, {"email": "ci@example.com", "role": "admin", "kind": "service"})
    for path, place in (
        (f"/users/{user.id}", "/service-accounts"),
        (f"/users/{user.id}/tokens/new", "/service-accounts"),
        ("/users/new?kind=service", "/service-accounts"),
        ("/users/new", "/users"),
    ):
        page = LexborHTMLParser(text(browser_client.get(path)))
        assert [node.attributes["href"] for node in page.css(".sidebar [aria-current=page]")] == [place], path
    own = LexborHTMLParser(text(browser_client.get(f"/users/{super_admin.id}/tokens/new")))
    assert own.css(".sidebar [aria-current=page]") == []


def test_a_user_page_says_what_the_role_may_do(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    user, _ = services.accounts.add(super_admin, {"email": "ada@example.com", "role": "admin"})
    page = LexborHTMLParser(text(browser_client.get(f"/users/{user.id}")))
    rights = {row.css("td")[1].text(): "allowed" in (row.attributes["class"] or "") for row in page.css(".rights tr")}
    assert rights["See jobs and their versions"]
    assert not rights["Begin and end maintenance"]


def test_the_first_start_says_where_the_password_is(app: Flask, services: Services, super_admin: Actor) -> None:
    client = app.test_client()
    assert "First start?" in text(client.get("/sign-in"))
    page = text(client.get("/sign-in"))
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": super_admin.email, "password": PASSWORD})
    assert "First start?" not in text(app.test_client().get("/sign-in"))


def test_a_dead_link_says_what_to_do(app: Flask) -> None:
    answer = app.test_client().get("/reset/nothing")
    assert (answer.status_code, "Ask a super-admin for a new one" in text(answer)) == (404, True)


def test_the_installation_has_a_name(settings: Settings, store: Store, clock: ManualClock, catalogue: Catalogue) -> None:
    named = build_services(replace(settings, name="Shop <test>"), store, clock=clock, catalogue=catalogue)
    page = text(create_app(named).test_client().get("/sign-in"))
    assert "<title>Sign in · Shop &lt;test&gt;</title>" in page
    assert page.count("Shop &lt;test&gt;") == 2


def test_the_rest_page_gets_a_token_for_an_hour_and_one_at_a_time(
    app: Flask, browser_client: FlaskClient, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    page = text(browser_client.get("/api/docs"))
    assert "Try requests as" in page
    header = {"X-CSRFToken": csrf(page)}
    assert browser_client.post("/account/docs-token").status_code == 400
    first = browser_client.post("/account/docs-token", headers=header).json["token"]  # type: ignore[index]  # it is JSON
    second = browser_client.post("/account/docs-token", headers=header).json["token"]  # type: ignore[index]  # as above

    def status(token: str) -> int:
        return app.test_client().get("/api/admin/users", headers={"Authorization": f"Bearer {token}"}).status_code

    assert (status(first), status(second)) == (401, 200)
    clock.advance(3601)
    assert status(second) == 401
    stranger = app.test_client()
    assert "Sign in to try requests" in text(stranger.get("/api/docs"))
    assert stranger.post("/account/docs-token").status_code in {302, 400}


def test_tokens_of_the_rest_page_end_with_the_session_and_leave_tokens_of_the_same_name_alone(
    app: Flask, browser_client: FlaskClient, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    in_use = services.tokens.create(super_admin, email=super_admin.email, name="REST documentation")
    for_days = services.tokens.request(super_admin, super_admin.id, {"name": "REST documentation", "scopes": ["read"], "days": 1})[0]
    header = {"X-CSRFToken": csrf(text(browser_client.get("/api/docs")))}
    shown = browser_client.post("/account/docs-token", headers=header).json["token"]  # type: ignore[index]  # it is JSON

    def status(token: str) -> int:
        return app.test_client().get("/api/admin/scheduler-jobs", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status(token) for token in (in_use, for_days, shown)] == [200, 200, 200]
    assert browser_client.post("/sign-out", headers=header).status_code == 302
    assert [status(token) for token in (in_use, for_days, shown)] == [200, 200, 401]


# -- audit and system -------------------------------------------------------------------------------------------------


def test_the_trail_speaks_words_and_a_day_is_one_of_the_viewers(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})
    page = LexborHTMLParser(text(browser_client.get("/audit")))
    options = {node.attributes.get("value"): node.text() for node in page.css("#by-action option")}
    assert (options["job.create"], "job.delete" in options) == ("Create job", False), "what was never recorded is not offered"
    assert "Create job" in main_of(text(browser_client.get("/audit?action=job.create")))
    assert "No event matches" in text(browser_client.get("/audit?action=job.create&outcome=failed"))


def test_the_trail_shows_changes_with_the_titles_of_fields_and_in_local_time(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    hourly = {"type": "cron", "expression": "0 * * * *"}
    job, _ = services.jobs.create(super_admin, {"name": "j", "template_type": "test_scheduler", "schedule": hourly})
    services.jobs.update(super_admin, job.id, {"parameters": {"log_lines": 3}}, version=1)
    until = services.clock.now() + timedelta(days=1)
    services.pausing.pause(super_admin, job.id, {"reason": "disks", "until": until.isoformat()})
    services.connections.create(super_admin, name="Files", kind="file_store", settings={"path": "/tmp/x"})
    changes = LexborHTMLParser(text(browser_client.get("/audit"))).css(".audit-table .diff")
    titles = {node.text(strip=True) for change in changes for node in change.css("dt")}
    assert "Log lines" in titles
    assert not [title for title in titles if title.startswith("/")]
    assert "+00:00" not in " ".join(change.text() for change in changes)


def test_a_filter_that_a_list_does_not_know_is_told(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})
    for path, known in (("/jobs", "last=failed"), ("/executions", "status=failed"), ("/audit", "action=job.create")):
        odd = main_of(text(browser_client.get(f"{path}?{known}&colour=<b>&size=")))
        assert "The address has a filter that this list does not know: colour. It is ignored." in odd
        assert "does not know" not in text(browser_client.get(f"{path}?{known}&page=1" if path != "/audit" else f"{path}?{known}"))
    assert "colour, size" in text(browser_client.get("/jobs?colour=1&size=2"))
    assert "Save view" not in main_of(text(browser_client.get("/jobs?status=failed")))
    assert "Save view" in main_of(text(browser_client.get("/jobs?state=on")))


def test_settings_are_searched_and_only_changed_ones_shown(browser_client: FlaskClient) -> None:
    everything = LexborHTMLParser(text(browser_client.get("/system")))
    names = [node.text() for node in everything.css(".settings .name code")]
    assert len(names) == len(set(names)) > 60
    searched = text(browser_client.get("/system?q=session hours"))
    assert ("JOBWRIGHT_SESSION_HOURS" in searched, "JOBWRIGHT_NAME" in searched) == (True, False)
    changed = LexborHTMLParser(text(browser_client.get("/system?changed=1")))
    shown = {node.text() for node in changed.css(".settings .name code")}
    assert "JOBWRIGHT_SECRET_KEY" in shown
    assert "JOBWRIGHT_SESSION_HOURS" not in shown
    assert "No setting matches" in text(browser_client.get("/system?q=zzzz"))


def test_a_long_time_in_a_setting_is_shown_as_a_duration(browser_client: FlaskClient, services: Services) -> None:
    rows = LexborHTMLParser(text(browser_client.get("/system"))).css(".settings tbody tr")
    values = {row.css("code")[0].text(): " ".join(row.css("td")[1].text(separator=" ").split()) for row in rows}
    grace = services.settings.kill_grace_seconds
    assert (values["JOBWRIGHT_SESSION_IDLE_MINUTES"], values["DEFAULT_RETRY_DELAY"]) == ("120 (2 h)", "300 (5 min)")
    assert values["JOBWRIGHT_KILL_GRACE_SECONDS"].removesuffix(" changed") == f"{grace:g}", "a few seconds need no other words"


# -- blackout calendars -----------------------------------------------------------------------------------------------


def test_whole_days_are_told_as_days(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    dates = [{"from": "2026-03-05"}, {"from": "2026-03-28", "to": "2026-03-30"}]  # clocks change on 29 March
    weekly = [{"days": ["sat"], "from": "06:00", "to": "12:00"}]
    services.calendars.create(super_admin, "made", {"timezone": "Europe/Berlin", "dates": dates, "weekly": weekly})
    aside = LexborHTMLParser(text(browser_client.get("/calendars/made"))).css_first("aside")
    assert aside is not None
    told = {" ".join(item.text(separator=" ").split()) for item in aside.css("li")}
    assert {"Thu 05 Mar 2026 all day", "Sat 07 Mar 2026, 06:00 until Sat 07 Mar, 12:00", "Sat 28 Mar 2026 to the end of Mon 30 Mar"} <= told


EVENTS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
SUMMARY:Break
END:VEVENT
END:VCALENDAR
"""


def test_public_holidays_come_by_country_and_region() -> None:
    assert {"DE", "GB", "US", "FR"} <= set(countries())
    bavaria = dict(public_holidays("DE", "by", [2026], language="de"))
    whole = dict(public_holidays("DE", "", [2026], language="de"))
    assert "Fronleichnam" in bavaria.values()
    assert "Fronleichnam" not in whole.values()
    for country, region, pointer in (("XX", "", "/country"), ("DE", "ZZ", "/region"), ("DE", "'; drop", "/region")):
        with pytest.raises(ValidationFailed) as failed:
            public_holidays(country, region, [2026])
        assert failed.value.errors[0].pointer == pointer


def test_holidays_are_added_to_the_form_once_and_saved_only_then(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    typed = {"name": "holidays", "country": "DE", "region": "BY", "years": "1", "fill": "holidays"}
    page = text(post(browser_client, "/calendars/new", typed))
    assert "public holidays added" in page
    assert 'value="holidays"' in page
    assert services.calendars.all(super_admin) == []
    wrong = post(browser_client, "/calendars/new", {**typed, "region": "ZZ"})
    assert (wrong.status_code, "must be a region of this country" in text(wrong)) == (422, True)
    body = {"timezone": "UTC", "dates": [{"from": f"{day.isoformat()}"} for day, _ in public_holidays("DE", "BY", [2026])]}
    services.calendars.create(super_admin, "made", body)
    again = text(post(browser_client, "/calendars/made", {"country": "DE", "region": "BY", "years": "1", "fill": "holidays"}))
    assert "0 public holidays added" in again


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (EVENTS.encode(), "The file is in the field iCalendar"),
        (b"\xef\xbb\xbf" + EVENTS.replace("\n", "\r\n").encode(), "The file is in the field iCalendar"),
        (b"\xff\xfe\x00", "is not a text in UTF-8"),
        (b"no calendar", "iCalendar"),
        (b"", "choose a file first"),
    ],
)
def test_an_ics_file_is_read_into_the_form(browser_client: FlaskClient, content: bytes, words: str) -> None:
    token = csrf(text(browser_client.get("/calendars/new")))
    data: dict[str, Any] = {"csrf_token": token, "name": "from a file", "fill": "file"}
    if content:
        data["upload"] = (BytesIO(content), "events.ics")
    answer = browser_client.post("/calendars/new", data=data, content_type="multipart/form-data")
    page = text(answer)
    assert words in page
    assert 'value="from a file"' in page
    assert ("DTSTART;VALUE=DATE:20261224" in page) == (answer.status_code == 200)


# -- approvals and import ---------------------------------------------------------------------------------------------


def test_a_request_is_read_in_titles_and_words(browser_client: FlaskClient, services: Services, admin: Actor, tmp_path: Any) -> None:
    services.connections.create(
        Actor(id="s", email="s@example.com", role=Role.SUPER_ADMIN.value, via="web"),
        name="files",
        kind="file_store",
        settings={"path": str(tmp_path)},
    )
    body = {"name": "tidy", "template_type": "file_cleanup", "parameters": {"store": "files", "older_than_days": 30, "dryRun": False}}
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, body)
    row = services.approvals.ask(admin, needed.value.ask)
    page = main_of(text(browser_client.get(f"/approvals/{row['_id']}")))
    assert "/parameters/" not in page
    assert "deletes data" in page
    assert "The request expires on" in page
    listed = main_of(text(browser_client.get("/approvals")))
    assert "Create tidy" in listed
    assert "deletes data" in listed


def test_the_import_has_three_modes_and_speaks_titles(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    text_of_file = "jobwright: 1\njobs:\n  - name: hook\n    template_type: webhook_trigger\n    parameters: {url: 'ftp://x'}\n"
    page = main_of(text(post(browser_client, "/jobs/import", {"file": text_of_file, "action": "plan"})))
    assert "Plan: 1 invalid" in page
    assert "Address : must be" in page
    services.jobs.create(super_admin, {"name": "kept", "template_type": "noop", "description": "before"})
    change = "jobwright: 1\njobs:\n  - name: kept\n    template_type: noop\n    description: after\n"
    for mode, words in (("", "Plan: 1 to change"), ("only_new", "Plan: 1 unchanged")):
        assert words in main_of(text(post(browser_client, "/jobs/import", {"file": change, "mode": mode, "action": "plan"})))


# -- help and errors --------------------------------------------------------------------------------------------------


def test_the_help_is_searched(app: Flask, browser_client: FlaskClient) -> None:
    with app.test_request_context():
        assert search("maintenance")
        assert search("") == search("zzzz qqqq") == []
    found = main_of(text(browser_client.get("/help?q=maintenance")))
    assert "Run Jobwright in production" in found
    with app.test_request_context():
        snippets = {hit.topic.name: hit.snippet for hit in search("calendar stops run")}
        assert snippets["how-to/schedules"] == "skipped: a blackout calendar of the job stops the run."
        long = [hit.snippet for hit in search("the")]
        assert all(len(snippet) <= SNIPPET + 2 for snippet in long)
        assert any(snippet.endswith("…") for snippet in long), "a long paragraph is cut"
        assert not [snippet for snippet in long if re.search(r"\*\*|```|\]\(", snippet)], "no marks of Markdown"
    nothing = text(browser_client.get("/help?q=<script>alert(1)</script>"))
    assert "No topic has all these words" in nothing
    assert "<script>alert" not in nothing
    topic = LexborHTMLParser(text(browser_client.get("/help/how-to/operate")))
    anchors = [node.attributes["href"] or "" for node in topic.css(".on-this-page a")]
    assert anchors
    assert all(topic.css_first(f"[id='{anchor[1:]}']") is not None for anchor in anchors)


def test_an_unknown_address_keeps_the_frame_and_leads_on(app: Flask, browser_client: FlaskClient) -> None:
    answer = browser_client.get("/nothing/here")
    page = LexborHTMLParser(text(answer))
    assert answer.status_code == 404
    assert page.css_first(".sidebar") is not None
    assert {node.attributes["href"] for node in page.css(".error-page a")} >= {"/", "/jobs", "/help"}
    stranger = text(app.test_client().get("/nothing/here"))
    assert "Page not found" in stranger
    assert 'class="sidebar"' not in stranger
