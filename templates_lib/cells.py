"""Cells of tables: values of documents as text that is safe in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from bson import json_util

# Spreadsheets run a cell that begins with one of these as a formula (OWASP, CSV injection).
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def formula_safe(value: str | int | float | bool) -> str | int | float | bool:
    """Returns the value; a text that a spreadsheet would run as a formula gets a leading apostrophe, so that it is shown as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_START) else value


def plain(value: Any) -> Any:
    """Returns a value as a JSON value; a value that JSON does not have becomes a text without loss."""
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
    """Returns the value at the dotted path `field`; None if there is none. A key that contains the dots itself has precedence."""
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
    """Returns a scalar for a cell: numbers and booleans as they are, instants in ISO 8601, everything else as text or JSON."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict | list):
        return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)
    return str(value)
