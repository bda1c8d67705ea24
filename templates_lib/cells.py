"""Cells of tables: a value out of a document, as text, safe in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from bson import json_util

# A cell that begins so is run as a formula by spreadsheets (OWASP, CSV injection).
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def formula_safe(value: str | int | float | bool) -> str | int | float | bool:
    """Text that a spreadsheet would run gets a leading apostrophe, which it shows as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_START) else value


def plain(value: Any) -> Any:
    """A value as JSON has it; what it has not, as text that loses nothing."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def cell_value(document: Mapping[str, Any], field: str) -> Any:
    """The value at the dotted path `field`; None where the path ends early. A key that itself holds the dots wins."""
    if field in document:
        return document[field]
    value: Any = document
    for part in field.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def cell_text(value: Any) -> str | int | float | bool:
    """A scalar for a cell: numbers and booleans as they are, instants in ISO 8601, the rest as text or JSON."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict | list):
        return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)
    return str(value)
