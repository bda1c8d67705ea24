"""Schemas of older drafts mean the same after their conversion."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator, Draft201909Validator

from app.validation import SchemaRefused, SchemaValidator
from app.validation.formats import checker
from app.validation.older import Draft, converted, draft_of
from app.validation.schema import prepare

VALIDATORS: dict[Draft, Any] = {
    Draft.DRAFT_04: Draft4Validator,
    Draft.DRAFT_06: Draft6Validator,
    Draft.DRAFT_07: Draft7Validator,
    Draft.DRAFT_2019_09: Draft201909Validator,
}
FOLDERS = {Draft.DRAFT_04: "draft4", Draft.DRAFT_06: "draft6", Draft.DRAFT_07: "draft7", Draft.DRAFT_2019_09: "draft2019-09"}


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> dict[Draft, dict[str, list[dict[str, Any]]]]:
    """The official tests of the older drafts, out of the sdist of the jsonschema that is installed."""
    folder = tmp_path_factory.mktemp("suites")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "jsonschema"]
    subprocess.run([*fetch, "--dest", str(folder), f"jsonschema=={version('jsonschema')}"], check=True, timeout=300)
    return {draft: _files(next(folder.glob("jsonschema-*.tar.gz")), f"/json/tests/{name}/") for draft, name in FOLDERS.items()}


def _files(archive: Path, place: str) -> dict[str, list[dict[str, Any]]]:
    with tarfile.open(archive) as sdist:
        paths = sorted(name for name in sdist.getnames() if place in name and name.endswith(".json"))
        files = {path.partition(place)[2].removesuffix(".json"): sdist.extractfile(path) for path in paths}
        return {name: json.load(file) for name, file in files.items() if file}


URIS = {
    Draft.DRAFT_04: "http://json-schema.org/draft-04/schema#",
    Draft.DRAFT_06: "http://json-schema.org/draft-06/schema#",
    Draft.DRAFT_07: "http://json-schema.org/draft-07/schema#",
    Draft.DRAFT_2019_09: "https://json-schema.org/draft/2019-09/schema",
}
# Groups whose schemas refer to other documents, or name a dialect of the suite's own; and instances that are judged by optional rules.
REFUSED = {
    Draft.DRAFT_04: {"definitions": 1, "ref": 1, "refRemote": 8},
    Draft.DRAFT_06: {"definitions": 1, "ref": 1, "refRemote": 11},
    Draft.DRAFT_07: {"definitions": 1, "optional/cross-draft": 1, "ref": 1, "refRemote": 11},
    Draft.DRAFT_2019_09: {"defs": 1, "optional/cross-draft": 2, "ref": 1, "refRemote": 15, "vocabulary": 2},
}
DIFFERENT = {
    Draft.DRAFT_04: {"optional/zeroTerminatedFloats": 1},  # 1.0 is an integer since draft-06
    Draft.DRAFT_06: {},
    Draft.DRAFT_07: {"optional/content": 4},  # what a text encodes is not judged
    Draft.DRAFT_2019_09: {"optional/dependencies-compatibility": 14},  # `dependencies` is not a keyword of this draft
}
INSTANCES = {Draft.DRAFT_04: 842, Draft.DRAFT_06: 1122, Draft.DRAFT_07: 1436, Draft.DRAFT_2019_09: 1821}


@pytest.mark.parametrize("draft", list(URIS))
def test_the_official_tests_of_an_older_draft_hold_after_the_conversion(draft: Draft, suites: dict[Draft, Any]) -> None:
    judged, refused, different = 0, Counter[str](), Counter[str]()
    for file, groups in suites[draft].items():
        for group in groups:
            schema = {"$schema": URIS[draft], **group["schema"]} if isinstance(group["schema"], dict) else group["schema"]
            try:
                validator = SchemaValidator(converted(schema).schema, stored=False)
            except SchemaRefused:
                refused[file] += 1
                continue
            for test in group["tests"]:
                judged += 1
                different[file] += (not validator.errors(test["data"])) != test["valid"]
    assert dict(refused) == REFUSED[draft]
    assert {file: count for file, count in different.items() if count} == DIFFERENT[draft]
    assert judged == INSTANCES[draft]


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "bb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def older_schemas(draft: Draft) -> st.SearchStrategy[Any]:
    """Schemas with the keywords that the drafts treat differently, on every level."""
    exclusive = st.booleans() if draft is Draft.DRAFT_04 else st.integers(-2, 2)

    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        below = inner if draft is Draft.DRAFT_04 else inner | st.booleans()
        lists = st.lists(below, min_size=1, max_size=2)
        needed = st.lists(NAMES, min_size=1, max_size=2, unique=True)
        keywords: dict[str, st.SearchStrategy[Any]] = {
            "type": st.sampled_from(["object", "array", "string", "number"]),
            "minimum": st.integers(-2, 2),
            "items": inner | lists,  # jsonschema stumbles over a boolean beside additionalItems
            "additionalItems": below,
            "properties": st.dictionaries(NAMES, below, max_size=2),
            "additionalProperties": st.booleans() | below,
            "dependencies": st.dictionaries(NAMES, needed | below, max_size=2),
            "allOf": lists,
            "anyOf": lists,
            "not": below,
            "const": st.integers(-1, 1),
            "contains": below,
            "propertyNames": st.just({"maxLength": 0}),
            "if": below,
            "then": below,
            "else": below,
            "dependentRequired": st.dictionaries(NAMES, needed, max_size=1),
            "unevaluatedItems": st.booleans(),
            "unevaluatedProperties": st.booleans(),
            "prefixItems": lists,
            "$ref": st.sampled_from(["#/definitions/d", "#/definitions/e/items/0", "#/definitions/f/additionalItems"]),
        }
        if draft is Draft.DRAFT_2019_09:
            keywords |= {"minContains": st.integers(0, 2)}
            # With a schema there, jsonschema takes all other members for unevaluated (_legacy_keywords.py, as of 4.x).
            keywords |= {"additionalProperties": st.booleans()}
        plain = st.fixed_dictionaries({}, optional=keywords)
        bounded = st.fixed_dictionaries({"minimum": st.integers(-2, 2), "exclusiveMinimum": exclusive})
        return plain | bounded

    level = deeper(st.just({}))
    return st.fixed_dictionaries({"$schema": st.just(URIS[draft]), "allOf": st.lists(deeper(level), min_size=1, max_size=2)})


@pytest.mark.parametrize("draft", list(URIS))
@given(data=st.data())
def test_a_converted_schema_judges_as_the_validator_of_its_draft_does(draft: Draft, data: st.DataObject) -> None:
    schema = data.draw(older_schemas(draft)) | {
        "definitions": {
            "d": {"type": "string"},
            "e": {"items": [{"type": "array", "items": {"type": "integer"}}]},
            "f": {"items": [{}], "additionalItems": {"type": "object"}},
        }
    }
    validator = SchemaValidator(converted(schema).schema, stored=False)
    for value in data.draw(st.lists(VALUES, min_size=1, max_size=4)):
        assert (not validator.errors(value)) == VALIDATORS[draft](schema, format_checker=checker).is_valid(value), (schema, value)


def notes(schema: dict[str, Any]) -> dict[str, str]:
    return {change.pointer: change.text for change in converted(schema).changes}


def test_each_change_is_noted_at_its_place_in_the_older_schema() -> None:
    schema = {
        "$schema": URIS[Draft.DRAFT_04],
        "id": "https://example.com/root",
        "definitions": {"pair": {"items": [{"type": "string"}, {"minimum": 0, "exclusiveMinimum": True}], "additionalItems": False}},
        "properties": {
            "a/b": {"$ref": "#/definitions/pair", "minItems": 5},
            "first": {"$ref": "#/definitions/pair/items/0"},
            "id": {"id": "#own", "const": 3},
        },
        "dependencies": {"first": ["id"], "id": {"required": ["first"]}},
        "maximum": 3,
        "exclusiveMaximum": False,
        "additionalItems": True,
    }
    conversion = converted(schema)
    assert conversion.source is Draft.DRAFT_04
    assert conversion.schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/root",
        "$defs": {"pair": {"prefixItems": [{"type": "string"}, {"exclusiveMinimum": 0}], "items": False}},
        "properties": {
            "a/b": {"$ref": "#/$defs/pair"},
            "first": {"$ref": "#/$defs/pair/prefixItems/0"},
            "id": {"$anchor": "own"},
        },
        "dependentRequired": {"first": ["id"]},
        "dependentSchemas": {"id": {"required": ["first"]}},
        "maximum": 3,
    }
    assert notes(schema) == {
        "/id": "`id` became `$id`",
        "/definitions": "`definitions` became `$defs`",
        "/definitions/pair/items": "`items` became `prefixItems`",
        "/definitions/pair/items/1/exclusiveMinimum": "`exclusiveMinimum` is now the number that `minimum` was",
        "/definitions/pair/additionalItems": "`additionalItems` became `items`",
        "/properties/a~1b/minItems": "`minItems` was removed: draft-04 ignores it beside `$ref`",
        "/properties/a~1b/$ref": "now leads to `#/$defs/pair`",
        "/properties/first/$ref": "now leads to `#/$defs/pair/prefixItems/0`",
        "/properties/id/id": "`id: #own` became `$anchor: own`",
        "/properties/id/const": "`const` was removed: draft-04 has no such keyword",
        "/dependencies": "`dependencies` became `dependentSchemas`",
        "/exclusiveMaximum": "`exclusiveMaximum` was removed: it has no effect here",
        "/additionalItems": "`additionalItems` was removed: it has no effect without a list in `items`",
    }


@pytest.mark.parametrize(
    ("schema", "draft"),
    [
        ({"type": "object"}, Draft.DRAFT_2020_12),
        ({"minimum": 1, "exclusiveMinimum": True}, Draft.DRAFT_04),
        ({"properties": {"a": {"items": [{}]}}}, Draft.DRAFT_07),
        ({"properties": {"a": {"dependencies": {"b": ["c"]}}}}, Draft.DRAFT_07),
        ({"$recursiveRef": "#"}, Draft.DRAFT_2019_09),
        ({"default": {"items": [1]}, "properties": {"items": {}}}, Draft.DRAFT_2020_12),
        ({"$schema": "https://json-schema.org/draft-07/schema"}, Draft.DRAFT_07),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, None),
        ({"$schema": "https://example.com/own"}, None),
    ],
)
def test_the_draft_is_the_named_one_or_that_of_its_keywords(schema: dict[str, Any], draft: Draft | None) -> None:
    assert draft_of(schema) is draft


def test_a_schema_of_today_is_not_touched() -> None:
    schema = {"properties": {"a": {"$ref": "#/definitions/b", "minLength": 2}}, "definitions": {"b": {"type": "string"}}}
    assert converted(schema).schema is schema
    assert converted(True).schema is True
    assert converted({"$schema": "https://example.com/own"}).changes == ()


def test_too_large_a_schema_is_refused_before_it_is_converted() -> None:
    deep: dict[str, Any] = {"$schema": URIS[Draft.DRAFT_07]}
    for _ in range(80):
        deep = {"not": deep}
    with pytest.raises(SchemaRefused, match="levels deep"):
        converted({"$schema": URIS[Draft.DRAFT_07], "not": deep})


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": URIS[Draft.DRAFT_2019_09], "contains": {}, "unevaluatedItems": False, "allOf": 5},
        {"$schema": URIS[Draft.DRAFT_07], "$defs": 5, "definitions": {}},
        {"$schema": URIS[Draft.DRAFT_07], "$id": "//[bad", "properties": {"a": {"$ref": "//[bad#/x"}}},
        {"$schema": URIS[Draft.DRAFT_07], "items": [{}], "properties": {"a": {"$ref": f"#/items/{'9' * 5000}"}}},
    ],
)
def test_what_is_no_schema_is_converted_and_then_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaRefused):
        prepare(converted(schema).schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": f"#{'/a' * 200_000}"}}},  # a pointer that is deeper than any schema
        {  # many targets beside much that holds no schema
            "properties": {f"p{number}": {"$ref": f"#/x/t{number}"} for number in range(4_000)},
            "x": {f"u{number}": [1] * 20 for number in range(5_000)},
        },
    ],
)
def test_a_hostile_schema_is_converted_in_a_time_that_grows_with_its_size(schema: dict[str, Any]) -> None:
    begin = time.process_time()
    converted({"$schema": URIS[Draft.DRAFT_07], **schema})
    assert time.process_time() - begin < 8
