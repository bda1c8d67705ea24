"""Dynamic values: what they become, what they refuse, and that nothing in them is code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.validation.dynamic import Known, resolve

NOW = datetime(2026, 3, 31, 12, 30, 15, tzinfo=UTC)
PREVIOUS = {
    "id": "e0",
    "result": {"count": 7, "names": ["a", "b"], "deep": {"x": {"y": 1.5}}, "at": "2026-03-01T00:00:00Z"},
    "completed_at": NOW,
}
KNOWN = Known(now=NOW, execution_id="e1", scheduled_for=NOW, job_id="j1", job_name="Nightly", previous=PREVIOUS)
ANY: dict[str, Any] = {"x-dynamic": True}


def became(value: Any, known: Known = KNOWN, schema: Any = ANY) -> Any:
    found = resolve(schema, value, known)
    assert found.errors == []
    return found.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ now }}", "2026-03-31T12:30:15Z"),
        ("{{now|date}}", "2026-03-31"),
        ("{{ now | time }}", "12:30:15"),
        ('{{ now | add: "-1 month" | date }}', "2026-02-28"),
        ('{{ now | add: "+1 year" | format: "%d.%m.%Y" }}', "31.03.2027"),
        ('{{ now | begin_of: "week" | date }}', "2026-03-30"),
        ('{{ now | begin_of: "month" }}', "2026-03-01T00:00:00Z"),
        ('{{ now | in_zone: "Europe/Berlin" | time }}', "14:30:15"),
        ("{{ execution.id }}", "e1"),
        ("{{ job.name | upper }}", "NIGHTLY"),
        ("{{ previous.result.count }}", 7),
        ("  {{ previous.result.count }}  ", 7),
        ("{{ previous.result.deep.x.y }}", 1.5),
        ("{{ previous.result.names }}", ["a", "b"]),
        ("{{ previous.result.names.1 }}", "b"),
        ("{{ previous.result.names | count }}", 2),
        ('{{ previous.result.names | join: ", " }}', "a, b"),
        ('{{ previous.result.at | add: "+1 day" | date }}', "2026-03-02"),
        ("{{ previous.result.count | plus: 3 }}", 10),
        ("{{ previous.result.none | default: 0 }}", 0),
        ('{{ previous.result.none | default: "x" | upper }}', "X"),
        ("n={{ previous.result.count }}, {{ now | date }}.", "n=7, 2026-03-31."),
        ("list {{ previous.result.names }}", 'list ["a", "b"]'),
        ('{{ "{{" }} and {{ "a\\"b" }}', '{{ and a"b'),
        ("no expression", "no expression"),
        ("a } b }} c", "a } b }} c"),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    assert became(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-30 days", "2026-03-01T12:30:15Z"),
        ("+2 hours", "2026-03-31T14:30:15Z"),
        ("1 month ago", "2026-02-28T12:30:15Z"),
        ("now", "2026-03-31T12:30:15Z"),
        ("today", "2026-03-31T00:00:00Z"),
        ("- 1 Week", "2026-03-24T12:30:15Z"),
    ],
)
def test_relative_dates(text: str, value: str) -> None:
    assert became({"$relative": text}) == value
    assert became({"since": [{"$relative": text}]}) == {"since": [value]}


def test_a_relative_date_is_a_day_where_the_schema_has_one() -> None:
    assert became({"$relative": "-1 day"}, schema={"type": "string", "format": "date", "x-dynamic": True}) == "2026-03-30"


@pytest.mark.parametrize(
    "text",
    [
        "{{ }}",
        "{{ nwo }}",
        "{{ now",
        "{{ now | }}",
        "{{ now | nothing }}",
        '{{ now | date: "x" }}',
        "{{ now | add }}",
        '{{ now | add: "soon" }}',
        '{{ now | add: "30 days" }}',
        '{{ now | add: "-999999 years" }}',
        "{{ now.year }}",
        "{{ previous }}",
        "{{ previous.parameters }}",
        "{{ execution }}",
        "{{ __import__ }}",
        "{{ now.__class__ }}",
        "{{ 1 }}",
        "{{ now || date }}",
        "{{ now date }}",
        "{{ {{ now }} }}",
        "{{ previous.result.none }}",
        '{{ now | format: "%c%n%s" }}',
        '{{ now | in_zone: "../../etc/passwd" }}',
        '{{ now | in_zone: "Mars/Base" }}',
        "{{ previous.result.names | date }}",
        "{{ previous.result.count | count }}",
        "{{ job.name | plus: 1 }}",
        "{{ job.name | number }}",
        "{{ 'now' }}",
        '{{ now | join: ", " }}',
        "{% if 1 %}{{",
        "{{ now;now }}",
        '{{ "' + "[" * 1_900 + '" | number }}',
        '{{ "\\ud800" }}',
    ],
)
def test_what_is_no_expression_is_told_at_its_place(text: str) -> None:
    found = resolve(ANY, {"a": [text]}, KNOWN)
    assert [one.pointer for one in found.errors] == ["/a/0"]
    assert found.value == {"a": [text]}


@pytest.mark.parametrize("value", ["30 days", "-30 fortnights", "", 5, None, {"$relative": "now"}, "-1 day ago"])
def test_what_is_no_relative_date_is_told_at_its_place(value: Any) -> None:
    assert [one.pointer for one in resolve(ANY, {"a": {"$relative": value}}, KNOWN).errors] in (["/a"], ["/a/$relative"], [])
    assert resolve(ANY, {"a": {"$relative": value}}, KNOWN).value["a"] in ({"$relative": value}, {"$relative": "2026-03-31T12:30:15Z"})


def test_only_where_the_schema_allows_it() -> None:
    schema = {
        "properties": {
            "free": {"type": "string", "x-dynamic": True},
            "kept": {"type": "string"},
            "rows": {"items": {"oneOf": [{"properties": {"a": {"x-dynamic": True}, "b": {}}}, {"type": "string"}]}},
            "map": {"additionalProperties": {"$ref": "#/$defs/d"}},
        },
        "$defs": {"d": {"allOf": [{"x-dynamic": True}]}},
    }
    value = {
        "free": "{{ job.id }}",
        "kept": "{{ job.id }}",
        "rows": [{"a": "{{ job.id }}", "b": "{{ job.id }}"}],
        "map": {"k": "{{ job.id }}"},
    }
    found = resolve(schema, value, KNOWN, prefix="/p")
    assert found.value == {"free": "j1", "kept": "{{ job.id }}", "rows": [{"a": "j1", "b": "{{ job.id }}"}], "map": {"k": "j1"}}
    assert found.became == {"/p/free": "j1", "/p/rows/0/a": "j1", "/p/map/k": "j1"}


def test_what_only_the_run_will_know_is_left_open() -> None:
    ahead = Known(now=NOW, sample=True)
    found = resolve(ANY, {"a": "{{ previous.result.count }}", "b": "{{ execution.id }}", "c": "{{ previous.id | default: 1 }}"}, ahead)
    assert found.open == {"/a", "/b"}
    assert found.value["c"] == 1
    assert found.errors == []


def test_a_secret_is_never_resolved_as_it_would_be_recorded() -> None:
    schema = {"properties": {"key": {"type": "string", "writeOnly": True, "x-dynamic": True}}}
    found = resolve(schema, {"key": "sk-{{ job.id }}"}, KNOWN)
    assert (found.value, found.became) == ({"key": "sk-{{ job.id }}"}, {})


def test_there_are_bounds() -> None:
    assert resolve(ANY, ["{{ now }}"] * 501, KNOWN).errors
    large = Known(now=NOW, previous={"result": {"t": "x" * 60_000}})
    assert resolve(ANY, "{{ previous.result.t }} {{ previous.result.t }}", large).errors
    deep: Any = "{{ now }}"
    for _ in range(200):
        deep = [deep]
    assert resolve(ANY, deep, KNOWN).value == deep


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{{"\\"' * 60_000, "not closed"),  # each beginning would read on to the end
        ("{{ now" + " ," * 100_000 + "}}", "2,000 characters"),
        ("{{ now }} " * 501, "500 expressions"),
        ("{{ job.name" + ' | join: "xxxxxxxxxx"' * 60 + "}}", "not a list"),  # each would make eleven times as much
        ('{{ previous.result.many | join: "xx" }}', "100,000 characters"),
        ("{{ previous.result.many }}" * 400, "100,000 characters"),
        ("{{ previous.result.text | number }}", "not a number"),
        ("{{ previous.result.infinite | number }}", "not a number"),
        ("{{ previous.result.none | default: 9223372036854775808 }}", "64 bits"),
        ("{{ previous.result.most | plus: 1 }}", "64 bits"),
        ("{{ previous.result.large | plus: " + "9" * 308 + " }}", "64 bits"),
    ],
)
def test_what_would_have_no_end_is_told_instead(text: str, words: str) -> None:
    result = {"many": list(range(60_000)), "text": '"x"', "infinite": "1e999", "most": 2**63 - 1, "large": 1e308}
    [error] = resolve(ANY, text, Known(now=NOW, job_name="Nightly", previous={"result": result})).errors
    assert words in error.message


def test_braces_around_an_expression_stay() -> None:
    assert became("{{{ job.name }}}") == "{Nightly}"
    assert became('{"a": {{ previous.result.count }}}') == '{"a": 7}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet='{}"|:., abnow$\\', max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$relative", "b"]), inner, max_size=3),
    )
)
def test_any_value_is_resolved_or_told(value: Any) -> None:
    found = resolve(ANY, value, KNOWN)
    assert isinstance(found.errors, list)
    if not found.became:
        assert found.value == value
