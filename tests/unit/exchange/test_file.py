"""Files of jobs: what they mean, what is refused and where, and anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.exchange.file import DEEPEST, LONGEST, MOST_JOBS, FileRefused, read, write
from tests.lengths import examples

HEAD = "jobwright: 1\njobs:\n"


def of(text: str) -> Any:
    """The value of one parameter in a file."""
    return read(f"{HEAD}- v: {text}\n")[0]["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("12:30", "12:30"),
        ("0o17", "0o17"),
        ("017", "017"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        (".5", ".5"),
        ("1.", "1."),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("+1", "+1"),
        ("true", True),
        ("True", "True"),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", "Null"),
        ("1", 1),
        ("-0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("'1'", "1"),
        ('"true"', "true"),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
        ("|\n    two\n    lines\n", "two\nlines\n"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_values_are_those_of_json(text: str, value: Any) -> None:
    found = of(text)
    assert (found, type(found)) == (value, type(value))


BOMB = "a: &a [x,x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be an object"),
        ("[]", "must be an object"),
        ("jobs: []", "`jobwright` must be 1"),
        ("jobwright: 2\njobs: []", "must be 1"),
        ("jobwright: true\njobs: []", "must be 1"),
        ("jobwright: 1\njobs: {}", "must be a list"),
        ("jobwright: 1\njobs: []\nmore: 1", "'more' is not a known field"),
        (HEAD + "- a: 1\n  a: 2", "line 4, column 3: the name 'a' occurs twice"),
        (HEAD + "- 1: x", "line 3, column 3: a name must be text"),
        (HEAD + "- null: x", "a name must be text"),
        (HEAD + "- [a]: x", "a name must be text"),
        (HEAD + "- a: &x 1", "anchors and aliases"),
        (HEAD + "- a: *x", "anchors and aliases"),
        (BOMB, "anchors and aliases"),
        (HEAD + "- a: !!python/object/apply:os.system [id]", "the YAML tag"),
        (HEAD + "- a: !!binary aGk=", "the YAML tag"),
        (HEAD + "- a: !x 1", "the YAML tag"),
        (HEAD + "- a: !!set {x}", "the YAML tag"),
        (HEAD + "- a: [", "line 4"),
        (HEAD + "- a: b: c", "line 3"),
        (HEAD + "\t- a: 1", "line 3"),
        ("jobwright: 1\n---\njobs: []", "another document"),
        (HEAD + f"- a: {'9' * 5000}", "too long"),
        (HEAD + "- a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested more than"),
        ("x" * (LONGEST + 1), "longer than"),
        (HEAD + "- a: 'x\x00y'", "control characters"),
        (HEAD + "- {}\n" * (MOST_JOBS + 1), "which is the limit"),
        ('{"jobwright": 1, "jobs": [{"a": 1, "a": 2}]}', "occurs twice"),
        (HEAD + '- a: "\\ud800"', ""),
        ('{"jobwright": 1, "jobs": [{"a": "\\ud800"}]}', ""),
        ('{"jobwright": 1, "jobs": [{"a": NaN}]}', "not a JSON number"),
        ('{"jobwright": 1, "jobs": [' + "[" * DEEPEST + "]" * DEEPEST + "]}", "nested more than"),
        ('{"jobwright": 1, "jobs": []', "line 2"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, words: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read(text)
    assert words in refused.value.detail


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", ["yaml", "json"])
@given(bodies=st.lists(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values, max_size=4), max_size=3))
@settings(max_examples=examples(150), deadline=None)
def test_what_is_written_is_read_as_it_was(kind: str, bodies: list[dict[str, Any]]) -> None:
    found = read(write(bodies, kind))
    assert json.dumps(found, sort_keys=True) == json.dumps(bodies, sort_keys=True)


@given(text=st.text(max_size=300) | st.text(alphabet="{}[]-:,&*!|>'\"%@`#?~ \n\tabj1", max_size=300))
@settings(max_examples=examples(400), deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, HEAD + "- " + text):
        try:
            read(candidate)
        except FileRefused:
            continue


def test_a_file_means_to_other_readers_what_it_means_here() -> None:
    bodies: list[dict[str, Any]] = [
        {"name": "no", "a": ["yes", "1", "2026-01-01", "1e3", "~", "null", "0o17", "12:30", "=", "<<", ""], "b": {"on": 1}}
    ]
    assert yaml.safe_load(write(bodies, "yaml"))["jobs"] == bodies
