"""The command palette: finds pages, jobs, templates and help topics by a few letters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, lacks
from app.jobs.filters import JobFilter
from app.jobs.model import Job
from templates_lib.messages import say
from web.current import actor, preference, services
from web.language import translated
from web.views.help import topics

blueprint = Blueprint("palette_pages", __name__)

MOST_JOBS, MOST_OTHERS = 8, 5
MOST_ACTED_ON = 2  # jobs whose actions are shown
VERBS = (say("Run"), say("Pause"), say("Resume"), say("Edit"))
PAGES = (
    (say("Dashboard"), "/", "activity", May.SEE_JOBS),
    (say("Jobs"), "/jobs", "list", May.SEE_JOBS),
    (say("Failing jobs"), "/jobs?last=failed", "list", May.SEE_JOBS),
    (say("New job"), "/templates", "plus", May.CHANGE_JOBS),
    (say("Import jobs"), "/jobs/import", "upload", May.CHANGE_JOBS),
    (say("Executions"), "/executions", "history", May.SEE_EXECUTIONS),
    (say("Running executions"), "/executions?status=running", "loader", May.SEE_EXECUTIONS),
    (say("Failed executions"), "/executions?status=failed", "circle-x", May.SEE_EXECUTIONS),
    (say("Calendar"), "/calendar", "calendar-days", May.SEE_EXECUTIONS),
    (say("Timeline of today"), "/calendar?view=day", "calendar-days", May.SEE_EXECUTIONS),
    (say("Runs of the week"), "/calendar?view=week", "calendar-days", May.SEE_EXECUTIONS),
    (say("Templates"), "/templates", "layers", May.SEE_TEMPLATES),
    (say("Approvals"), "/approvals", "user-check", May.SEE_APPROVALS),
    (say("Connections"), "/connections", "plug", May.NAME_CONNECTIONS),
    (say("Incidents"), "/incidents", "circle-alert", May.SEE_RULES),
    (say("Alert rules"), "/rules", "list-checks", May.SEE_RULES),
    (say("Channels"), "/channels", "bell", May.SEE_CHANNELS),
    (say("Digests"), "/digests", "list", May.SEE_DIGESTS),
    (say("Notifications"), "/deliveries", "send", May.SEE_EXECUTIONS),
    (say("Mutes"), "/mutes", "bell-off", May.SEE_MUTES),
    (say("Alerts for channels"), "/announcements", "list-checks", May.SEE_EXECUTIONS),
    (say("Blackout calendars"), "/calendars", "calendar", May.SEE_CALENDARS),
    (say("Users"), "/users", "users", May.MANAGE_ACCOUNTS),
    (say("Services"), "/services", "webhook", May.SEE_SERVICES),
    (say("Service accounts"), "/service-accounts", "key-round", May.MANAGE_ACCOUNTS),
    (say("Audit"), "/audit", "scroll-text", May.SEE_AUDIT),
    (say("Maintenance"), "/maintenance", "settings", May.SWITCH_MAINTENANCE),
    (say("Sample data"), "/sample-data", "flask-conical", May.MANAGE_SAMPLE),
    (say("Nodes"), "/nodes", "server", May.SEE_NODES),
    (say("System and settings"), "/system", "settings", May.SEE_MAINTENANCE),
    (say("Your account"), "/account", "user", May.OWN_ACCOUNT),
    (say("Help"), "/help", "circle-help", May.OWN_ACCOUNT),
    (say("REST API"), "/api/docs", "book-open", May.OWN_ACCOUNT),
)


@dataclass(frozen=True, slots=True)
class PaletteLine:
    """One line of the palette."""

    kind: str
    name: str
    href: str
    icon: str
    posts: bool = False  # the address is posted to, which does something at once


@blueprint.get("/palette")
def find() -> str:
    """Shows what contains all words of `?q=`: pages first, then jobs and what to do with them, templates, saved views and help topics.

    "run backup" and "pause backup" find the jobs called so, and put the actions first.
    """
    text = request.args.get("q", "").strip()[:100]
    words = text.lower().split()
    rows = [
        PaletteLine(say("Page"), name, href, icon) for name, href, icon, may in PAGES if lacks(actor(), may) is None and _holds(name, words)
    ]
    if text and lacks(actor(), May.SEE_JOBS) is None:
        asks = words[0] in _verbs() and len(words) > 1
        named = text.split(maxsplit=1)[1] if asks else text
        page = services().directory.page(actor(), JobFilter(search=named), limit=MOST_JOBS)
        jobs = [PaletteLine(say("Job"), job.definition.name, f"/jobs/{job.id}", "list") for job in page.items]
        rows += [*_actions(page.items[:MOST_ACTED_ON]), *jobs] if asks else [*jobs, *_actions(page.items[:MOST_ACTED_ON])]
        catalogue = services().catalogue
        kinds = [entry for entry in catalogue if catalogue.is_offered(entry) and _holds(entry.name, words)][:MOST_OTHERS]
        rows += [PaletteLine(say("New job"), entry.name, f"/jobs/new?template={entry.type}", entry.icon) for entry in kinds]
        if views := [view for view in preference().views if _holds(view.name, words)]:
            rows += [PaletteLine(say("View"), view.name, f"/jobs?{view.query}", "star") for view in views[:MOST_OTHERS]]
    if text:
        matches = [topic for topic in topics().values() if _holds(topic.title, words)][:MOST_OTHERS]
        rows += [PaletteLine(say("Help"), topic.title, f"/help/{topic.name}", "circle-help") for topic in matches]
    return render_template("partials/palette.html", rows=rows, text=text)


def _verbs() -> set[str]:
    """Returns the words that ask for an action, in English and in the viewer's language."""
    return {word.lower() for verb in VERBS for word in (verb, translated(verb))}


def _actions(jobs: Iterable[Job]) -> list[PaletteLine]:
    """Returns what the viewer may do with each job at once."""
    lines, runs, changes = [], lacks(actor(), May.RUN_JOBS) is None, lacks(actor(), May.CHANGE_JOBS) is None
    for job in jobs:
        name, path = job.definition.name, f"/jobs/{job.id}"
        if runs:
            lines.append(PaletteLine(say("Action"), say("Run {name} now", name=name), f"{path}/run", "play", posts=True))
        if changes and job.paused is None:
            lines.append(PaletteLine(say("Action"), say("Pause {name}", name=name), f"{path}/pause", "pause"))
        if changes and job.paused is not None:
            lines.append(PaletteLine(say("Action"), say("Resume {name}", name=name), f"{path}/resume", "play", posts=True))
        if changes:
            lines.append(PaletteLine(say("Action"), say("Edit {name}", name=name), f"{path}/edit", "pencil"))
    return lines


def _holds(name: str, words: list[str]) -> bool:
    """True if each word is in the name, in English or in the viewer's language."""
    return all(word in name.lower() or word in translated(name).lower() for word in words)
