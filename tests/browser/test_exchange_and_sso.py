"""In a real Chromium: jobs as a file, a secret that is named, people who are kept to groups, sign-in through a real provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watched, inaccessible, visit
from tests.security.test_single_signon import person
from tests.support import Service, oidc_provider

FILE = """jobwright: 1
jobs:
- name: {name}
  template_type: test_scheduler
  parameters: {{message: out of a file}}
  schedule: {{type: cron, expression: 0 3 * * *}}
"""


def test_a_file_is_looked_at_applied_and_comes_back_out(visitor: Watched, service: Service, tmp_path: Path) -> None:
    page, name = visitor.page, f"Filed {visitor.javascript}"
    file = tmp_path / "jobs.yaml"
    file.write_text(FILE.format(name=name))
    page.goto(f"{service.address}/jobs")
    page.get_by_label("More", exact=True).first.click()
    page.get_by_role("link", name="Import").click()
    page.locator("#upload").set_input_files(file)
    page.get_by_role("button", name="Show plan").click()
    expect(page.get_by_role("heading", name="Plan: 1 to create")).to_be_visible()
    page.get_by_role("button", name="Apply 1 change").click()
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    page.goto(f"{service.address}/jobs/import")
    page.get_by_label("Or paste its text").fill(FILE.format(name=name).replace("0 3", "0 4") + "- name: broken\n  template_type: nope\n")
    page.get_by_role("button", name="Show plan").click()
    expect(page.get_by_text("is not an available template: 'nope'")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Apply"))).to_have_count(0)
    page.get_by_label("Or paste its text").fill("jobs: [")
    page.get_by_role("button", name="Show plan").click()
    expect(page.get_by_role("alert")).to_contain_text("line 2")
    page.goto(f"{service.address}/jobs")
    page.get_by_label("More", exact=True).first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("as YAML")).click()
    assert name in Path(download.value.path()).read_text()


def test_the_new_pages_are_for_everybody(chromium: Browser, service: Service) -> None:
    watched = visit(chromium, service, bypass_csp=True)
    page = watched.page
    with service.api() as api:
        api.post("/api/admin/connections", json={"name": "a key", "kind": "secret", "settings": {"value": "hidden value"}})
        user = api.post("/api/admin/users", json={"email": "north@example.com", "role": "admin", "groups": ["north"]}).json()["user"]["_id"]
    paths = [
        "/jobs/import",
        "/templates",
        "/jobs/new?template=webhook_trigger",
        "/jobs/new?template=data_archive",
        "/jobs/new?template=http_health_check",
        "/connections/new?kind=http",
        "/connections/new?kind=secret",
        f"/users/{user}",
        "/users",
    ]
    for path in paths:
        page.goto(f"{service.address}{path}")
        assert inaccessible(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is wider than the screen"
    watched.context.close()
    assert watched.complaints == []


def test_a_secret_is_named_instead_of_typed(visitor: Watched, service: Service) -> None:
    page, name = visitor.page, f"Signed {visitor.javascript}"
    with service.api() as api:
        api.post("/api/admin/connections", json={"name": "signing key", "kind": "secret", "settings": {"value": "hidden value"}})
    page.goto(f"{service.address}/jobs/new?template=webhook_trigger")
    visitor.set("/name", name)
    visitor.set("/url", "https://example.com/hook")
    page.get_by_label("Signing secret: saved secret").select_option(label="Saved secret: signing key")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.get_by_role("link", name="signing key")).to_be_visible()
    page.goto(page.url + "/edit")
    assert page.get_by_label("Signing secret: saved secret").input_value() == "signing key"
    assert "hidden value" not in page.content()


# -- single sign-on ---------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[str]:
    with oidc_provider() as address:
        yield address


def test_someone_comes_in_through_the_provider(chromium: Browser, provider: str, mongod: str, tmp_path: Path) -> None:
    chosen = {
        "JOBWRIGHT_OIDC_ISSUER": provider,
        "JOBWRIGHT_OIDC_CLIENT_ID": "jobwright",
        "JOBWRIGHT_OIDC_CLIENT_SECRET": "s3cret-of-the-client",
        "JOBWRIGHT_OIDC_NAME": "Example ID",
        "JOBWRIGHT_OIDC_ROLES": "ops=admin",
    }
    service = Service("web", uri=mongod, database=f"sso_{tmp_path.name}"[:60], data_dir=tmp_path, **chosen).wait_ready()
    try:
        person(provider, "nina", email="nina@example.com", email_verified=True, name="Nina", groups=["ops"])
        context = chromium.new_context(locale="en-GB", bypass_csp=True)
        page = context.new_page()
        page.goto(f"{service.address}/executions")
        assert inaccessible(page) == []
        page.get_by_role("link", name="Sign in with Example ID").click()
        page.locator("input[name=sub]").fill("nina")
        page.locator("input[name=sub]").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Executions")
        page.goto(f"{service.address}/account")
        expect(page.get_by_text("nina@example.com · admin")).to_be_visible()
        assert inaccessible(page) == []
        context.close()
    finally:
        assert service.stop() == 0
