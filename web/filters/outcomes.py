"""What a dry run reports, for people: facts with titles, and samples as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.instants import InstantRefused, parse
from templates_lib.messages import say
from web.filters.times import local
from web.forms.values import from_name
from web.language import decimal, instant, translated

MOST_COLUMNS = 6
LONGEST_CELL = 80  # characters
SAMPLES = "samples"
# Titles of what the templates of Jobwright report. The names of others are made readable.
TITLES = {
    "matching": say("Matching"),
    "total": say("In total"),
    "would_delete": say("Would delete"),
    "would_archive": say("Would archive"),
    "would_change": say("Would change"),
    "would_send": say("Would send"),
    "rows": say("Rows"),
    "bytes": say("Bytes"),
    "condition": say("Condition"),
    "oldest": say("Oldest"),
    "newest": say("Newest"),
    "date": say("Date field"),
    "dates": say("Dates"),
    "warnings": say("Warnings"),
}
# Extended JSON writes an identifier, a date or a number of MongoDB as an object with one such member.
_WRAPPERS = frozenset({"$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal"})


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of a table. `more` is the number of columns that the table leaves out."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def result_facts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns (title, text) of what a result holds beside its message and its samples. Empty values are left out."""
    shown = [(name, value) for name, value in result.items() if name not in {"message", SAMPLES} and value not in (None, "", [], {})]
    return [(translated(TITLES[name]) if name in TITLES else from_name(name), _text(value)) for name, value in shown]


def result_samples(result: Mapping[str, Any]) -> Samples | None:
    """Returns the samples of a result as a table; None if it has none. Samples that are JSON texts of objects get a column a member."""
    samples = result.get(SAMPLES)
    if not isinstance(samples, list) or not samples:
        return None
    rows = [_read(sample) for sample in samples]
    if not all(isinstance(row, dict) for row in rows):
        return Samples(("",), tuple((_cell(row),) for row in rows))
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = tuple(names[:MOST_COLUMNS])
    return Samples(columns, tuple(tuple(_cell(row.get(name)) for name in columns) for row in rows), len(names) - len(columns))


def _read(sample: Any) -> Any:
    if not isinstance(sample, str):
        return sample
    try:
        return json.loads(sample)
    except ValueError:
        return sample


def _cell(value: Any) -> str:
    text = "–" if value is None else _text(value)
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _moment(text: str) -> str | None:
    """Returns an instant (RFC 3339) in the viewer's time zone; None for any other text."""
    try:
        return instant(local(parse(text))) if "T" in text else None
    except InstantRefused:
        return None


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in _WRAPPERS:
        value = next(iter(value.values()))
    if isinstance(value, bool):
        return translated(say("yes") if value else say("no"))
    if isinstance(value, int | float):
        return decimal(value)
    if isinstance(value, str):
        return _moment(value) or value
    if isinstance(value, Mapping) and value.keys() >= {"text", "means"}:  # how a relative date was read
        return f"{value['text']} = {_text(value['means'])}"
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and item.keys() >= {"text", "means"} for item in value):
        return "\n".join(_text(item) for item in value)
    return json.dumps(value, ensure_ascii=False, default=str)
