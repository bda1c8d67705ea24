"""What the store can hold: the check agrees with BSON itself, and the repair makes something storable of anything."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, UserDict, deque
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.validation.storable import (
    DEEPEST,
    MOST_BYTES,
    MOST_REPORTED_BYTES,
    InexactNumber,
    decimal_of,
    make_storable,
    storable_text,
    unstorable,
    whole_of,
)
from tests.lengths import examples

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
TEXT = st.text(st.characters(), max_size=8)  # halves of surrogate pairs and NUL too
SCALAR = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def held(value: Any) -> Any:
    """What BSON gives back. Raises as bson.encode does."""
    return bson.decode(bson.encode({"v": value}), CODEC)["v"]


def encodes(value: Any) -> bool:
    try:
        back = held(value)
        json.dumps(back, allow_nan=False)
    except (bson.errors.BSONError, OverflowError, ValueError, UnicodeError):
        return False
    return bool(back == value)


# -- the check -----------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(200), deadline=None)
@given(JSON)
def test_the_check_finds_exactly_what_bson_does_not_give_back(value: Any) -> None:
    assert encodes(value) is (unstorable(value) == [])


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"n": 2**63}, "/n"),
        ({"n": -(2**63) - 1}, "/n"),
        ({"a/b": [1, {"~": 10**400}]}, "/a~1b/1/~0"),
        ({"a": {"x\0y": 1}}, "/a/x\0y"),
        ({"\0": 1}, "/\0"),
        ({"a": {"\ud800": 1}}, "/a"),
        ({"a": ["\udfff"]}, "/a/0"),
        ({"n": math.nan}, "/n"),
        ({"n": [math.inf]}, "/n/0"),
        ({"n": decimal_of("12345678901234567.89")}, "/n"),
        ({"n": decimal_of("1e999")}, "/n"),
        ({"n": whole_of("9" * 5000)}, "/n"),
        ({"n": {1, 2}}, "/n"),
        ({1: 2}, ""),
        (nested(DEEPEST + 1), "/0" * DEEPEST),
        ("x" * MOST_BYTES, ""),
        ({"a": [0] * 400_000}, ""),
        ([[]] * 400_000, ""),
    ],
)
def test_an_error_stands_at_its_pointer(value: Any, pointer: str) -> None:
    assert [error.pointer for error in unstorable(value)] == [pointer]
    assert [error.pointer for error in unstorable(value, prefix="/parameters")] == [f"/parameters{pointer}"]


@pytest.mark.parametrize(
    "value",
    [2**63 - 1, -(2**63), 2**53 + 1, {"": "a\0b"}, {"$a.b": {"$ref": 1}}, 1.5, 5e-324, 1e308, nested(DEEPEST), "😀", -0.0],
    ids=lambda value: str(value)[:20],
)
def test_what_can_be_held_is_no_error(value: Any) -> None:
    assert unstorable(value) == []
    assert held(value) == value


def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert unstorable(value)
    wide: Any = []
    for _ in range(60):  # 2**60 entries of which each is told apart from no other
        wide = [wide, wide]
    assert unstorable(wide)


def test_one_hopeless_value_is_no_megabyte_of_errors() -> None:
    assert len(unstorable([2**64] * 10_000)) == 100


@pytest.mark.parametrize(
    "text", ["0.1", "1.50", "1e5", "1E+5", "-0", "-0.0", "100000000000000000000.0", "0e999999999999", "5e-324", "123456789.12"]
)
def test_a_decimal_that_a_float_is_written_as_is_exact(text: str) -> None:
    assert not isinstance(decimal_of(text), InexactNumber)


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567.89",
        "0.1000000000000000055511151231257827",
        "1e999",
        "-1e999",
        "1e-999",
        "0.00000001e-400",
        "1e99999999999999999999999",
        f"0.{'1' * 50_000}",
    ],
)
def test_a_decimal_that_no_float_is_written_as_is_known_with_its_text(text: str) -> None:
    found = decimal_of(text)
    assert isinstance(found, InexactNumber)
    assert found.text == text


@settings(max_examples=examples(150))
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_survives_its_own_text(value: float) -> None:
    assert not isinstance(decimal_of(repr(value)), InexactNumber)


# -- the repair ----------------------------------------------------------------------------------------------------------


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


class Lies:
    """Its texts are no texts."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]

    __repr__ = __str__


class BadKey(str):
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")


class BadDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no")


