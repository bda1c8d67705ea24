"""The pages and the REST routes of alert rules and incidents, and what the pages of a job and of an execution say of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.errors import Conflict, Forbidden, NotFound
from app.factory import Store, build_services
from app.factory.alerts import build_alert_ends
from app.factory.quiet import build_quieting
from app.factory.stores import Stores
from app.notification.delivery import DeliveryFilter
from app.notification.incidents.incident import IncidentFilter
from app.queue.execution import Execution
from app.queue.model import Status, Trigger
from app.queue.owing import Owing
from app.services import Services
from tests.builders.queue import new_execution
from tests.conftest import Api, app_of
from tests.posting import post, text

BODY = {"name": "Failures", "condition": {"type": "failed"}, "to": ["ops@example.com"]}
RULES, INCIDENTS = "/api/admin/alert-rules", "/api/admin/incidents"


class Ends:
    """Writes ends, and applies the rules to them."""

    def __init__(self, store: Store, services: Services, actor: Actor, clock: ManualClock) -> None:
        self.stores, self.services, self.actor, self.clock = Stores.over(store.database, Owing()), services, actor, clock

    def job(self, name: str = "Night", **fields: Any) -> str:
        return self.services.jobs.create(self.actor, {"name": name, "template_type": "noop", **fields})[0].id

    def end(self, job_id: str, status: Status = Status.FAILED) -> Execution:
        self.clock.advance(60)
        job = self.services.jobs.get(self.actor, job_id)
        made = new_execution(job, now=self.clock.now(), triggered_by=Trigger.SCHEDULE, status=status)
        self.stores.queue.add([made])
        build_alert_ends(self.stores, self.services).carry_out(made)
        return made

    def tell(self) -> None:
        """Has what was announced told, once it has waited for more."""
        self.clock.advance(self.services.settings.alert_wait_seconds)
        build_quieting(self.services.settings, self.stores, self.services).tick()

    def incident(self) -> str:
        (row,), _ = self.services.incidents.page(self.actor, IncidentFilter(), limit=2)
        return row.id


@pytest.fixture
def ends(store: Store, services: Services, super_admin: Actor, clock: ManualClock) -> Ends:
    return Ends(store, services, super_admin, clock)


def words(page: str) -> str:
    main = LexborHTMLParser(page).css_first("main")
    assert main is not None
    return " ".join(main.text().split())


def test_a_rule_is_created_changed_switched_and_deleted(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    assert "No alert rules yet" in words(text(browser_client.get("/rules")))
    form = text(browser_client.get("/rules/new"))
    for title in (
        "Several runs in a row failed",
        "The jobs with some tags",
        "Send reminders",
        "JOBWRIGHT_NOTIFY_CONNECTION",  # mail is not set up, and the viewer's address is offered
    ):
        assert title in form
    wrong = post(browser_client, "/rules/new", {"/name": "Nights", "/to": "nobody"})
    assert wrong.status_code == 422
    assert "must be an e-mail address, or channel: and the name of a channel" in text(wrong)
    made = post(browser_client, "/rules/new", {"/name": "Nights", "/to": "ops@example.com"})
    assert made.status_code == 302, words(text(made))
    (rule,) = services.alert_rules.all(super_admin)
    assert (rule.name, rule.type, rule.to, rule.enabled, rule.recovery, rule.remind) == (
        "Nights",
        "failed",
        ("ops@example.com",),
        True,
        True,
        None,
    )
    page = f"/rules/{rule.id}"
    taken = post(browser_client, "/rules/new", {"/name": "Nights", "/to": "ops@example.com"})
    assert (taken.status_code, "is already used" in text(taken)) == (409, True)
    changed = post(browser_client, page, {"/name": "Nights and days"})
    assert changed.status_code == 302, words(text(changed))
    stale = post(browser_client, page, {"/name": "Late", "version": "1"})
    assert stale.status_code == 412
    assert "Late" in text(stale)
    assert post(browser_client, page, {}, to=f"{page}/disable").status_code == 302
    assert "disabled" in words(text(browser_client.get("/rules")))
    assert post(browser_client, page, {}, to=f"{page}/enable").status_code == 302
    assert services.alert_rules.get(super_admin, rule.id).name == "Nights and days"
    assert post(browser_client, page, {}, to=f"{page}/delete").status_code == 302
    assert services.alert_rules.all(super_admin) == []


def test_the_texts_of_a_rule_are_changed_in_its_form_and_a_fault_is_shown(browser_client: FlaskClient, ends: Ends) -> None:
    new = words(text(browser_client.get("/rules/new")))
    assert "Write own texts" in new
    assert "{{ log.error }} The last error in the log" in new
    rules, texts = ends.services.alert_rules, {"title": "{{ job.name }} <b>", "text": "{{ job.group }}"}
    rule = rules.create(ends.actor, {**BODY, "texts": texts})
    page = f"/rules/{rule.id}"
    assert "{{ job.name }} &lt;b&gt;" in text(browser_client.get(page))
    wrong = post(browser_client, page, {"/texts/title": "{{ job.nme }}"})
    assert (wrong.status_code, "job.nme is not known" in words(text(wrong))) == (422, True)
    ends.end(ends.job())
    ends.tell()
    shown = words(text(browser_client.get(page)))
    assert "The text of the rule could not be used: job.group is missing." in shown
    assert post(browser_client, page, {"/texts/text": "It is down."}).status_code == 302
    changed = rules.get(ends.actor, rule.id)
    assert changed.texts is not None
    assert (changed.texts.title, changed.texts.text, changed.texts_fault) == ("{{ job.name }} <b>", "It is down.", None)
    assert "could not be used" not in words(text(browser_client.get(page)))


def test_the_message_of_a_rule_is_previewed_with_a_past_run(browser_client: FlaskClient, ends: Ends) -> None:
    empty = post(browser_client, "/rules/new", {"/name": "Nights", "/to": "ops@example.com", "preview": "1"})
    assert "There is no run yet that the rule applies to." in words(text(empty))
    rule = ends.services.alert_rules.create(ends.actor, {**BODY, "texts": {"title": "{{ job.name }} is down", "text": "{{ job.group }}!"}})
    page = f"/rules/{rule.id}"
    first, last = ends.end(ends.job("First <b>", group="ops")), ends.end(ends.job("Last"))
    shown = text(post(browser_client, page, {"preview": "1"}))
    assert "Last is down" in words(shown)
    assert "The text of the rule could not be used: job.group is missing." in words(shown)
    assert "Rule: Failures" in words(shown)
    other = text(post(browser_client, page, {"preview": "1", "run": first.id, "/texts/text": "{{ job.group }}?"}))
    assert "First &lt;b&gt; is down" in other
    assert "ops?" in words(other)
    assert "could not be used" not in words(other)
    wrong = post(browser_client, page, {"preview": "1", "/texts/title": "{{ job.nme }}"})
    assert (wrong.status_code, "job.nme is not known" in words(text(wrong))) == (422, True)
    assert post(browser_client, page, {"preview": "1", "run": "nothing"}).status_code == 404
    assert ends.services.alert_rules.get(ends.actor, rule.id) == rule, "nothing is saved, and no fault is noted"
    assert last.id != first.id


def test_the_message_of_a_rule_is_previewed_over_rest(api: Api, ends: Ends, admin: Actor) -> None:
    body = {**BODY, "texts": {"title": "{{ job.name }}: {{ execution.status }}", "text": "{{ why }} {{ execution.error }}"}}
    assert api("POST", f"{RULES}/preview", body).json["execution_id"] is None
    south, north = ends.end(ends.job("South", group="south")), ends.end(ends.job("North", group="north"))
    good = ends.end(ends.job("Good"), Status.SUCCESS)
    made = api("POST", f"{RULES}/preview?language=de", body).json
    assert (made["execution_id"], made["choices"], made["title"], made["language"]) == (
        north.id,
        [north.id, south.id],
        "North: failed",
        "de",
    )
    assert made["fault"]["field"] == "text"
    assert made["text"].startswith("Der Lauf ist fehlgeschlagen.")
    assert "Regel: Failures" in made["whole"]
    chosen = api("POST", f"{RULES}/preview?execution_id={good.id}", {**body, "texts": {"text": "{{ why }}"}}).json
    assert chosen["text"] == "Preview: the condition does not hold for this run."
    success = api("POST", f"{RULES}/preview", {**body, "condition": {"type": "succeeded"}, "texts": {"text": "{{ kind }} {{ why }}"}}).json
    assert (success["execution_id"], success["text"]) == (good.id, "notice The run succeeded.")
    narrow = api("POST", f"{RULES}/preview", {**body, "where": 'job.name == "South"'}).json
    assert narrow["execution_id"] == south.id
    for late in ({"type": "running_long", "over_seconds": 60}, {"type": "failures_in_a_row", "count": 3}):
        assert api("POST", f"{RULES}/preview", {**BODY, "condition": late}).json["title"] == "North (Failures)"
    for wrong in HOSTILE:
        assert api("POST", f"{RULES}/preview", wrong).status_code == 422
    assert api("POST", f"{RULES}/preview?execution_id=nothing", body).status_code == 404
    assert api("POST", f"{RULES}/preview?language=xx", body).status_code == 422
    kept = replace(admin, groups=frozenset({"north"}))
    mine = {**body, "scope": {"kind": "group", "values": ["north"]}}
    assert ends.services.text_previews.preview(kept, mine).choices[0].id == north.id
    with pytest.raises(NotFound):
        ends.services.text_previews.preview(kept, mine, execution_id=south.id)
    with pytest.raises(Forbidden):
        ends.services.text_previews.preview(kept, body)
    assert ends.services.alert_rules.all(ends.actor) == []


def test_an_incident_is_seen_acknowledged_noted_and_closed(browser_client: FlaskClient, ends: Ends) -> None:
    assert "No incidents yet" in words(text(browser_client.get("/incidents")))
    rule, job = ends.services.alert_rules.create(ends.actor, BODY), ends.job()
    run = ends.end(job)
    listed = words(text(browser_client.get("/incidents")))
    assert "Night The run failed." in listed
    for query in ("state=acknowledged", f"state=resolved&rule={rule.id}", "q=Other", "severity=info"):
        assert "No incident matches" in words(text(browser_client.get(f"/incidents?{query}")))
    for query in ("state=firing", f"rule={rule.id}", "q=igh", f"subject={job}", "state=all", "state=nonsense", "before=x"):
        assert "The run failed." in words(text(browser_client.get(f"/incidents?{query}"))), query
    assert "The run failed." in words(text(browser_client.get("/")))
    page = f"/incidents/{ends.incident()}"
    assert "Firing" in words(text(browser_client.get(page)))
    empty = post(browser_client, page, {"note": " "}, to=f"{page}/notes")
    assert (empty.status_code, "is required" in text(empty)) == (422, True)
    assert post(browser_client, page, {"note": "I <b>look</b>"}, to=f"{page}/acknowledge").status_code == 302
    shown = text(browser_client.get(page))
    assert "Acknowledged on a page" in words(shown)
    assert "I &lt;b&gt;look" in shown
    again = post(browser_client, page, {"note": "kept"}, to=f"{page}/acknowledge")
    assert (again.status_code, "kept" in text(again)) == (409, True)
    assert f"/executions/{run.id}" in shown
    assert post(browser_client, page, {}, to=f"{page}/close").status_code == 302
    closed = words(text(browser_client.get(page)))
    assert "Closed by hand" in closed
    assert "No open incidents" in words(text(browser_client.get("/incidents")))
    assert browser_client.get("/incidents/nothing").status_code == 404


def test_an_incident_says_who_was_notified_and_what_is_held_back(browser_client: FlaskClient, ends: Ends, store: Store) -> None:
    ends.services.alert_rules.create(ends.actor, BODY)
    runs = [ends.end(job) for job in (ends.job("Night"), ends.job("Day"))]  # both are in one message
    pages = [f"/executions/{run.id}" for run in runs] + [
        f"/incidents/{row.id}" for row in ends.services.incidents.page(ends.actor, IncidentFilter(), limit=3)[0]
    ]
    for page in pages:
        assert re.search(r"ops@example.com Alert · .{1,20}Waiting to be sent", words(text(browser_client.get(page))))
    ends.tell()
    (delivery,) = Stores.over(store.database, Owing()).notification_deliveries.page(DeliveryFilter(), limit=3)
    for page in pages:
        assert f'href="/deliveries/{delivery.id}"' in text(browser_client.get(page))
    until = (ends.clock.now() + timedelta(hours=1)).isoformat()
    ends.services.mutes.create(ends.actor, {"reason": "Moving the <database>", "ends_at": until, "jobs": ["Quiet"]})
    ends.end(ends.job("Quiet"))
    ends.tell()
    shown = words(text(browser_client.get(f"/incidents/{ends.services.incidents.page(ends.actor, IncidentFilter(), limit=1)[0][0].id}")))
    assert "Muted: Moving the <database>" in shown
    assert "Held back" in shown


def test_who_was_notified_stays_on_the_page_when_a_later_message_is_held_back(browser_client: FlaskClient, ends: Ends) -> None:
    ends.services.alert_rules.create(ends.actor, BODY)
    job = ends.job()
    run = ends.end(job)
    ends.tell()
    page = f"/incidents/{ends.incident()}"
    until = (ends.clock.now() + timedelta(hours=1)).isoformat()
    ends.services.mutes.create(ends.actor, {"reason": "Work", "ends_at": until, "jobs": ["Night"]})
    ends.end(job, Status.SUCCESS)
    ends.tell()
    shown = text(browser_client.get(page))
    assert 'href="/deliveries/' in shown
    assert "Muted: Work" not in shown
    assert f"/announcements?incident={page.rpartition('/')[2]}" in shown
    assert 'href="/deliveries/' in text(browser_client.get(f"/executions/{run.id}"))


def test_the_pages_of_a_job_and_an_execution_say_who_hears_what_and_why(browser_client: FlaskClient, ends: Ends) -> None:
    job = ends.job(notifications={"on_failure": ["anna@example.com"]})
    early = ends.end(job)
    ends.clock.advance(60)
    ends.services.alert_rules.create(ends.actor, BODY)
    ends.services.alert_rules.create(ends.actor, {**BODY, "name": "Three", "condition": {"type": "failures_in_a_row", "count": 3}})
    ends.services.alert_rules.create(ends.actor, {**BODY, "name": "Off", "enabled": False})
    ends.services.alert_rules.create(ends.actor, {**BODY, "name": "Others", "scope": {"kind": "tag", "values": ["other"]}})
    first, second, good = ends.end(job), ends.end(job), ends.end(job, Status.SUCCESS)
    shown = words(text(browser_client.get(f"/jobs/{job}")))
    assert "After a failure anna@example.com" in shown
    assert "A run failed ops@example.com" in shown
    assert "Others" not in shown.partition("Who hears what")[2].partition("New rule")[0]
    said = {run.id: words(text(browser_client.get(f"/executions/{run.id}"))) for run in (early, first, second, good)}
    assert "The rule was created after this run." in said[early.id]
    assert "An incident began with this run." in said[first.id]
    assert "Too few runs in a row failed (3 are needed)." in said[first.id]
    assert "The rule is disabled." in said[first.id]
    assert "open already" in said[second.id]
    assert "Incident over" in said[good.id]
    assert "Others" not in said[first.id]


def test_the_link_of_a_message_acknowledges_by_a_button_and_without_signing_in(
    store: Store, services: Services, settings: Settings, ends: Ends
) -> None:
    ends.services = build_services(replace(settings, public_url="https://x.example"), store, clock=ends.clock, catalogue=services.catalogue)
    ends.services.alert_rules.create(ends.actor, BODY)
    run = ends.end(ends.job())
    ends.tell()
    (delivery,) = services.deliveries.of_execution(ends.actor, run.id)
    (found,) = re.findall(r"https://x\.example(/incidents/acknowledge/\S+?)[)\s]", delivery.message.as_text() + " ")
    stranger = app_of(services).test_client()
    for _ in range(2):  # a mail server follows the link
        assert "Acknowledge it to say that you deal with it." in words(text(stranger.get(found)))
    assert services.incidents.get(ends.actor, ends.incident()).acknowledged is None
    done = post(stranger, found, {})
    assert (done.status_code, "You can close this page." in words(text(done))) == (200, True)
    acknowledged = services.incidents.get(ends.actor, ends.incident()).acknowledged
    assert acknowledged is not None
    assert acknowledged.via == "link"
    assert "It was acknowledged by" in words(text(stranger.get(found)))
    for wrong in (found[:-1] + ("A" if found[-1] != "A" else "B"), "/incidents/acknowledge/x", "/incidents/acknowledge/..%F0%9F%92%A5"):
        assert stranger.get(wrong).status_code == 404
    ends.clock.advance(8 * 86_400)
    assert stranger.get(found).status_code == 404


def test_rules_and_incidents_over_rest(api: Api, ends: Ends) -> None:
    job = ends.job()
    made = api("POST", RULES, {**BODY, "remind": {"every_seconds": 3600, "most": 2}, "scope": {"kind": "job", "values": [job]}})
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    rule = made.json["rule"]
    assert (rule["where"], rule["texts"], rule["texts_fault"]) == ("", None, None)
    path = f"{RULES}/{rule['id']}"
    assert api("GET", path, If_None_Match='"1"').status_code == 304
    assert api("PUT", path, {**BODY, "severity": "critical"}, If_Match='"1"').json["rule"]["remind"] is None
    assert api("PUT", path, BODY, If_Match='"1"').status_code == 412
    assert api("POST", RULES, BODY).status_code == 409
    assert api("POST", f"{path}/disable").json["rule"]["enabled"] is False
    assert [row["name"] for row in api("GET", f"{RULES}?enabled=false").json["rules"]] == ["Failures"]
    assert api("GET", f"{RULES}?job_id={job}").json["rules"] == []
    assert api("POST", f"{path}/enable").json["rule"]["version"] == 4
    run = ends.end(job)
    (incident,) = api("GET", f"{INCIDENTS}?state=firing&open=true&subject_id={job}").json["incidents"]
    assert (incident["why"], incident["executions"], incident["severity"]) == ("The run failed.", [run.id], "critical")
    at = f"{INCIDENTS}/{incident['id']}"
    (line,) = api("GET", f"/api/admin/alert-explanations/{run.id}").json["rules"]
    assert (line["outcome"], line["incident_id"]) == ("told", incident["id"])
    assert api("POST", f"{at}/acknowledge", {"note": "mine"}).json["incident"]["acknowledged"]["via"] == "api"
    assert api("POST", f"{at}/acknowledge").status_code == 409
    assert api("POST", f"{at}/notes", {"note": "more"}).status_code == 201
    assert [note["text"] for note in api("GET", at).json["incident"]["notes"]] == ["mine", "more"]
    assert api("POST", f"{at}/close", {}).json["incident"]["state"] == "resolved"
    assert api("DELETE", path).status_code == 200
    assert api("GET", path).status_code == 404


def test_incidents_are_paged_over_rest(api: Api, ends: Ends) -> None:
    ends.services.alert_rules.create(ends.actor, BODY)
    for number in range(5):
        ends.end(ends.job(f"Job {number}"))
    first = api("GET", f"{INCIDENTS}?limit=3").json
    assert [row["subject"]["name"] for row in first["incidents"]] == ["Job 4", "Job 3", "Job 2"]
    second = api("GET", f"{INCIDENTS}?limit=3&after={first['next'].replace('+', '%2B')}").json
    assert ([row["subject"]["name"] for row in second["incidents"]], second["next"]) == (["Job 1", "Job 0"], None)


HOSTILE: list[Any] = [
    [],
    {},
    "x",
    {**BODY, "name": "a\0b"},
    {**BODY, "to": "ops@example.com"},
    {**BODY, "to": []},
    {**BODY, "to": [5]},
    {**BODY, "condition": {"type": "nothing"}},
    {**BODY, "condition": {"type": "failed", "count": 3}},
    {**BODY, "condition": {"type": "failures_in_a_row", "count": 10**30}},
    {**BODY, "condition": 5},
    {**BODY, "scope": {"kind": "job", "values": ["nothing"]}},
    {**BODY, "scope": {"kind": "all", "values": ["x"]}},
    {**BODY, "scope": {"kind": "job"}},
    {**BODY, "scope": 5},
    {**BODY, "remind": {"every_seconds": 1, "most": 0}},
    {**BODY, "escalate": {"after_seconds": 900, "to": ["nobody"]}},
    {**BODY, "escalate": {"after_seconds": 900}},
    {**BODY, "severity": "fatal"},
    {**BODY, "wait_seconds": -1},
    {**BODY, "extra": True},
    {**BODY, "texts": "x"},
    {**BODY, "texts": {"title": 5}},
    {**BODY, "texts": {"subject": "x"}},
    {**BODY, "texts": {"text": "{{ job.__class__ }}"}},
    {**BODY, "texts": {"text": "{{ " * 1_000}},
]


def test_bodies_that_are_no_rules_are_refused_with_pointers(api: Api) -> None:
    for body in HOSTILE:
        answer = api("POST", RULES, body)
        assert (answer.status_code, bool(answer.json.get("errors"))) == (422, True), body


def test_an_admin_of_groups_sees_and_changes_only_what_belongs_to_them(ends: Ends, admin: Actor) -> None:
    services, kept = ends.services, replace(admin, groups=frozenset({"north"}))
    mine, other = ends.job("Mine", group="north"), ends.job("Other", group="south")
    everywhere = services.alert_rules.create(ends.actor, BODY)
    south = services.alert_rules.create(ends.actor, {**BODY, "name": "South", "scope": {"kind": "group", "values": ["south"]}})
    theirs = services.alert_rules.create(ends.actor, {**BODY, "name": "Theirs", "scope": {"kind": "job", "values": [other]}})
    ends.end(mine)
    hidden = ends.end(other)
    assert [rule.name for rule in services.alert_rules.all(kept)] == ["Failures"]
    for rule in (south, theirs):
        with pytest.raises(NotFound):
            services.alert_rules.update(kept, rule.id, BODY)
    with pytest.raises(Forbidden):
        services.alert_rules.delete(kept, everywhere.id)
    with pytest.raises(Forbidden):
        services.alert_rules.create(kept, {**BODY, "name": "New", "scope": {"kind": "group", "values": ["north", "south"]}})
    services.alert_rules.create(kept, {**BODY, "name": "North", "scope": {"kind": "group", "values": ["north"]}})
    rows, _ = services.incidents.page(kept, IncidentFilter(), limit=10)
    assert [row.subject.name for row in rows] == ["Mine"]
    all_rows, _ = services.incidents.page(ends.actor, IncidentFilter(), limit=10)
    for row in all_rows:
        if row.subject.name == "Other":
            for change in (services.incidents.get, services.incidents.acknowledge, services.incidents.resolve):
                with pytest.raises(NotFound):
                    change(kept, row.id)
    with pytest.raises(NotFound):
        services.history.get(kept, hidden.id)
    services.incidents.resolve(kept, rows[0].id)
    with pytest.raises(Conflict):
        services.incidents.acknowledge(kept, rows[0].id)
