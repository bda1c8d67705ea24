"""Conditions: what is let through, what dates mean, and what is seen to match everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from templates_lib.conditions import always_true, problems, relative_date, resolve

NOW = datetime(2026, 3, 31, 15, 30, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 months ago", datetime(2025, 9, 30, 15, 30, 45, tzinfo=UTC)),
        ("1 month ago", datetime(2026, 2, 28, 15, 30, 45, tzinfo=UTC)),
        ("2 years ago", datetime(2024, 3, 31, 15, 30, 45, tzinfo=UTC)),
        ("1 day ago", NOW - timedelta(days=1)),
        ("90 Minutes ago", NOW - timedelta(minutes=90)),
        ("in 2 weeks", NOW + timedelta(weeks=2)),
        ("now", NOW),
        ("today", datetime(2026, 3, 31, tzinfo=UTC)),
        (" 3 hours ago ", NOW - timedelta(hours=3)),
        ("999999 years ago", None),
        ("six months ago", None),
        ("6 months", None),
        ("6 months ago!", None),
        ("٦ months ago", None),
        ("", None),
    ],
)
def test_relative_dates(text: str, expected: datetime | None) -> None:
    assert relative_date(text, NOW) == expected


def test_only_comparisons_turn_text_into_dates() -> None:
    found = resolve(
        {
            "a": {"$lt": "1 day ago", "$ne": "1 day ago"},
            "b": "now",
            "c": {"$in": ["today"]},
            "d": {"$gte": "b"},
            "e": {"$elemMatch": {"at": {"$gt": "today"}}},
        },
        NOW,
    )
    assert found == {
        "a": {"$lt": NOW - timedelta(days=1), "$ne": "1 day ago"},
        "b": "now",
        "c": {"$in": ["today"]},
        "d": {"$gte": "b"},
        "e": {"$elemMatch": {"at": {"$gt": NOW.replace(hour=0, minute=0, second=0)}}},
    }


def test_extended_json_becomes_what_it_says() -> None:
    oid = "65f000000000000000000001"
    found = resolve({"_id": {"$oid": oid}, "n": {"$gt": {"$numberLong": "5"}}, "at": {"$lt": {"$date": "2026-01-01T00:00:00Z"}}}, NOW)
    assert found["_id"] == ObjectId(oid)
    assert found["n"] == {"$gt": Int64(5)}
    assert found["at"]["$lt"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("condition", "pointer"),
    [
        ({"$where": "sleep(1000)"}, "/$where"),
        ({"a": {"$where": "1"}}, "/a/$where"),
        ({"$expr": {"$gt": [1, 0]}}, "/$expr"),
        ({"a": {"$function": {}}}, "/a/$function"),
        ({"$or": [{"a": 1}, {"b": {"$accumulator": 1}}]}, "/$or/1/b/$accumulator"),
        ({"$and": []}, "/$and"),
        ({"$or": {"a": 1}}, "/$or"),
        ({"$text": {"$search": "x"}}, "/$text"),
        ({"$jsonSchema": {}}, "/$jsonSchema"),
        ({"a": {"$in": 5}}, "/a/$in"),
        ({"a": {"$not": 5}}, "/a/$not"),
        ({"a": {"$not": {"$out": 1}}}, "/a/$not/$out"),
        ({"a": {"$elemMatch": {"b": {"$where": 1}}}}, "/a/$elemMatch/b/$where"),
        ({"a": {"$regex": 5}}, "/a/$regex"),
        ({"a": {"$regex": "x" * 501}}, "/a/$regex"),
        ({"a": {"$date": "never"}}, "/a"),
        ({"a": {"$oid": "zz"}}, "/a"),
        ({"a": 2**70}, "/a"),
        ({"": 1}, "/"),
        ({"a\0": 1}, "/a\0"),
        ({"a/b~": {"$bad": 1}}, "/a~1b~0/$bad"),
        ({"a": {"b": {"$where": 1}}}, "/a/b/$where"),
        ({"a": {"$gt": {"x": {"$merge": 1}}}}, "/a/$gt/x/$merge"),
        ({"a": [{"$where": 1}]}, "/a/0/$where"),
        ("x", ""),
        ([], ""),
    ],
)
def test_what_is_not_allowed_is_named_where_it_is(condition: Any, pointer: str) -> None:
    assert [problem.pointer for problem in problems(condition)] == [pointer]


def test_depth_is_bounded() -> None:
    for wrap in (lambda inner: {"$and": [inner]}, lambda inner: {"a": {"$not": {"$elemMatch": inner}}}, lambda inner: {"a": {"b": inner}}):
        deep: Any = {"a": 1}
        for _ in range(60):
            deep = wrap(deep)
        assert any("deep" in problem.message for problem in problems(deep))


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"_id": {"$exists": True}},
        {"_id": {"$ne": None}},
        {"_id": {"$gt": {"$minKey": 1}}},
        {"a": {"$nin": []}},
        {"_id": {"$nin": [None]}},
        {"$and": [{}, {"_id": {"$exists": 1}}]},
        {"$or": [{"a": 1}, {}]},
        {"$or": [{"a": {"$exists": True}}, {"a": {"$exists": False}}]},
        {"$nor": [{"a": {"$in": []}}]},
        {"$nor": [{"_id": None}]},
        {"a": {"$not": {"$in": []}}},
        {"_id": {"$not": {"$exists": False}}},
        {"_id": {"$exists": True}, "b": {"$nin": []}},
        {"_id": {"$lte": {"$maxKey": 1}}},
    ],
)
def test_conditions_that_match_everything(condition: dict[str, Any]) -> None:
    assert list(problems(condition)) == []
    assert always_true(condition)


@pytest.mark.parametrize(
    "condition",
    [
        {"a": 1},
        {"_id": {"$exists": False}},
        {"a": {"$exists": True}},
        {"a": {"$ne": None}},
        {"$or": [{"a": 1}, {"b": 2}]},
        {"a": {"$nin": [1]}},
        {"$and": [{}, {"a": 1}]},
        {"$nor": [{}]},
        {"_id": {"$gt": 5}},
        {"$or": [{"a": {"$exists": True}}, {"b": {"$exists": False}}]},
        {"a": {}},
        {"lastActive": {"$lt": "6 months ago"}},
        {"_id": {"$exists": True}, "a": 1},
        {"_id": {"$in": []}},
        {"a": {"$not": {"$in": [1]}}},
    ],
)
def test_conditions_that_do_not(condition: dict[str, Any]) -> None:
    assert not always_true(condition)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(st.text(max_size=4), st.sampled_from(["$and", "$or", "$not", "$in", "$lt", "$date", "$elemMatch", "_id", "$regex"])),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_judged_without_a_crash_and_what_passes_resolves(value: Any) -> None:
    if not list(problems(value)):
        resolved = resolve(value, NOW)
        assert "$where" not in str(resolved)
        assert always_true(value) in {True, False}
