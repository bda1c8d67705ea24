"""Defaults: a fresh form that is posted untouched is what REST stores for an empty object, whatever the schema's shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobtemplates.entry import with_defaults
from app.validation import SchemaValidator
from app.validation.defaults import MOST_FILLED
from tests.lengths import examples
from tests.posting import Page
from web.forms import ABSENT, Form

ON = {"type": "boolean", "default": True}
IF_ON = {"properties": {"m": {"const": True}}, "required": ["m"]}
TEN = {"properties": {"p": {"type": "integer", "default": 10}}, "required": ["p"]}
CONDITION = {"type": "object", "properties": {"m": ON}, "if": IF_ON, "then": TEN}
FULL = {"m": True, "p": 10}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "then": (CONDITION, FULL),
    "else": (
        {"type": "object", "properties": {"m": {"type": "boolean", "default": False}}, "if": IF_ON, "else": TEN},
        {"m": False, "p": 10},
    ),
    "dependentSchemas": ({"type": "object", "properties": {"m": ON}, "dependentSchemas": {"m": TEN}}, FULL),
    "dependentRequired": (
        {
            "type": "object",
            "properties": {"m": ON, "o": {"type": "object", "properties": {"x": {"default": 1}}}},
            "dependentRequired": {"m": ["o"]},
        },
        {"m": True, "o": {"x": 1}},
    ),
    "a chain in the wrong order": (
        {
            "type": "object",
            "properties": {"a0": {"default": True}},
            "allOf": [
                {"if": {"required": [f"a{i}"]}, "then": {"properties": {f"a{i + 1}": {"default": True}}}} for i in reversed(range(12))
            ],
        },
        {f"a{i}": True for i in range(13)},
    ),
    "a required object": ({"type": "object", "properties": {"o": CONDITION}, "required": ["o"]}, {"o": FULL}),
    "an object that is a default": ({"type": "object", "properties": {"o": {**CONDITION, "default": {}}}}, {"o": FULL}),
    "an optional object": ({"type": "object", "properties": {"o": CONDITION}}, {}),
    "entries of a list": (
        {"type": "object", "properties": {"l": {"type": "array", "items": CONDITION, "default": [{}, {"m": False}]}}},
        {"l": [FULL, {"m": False}]},
    ),
    "entries of a tuple": (
        {"type": "object", "properties": {"l": {"type": "array", "prefixItems": [{}, CONDITION], "default": [1, {}]}}},
        {"l": [1, FULL]},
    ),
    "entries of a map": (
        {"type": "object", "properties": {"o": {"type": "object", "additionalProperties": CONDITION, "default": {"k": {}}}}},
        {"o": {"k": FULL}},
    ),
    "oneOf": (
        {
            "type": "object",
            "oneOf": [
                {**CONDITION, "properties": {"m": ON, "kind": {"const": "a", "default": "a"}}, "required": ["kind"]},
                {"properties": {"kind": {"const": "b"}}, "required": ["kind"]},
            ],
        },
        {"kind": "a", **FULL},
    ),
    "anyOf with null": ({"type": "object", "properties": {"o": {"anyOf": [CONDITION, {"type": "null"}], "default": {}}}}, {"o": FULL}),
    "a union that a default of its parent decides": (
        {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"], "default": "b"}},
            "oneOf": [
                {"properties": {"kind": {"const": "a"}, "x": {"default": 1}}},
                {"properties": {"kind": {"const": "b"}, "y": {"default": 2}}},
            ],
        },
        {"kind": "b", "y": 2},
    ),
    "inside allOf and behind a reference": (
        {
            "type": "object",
            "allOf": [{"properties": {"m": ON}}, {"$ref": "#/$defs/c"}],
            "$defs": {"c": {"allOf": [{"if": IF_ON, "then": TEN}]}},
        },
        FULL,
    ),
    "a condition on a default of a member": (
        {
            "type": "object",
            "properties": {"o": {"type": "object", "default": {}, "properties": {"m": ON}}},
            "if": {"properties": {"o": IF_ON}, "required": ["o"]},
            "then": {"properties": {"o": TEN}},
        },
        {"o": FULL},
    ),
    "the root's own default": (
        {"type": "object", "default": {"a": 1}, "properties": {"a": {"default": 2}, "b": {"default": 3}}},
        {"a": 1, "b": 3},
    ),
    "a condition that its own default breaks": (
        {"type": "object", "if": {"not": {"required": ["p"]}}, "then": {"properties": {"p": {"default": 1}}}},
        {},
    ),
    "a default that is forbidden": (
        {"type": "object", "properties": {"m": ON, "days": {"default": 3}}, "if": IF_ON, "then": {"properties": {"days": False}}},
        {"m": True},
    ),
    "a default that contains itself": (
        {"type": "object", "properties": {"n": {"default": 1}, "a": {"$ref": "#", "default": {}}, "b": {"$ref": "#", "default": {}}}},
        {"n": 1},
    ),
    "a definition that is shared, not recursive": (
        {
            "type": "object",
            "allOf": [{"$ref": "#/$defs/base"}],
            "properties": {"o": {"$ref": "#/$defs/o", "default": {}}},
            "$defs": {"base": {"properties": {"id": {"default": 0}}}, "o": {"type": "object", "allOf": [{"$ref": "#/$defs/base"}]}},
        },
        {"id": 0, "o": {"id": 0}},
    ),
}


def untouched(schema: Any, value: Any = ABSENT, *, fresh: bool = False) -> Any:
    """What the form of a value posts as it came; drawn once more from its own post, it says the same."""
    form = Form(schema)
    posted = form.read(Page(form.present(value, fresh=fresh).controls).pairs())
    assert form.read(Page(form.render(submission=posted)).pairs()).value == posted.value
    return posted.value


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fresh_form_posts_what_rest_stores(shape: str) -> None:
    schema, wanted = SHAPES[shape]
    assert with_defaults(schema, {}) == wanted
    assert untouched(schema) == wanted
    assert SchemaValidator(schema).errors(wanted) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_filling_in_twice_is_filling_in_once(shape: str) -> None:
    schema, wanted = SHAPES[shape]
    assert with_defaults(schema, wanted) == wanted
    assert untouched(schema, wanted) == wanted, "an edited form adds and drops nothing"


def test_what_a_new_job_begins_with_shows_the_defaults_that_it_brings_along() -> None:
    """A preset or a copy of a job: its values stand, what they leave out is filled in as REST does it."""
    schema = {**CONDITION, "properties": {"m": {"type": "boolean"}, "q": {"default": 1}}}
    begin = {"m": True}
    assert untouched(schema, begin, fresh=True) == with_defaults(schema, begin) == {"m": True, "q": 1, "p": 10}
    assert untouched(schema, begin) == begin


def test_what_a_person_cleared_is_not_filled_in_again_while_they_type() -> None:
    form = Form({"type": "object", "properties": {"m": ON, "n": {"type": "integer", "default": 5}}, "if": IF_ON, "then": TEN})
    page = Page(form.render())
    page.editor("/n").value = ""
    drawn = Page(form.render(submission=form.read(page.pairs())))
    assert form.read(drawn.pairs()).value == FULL


def test_a_chain_is_drawn_as_a_person_begins_it() -> None:
    """The default that one answer brings fulfils the next condition at once."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "allOf": [
            {"if": {"required": ["b"]}, "then": {"properties": {"c": {"default": 3}}}},
            {"if": {"properties": {"a": {"const": True}}, "required": ["a"]}, "then": {"properties": {"b": {"default": 2}}}},
        ],
    }
    form = Form(schema)
    page = Page(form.render())
    page.editor("/a").value = "true"
    drawn = Page(form.render(submission=form.read(page.pairs())))
    assert form.read(drawn.pairs()).value == {"a": True, "b": 2, "c": 3}


