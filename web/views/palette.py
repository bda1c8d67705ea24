"""The command palette: pages, jobs, templates and what can be done, found by a few letters."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, lacks
from app.jobs.store import JobFilter
from web.views.common import actor
from web.views.help import topics
from web.views.signin import services

blueprint = Blueprint("palette_pages", __name__)

MOST_JOBS, MOST_OTHERS = 8, 5
PAGES = (
    ("Dashboard", "/", "activity", May.SEE_JOBS),
    ("Jobs", "/jobs", "list", May.SEE_JOBS),
    ("Failing jobs", "/jobs?last=failed", "list", May.SEE_JOBS),
    ("New job", "/templates", "plus", May.CHANGE_JOBS),
    ("Import jobs", "/jobs/import", "upload", May.CHANGE_JOBS),
    ("Executions", "/executions", "history", May.SEE_EXECUTIONS),
    ("Running executions", "/executions?status=running", "loader", May.SEE_EXECUTIONS),
    ("Failed executions", "/executions?status=failed", "circle-x", May.SEE_EXECUTIONS),
    ("Calendar", "/calendar", "calendar-days", May.SEE_EXECUTIONS),
    ("Timeline of today", "/calendar?view=day", "calendar-days", May.SEE_EXECUTIONS),
    ("Load of the week", "/calendar?view=week", "calendar-days", May.SEE_EXECUTIONS),
    ("Templates", "/templates", "layers", May.SEE_TEMPLATES),
    ("Approvals", "/approvals", "user-check", May.SEE_APPROVALS),
    ("Connections", "/connections", "plug", May.NAME_CONNECTIONS),
    ("Blackouts", "/calendars", "calendar", May.SEE_CALENDARS),
    ("Users", "/users", "users", May.MANAGE_ACCOUNTS),
    ("Audit", "/audit", "scroll-text", May.SEE_AUDIT),
    ("Maintenance", "/maintenance", "settings", May.SWITCH_MAINTENANCE),
    ("Nodes and settings", "/system", "server", May.SEE_MAINTENANCE),
    ("Your account", "/account", "user", May.OWN_ACCOUNT),
    ("Help", "/help", "circle-help", May.OWN_ACCOUNT),
    ("REST API", "/api/docs", "book-open", May.OWN_ACCOUNT),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One line of the palette."""

    kind: str
    name: str
    href: str
    icon: str


@blueprint.get("/palette")
def find() -> str:
    """What holds the words of `?q=`: pages first, then jobs, templates, topics of the help."""
    text = request.args.get("q", "").strip()[:100]
    words = text.lower().split()
    rows = [Found("Page", name, href, icon) for name, href, icon, may in PAGES if lacks(actor(), may) is None and _holds(name, words)]
    if text and lacks(actor(), May.SEE_JOBS) is None:
        page = services().jobs.page(actor(), JobFilter(search=text), limit=MOST_JOBS)
        rows += [Found("Job", job.definition.name, f"/jobs/{job.id}", "list") for job in page.jobs]
        kinds = [entry for entry in services().catalogue if _holds(entry.name, words)][:MOST_OTHERS]
        rows += [Found("New job", entry.name, f"/jobs/new?template={entry.type}", entry.icon) for entry in kinds]
        if view := [one for one in services().preferences.of(actor()).views if _holds(one.name, words)]:
            rows += [Found("View", one.name, f"/jobs?{one.query}", "star") for one in view[:MOST_OTHERS]]
    if text:
        found = [(name, title) for name, (title, _) in topics().items() if _holds(title, words)][:MOST_OTHERS]
        rows += [Found("Help", title, f"/help/{name}", "circle-help") for name, title in found]
    return render_template("partials/palette.html", rows=rows, text=text)


def _holds(name: str, words: list[str]) -> bool:
    return all(word in name.lower() for word in words)
