"""The job form in a real Chromium: a dry run answers in sight, a new connection leads back, changes are marked, shortcuts fill in dates."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.support import Service

NOWHERE = "mongodb://127.0.0.1:1/"


def fill_cleanup(visitor: Watched, service: Service, name: str) -> Page:
    """Opens the form of a new cleanup job and fills in all but the connection."""
    page = visitor.page
    page.goto(f"{service.address}/jobs/new?template=database_cleanup")
    visitor.set("/name", name)
    visitor.set("/collection", "sessions")
    visitor.set("/condition", '{"a": 1}')
    return page


def in_sight(page: Page, selector: str) -> bool:
    box: Any = page.locator(selector).bounding_box()
    return bool(box) and box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]  # type: ignore[index]


def connection(service: Service, name: str) -> None:
    with service.api() as api:
        settings = {"uri": NOWHERE, "database": "shop"}
        assert api.post("/api/admin/connections", json={"name": name, "kind": "mongodb", "settings": settings}).status_code in {201, 409}


def test_a_dry_run_answers_beside_the_buttons_and_nothing_typed_is_lost(visitor: Watched, service: Service) -> None:
    suffix = "js" if visitor.javascript else "plain"
    connection(service, "Nowhere")
    connection(service, "Elsewhere")
    page = fill_cleanup(visitor, service, f"Dry {suffix}")
    visitor.set("/connection", "Nowhere")
    page.evaluate("window.scrollTo(0, 700)") if visitor.javascript else None
    before = page.evaluate("window.scrollY") if visitor.javascript else 0
    # With the mouse: the driver's own click first scrolls what stands in the bar above the bar.
    place = page.get_by_role("button", name="Dry run", exact=True).bounding_box()
    assert place is not None
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page.locator("#dry-run")).to_be_visible()
    page.wait_for_load_state()  # a browser goes to the place that an address names once the page is laid out
    assert in_sight(page, "#dry-run")
    if visitor.javascript:
        expect(page.locator("#form-answer")).to_be_focused()
        assert page.evaluate("window.scrollY") == before
        expect(page.get_by_text("Dry run: a run would fail")).to_be_visible(timeout=30_000)
    assert page.locator("[data-pointer='/name']").input_value() == f"Dry {suffix}"
    assert page.locator("[data-pointer='/condition'][data-role]").first.input_value() == '{"a": 1}'


def test_wrong_values_are_told_instead_of_a_dry_run(visitor: Watched, service: Service) -> None:
    page = fill_cleanup(visitor, service, "")
    page.get_by_role("button", name="Dry run", exact=True).click()
    expect(page.locator("#form-errors")).to_be_visible()
    if visitor.javascript:
        expect(page.locator("#form-errors")).to_be_focused()
    assert page.locator("[data-pointer='/collection'][data-role=value]").input_value() == "sessions"
    assert page.locator("#dry-run").count() == 0


def test_a_refused_dry_run_leaves_the_form_as_it_is(visitor_js: Watched, service: Service) -> None:
    connection(service, "Nowhere")
    page = fill_cleanup(visitor_js, service, "Refused")
    visitor_js.set("/connection", "Nowhere")
    visitor_js.refusals |= {503}
    page.route("**/jobs/new?template=database_cleanup", lambda route: route.fulfill(status=503, body="<main><h1>Away</h1></main>"))
    page.get_by_role("button", name="Dry run", exact=True).click()
    expect(page.locator("#form-answer [role=alert]")).to_have_text("Away")
    assert page.locator("[data-pointer='/collection'][data-role=value]").input_value() == "sessions"
    page.unroute_all()


def test_a_new_connection_leads_back_to_what_was_typed(visitor: Watched, service: Service) -> None:
    suffix = "js" if visitor.javascript else "plain"
    page = fill_cleanup(visitor, service, f"Led back {suffix}")
    page.get_by_role("button", name="New connection").click()
    page.get_by_label("Name", exact=True).fill(f"Made on the way {suffix}")
    visitor.set("/uri", NOWHERE)
    visitor.set("/database", "shop")
    page.get_by_role("button", name="Create connection").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Database cleanup")
    assert page.locator("[data-pointer='/name']").input_value() == f"Led back {suffix}"
    assert page.locator("[data-pointer='/collection'][data-role=value]").input_value() == "sessions"
    chosen = page.locator("[data-pointer='/connection'][data-role=value]")
    assert chosen.input_value() == f"Made on the way {suffix}"


def test_a_preset_of_policies_fills_in_and_is_recognised(visitor: Watched, service: Service) -> None:
    page = visitor.page
    page.goto(f"{service.address}/jobs/new?template=noop")
    page.locator(".policies > summary").click()
    expect(page.locator(".policies > summary .badge")).to_have_text("Default")
    page.get_by_role("button", name="Never twice").click()
    expect(page.locator(".policies > summary .badge")).to_have_text("Never twice")
    expect(page.locator("[data-pointer='/retry_policy/max_retries'][data-role=value]")).to_have_value("0")
    expect(page.get_by_role("button", name="Never twice")).to_have_attribute("aria-pressed", "true")


def test_changes_are_marked_and_shown_before_saving(visitor: Watched, service: Service) -> None:
    page = visitor.page
    with service.api() as api:
        body = {"name": f"Marked {visitor.javascript}", "template_type": "noop", "schedule": {"type": "manual"}}
        job = api.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
    page.goto(f"{service.address}/jobs/{job}/edit")
    expect(page.get_by_role("heading", level=1)).to_have_text(body["name"])
    page.locator(".policies > summary").click()
    visitor.set("/timeout_seconds", "2 h 30 min")
    if visitor.javascript:
        page.keyboard.press("Tab")
        expect(page.locator(".changed-count")).to_have_text("1 field changed")
        expect(page.locator(".field.changed")).to_have_count(1)
    page.get_by_role("button", name="Show changes").click()
    expect(page.locator("#form-answer")).to_contain_text("Saving changes 1 field")
    expect(page.locator("#form-answer")).to_contain_text(re.compile("Timeout.*1 hour.*2 hours 30 minutes", re.DOTALL))
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text(f"Job {body['name']} changed")).to_be_visible()
    with service.api() as api:
        assert api.get(f"/api/admin/scheduler-jobs/{job}").json()["job"]["timeout_seconds"] == 9_000


def test_shortcuts_fill_in_the_end_of_a_pause(visitor: Watched, service: Service) -> None:
    page = visitor.page
    with service.api() as api:
        schedule = {"type": "cron", "expression": "0 2 * * *"}
        body = {"name": f"Paused {visitor.javascript}", "template_type": "noop", "schedule": schedule}
        job = api.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
    page.goto(f"{service.address}/jobs/{job}/pause")
    expect(page.locator("#effect")).to_contain_text("until someone resumes the job")
    page.get_by_label("Reason").fill("new disks")
    page.get_by_role("button", name="Until Monday 8:00").click()
    expect(page.get_by_label("Until")).to_have_value(re.compile("T08:00$"))
    expect(page.locator("#effect")).to_contain_text(re.compile("scheduled runs? will be skipped"))
    assert page.get_by_label("Reason").input_value() == "new disks"
    page.get_by_role("button", name="Pause job").last.click()
    expect(page.get_by_text("Paused until")).to_be_visible()


_COVERED = """() => {
  const field = document.activeElement;
  const bar = document.querySelector(".form-end");
  if (!field.closest("#job-form") || bar.contains(field) || !field.getBoundingClientRect().width) return null;
  const { left, top, width, height } = field.getBoundingClientRect();
  const above = document.elementFromPoint(left + width / 2, Math.min(top + height / 2, innerHeight - 1));
  return { name: field.name || field.id || field.textContent.trim(), covered: bar.contains(above) || top + height / 2 > innerHeight };
}"""


def test_the_bar_of_buttons_covers_no_field_with_the_focus(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/jobs/new?template=database_cleanup")
    name = page.locator("[data-pointer='/name']")
    expect(name).to_be_focused()
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate(_COVERED)
        if place:
            seen.append(place)
    assert len(seen) > 20
    assert [place["name"] for place in seen if place["covered"]] == []


def test_values_of_another_job_keep_the_typed_name(visitor: Watched, service: Service) -> None:
    suffix = "js" if visitor.javascript else "plain"
    with service.api() as api:
        body = {"name": f"Copied {suffix}", "template_type": "test_scheduler", "parameters": {"message": f"Message {suffix}"}}
        assert api.post("/api/admin/scheduler-jobs", json=body).status_code == 201
    page = visitor.page
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    visitor.set("/name", f"Typed {suffix}")
    page.get_by_role("button", name=f"Copied {suffix}", exact=True).click()
    expect(page.locator("[data-pointer='/message'][data-role=value]")).to_have_value(f"Message {suffix}")
    expect(page.locator("[data-pointer='/name']").first).to_have_value(f"Typed {suffix}")
