"""Takes a picture of every page of the running product: a service of its own, believable jobs, Chromium.

Pictures go to screenshots/. With --docs, those of README and the guides are taken instead, and go to docs/pictures/.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from app.events import configure_logging
from app.local_mongod import LocalMongod
from scripts.installation import fill

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
ALL = ROOT / "screenshots"
# The pages that README and the guides show.
IN_DOCS = frozenset({"dashboard", "templates", "form", "job", "failed", "executions", "approval", "week", "connections", "system"})
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EMAIL, PASSWORD, PORT = "admin@example.com", "for-a-picture-only", "18080"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", "device_scale_factor": 1.5},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", "device_scale_factor": 1.5},
    "phone": {"viewport": {"width": 390, "height": 800}, "color_scheme": "light", "device_scale_factor": 2},
    "german": {"viewport": {"width": 1280, "height": 800}, "locale": "de-DE", "device_scale_factor": 1.5},
}
CALENDARS: dict[str, dict[str, Any]] = {
    "Public holidays": {
        "description": "Public holidays in Germany",
        "timezone": "Europe/Berlin",
        "dates": [{"from": "2027-01-01", "note": "New Year"}, {"from": "2027-05-01"}, {"from": "2027-12-25", "to": "2027-12-26"}],
    },
    "Stocktaking": {
        "description": "The warehouse counts its stock",
        "timezone": "Europe/Berlin",
        "weekly": [{"days": ["sat"], "from": "06:00", "to": "12:00"}],
    },
}


def main() -> None:
    for_docs = "--docs" in sys.argv[1:]
    target = PICTURES if for_docs else ALL
    target.mkdir(parents=True, exist_ok=True)
    configure_logging(level="WARNING")
    _say("1/3 Start a service of its own")
    with tempfile.TemporaryDirectory() as folder:
        mongod = LocalMongod(Path(folder) / "mongo")
        environment = {
            **os.environ,
            "MONGODB_URI": mongod.start(),
            "JOBWRIGHT_DATA_DIR": f"{folder}/data",
            "PORT": PORT,
            "LOG_LEVEL": "ERROR",
            "JOBWRIGHT_ADMIN_EMAIL": EMAIL,
            "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD,
            "JOBWRIGHT_ALLOWED_HOSTS": f"127.0.0.1:{PORT}",
        }
        service = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment)
        try:
            address = f"http://127.0.0.1:{PORT}"
            _await(lambda: httpx.get(f"{address}/ready").status_code == 200)
            create = [sys.executable, "-m", "app.cli", "token", "create", "--user", EMAIL, "--name", "pictures"]
            token = subprocess.run(create, env=environment, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ourselves
            _say("2/3 Create jobs and three months of their history")
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
                jobs = fill(client, environment["MONGODB_URI"], folder, hook=f"{address}/health")
                seen = _look_around(client, jobs)
            pages = {name: path for name, path in _pages(seen).items() if name in IN_DOCS or not for_docs}
            looks = {name: options for name, options in LOOKS.items() if name == "light" or not for_docs}
            _say(f"3/3 Take {len(pages) * len(looks)} pictures for {target.relative_to(ROOT)}/")
            _photograph(address, pages, looks, target, whole=not for_docs)
        finally:
            service.terminate()
            service.wait()
            mongod.stop()


def _look_around(client: httpx.Client, jobs: dict[str, str]) -> dict[str, str]:
    """Creates a derived template, services, calendars, requests for approval, a note on a job and a change of it. Returns the ids of
    what is photographed."""
    forget = {
        "name": "Forget users",
        "description": "Delete users who were not seen for a year",
        "category": "Privacy",
        "icon": "shield",
        "parameters": {
            "connection": {"value": "Shop database"},
            "collection": {"value": "users", "shown": True},
            "max_deletes": {"narrow": {"maximum": 10_000}, "default": 5_000},
            "condition": {"title": "Who is forgotten", "default": {"lastActive": {"$lt": "1 year ago"}}},
            "batch_size": {"hidden": True},
        },
    }
    derived = {"type": "forget_users", "base": "database_cleanup", "definition": forget}
    client.post("/api/admin/job-templates", json=derived).raise_for_status()
    for name, days in (("Deployments", 9), ("Warehouse", 200)):
        account = {"email": f"{name.lower()}@example.com", "name": name, "role": "admin", "kind": "service"}
        made = client.post("/api/admin/users", json=account).raise_for_status().json()["user"]["_id"]
        token = {"name": "production", "scopes": ["read", "run"], "days": days}
        client.post(f"/api/admin/users/{made}/tokens", json=token).raise_for_status()
    for name, calendar in CALENDARS.items():
        client.post("/api/admin/calendars", json={"name": name, **calendar}).raise_for_status()
    asked = _ask_for_approval(client, jobs)
    stock = jobs["Stock for the warehouse"]
    note = "The warehouse prints its morning list at six. If this fails after five, call them: they can print yesterday's."
    client.post(f"/api/admin/scheduler-jobs/{stock}/notes", json={"text": note}).raise_for_status()
    client.put(f"/api/admin/scheduler-jobs/{stock}", json={"timeout_seconds": 900, "description": "Each hour, for their morning list."})
    failed = client.get("/api/admin/job-executions", params={"job_id": stock, "status": "failed"}).json()["executions"][0]["_id"]
    run = client.post(f"/api/admin/scheduler-jobs/{jobs['Remove inactive users']}/run").raise_for_status().json()["execution_id"]
    _await(lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
    _await(lambda: all(row["health"] for row in client.get("/api/admin/connections").json()["connections"]))
    return {"job": stock, "failed": failed, "run": run, "asked": asked}


def _ask_for_approval(client: httpx.Client, jobs: dict[str, str]) -> str:
    """Has an admin ask for two changes of jobs that can delete data. Returns the id of the first request."""
    user = client.post("/api/admin/users", json={"email": "ben@example.com", "role": "admin"}).raise_for_status().json()["user"]["_id"]
    token = {"name": "laptop", "scopes": ["read", "write", "run"], "days": 30}
    text = client.post(f"/api/admin/users/{user}/tokens", json=token).raise_for_status().json()["text"]
    with httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {text}"}, timeout=30) as admin:
        sooner = {
            "parameters": {"connection": "Shop database", "collection": "users", "condition": {"lastActive": {"$lt": "6 months ago"}}}
        }
        answer = admin.put(f"/api/admin/scheduler-jobs/{jobs['Remove inactive users']}", json=sooner)
        admin.post(f"/api/admin/scheduler-jobs/{jobs['Archive old orders']}/run")
    approval: str = answer.raise_for_status().headers["Location"].rpartition("/")[2]
    return approval


def _pages(seen: dict[str, str]) -> dict[str, str]:
    """Each page by the name of its picture."""
    job = f"/jobs/{seen['job']}"
    return {
        "dashboard": "/",
        "jobs": "/jobs",
        "jobs-failing": "/jobs?last=failed",
        "job": job,
        "versions": f"{job}/revisions",
        "edit": f"{job}/edit",
        "pause": f"{job}/pause",
        "backfill": f"{job}/backfill",
        "executions": "/executions",
        "execution": f"/executions/{seen['run']}",
        "failed": f"/executions/{seen['failed']}",
        "compare": f"/executions/{seen['failed']}/compare",
        "calendar": "/calendar",
        "week": "/calendar?view=week",
        "day": "/calendar?view=day",
        "templates": "/templates",
        "template": "/templates/database_cleanup",
        "draft": "/templates/forget_users/draft",
        "form": "/jobs/new?template=database_cleanup",
        "import": "/jobs/import",
        "approvals": "/approvals",
        "approval": f"/approvals/{seen['asked']}",
        "connections": "/connections",
        "blackouts": "/calendars",
        "blackout": "/calendars/Stocktaking",
        "new-calendar": "/calendars/new",
        "users": "/users",
        "services": "/services",
        "service-accounts": "/service-accounts",
        "audit": "/audit",
        "maintenance": "/maintenance",
        "sample-data": "/sample-data",
        "system": "/system",
        "account": "/account",
        "help": "/help/how-to/schedules",
    }


def _photograph(address: str, pages: dict[str, str], looks: dict[str, dict[str, Any]], target: Path, *, whole: bool) -> None:
    """Takes each page by day, by night, on a phone and in German. `whole`: to its end, else what a window shows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for number, (look, options) in enumerate(looks.items(), 1):
            _say(f"  {number}/{len(looks)} {look}")
            page = browser.new_context(timezone_id="Europe/Berlin", **options).new_page()
            _sign_in(page, address)
            for name, path in pages.items():
                page.goto(f"{address}{path}")
                page.wait_for_load_state("networkidle")
                page.screenshot(path=target / f"{name}-{look}.png", full_page=whole)
        if whole:
            _photograph_preview(browser.new_page(viewport={"width": 1600, "height": 900}), address, target)
        browser.close()


def _photograph_preview(page: Page, address: str, target: Path) -> None:
    """Takes the page that draws the form of a schema, filled in."""
    _sign_in(page, address)
    page.goto(f"{address}/templates/preview?sample=2-unions")
    page.locator("[data-pointer='/steps/0'][data-role=branch]").select_option(index=1)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=target / "preview-light.png", full_page=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _sign_in(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#email").fill(EMAIL)
    page.locator("#password").fill(PASSWORD)
    page.locator("form.sign-in button.primary").click()
    page.locator("#dashboard").wait_for()


def _await(holds: Any, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("not in time")


if __name__ == "__main__":
    main()
