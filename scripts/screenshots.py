"""Takes the pictures of the README from the running product: a service of its own, believable jobs, Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright
from pymongo import MongoClient

from app.local_mongod import LocalMongod

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
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
    with tempfile.TemporaryDirectory() as folder:
        mongod = LocalMongod(Path(folder) / "mongo")
        environment = {
            **os.environ, "MONGODB_URI": mongod.start(), "JOBWRIGHT_DATA_DIR": f"{folder}/data", "PORT": PORT, "LOG_LEVEL": "ERROR",
            "JOBWRIGHT_ADMIN_EMAIL": EMAIL, "JOBWRIGHT_ADMIN_PASSWORD": PASSWORD, "JOBWRIGHT_ALLOWED_HOSTS": f"127.0.0.1:{PORT}",
            "JOBWRIGHT_RUNS_PER_HOUR": "1000",
        }  # fmt: skip
        service = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment)
        try:
            address = f"http://127.0.0.1:{PORT}"
            _await(lambda: httpx.get(f"{address}/ready").status_code == 200)
            create = [sys.executable, "-m", "app.cli", "token", "create", "--user", EMAIL, "--name", "pictures"]
            token = subprocess.run(create, env=environment, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ourselves
            with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
                run = _fill(client, environment["MONGODB_URI"], folder)
            _photograph(address, run)
        finally:
            service.terminate()
            service.wait()
            mongod.stop()


def _fill(client: httpx.Client, uri: str, folder: str) -> str:
    """Jobs as a small shop would have them, each run a few times; returns a finished cleanup."""
    with MongoClient[dict[str, Any]](uri) as mongo:
        now = datetime.now(UTC)
        rows = [{"email": f"user{n}@example.com", "lastActive": now - timedelta(days=n % 400)} for n in range(4000)]
        mongo["shop"]["users"].insert_many(rows)
        mongo["shop"]["orders"].insert_many([{"n": n, "total": n * 7 % 300, "createdAt": now - timedelta(hours=n)} for n in range(2000)])
    for name, kind, settings in (
        ("Shop database", "mongodb", {"uri": uri, "database": "shop"}),
        ("Exports", "file_store", {"path": f"{folder}/exports"}),
        ("Mail relay", "smtp", {"host": "127.0.0.1", "port": 9, "security": "none", "sender": "jobs@example.com"}),
    ):
        client.post("/api/admin/connections", json={"name": name, "kind": kind, "settings": settings}).raise_for_status()
    cleanup = {"connection": "Shop database", "collection": "users", "condition": {"lastActive": {"$lt": "1 year ago"}}}
    export = {
        "connection": "Shop database", "collection": "orders", "format": "csv", "filter": {"createdAt": {"$gte": "1 week ago"}},
        "destination": {"connection": "Exports", "path": "orders-{date}-{time}.csv"},
    }  # fmt: skip
    mail = {"connection": "Mail relay", "recipients": ["team@example.com"], "subject": "Weekly numbers", "body": "They are in the store."}
    hook = {"url": f"http://127.0.0.1:{PORT}/health", "method": "GET"}
    made: dict[str, str] = {}
    for name, kind, parameters, schedule, tags in (
        ("Remove inactive users", "database_cleanup", {**cleanup, "dryRun": False}, "0 2 * * 0", ["gdpr"]),
        ("Orders of the week", "data_export", export, "30 6 * * 1-5", ["finance"]),
        ("Weekly numbers", "email_notification", mail, "0 8 * * 1", ["finance"]),
        ("Tell the data warehouse", "webhook_trigger", hook, "*/15 * * * *", []),
        ("Count what would go", "database_cleanup", cleanup, "0 */6 * * *", ["gdpr"]),
    ):
        body = {
            "name": name, "template_type": kind, "parameters": parameters, "tags": tags, "retry_policy": {"max_retries": 0},
            "schedule": {"type": "cron", "expression": schedule, "timezone": "Europe/Berlin"},
        }  # fmt: skip
        made[name] = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
    forget = {
        "name": "Forget users", "description": "Delete users who were not seen for a year", "category": "Privacy", "icon": "shield",
        "parameters": {
            "connection": {"value": "Shop database"}, "collection": {"value": "users", "shown": True},
            "max_deletes": {"narrow": {"maximum": 10_000}, "default": 5_000},
            "condition": {"title": "Who is forgotten", "default": {"lastActive": {"$lt": "1 year ago"}}}, "batch_size": {"hidden": True},
        },
    }  # fmt: skip
    derived = {"type": "forget_users", "base": "database_cleanup", "definition": forget}
    client.post("/api/admin/job-templates", json=derived).raise_for_status()
    finished = ""
    for name, times in (("Remove inactive users", 1), ("Orders of the week", 9), ("Weekly numbers", 1), ("Tell the data warehouse", 18)):
        for _ in range(times):
            run = client.post(f"/api/admin/scheduler-jobs/{made[name]}/run").raise_for_status().json()["execution_id"]
            path = f"/api/admin/job-executions/{run}"
            _await(lambda path=path: client.get(path).json()["execution"]["completed_at"])  # type: ignore[misc]
            finished = run if name == "Remove inactive users" else finished
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as mongo:
        _spread(mongo["jobwright"]["job_executions"], finished)
    return finished


def _spread(executions: Any, spared: str) -> None:
    """Have the runs stand where the day would have had them."""
    for place, row in enumerate(executions.find({"_id": {"$ne": spared}, "completed_at": {"$type": "date"}})):
        back = timedelta(minutes=20 + place * 47 % 1400)
        executions.update_one(
            {"_id": row["_id"]}, {"$set": {name: row[name] - back for name in ("queued_at", "started_at", "completed_at")}}
        )


def _photograph(address: str, run: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme, device_scale_factor=1.5)  # type: ignore[arg-type]
            _sign_in(page, address)
            for name, path in (
                ("dashboard", "/"),
                ("draft", "/templates/forget_users/draft"),
                ("jobs", "/jobs"),
                ("execution", f"/executions/{run}"),
                ("form", "/jobs/new?template=database_cleanup"),
            ):
                page.goto(f"{address}{path}")
                page.wait_for_load_state("networkidle")
                page.screenshot(path=PICTURES / f"{name}-{theme}.png")
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
        phone = browser.new_page(viewport={"width": 390, "height": 800}, device_scale_factor=2)
        _sign_in(phone, address)
        phone.goto(f"{address}/jobs")
        phone.screenshot(path=PICTURES / "jobs-phone.png")
        browser.close()


def _sign_in(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Dashboard").wait_for()


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
