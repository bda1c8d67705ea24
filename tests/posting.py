"""What a browser makes of a form: parsed as HTML5 by lexbor, posted as the HTML Living Standard says (4.10.5.1, 4.10.21)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode

from selectolax.lexbor import LexborHTMLParser

Pairs = list[tuple[str, str]]


@dataclass
class Control:
    """One input, select, textarea or button, with its attributes and what it holds."""

    tag: str
    attributes: dict[str, str]
    value: str
    checked: bool = False
    options: list[tuple[str, str, bool]] = field(default_factory=list)  # (value, text, selected)
    text: str = ""

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def choose(self, text: str) -> None:
        """Pick an option by its words, as a person does."""
        self.value = next(value for value, words, _ in self.options if words == text)


class Page:
    """A form as a browser holds it."""

    def __init__(self, html: str) -> None:
        tree = LexborHTMLParser(f"<!doctype html><form>{html}</form>")
        self.tree = tree
        self.text = tree.body.text() if tree.body else ""
        self.ids = [node.attributes["id"] for node in tree.css("[id]")]
        assert len(self.ids) == len(set(self.ids)), f"an id twice: {sorted(one for one in self.ids if self.ids.count(one) > 1)[:3]}"
        self.described = [one for node in tree.css("[aria-describedby]") for one in (node.attributes["aria-describedby"] or "").split()]
        self.labels = {node.attributes["for"] for node in tree.css("label[for]")}
        self.rows = [node.attributes["data-row"] for node in tree.css("[data-row]")]
        self.controls = [self._control(node) for node in tree.css("input, select, textarea, button")]

    def _control(self, node: Any) -> Control:
        attributes = {name: value or "" for name, value in node.attributes.items()}
        made = Control(node.tag, attributes, attributes.get("value", ""), "checked" in attributes, text=node.text().strip())
        if node.tag == "textarea":
            made.value = node.text(strip=False)
        elif node.tag == "select":
            made.options = [
                ((one.attributes.get("value") if "value" in one.attributes else one.text()) or "", one.text(), "selected" in one.attributes)
                for one in node.css("option")
            ]
            chosen = [value for value, _, selected in made.options if selected]
            made.value = chosen[-1] if chosen else made.options[0][0] if made.options else ""
        return made

    def pairs(self) -> Pairs:
        """What "Save" would post, in order, through the wire."""
        found = []
        for one in self.controls:
            name = one.get("name")
            if not name or one.tag == "button" or "disabled" in one.attributes:
                continue
            if one.get("type") in {"checkbox", "radio"} and not one.checked:
                continue
            found.append((name, _sanitised(one)))
        return wire(found)

    def press(self, button: Control) -> tuple[Pairs, str]:
        """What a button posts, and the action that it stands for."""
        return [*self.pairs(), (button["name"], button["value"])], button["value"]

    def all(self, pointer: str, *roles: str) -> list[Control]:
        """The controls of a place that play one of the roles."""
        return [one for one in self.controls if one.attributes.get("data-pointer") == pointer and one.get("data-role") in roles]

    def at(self, pointer: str, role: str = "value") -> Control:
        """The one control of a place that plays a role."""
        found = self.all(pointer, role)
        assert found, (
            f"nothing plays {role} at {pointer!r}; there are {sorted({(c.get('data-pointer'), c.get('data-role')) for c in self.controls})}"
        )
        return found[-1]

    def editor(self, pointer: str) -> Control:
        """The control that edits a value, whichever it is."""
        found = self.all(pointer, "value", "json")
        assert found, f"nothing edits {pointer!r}"
        return found[0]


def _sanitised(one: Control) -> str:
    """The value sanitization algorithm of the control's type."""
    kind, value = one.get("type", "text"), one.value
    if one.tag == "textarea" or kind in {"hidden", "checkbox", "radio"} or one.tag == "select":
        return value
    value = re.sub("[\r\n]", "", value)
    if kind in {"email", "url"}:
        value = value.strip(" \t\n\f\r")
    if kind == "date":
        try:
            date.fromisoformat(value)
        except ValueError:
            value = ""
    if kind == "color" and not re.fullmatch("#[0-9a-f]{6}", value):
        value = "#000000"
    return value


def wire(pairs: Pairs) -> Pairs:
    """The pairs encoded and decoded as application/x-www-form-urlencoded: line breaks become CRLF, half surrogates are lost."""
    lines = [(name, re.sub("\r\n|\r|\n", "\r\n", value)) for name, value in pairs]
    return parse_qsl(urlencode(lines, errors="replace"), keep_blank_values=True)


def text(answer: Any) -> str:
    return str(answer.get_data(as_text=True))


def post(client: Any, page_path: str, changes: dict[str, str], *, action: str | None = None, to: str | None = None, **more: Any) -> Any:
    """Fetch a page, fill its form at some pointers or names, and post all of it."""
    html = text(client.get(page_path))
    main = html[html.index("<main") :]
    page = Page(main)
    names = {}
    for key, value in changes.items():
        editors = page.all(key, "value", "json") or [one for one in page.controls if one.get("data-pointer") == key]
        names[editors[0]["name"] if editors else key] = value
    pairs: list[tuple[str, str]] = []
    for name, value in page.pairs():
        if name == "s.type":
            continue
        pairs.append((name, names.pop(name, value)))
    pairs += [(name, value) for name, value in names.items() if value != "\0"]
    if action:
        pairs.append(tuple(action.split("=", 1)))  # type: ignore[arg-type]
    data: dict[str, list[str]] = {}
    for name, value in pairs:
        data.setdefault(name, []).append(value)
    return client.post(to or page_path, data=data, **more)
