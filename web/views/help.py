"""/help: the documentation, one page for each topic, in the viewer's language if there is a translation."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from flask import Blueprint, render_template

from app.errors import NotFound
from app.validation.words import DEFAULT_LOCALE
from templates_lib.messages import say
from web.filters.texts import markdown
from web.language import language

blueprint = Blueprint("help_pages", __name__, url_prefix="/help")

DOCS = Path(__file__).parents[1] / "help"
SECTIONS = (
    ("tutorial", say("Begin")),
    ("how-to", say("Do")),
    ("reference", say("Look up")),
    ("explanation", say("Understand")),
)
# The help topic of a page, by the beginning of its address.
TOPICS = (
    ("/jobs/new", "tutorial/first-job"),
    ("/jobs/import", "how-to/jobs-in-git"),
    ("/jobs", "how-to/many-jobs"),
    ("/executions", "how-to/find-what-broke"),
    ("/calendar", "how-to/schedules"),
    ("/templates", "how-to/manage-templates"),
    ("/approvals", "reference/permissions"),
    ("/users", "reference/permissions"),
    ("/services", "reference/permissions"),
    ("/audit", "how-to/secure"),
    ("/connections", "how-to/secure"),
    ("/account", "how-to/secure"),
    ("/maintenance", "how-to/operate"),
    ("/sample-data", "tutorial/first-job"),
    ("/system", "how-to/operate"),
    ("/", "tutorial/first-job"),
)
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]\n]+)\]\(([^)#:/\s][^)#:\s]*)(#[^)]*)?\)")  # to another file of the repository


@dataclass(frozen=True, slots=True)
class Topic:
    """One page of the help, in the language that it is in; links in its text lead to other topics."""

    name: str  # "how-to/operate"
    title: str
    text: str
    language: str


@cache
def topics_in(wanted: str) -> dict[str, Topic]:
    """Returns all topics by name, each in the wanted language if it is translated, else in English."""
    by_name = {}
    for folder, _ in SECTIONS:
        for path in sorted((DOCS / folder).glob("*.md")):
            translation = DOCS / wanted / folder / path.name
            spoken = wanted if translation.exists() else DEFAULT_LOCALE
            text = (translation if translation.exists() else path).read_text("utf-8")
            heading, name = _HEADING.search(text), f"{folder}/{path.stem}"
            by_name[name] = Topic(name, heading[1] if heading else path.stem, _LINK.sub(partial(_linked, folder), text), spoken)
    return by_name


def topics() -> dict[str, Topic]:
    """Returns the topics in the viewer's language."""
    return topics_in(language())


def _linked(folder: str, match: re.Match[str]) -> str:
    """Turns a link to another document into a link to its topic. A link to a file that is no topic becomes plain text."""
    target, ending = posixpath.splitext(posixpath.normpath(posixpath.join(folder, match[2])))
    if ending == ".md" and target.partition("/")[0] in dict(SECTIONS):
        return f"[{match[1]}](/help/{target}{match[3] or ''})"
    return match[1]


def topic_of(path: str) -> str:
    """Returns the name of the topic about a page."""
    return next(topic for begin, topic in TOPICS if path.startswith(begin))


@blueprint.get("")
def index() -> str:
    """Shows the list of topics."""
    return _page(None)


@blueprint.get("/<folder>/<name>")
def show(folder: str, name: str) -> str:
    """Shows one topic."""
    topic = topics().get(f"{folder}/{name}")
    if topic is None:
        raise NotFound("topic", f"{folder}/{name}")
    return _page(topic)


def _page(topic: Topic | None) -> str:
    groups = [(title, [item for item in topics().values() if item.name.startswith(f"{folder}/")]) for folder, title in SECTIONS]
    return render_template("help.html", groups=groups, topic=topic, body=markdown(topic.text) if topic else "")
