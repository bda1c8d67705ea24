"""/help: the documentation, one page for each topic, in the viewer's language if there is a translation."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, render_template, request, send_from_directory
from markupsafe import Markup, escape

from app.errors import NotFound
from app.jobtemplates.entry import TemplateVersion
from templates_lib.messages import say
from web.contents import Link, anchors, page_in, sections, title_of
from web.filters.texts import markdown
from web.language import language, translated

blueprint = Blueprint("help_pages", __name__, url_prefix="/help")

DOCS = Path(__file__).parents[1] / "help"
# The sections of docs/README.md that are help, by their titles there, and their titles in the help.
SECTIONS = {
    "Guides": say("Guides"),
    "Tutorials": say("First steps"),
    "How-to guides": say("How to"),
    "Templates": say("Templates"),
    "Reference": say("Reference"),
    "Explanation": say("Background"),
}
# The titles of topics that are not translated: lists show them in the viewer's language.
TITLES = (
    say("A million jobs"),
    say("Alerts"),
    say("Texts of alert rules"),
    say("Architecture"),
    say("Command line"),
    say("Compatibility"),
    say("Deploy Jobwright"),
    say("Dynamic values"),
    say("Glossary"),
    say("Log events"),
    say("Metrics"),
    say("Monitor an installation"),
    say("Plan capacity"),
    say("REST"),
    say("Replace the key of an installation"),
    say("Run jobs on Celery workers"),
    say("Secure an installation"),
    say("Send traces to OpenTelemetry"),
    say("Service protocol"),
    say("Fewer messages"),
    say("Settings"),
    say("The bus"),
    say("The form generator"),
    say("The life of an execution"),
    say("Two versions on one database"),
    say("What Jobwright promises, and the test that tries to break it"),
    say("Who may do what"),
    say("Write a template of your own"),
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
    ("/services", "how-to/services"),
    ("/job-types", "how-to/replace-a-scheduler"),
    ("/service-accounts", "reference/permissions"),
    ("/audit", "how-to/secure"),
    ("/connections", "how-to/secure"),
    ("/channels", "how-to/notify"),
    ("/deliveries", "how-to/notify"),
    ("/digests", "how-to/digests"),
    ("/mutes", "how-to/quiet"),
    ("/announcements", "how-to/quiet"),
    ("/incidents", "how-to/alert-rules"),
    ("/rules", "how-to/alert-rules"),
    ("/account", "how-to/secure"),
    ("/maintenance", "how-to/operate"),
    ("/sample-data", "tutorial/first-job"),
    ("/nodes", "how-to/nodes-and-labels"),
    ("/system", "how-to/operate"),
    ("/", "tutorial/first-job"),
)
_HEADING = re.compile(r"<(h[1-4])>(.*?)</\1>")
_CELLS = re.compile(r"</t[dh]>\s*<t[dh][^>]*>")
_BLOCKS = re.compile(r"</?(?:p|h[1-6]|ul|ol|li|table|thead|tbody|tr|pre|blockquote|hr)\b[^>]*>")
PICTURE_SECONDS = 3600
LEAST_SECTIONS = 3  # a topic with fewer has no list of them
MOST_FOUND = 20
SNIPPET = 160  # characters, at most, around a word that was found
PICTURES = "pictures/"


@dataclass(frozen=True, slots=True)
class Topic:
    """One page of the help; links in its text lead to other topics. The title is in the viewer's language, `language` that of the text."""

    name: str  # "how-to/operate"
    title: str
    text: str
    language: str


@cache
def topics_in(wanted: str) -> dict[str, Topic]:
    """Returns all topics by name, each in the wanted language if it is translated, else in English."""
    by_name = {}
    for name in _names():
        text, spoken = page_in(DOCS, name, wanted, _written)
        title = title_of(text)
        by_name[name] = Topic(name, title if spoken == wanted else translated(title, wanted), text, spoken)
    return by_name


@cache
def _names() -> dict[str, str]:
    """Returns the title of its section for the name of each topic, in the order of the table of contents."""
    return {name: SECTIONS[section.title] for section in sections(DOCS) if section.title in SECTIONS for name, _ in section.pages}


@dataclass(frozen=True, slots=True)
class Hit:
    """A topic that a search found, with a part of the paragraph, list entry or row that has most of the words."""

    topic: Topic
    snippet: str


def search(query: str) -> list[Hit]:
    """Returns the topics that have each word of a query, those with it in their title first."""
    words = query.lower().split()
    hits = [topic for topic in topics().values() if all(word in "\n".join(_pieces(topic.text)).lower() for word in words)]
    hits.sort(key=lambda topic: -sum(word in topic.title.lower() for word in words))
    return [Hit(topic, _snippet(topic, words)) for topic in hits[:MOST_FOUND]] if words else []


