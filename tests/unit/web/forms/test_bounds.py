"""No drawing is larger than a page can be, whatever the schema or the value; what is not drawn is not lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.posting import Page
from web.forms import ABSENT, Form
from web.forms.field import Field
from web.forms.form import Submission
from web.forms.limits import MOST_FIELDS, MOST_OPTIONS

MOST_BYTES = 6_000_000  # of HTML: MOST_FIELDS fields and MOST_OPTIONS options
NODE: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
}


def _tree(levels: int, width: int) -> dict[str, Any]:
    return {"name": "n", "kids": [_tree(levels - 1, width) for _ in range(width)] if levels else []}


def _rows(*, count: int, **members: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    item = {"type": "object", "properties": members}
    return {"type": "object", "properties": {"l": {"type": "array", "items": item}}}, {"l": [{} for _ in range(count)]}


ALTERNATIVES = {
    "oneOf": [
        {"type": "object", "properties": {f"m{i}_{j}": {"type": "string"} for j in range(4)}, "required": [f"m{i}_0"]} for i in range(120)
    ]
}
LARGE: dict[str, tuple[Any, Any]] = {
    "many rows": (_rows(count=0, a={})[0], {"l": [{"a": str(i)} for i in range(10_000)]}),
    "a list of texts": ({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}}, {"l": ["x"] * 5000}),
    "a large map": ({"type": "object", "additionalProperties": {"type": "string"}}, {f"k{i}": "v" for i in range(5000)}),
    "a deep tree": ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, _tree(6, 4)),
    "a chain": ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, _tree(24, 1)),
    "wide rows": _rows(count=60, **{f"m{i}": {"type": "string"} for i in range(400)}),
    "one huge enum": ({"type": "object", "properties": {"e": {"enum": list(range(50_000))}}}, {"e": 49_999}),
    "a large enum in many rows": _rows(count=300, e={"enum": [f"value {i}" for i in range(3000)]}),
    "many alternatives in many rows": _rows(count=300, u=ALTERNATIVES),
    "wide and deep": (
        {
            "type": "object",
            "properties": {f"a{i}": {"type": "object", "properties": {f"b{j}": {"type": "string"} for j in range(30)}} for i in range(40)},
        },
        {f"a{i}": {f"b{j}": "x" for j in range(30)} for i in range(40)},
    ),
    "keys that are very long": ({"type": "object", "properties": {f"{i}" * 30_000: {"type": "string"} for i in range(9)}}, {}),
    "long descriptions in many rows": _rows(count=600, t={"type": "string", "description": "word " * 2000}),
    "long examples in many rows": _rows(count=600, t={"type": "string", "examples": ["x" * 20_000, *(f"example {i}" for i in range(40))]}),
    "names of entries in many rows": _rows(
        count=300, t={"type": "object", "propertyNames": {"enum": [f"n{i}" for i in range(900)]}, "additionalProperties": True}
    ),
    "long titles": ({"type": "object", "properties": {f"t{i}": {"type": "string", "title": "T" * 8000} for i in range(100)}}, {}),
    "long values to choose from": ({"type": "object", "properties": {"e": {"enum": [f"{i}" * 8000 for i in range(9)]}}}, {}),
    "a fresh list that wants 10,000 entries": (
        {
            "type": "object",
            "properties": {"l": {"type": "array", "minItems": 10_000, "items": NODE}},
            "required": ["l"],
            "$defs": {"node": NODE},
        },
        ABSENT,
    ),
}


def drawn(form: Form, value: Any = ABSENT, **more: Any) -> tuple[Page, Field, str]:
    """The page, the fields that it has, its HTML."""
    html = str(form.present(value, **more).controls)
    page = Page(html)
    return page, form.read(page.pairs()).root, html


@pytest.mark.parametrize("case", LARGE)
def test_a_drawing_is_bounded_and_loses_nothing(case: str) -> None:
    schema, value = LARGE[case]
    form = Form(schema)
    page, root, html = drawn(form, value)
    posted = form.read(page.pairs(), stored=value)
    assert sum(1 for _ in root.walk()) <= MOST_FIELDS + 1
    assert sum(len(one.options) for one in page.controls) <= 2 * MOST_OPTIONS
    assert len(html) < MOST_BYTES
    if value is not ABSENT:
        assert posted.value == value
        assert form.read(drawn(form, submission=posted)[0].pairs(), stored=value).value == value


def test_what_is_too_much_stands_as_json_says_so_and_is_drawn_on_request() -> None:
    schema = {
        "type": "object",
        "properties": {
            "first": {"type": "array", "items": {"type": "string"}},
            "second": {"type": "array", "items": {"type": "integer"}},
        },
    }
    value = {"first": ["x"] * (MOST_FIELDS - 100), "second": list(range(150))}
    form = Form(schema)
    page, root, _ = drawn(form, value)
    assert (root.members["first"].control.name, root.members["second"].control.name) == ("array", "source")
    assert "Its value is kept" in page.text
    assert json.loads(page.editor("/second").value) == value["second"]
    button = next(one for one in page.controls if one.get("value", "") == "form f.msecond")
    opened = form.apply(form.read(page.pairs()), button["value"])
    again, root, _ = drawn(form, submission=opened)
    assert root.members["second"].control.name == "array"
    assert form.read(again.pairs()).value == value


def test_what_is_wrong_inside_json_that_was_too_much_is_told_at_it() -> None:
    schema, _ = _rows(count=0, a={"type": "integer"})
    form = Form(schema)
    page, *_ = drawn(form, {"l": [{"a": i} for i in range(5000)]})
    page.editor("/l").value = page.editor("/l").value.replace("4999", '"x"')
    posted = form.read(page.pairs())
    assert [error.pointer for error in posted.errors] == ["/l/4999/a"]
    assert "must be a whole number" in Page(form.render(submission=posted)).text


def test_a_choice_of_too_many_values_keeps_what_is_chosen_and_takes_others_as_json() -> None:
    form = Form({"type": "object", "properties": {"e": {"enum": [f"v{i}" for i in range(MOST_OPTIONS + 1)]}}})
    page, *_ = drawn(form, {"e": "v9999"})
    assert len(page.editor("/e").options) < 50
    assert "edit this field as JSON" in page.text
    button = next(one for one in page.controls if one.get("value", "") == "json f.me")
    typed = form.apply(form.read(page.pairs()), button["value"])
    page = Page(form.render(submission=typed))
    page.editor("/e").value = '"v8888"'
    posted: Submission = form.read(page.pairs())
    assert (posted.value, posted.errors) == ({"e": "v8888"}, ())


def test_a_row_can_be_added_where_the_page_is_full() -> None:
    form = Form({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}}}})
    page, *_ = drawn(form, {"l": ["x"] * (MOST_FIELDS - 1)})
    more = form.apply(form.read(page.pairs()), "add f.ml")
    assert form.read(drawn(form, submission=more)[0].pairs()).value["l"] == ["x"] * (MOST_FIELDS - 1) + [""]


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf", "allOf"])
@pytest.mark.parametrize("leaf", [{"type": "integer"}, {"type": "string"}])
def test_recursion_through_unions_is_judged_in_steps_that_grow_with_the_value(keyword: str, leaf: dict[str, Any]) -> None:
    """Two branches that both go deeper double the work at each level, unless what is known is kept: 2 ** 30 steps would not end."""
    branch = {"type": "object", "properties": {"c": {"anyOf": [{"$ref": "#/$defs/v"}, leaf]}}}
    branches = [branch, {**branch, **({} if keyword == "allOf" else {"required": ["never"]})}]
    schema = {"type": "object", "$ref": "#/$defs/v", "$defs": {"v": {keyword: branches}}}
    value: Any = 1
    for _ in range(30):
        value = {"c": value}
    form = Form(schema)
    posted = form.read(drawn(form, value)[0].pairs(), stored=value)
    assert posted.value == value
    assert posted.valid == (leaf["type"] == "integer")
