"""A real Chromium on a running service; what the console, the network and the log complain about fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState, expect, sync_playwright
from pymongo import MongoClient

from tests.support import ADMIN, PASSWORD, PATIENCE_SECONDS, Service

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


ADA = "ada@example.com"  # an admin; ADMIN is a super-admin

# Delays each answer of the server by so many milliseconds. A page is then visible for a while before its scripts listen.
LATENCY_MS = int(os.environ.get("BROWSER_LATENCY_MS", "0"))
PATIENCE_MS = int(PATIENCE_SECONDS * 1000)
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    name = f"browser_{os.getpid()}"
    started = Service("serve", uri=mongod, database=name, data_dir=tmp_path_factory.mktemp("serve"), warm=True).wait_ready()
    started.command("user", "create", "--email", ADA, "--role", "admin", "--password", PASSWORD)
    yield started
    assert started.stop() == 0
    failed = [line for line in started.events() if line.get("event") in {"request.failed", "tick.failed"}]
    with MongoClient(mongod) as client:
        client.drop_database(name)
        client.drop_database(f"{name}_shop")
    assert failed == [], "the log must be clean"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail("no chromium: CI must have one")
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


_signed_in: dict[tuple[str, str], StorageState] = {}


def signed_in(chromium: Browser, service: Service, email: str) -> StorageState:
    """The cookies of somebody who has signed in through the form: once for each service and person, as each sign-in costs a second."""
    key = (service.address, email)
    if key not in _signed_in:
        context = chromium.new_context(locale="en-GB")
        page = context.new_page()
        page.goto(service.address)
        page.locator("#email").fill(email)
        page.locator("#password").fill(PASSWORD)
        page.locator("form.sign-in button.primary").click()
        expect(page.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()
        _signed_in[key] = StorageState(cookies=context.storage_state()["cookies"], origins=[])
        context.close()
    return _signed_in[key]


def slow_down(page: Page) -> None:
    """Delays each answer by LATENCY_MS, also scripts that the browser has in its cache."""
    if LATENCY_MS:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.send(
            "Network.emulateNetworkConditions", {"offline": False, "latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
        )


class Watched:
    """A page of somebody who is signed in. It collects what the console and the network complain about."""

    def __init__(self, context: BrowserContext, address: str, *, javascript: bool) -> None:
        self.context, self.address, self.complaints, self.javascript = context, address, list[str](), javascript
        self.refusals = {"409", "422"}  # statuses that are meant
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        slow_down(self.page)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: None if request.url.startswith((address, "data:")) else self.complaints.append(request.url))

    def _hear(self, message: ConsoleMessage) -> None:
        # Chromium itself logs each refusal; that a wrong form is answered so is meant, and other failures are not.
        refused = any(f"the server responded with a status of {status}" in message.text for status in self.refusals)
        if message.type in {"error", "warning"} and not refused:
            self.complaints.append(message.text)

    def set(self, pointer: str, text: str) -> None:
        """Fill the control of a pointer, whatever kind it is."""
        control = self.page.locator(f"[data-pointer='{pointer}']:is([data-role=value], [data-role=json])")
        if control.evaluate("one => one.tagName") == "SELECT":
            control.select_option(label=text)
        else:
            control.fill(text)


def visit(
    chromium: Browser, service: Service, email: str = ADMIN, *, javascript: bool = True, width: int = 1280, **options: Any
) -> Watched:
    """Somebody who is signed in, in a window of `width` pixels with an empty page; `options` are those of a Playwright context."""
    context = chromium.new_context(
        **{
            "java_script_enabled": javascript,
            "viewport": {"width": width, "height": 860},
            "locale": "en-GB",
            "storage_state": signed_in(chromium, service, email),
            **options,
        }
    )
    return Watched(context, service.address, javascript=javascript)


@contextmanager
def visiting(chromium: Browser, service: Service, email: str = ADMIN, *, javascript: bool = True) -> Iterator[Watched]:
    """Somebody who is signed in; what they are told on the console or ask of elsewhere fails the test."""
    watched = visit(chromium, service, email, javascript=javascript)
    yield watched
    watched.context.close()
    assert watched.complaints == []


def inaccessible(page: Page) -> list[str]:
    """What axe-core finds on the page that is serious or critical: the rule and the first elements. Its context needs `bypass_csp`."""
    violations = Axe().run(page).response["violations"]
    serious = [violation for violation in violations if violation["impact"] in {"serious", "critical"}]
    return [f"{page.url}: {violation['id']} {[node['html'][:160] for node in violation['nodes'][:3]]}" for violation in serious]


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def visitor(request: pytest.FixtureRequest, chromium: Browser, service: Service) -> Iterator[Watched]:
    with visiting(chromium, service, javascript=request.param) as watched:
        yield watched


@pytest.fixture
def visitor_js(chromium: Browser, service: Service) -> Iterator[Watched]:
    with visiting(chromium, service) as watched:
        yield watched


@pytest.fixture(params=[(ADA, True), (ADMIN, False)], ids=["an admin", "a super-admin without JavaScript"])
def colleague(request: pytest.FixtureRequest, chromium: Browser, service: Service) -> Iterator[Watched]:
    """For what everybody who makes jobs does alike."""
    email, javascript = request.param
    with visiting(chromium, service, email, javascript=javascript) as watched:
        yield watched


@pytest.fixture
def ada(chromium: Browser, service: Service) -> Iterator[Watched]:
    """An admin."""
    with visiting(chromium, service, ADA) as watched:
        yield watched
