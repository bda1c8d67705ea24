"""How Sphinx builds the documentation. Everything that a page loads is a part of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

project = "Jobwright"
html_title = "Jobwright"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_templates"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
smartquotes = False
templates_path = [str(Path(__file__).parent / "templates")]

html_theme = "furo"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
html_permalinks = True
html_theme_options: dict[str, Any] = {
    "light_css_variables": {"color-brand-primary": "#00716f", "color-brand-content": "#00716f"},
    "dark_css_variables": {"color-brand-primary": "#5fc4c0", "color-brand-content": "#5fc4c0"},
    "footer_icons": [],
}
_SIDEBAR = ("brand", "search", "languages", "scroll-start", "navigation", "scroll-end")
html_sidebars = {"**": [f"sidebar/{part}.html" for part in _SIDEBAR]}


def _complete(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Completes the HTML of a page for screen readers and the keyboard: the level of captions, and wide tables that scroll by keys."""
    for part in ("body", "furo_navigation_tree"):
        text = context.get(part) or ""
        text = text.replace('class="caption" role="heading"', 'class="caption" role="heading" aria-level="2"')
        context[part] = text.replace('<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper ')


def setup(app: Any) -> None:
    """Sphinx calls this function before it builds."""
    app.connect("html-page-context", _complete, priority=900)  # after the theme
