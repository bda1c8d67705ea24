"""The pages over the real services, without JavaScript: forms posted as a browser posts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.accounts.model import Role
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.execution.log_store import LogStore, chunk_id
from app.factory import Store
from app.jobs.model import Job
from app.queue.execution import DueTimes, Execution
from app.queue.model import AttemptError, Outcome, Reason, Status, Trigger
from app.services import Services
from tests.builders.queue import Queue
from tests.conftest import csrf
from tests.posting import Page, post, text
from tests.support import PASSWORD
from web.views.signin import safe_target


def make_job(services: Services, actor: Actor, **fields: Any) -> Job:
    return services.jobs.create(actor, {"name": "Night job", "template_type": "noop", "parameters": {"seconds": 1}, **fields})[0]


NEW = "/jobs/new?template=noop"


def test_a_stranger_is_sent_to_sign_in_and_back(app: Flask, super_admin: Actor) -> None:
    client = app.test_client()
    answer = client.get("/jobs?q=x")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in?next=/jobs?q%3Dx")
    page = text(client.get(answer.headers["Location"]))
    wrong = client.post("/sign-in", data={"csrf_token": csrf(page), "email": super_admin.email, "password": "wrong", "next": "/jobs?q=x"})
    assert (wrong.status_code, "The e-mail address or the password is wrong" in text(wrong)) == (401, True)
    right = client.post(
        "/sign-in", data={"csrf_token": csrf(page), "email": super_admin.email.upper(), "password": PASSWORD, "next": "/jobs?q=x"}
    )
    assert right.headers["Location"] == "/jobs?q=x"
    assert "Dashboard" in text(client.get("/"))
    assert client.get("/admin/scheduler").headers["Location"] == "/jobs"
    home = text(client.get("/jobs"))
    client.post("/sign-out", data={"csrf_token": csrf(home)})
    assert client.get("/jobs").status_code == 302
    fragment = client.get("/jobs", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["HX-Redirect"].startswith("/sign-in")) == (401, True)


def test_a_session_ends_on_the_server(browser_client: FlaskClient, clock: ManualClock, store: Store) -> None:
    assert browser_client.get("/jobs").status_code == 200
    clock.advance(12 * 3600 + 1)
    assert browser_client.get("/jobs").status_code == 302
    clock.advance(-12 * 3600)
    store.database["sessions"].delete_many({})
    assert browser_client.get("/jobs").status_code == 302


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil", "javascript:alert(1)", "evil", "/a\nb", "", None])
def test_sign_in_never_sends_elsewhere(app: Flask, target: str | None) -> None:
    with app.test_request_context():
        assert safe_target(target) == "/"


def test_a_post_without_the_token_is_refused(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = make_job(services, super_admin)
    answer = browser_client.post(f"/jobs/{job.id}/delete")
    assert (answer.status_code, "The form has expired" in text(answer)) == (400, True)
    assert services.jobs.get(super_admin, job.id)


def test_pages_carry_their_security_headers(browser_client: FlaskClient) -> None:
    answer = browser_client.get("/jobs")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Cache-Control"]) == ("nosniff", "no-store")
    html = text(answer)
    assert "<script>" not in html
    assert " style=" not in html
    assert " onclick=" not in html


def test_an_empty_registry_teaches(browser_client: FlaskClient) -> None:
    for path, words in (
        ("/jobs", "No jobs yet"),
        ("/executions", "Nothing has run yet"),
        ("/connections", "No connections yet"),
        ("/jobs?q=zzz", "No job matches these filters"),
    ):
        assert words in text(browser_client.get(path))


def test_the_gallery_and_help_pages(browser_client: FlaskClient) -> None:
    gallery = text(browser_client.get("/templates"))
    assert "Database cleanup" in gallery
    assert "deletes data" in gallery
    assert "Relative dates" in text(browser_client.get("/templates/database_cleanup"))
    assert browser_client.get("/templates/nothing").status_code == 404
    assert browser_client.get("/jobs/new").headers["Location"] == "/templates"


def test_a_job_is_made_through_the_form(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    answer = post(
        browser_client,
        NEW,
        {"/name": "Nightly", "/seconds": "2.5", "s.type": "cron", "s.expression": "30 2 * * *", "s.timezone": "Europe/Berlin"},
    )
    assert answer.status_code == 302, text(answer)
    job = services.jobs.get(super_admin, answer.headers["Location"].rpartition("/")[2])
    assert (job.definition.name, dict(job.definition.parameters), job.definition.schedule.trigger.timezone) == (
        "Nightly",
        {"seconds": 2.5},
        "Europe/Berlin",
    )
    assert (job.definition.retry_policy.max_retries, job.definition.timeout_seconds, job.origin) == (3, 3600, "ui")
    page = text(browser_client.get(answer.headers["Location"]))
    assert "Job Nightly created" in page
    assert "At 02:30" in page


def test_an_interval_is_typed_and_shown_as_a_duration(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    answer = post(browser_client, NEW, {"/name": "Often", "s.type": "interval", "s.interval": "2h 30m"})
    assert answer.status_code == 302, text(answer)
    job = services.jobs.get(super_admin, answer.headers["Location"].rpartition("/")[2])
    assert job.definition.schedule.values()["interval_seconds"] == 9_000
    assert 'name="s.interval" value="2 h 30 min"' in text(browser_client.get(f"/jobs/{job.id}/edit"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"/name": ""}, "is required"),
        ({"/name": "n", "/seconds": "1,5"}, "must use a point as the decimal separator: 1.5"),
        ({"/name": "n", "s.type": "cron", "s.expression": "nonsense"}, "must have five fields"),
        ({"/name": "n", "s.type": "cron", "s.expression": " "}, "is required"),
        ({"/name": "n", "s.type": "interval", "s.interval": "soon"}, "must be a duration, such as 2 h 30 min"),
        ({"/name": "n", "s.type": "once", "s.run_at": "later"}, "such as 2026-03-29T02:30"),
        ({"/name": "n", "s.type": "once", "s.run_at": "2020-01-01T00:00"}, "must be in the future"),
        ({"/name": "n", "s.timezone": "Mars", "s.type": "cron"}, "IANA"),
        ({"/name": "n", "/timeout_seconds": "0"}, "at least 1"),
        ({"/name": "Night job"}, "is already used by"),
        ({"/name": "n", "s.type": "cron", "s.start_at": "2026-05-02T00:00", "s.end_at": "2026-05-01T00:00"}, "must be later than start_at"),
    ],
)
def test_a_wrong_form_comes_back_with_what_was_typed(
    browser_client: FlaskClient, services: Services, super_admin: Actor, changes: dict[str, str], words: str
) -> None:
    make_job(services, super_admin)
    answer = post(browser_client, NEW, {"/description": "typed by hand", **changes})
    html = text(answer)
    assert answer.status_code in {409, 422}
    assert words in html
    assert "typed by hand" in html
    assert 'id="form-errors"' in html
    for value in changes.values():
        assert value.strip() == "" or value in html


def test_row_buttons_work_without_javascript(browser_client: FlaskClient) -> None:
    path = "/jobs/new?template=email_notification"
    html = text(post(browser_client, path, {"/name": "kept", "/recipients/0": "a@example.com"}, action="p.action=add p.mrecipients"))
    page = Page(html)
    assert page.at("/name")["value"] == "kept"
    assert page.at("/recipients/0")["value"] == "a@example.com"
    assert page.at("/recipients/1")["value"] == ""
    policies = text(post(browser_client, path, {}, action="o.action=preset never_twice"))
    assert 'class="more policies" open' in policies
    assert Page(policies).at("/retry_policy/max_retries")["value"] == "0"


def test_editing_keeps_secrets_and_notices_someone_else(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    job = make_job(
        services,
        super_admin,
        parameters={"secret": "canary-secret"},
        schedule={"type": "interval", "interval_seconds": 7200, "start_at": "2026-03-02T12:30:00Z"},
    )
    path = f"/jobs/{job.id}/edit"
    html = text(browser_client.get(path))
    assert "canary-secret" not in html
    assert "unchanged" in html
    sealed = store.database["dynamic_jobs"].find_one({"_id": job.id})["parameters"]["secret"]  # type: ignore[index]
    answer = post(browser_client, path, {"/description": "changed", "s.type": "interval"})
    assert answer.status_code == 302, text(answer)
    changed = services.jobs.get(super_admin, job.id)
    assert (changed.definition.description, changed.definition.parameters["secret"], changed.version) == ("changed", sealed, 2)
    assert changed.definition.schedule == job.definition.schedule
    assert post(browser_client, path, {"version": "²", "s.type": "interval"}).status_code == 302, "a digit that is no number"
    stale = post(browser_client, path, {"version": "1", "/description": "mine", "s.type": "interval"})
    assert (stale.status_code, "Someone else changed this job" in text(stale), "mine" in text(stale)) == (412, True, True)


def test_the_list_filters_and_its_switch_works_both_ways(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = make_job(services, super_admin, tags=["night"], schedule={"type": "interval", "interval_seconds": 60})
    make_job(services, super_admin, name="Other", enabled=False)
    assert "Other" not in text(browser_client.get("/jobs?q=night&state=on&template=noop&tag=night&sort=-updated_at"))
    assert "Night job" not in text(browser_client.get("/jobs?state=off&page=x&sort=evil"))
    token = csrf(text(browser_client.get("/jobs")))
    row = browser_client.post(f"/jobs/{job.id}/disable", data={"csrf_token": token}, headers={"HX-Request": "true"})
    assert 'aria-checked="false"' in text(row)
    assert f'id="job-{job.id}"' in text(row)
    plain = browser_client.post(f"/jobs/{job.id}/enable", data={"csrf_token": token, "back": "job"})
    assert plain.headers["Location"] == f"/jobs/{job.id}"
    assert "in 1 min" in text(browser_client.get(f"/jobs/{job.id}/row"))


def test_an_answer_that_was_on_its_way_takes_no_message_with_it(browser_client: FlaskClient) -> None:
    """What is told on the next page stands in the cookie: a request that says nothing leaves the cookie alone."""
    token = csrf(text(browser_client.get(NEW)))
    for path in ("/jobs", "/", NEW, "/palette?q=x"):
        assert "Set-Cookie" not in browser_client.get(path).headers, path
    assert "Set-Cookie" not in browser_client.post("/jobs/schedule-preview", data={"csrf_token": token, "s.type": "manual"}).headers
    assert "Job j created" in text(post(browser_client, NEW, {"/name": "j", "s.type": "manual"}, follow_redirects=True))


def test_pages_of_jobs(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    for n in range(27):
        make_job(services, super_admin, name=f"Job {n:02}")
    first = text(browser_client.get("/jobs?q=Job"))
    assert "Page 1 of 2" in first
    assert "?q=Job&amp;page=2" in first or "?q=Job&page=2" in first
    assert "Job 26" in text(browser_client.get("/jobs?q=Job&page=2"))


def test_run_cancel_again_and_the_live_part(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job = make_job(services, super_admin)
    token = csrf(text(browser_client.get("/jobs")))
    answer = browser_client.post(f"/jobs/{job.id}/run", data={"csrf_token": token})
    path = answer.headers["Location"]
    assert "Queued" in text(browser_client.get(path))
    twice = browser_client.post(f"/jobs/{job.id}/run", data={"csrf_token": token}, headers={"HX-Request": "true"})
    assert (twice.status_code, twice.headers["HX-Retarget"], "Job already running" in text(twice)) == (409, "#toasts", True)
    executions, logs = Queue(store.database), LogStore(store.database)
    (attempt,) = executions.claim_due(owner="w", now=clock.now(), lease=timedelta(seconds=30), limit=5)
    executions.claims.write_progress([(attempt, {"done": 5, "total": 10, "note": "halfway"})])
    line = {"timestamp": clock.now(), "level": "WARNING", "message": "<b>first</b> line"}
    logs.append([{"_id": chunk_id(attempt.execution_id, 1, 1), "attempt": 1, "lines": [line]}])
    page = text(browser_client.get(path))
    assert "&lt;b&gt;first&lt;/b&gt; line" in page
    assert 'max="10" value="5"' in page
    assert '<span>5 of 10</span>\n      <span dir="auto">halfway</span>' in page
    assert '<input name="after" value="00001.00000001"><input name="lines" value="1">' in page
    logs.append([{"_id": chunk_id(attempt.execution_id, 1, 2), "attempt": 1, "lines": [{**line, "message": "second"}]}])
    live = text(browser_client.get(f"{path}/live?after=00001.00000001&lines=1"))
    assert 'hx-swap-oob="beforeend:#log"' in live
    assert 'id="L2"' in live
    assert "first" not in live
    assert browser_client.post(f"{path}/cancel", data={"csrf_token": token}).headers["Location"] == path
    assert "Cancelling" in text(browser_client.get(path))
    error = AttemptError(type="Boom", message="it broke", traceback="Traceback: here")
    executions.finish([(attempt, Outcome(status=Status.FAILED, error=error, result={"records": 1234}), None)], now=clock.now())
    ended = text(browser_client.get(path))
    assert "it broke" in ended
    assert "Traceback: here" in ended
    assert "1,234" in ended
    assert "every 700ms" not in ended
    assert browser_client.get(f"{path}/live?lines=²").status_code == 200, "a digit that is no number"
    again = browser_client.post(f"{path}/retry", data={"csrf_token": token}, headers={"HX-Request": "true"})
    assert again.status_code == 204
    assert "Show the original run" in text(browser_client.get(again.headers["HX-Redirect"]))
    history = text(browser_client.get(f"/jobs/{job.id}"))
    assert "it broke" in history
    assert "job.run" in history
    listed = text(browser_client.get("/executions?status=failed"))
    assert "Night job" in listed
    assert "No execution failed" in text(browser_client.get("/executions?status=timeout"))
    causes = [one.attributes["value"] for one in Page(text(browser_client.get("/executions"))).tree.css("#by option")]
    assert set(causes) == {"", *Trigger} - {Trigger.PREVIEW}, "a list can be narrowed to each cause; previews are in none"
    assert browser_client.get("/executions/nothing").status_code == 404


def test_run_with_other_values(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job = make_job(services, super_admin, parameters={"seconds": 1, "secret": "canary-secret"})
    path = f"/jobs/{job.id}/run-with"
    wrong = post(browser_client, path, {"/seconds": "-1"})
    assert (wrong.status_code, "at least 0" in text(wrong)) == (422, True)
    refused = post(browser_client, path, {"/file": "forbidden"})
    assert (refused.status_code, "must not be forbidden" in text(refused)) == (422, True)
    assert post(browser_client, path, {}, action="f.action=add f.9").status_code == 200
    answer = post(browser_client, path, {"/seconds": "3"})
    run = store.database["job_executions"].find_one({"_id": answer.headers["Location"].rpartition("/")[2]})
    assert run is not None
    assert run["parameters"]["seconds"] == 3
    assert run["parameters"]["secret"]["$sealed"]


def test_missed_and_skipped_are_explained(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job = make_job(services, super_admin)
    due_times = DueTimes(first=clock.now(), last=clock.now(), count=1234)
    missed = Execution.summary(job, clock.now(), due_times, status=Status.MISSED, reason=Reason.MISFIRE)
    Queue(store.database).queue.add([missed])
    assert "1,234 scheduled times" in text(browser_client.get(f"/executions/{missed.id}"))
    assert "1,234 scheduled times" in text(browser_client.get(f"/jobs/{job.id}"))


def test_a_broken_schedule_and_a_template_that_is_gone_are_loud(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    job = make_job(services, super_admin)
    store.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"schedule_error": "no such zone", "template_type": "gone_kind"}})
    for path in ("/jobs", f"/jobs/{job.id}"):
        assert "The template gone_kind is missing" in text(browser_client.get(path))
    assert "no such zone" in text(browser_client.get(f"/jobs/{job.id}"))


def test_delete_asks_and_does(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = make_job(services, super_admin)
    page = text(browser_client.get(f"/jobs/{job.id}"))
    assert "The job no longer runs" in page
    answer = browser_client.post(f"/jobs/{job.id}/delete", data={"csrf_token": csrf(page)}, follow_redirects=True)
    assert "Job Night job deleted. Its executions are kept." in text(answer)


def test_links_to_a_deleted_job_lead_to_what_is_left(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    """Those of the audit trail, of its executions, of mails."""
    job = make_job(services, super_admin)
    services.jobs.delete(super_admin, job.id)
    shown = browser_client.get("/audit")
    assert f'href="/jobs/{job.id}"' in text(shown)
    page = text(browser_client.get(f"/jobs/{job.id}"))
    assert f"{super_admin.name} deleted this job on" in " ".join(page.split())
    links = {link.attributes["href"] for link in LexborHTMLParser(page).css("main a")}
    assert {f"/executions?job={job.id}", f"/audit?kind=job&target_id={job.id}"} <= links
    for link in links:
        assert browser_client.get(link).status_code == 200, link
    back = browser_client.post(f"/jobs/{job.id}/undelete", data={"csrf_token": csrf(page)}, follow_redirects=True)
    assert "Job Night job restored" in text(back)
    assert browser_client.get("/jobs/never-there").status_code == 404


def test_the_schedule_preview_says_words_runs_or_what_is_wrong(browser_client: FlaskClient) -> None:
    token = csrf(text(browser_client.get("/jobs")))
    ask = lambda **fields: text(
        browser_client.post("/jobs/schedule-preview", data={"csrf_token": token, **{f"s.{k}": v for k, v in fields.items()}})
    )
    berlin = ask(type="cron", expression="30 2 * * *", timezone="Europe/Berlin")
    assert berlin.count("<li>") == 5
    assert "Tue 03 Mar 2026, 02:30:00" in berlin
    assert "(01:30 UTC)" in berlin
    spring = ask(type="cron", expression="30 2 29 3 *", timezone="Europe/Berlin", jitter="300")
    assert "Sun 29 Mar 2026, 03:00:00" in spring
    assert spring.count("clocks go forward by 1 hour on this day") == 1
    assert "up to 5 minutes later" in spring
    assert "up to 5 minutes later" in ask(type="cron", expression="30 2 29 3 *", jitter="5 min")
    assert "must be a duration, such as 2 h 30 min" in ask(type="cron", expression="* * * * *", jitter="a while")
    often = ask(type="cron", expression="*/90 * * * *", timezone="UTC")
    assert "Every hour" in often
    assert (
        "*/90 matches only minute 0, because the step is longer than the field. For a longer interval, choose the schedule type “Interval”."
        in often
    )
    assert "99 is not between 0 and 59" in ask(type="cron", expression="99 * * * *")
    assert "Every 15 minutes" in ask(type="interval", interval="15 min")
    assert "Only by hand" in ask(type="manual")
    assert "field-error" in ask(type="weekly")
    assert "field-error" in ask(type="interval", interval="1 fortnight")


def test_a_check_of_the_whole_page_leaves_a_typed_secret_in_the_browser(browser_client: FlaskClient) -> None:
    new, typed = "/jobs/new?template=webhook_trigger", {"/secret": "long enough secret", "/url": "nonsense"}
    checked = text(post(browser_client, new, typed, action="d.action=check"))
    assert "must be entered again" not in checked
    assert "long enough secret" not in checked
    assert "field-error" in checked
    assert "must be entered again" in text(post(browser_client, new, typed))


def test_a_job_is_paused_with_a_reason_and_resumed(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(
        super_admin, {"name": "n", "template_type": "noop", "schedule": {"type": "cron", "expression": "0 3 * * *"}}
    )[0]
    path = f"/jobs/{job.id}"
    assert f'href="{path}/pause"' in text(browser_client.get(path))
    wrong = post(browser_client, f"{path}/pause", {"/until": "soon"})
    assert (wrong.status_code, "1 field needs another value" in text(wrong), 'value="soon"' in text(wrong)) == (422, True, True)
    past = post(browser_client, f"{path}/pause", {"/reason": "x", "/until": "2026-03-01T00:00"})
    assert (past.status_code, "must be in the future" in text(past)) == (422, True)
    shown = post(browser_client, f"{path}/pause", {"/until": "2026-03-06T00:00", "show": "1"})
    assert (shown.status_code, "3 scheduled runs will be skipped." in text(shown)) == (200, True)
    taken = post(browser_client, f"{path}/pause", {"/reason": "kept", "take": "until=2026-03-04T08:00"})
    assert ('value="2026-03-04T08:00"' in text(taken), 'value="kept"' in text(taken)) == (True, True)
    assert "2 scheduled runs will be skipped." in text(taken)
    assert services.jobs.get(super_admin, job.id).paused is None
    assert post(browser_client, f"{path}/pause", {"/reason": "x", "/until": "tomorrow 8:00"}).status_code == 302
    paused = services.jobs.get(super_admin, job.id).paused
    assert paused is not None
    assert paused.until == datetime(2026, 3, 3, 8, tzinfo=UTC)
    done = post(browser_client, f"{path}/pause", {"/reason": "<b>new</b> disks", "/until": "2026-03-05T00:00"})
    assert (done.status_code, done.headers["Location"]) == (302, path)
    page = text(browser_client.get(path))
    assert "Paused until" in page
    assert "&lt;b&gt;new&lt;/b&gt; disks" in page
    assert 'title="&lt;b&gt;new&lt;/b&gt; disks">paused' in text(browser_client.get("/jobs"))
    assert 'value="2026-03-05T00:00"' in text(browser_client.get(f"{path}/pause"))
    assert browser_client.post(f"{path}/resume", data={"csrf_token": csrf(page)}).status_code == 302
    assert "Paused" not in text(browser_client.get(path))


def test_connections_through_the_browser(browser_client: FlaskClient, services: Services, super_admin: Actor, mongod: str) -> None:
    new = "/connections/new?kind=mongodb"
    wrong = post(browser_client, new, {"name": "Shop", "/uri": "http://x", "/database": "shop"})
    assert (wrong.status_code, "must be a connection string that starts with mongodb://" in text(wrong), "http://x" in text(wrong)) == (
        422,
        True,
        False,
    )
    made = post(browser_client, new, {"name": "Shop", "/uri": mongod, "/database": "shop"})
    assert made.headers["Location"] == "/connections"
    path = f"/connections/{services.connections.all(super_admin)[0]['_id']}"
    page = text(browser_client.get(path))
    assert mongod not in page
    tested = browser_client.post(f"{path}/test", data={"csrf_token": csrf(page)})
    assert "answers. The database &#39;shop&#39; has" in text(tested)
    changed = post(browser_client, path, {"/database": "shop2"})
    assert changed.status_code == 302, text(changed)
    assert post(browser_client, path, {"version": "1", "/database": "x"}).status_code == 412
    assert post(browser_client, path, {"name": "", "/database": "x"}).status_code == 422
    assert "Shop" in text(browser_client.get("/connections"))
    assert post(browser_client, "/connections/new?kind=smtp", {}, action="f.action=add f.0").status_code == 200
    assert browser_client.get("/connections/new?kind=ftp").status_code == 404
    gone = browser_client.post(f"{path}/delete", data={"csrf_token": csrf(page)}, follow_redirects=True)
    assert "Connection Shop deleted" in text(gone)


def test_an_admin_sees_what_is_not_theirs_to_do(app: Flask, services: Services, admin: Actor, super_admin: Actor) -> None:
    client = app.test_client()
    page = text(client.get("/sign-in"))
    client.post("/sign-in", data={"csrf_token": csrf(page), "email": admin.email, "password": PASSWORD})
    assert "A super-admin must approve each job" in text(client.get("/templates"))
    services.connections.create(super_admin, name="Files", kind="file_store", settings={"path": "/tmp/x"})
    listed = text(client.get("/connections"))
    assert "Files" in listed
    assert "/tmp/x" not in listed
    assert client.get("/connections/new?kind=smtp").status_code == 403
    services.accounts.create_user(SYSTEM, email="u@example.com", password="long enough password", role=Role.USER)
    nobody = app.test_client()
    page = text(nobody.get("/sign-in"))
    nobody.post("/sign-in", data={"csrf_token": csrf(page), "email": "u@example.com", "password": "long enough password"})
    for path in ("/jobs", "/executions", "/templates", "/connections"):
        answer = nobody.get(path)
        assert (answer.status_code, "Only admins may open this page. Your role is user." in text(answer)) == (403, True)


def test_errors_nobody_expected_are_pages_with_an_id(browser_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pymongo.errors import AutoReconnect

    monkeypatch.setattr("app.jobs.directory.JobDirectory.page", lambda *args, **kwargs: 1 / 0)
    answer = browser_client.get("/jobs", headers={"X-Request-Id": "abc-1"})
    assert (answer.status_code, "Something went wrong in Jobwright" in text(answer), "abc-1" in text(answer)) == (500, True, True)
    assert "ZeroDivisionError" not in text(answer)

    def away(*args: Any, **kwargs: Any) -> None:
        raise AutoReconnect("gone")

    monkeypatch.setattr("app.jobs.directory.JobDirectory.page", away)
    answer = browser_client.get("/jobs", headers={"X-Request-Id": "bad id\x7f"})
    assert (answer.status_code, "The database does not answer" in text(answer)) == (503, True)
    assert answer.headers["X-Request-Id"] != "bad id\x7f"
    assert browser_client.get("/no/such/page").status_code == 404
    assert browser_client.post("/jobs").status_code in {400, 405}
