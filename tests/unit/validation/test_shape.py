"""The fast check of a schema's shape says the same as the metaschema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.validation.shape import _CHECKS, shape_error

METASCHEMA: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)
SCALARS = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(-1, 2) | st.sampled_from(["", "a", "#", "x#", "string", "1a", "array"])
VALUES = st.recursive(
    SCALARS | st.just({}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", *_CHECKS]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(_CHECKS)), VALUES, min_size=1, max_size=4))
def test_what_the_table_takes_the_metaschema_takes_too(schema: dict[str, Any]) -> None:
    assert (shape_error(schema) is None) == METASCHEMA.is_valid(schema), schema


@pytest.mark.parametrize("keyword", sorted(_CHECKS))
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        1.0,
        1.5,
        10**30,
        "",
        "a",
        "#a",
        "string",
        [],
        ["a", "a"],
        ["string"],
        [{}],
        [5],
        {},
        {"a": {}},
        {"a": 5},
        {"a": ["b"]},
    ],
)
def test_each_keyword_takes_what_the_metaschema_takes(keyword: str, value: Any) -> None:
    schema = {keyword: value}
    assert (shape_error(schema) is None) == METASCHEMA.is_valid(schema)


def test_the_error_of_a_deep_place_has_its_pointer_and_the_words_of_the_metaschema() -> None:
    schema = {"$defs": {"a/b": {"properties": {"x": {"anyOf": [{}, {"type": "objekt"}]}}}}}
    assert shape_error(schema) == ("/$defs/a~1b/properties/x/anyOf/1/type", "'objekt' is not valid under any of the given schemas")
