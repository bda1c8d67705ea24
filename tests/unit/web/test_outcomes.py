"""What a dry run reports: facts with titles, and samples as a table."""

from __future__ import annotations

from web.filters.outcomes import LONGEST_CELL, MOST_COLUMNS, result_facts, result_samples


def test_samples_that_are_json_texts_become_columns() -> None:
    samples = result_samples({"samples": ['{"_id": {"$oid": "64"}, "name": "Ada", "age": 5}', '{"_id": 2, "tags": ["a"]}']})
    assert samples is not None
    assert samples.columns == ("_id", "name", "age", "tags")
    assert samples.rows == (("64", "Ada", "5", "–"), ("2", "–", "–", '["a"]'))


def test_samples_of_other_kinds_have_one_column() -> None:
    samples = result_samples({"samples": ["a.txt", "{no json"]})
    assert samples is not None
    assert (samples.columns, samples.rows) == (("",), (("a.txt",), ("{no json",)))
    assert result_samples({"samples": []}) is None
    assert result_samples({"message": "x"}) is None
    assert result_samples({"samples": "not a list"}) is None


def test_many_columns_and_long_cells_are_cut() -> None:
    wide = result_samples({"samples": [{f"c{number}": "x" * 500 for number in range(MOST_COLUMNS + 3)}]})
    assert wide is not None
    assert (len(wide.columns), wide.more) == (MOST_COLUMNS, 3)
    assert {len(cell) for cell in wide.rows[0]} == {LONGEST_CELL}


def test_how_relative_dates_were_read_is_told_without_json() -> None:
    read = {"pointer": "/lastActive/$lt", "text": "1 year ago", "means": "2025-11-29T18:55:49Z"}
    facts = result_facts({"dates": [read, {**read, "text": "today"}]})
    assert facts == [("Dates", "1 year ago = 2025-11-29 18:55:49\ntoday = 2025-11-29 18:55:49")]