def test_defaults_in_what_was_given_are_filled_in_too() -> None:
    schema = {"type": "object", "properties": {"o": CONDITION, "l": {"type": "array", "items": CONDITION}}}
    assert with_defaults(schema, {"o": {}, "l": [{}, {"m": False}]}) == {"o": FULL, "l": [FULL, {"m": False}]}


def test_a_required_object_without_defaults_is_asked_for_as_before() -> None:
    schema = {"type": "object", "properties": {"o": {"type": "object", "properties": {"x": {"type": "string"}}}}, "required": ["o"]}
    assert with_defaults(schema, {}) == {}


def test_a_default_is_a_copy() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"l": {"default": [{"a": []}]}}}
    with_defaults(schema, {})["l"][0]["a"].append(1)
    assert with_defaults(schema, {}) == {"l": [{"a": []}]}


def _mutual(names: int) -> dict[str, Any]:
    keys = [f"x{i}" for i in range(names)]
    return {
        "type": "object",
        "$ref": "#/$defs/x0",
        "$defs": {one: {"type": "object", "properties": {key: {"$ref": f"#/$defs/{key}", "default": {}} for key in keys}} for one in keys},
    }


def _pyramid(levels: int) -> dict[str, Any]:
    steps: dict[str, Any] = {
        f"l{i}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/l{i + 1}", "default": {}} for key in "ab"}}
        for i in range(levels)
    }
    return {"type": "object", "$ref": "#/$defs/l0", "$defs": {**steps, f"l{levels}": {"properties": {"v": {"default": 1}}}}}


