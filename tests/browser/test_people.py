"""People in a real Chromium: an invitation, a second factor, destructive work that waits for another person."""

from __future__ import annotations

import re
import time

import pyotp
from playwright.sync_api import Browser, Page, expect
from pymongo import MongoClient

from tests.browser.conftest import Watched, inaccessible
from tests.support import Service, eventually

PASSWORD = "gravel lantern seven otters"


def sign_in(page: Page, service: Service, email: str) -> None:
    page.goto(f"{service.address}/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_an_admin_is_invited_asks_for_a_cleanup_and_a_super_admin_approves(
    visitor: Watched, service: Service, chromium: Browser, mongod: str
) -> None:
    boss, suffix = visitor.page, "js" if visitor.javascript else "plain"
    email, shop = f"ada-{suffix}@example.com", f"{service.environment['JOBWRIGHT_DATABASE']}_shop"
    boss.goto(f"{service.address}/users/new")
    visitor.set("/email", email)
    boss.get_by_role("button", name="Create account").click()
    link = boss.locator("code.secret").inner_text()
    context = chromium.new_context(java_script_enabled=visitor.javascript, locale="en-GB", bypass_csp=True)
    ada = context.new_page()
    ada.goto(link)
    ada.get_by_label("New password").fill(PASSWORD)
    ada.get_by_role("button", name="Set password").click()
    expect(ada.get_by_text("Your password is set")).to_be_visible()
    sign_in(ada, service, email)
    expect(ada.get_by_role("heading", level=1)).to_contain_text("Dashboard")
    assert ada.get_by_role("link", name="Users").count() == 0

    with MongoClient(mongod) as client, service.api() as api:
        client[shop][f"old_{suffix}"].insert_many([{"_id": n, "gone": n < 30} for n in range(50)])
        made = {"name": f"Old {suffix}", "kind": "mongodb", "settings": {"uri": mongod, "database": shop}}
        assert api.post("/api/admin/connections", json=made).status_code == 201
    ada.goto(f"{service.address}/jobs/new?template=database_cleanup")

    def fill(pointer: str, text: str) -> None:
        control = ada.locator(f"[data-pointer='{pointer}']:is([data-role=value], [data-role=json])")
        if control.evaluate("one => one.tagName") == "SELECT":
            control.select_option(label=text)
        else:
            control.fill(text)

    fill("/name", f"Clean {suffix}")
    fill("/connection", f"Old {suffix}")
    fill("/collection", f"old_{suffix}")
    fill("/condition", '{"gone": true}')
    ada.locator("[data-pointer='/dryRun'][data-role=value]").uncheck()
    ada.get_by_role("button", name="Create job").click()
    expect(ada.get_by_text("Your change waits for a super-admin")).to_be_visible()
    if visitor.javascript:
        expect(ada.get_by_text("Would delete 30 of 50 documents")).to_be_visible()
    where = ada.url
    if visitor.javascript:
        assert inaccessible(ada) == []
    boss.goto(f"{service.address}/approvals")
    boss.get_by_role("link", name=f"Create Clean {suffix}").click()
    expect(boss).to_have_url(where)
    eventually(lambda: boss.reload() and boss.get_by_text("Would delete 30 of 50 documents").is_visible())
    boss.get_by_label("Note").fill("Looks right")
    boss.get_by_role("button", name="Approve and carry out").click()
    expect(boss.get_by_text("Approved and carried out")).to_be_visible()
    boss.get_by_role("link", name="Open job").click()
    expect(boss.get_by_role("heading", level=1)).to_contain_text(f"Clean {suffix}")
    ada.goto(where)
    expect(ada.get_by_text("Looks right")).to_be_visible()
    context.close()


def test_a_second_factor_is_set_up_and_asked_for(visitor_js: Watched, service: Service, chromium: Browser) -> None:
    boss = visitor_js.page
    boss.goto(f"{service.address}/users/new")
    visitor_js.set("/email", "otto@example.com")
    boss.get_by_role("button", name="Create account").click()
    link = boss.locator("code.secret").inner_text()
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(link)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_text("Your password is set")).to_be_visible()
    sign_in(page, service, "otto@example.com")
    page.goto(f"{service.address}/account/second-factor")
    secret = page.locator("code.secret").inner_text()
    assert page.locator("svg.qr").bounding_box() is not None
    page.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).now())
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Turn on second factor").click()
    expect(page.locator("code.secret")).to_have_count(10)
    page.goto(f"{service.address}/account")
    page.locator("details.menu > summary").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    sign_in(page, service, "otto@example.com")
    expect(page.get_by_role("heading", name="Enter your code")).to_be_visible()
    page.get_by_label("Code from your app").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("not right, or was used before")).to_be_visible()
    step = int(time.time()) // 30 + 1  # the code of this half minute is used up; the next one is good already
    page.get_by_label("Code from your app").fill(pyotp.TOTP(secret).generate_otp(step))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dashboard")
    context.close()


def test_the_trail_is_filtered_and_exported(visitor: Watched, service: Service) -> None:
    page = visitor.page
    page.goto(f"{service.address}/audit")
    page.get_by_label("Action", exact=True).select_option("session.start")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".audit-table tbody tr").first).to_contain_text("Sign in")
    expect(page).to_have_url(re.compile(r"action=session\.start"))
    assert re.search(r"\d", page.locator(".audit-table td.num").first.inner_text())
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "audit.csv"
