"""The help page of each template: its sections, every parameter, fields by the titles of the form, an example that validates, and only
Markdown that the product shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from markdown_it import MarkdownIt

from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from app.validation.dynamic import has_any
from tests.unit.project.sources import ROOT
from web.views.templates import PARAMETERS_HEADING, parameter_rows
from web.views.templates import help_of as page_help

ENTRIES = {entry.template.type: entry for entry in Catalogue.discover() if type(entry.template).__module__.startswith("templates_lib.")}
SECTIONS = ["When to use it", PARAMETERS_HEADING.removeprefix("## "), "Example", "Result", "What can go wrong"]
LONGEST = 60  # lines
# What `web.filters.texts.markdown` renders, and the stylesheet knows how to show.
SHOWN = {
    *("heading", "paragraph", "bullet_list", "ordered_list", "list_item", "table", "thead", "tbody", "tr", "th", "td"),
    *("fence", "inline", "text", "softbreak", "code_inline", "strong", "link"),
}
# What only other renderers know: it would stand in the page as typed.
FOREIGN = re.compile(r"~~|^\s*[-*] \[[ x]\]|\[\^|^:::|^> \[!|<[a-z/!][^>]*>", re.MULTILINE | re.IGNORECASE)

every_template = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


def help_of(entry: TemplateVersion) -> str:
    return (ROOT / "templates_lib" / entry.template.type / "README.md").read_text("utf-8")


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table of a text, without its head."""
    table = text.partition("|---")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table if line.startswith("|")]


def titles(schema: Any) -> Iterator[str]:
    """The titles of all fields and choices of a schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("title"), str):
            yield schema["title"]
        for value in schema.values():
            yield from titles(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from titles(value)


def test_every_template_of_the_library_is_among_them() -> None:
    assert set(ENTRIES) == {path.parent.name for path in (ROOT / "templates_lib").glob("*/template.py")}


@every_template
def test_it_says_what_the_template_does_when_to_use_it_and_what_can_go_wrong(entry: TemplateVersion) -> None:
    text = help_of(entry)
    title, sentence, *_ = text.split("\n\n")
    assert title == f"# {entry.template.name}"
    assert sentence.partition(". ")[2] == "", "the purpose is one sentence"
    assert sentence.endswith(".")
    assert [name for name in re.findall(r"^## (.+)$", text, re.MULTILINE) if name in SECTIONS] == SECTIONS
    assert all(section(text, name).strip() for name in SECTIONS)
    assert len(text.splitlines()) <= LONGEST


@every_template
def test_it_explains_every_parameter_and_the_page_shows_the_title_of_the_field(entry: TemplateVersion) -> None:
    members = entry.parameters_schema["properties"]
    assert [name for name, _ in rows(section(help_of(entry), "Parameters"))] == [f"`{name}`" for name in members]
    shown = page_help(entry, parameter_rows(entry.parameters_schema))
    titled = [f"**{member['title']}** `{name}`" for name, member in members.items()]
    assert [field for field, _ in rows(section(shown, "Parameters"))] == titled


@every_template
def test_what_is_bold_is_the_title_of_a_field(entry: TemplateVersion) -> None:
    assert set(re.findall(r"\*\*(.+?)\*\*", _without_code(help_of(entry)))) <= set(titles(entry.parameters_schema))


@every_template
def test_its_example_validates(entry: TemplateVersion) -> None:
    example = json.loads(_fences(section(help_of(entry), "Example"))[0])
    assert not has_any(example)
    assert entry.check(example) == []


@every_template
def test_the_values_of_its_result_stand_in_the_code(entry: TemplateVersion) -> None:
    folder = ROOT / "templates_lib" / entry.template.type
    code = "".join(path.read_text("utf-8") for path in (*folder.glob("*.py"), *(ROOT / "templates_lib").glob("*.py")))
    names = [name for value, *_ in rows(section(help_of(entry), "Result")) for name in re.findall(r"`([^`]+)`", value)]
    assert names
    assert [name for name in names if f'"{name}"' not in code] == []


@every_template
def test_the_product_shows_its_markdown(entry: TemplateVersion) -> None:
    text = help_of(entry)
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    used = {token.type for block in tokens for token in (block, *(block.children or ()))}
    assert {re.sub(r"_(open|close)$", "", kind) for kind in used} <= SHOWN
    assert {token.tag for token in tokens if token.type == "heading_open"} == {"h1", "h2"}
    assert FOREIGN.findall(_without_code(text)) == []


@every_template
def test_its_links_lead_to_the_help(entry: TemplateVersion) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", help_of(entry)):
        assert target.startswith("/help/"), target
        assert (ROOT / "docs" / f"{target.removeprefix('/help/')}.md").exists(), target


@pytest.mark.parametrize("foreign", ["~~old~~", "- [ ] to do", "text[^1]", "> [!NOTE]", "a<br>b", "::: tip"])
def test_markdown_of_other_renderers_is_noticed(foreign: str) -> None:
    assert FOREIGN.search(foreign)


def _fences(text: str) -> list[str]:
    return re.findall(r"^```json\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "`…`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
