"""Texts, numbers and values as pages show them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from bson import json_util
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markupsafe import Markup, escape

from app.validation.terminal import Run, Style, escaped, plain, runs
from templates_lib.messages import Said, say
from web.current import actor, services
from web.filters.states import ENDS
from web.forms.prose import markdown as prose
from web.language import decimal, translated


def pretty_json(value: Any) -> str:
    """Indented JSON, dates in Extended JSON's relaxed form."""
    known = json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))
    return escaped(json.dumps(known, indent=2, ensure_ascii=False))


def seen(text: Any) -> Markup:
    """Returns what a job wrote with its colours, and with a mark for each invisible character. A stored sentence is translated."""
    return Markup("".join(_run(run) for run in runs(_text(text))))  # noqa: S704 - each part is escaped


def _run(run: Run) -> str:
    text = escape(run.text)
    if run.named:
        return f'<span class="unseen" title="{escape(run.named)}">{text}</span>'
    names = style_names(run.style)
    return f'<span class="{" ".join(names)}">{text}</span>' if names else str(text)


def style_names(style: Style) -> list[str]:
    """Returns the CSS classes of a style. The stylesheet has an ink and a ground for each basic colour, readable in light and dark."""
    ink, ground = (style.ground, style.ink) if style.inverse else (style.ink, style.ground)
    names = [name for name in ("bold", "dim", "italic", "underline", "strike") if getattr(style, name)]
    names += ["inverse"] if style.inverse and ink is None and ground is None else []
    names += [f"ink-{ink}"] if ink is not None else []
    names += [f"ground-{ground % 8}"] if ground is not None else []
    return [f"t-{name}" for name in names]


def seen_plainly(text: Any) -> str:
    """Returns the same without colours, for a text that is cut or stands in an attribute."""
    return plain(_text(text))


def _text(text: Any) -> str:
    """A text of a job as it is; a stored sentence in the viewer's language."""
    return translated(text) if isinstance(text, Said) else str(text)


def _label_cells(state: StateCore) -> None:
    """Gives each cell of a table the title of its column, which narrow screens show beside it, and lets long names in it break."""
    titles: list[str] = []
    column = 0
    for token, inner in pairwise(state.tokens):
        if token.type == "table_open":
            titles = []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            titles.append("".join(part.content for part in inner.children or []))
        elif token.type == "td_open":
            token.attrSet("data-label", titles[column])
            column += 1
            for part in inner.children or []:
                if part.type == "code_inline":
                    part.type, part.content = "html_inline", _breakable(part.content)


def _breakable(code: str) -> str:
    """Returns code as HTML. A long name can break at its dots, slashes and underscores."""
    return f"<code>{_JOINT.sub(_OR_BREAK, str(escape(code)))}</code>"


_JOINT = re.compile(r"(?<=[\w\])}])[._/](?=\w)")
_OR_BREAK = r"\g<0><wbr>"
_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
_markdown.core.ruler.push("label_cells", _label_cells)


def markdown(text: str) -> Markup:
    """Returns Markdown of our own files as HTML; HTML in the Markdown itself is escaped."""
    return Markup(_markdown.render(text))  # noqa: S704 - markdown-it escapes with html=False


def told(text: str) -> Markup:
    """Returns a description with its paragraphs, line breaks and lists."""
    return prose(translated(text))


def lead(text: str) -> Markup:
    """Returns a description that other words follow. It gets a full stop if it does not end with one."""
    text = translated(text).rstrip()
    return prose(text if "\n" in text or text[-1:] in {"", ".", "!", "?", "…", ":"} else f"{text}.")


def without_message(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a result without its message, which pages show separately."""
    return {name: value for name, value in result.items() if name != "message"}


def readable(value: Any) -> Any:
    """Returns a value for people: dependencies on jobs with the names of the jobs, any other value unchanged."""
    if not (isinstance(value, list) and value and all(isinstance(item, Mapping) and item.keys() == {"job", "when"} for item in value)):
        return value
    names = services().dependencies.names(actor(), [item["job"] for item in value])
    return "; ".join(
        translated(say("{job}, once it {ends}", job=names.get(entry["job"], entry["job"]), ends=ENDS[entry["when"]])) for entry in value
    )


def browser(agent: str | None) -> str:
    """ "Firefox on Linux": the browser and the system of a User-Agent header; an unknown one as it is, at most 60 characters."""
    text = agent or ""
    name = next((word for mark, word in _BROWSERS if mark in text), None)
    system = next((word for mark, word in _SYSTEMS if mark in text), None)
    return say("{browser} on {system}", browser=name, system=system) if name and system else name or text[:60] or say("Unknown")


# The order matters: most claim to be those that come after them.
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))


_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def pairs(first: Iterable[Any], second: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Returns the items of two lists of the same length as pairs."""
    return list(zip(first, second, strict=True))


def number(value: Any) -> str:
    """1,234,567, or 1.234.567"""
    return decimal(value) if isinstance(value, int | float) else str(escape(value))


def percent(share: float, digits: int) -> str:
    """0.987 → "98.7 %" with one digit."""
    return f"{decimal(share * 100, digits)} %"


def said_of(pattern: str, **values: Any) -> Said:
    """Returns a sentence made of a pattern that a view gives."""
    return say(pattern, **values)
