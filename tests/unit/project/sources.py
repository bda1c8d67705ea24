"""The project's folder and its source files, for tests that read the code."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[3]


def sources(*folders: str) -> list[Path]:
    """Every Python file in these folders of the project."""
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
