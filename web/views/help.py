"""/help: the documentation, a page a topic, as it stands in `docs/`."""

from __future__ import annotations

import posixpath
import re
from functools import cache, partial
from pathlib import Path

from flask import Blueprint, render_template

from app.errors import NotFound
from templates_lib.messages import say
from web.filters import markdown

blueprint = Blueprint("help_pages", __name__, url_prefix="/help")

DOCS = Path(__file__).parents[1] / "help"
SECTIONS = (
    ("tutorial", say("Begin")),
    ("how-to", say("Do")),
    ("reference", say("Look up")),
    ("explanation", say("Understand")),
)
# Which topic tells of which pages, by how their addresses begin.
TOPICS = (
    ("/jobs/new", "tutorial/first-job"),
    ("/jobs/import", "how-to/jobs-in-git"),
    ("/jobs", "how-to/many-jobs"),
    ("/executions", "how-to/find-what-broke"),
    ("/calendar", "how-to/schedules"),
    ("/templates", "how-to/manage-templates"),
    ("/approvals", "reference/permissions"),
    ("/users", "reference/permissions"),
    ("/audit", "how-to/secure"),
    ("/connections", "how-to/secure"),
    ("/account", "how-to/secure"),
    ("/maintenance", "how-to/operate"),
    ("/system", "how-to/operate"),
    ("/", "tutorial/first-job"),
)
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:\s]+)\.md(#[^)]*)?\)")


@cache
def topics() -> dict[str, tuple[str, str]]:
    """Each topic, `how-to/operate`, with its title and its text, whose links lead to other topics."""
    found = {}
    for folder, _ in SECTIONS:
        for path in sorted((DOCS / folder).glob("*.md")):
            text = path.read_text("utf-8")
            heading = _HEADING.search(text)
            name = f"{folder}/{path.stem}"
            found[name] = (heading[1] if heading else path.stem, _LINK.sub(partial(_linked, folder), text))
    return found


def _linked(folder: str, match: re.Match[str]) -> str:
    """A link from one document to another as one from topic to topic; what is no topic is no link."""
    target = posixpath.normpath(posixpath.join(folder, match[1]))
    return f"](/help/{target}{match[2] or ''})" if target.partition("/")[0] in dict(SECTIONS) else "](/help)"


def topic_of(path: str) -> str:
    """The topic that tells of a page."""
    return next(topic for begin, topic in TOPICS if path.startswith(begin))


@blueprint.get("")
def index() -> str:
    """All topics."""
    groups = [(title, [(name, topics()[name][0]) for name in topics() if name.startswith(f"{folder}/")]) for folder, title in SECTIONS]
    return render_template("help.html", groups=groups, name="", title=say("Help"), body="")


@blueprint.get("/<folder>/<name>")
def show(folder: str, name: str) -> str:
    """One topic."""
    found = topics().get(f"{folder}/{name}")
    if found is None:
        raise NotFound("topic", f"{folder}/{name}")
    groups = [(title, [(one, topics()[one][0]) for one in topics() if one.startswith(f"{part}/")]) for part, title in SECTIONS]
    return render_template("help.html", groups=groups, name=f"{folder}/{name}", title=found[0], body=markdown(found[1]))