class Endless(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            yield str(number)
            number += 1


class Halfway(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        yield "a"


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


class OddDate(datetime):
    def astimezone(self, *_: Any) -> Any:
        raise RuntimeError("no")


def recursive() -> Any:
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)
    return value


def shared() -> Any:
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    return value


ODD = [
    {1, 2, 3},
    frozenset({"a"}),
    {1, "a"},
    (1, 2),
    b"abc",
    bytearray(b"abc"),
    memoryview(b"abc"),
    2**200,
    -(2**70),
    2**100_000,
    math.nan,
    -math.inf,
    {"a\0b": 1},
    {"\ud800": "\udfff"},
    {1: 2, "1": 3, None: 4, (1, 2): 5, False: 6},
    nested(5_000),
    recursive(),
    shared(),
    Broken(),
    [Broken()],
    {Broken(): Broken()},
    Lies(),
    {BadKey("k"): BadKey("v")},
    BadDict(a=1),
    Endless(),
    Halfway(),
    Colour.RED,
    Level.ONE,
    {Level.ONE: Colour.RED},
    OrderedDict(a=1),
    UserDict(a=1),
    deque([1]),
    datetime.min.replace(tzinfo=UTC).replace(tzinfo=None),
    datetime.max.replace(tzinfo=UTC).replace(tzinfo=None),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
    OddDate(2026, 1, 1, tzinfo=UTC),
    date(2026, 1, 1),
    timedelta(1),
    Decimal("1.5"),
    Decimal("NaN"),
    Fraction(1, 3),
    UUID(int=1),
    Path("/x"),
    object(),
    object,
    len,
    (n for n in range(3)),
    iter([1]),
    range(10**9),
    1j,
    ...,
    NotImplemented,
    RuntimeError("x"),
    "x" * (MOST_REPORTED_BYTES + 10),
    "é" * MOST_REPORTED_BYTES,
    ["abc"] * 2_000_000,
    {"x" * (MOST_REPORTED_BYTES + 10): 1},
    {"\0" * MOST_REPORTED_BYTES: 1},
    {"a": {"b": [bson.Int64(2**40), bson.ObjectId(), bson.Decimal128("1.5"), bson.Regex("a")]}},
]
HASHABLE = SCALAR | st.binary(max_size=3) | st.tuples(SCALAR) | st.datetimes() | st.decimals() | st.builds(Broken) | st.builds(BadKey, TEXT)
ANY = st.recursive(
    HASHABLE | st.sampled_from(ODD[:9]) | st.builds(Lies) | st.dates() | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.sets(SCALAR, max_size=4) | st.tuples(inner, inner) | st.dictionaries(SCALAR, inner, max_size=4)
    ),
    max_leaves=12,
)


def plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and plain(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(plain, value))
    return type(value) in {type(None), bool, int, float, str, datetime}


@pytest.mark.parametrize("place", range(len(ODD)))
@pytest.mark.parametrize("around", [lambda odd: odd, lambda odd: {"a": [1, odd, 2]}])
def test_anything_is_made_storable(place: int, around: Any) -> None:
    made = make_storable(around(ODD[place]))
    assert held(made.value) == made.value
    assert plain(made.value)
    assert len(bson.encode({"v": made.value})) <= MOST_REPORTED_BYTES + 1000
    held([{"pointer": one.pointer, "reason": one.reason[:]} for one in made.replaced])


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(ANY)
def test_whatever_is_reported_is_made_storable(value: Any) -> None:
    made = make_storable(value)
    assert held(made.value) == made.value
    assert plain(made.value)
    again = make_storable(made.value)
    assert (again.value, again.replaced) == (made.value, ())


@settings(max_examples=examples(150), deadline=None)
@given(JSON)
def test_what_can_be_held_is_not_changed(value: Any) -> None:
    made = make_storable(value)
    if unstorable(value) == []:
        assert (made.value, made.replaced) == (value, ())
    else:
        assert made.replaced


@pytest.mark.parametrize("most", [0, 1, 40, 1000])
@pytest.mark.parametrize(
    "value", [{"a": "x" * 5000, "b": [1] * 5000}, "é" * 5000, [["a"]] * 5000, 2**300, b"x"], ids=lambda value: str(value)[:10]
)
def test_a_bound_of_bytes_is_kept(most: int, value: Any) -> None:
    made = make_storable(value, most_bytes=most)
    assert len(bson.encode({"v": made.value})) <= most + 200
    assert made.replaced


def test_what_was_replaced_is_named_with_its_place_and_reason() -> None:
    made = make_storable({"x": 2**200, "y": [1, {"k\0": b"abcde"}], "s": "a\ud800"})
    assert made.value == {"x": str(2**200), "y": [1, {"k␀": "5 bytes of application/octet-stream"}], "s": "a\ufffd"}
    assert [(one.pointer, one.reason[:]) for one in made.replaced] == [
        ("/x", "is a whole number of more than 64 bits"),
        ("/y/1/k␀", "had a name that is not text or cannot be stored"),
        ("/y/1/k␀", "is bytes, not text"),
        ("/s", "contained half of a surrogate pair, which is not valid text"),
    ]


def test_names_that_become_the_same_stay_two() -> None:
    assert make_storable({1: "a", "1": "b", "1 (2)": "c"}).value == {"1": "a", "1 (2)": "b", "1 (2) (2)": "c"}


@pytest.mark.parametrize(
    "value", [None, 1, 2**10_000, [1, "\ud800"], {"a": {"b": object}}, "x" * 100_000, math.nan, b"bytes"], ids=range(8)
)
def test_a_text_of_anything_is_short_and_can_be_kept(value: Any) -> None:
    text = storable_text(value, 4_000)
    assert len(text) <= 4_000
    assert encodes(text)
    assert not unstorable(text)
