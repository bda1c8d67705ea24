"""Parameters and changes in the words of forms: titles instead of JSON Pointers, choices in their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.audit.model import field_diff
from app.mongo import Document
from app.validation.pointer import keys_of
from web.filters.job_words import VALUE_WORDS, titles_on_the_way
from web.filters.times import exact, span_words
from web.forms import Form, SchemaRefused
from web.forms.reading import Reading, Titled
from web.forms.values import from_name
from web.language import in_language, language, translated

PARAMETERS = "/parameters"


def reading_of(schema: Any, value: Any) -> Reading | None:
    """Returns the titles and texts of a value of one of our templates, in the viewer's language; None if the schema cannot be drawn."""
    try:
        return Form(in_language(schema), locale=language()).reading(value)
    except SchemaRefused:
        return None


def titled_parameters(parameters: Mapping[str, Any], schema: Any = None) -> tuple[Titled, ...]:
    """Returns parameters with the titles of their form; with their own names if the template is gone (`schema` is None)."""
    reading = reading_of({} if schema is None else schema, dict(parameters))
    return reading.rows if reading is not None else ()


def titled_changes(rows: Iterable[Document], schema: Any = None) -> list[Document]:
    """Returns the rows of a diff {field, before, after} with titles for pointers, and words for the values that have some.

    A pointer below `/parameters` is one of the template whose schema is given.
    """
    rows = list(rows)
    inner = [row for row in rows if row["field"].startswith(f"{PARAMETERS}/")]
    readings = {side: reading_of({} if schema is None else schema, _built(inner, side)) for side in ("before", "after")} if inner else {}
    return [_titled(row, readings) for row in rows]


def spread(rows: Iterable[Document]) -> list[Document]:
    """Returns the rows of a diff with one row for each field of a value that has fields. Values of parameters, and hidden secrets, stay
    whole."""
    spread_rows: list[Document] = []
    for row in rows:
        sides = {side: row[side] for side in ("before", "after") if row.get(side) is not None}
        if sides and not row["field"].startswith(f"{PARAMETERS}/") and all(_has_fields(value) for value in sides.values()):
            spread_rows += spread(field_diff(sides.get("before", {}), sides.get("after", {}), prefix=row["field"]))
        else:
            spread_rows.append(row)
    return spread_rows


def _has_fields(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and not any(str(name).startswith("$") for name in value)


def _titled(row: Document, readings: Mapping[str, Reading | None]) -> Document:
    pointer: str = row["field"]
    below = pointer.startswith(f"{PARAMETERS}/")
    shown: Document = {"field": translated(titles_on_the_way(pointer))}
    for side in ("before", "after"):
        if side not in row:
            continue
        reading = readings.get(side) if below else None
        shown[side] = reading.text(pointer.removeprefix(PARAMETERS), row[side]) if reading else definition_text(pointer, row[side])
        if reading is not None:
            shown["field"] = reading.title(pointer.removeprefix(PARAMETERS))
    return shown


def _built(rows: Iterable[Document], side: str) -> dict[str, Any]:
    """Returns the parameters that one side of a diff names, put together again: a form needs them to know which branches were chosen."""
    built: dict[str, Any] = {}
    for row in rows:
        if side not in row:
            continue
        place = built
        *groups, last = keys_of(row["field"].removeprefix(PARAMETERS))
        for part in groups:
            inner = place.setdefault(part, {})
            place = inner if isinstance(inner, dict) else {}
        place[last] = row[side]
    return built


def pointer_words(text: str) -> str:
    """Returns the field of a diff in words: a JSON Pointer such as `/deleted_count` as "Deleted count", a title as it is."""
    return " › ".join(map(from_name, keys_of(text))) if text.startswith("/") else text


def definition_text(pointer: str, value: Any) -> Any:
    """Returns a value of a job's definition in words; a value without any is returned as it is."""
    if pointer.endswith(("_seconds", "/run_limit/seconds")) and isinstance(value, int) and not isinstance(value, bool):
        return span_words(value)
    if hasattr(value, "astimezone"):
        return exact(value)
    words = VALUE_WORDS.get(keys_of(pointer)[-1], {}) if pointer else {}
    if isinstance(value, str) and value in words:
        return translated(words[value])
    if isinstance(value, list) and value and all(isinstance(item, str) and item in words for item in value):
        return ", ".join(translated(words[item]) for item in value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or None
    return value