@cache
def _pieces(text: str) -> tuple[str, ...]:
    """Returns the heading of a topic, and then each other heading, paragraph, list entry, table row and block of code, as plain text."""
    pieces = (Markup(part).striptags() for part in _BLOCKS.split(_CELLS.sub(" · ", markdown(text))))  # noqa: S704 - a part of our own HTML
    return tuple(piece for piece in pieces if piece.strip(" ·"))


def _snippet(topic: Topic, words: list[str]) -> str:
    """Returns the piece that has most of the words, a sentence rather than another one, cut to whole words."""
    pieces = _pieces(topic.text)
    best = max(
        pieces[1:], key=lambda piece: (sum(word in piece.lower() for word in words), piece.endswith((".", ":"))), default=topic.title
    )
    place = min((best.lower().find(word) for word in words if word in best.lower()), default=0)
    begin = best.rfind(". ", 0, place) + 2 if ". " in best[:place] else 0
    if place - begin > SNIPPET * 2 // 3:
        begin = best.find(" ", place - SNIPPET // 2) + 1
    end = len(best) if len(best) <= begin + SNIPPET else best.rfind(" ", begin, begin + SNIPPET)
    return f"{'…' if begin else ''}{best[begin:end] if end > begin else best[begin:][:SNIPPET]}{'…' if end < len(best) else ''}"


def first_words(topic: Topic) -> str:
    """Returns the first sentence of a topic, below its heading."""
    sentence, ends, _ = next(iter(_pieces(topic.text)[1:]), "")[: 2 * SNIPPET].partition(". ")
    return f"{sentence}." if ends else sentence[:SNIPPET]


def topics() -> dict[str, Topic]:
    """Returns the topics in the viewer's language."""
    return topics_in(language())


def _written(link: Link) -> str:
    """Returns a link to another document as one to its topic, and a picture with its address. A link to another file becomes plain text."""
    target, ending = posixpath.splitext(link.path)
    if link.is_picture:
        return f"![{link.words}](/help/{link.path})"
    if ending == ".md" and target in _names():
        return f"[{link.words}](/help/{target}{link.anchor})"
    return f"[{link.words}]({link.path}{link.anchor})" if link.path.startswith("/") else link.words


def reference_of(entry: TemplateVersion) -> str | None:
    """Returns the name of the topic about a template, or about the template that it is derived from; None if there is none."""
    name = f"reference/templates/{entry.base or entry.type}"
    return name if name in _names() else None


def topic_of(path: str) -> str:
    """Returns the name of the topic about a page."""
    return next(topic for begin, topic in TOPICS if path.startswith(begin))


@blueprint.get("")
def index() -> str:
    """Shows the list of topics; with `q`, those that a search found."""
    return _page(None, query=request.args.get("q", "").strip()[:100])


@blueprint.get("/pictures/<name>.png")
def picture(name: str) -> Response:
    """Sends a picture of the documentation."""
    return send_from_directory(DOCS / PICTURES, f"{name}.png", max_age=PICTURE_SECONDS)


@blueprint.get("/<path:name>")
def show(name: str) -> str:
    """Shows one topic."""
    topic = topics().get(name)
    if topic is None:
        raise NotFound("topic", name)
    return _page(topic)


def _page(topic: Topic | None, *, query: str = "") -> str:
    groups = [(title, [item for item in topics().values() if _names()[item.name] == title]) for title in SECTIONS.values()]
    body, sections = with_ids(markdown(topic.text)) if topic else (Markup(), [])
    return render_template(
        "help.html",
        groups=groups,
        topic=topic,
        body=body,
        sections=sections if len(sections) >= LEAST_SECTIONS else [],
        query=query,
        hits=search(query) if query else [],
        first_words=first_words,
    )


def with_ids(html: Markup) -> tuple[Markup, list[tuple[str, str]]]:
    """Returns a rendered topic whose headings have ids, and (id, words) of each section."""
    headings = [(level, Markup(words).striptags()) for level, words in _HEADING.findall(html)]  # noqa: S704 - a part of what markdown-it has escaped
    names = anchors(words for _, words in headings)
    left = iter(names)
    placed = _HEADING.sub(lambda match: f'<{match[1]} id="{escape(next(left))}">{match[2]}</{match[1]}>', html)
    return Markup(placed), [(name, words) for name, (level, words) in zip(names, headings, strict=True) if level == "h2"]  # noqa: S704 - as above
