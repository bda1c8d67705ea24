"""The desk of who works here all day: the list and what is done to many, keys and palette, calendar, logs; each page by axe-core."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pymongo import MongoClient

from tests.browser.conftest import Watched, inaccessible, visit
from tests.support import ADMIN, PASSWORD, Service, eventually

NIGHTLY = {"type": "cron", "expression": "0 2 * * *"}
MOST_INTERACTIONS = 9


@pytest.fixture(scope="module")
def desk(service: Service, mongod: str) -> dict[str, str]:
    """A few jobs of a group of their own, one with a success, a failure and a second version; ids by name."""
    ids = {}
    with service.api() as api:
        for name in ("Alpha", "Beta", "Gamma"):
            body = {
                "name": f"{name} of the desk",
                "template_type": "test_scheduler",
                "group": "desk",
                "tags": ["desk"],
                "schedule": NIGHTLY,
                "retry_policy": {"max_retries": 0},
            }
            ids[name] = api.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
        for key, parameters in (("good", {}), ("bad", {"outcome": "error"})):
            answer = api.post(f"/api/admin/scheduler-jobs/{ids['Alpha']}/run", json={"parameters": parameters}).raise_for_status()
            path = f"/api/admin/job-executions/{answer.json()['execution_id']}"
            eventually(lambda path=path: api.get(path).json()["execution"]["completed_at"])
            ids[key] = answer.json()["execution_id"]
        api.put(f"/api/admin/scheduler-jobs/{ids['Alpha']}", json={"description": "Changed once."}).raise_for_status()
    return ids


def listed(page: Page, *names: str) -> None:
    """Waits for the list to be of these jobs, in this order."""
    expect(page.locator("table.jobs .name > a")).to_have_text([f"{name} of the desk" for name in names])


def test_many_jobs_are_paused_after_a_look_and_a_switch_is_undone(colleague: Watched, service: Service, desk: dict[str, str]) -> None:
    page = colleague.page
    page.goto(f"{service.address}/jobs?group=desk")
    listed(page, "Alpha", "Beta", "Gamma")
    page.get_by_label("Select Beta of the desk").check()
    page.get_by_label("Select Gamma of the desk").check()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pause 2 jobs?")
    page.get_by_label("Reason").fill("stocktaking")
    page.get_by_role("button", name="Pause 2 jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 jobs paused")
    page.get_by_role("link", name="Back to the jobs").click()
    listed(page, "Alpha", "Beta", "Gamma")  # back to the list that one came from
    page.get_by_label("Select Beta of the desk").check()
    page.get_by_label("Select Gamma of the desk").check()
    page.get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("button", name="Resume 2 jobs").click()

    page.goto(f"{service.address}/jobs?group=desk")
    switch = page.get_by_role("switch", name="Alpha of the desk enabled")
    switch.click()
    expect(page.get_by_text("Job Alpha of the desk disabled")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Job Alpha of the desk enabled")).to_be_visible()


def test_a_job_is_told_to_run_after_another_and_does(colleague: Watched, service: Service, desk: dict[str, str]) -> None:
    page, name = colleague.page, f"Follower {'js' if colleague.javascript else 'plain'}"
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add job").click()
    page.get_by_label("Job", exact=True).fill("Betta of the desk")
    page.get_by_label("Required outcome", exact=True).select_option(label="has ended with any outcome")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text("is not the name of a job: 'Betta of the desk'").first).to_be_visible()
    page.get_by_label("Job", exact=True).fill("Beta of the desk")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    section = page.locator("#dependencies")
    expect(section).to_contain_text("Beta of the desk once it has ended with any outcome")

    section.get_by_role("link", name="Beta of the desk").click()
    expect(page.locator("#dependencies")).to_contain_text(name)
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Execution")
    follower = page.locator("#effects").get_by_role("link", name=name)

    def begun() -> bool:
        page.reload()
        return follower.count() == 1

    eventually(begun, every=0.2)
    follower.click()
    expect(page.locator("#causes")).to_contain_text("Beta of the desk")


def test_a_view_is_kept_under_a_name(colleague: Watched, service: Service, desk: dict[str, str]) -> None:
    page = colleague.page
    page.goto(f"{service.address}/jobs?group=desk&last=failed")
    listed(page, "Alpha")
    page.get_by_text("Save view", exact=True).first.click()
    page.get_by_label("Name of the view").fill("Desk, failing")
    page.get_by_role("button", name="Save view").click()
    expect(page.locator(".views [aria-current]")).to_have_text("Desk, failing")
    page.get_by_role("button", name="Remove this view").click()
    expect(page.get_by_role("link", name="Desk, failing")).to_have_count(0)


def test_filters_work_as_one_types_and_the_back_button_takes_them_back(ada: Watched, service: Service, desk: dict[str, str]) -> None:
    page = ada.page
    page.goto(f"{service.address}/jobs?group=desk")
    page.locator("#filter-q").fill("beta")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    expect(page.locator("#job-count")).to_have_text("1")
    page.locator("#filter-last").select_option("failed")
    expect(page.get_by_text("No job matches these filters")).to_be_visible()
    page.go_back()
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.locator("table.jobs tbody tr")).to_have_count(3)


def test_keys_move_choose_and_lead_away_and_can_be_switched_off(ada: Watched, service: Service, desk: dict[str, str]) -> None:
    page = ada.page
    page.goto(f"{service.address}/jobs?group=desk")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Beta of the desk", exact=True)).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_label("Select Beta of the desk")).to_be_checked()
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("link", name="Beta of the desk", exact=True).focus()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Alpha of the desk")
    page.wait_for_load_state()  # its scripts listen from then on
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/calendar")  # waits for its scripts, too
    page.keyboard.press("w")
    page.wait_for_url("**/calendar?*view=week*")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.get_by_label("Use shortcuts without Ctrl").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile("view=week"))
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog", name="Go to")).to_be_visible()


def test_a_job_is_made_by_keyboard_alone(ada: Watched, service: Service) -> None:
    page = ada.page
    page.goto(f"{service.address}/")
    page.keyboard.press("Control+k")
    page.keyboard.type("scheduler test")
    expect(page.locator("#palette-list li")).to_have_count(2)  # the template, and its reference in the help
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Scheduler test")
    page.wait_for_load_state()

    def tab_to(holds: str) -> None:
        for _ in range(80):
            if page.evaluate(f"document.activeElement.matches({holds!r})"):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"no way by Tab to {holds}")

    tab_to("[data-pointer='/name'][data-role=value]")
    page.keyboard.type("Made by keyboard")
    tab_to("#b-every")
    page.keyboard.type("On days")
    expect(page.locator("#s-expression")).to_have_value("0 2 * * 1")
    tab_to("button.primary[name=save]")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Job Made by keyboard created")).to_be_visible()
    expect(page.get_by_text("At 02:00, only on Monday").first).to_be_visible()


class Counted:
    """Counts what a person does: a click, a field that is filled."""

    def __init__(self, page: Page) -> None:
        self.page, self.done = page, 0

    def click(self, role: Any, name: str) -> None:
        self.done += 1
        self.page.get_by_role(role, name=name).first.click()

    def fill(self, label: str, text: str) -> None:
        self.done += 1
        self.page.get_by_label(label, exact=True).first.fill(text)


@pytest.mark.parametrize("javascript", [True, False])
def test_the_first_scheduled_job_takes_few_steps(chromium: Browser, service: Service, javascript: bool) -> None:
    context = chromium.new_context(java_script_enabled=javascript, locale="en-GB")
    page = context.new_page()
    page.goto(service.address)
    person, began = Counted(page), datetime.now(UTC)
    person.fill("E-mail address", ADMIN)
    person.fill("Password", PASSWORD)
    person.click("button", "Sign in")
    person.click("link", "New job")
    person.click("link", "New job Scheduler test")
    person.fill("Name", f"First {javascript}")
    person.click("button", "Each night")
    person.click("button", "Create job")
    expect(page.get_by_text(re.compile("^Job .* created$"))).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("At 02:00")
    print(f"{person.done} interactions, {(datetime.now(UTC) - began).total_seconds():.1f} s")
    assert person.done <= MOST_INTERACTIONS
    context.close()


def test_builder_expression_and_presets_are_one(ada: Watched, service: Service) -> None:
    page = ada.page
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    page.locator("#b-every").select_option("week")
    expect(page.locator("#s-expression")).to_have_value("0 2 * * 1")
    page.locator("#cron-builder").get_by_label("Wed", exact=True).check()
    expect(page.locator("#s-expression")).to_have_value("0 2 * * 1,3")
    page.locator("#s-expression").fill("*/20 * * * *")
    expect(page.locator("#b-every")).to_have_value("minutes")
    expect(page.locator("#b-minutes")).to_have_value("20")
    page.get_by_role("button", name="First of the month").click()
    expect(page.locator("#s-expression")).to_have_value("0 6 1 * *")
    expect(page.locator("#b-every")).to_have_value("month")
    expect(page.locator(".schedule-words")).to_contain_text("At 06:00")


def test_a_form_that_is_left_is_there_when_one_comes_back(ada: Watched, service: Service) -> None:
    page = ada.page
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    ada.set("/name", "Half done")
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page).to_have_url(re.compile("/jobs$"))
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    page.get_by_role("link", name="Continue with what I typed").click()
    expect(page.locator("[data-pointer='/name'][data-role=value]")).to_have_value("Half done")
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    page.get_by_role("button", name="Discard it").click()
    expect(page.get_by_text("You left this form")).to_have_count(0)


def test_a_log_of_a_hundred_thousand_lines(ada: Watched, service: Service, desk: dict[str, str], mongod: str) -> None:
    page, name = ada.page, service.environment["JOBWRIGHT_DATABASE"]
    now = datetime.now(UTC)
    with MongoClient(mongod) as client:
        copy = client[name]["job_executions"].find_one({"_id": desk["bad"]})
        assert copy is not None
        client[name]["job_executions"].insert_one({**copy, "_id": "long", "queued_at": copy["queued_at"] + timedelta(seconds=1)})
        for chunk in range(100):
            lines = [
                {"timestamp": now, "level": "ERROR" if (chunk, n) == (60, 10) else "INFO", "message": f"line {chunk * 1000 + n + 1}."}
                for n in range(1000)
            ]
            client[name]["execution_logs"].insert_one({"_id": f"long/00001.{chunk + 1:08d}", "attempt": 1, "lines": lines})
    page.goto(f"{service.address}/executions/long")
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    page.keyboard.press("e")
    expect(page.locator("#log .failing")).to_be_in_viewport()
    assert page.locator("#log li").count() <= 1000
    page.get_by_role("link", name="Go to the end").click()
    expect(page.locator("#log li").last).to_contain_text("line 100000.")
    page.locator("#log-q").fill("line 77777.")
    expect(page.locator("#log li")).to_have_count(1)
    page.locator("#log .line-number").click()
    expect(page.locator("#L77777")).to_be_in_viewport()
    page.locator("#log-level").select_option("ERROR")
    expect(page.locator("#log li")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_text().count("\n") == 100_000
    page.get_by_role("link", name="Compare with the last successful run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What differs")


def test_a_search_of_the_log_and_new_lines_do_not_disturb_each_other(ada: Watched, service: Service, desk: dict[str, str]) -> None:
    """An answer with new lines that comes after the search shows the state, and leaves the lines that were found alone."""
    with service.api() as api:
        answer = api.post(f"/api/admin/scheduler-jobs/{desk['Gamma']}/run", json={"parameters": {"message": "found", "seconds": 600}})
    execution = answer.raise_for_status().json()["execution_id"]
    page, held = ada.page, list[Route]()
    page.goto(f"{service.address}/executions/{execution}")
    expect(page.locator("#log li").first).to_contain_text("found")
    page.route("**/live?*", lambda route: held.append(route))
    eventually(lambda: (page.wait_for_timeout(50), held)[1])
    page.locator("#log-q").fill("found")
    expect(page.locator(".log-more")).to_contain_text("1 line matches.")
    lines = page.locator("#log li").count()
    late = held[0].fetch()
    more = '<ol hx-swap-oob="beforeend:#log"><li>late</li></ol>'
    place = '<span id="log-place" hidden hx-swap-oob="true"><input name="after" value="x"></span>'
    held[0].fulfill(response=late, body=late.text().replace("<h1", '<h1 data-late=""') + more + place)
    expect(page.locator("h1[data-late]")).to_be_visible()
    assert (page.locator("#log li").count(), page.locator("#log-place input").count()) == (lines, 0)
    page.unroute_all(behavior="ignoreErrors")
    page.get_by_role("link", name="Show the whole log").click()
    expect(page.locator("#log-place input").first).to_be_attached()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#summary h1")).to_contain_text("ancelled")


def opened(page: Page) -> dict[str, Callable[[], None]]:
    """What is opened before axe-core looks, by the page's address."""
    return {
        "/jobs?group=desk&palette": lambda: (page.keyboard.press("Control+k"), page.locator("#palette-list li").first.wait_for())[1],
        "/jobs?group=desk&keys": lambda: page.keyboard.press("?"),
        "/jobs?group=desk&chosen": lambda: page.locator("[name=job]").first.check(),
    }


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious(chromium: Browser, service: Service, desk: dict[str, str], theme: str, width: int) -> None:
    watched = visit(chromium, service, width=width, color_scheme=theme, bypass_csp=True)
    page, job = watched.page, desk["Alpha"]
    opening = opened(page)
    found = []
    for path in (
        "/",
        "/jobs?group=desk",
        *opening,
        f"/jobs/{job}",
        f"/jobs/{job}/revisions",
        f"/jobs/{job}/edit",
        f"/executions/{desk['bad']}",
        f"/executions/{desk['bad']}?q=line",
        f"/executions/{desk['bad']}/compare",
        "/executions?from=2026-01-01",
        "/calendar",
        "/calendar?view=week",
        "/calendar?view=day",
        "/help",
        "/help/how-to/operate",
        "/system",
        "/account",
        "/jobs/new?template=database_cleanup",
    ):
        page.goto(f"{service.address}{path}")
        opening.get(path, lambda: None)()
        found += inaccessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the window"
    watched.context.close()
    assert not found, "\n".join(found)
