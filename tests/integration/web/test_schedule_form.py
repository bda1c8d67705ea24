"""Presets, builder and expression: three views of one value; what the schedule would be beside what it is; drafts and dry runs."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.errors import ApprovalNeeded, Conflict, Forbidden, LimitReached, ValidationFailed
from app.factory import Store
from app.services import Services
from tests.builders.queue import Queue
from tests.conftest import csrf
from tests.posting import Page, post, text
from web.views.schedule_form import merged

NEW = "/jobs/new?template=noop"


def preview(client: FlaskClient, **fields: str) -> str:
    token = csrf(text(client.get(NEW)))
    plain = {"s.type": "cron", "s.timezone": "UTC", **{name.replace("_", ".", 1): value for name, value in fields.items()}}
    return text(client.post("/jobs/schedule-preview", data={"csrf_token": token, **plain}))


def shown(html: str) -> tuple[str, str]:
    """What the builder shows, and the expression that it was drawn for."""
    parsed = LexborHTMLParser(html)
    chosen, hidden = parsed.css_first("#b-every [selected]"), parsed.css_first("[name='s.shown']")
    return (chosen.attributes["value"] or "" if chosen else "", hidden.attributes["value"] or "" if hidden else "")


def test_the_expression_moves_the_builder(browser_client: FlaskClient) -> None:
    page = preview(browser_client, s_expression="30 6 * * 1-5", s_shown="0 2 * * *", b_every="day", b_time="02:00")
    assert shown(page) == ("week", "30 6 * * 1-5")
    assert 'id="s-expression"' not in page, "who types is left alone"
    assert "At 06:30" in page
    assert shown(preview(browser_client, s_expression="5 0 2 29 2 *", s_shown="0 2 * * *", b_every="day", b_time="02:00"))[0] == ""


def test_the_builder_moves_the_expression(browser_client: FlaskClient) -> None:
    page = preview(browser_client, s_expression="0 2 * * *", s_shown="0 2 * * *", b_every="month", b_time="04:15", b_day="3")
    assert shown(page) == ("month", "15 4 3 * *")
    field = LexborHTMLParser(page).css_first("#s-expression")
    assert field is not None
    assert (field.attributes["value"], field.attributes["hx-swap-oob"]) == ("15 4 3 * *", "true")
    assert shown(preview(browser_client, s_expression="0 2 * * *", s_shown="0 2 * * *", b_every="day", b_time="02:00"))[1] == "0 2 * * *"


@pytest.mark.parametrize("expression", ["0 9 * * MON", "00 09 * * mon-fri", "15 */6 * * *", "*/5 * * * *", "0 6 1 * *", "0 9 29 2 *"])
def test_an_expression_that_nobody_changes_keeps_its_spelling(
    browser_client: FlaskClient, services: Services, super_admin: Actor, expression: str
) -> None:
    body = {"name": "j", "template_type": "noop", "schedule": {"type": "cron", "expression": expression}}
    job, _ = services.jobs.create(super_admin, body)
    answer = post(browser_client, f"/jobs/{job.id}/edit", {"s.type": "cron", "/priority": "9"})
    assert answer.status_code == 302, text(answer)
    after = services.jobs.get(super_admin, job.id).definition
    assert (after.schedule.trigger.expression, after.priority) == (expression, 9)


def test_without_javascript_the_builder_is_read_at_the_end(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    answer = post(browser_client, NEW, {"/name": "j", "s.type": "cron", "b.every": "hours", "b.hours": "6", "b.minute": "5"})
    assert answer.status_code == 302, text(answer)
    (job,) = services.directory.of_template(super_admin, "noop", 5)
    assert job.definition.schedule.trigger.expression == "5 */6 * * *"


def test_without_javascript_a_preset_fills_the_form(browser_client: FlaskClient) -> None:
    page = Page(text(browser_client.get(NEW)))
    fields: dict[str, list[str]] = {}
    for name, value in page.pairs():
        fields.setdefault(name, []).append(value)
    fields["d.mname"] = ["kept"]
    html = text(browser_client.post(NEW, data={**fields, "s.preset": ["*/15 * * * *"]}))
    field = LexborHTMLParser(html).css_first("#s-expression")
    assert field is not None
    assert field.attributes["value"] == "*/15 * * * *"
    assert 'value="kept"' in html
    words = LexborHTMLParser(html).css_first("#schedule-preview .schedule-words")
    assert words is not None
    assert words.text().strip() == "Every 15 minutes"


@given(
    st.dictionaries(
        st.sampled_from(["s.expression", "s.shown", "s.preset", "b.every", "b.time", "b.minute", "b.day", "b.minutes", "b.on:3"]),
        st.sampled_from(["0 2 * * *", "*/15 * * * *", "x", "", "week", "minutes", "hour", "04:30", "7", "15"]),
    )
)
def test_merged_fields_stay_as_they_are(fields: dict[str, str]) -> None:
    once = merged(fields)
    assert merged(once) == once
    assert not any(name.startswith("b.") for name in once)


def test_a_crowded_minute_is_told_with_a_way_out(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    for n in range(4):
        services.jobs.create(
            super_admin, {"name": f"j{n}", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 2 * * *"}}
        )
    page = preview(browser_client, s_expression="0 2 * * *")
    assert "4 other jobs start at 02:00. No job starts at 02:01." in " ".join(LexborHTMLParser(page).text().split())
    assert 'name="s.preset" value="1 2 * * *"' in page
    assert "other jobs" not in preview(browser_client, s_expression="17 2 * * *")
    ranged = preview(browser_client, s_expression="0 2-3 * * *")
    assert "4 other jobs" in ranged
    assert "s.preset" not in ranged, "what the builder cannot say it does not move"


def test_the_schedule_that_is_stands_beside_the_one_that_would_be(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    job = services.jobs.create(
        super_admin, {"name": "j", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 2 * * *"}}
    )[0]
    page = " ".join(LexborHTMLParser(preview(browser_client, s_expression="0 3 * * *", s_job=job.id)).text(separator=" ").split())
    assert "Now At 02:00" in page
    assert "After saving At 03:00" in page
    assert "After saving" not in preview(browser_client, s_expression="0 2 * * *", s_job=job.id)


# -- drafts -----------------------------------------------------------------------------------------------------------


def draft_of(client: FlaskClient, **changes: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    form = Page(text(client.get(NEW)))
    for name, value in form.pairs():
        found.setdefault(name, []).append(value)
    return {**found, **{name.replace("_", "."): [value] for name, value in changes.items()}}


def test_a_form_that_was_left_is_gone_on_with(
    browser_client: FlaskClient, services: Services, super_admin: Actor, admin: Actor, clock: ManualClock
) -> None:
    pairs = draft_of(browser_client, **{"d.mname": "half done", "s.expression": "7 7 * * *"})
    assert browser_client.post("/jobs/new/draft?template=noop", data=pairs).status_code == 204
    assert services.drafts.find(admin, "noop") is None
    page = text(browser_client.get(NEW))
    assert "You left this form" in page
    assert "half done" not in page
    again = text(browser_client.get(f"{NEW}&draft=1"))
    assert 'value="half done"' in again
    assert 'value="7 7 * * *"' in again
    fields: dict[str, Any] = draft_of(browser_client, **{"d.mname": "done"})
    assert browser_client.post(NEW, data=fields).status_code == 302
    assert services.drafts.find(super_admin, "noop") is None, "what is made is no draft"
    browser_client.post("/jobs/new/draft?template=noop", data=pairs)
    browser_client.post("/jobs/new/draft/drop?template=noop", data={"csrf_token": pairs["csrf_token"]})
    assert "You left this form" not in text(browser_client.get(NEW))
    browser_client.post("/jobs/new/draft?template=noop", data=pairs)
    clock.advance(14 * 86_400 + 1)
    assert services.drafts.find(super_admin, "noop") is None


@pytest.mark.parametrize(
    "typed", ["in its field", '{"secret": "canary-secret", "seconds": 3}', '{"secret": "canary-secret", "sec', '"secret": "canary-secret"']
)
def test_a_draft_keeps_no_secret(browser_client: FlaskClient, store: Store, typed: str) -> None:
    pairs = draft_of(browser_client, **{"d.mname": "kept"})
    if typed != "in its field":
        html = text(browser_client.post(NEW, data={**pairs, "p.action": ["json p"]}))
        form = Page(html)
        (field,) = form.all("", "json")
        field.value = typed
        pairs = {}
        for name, value in form.pairs():
            pairs.setdefault(name, []).append(value)
    else:
        secret = next(node for node in LexborHTMLParser(text(browser_client.get(NEW))).css("input[type=password]"))
        pairs[secret.attributes["name"] or ""] = ["canary-secret"]
    assert browser_client.post("/jobs/new/draft?template=noop", data=pairs).status_code == 204
    kept = store.database["job_drafts"].find_one({})
    assert kept is not None
    assert "canary" not in repr(kept)
    assert dict(kept["pairs"])["d.mname"] == "kept"


def test_a_draft_with_a_wrong_field_keeps_the_others_and_no_secret(browser_client: FlaskClient, store: Store) -> None:
    pairs = draft_of(browser_client, **{"d.mname": "kept", "p.mseconds": "not a number"})
    secret = next(node for node in LexborHTMLParser(text(browser_client.get(NEW))).css("input[type=password]"))
    pairs[secret.attributes["name"] or ""] = ["canary-secret"]
    assert browser_client.post("/jobs/new/draft?template=noop", data=pairs).status_code == 204
    kept = store.database["job_drafts"].find_one({})
    assert kept is not None
    assert "canary" not in repr(kept)
    assert dict(kept["pairs"])["p.mseconds"] == "not a number"


def test_a_new_connection_leads_back_to_the_form(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    new = "/jobs/new?template=database_cleanup"
    form = Page(text(browser_client.get(new)))
    form.editor("/name").value = "kept"
    fields: dict[str, list[str]] = {}
    for name, value in form.pairs():
        fields.setdefault(name, []).append(value)
    left = browser_client.post(new, data={**fields, "new.connection": ["mongodb p.mconnection"]})
    assert left.headers["Location"].startswith("/connections/new?kind=mongodb&next=")
    services.connections.create(super_admin, name="fresh", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/", "database": "x"})
    back = Page(text(browser_client.get(f"{new}&draft=1&connection=fresh")))
    assert back.at("/name")["value"] == "kept"
    assert dict(back.pairs())["p.mconnection"] == "fresh"


def test_the_only_connection_of_a_kind_is_chosen(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    new = "/jobs/new?template=database_cleanup"
    assert "There is no connection of this kind yet." in text(browser_client.get(new))
    for name in ("one", "two"):
        services.connections.create(super_admin, name=name, kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/", "database": "x"})
        chosen = dict(Page(text(browser_client.get(new))).pairs()).get("p.mconnection", "")
        assert chosen == ("one" if name == "one" else "")


def test_a_changed_job_is_tried_with_its_changes(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job = services.jobs.create(super_admin, cleanup(services))[0]
    form = Page(text(browser_client.get(f"/jobs/{job.id}/edit")))
    form.editor("/collection").value = "people"
    fields: dict[str, list[str]] = {}
    for name, value in form.pairs():
        fields.setdefault(name, []).append(value)
    html = text(browser_client.post(f"/jobs/{job.id}/edit", data={**fields, "try": ["1"]}))
    waiting = LexborHTMLParser(html).css_first("#dry-run")
    assert waiting is not None
    of = (waiting.attributes["hx-get"] or "").rpartition("/")[2]
    row = Queue(store.database).document(services.previews.id_of(f"{super_admin.id}/{of}"))
    assert row is not None
    assert row["parameters"]["collection"] == "people"
    assert services.jobs.get(super_admin, job.id).definition.parameters["collection"] != "people"
    shown = " ".join(text(browser_client.post(f"/jobs/{job.id}/edit", data={**fields, "changes": ["1"]})).split())
    assert "Saving changes 1 field" in shown


def test_a_short_secret_takes_nothing_else_with_it(browser_client: FlaskClient, store: Store) -> None:
    pairs = draft_of(browser_client, **{"d.mname": "a name with an a", "d.mdescription": "a"})
    secret = next(node for node in LexborHTMLParser(text(browser_client.get(NEW))).css("input[type=password]"))
    pairs[secret.attributes["name"] or ""] = ["a"]
    browser_client.post("/jobs/new/draft?template=noop", data=pairs)
    kept = dict(store.database["job_drafts"].find_one({})["pairs"])  # type: ignore[index]
    assert kept["d.mname"] == "a name with an a"
    assert secret.attributes["name"] not in kept


def test_a_draft_is_bounded_and_of_a_template_that_is_there(browser_client: FlaskClient) -> None:
    pairs = draft_of(browser_client, **{"d.mdescription": "x" * 210_000})
    assert browser_client.post("/jobs/new/draft?template=noop", data=pairs).status_code == 422
    assert browser_client.post("/jobs/new/draft?template=none", data=pairs).status_code == 404


# -- dry run ----------------------------------------------------------------------------------------------------------


def test_a_new_job_is_tried_before_it_is_made(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    assert 'name="try"' in text(browser_client.get("/jobs/new?template=database_cleanup"))
    assert 'name="try"' not in text(browser_client.get(NEW)), "a template without a preview has none"
    executions = Queue(store.database)
    services.connections.create(super_admin, name="db", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/", "database": "x"})
    form = Page(text(browser_client.get("/jobs/new?template=database_cleanup")))
    for pointer, value in (("/name", "n"), ("/connection", "db"), ("/collection", "users"), ("/condition", '{"a": 1}')):
        form.editor(pointer).value = value
    fields: dict[str, list[str]] = {}
    for name, value in form.pairs():
        fields.setdefault(name, []).append(value)
    html = text(browser_client.post("/jobs/new?template=database_cleanup", data={**fields, "try": ["1"]}))
    waiting = LexborHTMLParser(html).css_first("#dry-run")
    assert waiting is not None
    assert services.directory.of_template(super_admin, "database_cleanup", 5) == []
    of = (waiting.attributes["hx-get"] or "").rpartition("/")[2]
    assert "is checking what a run would do" in text(browser_client.get(f"/jobs/new/tried/{of}"))
    row = executions.document(services.previews.id_of(f"{super_admin.id}/{of}"))
    assert row is not None
    assert (row["dry"], row["triggered_by"]) == (True, "preview")
    store.database["job_executions"].update_one(
        {"_id": row["_id"]},
        {"$set": {"status": "success", "result": {"message": "7 would go", "count": 7}, "completed_at": row["queued_at"]}},
    )
    assert "7 would go" in text(browser_client.get(f"/jobs/new/tried/{of}"))
    assert "Dry run: a run would fail" in text(browser_client.get(f"/jobs/new/tried/{of}")), "it is told once and forgotten"
    event = services.audit.history(AuditFilter(action="job.dry_run"), limit=5)[0]
    assert (event["actor"]["email"], event["target"]["name"]) == (super_admin.email, "n")


def cleanup(services: Services, name: str = "n") -> dict[str, Any]:
    if not services.connections.options("mongodb"):
        services.connections.create(SYSTEM, name="db", kind="mongodb", settings={"uri": "mongodb://127.0.0.1:1/", "database": "x"})
    parameters = {"connection": "db", "collection": "users", "condition": {"a": 1}}
    return {"name": name, "template_type": "database_cleanup", "parameters": parameters}


def test_a_dry_run_is_for_who_may_make_the_job_and_has_a_limit_of_its_own(services: Services, super_admin: Actor, admin: Actor) -> None:
    services.previews.try_out(admin, cleanup(services))
    services.templates.set_standing(super_admin, "database_cleanup", {"roles": ["super_admin"]})
    with pytest.raises(Forbidden):
        services.previews.try_out(admin, cleanup(services))
    services.templates.set_standing(super_admin, "database_cleanup", {"enabled": False})
    with pytest.raises((Conflict, ValidationFailed)):
        services.previews.try_out(super_admin, cleanup(services))
    services.templates.set_standing(super_admin, "database_cleanup", {"enabled": True, "roles": []})
    for _ in range(services.settings.dry_runs_per_hour - 1):
        services.previews.try_out(admin, cleanup(services))
    with pytest.raises(
        LimitReached, match="60 dry runs per hour .JOBWRIGHT_DRY_RUNS_PER_HOUR.. The next one is possible at 13:00 UTC, in 60 min"
    ):
        services.previews.try_out(admin, cleanup(services))
    job, _ = services.jobs.create(admin, {"name": "saved", "template_type": "noop"})
    assert services.runs.run_now(admin, job.id).status == "queued", "runs are counted apart"


def test_a_dry_run_is_told_to_who_began_it_and_takes_no_requests_preview(services: Services, super_admin: Actor, admin: Actor) -> None:
    of = services.previews.try_out(admin, cleanup(services))
    assert services.previews.result_of_try(admin, of) is None, "it has not ended"
    found = services.previews.result_of_try(super_admin, of)
    assert found is not None
    assert found.error is not None
    assert found.error.message == "The preview is gone"
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, cleanup(services, "asked for"))
    asked = services.approvals.ask(admin, needed.value.ask)
    other = services.previews.result_of_try(admin, asked["_id"])
    assert other is not None
    assert other.status == "failed"
    assert services.approvals.get(super_admin, asked["_id"])["preview"] == {"state": "running"}


# -- calendar rules -----------------------------------------------------------------------------------------------------


def shown_rule(html: str) -> tuple[str, str]:
    """What the builder of calendar rules shows, and the rule that it was drawn for."""
    parsed = LexborHTMLParser(html)
    chosen, hidden = parsed.css_first("#c-pick [selected]"), parsed.css_first("[name='s.rule_shown']")
    return (chosen.attributes["value"] or "" if chosen else "", hidden.attributes["value"] or "" if hidden else "")


def calendar_preview(client: FlaskClient, **fields: str) -> str:
    return preview(client, s_type="calendar", **fields)


LAST_FRIDAY = "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0"


def test_a_rule_moves_its_builder(browser_client: FlaskClient) -> None:
    page = calendar_preview(browser_client, s_rule="FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=7;BYMINUTE=30", s_rule_shown=LAST_FRIDAY, c_pick="nth")
    assert shown_rule(page) == ("weeks", "FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=7;BYMINUTE=30")
    assert 'id="s-rule"' not in page, "who types is left alone"
    assert "Every Monday and Friday, at 07:30" in page
    yearly = calendar_preview(browser_client, s_rule="FREQ=YEARLY;BYYEARDAY=100;BYHOUR=7", s_rule_shown=LAST_FRIDAY, c_pick="nth")
    assert shown_rule(yearly)[0] == ""


def test_the_builder_moves_the_rule(browser_client: FlaskClient) -> None:
    built = {"c_pick": "nth", "c_nth": "2", "c_kind": "TU", "c_months": "1", "c_time": "18:45"}
    page = calendar_preview(browser_client, s_rule=LAST_FRIDAY, s_rule_shown=LAST_FRIDAY, **built)
    assert shown_rule(page) == ("nth", "FREQ=MONTHLY;BYDAY=2TU;BYHOUR=18;BYMINUTE=45")
    field = LexborHTMLParser(page).css_first("#s-rule")
    assert field is not None
    assert field.attributes["value"] == "FREQ=MONTHLY;BYDAY=2TU;BYHOUR=18;BYMINUTE=45"
    assert "On the 2nd Tuesday of each month, at 18:45" in page


def test_a_rule_that_counts_asks_for_its_first_day(browser_client: FlaskClient) -> None:
    rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9"
    assert "is required, as the rule counts with INTERVAL=2" in calendar_preview(browser_client, s_rule=rule)
    assert "counted from 2026-01-02" in calendar_preview(browser_client, s_rule=rule, s_counted_from="2026-01-02")
    assert "must be a date" in calendar_preview(browser_client, s_rule=rule, s_counted_from="2026-02-30")


def test_a_job_with_a_calendar_rule_is_made_and_edited(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    fields = {"/name": "j", "s.type": "calendar", "s.timezone": "UTC", "s.rule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9"}
    assert post(browser_client, NEW, {**fields, "s.counted_from": "2026-01-02"}).status_code == 302
    (job,) = services.directory.of_template(super_admin, "noop", 5)
    stored = services.jobs.get(super_admin, job.id).definition.schedule.trigger
    assert stored.own_values() == {"rule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9", "counted_from": "2026-01-02"}
    page = text(browser_client.get(f"/jobs/{job.id}/edit"))
    assert shown_rule(page) == ("weeks", "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR;BYHOUR=9")
    assert "Every second Friday, at 09:00" in text(browser_client.get(f"/jobs/{job.id}"))


def test_presets_of_rules_work_without_scripts(browser_client: FlaskClient) -> None:
    pressed = {"/name": "j", "s.type": "calendar", "s.rule": LAST_FRIDAY, "s.rule_preset": "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0"}
    page = text(post(browser_client, NEW, pressed))
    assert shown_rule(page) == ("date", "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0")


def test_an_expression_of_quartz_is_refused_with_a_button_for_what_to_write(browser_client: FlaskClient) -> None:
    page = preview(browser_client, s_expression="0 30 6 ? * MON-FRI", s_shown="0 2 * * *", b_every="day", b_time="02:00")
    assert "is an expression of Quartz. Write 30 6 * * 1-5 instead." in page
    button = LexborHTMLParser(page).css_first("#cron-builder button[name='s.preset']")
    assert button is not None
    assert (button.attributes["value"], button.text(strip=True)) == ("30 6 * * 1-5", "Use 30 6 * * 1-5")
    pressed = preview(browser_client, s_expression="0 30 6 ? * MON-FRI", s_shown="0 30 6 ? * MON-FRI", s_preset="30 6 * * 1-5")
    assert shown(pressed) == ("week", "30 6 * * 1-5")
    last = preview(browser_client, s_expression="0 0 9 L * ?")
    assert "with the rule FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0" in last
    assert 'name="s.preset"' not in last
