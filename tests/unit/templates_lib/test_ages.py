"""Relative dates: what they mean, and that what looks like one and is none is refused with the spelling that was meant."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.validation.dynamic import Known
from app.validation.dynamic import resolve as resolve_dynamic
from templates_lib import pipelines
from templates_lib.ages import NotAnAge, is_written_out, parse
from templates_lib.conditions import compared_fields, problems, read_dates, resolve

NOW = datetime(2026, 3, 31, 15, 30, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("6 months ago", datetime(2025, 9, 30, 15, 30, 45, tzinfo=UTC)),
        ("6  Months\tAGO ", datetime(2025, 9, 30, 15, 30, 45, tzinfo=UTC)),
        ("in 2 weeks", NOW + timedelta(weeks=2)),
        ("0 days ago", NOW),
        ("007 days ago", NOW - timedelta(days=7)),
        ("NOW", NOW),
        ("Today", datetime(2026, 3, 31, tzinfo=UTC)),
        ("1000 years ago", datetime(1026, 3, 31, 15, 30, 45, tzinfo=UTC)),
        ("31556952000 seconds ago", NOW - timedelta(seconds=31556952000)),
    ],
)
def test_an_age(text: str, instant: datetime) -> None:
    assert parse(text, NOW) == instant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("6 monthes ago", '"6 months ago"'),
        ("6 mnths ago", '"6 months ago"'),
        ("6 moths ago", '"6 months ago"'),
        ("3 dyas ago", '"3 days ago"'),
        ("2 weks ago", '"2 weeks ago"'),
        ("1 yaer ago", '"1 year ago"'),
        ("5 minuts ago", '"5 minutes ago"'),
        ("6 months agoo", '"6 months ago"'),
        ("6 months go", '"6 months ago"'),
        ("-6 months ago", '"6 months ago"'),
        ("- 6 months ago", '"6 months ago"'),
        ("\u22126 months ago", '"6 months ago"'),
        ("-6 months", '"6 months ago"'),
        ("+6 months", '"in 6 months"'),
        ("6months ago", '"6 months ago"'),
        ("6monthsago", '"6 months ago"'),
        ("6-months-ago", '"6 months ago"'),
        ("6_months_ago", '"6 months ago"'),
        ("six months ago", '"6 months ago"'),
        ("a year ago", '"1 year ago"'),
        ("half a year ago", '"6 months ago"'),
        ("1.5 years ago", '"18 months ago"'),
        ("1,5 hours ago", '"90 minutes ago"'),
        ("6 months", '"6 months ago" / "in 6 months"'),
        ("30d", '"30 days ago" / "in 30 days"'),
        ("3 h ago", '"3 hours ago"'),
        ("6mo ago", '"6 months ago"'),
        ("yesterday", '"1 day ago"'),
        ("yesteday", '"1 day ago"'),
        ("Tomorrow", '"in 1 day"'),
        ("last month", '"1 month ago"'),
        ("next week", '"in 1 week"'),
        ("\u0666 months ago", '"6 months ago"'),
        ("\uff16 months ago", '"6 months ago"'),
        ("6 \u043conths ago", '"6 months ago"'),
        ("6 months \u0430go", '"6 months ago"'),
        ("6 months a\u200bgo", '"6 months ago"'),
        ("6 mo\u00adnths ago", '"6 months ago"'),
        ("vor 6 Monaten", '"6 months ago"'),
        ("vor sechs Monaten", '"6 months ago"'),
        ("gestern", '"1 day ago"'),
        ("il y a 6 mois", "6 months ago"),
        ("hace 6 meses", '"6 months ago"'),
        ("6 months from now", '"in 6 months"'),
        ("6 months later", '"in 6 months"'),
        ("in six months", '"in 6 months"'),
        ("in 6 monts", '"in 6 months"'),
        ("P6M", '"6 months ago" / "in 6 months"'),
        ("-P30D", "30 days"),
        ("PT1H", "1 hour"),
        ("P1Y2M", "in 2 weeks"),
        ("now - 1 day", '"1 day ago"'),
        ("now()-30d", '"30 days ago"'),
        ("NOW() - INTERVAL 6 MONTH", '"6 months ago"'),
        ("$$NOW", '"now"'),
        ("older than 6 months", '"6 months ago"'),
        ("6 months ago!", '"6 months ago"'),
        ("1 year 2 months ago", "in 2 weeks"),
        ("6 months ago at noon", "in 2 weeks"),
        ("until 6 months ago", "in 2 weeks"),
        ("eighteen months ago", "in 2 weeks"),
        ("6 thousand days ago", "in 2 weeks"),
        ("1h30m", "in 2 weeks"),
        ("1y6m", "in 2 weeks"),
        ("start of month", "in 2 weeks"),
        ("end of last month", "in 2 weeks"),
        ("last monday", "in 2 weeks"),
        ("> 6 months", '"6 months ago"'),
        ("6 mesi fa", '"6 months ago"'),
        ("6 maanden geleden", '"6 months ago"'),
        ("6 foo ago", "in 2 weeks"),
        ("6e2 months ago", "in 2 weeks"),
        ("0x6 months ago", "in 2 weeks"),
        ("few days ago", "in 2 weeks"),
        ("this month", "in 2 weeks"),
        ("6m", "in 2 weeks"),
        ("2 fortnights ago", '"4 weeks ago"'),
        ("1 quarter ago", '"3 months ago"'),
        ("99999999999999999999 months ago", "1,000 years"),
        ("9" * 5000 + " days ago", "1,000 years"),
        ("1001 years ago", "1,000 years"),
        ("in 12001 months", "1,000 years"),
        ("999999 years ago", "1,000 years"),
        ("-99999999999999999999 months", "in 2 weeks"),
    ],
)
def test_what_looks_like_an_age_and_is_none(text: str, meant: str) -> None:
    with pytest.raises(NotAnAge) as wrong:
        parse(text, NOW)
    assert meant in wrong.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "20260101",
        "2026-W05",
        "b",
        "m",
        "d",
        "5",
        "a",
        "day",
        "month",
        "May",
        "Monday",
        "May day",
        "new",
        "not",
        "low",
        "open",
        "done",
        "high",
        "in progress",
        "ago",
        "in",
        "last",
        "one",
        "10 Downing Street",
        "5 Chicago",
        "Q3",
        "A1",
        "M5",
        "d5",
        "W12",
        "Week 12",
        "Day 3",
        "Year 2020",
        "month one",
        "2 Santiago",
        "day shift",
        "7 Tage Rennen",
        "first",
        "end",
        "100 years of solitude",
        "6 apples",
        "version 2",
        "v1.0",
        "1.2.3",
        "12:30",
        "10%",
        "65f000000000000000000001",
        "5d3e",
        "Nowak",
        "Anna",
        "Berlin",
        "today show",
        "now playing",
        "Jan 5",
        "March 2026",
        "1st",
        "",
        " ",
        "x" * 5000,
        "nan",
        "inf",
        "-",
        "+",
        "\0",
    ],
)
def test_a_plain_text(text: str) -> None:
    assert parse(text, NOW) is None
    assert list(problems({"a": {"$lt": text}, "b": text})) == []


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["6", "-", "months", "ago", "in", "a", "now", "d", "P", "٣", "1.5", "x", " "]), max_size=8).map(" ".join)
)
def test_any_text_is_an_age_or_a_text_or_is_refused(text: str) -> None:
    is_written_out(text)
    for signed in (False, True):
        with suppress(NotAnAge):
            found = parse(text, NOW, signed=signed)
            assert found is None or abs(found.year - 2026) <= 1_001


WHERE: list[tuple[dict[str, Any], str]] = [
    ({"at": {"$lt": "6 monthes ago"}}, "/at/$lt"),
    ({"at": {"$gte": "x", "$lte": "6months ago"}}, "/at/$lte"),
    ({"$and": [{"a": 1}, {"at": {"$gt": "yesterday"}}]}, "/$and/1/at/$gt"),
    ({"$or": [{"$nor": [{"at": {"$lt": "P6M"}}]}]}, "/$or/0/$nor/0/at/$lt"),
    ({"at": {"$not": {"$gte": "six months ago"}}}, "/at/$not/$gte"),
    ({"a": {"$elemMatch": {"at": {"$lt": "-6 months ago"}}}}, "/a/$elemMatch/at/$lt"),
    ({"a": {"$elemMatch": {"$lt": "6 month"}}}, "/a/$elemMatch/$lt"),
    ({"a.b/c": {"$lt": "30d"}}, "/a.b~1c/$lt"),
    ({"at": "6 months ago"}, "/at"),
    ({"at": {"$ne": "6 months ago"}}, "/at/$ne"),
    ({"at": {"$in": ["x", "in 6 months"]}}, "/at/$in/1"),
    ({"at": {"$nin": ["6 monthes ago"]}}, "/at/$nin/0"),
    ({"at": {"$eq": "6 months ago"}}, "/at/$eq"),
    ({"at": {"$lt": ["6 months ago"]}}, "/at/$lt/0"),
]


@pytest.mark.parametrize(("condition", "pointer"), WHERE)
def test_it_is_refused_wherever_it_stands(condition: dict[str, Any], pointer: str) -> None:
    assert [one.pointer for one in problems(condition, "/c")] == [f"/c{pointer}"]
    assert f"/p/0/$match{pointer}" in [one.pointer for one in pipelines.problems([{"$match": condition}], "/p")]
    graph = {"from": "x", "startWith": 1, "connectFromField": "a", "connectToField": "b", "as": "c", "restrictSearchWithMatch": condition}
    assert f"/p/0/$graphLookup/restrictSearchWithMatch{pointer}" in [
        one.pointer for one in pipelines.problems([{"$graphLookup": graph}], "/p")
    ]


def test_a_text_that_is_meant_stays_one() -> None:
    condition = {
        "a": {"$lt": {"$literal": "6 monthes ago"}},
        "b": {"$literal": "6 months ago"},
        "c": {"$in": [{"$literal": "6 months ago"}]},
        "d": "6 months",
        "e": {"$ne": "today"},
    }
    assert list(problems(condition)) == []
    assert resolve(condition, NOW) == {
        "a": {"$lt": "6 monthes ago"},
        "b": "6 months ago",
        "c": {"$in": ["6 months ago"]},
        "d": "6 months",
        "e": {"$ne": "today"},
    }
    assert list(read_dates(condition, NOW)) == []
    assert [one.pointer for one in problems({"a": {"$literal": {"$where": 1}}, "$literal": "x"})] == ["/a/$literal", "/$literal"]


def test_expressions_of_pipelines_read_what_they_compare_with() -> None:
    at = datetime(2025, 9, 30, 15, 30, 45, tzinfo=UTC)
    compare = lambda text: [{"$group": {"_id": 1, "n": {"$sum": {"$cond": [{"$lt": ["$at", text]}, 1, "6 months ago"]}}}}]
    assert pipelines.resolve(compare("6 months ago"), NOW) == compare(at)
    assert list(pipelines.problems(compare("6 months ago"), "/p")) == []
    assert [one.pointer for one in pipelines.problems(compare("6 monthes ago"), "/p")] == ["/p/0/$group/n/$sum/$cond/0/$lt/1"]
    literal = compare({"$literal": "6 monthes ago"})
    assert list(pipelines.problems(literal, "/p")) == []
    assert pipelines.resolve(literal, NOW) == literal
    bucket = [{"$bucket": {"groupBy": "$at", "boundaries": ["6 months ago", "now"]}}]
    assert pipelines.resolve(bucket, NOW) == [{"$bucket": {"groupBy": "$at", "boundaries": [at, NOW]}}]
    assert [(one.pointer, one.text, one.instant) for one in read_dates(bucket, NOW)] == [
        ("/0/$bucket/boundaries/0", "6 months ago", at),
        ("/0/$bucket/boundaries/1", "now", NOW),
    ]


def test_what_is_compared_with_what() -> None:
    query = {
        "$or": [{"a": {"$lt": NOW}}, {"b": {"$not": {"$gt": "x"}}}],
        "c": {"$elemMatch": {"d": {"$gte": 5}, "$lt": 1}},
        "e": {"$eq": NOW},
        "f": NOW,
    }
    assert list(compared_fields(query)) == [("a", NOW), ("b", "x"), ("c.d", 5), ("c", 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("6 monthes ago", "6 months ago"),
        ("30 days", "30 days ago"),
        ("--30 days", "30 days ago"),
        ("-6 months ago", "6 months ago"),
        ("+99999999999999999999 days", "1,000 years"),
        ("soon", "A relative date looks like"),
        (5, "A relative date looks like"),
        ("9" * 50, "A relative date looks like"),
    ],
)
def test_dynamic_values_read_ages_alike(text: Any, words: str) -> None:
    for value in ({"$relative": text}, f'{{{{ now | add: "{text}" }}}}'):
        found = resolve_dynamic({"x-dynamic": True}, value, Known(now=NOW))
        assert words in found.errors[0].message
    assert resolve_dynamic({"x-dynamic": True}, {"$relative": "in 2 weeks"}, Known(now=NOW)).value == "2026-04-14T15:30:45Z"
