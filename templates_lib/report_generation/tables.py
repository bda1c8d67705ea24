"""The tables of a report: the answers to its questions, in columns, as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from templates_lib.cells import cell_text

LONGEST_CELL = 500  # characters of a cell that people read; a CSV file has all of them


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the field of its values, its title, and its format (text, number, percent, date or instant)."""

    field: str
    title: str
    format: str = "text"

    @property
    def numeric(self) -> bool:
        return self.format in {"number", "percent"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of a table: `kind` is bar, line or pie; `label` and `values` are columns."""

    kind: str
    label: str
    values: tuple[str, ...]


@dataclass(slots=True)
class Table:
    """One section. Its rows are plain values in the order of the columns. `more` is true if there were more rows than are allowed."""

    title: str
    columns: list[Column] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    chart: Chart | None = None
    text: str = ""
    more: bool = False

    def column(self, name: str) -> list[Any]:
        """Returns the values of a column."""
        place = next(place for place, column in enumerate(self.columns) if column.field == name)
        return [row[place] for row in self.rows]

    def written(self) -> list[list[str]]:
        """Returns the rows as people read them."""
        return [[written(value, column.format) for value, column in zip(row, self.columns, strict=True)] for row in self.rows]


def columns_of(wanted: Sequence[Mapping[str, str]], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Column]:
    """Returns the wanted columns. If none are given, returns all columns of the rows; the values decide which of them are numbers."""
    if wanted:
        return [Column(column["field"], column.get("title") or titled(column["field"]), column.get("format", "text")) for column in wanted]
    formats = [_format_of([row[place] for row in rows]) for place in range(len(names))]
    return [Column(name, titled(name), form) for name, form in zip(names, formats, strict=True)]


def _format_of(values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    return "number" if present and all(map(_is_number, present)) else "text"


def titled(name: str) -> str:
    """Returns the name of a field for people: `orders_total` → Orders total."""
    words = name.strip("_").replace("_", " ").replace(".", " ") or name
    return words[:1].upper() + words[1:]


def written(value: Any, form: str) -> str:
    """Returns a cell as people read it. A value that does not fit the format is shown as it is."""
    if value is None or value == "":
        return ""
    if form == "percent" and _is_number(value):
        return f"{value * 100:,.1f} %"
    if form == "number" and _is_number(value):
        return f"{value:,}" if isinstance(value, int) or float(value).is_integer() is False else f"{value:,.0f}"
    if form in {"date", "instant"}:
        moment = _moment(value)
        if moment is not None:
            return f"{moment:%Y-%m-%d}" if form == "date" else f"{moment:%Y-%m-%d %H:%M}"
    text = str(cell_text(value))
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else None
    except ValueError:
        return None
