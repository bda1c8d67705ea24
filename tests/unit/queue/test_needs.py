"""Which executions a node may take."""

from __future__ import annotations

from typing import Any

import mongomock
from hypothesis import given
from hypothesis import strategies as st

from app.labels import is_label, missing, union
from app.queue.needs import needs_fields, suitable_keys, suits, with_needs

LABELS = st.sampled_from(["gpu", "gpu=a", "site=berlin", "site=rome", "a", "a.b", "z-9"])
SETS = st.lists(LABELS, max_size=4)


@given(st.lists(SETS, max_size=8), SETS)
def test_a_node_finds_exactly_what_needs_no_label_that_it_lacks(needs: list[list[str]], labels: list[str]) -> None:
    collection: Any = mongomock.MongoClient().db.executions
    rows = [{"_id": number, **needs_fields(wanted)} for number, wanted in enumerate(needs)]
    for row in rows:
        collection.insert_one(row)
    expected = {number for number, wanted in enumerate(needs) if set(wanted) <= set(labels)}
    assert {row["_id"] for row in collection.find(suits(labels))} == expected
    keys = suitable_keys({row["needs_key"] for row in rows if "needs_key" in row}, labels)
    assert {row["_id"] for row in collection.find({"needs_key": {"$in": keys}})} == expected, "the index leads to the same"


@given(SETS, SETS)
def test_labels_of_job_and_template_are_united(job: list[str], template: list[str]) -> None:
    row = with_needs({"_id": 1, **needs_fields(job)}, template)
    assert row.get("needs", []) == sorted({*job, *template})
    assert row.get("needs_key", "") == ",".join(row.get("needs", []))
    assert missing(union(job, template), [*job, *template]) == ()


def test_what_a_label_is() -> None:
    assert all(map(is_label, ["gpu", "site=berlin", "0", "a.b_c-d=e.f", "x" * 63]))
    assert not any(map(is_label, ["", "GPU", "site=", "=x", "a=b=c", "a,b", "a b", "-a", "a=-b", "gpu\n", "x" * 64, "é"]))