@pytest.mark.parametrize(
    "schema",
    [
        _mutual(12),
        _pyramid(30),
        {"type": "object", "properties": {"l": {"type": "array", "default": [{}] * 5000, "items": {"properties": {"a": {"default": 1}}}}}},
        {
            "type": "object",
            "properties": {f"p{i}": {"$ref": "#/$defs/text", "default": "x" * 300_000} for i in range(3)},
            "$defs": {"text": {}},
        },
    ],
    ids=["twelve that contain each other", "two in two in two", "five thousand rows", "long texts"],
)
def test_there_is_a_bound_on_what_defaults_bring_along(schema: dict[str, Any]) -> None:
    filled = with_defaults(schema, {})
    assert _values(filled) <= max(MOST_FILLED, 5002)
    assert with_defaults(schema, filled) == filled, "the bound falls at the same place the second time"
    assert untouched(schema) == filled


def _values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values, inner))


_names = st.sampled_from(["a", "b", "c"])
_plain = st.fixed_dictionaries({}, optional={"default": st.sampled_from([True, 1, "x", {}, [], {"a": 1}])})


def _bigger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(_names, inner, max_size=3)
    part = st.fixed_dictionaries({"properties": members})
    test = st.one_of(
        st.fixed_dictionaries({"required": st.lists(_names, max_size=2, unique=True)}),
        st.fixed_dictionaries(
            {"properties": st.dictionaries(_names, st.fixed_dictionaries({"const": st.sampled_from([True, 1])}), max_size=1)}
        ),
    )
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": members},
        optional={
            "default": st.sampled_from([{}, {"a": 1}]),
            "required": st.lists(_names, max_size=2, unique=True),
            "if": test,
            "then": part,
            "else": part,
            "dependentSchemas": st.dictionaries(_names, part, max_size=1),
            "oneOf": st.lists(part, min_size=1, max_size=3),
            "anyOf": st.lists(part, min_size=1, max_size=2),
            "allOf": st.lists(part, min_size=1, max_size=2),
            "dependentRequired": st.dictionaries(_names, st.lists(_names, max_size=1), max_size=1),
        },
    )


@settings(max_examples=examples(150), deadline=None)
@given(st.recursive(_plain, _bigger, max_leaves=12).filter(lambda one: one.get("type") == "object"))
def test_form_and_rest_agree_on_schemas_that_nobody_thought_of(schema: dict[str, Any]) -> None:
    filled = with_defaults(schema, {})
    if not SchemaValidator(schema).errors(filled):
        assert json.dumps(untouched(schema), sort_keys=True) == json.dumps(filled, sort_keys=True)
    assert with_defaults(schema, filled) == filled
