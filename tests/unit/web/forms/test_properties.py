"""Schemas and values that hypothesis makes up, through HTML parsed as a browser does: what is shown is what comes back."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lengths import examples
from tests.posting import Page
from web.forms import ABSENT, Form, SchemaRefused
from web.forms.values import same

CALM = settings(max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

names = st.one_of(
    st.sampled_from(
        ["a", "b", "kind", "a.b", "a/b", "a~1b", "[0]", 'q"q', " ", "", "__proto__", "🙂", "d", "o", "f.action", "é\u0301", "x\ny", "-2d-"]
    ),
    st.text(max_size=4),
).filter(lambda text: not any("\ud800" <= ch <= "\udfff" for ch in text))
texts = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            " lead and trail ",
            "line\nline",
            "\n",
            "cr\rlf\r\n",
            "\x00",
            "a\tb",
            "ünï🙂",
            "</textarea><script>",
            "&amp;",
            "2026-01-01",
            "k1",
            "n",
        ]
    ),
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs"]), max_size=1),
)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**53 + 1, -(2**63), 10**30, 0, -1, 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 1e-7, 1e22, 4.02, 5e-324, 1.0]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)), max_leaves=6
)

TYPES = ["string", "integer", "number", "boolean", "null", "object", "array"]
leaf_keywords = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), min_size=1, max_size=4, unique=True)),
        "title": texts.filter(lambda text: not any("\ud800" <= ch <= "\udfff" for ch in text)),
        "description": st.sampled_from(["*x*", "<b>", ""]),
        "enum": st.lists(values.filter(lambda one: "\\ud" not in json.dumps(one)), min_size=1, max_size=4),
        "deprecated": st.booleans(),
        "minimum": st.integers(-3, 3),
        "maximum": st.integers(0, 9),
        "multipleOf": st.sampled_from([1, 0.01, 2.5]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 5),
        "pattern": st.sampled_from(["^[a-z]*$", "a|b", "^\\d+$", "(?=x)x", "\\p{L}"]),
        "uniqueItems": st.booleans(),
        "format": st.sampled_from(["email", "date", "color", "uri", "date-time", "cron", "timezone", "duration", "multiline", "unknown"]),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 3),
        "x-widget": st.sampled_from(["textarea", "json", "radio", "rows", "select", "search", "checkboxes", "date"]),
        "examples": st.just(["one", 2]),
        "x-section": st.sampled_from(["First", "Second"]),
        "x-order": st.integers(0, 3),
    },
)


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(names, inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from([["object", "null"], "object", "array", ["array", "object"], ["object", "string"]]),
            "properties": named,
            "required": st.lists(names, max_size=2, unique=True),
            "additionalProperties": st.one_of(st.booleans(), inner),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "."]), inner, max_size=2),
            "propertyNames": st.sampled_from([True, {"maxLength": 3}, {"enum": ["a", "b"]}]),
            "items": st.one_of(st.booleans(), inner),
            "prefixItems": some,
            "contains": inner,
            "uniqueItems": st.booleans(),
            "oneOf": some,
            "anyOf": some,
            "allOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentSchemas": named,
            "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
            "unevaluatedProperties": st.one_of(st.booleans(), inner),
            "unevaluatedItems": st.one_of(st.booleans(), inner),
            "$ref": st.sampled_from(["#/$defs/leaf", "#/$defs/tree"]),
            "const": values.filter(lambda one: "\\ud" not in json.dumps(one)),
        },
    )


subschemas = st.recursive(st.one_of(st.booleans(), leaf_keywords), composed, max_leaves=10)
schemas = st.one_of(leaf_keywords, composed(subschemas)).map(
    lambda schema: {
        **schema,
        "$defs": {
            "leaf": {"type": "string"},
            "tree": {"type": "object", "properties": {"deep": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["label"]},
        },
    }
)


def compiled(schema: Any) -> Form | None:
    """The form; None for a schema that refers to itself endlessly."""
    try:
        return Form(schema)
    except SchemaRefused:
        return None


@CALM
@given(schemas, values)
def test_any_value_in_any_form_comes_back_as_it_was(schema: Any, value: Any) -> None:
    form = compiled(schema)
    if form is None:
        return
    submission = form.read(Page(form.render(value)).pairs())
    assert same(submission.value, value)
    assert kinds(submission.value) == kinds(value), "absent, null, empty and false differ"
    assert submission.valid == (form._shared.validator.errors(value) == [])
    again = form.read(Page(form.render(submission=submission)).pairs())
    assert same(again.value, value), "a page that comes back says the same"


@CALM
@given(schemas)
def test_a_fresh_form_is_drawn_and_what_it_posts_is_stable(schema: Any) -> None:
    form = compiled(schema)
    if form is None:
        return
    first = form.read(Page(form.render()).pairs())
    second = form.read(Page(form.render(submission=first)).pairs())
    third = form.read(Page(form.render(submission=second)).pairs())
    assert same_or_absent(second.value, third.value)


@settings(max_examples=examples(350), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(schemas, values, st.data())
def test_no_button_and_no_post_breaks_a_form(schema: Any, value: Any, data: st.DataObject) -> None:
    """Buttons pressed, branches, types and states chosen at random, names and texts made up: always a page that can be read again."""
    form = compiled(schema)
    if form is None:
        return
    page = Page(form.render(value))
    for _ in range(3):
        for select in [one for one in page.controls if one.get("data-role") in {"branch", "type", "state"} and one.options]:
            if data.draw(st.booleans()):
                select.value = data.draw(st.sampled_from([option for option, _, _ in select.options]))
        pairs = page.pairs()
        if pairs and data.draw(st.booleans()):
            index = data.draw(st.integers(0, len(pairs) - 1))
            pairs[index] = (
                pairs[index][0],
                data.draw(
                    st.one_of(texts.filter(str.isprintable), st.sampled_from(["object v", "array e", "choice v 0.1", "9", "checks v 3"]))
                ),
            )
        submission = form.read(pairs)
        buttons = [one for one in page.controls if one.tag == "button"]
        made_up = data.draw(st.text(string.printable, max_size=12))
        action = data.draw(st.sampled_from([one["value"] for one in buttons])) if buttons and data.draw(st.booleans()) else made_up
        submission = form.apply(submission, action)
        page = Page(form.render(submission=submission))
        assert same_or_absent(form.read(page.pairs()).value, submission.value)


def same_or_absent(left: Any, right: Any) -> bool:
    return left is right or (left is not ABSENT and right is not ABSENT and same(left, right))


def kinds(value: Any) -> Any:
    """The shape of a value: what is there, and of which type."""
    if isinstance(value, dict):
        return {key: kinds(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [kinds(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
