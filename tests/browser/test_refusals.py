"""What is typed into a form and refused is still there: after a sign-in that has ended, and where it is too large to be sent."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched
from tests.support import ADMIN, PASSWORD

STORY = "line one\nline <two> & ünï 🙂"


def sign_in(page: Page, address: str) -> None:
    page.goto(f"{address}/sign-in")
    page.locator("#email").fill(ADMIN)
    page.locator("#password").fill(PASSWORD)
    page.locator("form.sign-in button.primary").click()
    expect(page.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()


def test_a_sign_in_that_has_ended_keeps_the_form_until_one_is_back(visitor: Watched) -> None:
    visitor.refusals |= {"401", "400"}
    page, name = visitor.page, f"typed by hand {'js' if visitor.javascript else 'plain'}"
    page.goto(f"{visitor.address}/jobs/new?template=webhook_trigger")
    visitor.set("/name", name)
    page.locator("details:has([data-pointer='/description'])").evaluate("details => details.open = true")
    visitor.set("/description", STORY)
    page.get_by_label("Expression").fill("7 3 * * *")
    visitor.context.clear_cookies()
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text("Your sign-in has ended.")).to_be_visible()

    with visitor.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in").click()
    sign_in(opened.value, visitor.address)
    page.get_by_role("button", name="Back to the form").click()

    expect(page.locator("#refusal")).to_contain_text("Nothing was changed. The form below contains what you typed.")
    expect(page.locator("[data-pointer='/name'][data-role=value]")).to_have_value(name)
    expect(page.locator("[data-pointer='/description'][data-role=value]")).to_have_value(STORY)
    expect(page.get_by_label("Expression")).to_have_value("7 3 * * *")
    visitor.set("/url", "https://example.com/")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text(f"Job {name} created")).to_be_visible()
    expect(page.get_by_text("line <two>")).to_be_visible()


def test_a_note_on_a_page_of_an_older_sign_in_is_still_typed(visitor_js: Watched) -> None:
    visitor_js.refusals |= {"400"}
    page = visitor_js.page
    page.goto(f"{visitor_js.address}/jobs/new?template=webhook_trigger")
    visitor_js.set("/name", "with a note")
    visitor_js.set("/url", "https://example.com/")
    page.get_by_role("button", name="Create job").click()
    page.get_by_text("New note").click()
    page.locator("#note-text").fill(STORY)
    visitor_js.context.clear_cookies()
    sign_in(visitor_js.context.new_page(), visitor_js.address)
    page.get_by_role("button", name="Save note").click()
    expect(page.locator("#refusal")).to_contain_text("The form has expired")
    expect(page.locator("#note-text")).to_have_value(STORY)
    page.get_by_role("button", name="Save note").click()
    expect(page.locator(".note-text")).to_have_text(STORY)


def test_what_is_too_large_is_told_before_it_is_sent(visitor_js: Watched) -> None:
    page = visitor_js.page
    page.goto(f"{visitor_js.address}/jobs/import")
    field = page.locator("textarea[name=file]")
    field.evaluate("one => { one.value = '# typed by hand ' + 'ü'.repeat(1_100_000); }")
    page.locator("form[action='/jobs/import'] button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("The form is larger than 2 MB")
    assert field.input_value().startswith("# typed by hand")
    field.fill("jobwright: 1\njobs: []")
    page.locator("form[action='/jobs/import'] button").first.click()
    expect(page.get_by_text("The file has no jobs")).to_be_visible()
