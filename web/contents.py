"""The table of contents of the documentation: which pages there are, in which sections, in which order.

docs/README.md is its only source. The help of the product and the static site both read it here, so that they have the same navigation. This
module needs nothing but the standard library, as the tools of the site have an environment of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SECTION = re.compile(r"^## ([^:\n]+): ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\.md\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the documentation: its title, what it is for, and its pages as (name, title), such as ("how-to/alerts", "Alerts")."""

    title: str
    purpose: str
    pages: tuple[tuple[str, str], ...]


def sections(docs: Path) -> list[Section]:
    """Returns the sections that the index of a folder of documentation lists."""
    found = _SECTION.findall((docs / "README.md").read_text("utf-8"))
    return [Section(title, purpose, tuple((name, words) for words, name in _PAGE.findall(text))) for title, purpose, text in found]
