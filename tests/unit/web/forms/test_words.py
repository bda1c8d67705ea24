"""What a field is called and what is said of it: its own words, not those of an alternative, a condition or a shared definition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.posting import Page
from web.forms import ABSENT, Form
from web.forms.prose import markdown


def page_of(properties: dict[str, Any], value: Any = ABSENT, **more: Any) -> Page:
    return Page(Form({"type": "object", "properties": properties, **more}).render(value))


def labels(page: Page) -> list[str]:
    """Labels and legends, without their badges."""
    return [node.text().strip().removesuffix("optional").strip() for node in page.tree.css("label[for], legend, .check > label")]


def alternatives(page: Page) -> list[str]:
    return [text for one in page.controls if one.get("data-role") == "branch" for _, text, _ in one.options]


GEOMETRY = {"oneOf": [{"type": "string", "title": "As text"}, {"type": "integer", "title": "As number"}]}


@pytest.mark.parametrize("value", ["a", 5])
def test_the_title_of_an_alternative_names_the_choice_not_the_field(value: Any) -> None:
    page = page_of({"geometry": GEOMETRY}, {"geometry": value})
    assert "Geometry" in labels(page)
    assert not {"As text", "As number"} & set(labels(page))
    assert alternatives(page) == ["As text", "As number"]


OWN = [
    ({"$ref": "#/$defs/d"}, "A name"),
    ({"$ref": "#/$defs/d", "title": "Own"}, "Own"),
    ({"allOf": [{"$ref": "#/$defs/d"}]}, "A name"),
    ({"anyOf": [{"$ref": "#/$defs/d"}, {"type": "null"}]}, "A name"),
    ({"anyOf": [{"type": "string", "title": "Shared"}, {"type": "null"}], "title": "Own"}, "Own"),
    ({"type": "string", "if": True, "then": {"title": "Shared"}}, "A name"),
    ({"type": "string", "title": " \t\n"}, "A name"),
    ({"type": "object", "dependentSchemas": {"x": {"title": "Shared"}}, "properties": {"x": {}}}, "A name"),
]


@pytest.mark.parametrize(("schema", "label"), OWN)
def test_a_field_is_called_by_its_own_title_or_its_name(schema: Any, label: str) -> None:
    value = {"a_name": {"x": 1} if schema.get("type") == "object" else "t"}
    found = labels(page_of({"a_name": schema}, value, **{"$defs": {"d": {"type": "string", "title": "Shared"}}}))
    assert label in found
    assert "Shared" not in found


def test_the_title_of_a_condition_names_neither_the_object_nor_its_members() -> None:
    schema = {
        "type": "object",
        "properties": {"m": {"const": 1}},
        "if": True,
        "then": {"title": "Case", "properties": {"days": {"title": "Days kept"}}},
    }
    found = labels(page_of({"o": schema}, {"o": {"m": 1, "days": 3}}))
    assert "O" in found
    assert "Case" not in found
    assert "Days kept" in found, "the title of a property is its own, wherever the property is named"


def test_descriptions_go_the_same_way() -> None:
    union = {
        "oneOf": [{"type": "string", "title": "T", "description": "Of the text."}, {"type": "integer", "description": "Of the number."}]
    }
    page = page_of(
        {"a": union, "b": {"$ref": "#/$defs/d"}, "c": {**union, "description": "Of the field."}},
        {"a": "x", "c": 5},
        **{"$defs": {"d": {"type": "string", "description": "Of the definition."}}},
    )
    helps = {node.attributes["id"]: node.text() for node in page.tree.css(".field-help")}
    assert "f.ma-help" not in helps, "what an alternative says of itself stands with the choice"
    assert [text for name, text in helps.items() if name.startswith("f.ma.b")] == ["Of the text."]
    assert helps["f.mb-help"] == "Of the definition.", "what a shared definition says is true of each of its places"
    assert helps["f.mc-help"] == "Of the field."
    assert [text for name, text in helps.items() if name.startswith("f.mc.b")] == ["Of the number."]


BY_REQUIRED = [
    {"required": ["id"], "properties": {"id": {"type": "string"}}},
    {"required": ["path"], "properties": {"path": {"type": "string"}}},
]
APART: list[tuple[list[Any], list[str]]] = [
    (BY_REQUIRED, ["With id", "With path"]),
    ([{"type": "object", **one} for one in BY_REQUIRED], ["With id", "With path"]),
    ([{"type": "object", "properties": {"a": {}, "x": {}}}, {"type": "object", "properties": {"a": {}, "y": {}}}], ["With x", "With y"]),
    ([{"type": "string"}, {"type": "array"}, {"type": "boolean"}], ["Text", "List", "Yes or no"]),
    ([{"type": "string", "format": "uri"}, {"type": "string", "format": "email"}], ["Text (uri)", "Text (email)"]),
    ([{"type": "string", "minLength": 1}, {"type": "string", "maxLength": 2}], ["Text (1)", "Text (2)"]),
    ([{"properties": {"k": {"const": "a"}}}, {"properties": {"k": {"const": "b"}}}], ["a", "b"]),
    ([{"properties": {"v": {"const": 1}, "k": {"const": one}}} for one in "ab"], ["a", "b"]),
    ([{"properties": {"k": {"enum": ["a", "b"]}}}, {"properties": {"k": {"enum": ["c"]}}}], ["a / b", "c"]),
    ([{"$ref": "#/$defs/by_date"}, {"$ref": "#/$defs/t"}], ["By date", "Titled"]),
    ([{"title": "Same", **BY_REQUIRED[0]}, {"title": "Same", **BY_REQUIRED[1]}], ["Same (id)", "Same (path)"]),
    ([{"const": 5}, {"type": "string"}], ["5", "Text"]),
    ([{"allOf": [BY_REQUIRED[0]]}, {"allOf": [BY_REQUIRED[1]]}], ["With id", "With path"]),
]


@pytest.mark.parametrize(("branches", "wanted"), APART)
@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
def test_alternatives_without_a_title_are_told_apart(keyword: str, branches: list[Any], wanted: list[str]) -> None:
    definitions = {"by_date": {"type": "integer", "minimum": 1}, "t": {"type": "string", "title": "Titled"}}
    assert alternatives(page_of({"u": {keyword: branches}}, {"u": {}}, **{"$defs": definitions})) == wanted


# -- descriptions in several lines ----------------------------------------------------------------------------------------

PROSE = [
    ("one line", "one line"),
    ("first\nsecond", "first<br />\nsecond"),
    ("first\n\nsecond", "<p>first</p>\n<p>second</p>"),
    ("list:\n- a\n- b", "<p>list:</p>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
    ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>"),
    ("`code` and **bold**", "<code>code</code> and <strong>bold</strong>"),
    ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("a\n<img src=x onerror=alert(1)>", "a<br />\n&lt;img src=x onerror=alert(1)&gt;"),
    ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
    ('[x](https://e.org "a\\"b")', '<a href="https://e.org" title="a&quot;b">x</a>'),
    ("![x](https://e.org/track.png)", '!<a href="https://e.org/track.png">x</a>'),
    ("# no heading", "# no heading"),
]


@pytest.mark.parametrize(("text", "html"), PROSE)
def test_a_description_keeps_its_lines_and_lists_and_no_html(text: str, html: str) -> None:
    assert str(markdown(text)) == html


def test_a_description_of_a_field_and_of_an_alternative_is_shown_so() -> None:
    several = "First.\n\n- one\n- two"
    page = page_of(
        {
            "a": {"type": "string", "description": several},
            "u": {"oneOf": [{"type": "string", "description": several}, {"type": "null"}, {}]},
        },
        {"u": "x"},
    )
    assert [len(one.css("li")) for one in page.tree.css(".field-help")] == [2, 2]
