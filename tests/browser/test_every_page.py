"""Every page that a link leads to, from the dashboard on: as an admin, as a super-admin, without JavaScript, in German, on a phone."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ADA, Watched, inaccessible, visit
from tests.lengths import LONG
from tests.support import ADMIN, Service, eventually

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)[0-9a-f]{32}(?=/|$)|(?<=/)\d+(?=/|$)")
# What is in an address mostly narrows a list or picks a time: one of each is enough.
KEPT = {"view", "kind", "state", "status", "template", "type"}
# Pages that there is one of for each kind and topic.
ALIKE = re.compile(
    r"(?<=/help/)[\w-]+(?:/[\w-]+)+|(?<=/templates/)(?!preview|import)\w+|(?<=template=)\w+|(?<=kind=)(?!service\b|nats\b)\w+"
)
FILE = re.compile(r"\.(?:yaml|json|jsonl|csv|txt|html)$")
# Pages that the walk must have come to, or it was no walk.
ADMINS = {
    "/",
    "/jobs",
    "/jobs/:id",
    "/jobs/:id/edit",
    "/jobs/:id/run-with",
    "/jobs/:id/pause",
    "/jobs/:id/backfill",
    "/jobs/:id/inbound",
    "/jobs/:id/inbound/new",
    "/jobs/:id/inbound/:id",
    "/jobs/:id/revisions",
    "/executions",
    "/executions/:id",
    "/executions/:id/compare",
    "/executions/:id/retry-with",
    "/calendar",
    "/calendar?view=week",
    "/calendar?view=day",
    "/templates",
    "/templates/:any",
    "/approvals",
    "/approvals?state=refused",
    "/connections",
    "/channels",
    "/digests",
    "/digests/new",
    "/digests/mine",
    "/digests/mine/preview",
    "/digests/:id",
    "/digests/:id/preview",
    "/mutes",
    "/mutes/new",
    "/mutes/:id",
    "/announcements",
    "/announcements?status=held",
    "/deliveries",
    "/deliveries?status=refused",
    "/deliveries?status=sent",
    "/incidents",
    "/incidents?state=resolved",
    "/rules",
    "/rules/new",
    "/deliveries/:id",
    "/calendars",
    "/calendars/new",
    "/calendars/Weekends",
    "/services",
    "/services/billing",
    "/nodes",
    "/help",
    "/help/:any",
    "/account",
    "/account/second-factor",
    "/jobs/import",
    "/jobs/new?template=:any",
    "/api/docs",
    "/users/:id/tokens/new",
}
SUPER_ADMINS = ADMINS | {
    "/users",
    "/users/:id",
    "/users/new",
    "/service-accounts",
    "/job-types",
    "/audit",
    "/maintenance",
    "/system",
    "/channels/:id",
    "/channels/new?type=mail",
    "/channels/new?type=webhook",
    "/connections/:id",
    "/connections/new?kind=:any",
    "/connections/new?kind=nats",
    "/connections/new?kind=service",
    "/templates/preview",
    "/templates/import",
    "/templates/:any/standing",
    "/templates/:any/derive",
}

OF_DERIVED = {"/templates/:any/draft", "/templates/:any/impact/:id"}  # where the walk goes to each template, in `make check-long`


@pytest.fixture(scope="module")
def house(service: Service) -> Service:
    """One of each thing that has a page."""
    with service.api() as api:
        weekends = {"name": "Weekends", "timezone": "Europe/Berlin", "weekly": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}]}
        api.post("/api/admin/calendars", json=weekends).raise_for_status()
        settings = {"host": "mail.example.com", "port": 25, "security": "none", "sender": "jobs@example.com"}
        api.post("/api/admin/connections", json={"name": "mail", "kind": "smtp", "settings": settings}).raise_for_status()
        recipients = {"connection": "mail", "recipients": ["ops@example.com"]}
        channel = {"name": "ops", "type": "mail", "settings": recipients, "enabled": False}
        made = api.post("/api/admin/channels", json=channel).raise_for_status().json()["channel"]["_id"]
        api.post(f"/api/admin/channels/{made}/test").raise_for_status()
        refusing = {"name": "chat", "type": "slack", "settings": {"url": "http://127.0.0.1:9/hook"}, "fallback": "ops"}
        made = api.post("/api/admin/channels", json=refusing).raise_for_status().json()["channel"]["_id"]
        assert api.post(f"/api/admin/channels/{made}/test").raise_for_status().json()["result"] == "refused"  # it is broken
        digest = {"name": "Team", "to": ["channel:ops"], "every": "daily", "at": "07:00", "timezone": "UTC"}
        api.post("/api/admin/digests", json=digest).raise_for_status()
        ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        api.post("/api/admin/mutes", json={"reason": "Work", "ends_at": ends_at, "jobs": ["Walked"]}).raise_for_status()
        definition = {"name": "Quick", "description": "A short one", "category": "Tests", "icon": "zap", "parameters": {}}
        api.post("/api/admin/job-templates", json={"type": "quick", "base": "test_scheduler", "definition": definition}).raise_for_status()
        api.post("/api/admin/job-templates/quick/publish", json={}).raise_for_status()
        body = {
            "name": "Walked",
            "template_type": "test_scheduler",
            "retry_policy": {"max_retries": 0},
            "schedule": {"type": "cron", "expression": "0 2 * * *", "calendars": ["Weekends"]},
        }
        job = api.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
        after = {"name": "After the walk", "template_type": "test_scheduler", "depends_on": [{"job": "Walked", "when": "end"}]}
        api.post("/api/admin/scheduler-jobs", json=after).raise_for_status()
        address = {"name": "Shop", "proof": "secret", "parameters": {"message": "{{ payload.id }}"}}
        url = api.post(f"/api/admin/scheduler-jobs/{job}/inbound", json=address).raise_for_status().json()["url"]
        api.post(url, json={})  # is refused
        run = api.post(url, json={"id": "one"}).raise_for_status().json()["execution_id"]
        eventually(lambda: api.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
        for parameters in ({}, {"outcome": "error"}):
            run = (
                api.post(f"/api/admin/scheduler-jobs/{job}/run", json={"parameters": parameters}).raise_for_status().json()["execution_id"]
            )
            eventually(lambda run=run: api.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
        api.put(f"/api/admin/scheduler-jobs/{job}", json={"description": "Changed once."}).raise_for_status()
        register_service(api)
    return service


def register_service(api: httpx.Client) -> None:
    """A service with two instances of different versions, and a job of it that both the service and an admin have changed."""
    manifest = {"displayName": "Billing service", "address": "https://billing.example.com", "ttlSeconds": 3600}
    job = {"name": "send-invoices", "displayName": "Send invoices", "config": {"pages": 3}, "timezone": "UTC"}

    def declare(version: str, cron: str) -> None:
        jobs = [{**job, "cronExpression": cron}, {"name": f"only-{version}"}]
        api.put("/api/services/billing/manifest", json={**manifest, "version": version, "jobs": jobs}).raise_for_status()
        beat = {"instance": f"instance-{version}", "version": version, "address": "https://billing.example.com", "jobs": [job["name"]]}
        api.post("/api/services/billing/heartbeat", json=beat).raise_for_status()

    declare("1.0.0", "0 3 * * *")
    path = f"/api/admin/scheduler-jobs/{registered_job(api)}"
    api.put(path, json={"schedule": {"type": "cron", "expression": "0 4 * * *", "timezone": "UTC"}}).raise_for_status()
    declare("1.1.0", "0 5 * * *")


def registered_job(api: httpx.Client) -> str:
    """Returns the id of the job that `register_service` has registered."""
    jobs = api.get("/api/admin/scheduler-jobs", params={"search": "send-invoices"}).raise_for_status().json()["jobs"]
    return str(next(job["id"] for job in jobs if job["name"] == "send-invoices"))


# Controls that stand out of the column of the page, and on a phone, where a row of a table is a list, numbers that nothing names.
ASKEW = """() => {
  const main = document.querySelector("main"), edge = main.getBoundingClientRect().right - parseFloat(getComputedStyle(main).paddingRight);
  const shown = (what) => [...main.querySelectorAll(what)].filter((one) => one.checkVisibility());
  const out = shown("input, select, textarea, button, .button").filter((one) => one.getBoundingClientRect().right > edge + 1
    && !one.closest(".menu-body, .prose, [popover], dialog"));
  const nameless = shown(".table:not(.compact) td.num:not([data-label])").filter((one) => getComputedStyle(one).display === "block");
  return [...out.map((one) => `out of the column: ${one.outerHTML.slice(0, 120)}`),
          ...nameless.map((one) => `a number without a name: ${one.outerHTML.slice(0, 120)}`)];
}"""


# On a phone, the names of values in rows of tables that have a word which is wider than the place for names.
CUT_LABELS = """() => {
  const brush = document.createElement("canvas").getContext("2d");
  return [...document.querySelectorAll("main .table td[data-label]")].filter((one) => one.checkVisibility()).flatMap((one) => {
    const style = getComputedStyle(one, "::before");
    if (style.float !== "left") return [];
    brush.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const room = parseFloat(style.width);
    return one.dataset.label.split(/\\s|\u00ad/).filter((word) => brush.measureText(word).width > room + 1).map((word) => `${word} in ${room} px`);
  });
}"""
# Names in the bar at the bottom that are cut off.
CUT_BAR = """() => [...document.querySelectorAll(".sidebar li a > span")].filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth)
  .map((one) => one.textContent)"""


# The innermost elements that stand out of the window.
WIDEST = """() => {
  const out = [...document.body.querySelectorAll("*")].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1);
  return out.filter((one) => !out.some((other) => other !== one && one.contains(other))).slice(0, 3).map((one) => one.outerHTML.slice(0, 160));
}"""


def pattern(href: str) -> str:
    """The page that an address is of."""
    parts = urlsplit(href)
    kept = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(parts.query)) if name in KEPT)
    return ID.sub(":id", parts.path) + (f"?{kept}" if kept else "")


def links(page: Page, address: str) -> list[str]:
    hrefs = page.locator("a[href]").evaluate_all("all => all.map(one => new URL(one.getAttribute('href'), location).href)")
    return [href.split("#")[0].removeprefix(address) for href in hrefs if href.startswith(f"{address}/")]


def walk(watched: Watched, width: int, *, axe: bool = False, alike: bool = False, also: Sequence[str] = ()) -> tuple[set[str], list[str]]:
    """Follows every link, to each page once: with `axe`, axe-core looks at it; with `alike`, also to each page of those that are alike.
    `also` are pages that come last because they look different from others at such an address. Returns the pages that were visited, and what was wrong."""
    page, address, wrong = watched.page, watched.address, list[str]()
    seen, waiting, last = {"/"}, deque(["/"]), deque(also)
    while waiting or last:
        href = (waiting or last).popleft()
        if FILE.search(urlsplit(href).path):
            status = watched.context.request.get(address + href).status
            wrong += [f"{href}: {status}"] if status != 200 else []
            continue
        answer = page.goto(address + href)
        if answer is None or answer.status != 200:
            wrong.append(f"{href}: {answer.status if answer else 'no answer'}")
            continue
        if urlsplit(href).path == "/api/docs":  # Swagger UI's own page, which has a test
            continue
        if page.locator("h1:visible").count() != 1:
            wrong.append(f"{href}: {page.locator('h1:visible').count()} headings")
        if not (page.title().replace(" · Jobwright", "").strip()):
            wrong.append(f"{href}: no title")
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            wrong.append(f"{href}: {wide} wide, because of {page.evaluate(WIDEST)}")
        wrong += [f"{href}: {one}" for one in page.evaluate(ASKEW)]
        if found := re.search(
            r"\bNone\b|undefined|&lt;|%\(\w+\)s|\{\w+\}(?!`)",
            page.locator("main :is(h1, h2, p.lead, th, label)").all_inner_texts().__str__(),
        ):
            wrong.append(f"{href}: says {found[0]}")
        wrong += inaccessible(page) if axe else []
        for link in links(page, address):
            key = pattern(link) if alike else ALIKE.sub(":any", pattern(link))
            if key not in seen:
                seen.add(key)
                waiting.append(link)
    return {ALIKE.sub(":any", one) for one in seen}, wrong


@pytest.mark.parametrize(
    ("email", "javascript", "width", "locale"),
    [(ADA, True, 1280, "en-GB"), (ADA, False, 390, "de-DE"), (ADMIN, False, 1280, "en-GB"), (ADMIN, True, 390, "de-DE")],
    ids=[
        "an admin",
        "an admin's phone in German without JavaScript",
        "a super-admin without JavaScript",
        "a super-admin's phone in German at night",
    ],
)
def test_every_link_leads_to_a_page_that_is_whole(
    chromium: Browser, house: Service, email: str, javascript: bool, width: int, locale: str
) -> None:
    at_night = email == ADMIN and javascript  # by day axe-core looks at each page beside the flows that lead there
    watched = visit(
        chromium,
        house,
        email,
        javascript=javascript,
        width=width,
        locale=locale,
        bypass_csp=at_night,
        color_scheme="dark" if at_night else "light",
    )
    with house.api() as api:
        registered = f"/jobs/{registered_job(api)}"
    seen, wrong = walk(watched, width, axe=at_night, alike=at_night and LONG, also=(registered, f"{registered}/edit"))
    watched.context.close()
    assert "\n".join(wrong) == ""
    assert watched.complaints == []
    expected = (SUPER_ADMINS if email == ADMIN else ADMINS) | (OF_DERIVED if at_night and LONG else set())
    assert expected <= seen, f"no link led to {sorted(expected - seen)}"
    if email == ADA:
        assert sorted(seen & ((SUPER_ADMINS | OF_DERIVED) - ADMINS)) == [], "nobody is shown a link that is not for them"


def test_names_of_values_fit_on_a_phone_in_german(chromium: Browser, house: Service) -> None:
    with house.api() as api:
        job = registered_job(api)
    watched = visit(chromium, house, ADMIN, width=390, locale="de-DE")
    cut = list[str]()
    for path in ("/services", "/services/billing", "/service-accounts", f"/jobs/{job}", "/mutes"):
        watched.page.goto(house.address + path)
        cut += [f"{path}: {label}" for label in (*watched.page.evaluate(CUT_LABELS), *watched.page.evaluate(CUT_BAR))]
    watched.context.close()
    assert cut == []
    assert watched.complaints == []


def test_a_job_is_made_and_watched_in_german(chromium: Browser, house: Service) -> None:
    watched = visit(chromium, house, ADA, locale="de-DE", timezone_id="Europe/Berlin")
    page = watched.page
    page.goto(house.address)
    page.get_by_role("link", name="Neuer Job").first.click()
    page.get_by_role("link", name="Neuer Job Scheduler-Test").click()
    page.get_by_label("Laufzeit (Sekunden)").fill("zwei")
    page.get_by_label("Laufzeit (Sekunden)").blur()
    expect(page.get_by_text("muss eine Zahl sein").first).to_be_visible()
    page.get_by_label("Laufzeit (Sekunden)").fill("1,5")
    page.get_by_label("Laufzeit (Sekunden)").blur()
    expect(page.get_by_text("muss einen Punkt als Dezimalzeichen verwenden: 1.5").first).to_be_visible()
    page.get_by_label("Laufzeit (Sekunden)").fill("1.5")
    page.get_by_label("Name", exact=True).fill("Auf Deutsch")
    page.locator("#s-expression").fill("30 2 * * 0")
    expect(page.locator("#schedule-preview")).to_contain_text("Um 02:30, nur am Sonntag")
    page.get_by_role("button", name="Job anlegen").click()
    expect(page.get_by_text("Job Auf Deutsch angelegt")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("nur am Sonntag")
    page.get_by_role("button", name="Jetzt starten").click()
    expect(page.locator("#summary .state").first).to_have_text("Erfolg")
    expect(page.locator("#summary")).to_contain_text("1,5")
    page.goto(f"{house.address}/account")
    page.get_by_label("Sprache", exact=True).select_option("en")
    page.get_by_role("button", name="Sprache und Zeitzone speichern", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("Saved")
    page.get_by_label("Language", exact=True).select_option("")
    page.get_by_role("button", name="Save language and time zone", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("Gespeichert")
    watched.context.close()
    assert watched.complaints == []
