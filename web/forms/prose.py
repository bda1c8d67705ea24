"""Turns the descriptions of a schema into HTML: paragraphs, lists, code blocks and links. They may contain no HTML themselves."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markupsafe import Markup

LONGEST = 20_000  # letters of one description


class _Markdown(MarkdownIt):
    """CommonMark with links to http, https and paths of this site only."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the name of markdown-it
        """Returns True for an address that a description may link to.

        Browsers read a backslash as a slash, and ignore control characters (URL Standard, 4.4), so neither may be in it.
        """
        if "\\" in url or not url.isprintable():
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return bool(parts.netloc) if parts.scheme in {"http", "https"} else not parts.scheme and not url.startswith("//")


# CommonMark (spec.commonmark.org 0.31) without HTML and images. A heading would be out of place, and each line break breaks the line.
_markdown = _Markdown("commonmark", {"html": False, "linkify": False, "breaks": True}).disable(
    ["image", "heading", "lheading", "html_block", "html_inline", "hr", "reference"]
)


@lru_cache(maxsize=2000)
def markdown(text: str) -> Markup:
    """Returns a description as HTML. A single paragraph comes without its `<p>`, so that it can stand beside other words."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    html = _markdown.render(text).strip()
    if html.count("<p>") == 1 and html.startswith("<p>") and html.endswith("</p>"):
        html = html.removeprefix("<p>").removesuffix("</p>")
    return Markup(html)  # noqa: S704 - markdown-it escapes, with HTML switched off
