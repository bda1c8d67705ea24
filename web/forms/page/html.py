"""Small pieces of HTML."""

from __future__ import annotations

from collections.abc import Sequence

from babel.numbers import format_decimal
from markupsafe import Markup, escape

LONGEST_TITLE = 200  # letters; longer titles and options are cut
NOTHING = Markup("")


def attribute(name: str, value: str) -> Markup:
    """Returns an attribute with a space before it."""
    html = f' {name}="{escape(value)}"'
    return Markup(html)  # noqa: S704 - escaped above


def option(value: str, words: str, selected: bool) -> Markup:
    """Returns an <option> of a select."""
    html = f'<option value="{escape(value)}"{" selected" if selected else ""}>{escape(words)}</option>'
    return Markup(html)  # noqa: S704 - escaped above


def cut(text: str) -> str:
    """Returns a title, or the words of an option, no longer than a page can show."""
    return text if len(text) <= LONGEST_TITLE else f"{text[:LONGEST_TITLE]}…"


def shorten(options: Sequence[tuple[int, str, bool]], chosen: int, count: int) -> Sequence[tuple[int, str, bool]]:
    """Returns the first `count` of the (index, words, selected) options, and the chosen one."""
    return [each for place, each in enumerate(options) if place < count or each[0] == chosen]


def byte_size(count: int, locale: str) -> str:
    """Returns a number of bytes for people: 950 B, 12 kB, 1.5 MB."""
    for size, unit in ((1_000_000, "MB"), (1000, "kB")):
        if count >= size:
            return f"{format_decimal(round(count / size, 1), locale=locale.replace('-', '_'))} {unit}"
    return f"{count} B"
