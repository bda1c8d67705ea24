"""JSON Schema from type hints, and values of those types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Final, Literal, NewType, NotRequired, Optional, Required, TypedDict, TypeVar, Union
from uuid import UUID

import pytest
from jobwright_client import About, DeclarationError, InvalidConfig
from jobwright_client.schema import member, members_of, read, schema_of, to_json
from jsonschema import Draft202012Validator


class Tone(Enum):
    PLAIN = "plain"
    FESTIVE = "festive"


class Pairs(Enum):
    FIRST = (1, 2)
    SECOND = (3, 4)


class Empty(Enum): ...


UserId = NewType("UserId", int)


@dataclass
class Address:
    street: str
    number: int = 1


@dataclass
class Digest:
    batch_size: Annotated[int, About("Readers per batch.", name="batchSize", title="Batch size", minimum=1, maximum=1000)]
    tone: Tone = Tone.PLAIN
    mode: Literal["fast", "slow", 3] = "fast"
    note: Annotated[str | None, "Shown in the footer."] = None
    share: float = 0.5
    to: list[str] = field(default_factory=list)
    tags: set[int] = field(default_factory=lambda: {2, 1})
    pair: tuple[int, str] = (1, "a")
    weights: dict[str, float] = field(default_factory=dict)
    home: Address = field(default_factory=lambda: Address("Long Lane"))
    since: date = date(2026, 1, 1)
    free: Any = None


@dataclass
class Checked:
    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size must not be negative")


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)


class Options(TypedDict, total=False):
    name: Required[str]
    count: int


class Totals(TypedDict):
    name: str
    count: NotRequired[Annotated[int, "How many."]]


DESCRIBED = {"type": "string", "description": "First.", "minLength": 1, "maxLength": 5, "pattern": "^a"}


def schema(owner: Any) -> dict[str, Any]:
    return schema_of(members_of(owner))


def test_a_dataclass_becomes_an_object_with_all_that_its_hints_say() -> None:
    found = schema(Digest)
    Draft202012Validator.check_schema(found)
    assert found["required"] == ["batchSize"]
    assert found["additionalProperties"] is False
    properties = found["properties"]
    assert properties["batchSize"] == {
        "type": "integer",
        "title": "Batch size",
        "description": "Readers per batch.",
        "minimum": 1,
        "maximum": 1000,
    }
    assert properties["tone"] == {"enum": ["plain", "festive"], "default": "plain"}
    assert properties["mode"] == {"enum": ["fast", "slow", 3], "default": "fast"}
    assert properties["note"] == {"type": ["string", "null"], "description": "Shown in the footer.", "default": None}
    assert properties["share"] == {"type": "number", "default": 0.5}
    assert properties["to"] == {"type": "array", "items": {"type": "string"}, "default": []}
    assert properties["tags"] == {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "default": [1, 2]}
    assert properties["pair"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert properties["weights"] == {"type": "object", "additionalProperties": {"type": "number"}, "default": {}}
    assert properties["home"]["default"] == {"street": "Long Lane", "number": 1}
    assert properties["home"]["required"] == ["street"]
    assert properties["since"] == {"type": "string", "format": "date", "default": "2026-01-01"}
    assert properties["free"] == {"default": None}


@pytest.mark.parametrize("owner", [Options, Totals])
def test_a_typed_dict_says_which_members_are_required(owner: Any) -> None:
    assert schema(owner)["required"] == ["name"]
    assert read({"name": "x"}, owner, "") == {"name": "x"}
    assert read({"name": "x", "count": 2}, owner, "") == {"name": "x", "count": 2}
    with pytest.raises(InvalidConfig, match="/name: is required"):
        read({"count": 2}, owner, "")


def test_a_type_that_contains_itself_becomes_a_definition() -> None:
    @dataclass
    class Holder:
        tree: Tree

    found = schema_of([member("tree", Tree, Tree("root"))])
    assert found["properties"]["tree"]["$ref"] == "#/$defs/Tree"
    value = {"tree": {"name": "root", "children": [{"name": "leaf", "children": []}]}}
    Draft202012Validator(found).validate(value)
    assert not Draft202012Validator(found).is_valid({"tree": {"name": "root", "children": [{}]}})
    assert read(value["tree"], Tree, "") == Tree("root", [Tree("leaf")])


def test_two_types_of_one_name_that_contain_themselves_have_two_definitions() -> None:
    twin = make_dataclass("Tree", ["twins"])
    twin.__annotations__["twins"] = list[twin]  # type: ignore[valid-type]
    found = schema_of([member("tree", Tree, None), member("twin", twin, None), member("again", twin, None)])
    assert found["$defs"].keys() == {"Tree", "Tree2"}
    assert found["properties"]["again"]["$ref"] == found["properties"]["twin"]["$ref"] == "#/$defs/Tree2"
    Draft202012Validator(found).validate({"tree": {"name": "a"}, "twin": {"twins": [{"twins": []}]}})


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Optional[int], {"type": ["integer", "null"]}),  # noqa: UP045 - as older programs write it
        (Union[int, str], {"type": ["integer", "string"]}),  # noqa: UP007 - as older programs write it
        (int | list[str], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (datetime, {"type": "string", "format": "date-time"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (list, {"type": "array"}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (Literal[Tone.PLAIN, None], {"enum": ["plain", None]}),
        (Pairs, {"enum": [[1, 2], [3, 4]]}),
        (UserId, {"type": "integer"}),
        (Final[int], {"type": "integer"}),
        (dict, {"type": "object"}),
        (dict[str, Any], {"type": "object"}),
        (Any, {}),
        (Annotated[str, "First.", About(min_length=1, max_length=5, pattern="^a")], DESCRIBED),
    ],
)
def test_other_types(hint: Any, expected: dict[str, Any]) -> None:
    found = schema_of([member("it", hint, "x")])["properties"]["it"]
    found.pop("default")
    assert found == expected


@pytest.mark.parametrize(
    "hint",
    [
        bytes,
        object(),
        dict[int, str],
        complex,
        list[bytes],
        bytes | None,
        [int],
        {"a": int},
        5,
        "int |",
        Literal[b"x"],
        Empty,
        TypeVar("T"),
    ],
)
def test_a_type_without_a_form_in_json_is_refused_at_its_place(hint: Any) -> None:
    with pytest.raises(DeclarationError, match="config.it"):
        schema_of([member("it", hint, None)])


def test_a_default_without_a_form_in_json_is_refused() -> None:
    with pytest.raises(DeclarationError, match="has no form in JSON"):
        to_json(object(), "config.it")


def test_a_value_is_read_into_its_types() -> None:
    value = {
        "batchSize": 5,
        "tone": "festive",
        "mode": 3,
        "share": 1,
        "tags": [3, 3],
        "pair": [2, "b"],
        "home": {"street": "x"},
        "since": "2026-02-03",
        "later": "unknown",
    }
    digest = read(value, Digest, "")
    assert digest == Digest(5, Tone.FESTIVE, 3, None, 1.0, tags={3}, pair=(2, "b"), home=Address("x"), since=date(2026, 2, 3))
    assert isinstance(digest.share, float)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3.0, int, 3),
        ("2026-11-29T09:00:00Z", datetime, datetime(2026, 11, 29, 9, tzinfo=UTC)),
        ("6f1c1c0e-0000-4000-8000-000000000000", UUID, UUID("6f1c1c0e-0000-4000-8000-000000000000")),
        ("a", int | str, "a"),
        (1, str | int, 1),
        (True, int | bool, True),
        (None, int | None, None),
        ({"street": "x"}, Address | None, Address("x")),
        ([[1], [2]], list[tuple[int, ...]], [(1,), (2,)]),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ([1], Sequence[int], [1]),
        ("plain", Literal[Tone.PLAIN], Tone.PLAIN),
        ([3, 4], Pairs, Pairs.SECOND),
        (7, UserId, 7),
    ],
)
def test_values_of_other_types(value: Any, hint: Any, expected: Any) -> None:
    found = read(value, hint, "")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        ({"batchSize": "5"}, Digest, "/batchSize: must be a whole number"),
        ({"batchSize": True}, Digest, "/batchSize: must be a whole number"),
        ({"batchSize": 1.5}, Digest, "/batchSize: must be a whole number"),
        ({}, Digest, "/batchSize: is required"),
        ({"batchSize": 1, "tone": "x"}, Digest, "/tone: must be one of: 'plain', 'festive'"),
        ({"batchSize": 1, "to": ["a", 2]}, Digest, "/to/1: must be text"),
        ({"batchSize": 1, "to": "a"}, Digest, "/to: must be a list"),
        ({"batchSize": 1, "pair": [1]}, Digest, "/pair: must have 2 entries"),
        ({"batchSize": 1, "home": {"street": 1}}, Digest, "/home/street: must be text"),
        ({"batchSize": 1, "since": "yesterday"}, Digest, "/since: must be a date, such as 2026-11-29"),
        ({"a/b": "x"}, dict[str, int], "/a~1b: must be a whole number"),
        ({"street": 3}, Address | None, "/street: must be text"),
        ([], Digest, "/: must be an object"),
        ("x", datetime, "/: must be a time"),
        (4, UUID, "/: must be a UUID"),
        (1, Literal[True], "/: must be one of: True"),
        ([1, 3], Pairs, "/: must be one of: [1, 2], [3, 4]"),
        (10**400, float, "/: is too large a number"),
        ({"size": -1}, Checked, "/: size must not be negative"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(value: Any, hint: Any, words: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        read(value, hint, "")
    assert str(error.value).startswith(words)
