"""The gate for schemas: what comes from outside is refused in words, with nothing opened and nothing fetched."""

from __future__ import annotations

import builtins
import socket
import time
from typing import Any

import pytest

from app.validation import SchemaRefused, SchemaValidator, prepare
from app.validation.patterns import PatternRefused, PatternTooSlow, bounded, search
from app.validation.schema import DIALECT
from web.forms import Form

ENDLESS = 20.0  # seconds: a guard against what would never end; the figures are in make bench


def nested(levels: int, wrap: Any) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


def wide(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(count)}}


LOOPS = [
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    {"allOf": [{"$ref": "#"}]},
    {"anyOf": [{"not": {"$ref": "#"}}]},
    {"if": {"$ref": "#"}},
    {"dependentSchemas": {"a": {"$ref": "#"}}},
    {"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}]},
    {"$id": "http://a.example/", "oneOf": [{"$ref": "http://a.example/"}]},
]
REFUSED: list[tuple[Any, str, str]] = [
    (5, "", "is not a schema"),
    ([], "", "is not a schema"),
    ("text", "", "is not a schema"),
    (None, "", "is not a schema"),
    ({"properties": {"a": 5}}, "/properties/a", "is not valid in draft"),
    ({"type": "objekt"}, "/type", "is not valid in draft"),
    ({"minLength": -1}, "/minLength", "is not valid in draft"),
    ({"required": "a"}, "/required", "is not valid in draft"),
    ({"enum": "a"}, "/enum", "is not valid in draft"),
    ({"properties": {1: {}}}, "/properties", "key that is not text"),
    ({"default": {1, 2}}, "/default", "not a JSON value but set"),
    ({"maximum": float("nan")}, "/maximum", "not a valid JSON number"),
    ({"title": "\ud800"}, "/title", "surrogate"),
    ({"properties": {"\udfff": {}}}, "/properties", "surrogate"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "other dialects"),
    ({"$schema": "https://example.com/mine"}, "/$schema", "other dialects"),
    ({"$defs": {"a": {"$id": "b", "$schema": "http://json-schema.org/draft-04/schema#"}}}, "/$defs/a/$schema", "other dialects"),
    ({"$ref": "file:///etc/passwd"}, "/$ref", "other documents are never opened"),
    ({"$ref": "http://127.0.0.1:1/x"}, "/$ref", "other documents are never opened"),
    ({"$ref": "other.json"}, "/$ref", "other documents are never opened"),
    ({"$ref": "#/$defs/nowhere"}, "/$ref", "not in this document"),
    ({"$ref": "#anchor"}, "/$ref", "not in this document"),
    ({"items": {"$ref": "#/a/0"}, "a": {}}, "/items/$ref", "not in this document"),
    ({"$ref": DIALECT}, "/$ref", "other documents are never opened"),
    ({"$ref": "#/foo", "foo": {"type": 5}}, "/$ref/type", "is not valid in draft"),
    ({"$ref": "#/foo", "foo": 5}, "/$ref", "not a schema"),
    ({"$id": "http://[", "properties": {"a": {"$id": "b"}}}, "", "identifier"),
    ({"pattern": "("}, "/pattern", "not a valid regular expression"),
    ({"pattern": "\\"}, "/pattern", "backslash"),
    ({"pattern": "\\Z"}, "/pattern", "no meaning"),
    ({"patternProperties": {"[": {}}}, "/patternProperties/[", "not a valid regular expression"),
    ({"pattern": "^(a|aa)+$"}, "/pattern", "can take seconds"),
    ({"pattern": "^(a|a)*$"}, "/pattern", "can take seconds"),
    ({"pattern": "a" * 3000}, "/pattern", "longer than"),
    ({"pattern": "(a{1000}){1000}{1000}"}, "/pattern", ""),
    (nested(40, lambda one: {"properties": {"a": one}}), "", "levels deep"),
    (nested(100_000, lambda one: {"not": one}), "", "levels deep"),
    (nested(70, lambda one: {"allOf": [one]}), "", "levels deep"),
    (wide(70_000), "", "more than 25,000 subschemas"),
    (wide(25_100), "", "more than 25,000 subschemas"),
    ({"properties": {"a": {"allOf": [{"title": str(n)} for n in range(1600)]}}}, "/properties/a", "more than 1,500 schemas to one value"),
    ({"enum": [0] * 600_000}, "", "more than 500,000 values"),
    ({"description": "x" * 6_000_000}, "", "larger than"),
    ({"allOf": [{"pattern": f"^a{n}$"} for n in range(300)]}, "", "more than 200 patterns"),
    *((loop, "", "endlessly") for loop in LOOPS),
]


@pytest.mark.parametrize(("schema", "pointer", "reason"), REFUSED)
def test_what_is_not_taken_is_refused_in_words_and_nothing_is_opened(
    schema: Any, pointer: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"opened {args}")

    prepare({"type": "string"})  # whatever is loaded once is loaded now
    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(builtins, "open", forbidden)
    begun = time.monotonic()
    with pytest.raises(SchemaRefused) as caught:
        Form(schema)
    assert time.monotonic() - begun < ENDLESS
    assert caught.value.pointer.startswith(pointer)
    assert reason in caught.value.reason
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        False,
        wide(1400),
        {"$schema": DIALECT + "#"},
        {"$ref": "#/$defs/a%25b", "$defs": {"a%b": {}}},
        {"$defs": {"n": {"$anchor": "n", "items": {"$ref": "#n"}}}, "$ref": "#n"},
        {"$id": "http://a.example/x", "$defs": {"b": {"$id": "y", "type": "string"}}, "$ref": "y"},
        {"const": {"$schema": "http://json-schema.org/draft-04/schema#", "$id": "x"}},
        {"pattern": "^f.*o$"},
        {"properties": {"$ref": {"type": "string"}}},
        {"enum": [{"$ref": "nowhere"}]},
        {"$comment": "x", "x-other": {"$ref": 5}},
        nested(30, lambda one: {"properties": {"a": one}}),
        {"definitions": {"a": {"type": "string"}}, "$ref": "#/definitions/a"},
        {"properties": {"a": {"properties": {"b": {"$ref": "#/properties/a"}}}}},
    ],
)
def test_what_is_sound_is_taken(schema: Any) -> None:
    assert Form(schema).read([]).root


