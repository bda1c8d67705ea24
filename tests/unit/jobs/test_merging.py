"""Two changes of one definition: nothing that either made is lost, and what clashes is never decided by itself."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.jobs.merging import changes, merge

LEAVES = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b"]), st.lists(st.integers(0, 2), max_size=2), st.none())
KEYS = st.sampled_from(["name", "tags", "a/b", "m~n", "parameters"])
BODIES = st.dictionaries(
    KEYS, st.one_of(LEAVES, st.dictionaries(KEYS, st.one_of(LEAVES, st.dictionaries(KEYS, LEAVES, max_size=2)), max_size=3)), max_size=4
)


@given(BODIES, BODIES)
def test_who_changes_alone_gets_what_they_want(base: dict[str, Any], other: dict[str, Any]) -> None:
    assert merge(base, other, base, ()) == other
    assert merge(base, base, other, ()) == other
    assert merge(base, other, other, ()) == other


@given(BODIES, BODIES, BODIES)
def test_each_pointer_has_the_side_that_was_chosen(base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    rows = changes(base, theirs, mine)
    clashing = [row.pointer for row in rows if row.clashes]
    assert merge(base, theirs, mine, clashing) == merge(base, mine, theirs, ()), "all of theirs is mine and theirs exchanged"
    pointers = [row.pointer for row in rows]
    assert not [one for one in pointers for other in pointers if one.startswith(f"{other}/")], "no field is told twice"
    assert all(row.theirs or row.mine for row in rows)


@given(BODIES, BODIES, BODIES)
def test_what_went_in_is_left_as_it_was(base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    before = repr((base, theirs, mine))
    merge(base, theirs, mine, [row.pointer for row in changes(base, theirs, mine)])
    assert repr((base, theirs, mine)) == before


def test_both_sides_are_kept_and_a_clash_is_shown() -> None:
    base = {"name": "n", "priority": 5, "schedule": {"type": "cron", "expression": "0 2 * * *"}, "tags": ["a"]}
    theirs = {**base, "priority": 7, "tags": ["a", "b"]}
    mine = {**base, "schedule": {"type": "cron", "expression": "0 3 * * *"}, "tags": ["c"]}
    rows = {row.pointer: row for row in changes(base, theirs, mine)}
    assert {pointer: row.clashes for pointer, row in rows.items()} == {"/priority": False, "/schedule/expression": False, "/tags": True}
    assert merge(base, theirs, mine, ()) == {**mine, "priority": 7}
    assert merge(base, theirs, mine, ["/tags"]) == {**mine, "priority": 7, "tags": ["a", "b"]}


def test_a_whole_that_one_replaced_clashes_with_a_part_that_the_other_changed() -> None:
    base, theirs = {"parameters": {"filter": {"a": 1, "b": 2}}}, {"parameters": {"filter": "all"}}
    mine = {"parameters": {"filter": {"a": 1, "b": 3}}}
    (row,) = changes(base, theirs, mine)
    assert (row.pointer, row.clashes) == ("/parameters/filter", True)
    assert merge(base, theirs, mine, ["/parameters/filter"]) == theirs
    assert merge(base, theirs, mine, []) == mine
