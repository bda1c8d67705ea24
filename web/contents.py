"""The documentation as pages: which there are, in which order, with which headings and links.

docs/README.md is the only table of contents. The help of the product and the static site (scripts/site) both read pages here, so that they
have the same navigation and the same headings.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from app.validation.words import DEFAULT_LOCALE

_SECTION = re.compile(r"^## ([^:\n]+): ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\.md\)", re.MULTILINE)
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_BOLD_START = re.compile(r"^\*\*([^*\n]{2,60}?)\.?\*\* (?=\S)", re.MULTILINE)  # of a paragraph
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
_LINK = re.compile(r"(!?)\[([^\]\n]+)\]\(([^)#:\s]+)(#[^)]*)?\)")  # to another file of the repository, or to a page of the product


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the documentation: its title, what it is for, and its pages as (name, title), such as ("how-to/alerts", "Alerts")."""

    title: str
    purpose: str
    pages: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A link or a picture in a page: its words, its path from the folder of the documentation, and its anchor with "#"."""

    words: str
    path: str
    anchor: str
    is_picture: bool


def sections(docs: Path) -> list[Section]:
    """Returns the sections that the index of a folder of documentation lists."""
    found = _SECTION.findall((docs / "README.md").read_text("utf-8"))
    return [Section(title, purpose, tuple((name, words) for words, name in _PAGE.findall(text))) for title, purpose, text in found]


def title_of(text: str) -> str:
    """Returns the title of a page, or "" if it has none."""
    heading = _HEADING.search(text)
    return heading[1] if heading else ""


def with_headings(text: str) -> str:
    """Returns a text in which each paragraph that begins with bold words has them as its heading. Code stays as it is."""
    return _outside_code(text, lambda part: _BOLD_START.sub(_as_heading, part))


def _as_heading(match: re.Match[str]) -> str:
    before = match.string[: match.start()]
    return f"## {match[1]}\n\n" if before.endswith("\n\n") else match[0]  # else the bold words are within a paragraph or a list


def anchors(titles: Iterable[str]) -> list[str]:
    """Returns the anchor of each heading of a page, as GitHub and the static site name it: "queue-old" for "Queue: old".

    The second heading with the same words has "-1" at its end, the third one "-2".
    """
    names: list[str] = []
    for title in titles:
        base = _NOT_IN_ANCHOR.sub("", title.strip().lower()).replace(" ", "-")
        name, count = base, 0
        while name in names:
            count += 1
            name = f"{base}-{count}"
        names.append(name)
    return names


def page_in(docs: Path, name: str, language: str, write: Callable[[Link], str]) -> tuple[str, str]:
    """Returns the text of a page and its language: the wanted one if the page is translated, else English.

    `write` says how each link is written. A link of an English page to a heading of a translated page leads to the translated heading.
    """
    text, spoken = _read(docs, name, language)

    def change(link: Link) -> str:
        return write(link if spoken == language else replace(link, anchor=_anchor_in(docs, link, language)))

    return with_links(text, posixpath.dirname(name), change), spoken


def _read(docs: Path, name: str, language: str) -> tuple[str, str]:
    translation = docs / language / f"{name}.md"
    if translation.exists():
        return with_headings(translation.read_text("utf-8")), language
    return with_headings((docs / f"{name}.md").read_text("utf-8")), DEFAULT_LOCALE


def _anchor_in(docs: Path, link: Link, language: str) -> str:
    """Returns the anchor of the heading that stands in the translation where the heading of an English link stands in the original."""
    name, ending = posixpath.splitext(link.path)
    if not link.anchor or ending != ".md" or not (docs / language / link.path).exists():
        return link.anchor
    original, translated = (_anchors_of(_read(docs, name, spoken)[0]) for spoken in (DEFAULT_LOCALE, language))
    place = {f"#{before}": f"#{after}" for before, after in zip(original, translated, strict=True)}
    return place.get(link.anchor, link.anchor)


def _anchors_of(text: str) -> list[str]:
    return anchors(_TITLE.findall(_FENCE.sub("", text)))


def with_links(text: str, folder: str, write: Callable[[Link], str]) -> str:
    """Returns the text of a page in a folder, in which `write` says how each link to a file or to a page of the product is written."""

    def change(match: re.Match[str]) -> str:
        path = match[3] if match[3].startswith("/") else posixpath.normpath(posixpath.join(folder, match[3]))
        return write(Link(match[2], path, match[4] or "", bool(match[1])))

    return _outside_code(text, lambda part: _LINK.sub(change, part))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])
