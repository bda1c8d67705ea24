"""Turns the descriptions of a schema into HTML: paragraphs, line breaks and lists. They may hold no HTML themselves."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt
from markupsafe import Markup

# CommonMark (spec.commonmark.org 0.31) without HTML and images. A heading would be out of place, and each line break breaks the line.
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).disable(
    ["image", "heading", "lheading", "html_block", "html_inline", "hr", "reference"]
)
LONGEST = 20_000  # letters of one description


@lru_cache(maxsize=2000)
def markdown(text: str) -> Markup:
    """Returns a description as HTML. A single paragraph comes without its `<p>`, so that it can stand beside other words."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    html = _markdown.render(text).strip()
    if html.count("<p>") == 1 and html.startswith("<p>") and html.endswith("</p>"):
        html = html.removeprefix("<p>").removesuffix("</p>")
    return Markup(html)  # noqa: S704 - markdown-it escapes, with HTML switched off
