"""Cells of spreadsheets."""

from __future__ import annotations

# A cell that begins so is run as a formula by spreadsheets (OWASP, CSV injection).
_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def formula_safe(value: str | int | float | bool) -> str | int | float | bool:
    """Text that a spreadsheet would run gets a leading apostrophe, which it shows as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_START) else value
