"""Takes the pictures of the README from the running product: a service of its own, believable jobs, Chromium."""

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

from app.local_mongod import LocalMongod
from scripts.installation import fill

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
ALL = ROOT / "screenshots"
SHOWN = {"dashboard-light", "jobs-light", "jobs-phone", "execution-dark", "failed-light", "week-light", "draft-light", "jobs-german"}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EMAIL, PASSWORD, PORT = "admin@example.com", "for-a-picture-only", "18080"


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    ALL.mkdir(exist_ok=True)
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
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
                jobs = fill(client, environment["MONGODB_URI"], folder, hook=f"{address}/health")
                seen = _look_around(client, jobs)
            _photograph(address, seen)
        finally:
            service.terminate()
            service.wait()
            mongod.stop()


def _look_around(client: httpx.Client, jobs: dict[str, str]) -> dict[str, str]:
    """A derived template, services, a note on a job and a change of it, and the ids of what is photographed."""
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
    stock = jobs["Stock for the warehouse"]
    note = "The warehouse prints its morning list at six. If this fails after five, call them: they can print yesterday's."
    client.post(f"/api/admin/scheduler-jobs/{stock}/notes", json={"text": note}).raise_for_status()
    client.put(f"/api/admin/scheduler-jobs/{stock}", json={"timeout_seconds": 900, "description": "Each hour, for their morning list."})
    failed = client.get("/api/admin/job-executions", params={"job_id": stock, "status": "failed"}).json()["executions"][0]["_id"]
    run = client.post(f"/api/admin/scheduler-jobs/{jobs['Remove inactive users']}/run").raise_for_status().json()["execution_id"]
    _await(lambda: client.get(f"/api/admin/job-executions/{run}").json()["execution"]["completed_at"])
    _await(lambda: all(row["health"] for row in client.get("/api/admin/connections").json()["connections"]))
    return {"job": stock, "failed": failed, "run": run}


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
        "connections": "/connections",
        "blackouts": "/calendars",
        "users": "/users",
        "services": "/services",
        "audit": "/audit",
        "maintenance": "/maintenance",
        "system": "/system",
        "account": "/account",
        "help": "/help/how-to/schedules",
    }


def _photograph(address: str, seen: dict[str, str]) -> None:
    """Every page by daylight, by night, on a phone and in German into ALL; what README and docs show into PICTURES."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        looks: dict[str, dict[str, Any]] = {
            "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", "device_scale_factor": 1.5},
            "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", "device_scale_factor": 1.5},
            "phone": {"viewport": {"width": 390, "height": 800}, "color_scheme": "light", "device_scale_factor": 2},
            "german": {"viewport": {"width": 1280, "height": 800}, "locale": "de-DE", "device_scale_factor": 1.5},
        }
        for look, options in looks.items():
            page = browser.new_context(timezone_id="Europe/Berlin", **options).new_page()
            _sign_in(page, address)
            for name, path in _pages(seen).items():
                page.goto(f"{address}{path}")
                page.wait_for_load_state("networkidle")
                page.screenshot(path=ALL / f"{name}-{look}.png")
                if f"{name}-{look}" in SHOWN:
                    page.screenshot(path=PICTURES / f"{name}-{look}.png")
        wide = browser.new_page(viewport={"width": 1600, "height": 900})
        _sign_in(wide, address)
        wide.goto(f"{address}/templates/preview?sample=2-unions")
        wide.locator("[data-pointer='/steps/0'][data-role=branch]").select_option(label="Call")
        wide.locator("[data-pointer='/steps/0/url'][data-role=value]").fill("https://example.com/hook")
        wide.locator("[data-pointer='/retry'][data-role=branch]").select_option(label="In words")
        wide.locator("select[data-pointer='/retry'][data-role=value]").select_option(label="never")
        wide.get_by_role("button", name="Read the form").last.click()
        wide.get_by_text("Valid", exact=True).wait_for()
        wide.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        wide.screenshot(path=PICTURES / "preview-light.png")
        browser.close()


def _sign_in(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#email").fill(EMAIL)
    page.locator("#password").fill(PASSWORD)
    page.locator("form.sign-in button.primary").click()
    page.locator("#dashboard").wait_for()


def _await(holds: Any, seconds: float = 30.0) -> None:
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
