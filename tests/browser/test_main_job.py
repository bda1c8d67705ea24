"""The main job in a real Chromium: from sign-in to documents that are gone; and what axe-core says of each page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Browser, expect
from pymongo import MongoClient

from tests.browser.conftest import Watched, inaccessible, visit
from tests.support import Service, eventually


def test_an_admin_makes_the_cleanup_job_and_the_documents_are_gone(visitor: Watched, service: Service, mongod: str) -> None:
    page, suffix = visitor.page, "js" if visitor.javascript else "plain"
    shop = f"{service.environment['JOBWRIGHT_DATABASE']}_shop"
    with MongoClient(mongod, tz_aware=True) as client:
        users = client[shop][f"users_{suffix}"]
        now = datetime.now(UTC)
        users.insert_many([{"_id": n, "lastActive": now - timedelta(days=300 if n < 30 else 3)} for n in range(50)])

        page.goto(f"{service.address}/connections/new?kind=mongodb")
        page.get_by_label("Name", exact=True).fill(f"Shop {suffix}")
        visitor.set("/uri", mongod)
        visitor.set("/database", shop)
        page.get_by_role("button", name="Test connection").click()
        expect(page.get_by_text(f"The database '{shop}' has")).to_be_visible()
        if not visitor.javascript:  # a page never sends a secret back
            visitor.set("/uri", mongod)
        page.get_by_role("button", name="Create connection").click()

        page.get_by_role("link", name="Templates").click()
        page.get_by_role("link", name="New job Database cleanup").click()
        visitor.set("/name", f"Nightly cleanup {suffix}")
        visitor.set("/connection", f"Shop {suffix}")
        visitor.set("/collection", f"users_{suffix}")
        visitor.set("/condition", '{"lastActive": {"$lt": "half a year ago"')
        page.get_by_label("Expression").fill("*/2 * * * * *")
        if visitor.javascript:
            expect(page.locator("#schedule-preview .schedule-words")).to_have_text("Every 2 seconds")
            expect(page.locator("#schedule-preview li")).to_have_count(5)
        page.get_by_role("button", name="Create job").click()

        expect(page.get_by_text("is not valid JSON").first).to_be_visible()
        assert page.locator("[data-pointer='/condition']").input_value() == '{"lastActive": {"$lt": "half a year ago"'
        if visitor.javascript:
            expect(page.locator("#form-errors")).to_be_focused()
            page.locator("#form-errors a").click()
            expect(page.locator("[data-pointer='/condition']")).to_be_focused()
        visitor.set("/condition", '{"lastActive": {"$lt": "6 months ago"}}')
        page.locator("[data-pointer='/dryRun'][data-role=value]").uncheck()
        page.get_by_role("button", name="Create job").click()

        expect(page.get_by_text(f"Job Nightly cleanup {suffix} created")).to_be_visible()
        eventually(lambda: users.count_documents({}) == 20)
        assert sorted(row["_id"] for row in users.find()) == list(range(30, 50))
    page.reload()
    page.locator(".table a.plain").last.click()
    expect(page.get_by_role("heading", name="Success")).to_be_visible()
    expect(page.get_by_text("Deleted 30 documents", exact=True)).to_be_visible()
    expect(page.locator("#log")).to_contain_text("Found 30 documents; deleting 30")
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name=f"Nightly cleanup {suffix}").click()
    page.locator("summary[aria-label='More actions']").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("disabled", exact=True).first).to_be_visible()


def test_what_is_typed_the_moment_a_form_comes_back_is_heard(visitor_js: Watched, service: Service, mongod: str) -> None:
    """Between the new form and the time when anything listens to it are some milliseconds; whoever types then is shown the runs too."""
    page = visitor_js.page
    with service.api() as client:
        body = {"name": "Typed at once", "kind": "mongodb", "settings": {"uri": mongod, "database": "shop"}}
        assert client.post("/api/admin/connections", json=body).status_code == 201
    page.goto(f"{service.address}/jobs/new?template=database_cleanup")
    page.evaluate("""() => new MutationObserver((_, watcher) => {
        const field = document.getElementById("s-expression");
        watcher.disconnect();
        field.value = "*/2 * * * * *";
        field.dispatchEvent(new Event("input", { bubbles: true }));
    }).observe(document.querySelector("main"), { childList: true })""")
    visitor_js.set("/connection", "Typed at once")
    expect(page.locator("#schedule-preview .schedule-words")).to_have_text("Every 2 seconds")


def make(service: Service, **fields: Any) -> str:
    with service.api() as client:
        answer = client.post("/api/admin/scheduler-jobs", json={"template_type": "noop", **fields})
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["job"]["_id"]
        return job_id


def test_a_live_run_is_watched_cancelled_and_run_again(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    job = make(service, name="Long one", parameters={"seconds": 60})
    page.goto(f"{service.address}/jobs/{job}")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", name="Running")).to_be_visible()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("link", name="Show the original run")).to_be_visible()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()


def test_the_log_grows_and_progress_is_shown_without_a_reload(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    job = make(service, name="Talker", template_type="misbehave", parameters={"how": "talk"})
    page.goto(f"{service.address}/jobs/{job}")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", name="Success")).to_be_visible()
    for line in ("to stdout", "to stderr", "from a library", "from a child", "no newline"):
        expect(page.locator("#log .text", has_text=line)).to_have_count(1)
    expect(page.locator("#log .line-number")).to_have_text(["1", "2", "3", "4", "5"])


def test_the_switch_the_search_and_the_run_button_of_the_list(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    make(service, name="Switch me", schedule={"type": "interval", "interval_seconds": 3600})
    page.goto(f"{service.address}/jobs")
    page.locator("#filter-q").fill("switch m")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{service.address}/jobs?q=switch%20m&sort=name")
    page.get_by_role("switch", name="Switch me enabled").click()
    expect(page.get_by_role("switch", name="Switch me enabled")).to_have_attribute("aria-checked", "false")
    page.get_by_role("switch", name="Switch me enabled").click()
    expect(page.get_by_role("switch", name="Switch me enabled")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Run now: Switch me").click()
    expect(page.get_by_role("heading", name="Success")).to_be_visible()


def test_rows_change_in_place_and_keep_what_was_typed(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/jobs/new?template=email_notification")
    visitor_js.set("/recipients/0", "a@example.com")
    page.get_by_role("button", name="Add recipient").or_(page.get_by_role("button", name="Add address")).click()
    visitor_js.set("/recipients/1", "b@example.com")
    page.get_by_role("button", name="Move address 2 up").click()
    expect(page.locator("[data-pointer='/recipients/0'][data-role=value]")).to_have_value("b@example.com")
    page.get_by_role("button", name="Remove address 2").click()
    expect(page.locator("[data-pointer^='/recipients/'][data-role=value]")).to_have_count(1)


def test_a_conflict_is_told_where_the_button_was_pressed(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    job = make(service, name="Busy", parameters={"seconds": 30})
    page.goto(f"{service.address}/jobs?q=Busy")
    with service.api() as client:
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
        page.get_by_role("button", name="Run now: Busy").click()
        expect(page.locator("#toasts")).to_contain_text("Job already running")
        client.post(f"/api/admin/job-executions/{run}/cancel")


def test_axe_finds_nothing_serious_by_day(chromium: Browser, service: Service) -> None:  # by night, on a phone: test_every_page.py
    job = make(service, name="Axe", tags=["tag"], schedule={"type": "cron", "expression": "0 2 * * *"})
    with service.api() as client:
        weekends = {"name": "Weekends", "timezone": "Europe/Berlin", "weekly": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}]}
        assert client.post("/api/admin/calendars", json=weekends).status_code in {201, 409}
        me = client.get("/api/admin/users").json()["users"][0]["_id"]
        run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
        eventually(lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]["status"] == "success")
    watched = visit(chromium, service, bypass_csp=True)
    page, found = watched.page, list[str]()
    paths = [
        "/jobs",
        "/jobs?q=nothing-matches",
        f"/jobs/{job}",
        f"/jobs/{job}/edit",
        f"/jobs/{job}/run-with",
        f"/jobs/{job}/pause",
        "/executions",
        f"/executions/{run}",
        "/templates",
        "/templates/database_cleanup",
        "/templates/preview",
        "/templates/preview?sample=2-unions",
        "/jobs/new?template=data_export",
        "/connections",
        "/connections/new?kind=smtp",
        "/calendars",
        "/calendars/new",
        "/calendars/Weekends",
        f"/jobs/{job}/backfill",
        "/maintenance",
        "/users",
        "/users/new",
        f"/users/{me}",
        f"/users/{me}/tokens/new",
        "/account",
        "/account/second-factor",
        "/audit",
        "/approvals",
        "/approvals?state=all",
        "/no-such-page",
    ]
    for path in paths:
        page.goto(service.address + path)
        found += inaccessible(page)
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{path} scrolls sideways by {sideways}"] if sideways > 0 else []
    watched.context.close()
    assert found == []


def test_a_calendar_is_made_and_a_job_keeps_out_of_it(visitor: Watched, service: Service) -> None:
    page, suffix = visitor.page, "js" if visitor.javascript else "plain"
    page.goto(f"{service.address}/calendars/new")
    page.get_by_role("button", name="Create blackout calendar").click()
    expect(page.get_by_text("must start with a letter or digit").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill(f"Every day {suffix}")
    page.get_by_role("button", name="Add weekly window").click()
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"):
        page.get_by_label(day, exact=True).check()
    visitor.set("/weekly/0/from", "01:30")
    visitor.set("/weekly/0/to", "02:30")
    page.get_by_role("button", name="Create blackout calendar").click()
    expect(page.get_by_text(f"Blackout calendar Every day {suffix} created")).to_be_visible()
    expect(page.get_by_role("heading", name="Next blackouts")).to_be_visible()
    page.goto(f"{service.address}/jobs/new?template=noop")
    visitor.set("/name", f"Kept out {suffix}")
    page.get_by_text("Start, end, spread and blackout calendars").click()
    page.get_by_label(f"Every day {suffix}").check()
    if visitor.javascript:
        expect(page.get_by_text(f"skipped by the blackout calendar Every day {suffix}")).to_have_count(5)
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("link", name=f"Every day {suffix}")).to_be_visible()
    page.locator("summary[aria-label='Other ways to run the job']").click()
    page.get_by_role("link", name="Backfill").click()
    page.wait_for_url("**/backfill")  # waits for its scripts, too: they do not hear what is typed before
    visitor.set("/from", "2026-01-01T00:00:00")
    visitor.set("/to", "2026-01-08T00:00:00")
    if not visitor.javascript:
        page.get_by_role("button", name="Show the runs").first.click()
    expect(page.get_by_text("7 scheduled times are left out because of a blackout.")).to_be_visible()


def test_maintenance_is_told_on_every_page_until_it_ends(visitor: Watched, service: Service) -> None:
    page = visitor.page
    page.goto(f"{service.address}/maintenance")
    visitor.set("/reason", "A larger machine")
    page.get_by_role("button", name="Begin maintenance").click()
    expect(page.get_by_role("button", name="End maintenance")).to_be_visible()
    page.goto(f"{service.address}/templates")
    expect(page.get_by_text("A larger machine")).to_be_visible()
    page.get_by_role("button", name="End maintenance").click()
    expect(page.get_by_text("Maintenance has ended")).to_be_visible()
    page.goto(f"{service.address}/templates")
    expect(page.get_by_text("A larger machine")).to_have_count(0)


def test_a_field_that_is_left_after_the_form_has_gone_breaks_nothing(visitor_js: Watched, service: Service) -> None:
    """Somebody else begins the maintenance while the form for it is filled: the check of a field is answered by a page without it."""
    page = visitor_js.page
    page.goto(f"{service.address}/maintenance")
    with service.api() as client:
        assert client.put("/api/admin/maintenance", json={"reason": "Somebody was quicker"}).status_code == 200
        try:
            visitor_js.set("/reason", "A larger machine")
            with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/maintenance")) as checked:
                page.keyboard.press("Tab")
            assert "Somebody was quicker" in checked.value.text()
            expect(page.locator("[data-pointer='/reason']")).to_have_value("A larger machine")
        finally:
            client.delete("/api/admin/maintenance")


def test_the_form_can_be_filled_by_keyboard_alone(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/jobs/new?template=noop")
    page.locator("[data-pointer='/name'][data-role=value]").focus()
    page.keyboard.type("By keyboard")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "s-cron":
            break
    for _ in range(4):  # cron, calendar, interval, once, by hand
        page.keyboard.press("ArrowRight")
    expect(page.locator("#s-manual")).to_be_checked()
    page.locator("[data-pointer='/name'][data-role=value]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Job By keyboard created")).to_be_visible()


def test_the_api_page_draws_the_description(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/api/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    page.get_by_placeholder("Filter by tag or path").fill("Health")  # of a long list only what is in sight is drawn
    expect(page.locator(".opblock-summary-path", has_text="/ready")).to_be_visible()