def test_a_schema_is_prepared_once_and_numbered_alike() -> None:
    schema = {"properties": {"a": {"enum": [1]}, "b": {"oneOf": [{"const": 1}, {"type": "array"}]}}}
    assert prepare(schema) is prepare({"properties": {"a": {"enum": [1]}, "b": {"oneOf": [{"const": 1}, {"type": "array"}]}}})
    assert sorted(prepare(schema).numbers.values()) == list(range(5))
    assert prepare(schema).schema is not schema, "whoever changes theirs does not change ours"


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a\n", False),
        ("^\\d+$", "٣", False),
        ("^\\w$", "é", False),
        ("^\\s$", "\ufeff", True),
        (".", "\u2028", False),
        ("\\cA", "\x01", True),
        ("\\u{1F642}", "🙂", True),
        ("\\u0061", "a", True),
        ("\\x61", "a", True),
        ("[^]", "\n", True),
        ("[]", "a", False),
        ("\\p{L}", "é", True),
        ("(?<n>a)\\k<n>", "aa", True),
        ("[[]", "[", True),
        ("[a&&b]", "&", True),
        ("a/b", "a/b", True),
        ("[^^]", "^", False),
        ("^[\\D]$", "٣", True),
        ("\\/", "/", True),
        ("^[\\w-]+$", "a-b", True),
        ("$^", "", True),
    ],
)
def test_patterns_mean_what_ecma_262_says(pattern: str, text: str, matches: bool) -> None:
    assert search(pattern, text) is matches


def test_a_match_that_takes_too_long_is_given_up_and_told() -> None:
    slow, text = "^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 3000
    with pytest.raises(PatternTooSlow):
        search(slow, text)
    begun = time.monotonic()
    found = SchemaValidator({"items": {"pattern": slow}}).errors([f"{text}{n}" for n in range(100)])
    assert time.monotonic() - begun < ENDLESS
    assert "takes too long to compare" in found[0].message
    members = SchemaValidator({"patternProperties": {slow: False}, "additionalProperties": {"type": "integer"}}).errors({text: "x"})
    assert [error.message for error in members] == ["must be a whole number"], "a name that cannot be compared counts as unmatched"
    with pytest.raises(PatternRefused):
        search("(", "")


def test_all_matches_of_one_judgement_share_a_time() -> None:
    slow, text = "^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 3000
    with bounded():
        for _ in range(30):
            with pytest.raises(PatternTooSlow):
                search(slow, text)
        with pytest.raises(PatternTooSlow):
            search("a", "a")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "email",
            ["a@b.c", '"quoted @ text"@example.com', "a@[127.0.0.1]", "a@[IPv6:::1]", "ü@exämple.com"],
            ["@", "a@", ".a@b.c", "a..b@c.d", "a b@c.d", "a@b@c", "a@-b.c", "a@[999.0.0.1]"],
        ),
        (
            "date-time",
            ["2026-03-29T02:30:00Z", "1998-12-31T23:59:60Z", "1998-12-31T15:59:60.123-08:00"],
            [
                "2026-02-30T00:00:00Z",
                "2026-03-29 02:30:00Z",
                "2026-03-29T24:00:00Z",
                "1998-12-31T22:59:60Z",
                "2026-03-29T02:30:00",
                "２026-03-29T02:30:00Z",
            ],
        ),
        ("cron", ["0 2 * * 0", "*/5 * * * * *", "0 0 29 2 *"], ["", "60 * * * *", "* * * *", "０ 2 * * *", "a b c d e"]),
        ("timezone", ["Europe/Berlin", "UTC"], ["", "Mars/Olympus", "../etc/passwd"]),
        ("duration", ["PT1H30M", "P1W", "P1DT12H"], ["P", "PT", "P1D1W", "1h", "P٣D"]),
        ("color", ["#1a7f64", "#FFFFFF"], ["red", "#fff", "#12345g"]),
        ("uuid", ["2eb8aa08-aa98-11ea-b4aa-73b441d16380"], ["2eb8aa08aa9811eab4aa73b441d16380", "x"]),
        ("regex", ["^a$"], ["(", "^(a|a)*$"]),
        ("json", ["{}", "5", " null "], ["", "{", "a", "[" * 100_000]),
        ("iri", ["https://exämple.com/ü"], ["/a", "http:// x"]),
        ("idn-hostname", ["exämple.com"], ["", "-a.com", "a" * 300]),
        ("unknown", ["anything"], []),
    ],
)
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    validator = SchemaValidator({"format": name})
    assert [text for text in good if validator.errors(text)] == []
    assert [text for text in bad if not validator.errors(text)] == []
    assert validator.errors(5) == [], "what is no text has no format"
